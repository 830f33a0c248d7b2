//! What is said beside data, against the kernel and counted at both ends: MP_FAIL and infinite mappings, MP_FASTCLOSE,
//! MP_PRIO, REMOVE_ADDR and ADD_ADDR in the middle of a transfer, reasons of resets, data on SYNs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is the report")]

#[path = "interop_signals/early_data.rs"]
mod early_data;
#[path = "interop_signals/priorities.rs"]
mod priorities;

use mpuser_engine::addr::AddressId;
use mpuser_engine::config::{ConnectionConfig, EndpointFlags, FastCloseForm};
use mpuser_engine::counters::Counters;
use mpuser_engine::error::PeerReset;
use mpuser_engine::error::ResetReason::AdministrativelyProhibited;
use mpuser_engine::{Event, PmEndpoint, SubflowEnd};
use mpuser_tests::interop::{
    Data, ENGINE, Facts, Fixture, Peer, SERVER, Scenario, Setup, Table, Watch, established,
    main as run, sha256,
};
use mpuser_tun::lab::LabOptions;
use mpuser_tun::{MptcpListener, MptcpStream, OwnedWriteHalf, Stack};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "payload_damaged_on_its_way", run: damaged },
        Scenario { name: "connections_ended_at_once", run: fast_close },
        Scenario { name: "priorities_changed_in_the_middle", run: priorities::priorities },
        Scenario { name: "an_address_withdrawn_in_the_middle", run: withdrawn },
        Scenario { name: "reasons_of_resets", run: reasons },
        Scenario { name: "data_on_syns", run: early_data::early_data },
    ];
    run("signals", LabOptions { server_signal: false, ..LabOptions::default() }, &[], &scenarios)
}

const PORT: u16 = 7000;

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER, port)
}

fn ours(counters: &Counters, name: &str) -> u64 {
    let name = format!("MPTcpExt{name}");
    counters.iter().find(|(n, _)| *n == name).map(|(_, value)| value).unwrap()
}

/// The counters of these names that are not zero.
fn told(names: &[&str], value: impl Fn(&str) -> u64) -> String {
    let all = names.iter().map(|name| (name, value(name)));
    let moved = all.filter(|(_, value)| *value > 0).map(|(name, value)| format!("{name} {value}"));
    moved.collect::<Vec<_>>().join(", ")
}

async fn listen(stack: &Stack) -> MptcpListener {
    MptcpListener::bind(stack, (Ipv4Addr::UNSPECIFIED, PORT)).await.unwrap()
}

/// What a kernel client is told to do with our listener.
fn order(mode: &str, size: usize, seed: u64, more: Value) -> Value {
    let mut all = json!({
        "host": ENGINE, "port": PORT, "protocol": "mptcp", "mode": mode, "size": size, "seed": seed,
        "subflows": 0, "parallel": true,
    });
    let (Value::Object(all), Value::Object(more)) = (&mut all, more) else { unreachable!() };
    all.extend(more);
    json!(all)
}

/// The server announces its second address, so that connections get a second subflow; or it announces none.
fn announce(fixture: &Fixture, second: bool) {
    fixture.output("server", &["ip", "mptcp", "endpoint", "flush"]);
    let limits = ["ip", "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8"];
    fixture.output("server", &limits);
    if second {
        let argv = "ip mptcp endpoint add 192.168.57.101 id 1 dev eth2 signal";
        fixture.output("server", &argv.split(' ').collect::<Vec<_>>());
    }
}

const FAILURES: [&str; 7] = [
    "DataCsumErr",
    "MPFailTx",
    "MPFailRx",
    "InfiniteMapTx",
    "InfiniteMapRx",
    "DSSCorruptionFallback",
    "DSSCorruptionReset",
];
/// RSTs may cross.
const RESETS: [&str; 2] = ["MPRstTx", "MPRstRx"];
const DAMAGED_SIZE: usize = 1 << 20;
const DAMAGED_AT: usize = 200 << 10;

