//! `mpuser craft` and `mpuser scan`: on paper, and against kernels in namespaces of this test's own. Those are skipped
//! where namespaces or TUN devices are not allowed.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::lab::TestLab;
use common::{Run, lab_allowed, mpuser};
use mpuser_tun::lab::peer::{Mode, Protocol};
use serde_json::Value;

fn objects(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn packets_are_shown_in_every_form() {
    let expression = "IP(dst=\"192.168.56.101\")/TCP(dport=7000,flags=\"S\")/MP_CAPABLE(H=1)";
    let run = mpuser(&["craft", expression]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(
        run.stdout.contains("###[ MP_CAPABLE ]###\n  version      = 1                    auto\n")
    );
    let run = mpuser(&["craft", "--hex", expression]);
    assert!(run.stdout.contains("\n0020  60 02 ff ff 0e 32 00 00 1e 04 01 01 "), "{}", run.stdout);
    let objects = objects(&mpuser(&["craft", "--json", expression, "TCP/MP_PRIO"]));
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["layers"][2]["fields"]["H"], 1);
    let layers = mpuser(&["craft", "--layers"]).stdout;
    assert!(layers.contains("MP_JOIN ") && layers.contains("  peer_nonce "), "{layers}");
}

/// What is written is a capture that `decode` reads.
#[test]
fn packets_become_a_capture() {
    let dir = std::env::temp_dir().join(format!("mpuser-craft-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let file = dir.join("x.pcapng").display().to_string();
    let run = mpuser(&[
        "craft",
        "--pcap",
        &file,
        "TCP(flags='S')/MP_CAPABLE(len=3)",
        "MP_TCPRST(1, T=1)",
    ]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
    let run = mpuser(&["decode", &file]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].contains("[S]") && lines[0].contains("BAD"), "{}", run.stdout);
    assert!(lines[1].contains("mptcp tcprst transient reason 0x01"), "{}", run.stdout);
    let _ = std::fs::remove_dir_all(dir);
}

/// A second opinion: tshark finds every option's subtype and version, and nothing malformed.
#[test]
fn tshark_reads_what_is_crafted() {
    use std::process::Command;
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("SKIPPED: tshark_reads_what_is_crafted: there is no tshark");
        return;
    }
    let options = [
        ("TCP(flags='S')/MP_CAPABLE", "0"),
        ("TCP(flags='SA')/MP_CAPABLE", "0"),
        ("MP_CAPABLE(receiver_key=1)", "0"),
        ("MP_CAPABLE(receiver_key=1, A=1)/'hello'", "0"),
        ("TCP(flags='S')/MP_JOIN(token=1)", "1"),
        ("TCP(flags='SA')/MP_JOIN(hmac=0x0102030405060708)", "1"),
        ("MP_JOIN(hmac=0x0102030405060708090a0b0c0d0e0f1011121314)", "1"),
        ("DSS(data_ack=1, dsn=2, ssn=1, checksum=3)/'hello'", "2"),
        ("DSS(data_ack=1, a=0, dsn=2, m=0, ssn=1)/'hello'", "2"),
        ("ADD_ADDR('10.0.0.1', peer_key=1)", "3"),
        ("ADD_ADDR('::1', port=80, peer_key=1)", "3"),
        ("ADD_ADDR('10.0.0.1', E=1)", "3"),
        ("REMOVE_ADDR([1, 2])", "4"),
        ("MP_PRIO", "5"),
        ("MP_FAIL(dsn=1)", "6"),
        ("MP_FASTCLOSE(receiver_key=1)", "7"),
        ("TCP(flags='RA')/MP_TCPRST(reason=1, T=1)", "8"),
    ];
    let file = std::env::temp_dir().join(format!("mpuser-{}-tshark.pcapng", std::process::id()));
    let name = file.display().to_string();
    // each on a connection of its own: one that changes its mind is too much for tshark
    let alone = |(number, (text, _)): (usize, &(&str, &str))| match text.strip_prefix("TCP(") {
        Some(rest) => format!("TCP(sport={}, {rest}", 1_000 + number),
        None => format!("TCP(sport={})/{text}", 1_000 + number),
    };
    let packets: Vec<String> = options.iter().enumerate().map(alone).collect();
    let mut words = vec!["craft", "--pcap", &name];
    words.extend(packets.iter().map(String::as_str));
    assert_eq!(mpuser(&words).code, Some(0));
    let mut tshark = Command::new("tshark");
    tshark.args([
        "-r",
        &name,
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "-T",
        "fields",
    ]);
    tshark.args([
        "-e",
        "tcp.options.mptcp.subtype",
        "-e",
        "_ws.malformed",
        "-e",
        "tcp.checksum.status",
    ]);
    let output = tshark.output().expect("tshark runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), options.len(), "{text}");
    for ((expression, subtype), line) in options.iter().zip(lines) {
        // 1: the checksum is right
        assert_eq!(line, format!("{subtype}\t\t1"), "{expression}");
    }
    let _ = std::fs::remove_file(file);
}

/// The line, a mark below the place, and the three lines of every failure.
#[test]
fn mistakes_are_marked() {
    let run = mpuser(&["craft", "IP/TPC(dport=1)"]);
    assert_eq!(run.code, Some(2));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines[..2], ["  IP/TPC(dport=1)", "     ^^^"]);
    assert_eq!(lines[4], "  help: did you mean TCP?");
    let run = mpuser(&["craft", "MP_CAPABLE"]);
    assert!(run.stderr.contains("because MP_CAPABLE.receiver_key is not known"), "{}", run.stderr);
    mpuser(&["craft"]).assert_error(2);
    mpuser(&["craft", "--send", "TCP/MP_PRIO"]).assert_error(2);
    mpuser(&["craft", "--send", "IP(dst='127.0.0.1')/TCP"]).assert_error(3);
    mpuser(&["scan", "localhost", "-p", "1"]).assert_error(3);
    mpuser(&["scan", "192.0.2.1", "-p", "0"]).assert_error(2);
}

#[test]
fn a_kernel_answers_what_is_sent() {
    let Some(lab) = TestLab::up("craft") else { return };
    let _echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let syn = "IP(dst=\"192.168.56.101\")/TCP(dport=7000,flags=\"S\")/MP_CAPABLE(H=1)";
    // keys and numbers are kept: the second packet is filled in from the answer to the first, and carries data
    let run =
        lab.run(&["craft", "--send", "--json", syn, "MP_CAPABLE/\"hello\"", "TCP(flags='R')"], b"");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let objects = objects(&run);
    let echoed = objects.iter().find(|object| {
        let packet = object["packet"].as_str().unwrap_or_default();
        object["sent"] == false && packet.contains("Raw(load=\"hello\")") && packet.contains("DSS(")
    });
    assert!(echoed.is_some(), "{}", run.stdout);
    let run = lab.run(&["craft", "--send", syn], b"");
    assert!(
        run.stdout.starts_with("> ") && run.stdout.contains("###[ MP_CAPABLE ]###"),
        "{}",
        run.stdout
    );
    let silent = "IP(dst=\"192.168.56.77\")/TCP(dport=7000,flags=\"S\")";
    let run = lab.run(&["craft", "--send", "--timeout", "200ms", silent], b"");
    assert_eq!(run.code, Some(4), "{}", run.stderr);
}

#[test]
fn ports_of_a_kernel_are_told_apart() {
    let Some(lab) = TestLab::up("scan") else { return };
    let _mptcp = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let _plain = lab.serve(7001, Protocol::Tcp, Mode::Echo);
    let run = lab.run(&["scan", "192.168.56.101", "-p", "7000,7001,7002", "--json"], b"");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let found = objects(&run);
    let verdicts: Vec<&Value> = found.iter().map(|object| &object["verdict"]).collect();
    assert_eq!(verdicts, ["mptcp", "tcp", "closed"], "{}", run.stdout);
    let mptcp = &found[0];
    assert_eq!((&mptcp["version_1_answered"], &mptcp["join"]), (&1.into(), &"proved".into()));
    assert_eq!(mptcp["data_ack_proved"], true, "{mptcp}");
    assert_eq!(mptcp["version_0_answered"], Value::Null);
    let run = lab.run(&["scan", "192.168.56.101", "-p", "7000"], b"");
    assert!(run.stdout.contains("join: answered with the right HMAC"), "{}", run.stdout);
}

/// A script of this test, in a file.
fn script(name: &str, text: &str) -> String {
    let file = std::env::temp_dir().join(format!("mpuser-{}-{name}.mps", std::process::id()));
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

/// The manual's first two examples on a kernel, too; the second one's host needs no application of ours.
#[test]
fn scripts_pass_against_the_engine_and_the_kernel() {
    let manual = include_str!("../../docs/script.md");
    let mut examples = manual.split("```mps\n").skip(1).filter_map(|rest| rest.split("```").next());
    let first = script("first", examples.next().expect("an example"));
    let run = mpuser(&["script", &first]);
    assert!(run.code == Some(0) && run.stdout.starts_with("ok "), "{}{}", run.stdout, run.stderr);
    let object = objects(&mpuser(&["script", &first, "--json"])).remove(0);
    assert_eq!((&object["passed"], &object["problem"]), (&true.into(), &Value::Null));
    if lab_allowed("scripts_pass_against_the_engine_and_the_kernel") {
        let run = mpuser(&["script", &first, "--target", "kernel", "-v"]);
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    }
    let _ = std::fs::remove_file(first);
}

#[test]
fn a_script_runs_against_a_host() {
    let Some(lab) = TestLab::up("script") else { return };
    let _echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let text = "send TCP(flags='S')/MSS/MP_CAPABLE\nexpect TCP(flags='SA')/MP_CAPABLE(H=1)\n\
                send MP_CAPABLE\nsend DSS/'hello'\nawait DSS(dsn=auto)/'hello'\nsend DSS(F=1)\n\
                await DSS(F=1) within 2s\nsend TCP(flags='R')\n";
    let file = script("host", text);
    let run = lab.run(&["script", &file, "--target", "192.168.56.101:7000", "-v"], b"");
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let _ = std::fs::remove_file(file);
}

/// Exit code 7, and the difference field by field; mistakes with their place.
#[test]
fn scripts_fail_with_a_difference() {
    let file =
        script("wrong", "send TCP(flags='S')/MP_CAPABLE\nexpect TCP(flags='SA')/MP_CAPABLE(A=1)\n");
    let run = mpuser(&["script", &file]);
    assert_eq!(run.code, Some(7));
    assert!(run.stdout.contains(
        "wrong.mps:2: expect TCP(flags='SA')/MP_CAPABLE(A=1)\n  something else came: IP("
    ));
    assert!(
        run.stdout
            .ends_with("    TCP.flags = \"SA\"\n  - MP_CAPABLE.A = 1\n  + MP_CAPABLE.A = 0\n"),
        "{}",
        run.stdout
    );
    std::fs::write(&file, "wait 5s\nsned TCP\n").expect("a file");
    let run = mpuser(&["script", &file]);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!((run.code, lines[..2].to_vec()), (Some(2), vec!["  sned TCP", "  ^^^^"]));
    std::fs::write(&file, "app write 'x'\n").expect("a file");
    mpuser(&["script", &file, "--target", "192.0.2.1:80"]).assert_error(2);
    mpuser(&["script", "/no/such/file.mps"]).assert_error(1);
    let _ = std::fs::remove_file(file);
}

/// Lines from a pipe; a mistake does not end it.
#[test]
fn lines_are_read_one_by_one() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mpuser"));
    command.args(["craft", "--repl"]);
    let lines = "p = TCP(flags='S')/MP_CAPABLE\nTPC/MSS\nq.show()\np.show()\nquit\np\n";
    let run = common::run(command, lines.as_bytes());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("###[ MP_CAPABLE ]###"), "{}", run.stdout);
    assert!(run.stderr.contains("q is no packet and no session (p)"), "{}", run.stderr);
    let Some(lab) = TestLab::up("repl") else { return };
    let _echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let lines = "s = session(\"192.168.56.101:7000\")\ns.handshake()\ns.dss(\"hello\")\ns.join()\n\
                 s.dss(\"world\", 1)\ns.info()\ns.close()\n";
    let run = lab.run(&["craft", "--repl"], lines.as_bytes());
    assert!(
        run.stdout.contains("subflow 1 is open") && run.stdout.contains("the HMAC is right"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("data       10 sent, 10 received"), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.ends_with("closed\n"), "{}{}", run.stdout, run.stderr);
}
