//! `mpuser exp presets` and `mpuser exp report` from the outside.

mod common;

use common::mpuser;
use serde_json::Value;

#[test]
fn the_list_names_every_preset_with_its_parameters() {
    let run = mpuser(&["exp", "presets", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let list: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let presets = list["presets"].as_array().expect("a list");
    let c = presets.iter().find(|preset| preset["name"] == "scenario-c").expect("scenario-c");
    let parameters = c["parameters"].as_array().expect("parameters");
    for name in ["cc", "n", "c", "c2", "rtt", "queue"] {
        assert!(parameters.iter().any(|parameter| parameter["name"] == name), "{name}");
    }
    let text = mpuser(&["exp", "presets"]).stdout;
    assert!(presets.iter().all(|p| text.contains(p["name"].as_str().unwrap_or("?"))));
}

#[test]
fn mistakes_are_explained() {
    mpuser(&["exp", "presets", "scenario-d"]).assert_error(2);
    mpuser(&["exp", "presets", "torus", "--set", "nosuch=1"]).assert_error(2);
    mpuser(&["exp", "presets", "torus", "--set", "rate=fast"]).assert_error(2);
}

/// A preset that holds ends with 0, one that does not with 7: half of the second path's rate is no second path.
#[test]
fn the_verdict_is_the_exit_code() {
    let preset = |set: &str| {
        mpuser(&["exp", "presets", "tutorial-aggregation", "--seeds", "1", "--set", set, "--json"])
    };
    let good = preset("jitter=50");
    assert_eq!(good.code, Some(0), "{}{}", good.stdout, good.stderr);
    let table: Value = serde_json::from_str(&good.stdout).expect("JSON");
    assert_eq!(table["pass"], true);
    assert_eq!(table["checks"].as_array().map(Vec::len), Some(3));
    let bad = preset("rate=5");
    assert_eq!(bad.code, Some(7), "{}{}", bad.stdout, bad.stderr);
    let table: Value = serde_json::from_str(&bad.stdout).expect("JSON");
    assert_eq!(table["pass"], false);
}

#[test]
fn a_report_is_one_page_with_plots() {
    let dir = std::env::temp_dir().join(format!("mpuser-report-{}", std::process::id()));
    let path = dir.to_str().expect("a path in UTF-8");
    let run = mpuser(&[
        "exp",
        "run",
        "simult-flows",
        "--set",
        "size=1000000",
        "--sched",
        "minrtt",
        "--seeds",
        "1..2",
        "--out",
        path,
    ]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report = mpuser(&["exp", "report", path]);
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    let page = std::fs::read_to_string(dir.join("report.html")).expect("a page");
    for part in ["Throughput of transfer 0", "DSN ladder", "Completion times", "95 % interval"] {
        assert!(page.contains(part), "the page lacks {part}: {}", report.stderr);
    }
    // nothing of it comes from elsewhere
    assert!(!page.contains("src=") && !page.contains("href="));
    std::fs::remove_dir_all(&dir).expect("it can go");
    mpuser(&["exp", "report", path]).assert_error(8);
}