/// An octet damaged on path `path`, on its way up (from us) or down.
struct Damage {
    role: Role,
    up: bool,
    path: usize,
    /// Octets of the subflow before it.
    at: usize,
    got: &'static str,
    ours: &'static str,
    theirs: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Client,
    Listener,
}

fn damaged(fixture: &Fixture) {
    let title = "One octet of 1 MiB damaged on its way, TCP's checksum right, DSS checksums on";
    let columns =
        ["our role", "data goes", "subflows", "got", "our mode", "ours", "", "the kernel's", ""];
    let mut table = Table::new(title, &columns);
    let one = Damage {
        role: Role::Client,
        up: true,
        path: 0,
        at: DAMAGED_AT,
        // the kernel hands on what failed (K39)
        got: "damaged",
        ours: "MPFailTx 1, MPFailRx 1, InfiniteMapTx 1",
        theirs: "DataCsumErr 1, MPFailTx 1, MPFailRx 1, InfiniteMapRx 1",
    };
    // Not here: bulk data of a kernel that is to answer our MP_FAIL. Linux 6.18 leaves the infinite mapping out of its
    // segment size, so full segments with it are larger than the MTU and never leave (IpFragFails counts them, its
    // timer is `persist`). Without that mapping ours ends in a RST [FB-14].
    let of_two = Damage {
        path: 1,
        at: 20 << 10,
        got: "intact",
        ours: "MPFailRx 1",
        theirs: "DataCsumErr 1, MPFailTx 1",
        ..one
    };
    let down_of_two = Damage {
        up: false,
        ours: "DataCsumErr 1, MPFailTx 1, DSSCorruptionReset 1",
        theirs: "MPFailRx 1",
        ..of_two
    };
    let cases = [one, of_two, down_of_two];
    // On a quick path one subflow could carry all, and all of it be under way before the answer to the damage comes.
    for path in ["eth1", "eth2"] {
        fixture.lab().set_rate(path, Some(RATE)).unwrap();
    }
    for (case, seed) in cases.iter().zip(1..) {
        fixture.sysctl("server", "net/mptcp/checksum_enabled", "1");
        announce(fixture, case.path > 0);
        let way = if case.up { "fwd" } else { "back" };
        let at = case.at;
        let setup = Setup {
            boxes: vec![(case.path, format!("alg:flip,at={at},{way}"))],
            paths: case.path + 1,
            dead_subflows: true,
            ..Setup::default()
        };
        let mut setup = setup.checksum(true);
        // One subflow over the path, and no other once it was reset: that one would be damaged as well.
        setup.connection.join_announced = false;
        damage(fixture, &setup, case, seed, &mut table);
    }
    println!("{table}");
}

fn damage(fixture: &Fixture, setup: &Setup, case: &Damage, seed: u64, table: &mut Table) {
    let server = fixture.kernel_server();
    let client = fixture.peer("server", "client.py", "");
    let watch = Watch::start(fixture, "server");
    let subflows = case.path + 1;
    let data = Data::new(DAMAGED_SIZE, seed);
    fixture.client(setup, async |stack| {
        let (mut stream, peer) = if case.role == Role::Client {
            server.ask(DAMAGED_SIZE, seed, subflows);
            let port = if case.up { Peer::SINK } else { Peer::SOURCE };
            let stream = stack.connect(at(port)).await.unwrap();
            established(&stream, subflows).await;
            (stream, &server)
        } else {
            let listener = listen(stack).await;
            client.tell(&order("upload", DAMAGED_SIZE, seed, json!({})));
            (listener.accept().await.unwrap().0, &client)
        };
        let mut received = Vec::new();
        let work = async {
            if case.up {
                stream.write_all(&data.bytes).await?;
                stream.shutdown().await?;
            }
            stream.read_to_end(&mut received).await?;
            if !case.up {
                stream.write_all(sha256(&received).as_bytes()).await?;
            }
            stream.shutdown().await
        };
        let outcome = tokio::time::timeout(Duration::from_secs(5), work).await;
        let outcome = outcome.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        let info = stream.info().unwrap();
        if outcome.is_err() {
            stream.abort();
        }
        let report = peer.report_async().await;
        let counters = stack.counters();
        let fallback = info.fallback.map(|reason| format!("TCP, {reason:?}"));
        let got = match &outcome {
            Ok(()) => got(case, &data, &received, &report),
            Err(_) if received.len() <= case.at => "cut off before it",
            Err(e) => panic!("{e} {report:?} {info:#?}"),
        };
        let mine = told(&FAILURES, |name| ours(&counters, name));
        let theirs = told(&FAILURES, |name| watch.mptcp(name));
        let context = format!("{mine} / {theirs} {outcome:?} {report:?} {info:#?}");
        table.row(&[
            &format!("{:?}", case.role),
            &if case.up { "up" } else { "down" },
            &subflows,
            &got,
            &fallback.unwrap_or_else(|| "MPTCP".to_owned()),
            &mine,
            &told(&RESETS, |name| ours(&counters, name)),
            &theirs,
            &told(&RESETS, |name| watch.mptcp(name)),
        ]);
        assert_eq!(
            (got, mine.as_str(), theirs.as_str()),
            (case.got, case.ours, case.theirs),
            "{context}"
        );
    });
}

