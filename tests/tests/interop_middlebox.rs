//! A handful of the middlebox cases with the kernel at the other end: its reaction is the second opinion. 1 MiB there
//! and back, in both roles.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is the report")]

use mpuser_engine::config::{ConnectionConfig, SchedulerSpec};
use mpuser_tests::interop::{
    Data, ENGINE, Facts, Fixture, Peer, SERVER, Scenario, Setup, Table, Watch, established,
    exchange, kernel_version, main as run, receive, send_all, sha256,
};
use mpuser_tun::lab::LabOptions;
use mpuser_tun::{MptcpListener, MptcpStream, clock};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "our_client_and_the_kernels_server", run: our_client },
        Scenario { name: "the_kernels_client_and_our_listener", run: our_listener },
        Scenario { name: "data_without_mappings_is_never_taken_twice", run: without_mappings },
        Scenario { name: "joined_segments_leave_all_bytes_or_an_error", run: joined_segments },
    ];
    run("middlebox", LabOptions { server_signal: false, ..LabOptions::default() }, &[], &scenarios)
}

const SIZE: usize = 1 << 20;
const PORT: u16 = 7000;

/// Boxes by path of ours, and whether it stays MPTCP; `None` where it may be either.
struct Case {
    id: &'static str,
    boxes: &'static [(usize, &'static str)],
    paths: usize,
    checksum: bool,
    mptcp: Option<bool>,
    /// What becomes of the second subflow before the data flows; with one path there is none.
    second: Second,
}

/// The second subflow.
#[derive(Clone, Copy, PartialEq)]
enum Second {
    /// It is established, and carries data.
    Joins,
    /// It is tried, and the boxes keep it from getting established.
    Fails,
}

const fn case(
    id: &'static str,
    boxes: &'static [(usize, &'static str)],
    mptcp: Option<bool>,
) -> Case {
    Case { id, boxes, paths: 1, checksum: false, mptcp, second: Second::Joins }
}

const fn two(case: Case, second: Second) -> Case {
    Case { paths: 2, second, ..case }
}

/// Cases of the first subflow, which both roles see. Not here: M09 for SYN/ACKs. To the SYN without the option a kernel
/// server answers with MP_CAPABLE for as long as it remembers the first one, so nobody gets through.
const BOTH: &[Case] = &[
    case("M01", &[(0, "strip-mptcp:syn")], Some(false)),
    case("M02", &[(0, "strip-mptcp:synack")], Some(false)),
    case("M03", &[(0, "strip-mptcp:third")], None),
    case("M04", &[(0, "strip-mptcp:nonsyn")], Some(false)),
    case("M09", &[(0, "drop-mptcp:syn")], Some(false)),
    case("M11", &[(0, "rst-mptcp:syn")], Some(false)),
    case("M12", &[(0, "mirror-mptcp")], Some(false)),
    case("M13", &[(0, "isn")], Some(true)),
    case("M16", &[(0, "split:size=400,all")], Some(true)),
    case("M17", &[(0, "split:size=400,first")], Some(true)),
    case("M14", &[(0, "isn:keep-sack")], Some(true)),
    // its server falls back where the first half of the first segment has no option (K24)
    case("M17b", &[(0, "split:size=400,last")], None),
    case("M25", &[(0, "hold")], Some(true)),
    case("M26", &[(0, "ack-unseen:drop")], Some(true)),
    case("M27", &[(0, "normalise")], Some(true)),
    case("M28", &[(0, "duplicate")], Some(true)),
    case("M29", &[(0, "reorder:by=64,p=2%")], Some(true)),
    case("M30", &[(0, "scrub")], Some(true)),
];

use Second::{Fails, Joins};

