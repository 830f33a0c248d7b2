//! `mpuser conform` from the outside.

mod common;

use common::{lab_allowed, mpuser};

#[test]
fn cases_are_listed_without_running() {
    let run = mpuser(&["conform", "--list"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 234);
    assert!(run.stdout.starts_with("H01  MP_CAPABLE handshake"), "{}", run.stdout);
    let run = mpuser(&["conform", "--list", "--json", "--only", "J"]);
    let first = run.stdout.lines().next().unwrap_or_default();
    let object: serde_json::Value = serde_json::from_str(first).expect("an object per line");
    assert_eq!(object["id"], "J01");
}

#[test]
fn the_engine_in_virtual_time() {
    let run = mpuser(&["conform", "--only", "D,X01"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("D01  out of order across subflows: pass"), "{}", run.stdout);
    assert!(run.stdout.contains("differs 0"), "{}", run.stdout);
    let run = mpuser(&["conform", "--only", "D01", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("one object");
    assert_eq!(report["schema"], "mpuser.conform/1");
    assert_eq!(report["cases"][0]["verdict"], "pass");
    let run = mpuser(&["conform", "--only", "D01", "--md"]);
    assert!(run.stdout.starts_with("| id | case |"), "{}", run.stdout);
}

#[test]
fn what_is_not_there_is_said() {
    mpuser(&["conform", "--only", "Q"]).assert_error(2);
    mpuser(&["conform", "--target", "windows"]).assert_error(2);
}

/// Groups whose cases take little time; the whole list is one command.
#[test]
fn the_kernel_beside_the_engine() {
    if !lab_allowed("the_kernel_beside_the_engine") {
        return;
    }
    let run = mpuser(&["conform", "--target", "kernel", "--only", "J01,J02,J05,D,C08,X17"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    // Both columns are shown where they differ.
    assert!(run.stdout.contains("D15  two DSS in one segment that conflict: differs-as-reviewed"));
    assert!(run.stdout.contains("       kernel   "), "{}", run.stdout);
}
