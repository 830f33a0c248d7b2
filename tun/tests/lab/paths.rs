//! Paths of an engine, without the engine: devices, addresses, routes, and all of it gone again.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol, counter_delta, kernel_counters};
use mpuser_tun::lab::{Lab, LabOptions};
use mpuser_tun::net::doctor::{Level, preflight};
use mpuser_tun::net::{
    Egress, ErrorKind, NetError, PathOptions, PathPlan, PathSet, Reach, Result, ReturnPath,
    discover, physical_paths, recover, resolve,
};
use tun_tap::{Iface, Mode as TunMode};

use crate::segment::Client;
use crate::support::{TestLab, alone, output, require_root, require_tun};

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 56, 101));

fn open(plan: &PathPlan) -> Result<Iface> {
    Iface::without_packet_info(&plan.tun, TunMode::Tun)
        .map_err(|e| NetError::io("cannot open a TUN", &e))
}

fn setup(ways: &[Egress]) -> Result<(PathSet, Vec<Iface>)> {
    PathSet::setup(ways, &PathOptions { dest: Some(SERVER), ..PathOptions::default() }, open)
}

fn v4(addr: IpAddr) -> Ipv4Addr {
    match addr {
        IpAddr::V4(a) => a,
        IpAddr::V6(_) => panic!("{addr} is not IPv4"),
    }
}

/// Everything a set of paths may leave behind.
fn traces(lab: &Lab) -> String {
    let show = |argv: &[&str]| output(lab, "client", argv);
    let forwarding = "net.ipv4.conf.eth1.forwarding";
    [
        show(&["ip", "rule"]),
        show(&["ip", "route", "show", "table", "all"]),
        show(&["nft", "list", "tables"]),
        show(&["ip", "-br", "address"]),
        show(&["sysctl", forwarding, "net.ipv4.conf.eth2.forwarding", "net.ipv4.ip_forward"]),
    ]
    .concat()
}