/// Cases of further subflows, and of changed data. Not here: M18 beside another subflow. Linux takes all of a joined
/// segment for data from where its mapping begins, and only then resets the subflow (DSSCorruptionReset); its
/// application reads the octets behind the mapping in a wrong place, with DSS checksums, too.
const CLIENT: &[Case] = &[
    two(case("M05b", &[(1, "strip-mptcp:data,dss")], Some(true)), Joins),
    two(case("M06b", &[(1, "strip-mptcp:ack,dss")], Some(true)), Joins),
    two(case("M07", &[(1, "strip-mptcp:syn,join")], Some(true)), Fails),
    two(case("M07b", &[(1, "strip-mptcp:synack,join")], Some(true)), Fails),
    two(case("M15b", &[(1, "nat:rebind-after=64k")], Some(true)), Joins),
    two(case("M07c", &[(1, "strip-mptcp:third,join")], Some(true)), Fails),
    two(case("M19b", &[(1, "coalesce:last,max=1400")], Some(true)), Joins),
    two(case("M20b", &[(1, "ack-ahead")], Some(true)), Joins),
    two(case("M21", &[(1, "ack-ahead:restart=64k")], Some(true)), Joins),
    two(case("M31c", &[(1, "strip-mptcp:fwd,from=64k")], Some(true)), Joins),
    two(case("M32", &[(1, "splitter")], Some(true)), Fails),
    Case { checksum: true, ..case("M22", &[(0, "alg:shorter=3,at=100k")], None) },
    Case { checksum: true, ..two(case("M24c", &[(1, "alg:longer=12,at=20k")], Some(true)), Joins) },
    Case { checksum: true, ..two(case("M22b", &[(1, "alg:shorter=3,at=20k")], Some(true)), Joins) },
];

/// Cases that a kernel client makes impossible, and why.
const NOT_WITH_KERNEL_CLIENTS: [(&str, &str); 1] =
    [("M11", "a kernel client that is refused does not try again without the option")];

/// Retransmissions of the SYN in [`unheard`]: one more than newer kernels send with the option.
const SYN_RETRIES: u64 = 3;

/// Cases in which mappings are lost for good. The kernel never learns of a silent fallback of ours and sends its data
/// again (K30), nor do we learn of its own: the data is intact, or both see an error.
const WITHOUT_MAPPINGS: &[Case] = &[
    case("M05", &[(0, "strip-mptcp:data,dss")], None),
    case("M05c", &[(0, "strip-mptcp:back,data,dss")], None),
    case("M31", &[(0, "strip-mptcp:fwd,from=256k")], None),
    case("M31b", &[(0, "strip-mptcp:back,from=256k")], None),
];

/// Segments of several mappings are joined, and the options of one of them are kept. The kernel falls back without a
/// word (K24), loses data that its TCP acknowledged, and would take what came again for new data.
const JOINED: &[Case] = &[
    case("M18", &[(0, "coalesce:first,max=1400")], None),
    case("M19", &[(0, "coalesce:last,max=1400")], None),
];
/// With it joined segments are small enough for the network behind the box.
const JOINED_MTU: u32 = 700;
const JOINED_SIZE: usize = 8 << 20;

const COLUMNS: [&str; 8] =
    ["case", "boxes", "paths", "mode", "data", "s", "kernel fell back", "kernel counted"];

fn setup(case: &Case, seed: u64) -> Setup {
    let boxes = case.boxes.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    let mut connection =
        ConnectionConfig { checksum: case.checksum, ..ConnectionConfig::default() };
    if case.paths > 1 {
        // On a short path one subflow could carry it all.
        connection.scheduler = SchedulerSpec::parse("rr").expect("rr");
    }
    let joins = case.boxes.iter().any(|(_, text)| text.starts_with("coalesce"));
    let mtu = joins.then_some(JOINED_MTU);
    let (paths, dead_subflows) = (case.paths, true);
    Setup { boxes, seed, connection, paths, dead_subflows, mtu, ..Setup::default() }
}