/// What the receiver got.
fn got(case: &Damage, data: &Data, received: &[u8], report: &Facts) -> &'static str {
    if case.up {
        let mut changed = data.bytes.clone();
        changed[case.at] ^= 0xFF;
        return match std::str::from_utf8(received).unwrap() {
            hash if hash == data.sha256 => "intact",
            hash if hash == sha256(&changed) => "damaged",
            _ => "something else",
        };
    }
    let sent = report.text("sent_sha256");
    let mut repaired = received.to_vec();
    repaired[case.at] ^= 0xFF;
    match () {
        () if sent == sha256(received) => "intact",
        () if sent == sha256(&repaired) => "damaged",
        () => "something else",
    }
}

fn fast_close(fixture: &Fixture) {
    let columns = ["ends it", "form", "our role", "the other end sees", "ours", "the kernel's"];
    let mut table = Table::new("Connections ended at once in the middle of a transfer", &columns);
    let names = ["MPFastcloseTx", "MPFastcloseRx", "MPRstTx", "MPRstRx"];
    let size = 8 << 20;
    announce(fixture, true);
    for form in [FastCloseForm::Ack, FastCloseForm::Reset] {
        for role in [Role::Client, Role::Listener] {
            let mut connection = ConnectionConfig::default();
            connection.behaviour.fast_close = form;
            let setup = Setup { connection, paths: 2, ..Setup::default() };
            let (server, client) =
                (fixture.kernel_server(), fixture.peer("server", "client.py", ""));
            let watch = Watch::start(fixture, "server");
            fixture.client(&setup, async |stack| {
                let listener = listen(stack).await;
                let (mut stream, peer) = if role == Role::Client {
                    let stream = stack.connect(at(Peer::SINK)).await.unwrap();
                    established(&stream, 2).await;
                    (stream, &server)
                } else {
                    client.tell(&order("download", 0, 1, json!({})));
                    (listener.accept().await.unwrap().0, &client)
                };
                stream.write_all(&vec![7; 1 << 20]).await.unwrap();
                stream.abort();
                let report = peer.report_async().await;
                let error = report.error().unwrap_or("an orderly end").to_owned();
                assert!(error.contains("reset"), "{form:?} {role:?}: {error}");
                assert!(watch.mptcp("MPFastcloseRx") >= 1, "{:#?}", watch.delta());
                let counters = stack.counters();
                let mine = told(&names, |name| ours(&counters, name));
                let theirs = told(&names, |name| watch.mptcp(name));
                let (form, role) = (format!("{form:?}"), format!("{role:?}"));
                table.row(&[&"us", &form, &role, &error, &mine, &theirs]);
            });
        }
    }
    for role in [Role::Client, Role::Listener] {
        let (server, client) = (fixture.kernel_server(), fixture.peer("server", "client.py", ""));
        let watch = Watch::start(fixture, "server");
        fixture.client(&Setup { paths: 2, ..Setup::default() }, async |stack| {
            let listener = listen(stack).await;
            let mut stream = if role == Role::Client {
                server.ask(1 << 20, 1, 2);
                let mut stream = stack.connect(at(Peer::RESET)).await.unwrap();
                established(&stream, 2).await;
                let _ = stream.write_all(&vec![7; size]).await;
                stream
            } else {
                client.tell(&order("reset", 1 << 20, 1, json!({})));
                listener.accept().await.unwrap().0
            };
            let mut all = Vec::new();
            let reading =
                tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut all));
            let error = reading.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            let counters = stack.counters();
            assert!(counters.mp_fastclose_rx >= 1, "{counters:#?}");
            let mine = told(&names, |name| ours(&counters, name));
            let theirs = told(&names, |name| watch.mptcp(name));
            let role = format!("{role:?}");
            table.row(&[&"the kernel", &"SO_LINGER 0", &role, &error, &mine, &theirs]);
        });
    }
    println!("{table}");
}

