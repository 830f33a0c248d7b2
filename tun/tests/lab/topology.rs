//! The lab itself: made and removed any number of times, programs in it, the kernel as a peer.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use mpuser_tun::lab::peer::{
    KernelClient, Mode, PeerServer, Protocol, counter_delta, kernel_counters,
};
use mpuser_tun::lab::{self, LabOptions};
use mpuser_tun::net::ErrorKind;

use crate::support::{TestLab, eventually, file_with, output, require_root};

#[test]
fn up_and_down_are_idempotent() {
    if !require_root("up_and_down_are_idempotent") {
        return;
    }
    let lab = TestLab::up("idem", LabOptions::default());
    let name = lab.state().name.clone();
    let again = TestLab::up("idem", LabOptions::default());
    assert_eq!(lab.state(), again.state(), "the second one finds the first one");
    assert!(lab::list().unwrap().iter().any(|l| l.name == name && l.whole));
    // Other options: it is made anew.
    let rate = Some("50mbit".to_owned());
    let other = TestLab::up("idem", LabOptions { rate, ..LabOptions::default() });
    assert_ne!(lab.state().nodes, other.state().nodes);
    assert!(output(&other, "server", &["tc", "qdisc", "show", "dev", "eth3"]).contains("tbf"));
    assert!(lab::down(&name).unwrap());
    assert!(!lab::down(&name).unwrap());
    assert!(lab::list().unwrap().iter().all(|l| l.name != name));
    assert_eq!(lab::open(&name).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn what_a_crash_left_behind_is_removed() {
    if !require_root("what_a_crash_left_behind_is_removed") {
        return;
    }
    let lab = TestLab::up("crash", LabOptions::default());
    let name = lab.state().name.clone();
    let file = mpuser_tun::net::state_dir().unwrap().join(format!("lab-{name}.json"));
    // Namespaces without a state file.
    std::fs::remove_file(&file).unwrap();
    assert!(lab::list().unwrap().iter().any(|l| l.name == name && !l.whole));
    assert!(lab::down(&name).unwrap());
    // A state file without one of the namespaces; `up` makes it whole.
    let lab = TestLab::up("crash", LabOptions::default());
    let client = &lab.state().nodes[0].namespace;
    assert!(Command::new("ip").args(["netns", "del", client]).status().unwrap().success());
    assert!(!lab.state().is_whole());
    let lab = TestLab::up("crash", LabOptions::default());
    assert!(lab.state().is_whole());
    // A namespace of the same name that is another one.
    let server = &lab.state().nodes[1].namespace;
    for verb in ["del", "add"] {
        assert!(Command::new("ip").args(["netns", verb, server]).status().unwrap().success());
    }
    assert!(!lab.state().is_whole());
    // A state file without any namespace: the next lab that is made, of whatever name, removes it.
    let saved = std::fs::read(&file).unwrap();
    assert!(lab::down(&name).unwrap());
    std::fs::write(&file, saved).unwrap();
    let _other = TestLab::up("crash2", LabOptions::default());
    assert!(!file.exists());
}

#[test]
fn programs_keep_directory_input_and_exit_code() {
    if !require_root("programs_keep_directory_input_and_exit_code") {
        return;
    }
    let lab = TestLab::up("exec", LabOptions::default());
    assert_eq!(lab.exec("client", &["sh", "-c", "exit 42"]).unwrap().code(), Some(42));
    assert_eq!(lab.exec("server", &["true"]).unwrap().code(), Some(0));
    assert_eq!(lab.exec("nobody", &["true"]).unwrap_err().kind, ErrorKind::NotFound);
    // A directory in PATH that may not be read turns the answer into the other one.
    let kind = lab.exec("client", &["mpu-no-such"]).unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::NotFound | ErrorKind::Permission), "{kind:?}");
    let by_name = format!("{}/client", lab.state().name);
    assert_eq!(lab::exec(&by_name, &["sh", "-c", "exit 3"]).unwrap().code(), Some(3));

    let script = "pwd; cat; ls /sys/class/net; ip -4 -o addr show dev eth1";
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(file_with(b"from stdin\n")).stdout(Stdio::piped());
    let out = lab.spawn("client", command).unwrap().wait_with_output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], std::env::current_dir().unwrap().to_str().unwrap());
    assert_eq!(lines[1], "from stdin");
    assert_eq!(lines[2..6], ["eth1", "eth2", "eth3", "lo"], "/sys is that of the namespace");
    assert!(lines[6].contains("192.168.56.100/24"), "{text}");
}