fn names(case: &Case) -> String {
    let one = |(path, text): &(usize, &str)| format!("{path}:{text}");
    case.boxes.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Octets that go there and back before anything else where there are two paths.
const PRELUDE: usize = 16;

/// Waits until the second subflow has come as far as the case lets it. A client joins when it has seen a DSS [INI-16],
/// and a kernel that announces no address sends the first one with data.
async fn second_subflow(case: &Case, stream: &mut MptcpStream, prelude: &[u8]) {
    if case.paths > 1 {
        let mut echo = [0; PRELUDE];
        stream.write_all(prelude).await.unwrap();
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, prelude, "{}", case.id);
    }
    let failed = || stream.info().unwrap().subflows.iter().any(|s| s.join && s.state == "CLOSED");
    match case.second {
        _ if case.paths < 2 => {}
        Joins => established(stream, 2).await,
        Fails => {
            let end = tokio::time::Instant::now() + Duration::from_secs(10);
            while !failed() {
                assert!(tokio::time::Instant::now() < end, "{}: {:#?}", case.id, stream.info());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// The kernel's counters of fallback and trouble that moved.
fn troubles(watch: &Watch<'_>) -> (u64, String) {
    let delta = watch.delta();
    let fallbacks = delta.iter().filter(|(name, _)| {
        name.starts_with("MPTcpExt") && name.contains("Fallback") || name.ends_with("InfiniteMapRx")
    });
    let words = ["Fallback", "DSS", "Csum", "Infinite", "MPFail", "Rst", "MPCapableACKRX"];
    let told = delta.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("MPTcpExt")?;
        words.iter().any(|word| name.contains(word)).then(|| format!("{name} {value}"))
    });
    (fallbacks.map(|(_, value)| value).sum(), told.collect::<Vec<_>>().join(", "))
}

/// One mode at both ends, and the one that was expected. Old kernels do not count all of their fallbacks; the socket tells.
fn assert_mode(case: &Case, ours: bool, kernels: &Facts, fallbacks: u64, context: &str) {
    if let Some(expected) = case.mptcp {
        assert_eq!(ours, expected, "{context}: our mode");
    }
    let kernels = kernels.0.get("mptcp").and_then(Value::as_bool);
    assert_eq!(kernels, Some(ours), "{context}: the kernel's mode");
    assert!(fallbacks == 0 || !ours, "{context}: {fallbacks} fallbacks");
}

fn our_client(fixture: &Fixture) {
    let title = "1 MiB and its echo, our client, the kernel's server, boxes at our end";
    let mut table = Table::new(title, &COLUMNS);
    for (case, seed) in BOTH.iter().chain(CLIENT).zip(1..) {
        fixture.sysctl(
            "server",
            "net/mptcp/checksum_enabled",
            if case.checksum { "1" } else { "0" },
        );
        let server = fixture.kernel_server();
        let watch = Watch::start(fixture, "server");
        fixture.client(&setup(case, seed), async |stack| {
            let data = Data::new(SIZE, seed);
            let start = clock::now();
            let mut stream = stack.connect(SocketAddr::new(SERVER, Peer::ECHO)).await.unwrap();
            let (prelude, rest) = data.bytes.split_at(if case.paths > 1 { PRELUDE } else { 0 });
            second_subflow(case, &mut stream, prelude).await;
            let (len, hash) = exchange(&mut stream, rest).await;
            let seconds = clock::now().saturating_since(start).as_secs_f64();
            let info = stream.info().unwrap();
            drop(stream);
            let report = server.report_async().await;
            let (fallbacks, told) = troubles(&watch);
            let context = format!("{}: {report:?} {told}\n{info:#?}", case.id);
            let (before, after) = data.bytes.split_at(100 << 10);
            let changed = sha256(&[before, &after[3..]].concat());
            let changed = case.id == "M22" && hash == changed;
            assert!(hash == sha256(rest) || changed, "{context}: {len} bytes came back");
            assert_eq!(report.error(), None, "{context}");
            assert_mode(case, info.mptcp, &report, fallbacks, &context);
            let carried = info.subflows.iter().filter(|s| s.join).map(|s| s.bytes_sent).max();
            let used = case.paths > 1 && case.second == Joins;
            assert!(!used || carried > Some(0), "{context}: nothing on the second subflow");
            let mode = if info.mptcp { "MPTCP" } else { "TCP" };
            let how = if changed { "as the box changed it" } else { "intact" };
            let seconds = format!("{seconds:.2}");
            table.row(&[
                &case.id,
                &names(case),
                &case.paths,
                &mode,
                &how,
                &seconds,
                &fallbacks,
                &told,
            ]);
        });
    }
    println!("{table}");
}

/// The command to the kernel's client.
fn upload(seed: u64) -> Value {
    json!({
        "host": ENGINE, "port": PORT, "protocol": "mptcp", "mode": "upload", "size": SIZE,
        "seed": seed, "subflows": 0,
    })
}

/// The client's connection. A client that gave up is the failure, rather than a wait without end.
async fn accepted(case: &Case, listener: &MptcpListener, client: &Peer) -> MptcpStream {
    tokio::select! {
        biased;
        accepted = listener.accept() => accepted.unwrap().0,
        report = client.report_async() => panic!("{}: not accepted: {report:?}", case.id),
    }
}

/// M09 with a kernel client before 6.12, which leaves the option out of none of its SYNs (newer ones do, K13): the box
/// drops them all until the client gives up, and its application is told. What the kernel counted.
fn unheard(fixture: &Fixture, case: &Case, seed: u64) -> String {
    let retries = "net/ipv4/tcp_syn_retries";
    let before = fixture.output("server", &["cat", &format!("/proc/sys/{retries}")]);
    fixture.sysctl("server", retries, &SYN_RETRIES.to_string());
    let client = fixture.peer("server", "client.py", "");
    let watch = Watch::start(fixture, "server");
    fixture.client(&setup(case, seed), async |stack| {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let listener = MptcpListener::bind(stack, any).await.unwrap();
        client.tell(&upload(seed));
        let report = tokio::select! {
            biased;
            _ = listener.accept() => panic!("{}: a SYN without the option came", case.id),
            report = client.report_async() => report,
        };
        let told = report.error().unwrap_or_default();
        assert!(told.contains("Connection timed out"), "{}: {report:?}", case.id);
    });
    fixture.sysctl("server", retries, before.trim());
    let retransmitted = watch.delta().get("TcpExtTCPSynRetrans").copied();
    assert_eq!(retransmitted, Some(SYN_RETRIES), "{}: {:#?}", case.id, watch.delta());
    format!("TCPSynRetrans {SYN_RETRIES}")
}

fn our_listener(fixture: &Fixture) {
    let title = "1 MiB each way, the kernel's client, our listener, boxes at our end";
    let mut table = Table::new(title, &COLUMNS);
    // M09 would make everything after it plain TCP (K13), with kernels that leave the option out and remember
    let leaves_out = kernel_version() >= (6, 12);
    if leaves_out {
        fixture.sysctl("server", "net/mptcp/blackhole_timeout", "0");
    }
    for (case, seed) in BOTH.iter().zip(1..) {
        if let Some((_, why)) = NOT_WITH_KERNEL_CLIENTS.iter().find(|(id, _)| *id == case.id) {
            table.row(&[&case.id, &names(case), &1, &"not run", why, &"", &"", &""]);
            continue;
        }
        if case.id == "M09" && !leaves_out {
            let told = unheard(fixture, case, seed);
            table.row(&[
                &case.id,
                &names(case),
                &1,
                &"none",
                &"the client gives up",
                &"",
                &"",
                &told,
            ]);
            continue;
        }
        let client = fixture.peer("server", "client.py", "");
        let watch = Watch::start(fixture, "server");
        fixture.client(&setup(case, seed), async |stack| {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
            let listener = MptcpListener::bind(stack, any).await.unwrap();
            let start = clock::now();
            client.tell(&upload(seed));
            let mut stream = accepted(case, &listener, &client).await;
            let (_, hash) = receive(&mut stream).await;
            send_all(&mut stream, hash.as_bytes()).await;
            let seconds = clock::now().saturating_since(start).as_secs_f64();
            let info = stream.info().unwrap();
            drop(stream);
            let report = client.report_async().await;
            let (fallbacks, told) = troubles(&watch);
            let context = format!("{}: {report:?} {told}\n{info:#?}", case.id);
            assert_eq!(report.error(), None, "{context}");
            assert_eq!(report.text("sent_sha256"), hash, "{context}");
            assert_eq!(report.text("answer"), hash, "{context}");
            assert_mode(case, info.mptcp, &report, fallbacks, &context);
            let mode = if info.mptcp { "MPTCP" } else { "TCP" };
            let seconds = format!("{seconds:.2}");
            table.row(&[
                &case.id,
                &names(case),
                &case.paths,
                &mode,
                &"intact",
                &seconds,
                &fallbacks,
                &told,
            ]);
        });
    }
    println!("{table}");
}

/// What comes to the end, or to an error, which ends it as well.
async fn all_of(mut from: impl AsyncRead + Unpin) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), from.read_to_end(&mut bytes)).await;
    (bytes, read.expect("an end in time").is_ok())
}

