//! Help, usage errors and their form. Needs no privileges and sends no packet.

mod common;

use common::mpuser;

#[test]
fn help_has_examples_and_goes_to_stdout() {
    let run = mpuser(&["--help"]);
    assert_eq!(run.code, Some(0));
    for command in ["connect", "listen", "lab", "doctor", "demo", "Exit codes"] {
        assert!(run.stdout.contains(command), "{command}");
    }
    for words in [
        &["connect"][..],
        &["listen"],
        &["doctor"],
        &["demo"],
        &["lab", "up"],
        &["lab", "exec"],
        &["lab", "down"],
        &["lab", "list"],
    ] {
        let run = mpuser(&[words, &["--help"]].concat());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words:?}");
        assert!(run.stdout.contains("Examples:"), "{words:?}");
        assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{words:?}");
    }
}

#[test]
fn version() {
    let run = mpuser(&["-V"]);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stdout, format!("mpuser {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn mistakes_get_three_lines_and_exit_code_2() {
    for words in [
        &[][..],
        &["conect", "h:1"],
        &["connect"],
        &["connect", "192.168.56.101"],
        &["connect", "192.168.56.300:7000"],
        &["connect", "192.168.56.101:70000"],
        &["connect", "192.168.56.101:0"],
        &["connect", "fd00::1:7000"],
        &["connect", "[fd00::1:7000"],
        &["connect", "0.0.0.0:7000"],
        &["connect", "224.0.0.1:7000"],
        &["connect", ""],
        &["connect", "a b:1"],
        &["connect", "h:1", "--path", "eth0,colour=red"],
        &["connect", "h:1", "--path", ""],
        &["connect", "h:1", "--sched", "fastest"],
        &["connect", "h:1", "--checksum", "maybe"],
        &["connect", "h:1", "-w", "soon"],
        &["connect", "h:1", "--send-only", "--recv-only"],
        &["connect", "h:1", "--no-such-flag"],
        &["listen"],
        &["listen", "x:7000"],
        &["listen", "0"],
        &["listen", "--echo", "--discard", "7000"],
        &["lab"],
        &["lab", "exec", "client"],
        &["lab", "up", "seed", "--rate", "fast"],
        &["demo", "--size", "many"],
        &["demo", "--net", "ether"],
    ] {
        mpuser(words).assert_error(2);
    }
}

#[test]
fn a_typing_error_gets_a_suggestion() {
    let run = mpuser(&["demo", "--szie", "1M"]);
    assert!(run.stderr.contains("--size"), "{}", run.stderr);
}

#[test]
fn with_json_errors_are_objects() {
    for words in
        [&["connect", "--json", "h:0"][..], &["--json", "lab"], &["demo", "--json", "--size", "x"]]
    {
        let run = mpuser(words);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        let object: serde_json::Value = serde_json::from_str(&run.stderr).expect("one JSON object");
        assert_eq!(object["schema"], "mpuser.error/1");
        assert_eq!(object["error"]["code"], "MPU-E0001");
        assert_eq!(object["error"]["kind"], "usage");
        for field in ["message", "because", "hint"] {
            assert!(
                object["error"][field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}"
            );
        }
    }
}

#[test]
fn json_after_the_double_dash_is_the_commands() {
    let run = mpuser(&["lab", "exec", "--", "ss", "--json"]);
    run.assert_error(2);
}