#[test]
fn the_kernel_talks_over_all_links() {
    if !require_root("the_kernel_talks_over_all_links") {
        return;
    }
    let v6 = "fd00:192:168:56::101";
    for (test, client_subflow, peer) in
        [("sig", false, "192.168.56.101"), ("sub", true, "192.168.56.101"), ("six", false, v6)]
    {
        let (server_signal, ipv6) = (!client_subflow, peer == v6);
        // A rate, so that the transfer outlives the joins.
        let rate = Some("100mbit".to_owned());
        let default = LabOptions::default();
        let options = LabOptions { rate, client_subflow, server_signal, ipv6, ..default };
        let lab = TestLab::up(test, options);
        let (here, there) = (lab.netns("client").unwrap(), lab.netns("server").unwrap());
        let peer = SocketAddr::new(peer.parse().unwrap(), 7000);
        // Of any address: a join to another one looks for a listener there.
        let bind = SocketAddr::new(if ipv6 { "::" } else { "0.0.0.0" }.parse().unwrap(), 7000);
        let server = PeerServer::start(&there, bind, Protocol::Mptcp, Mode::Echo).unwrap();
        let before = kernel_counters(&there).unwrap();
        let client = KernelClient::connect(&here, peer, Protocol::Mptcp).unwrap();
        assert!(client.subflows().is_some(), "no fallback");
        // The server announces two addresses, or two of each family.
        let joins = if ipv6 { 4 } else { 2 };
        client.settle(joins + 1).unwrap_or_else(|e| panic!("{e}"));
        let transfer = client.echo(4_000_000).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(transfer.subflows, joins + 1, "{transfer:?}");
        assert!(transfer.goodput() > 1e6, "{transfer:?}");
        assert_eq!((server.connections(), server.received()), (1, 4_000_001));
        let delta = counter_delta(&before, &kernel_counters(&there).unwrap());
        assert_eq!(delta.get("MPTcpExtMPCapableSYNRX"), Some(&1), "{delta:?}");
        assert_eq!(delta.get("MPTcpExtMPJoinAckRx"), Some(&u64::from(joins)), "{delta:?}");
        assert_eq!(delta.get("MPTcpExtDataCsumErr"), None);
    }
}

#[test]
fn plain_tcp_source_and_discard() {
    if !require_root("plain_tcp_source_and_discard") {
        return;
    }
    let lab = TestLab::up("tcp", LabOptions::default());
    let (here, there) = (lab.netns("client").unwrap(), lab.netns("server").unwrap());
    let bind = "0.0.0.0:0".parse().unwrap();
    let source = PeerServer::start(&there, bind, Protocol::Mptcp, Mode::Source(3_000_000)).unwrap();
    let address =
        |s: &PeerServer| format!("192.168.57.101:{}", s.address().port()).parse().unwrap();
    let client = KernelClient::connect(&here, address(&source), Protocol::Tcp).unwrap();
    assert_eq!(client.subflows(), None, "plain TCP");
    assert_eq!(client.download(3_000_000).unwrap().subflows, 0);
    let discard = PeerServer::start(&there, bind, Protocol::Tcp, Mode::Discard).unwrap();
    let client = KernelClient::connect(&here, address(&discard), Protocol::Mptcp).unwrap();
    let e = client.echo(10_000).unwrap_err();
    assert!(e.because.contains("ended after 0 of 10000"), "{e}");
    assert_eq!(discard.received(), 10_000);
}