const RATE: &str = "50mbit";

/// `ip mptcp ...` at the kernel's end, with words between blanks.
async fn ip_mptcp(fixture: &Fixture, words: &str) {
    let ns = fixture.lab().netns("server").unwrap();
    let argv: Vec<String> = format!("ip mptcp {words}").split(' ').map(str::to_owned).collect();
    let run = move || ns.run(|| std::process::Command::new(&argv[0]).args(&argv[1..]).status());
    let status = tokio::task::spawn_blocking(run).await.unwrap().unwrap().unwrap();
    assert!(status.success(), "{words}");
}

const ADDRESSES: [&str; 6] =
    ["AddAddr", "EchoAddTx", "PortAdd", "RmAddr", "RmSubflow", "MPJoinAckRx"];
const MOVED: usize = 8 << 20;

/// We announce our second address, and the third with a port.
fn announce_ours(stack: &Stack) {
    let own: Vec<_> = stack.addresses().iter().map(|a| a.address).collect();
    let flags = EndpointFlags { signal: true, ..EndpointFlags::default() };
    for (index, port) in [(1, None), (2, Some(8_443))] {
        let id = Some(AddressId(10 + index as u8));
        stack.add_endpoint(PmEndpoint { address: own[index], id, port, flags }).unwrap();
    }
}

fn withdrawn(fixture: &Fixture) {
    let mut table = Table::new(
        format!("An address of ours withdrawn in the middle of {} MiB each way", MOVED >> 20),
        &["our role", "subflows before", "after", "equal by SHA-256", "what the kernel counted"],
    );
    announce(fixture, true);
    // so that a kernel client's joins find their way
    let rule = "ip rule add to 192.168.0.0/16 lookup main priority 100";
    fixture.output("client", &rule.split(' ').collect::<Vec<_>>());
    fixture.sysctl("client", "net/ipv4/ip_forward", "1");
    for role in [Role::Client, Role::Listener] {
        for path in ["eth1", "eth2", "eth3"] {
            fixture.lab().set_rate(path, Some(RATE)).unwrap();
        }
        let (server, client) = (fixture.kernel_server(), fixture.peer("server", "client.py", ""));
        let watch = Watch::start(fixture, "server");
        let subflows = if role == Role::Client { 2 } else { 3 };
        fixture.client(&Setup { paths: subflows, ..Setup::default() }, async |stack| {
            let (stream, peer) = if role == Role::Client {
                (stack.connect(at(Peer::ECHO)).await.unwrap(), &server)
            } else {
                announce_ours(stack);
                let listener = listen(stack).await;
                client.tell(&order("echo", MOVED, 3, json!({ "subflows": subflows })));
                (listener.accept().await.unwrap().0, &client)
            };
            established(&stream, subflows).await;
            let last = stream.subflows().into_iter().rfind(|s| s.state == "ESTAB").unwrap();
            let id = if role == Role::Client { last.ids.0 } else { AddressId(12) };
            let data = Data::new(MOVED, 3);
            let mut looks = Vec::new();
            let mut received = Vec::new();
            let (mut read, mut write) = stream.into_split();
            let alive = |write: &OwnedWriteHalf| {
                let info = write.as_ref().info().unwrap();
                info.subflows.iter().filter(|s| s.state == "ESTAB").count()
            };
            let sending = async {
                let (one, other) = data.bytes.split_at(MOVED / 2);
                write.write_all(one).await.unwrap();
                looks.push(alive(&write));
                stack.delete_endpoint(id).unwrap();
                write.write_all(other).await.unwrap();
                looks.push(alive(&write));
                write.shutdown().await.unwrap();
            };
            let _ = tokio::join!(sending, read.read_to_end(&mut received));
            let info = write.as_ref().info().unwrap();
            drop((read, write));
            let report = peer.report_async().await;
            let context = format!("{report:?} {info:#?} {:#?}", watch.delta());
            assert_eq!(report.error(), None, "{context}");
            assert_eq!(report.text("received_sha256"), data.sha256, "{context}");
            let theirs = if role == Role::Client {
                data.sha256.as_str()
            } else {
                report.text("sent_sha256")
            };
            assert_eq!(sha256(&received), theirs, "{context}");
            let counted = told(&ADDRESSES, |name| watch.mptcp(name));
            assert_eq!(looks, [subflows, subflows - 1], "{context}");
            // RFC 8684 3.4.2: nobody acknowledges it, so ours is repeated while the connection lasts; it removes once
            assert!((1..=3).contains(&watch.mptcp("RmAddr")), "{context}");
            assert_eq!(watch.mptcp("PortAdd"), u64::from(role == Role::Listener), "{context}");
            let role = format!("{role:?}");
            table.row(&[&role, &looks[0], &looks[1], &"yes", &counted]);
        });
    }
    fixture.output("client", &["ip", "rule", "del", "priority", "100"]);
    println!("{table}");
}