/// Sends everything and the end, or as much as goes, and reads meanwhile as [`all_of`] does.
async fn all_sent(stream: &mut MptcpStream, bytes: &[u8]) -> (Vec<u8>, bool) {
    let (read, mut write) = stream.split();
    let send = async {
        write.write_all(bytes).await?;
        write.shutdown().await
    };
    let (_, got) = tokio::join!(send, all_of(read));
    got
}

/// Everything, or an error and the begin of it.
fn assert_prefix(case: &Case, data: &Data, (bytes, complete): &(Vec<u8>, bool)) -> String {
    assert!(data.bytes.starts_with(bytes), "{}: {} bytes, not those sent", case.id, bytes.len());
    assert!(!complete || bytes.len() == data.bytes.len(), "{}: the end came too early", case.id);
    if *complete { "intact".to_owned() } else { format!("error after {} bytes", bytes.len()) }
}

fn without_mappings(fixture: &Fixture) {
    let mut table = Table::new("1 MiB, and mappings are lost", &["case", "we are", "data", "s"]);
    for (case, seed) in WITHOUT_MAPPINGS.iter().zip(1..) {
        let mut setup = setup(case, seed);
        setup.connection.close_timeout = mpuser_engine::time::Duration::from_secs(2);
        let data = Data::new(SIZE, seed);
        let server = fixture.kernel_server();
        fixture.client(&setup, async |stack| {
            let start = clock::now();
            let mut stream = stack.connect(SocketAddr::new(SERVER, Peer::ECHO)).await.unwrap();
            let got = all_sent(&mut stream, &data.bytes).await;
            let what = assert_prefix(case, &data, &got);
            let seconds = clock::now().saturating_since(start).as_secs_f64();
            table.row(&[&case.id, &"client", &what, &format!("{seconds:.2}")]);
        });
        drop(server);
        if case.id == "M05c" {
            continue;
        }
        let client = fixture.peer("server", "client.py", "");
        fixture.client(&setup, async |stack| {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
            let listener = MptcpListener::bind(stack, any).await.unwrap();
            client.tell(&upload(seed));
            let start = clock::now();
            let mut stream = accepted(case, &listener, &client).await;
            let (bytes, complete) = all_of(&mut stream).await;
            assert!(bytes.len() <= SIZE, "{}: {} bytes", case.id, bytes.len());
            let what = if complete {
                send_all(&mut stream, sha256(bytes.as_slice()).as_bytes()).await;
                let report = client.report_async().await;
                assert_eq!(report.text("sent_sha256"), sha256(bytes.as_slice()), "{}", case.id);
                "intact".to_owned()
            } else {
                format!("error after {} bytes", bytes.len())
            };
            let seconds = clock::now().saturating_since(start).as_secs_f64();
            table.row(&[&case.id, &"listener", &what, &format!("{seconds:.2}")]);
        });
    }
    println!("{table}");
}