/// The devices may outlive their owner by a moment: a child that another test is just starting
/// holds copies of all descriptors until its exec.
fn assert_no_trace(lab: &Lab, before: &str) {
    for _ in 0..40 {
        if traces(lab) == before {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(traces(lab), before);
}

#[test]
fn routed_paths_reach_the_kernel_and_leave_no_trace() {
    let _alone = alone();
    const TEST: &str = "routed_paths_reach_the_kernel_and_leave_no_trace";
    if !require_root(TEST) || !require_tun(TEST) {
        return;
    }
    let lab = TestLab::up("routed", LabOptions::default());
    let there = lab.netns("server").unwrap();
    let bind = "192.168.56.101:7000".parse().unwrap();
    let _server = PeerServer::start(&there, bind, Protocol::Mptcp, Mode::Echo).unwrap();
    let before = traces(&lab);
    let counters = kernel_counters(&lab.netns("client").unwrap()).unwrap();
    lab.in_namespace("client", || {
        let ways = discover(SERVER).unwrap();
        let devs: Vec<_> = ways.iter().map(|w| (w.dev.as_str(), w.reach)).collect();
        assert_eq!(
            devs,
            [("eth1", Reach::Connected), ("eth2", Reach::Assumed), ("eth3", Reach::Assumed)]
        );
        let findings = preflight(SERVER, &ways);
        assert!(findings.iter().all(|f| f.level == Level::Ok), "{findings:?}");
        let (mut set, devices) = setup(&ways).unwrap_or_else(|e| panic!("{e}"));
        set.verify(SERVER).unwrap_or_else(|e| panic!("{e}"));
        for (i, (plan, tun)) in set.paths().iter().zip(&devices).enumerate() {
            assert_eq!(plan.return_path, ReturnPath::Routed);
            assert_eq!(v4(plan.engine).octets()[..3], [10, 83, 56 + i as u8]);
            let from = (v4(plan.engine), 40000);
            let mut client = Client { tun, from, to: (v4(SERVER), 7000), seq: 7, ack: 0 };
            client.converse(b"hello over a path");
        }
        set.undo().unwrap();
        set.undo().unwrap();
    })
    .unwrap();
    assert_no_trace(&lab, &before);
    let delta = counter_delta(&counters, &kernel_counters(&lab.netns("client").unwrap()).unwrap());
    assert_eq!(delta.get("TcpOutRsts"), None, "the kernel answered for us");
}

#[test]
fn translated_paths_pass_a_strict_filter() {
    let _alone = alone();
    const TEST: &str = "translated_paths_pass_a_strict_filter";
    if !require_root(TEST) || !require_tun(TEST) {
        return;
    }
    let lab = TestLab::up("nat", LabOptions { routed: false, ..LabOptions::default() });
    let there = lab.netns("server").unwrap();
    let bind = "0.0.0.0:7000".parse().unwrap();
    let _server = PeerServer::start(&there, bind, Protocol::Mptcp, Mode::Echo).unwrap();
    output(&lab, "client", &["sysctl", "-w", "net.ipv4.ip_forward=0"]);
    output(&lab, "client", &["sysctl", "-w", "net.ipv4.conf.all.rp_filter=1"]);
    output(&lab, "client", &["ip", "address", "add", "192.168.57.77/24", "dev", "eth2"]);
    let before = traces(&lab);
    lab.in_namespace("client", || {
        let specs = ["a=eth1", "b=eth2,local=192.168.57.77", "c=eth2"];
        let specs: Vec<_> = specs.iter().map(|s| s.parse().unwrap()).collect();
        let ways = resolve(SERVER, &specs).unwrap();
        assert_eq!(physical_paths(&ways), 2);
        let (set, devices) = setup(&ways).unwrap_or_else(|e| panic!("{e}"));
        set.verify(SERVER).unwrap_or_else(|e| panic!("{e}"));
        for (plan, tun) in set.paths().iter().zip(&devices) {
            assert_eq!(plan.return_path, ReturnPath::Masquerade);
            // The server's address on the same link: it asks for ours by ARP with the address it
            // answers from, and the strict filter drops a question from another link's network.
            let to = lab.path(&plan.egress.dev).unwrap().server;
            let from = (v4(plan.engine), 40000);
            let mut client = Client { tun, from, to: (to, 7000), seq: 7, ack: 0 };
            client.converse(b"hello through a translation");
        }
    })
    .unwrap();
    let ss = output(&lab, "server", &["ss", "-Htn", "state", "established", "( sport = :7000 )"]);
    for source in ["192.168.56.100:", "192.168.57.77:", "192.168.57.100:"] {
        assert!(ss.contains(source), "{source} not in\n{ss}");
    }
    assert_no_trace(&lab, &before);
}

#[test]
fn a_server_on_this_machine_needs_no_way_out() {
    let _alone = alone();
    const TEST: &str = "a_server_on_this_machine_needs_no_way_out";
    if !require_root(TEST) || !require_tun(TEST) {
        return;
    }
    let lab = TestLab::up("local", LabOptions::default());
    let here = lab.netns("client").unwrap();
    let dest: IpAddr = "192.168.56.100".parse().unwrap();
    let bind = "192.168.56.100:7000".parse().unwrap();
    let _server = PeerServer::start(&here, bind, Protocol::Tcp, Mode::Echo).unwrap();
    here.run(|| {
        let ways = discover(dest).unwrap();
        assert_eq!(ways[0].reach, Reach::Local);
        let (set, devices) = setup(&ways).unwrap();
        set.verify(dest).unwrap_or_else(|e| panic!("{e}"));
        let from = (v4(set.paths()[0].engine), 40000);
        Client { tun: &devices[0], from, to: (v4(dest), 7000), seq: 7, ack: 0 }.converse(b"near");
        let e = discover("127.0.0.1".parse().unwrap()).unwrap_err();
        assert_eq!(e.kind, ErrorKind::NoRoute);
    })
    .unwrap();
}

#[test]
fn sets_side_by_side_do_not_collide() {
    let _alone = alone();
    const TEST: &str = "sets_side_by_side_do_not_collide";
    if !require_root(TEST) || !require_tun(TEST) {
        return;
    }
    let lab = TestLab::up("many", LabOptions { routed: false, ..LabOptions::default() });
    output(&lab, "client", &["sysctl", "-w", "net.ipv4.ip_forward=0"]);
    let before = traces(&lab);
    let forwarding = || output(&lab, "client", &["sysctl", "-n", "net.ipv4.conf.eth1.forwarding"]);
    assert_eq!(forwarding().trim(), "0");
    lab.in_namespace("client", || {
        let way = &discover(SERVER).unwrap()[..1];
        let threads: Vec<_> = std::thread::scope(|scope| {
            let start = |_| scope.spawn(|| setup(way).unwrap_or_else(|e| panic!("{e}")));
            let all: Vec<_> = (0..4).map(start).collect();
            all.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let mut names: Vec<_> = threads.iter().map(|(s, _)| s.paths()[0].clone()).collect();
        names.sort_by(|a, b| a.tun.cmp(&b.tun));
        for pair in names.windows(2) {
            assert_ne!(pair[0].tun, pair[1].tun);
            assert!(!pair[0].subnet.overlaps(pair[1].subnet));
            assert_ne!(pair[0].table, pair[1].table);
        }
        let mut left: Vec<_> = threads.into_iter().collect();
        while let Some(one) = left.pop() {
            assert_eq!(forwarding().trim(), "1", "{} still need it", left.len() + 1);
            for (set, _) in left.iter().chain([&one]) {
                set.verify(SERVER).unwrap_or_else(|e| panic!("{e}"));
            }
            drop(one);
        }
    })
    .unwrap();
    assert_eq!(forwarding().trim(), "0", "the first value, not the second process' one");
    assert_no_trace(&lab, &before);
}

#[test]
fn a_path_whose_interface_is_down_does_not_slip_out_of_another() {
    let _alone = alone();
    const TEST: &str = "a_path_whose_interface_is_down_does_not_slip_out_of_another";
    if !require_root(TEST) || !require_tun(TEST) {
        return;
    }
    let lab = TestLab::up("slip", LabOptions::default());
    lab.in_namespace("client", || {
        let (set, _devices) = setup(&discover(SERVER).unwrap()).unwrap();
        lab.set_link("eth2", false).unwrap();
        let e = set.verify(SERVER).unwrap_err();
        assert!(e.message.contains("eth2"), "{e}");
        set.refresh().unwrap();
        assert!(set.verify(SERVER).is_err(), "still down");
        lab.set_link("eth2", true).unwrap();
        set.refresh().unwrap();
        set.verify(SERVER).unwrap_or_else(|e| panic!("{e}"));
    })
    .unwrap();
}

#[test]
fn the_same_in_ipv6() {
    let _alone = alone();
    const TEST: &str = "the_same_in_ipv6";
    if !require_root(TEST) || !require_tun(TEST) {
        return;
    }
    let lab = TestLab::up("v6", LabOptions::default());
    for (node, address) in [("client", "fd00:56::100/64"), ("server", "fd00:56::101/64")] {
        output(&lab, node, &["sysctl", "-w", "net.ipv6.conf.eth1.disable_ipv6=0"]);
        output(&lab, node, &["ip", "address", "add", address, "dev", "eth1", "nodad"]);
    }
    let show = || {
        let keys = ["net.ipv6.conf.all.forwarding", "net.ipv6.conf.eth1.accept_ra"];
        output(&lab, "client", &["ip", "-6", "rule"])
            + &output(&lab, "client", &["nft", "list", "tables"])
            + &output(&lab, "client", &[&["sysctl"][..], &keys].concat())
            + &output(&lab, "client", &["sh", "-c", "cat /proc/sys/net/ipv6/conf/eth1/*forw*"])
    };
    let before = show();
    let dest: IpAddr = "fd00:56::101".parse().unwrap();
    lab.in_namespace("client", || {
        let ways = discover(dest).unwrap();
        assert_eq!((ways.len(), ways[0].reach), (1, Reach::Connected));
        let options = PathOptions { dest: Some(dest), mtu: Some(1300), ..PathOptions::default() };
        let (set, _devices) = PathSet::setup(&ways, &options, open).unwrap();
        assert_eq!(set.paths()[0].return_path, ReturnPath::Masquerade, "the lab routes IPv4 only");
        set.verify(dest).unwrap_or_else(|e| panic!("{e}"));
        assert_ne!(show(), before);
    })
    .unwrap();
    assert_eq!(show(), before);
}

#[test]
fn failures_on_the_way_are_taken_back() {
    let _alone = alone();
    const TEST: &str = "failures_on_the_way_are_taken_back";
    if !require_root(TEST) || !require_tun(TEST) {
        return;
    }
    let lab = TestLab::up("fail", LabOptions::default());
    let before = traces(&lab);
    lab.in_namespace("client", || {
        let mut ways = discover(SERVER).unwrap();
        // A device that was not opened.
        let mut set = PathSet::plan(&ways, &PathOptions::default()).unwrap();
        let e = set.apply().unwrap_err();
        assert!(e.because.contains("has to be opened"), "{e}");
        drop(set);
        // An interface that went away in between.
        ways[2].dev = "gone".into();
        let e = setup(&ways).unwrap_err();
        assert!(e.because.contains("gone"), "{e}");
        assert_eq!(e.to_string().lines().count(), 3);
    })
    .unwrap();
    assert_no_trace(&lab, &before);
}

/// Not a test: the process that [`a_killed_process_is_cleaned_up_after`] kills.
#[test]
#[ignore = "started by another test"]
fn child_that_waits_to_be_killed() {
    if std::env::var_os("MPU_TEST_CHILD").is_none() {
        return;
    }
    let _held = setup(&discover(SERVER).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    println!("\nready");
    // Until it is killed, or its parent is gone. No `park`: looking into other namespaces takes scoped threads, and each
    // leaves this thread a token with which the next `park` returns at once.
    let _ = std::io::stdin().read(&mut [0]);
}

/// A child with paths, ready. It lives until it is killed or dropped.
fn child(lab: &Lab) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "paths::child_that_waits_to_be_killed", "--ignored", "--nocapture"])
        .env("MPU_TEST_CHILD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = lab.spawn("client", command).unwrap();
    let (mut seen, mut byte) = (String::new(), [0]);
    while !seen.contains("ready") {
        assert_eq!(child.stdout.as_mut().unwrap().read(&mut byte).unwrap(), 1, "{seen}");
        seen.push(char::from(byte[0]));
    }
    child
}

#[test]
fn a_killed_process_is_cleaned_up_after() {
    let _alone = alone();
    const TEST: &str = "a_killed_process_is_cleaned_up_after";
    if !require_root(TEST) || !require_tun(TEST) {
        return;
    }
    let lab = TestLab::up("kill", LabOptions { routed: false, ..LabOptions::default() });
    output(&lab, "client", &["sysctl", "-w", "net.ipv4.ip_forward=0"]);
    let before = traces(&lab);
    let (mut first, mut second) = (child(&lab), child(&lab));
    let both = traces(&lab);
    assert!(both.contains("mpu3"), "two sets side by side: {both}");
    first.kill().unwrap();
    first.wait().unwrap();

    // From the outside: the namespace has a name, so it is found.
    let done = recover().unwrap();
    let half = traces(&lab);
    let alive = second.try_wait();
    assert!(matches!(alive, Ok(None)), "the second child is no longer there: {alive:?}");
    let state = format!("{}\n{}\n{done:?}\n{half}", first.id(), second.id());
    assert!(!half.contains(&format!("mpuser-{}-", first.id())), "{state}");
    assert!(
        half.contains(&format!("mpuser-{}-", second.id())),
        "the living one is left alone: {state}"
    );
    assert!(half.contains("eth1.forwarding = 1"), "and what it needs: {state}");

    // From the inside: the next plan does it.
    second.kill().unwrap();
    second.wait().unwrap();
    lab.in_namespace("client", || {
        let set = PathSet::plan(&discover(SERVER).unwrap(), &PathOptions::default()).unwrap();
        // The plan of another process may have been faster.
        let died = format!("process {},", second.id());
        let ours = set.recovered().done.iter().filter(|r| r.contains(&died)).count();
        assert!(ours <= 1, "{:?}", set.recovered());
        assert_eq!(set.paths()[0].tun, "mpu0");
    })
    .unwrap();
    assert_no_trace(&lab, &before);
}