#[test]
fn links_go_down_are_cut_and_come_back() {
    if !require_root("links_go_down_are_cut_and_come_back") {
        return;
    }
    let lab = TestLab::up("cut", LabOptions::default());
    let (here, there) = (lab.netns("client").unwrap(), lab.netns("server").unwrap());
    let bind = "0.0.0.0:7000".parse().unwrap();
    let _server = PeerServer::start(&there, bind, Protocol::Tcp, Mode::Echo).unwrap();
    let reaches = |dev: &str| {
        let server = lab.path(dev).unwrap().server;
        let argv = ["timeout", "0.3", "bash", "-c", &format!("echo > /dev/tcp/{server}/7000")];
        lab.exec("client", &argv).unwrap().success()
    };
    assert!(reaches("eth1") && reaches("eth2"));
    lab.cut("eth1", true).unwrap();
    lab.cut("eth1", true).unwrap();
    assert!(!reaches("eth1") && reaches("eth2"));
    assert!(output(&lab, "client", &["ip", "link", "show", "eth1"]).contains("LOWER_UP"), "silent");
    lab.cut("eth1", false).unwrap();
    lab.cut("eth1", false).unwrap();
    eventually("eth1 is back", || reaches("eth1"));
    lab.set_link("eth2", false).unwrap();
    assert!(reaches("eth1") && !reaches("eth2"));
    lab.set_link("eth2", true).unwrap();
    eventually("eth2 is back", || reaches("eth2"));
    // The routes are the ones from before, with the congestion control.
    let routes = output(&lab, "server", &["ip", "route", "show", "dev", "eth2"]);
    assert_eq!(routes.matches("congctl cubic").count(), 2, "{routes}");
    assert!(routes.contains("10.83.57.0/24"), "{routes}");
    // `up` repairs as well; a cut during a transfer ends in the figures.
    lab.cut("eth3", true).unwrap();
    lab.set_link("eth1", false).unwrap();
    lab.set_rate("eth2", Some("20mbit")).unwrap();
    let lab = TestLab::up("cut", LabOptions::default());
    eventually("all are back", || reaches("eth1") && reaches("eth3"));
    assert!(!output(&lab, "client", &["tc", "qdisc", "show", "dev", "eth2"]).contains("tbf"));
    assert_eq!(lab.cut("eth9", true).unwrap_err().kind, ErrorKind::NotFound);
    assert!(
        KernelClient::connect(&here, "192.168.58.101:7000".parse().unwrap(), Protocol::Tcp).is_ok()
    );
}

#[test]
fn a_cut_in_the_middle_of_a_transfer_is_survived_and_measured() {
    if !require_root("a_cut_in_the_middle_of_a_transfer_is_survived_and_measured") {
        return;
    }
    const BYTES: u64 = 20_000_000;
    let rate = Some("100mbit".to_owned());
    let lab = TestLab::up("mid", LabOptions { rate, ..LabOptions::default() });
    let (here, there) = (lab.netns("client").unwrap(), lab.netns("server").unwrap());
    let bind = "0.0.0.0:7000".parse().unwrap();
    let server = PeerServer::start(&there, bind, Protocol::Mptcp, Mode::Echo).unwrap();
    let peer = "192.168.56.101:7000".parse().unwrap();
    let client = KernelClient::connect(&here, peer, Protocol::Mptcp).unwrap();
    let transfer = std::thread::scope(|scope| {
        let running = scope.spawn(|| client.echo(BYTES).unwrap_or_else(|e| panic!("{e}")));
        eventually("a quarter is there", || server.received() > BYTES / 4);
        lab.cut("eth2", true).unwrap();
        assert!(server.received() < BYTES, "the cut came too late to mean anything");
        running.join().unwrap()
    });
    assert_eq!((transfer.bytes, transfer.subflows), (BYTES, 3));
    assert!(transfer.longest_stall <= transfer.elapsed);
    // The sum of the three rates is the limit.
    assert!(transfer.goodput() < 300e6, "{transfer:?}");
    eprintln!("{:.1} Mbit/s, {transfer:?}", transfer.goodput() / 1e6);
}
