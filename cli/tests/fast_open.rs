//! TCP Fast Open from the command line: a cookie of one process, the SYN of the next (RFC 7413, RFC 8684 appendix B).
//! Skipped where namespaces or TUN devices are not allowed.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::lab::{SERVER, TestLab};
use mpuser_tun::lab::peer::{Mode, Protocol, kernel_counters};
use serde_json::Value;

/// Client and server, and every listener although it does not ask for it.
const FAST_OPEN: &str = "1027";

/// One connection: what it says of Fast Open, and the octets that went with its SYN.
fn connect(lab: &TestLab, input: &[u8]) -> (String, u64) {
    let address = format!("{SERVER}:7000");
    let run = lab.run(&["connect", &address, "--fast-open", "--json"], input);
    assert_eq!((run.code, run.bytes.as_slice()), (Some(0), input), "{}", run.stderr);
    let last = run.stderr.lines().last().expect("a line");
    let report: Value = serde_json::from_str(last).expect("JSON");
    let outcome = report["fast_open"].as_str().expect("a word").to_owned();
    (outcome, report["bytes_on_syn"].as_u64().expect("a number"))
}

/// [TFO-1] [TFO-2] (K44): the first connection brings a cookie home, the second one has its data on the SYN; the kernel takes
/// it, and it is one MPTCP connection with the right bytes.
#[test]
fn the_second_syn_carries_data() {
    let Some(lab) = TestLab::up("tfo") else { return };
    let ns = lab.0.netns("server").expect("the server's namespace");
    let switch = || std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN);
    lab.0.in_namespace("server", switch).expect("it is entered").expect("a setting");
    let _echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let counted = |name: &str| {
        let counters = kernel_counters(&ns).expect("the kernel's counters");
        counters.get(name).copied().unwrap_or(0)
    };
    assert_eq!(connect(&lab, b"first"), ("cookie_given".to_owned(), 0));
    assert_eq!(counted("TcpExtTCPFastOpenPassive"), 0);
    assert_eq!(connect(&lab, b"second"), ("data".to_owned(), 6));
    assert_eq!(counted("TcpExtTCPFastOpenPassive"), 1);
    assert_eq!(counted("TcpExtTCPFastOpenPassiveFail"), 0);
    assert_eq!(counted("MPTcpExtMPCapableSYNRX"), 2);
    assert_eq!(counted("MPTcpExtMPCapableFallbackACK"), 0);
}