/// How the next subflow to end ends.
async fn end(stream: &MptcpStream) -> SubflowEnd {
    let mut events = stream.events();
    let search = async {
        loop {
            if let Event::SubflowClosed { cause, .. } = events.recv().await.unwrap() {
                return cause;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), search).await.unwrap()
}

fn reasons(fixture: &Fixture) {
    let columns = ["what", "our event", "ours", "", "the kernel's", ""];
    let mut table = Table::new("Why a subflow was reset", &columns);
    let prohibited = PeerReset { reason: AdministrativelyProhibited, transient: false };
    for (what, expected) in [
        ("the kernel's limit is 0", SubflowEnd::ResetByPeer(Some(prohibited))),
        ("the kernel deletes its endpoint", SubflowEnd::Finished),
        ("we close the subflow", SubflowEnd::Finished),
    ] {
        announce(fixture, true);
        if what == "the kernel's limit is 0" {
            fixture.output("server", &["ip", "mptcp", "limits", "set", "subflow", "0"]);
        }
        let server = fixture.kernel_server();
        let watch = Watch::start(fixture, "server");
        fixture.client(
            &Setup { paths: 2, dead_subflows: true, ..Setup::default() },
            async |stack| {
                let stream = stack.connect(at(Peer::SINK)).await.unwrap();
                if what != "the kernel's limit is 0" {
                    established(&stream, 2).await;
                }
                if what == "the kernel deletes its endpoint" {
                    ip_mptcp(fixture, "endpoint delete id 1").await;
                }
                if what == "we close the subflow" {
                    let second = stream.subflows().into_iter().find(|s| s.join).unwrap().id;
                    stream.remove_subflow(second).unwrap();
                }
                let event = end(&stream).await;
                assert_eq!(event, expected, "{what}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                let counters = stack.counters();
                table.row(&[
                    &what,
                    &format!("{event:?}"),
                    &told(&RESETS, |name| ours(&counters, name)),
                    &told(&ADDRESSES, |name| ours(&counters, name)),
                    &told(&RESETS, |name| watch.mptcp(name)),
                    &told(&ADDRESSES, |name| watch.mptcp(name)),
                ]);
                drop(stream);
                let _ = server.report_async().await;
            },
        );
    }
    println!("{table}");
}