/// What the kernel's application got: the begin of what was sent, and all of it unless it was told of an error.
fn got(case: &Case, data: &Data, report: &Facts) -> String {
    let len = usize::try_from(report.number("received")).unwrap();
    let error = report.error();
    let context = format!("{}: {len} bytes, {error:?}", case.id);
    let begin = data.bytes.get(..len).expect("no more than was sent");
    assert_eq!(report.text("received_sha256"), sha256(begin), "{context}: not those sent");
    assert!(len == data.bytes.len() || error.is_some(), "{context}: the end came too early");
    if len == data.bytes.len() { "intact".to_owned() } else { format!("error after {len} bytes") }
}

fn joined_segments(fixture: &Fixture) {
    let title = "8 MiB to the kernel, segments joined on their way";
    let mut table = Table::new(title, &["case", "we are", "its reader", "it got", "s"]);
    for (case, seed) in JOINED.iter().zip(1..) {
        let mut setup = setup(case, seed);
        setup.connection.close_timeout = mpuser_engine::time::Duration::from_secs(2);
        let data = Data::new(JOINED_SIZE, seed);
        let server = fixture.kernel_server();
        fixture.client(&setup, async |stack| {
            let start = clock::now();
            let mut stream = stack.connect(SocketAddr::new(SERVER, Peer::SINK)).await.unwrap();
            all_sent(&mut stream, &data.bytes).await;
            drop(stream);
            let what = got(case, &data, &server.report_async().await);
            let seconds = clock::now().saturating_since(start).as_secs_f64();
            table.row(&[&case.id, &"client", &"at once", &what, &format!("{seconds:.2}")]);
        });
        // A reader that waits, with a small buffer: octets without a mapping stay unseen for a while.
        for (how, buffer, pause) in [("at once", None, 0), ("slow", Some(4_000), 2)] {
            let client = fixture.peer("server", "client.py", "");
            fixture.client(&setup, async |stack| {
                let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
                let listener = MptcpListener::bind(stack, any).await.unwrap();
                client.tell(&json!({
                    "host": ENGINE, "port": PORT, "protocol": "mptcp", "mode": "download",
                    "size": 0, "seed": seed, "subflows": 0, "receive_buffer": buffer,
                    "pause": pause,
                }));
                let start = clock::now();
                let mut stream = accepted(case, &listener, &client).await;
                all_sent(&mut stream, &data.bytes).await;
                drop(stream);
                let what = got(case, &data, &client.report_async().await);
                let seconds = clock::now().saturating_since(start).as_secs_f64();
                table.row(&[&case.id, &"listener", &how, &what, &format!("{seconds:.2}")]);
            });
        }
    }
    println!("{table}");
}
