//! What happens to connections on the way: paths cut, links taken down, addresses withdrawn, ends closed one by one,
//! resets, refusals, plain TCP; and many connections at once. The peer is the kernel.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is the report"
)]

use mpuser_engine::Event;
use mpuser_engine::error::FallbackReason;
use mpuser_tests::interop::{
    Data, ENGINE, Fixture, Peer, SERVER, Scenario, Setup, Table, Watch, assert_engine_content,
    established, exchange, main as run, receive, send_all, sha256, upload,
};
use mpuser_tun::lab::{Lab, LabOptions};
use mpuser_tun::{MptcpListener, MptcpStream, Stack, clock};
use serde_json::json;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "a_path_lost_in_the_middle", run: lost_paths },
        Scenario { name: "an_address_withdrawn_and_announced_again", run: addresses },
        Scenario { name: "ends_close_one_by_one", run: half_close },
        Scenario { name: "resets", run: resets },
        Scenario { name: "nobody_there", run: nobody },
        Scenario { name: "plain_tcp_servers", run: plain },
        Scenario { name: "many_short_connections", run: short },
        Scenario { name: "parallel_connections", run: parallel },
    ];
    run("events", LabOptions::default(), &[], &scenarios)
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER, port)
}

/// A change of the lab, made without holding up the stack's own thread.
async fn change(
    lab: &Lab,
    what: impl FnOnce(&Lab) -> mpuser_tun::net::Result<()> + Send + 'static,
) {
    let lab = lab.clone();
    tokio::task::spawn_blocking(move || what(&lab))
        .await
        .unwrap()
        .unwrap_or_else(|e| panic!("{e}"));
}

/// Does `work` while looking how long the connection stands still: no byte acknowledged or received.
async fn watched<T>(
    stream: &MptcpStream,
    longest: &mut Duration,
    work: impl Future<Output = T>,
) -> T {
    let progress = || stream.info().map(|i| (i.bytes_acked, i.bytes_received));
    let (mut last, mut since) = (progress(), clock::now());
    let looking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let now = clock::now();
            *longest = (*longest).max(now.saturating_since(since));
            if progress() != last {
                (last, since) = (progress(), now);
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = looking => unreachable!("it looks for ever"),
    }
}

async fn write_all(stream: &MptcpStream, mut data: &[u8]) {
    while !data.is_empty() {
        stream.writable().await.unwrap();
        match stream.try_write(data) {
            Ok(count) => data = &data[count..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => panic!("{e}: {:#?}", stream.info()),
        }
    }
}

async fn read_to_end(stream: &MptcpStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut buffer) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => panic!("{e}: {:#?}", stream.info()),
        }
    }
}

const CUT_SIZE: usize = 24 << 20;
/// So that a transfer takes a good second.
const RATE: &str = "100mbit";

fn lost_paths(fixture: &Fixture) {
    let columns =
        ["loss of", "by", "way", "equal by SHA-256", "s", "longest stall ms", "reinjected bytes"];
    let title =
        format!("{} MiB over three paths of {RATE} each, one lost after a third", CUT_SIZE >> 20);
    let mut table = Table::new(title, &columns);
    let server = fixture.kernel_server();
    for (number, (dev, down)) in
        [("eth1", false), ("eth3", false), ("eth1", true), ("eth2", true)].into_iter().enumerate()
    {
        for up in [true, false] {
            for path in ["eth1", "eth2", "eth3"] {
                fixture.lab().set_rate(path, Some(RATE)).unwrap();
            }
            let data = Data::new(CUT_SIZE, number as u64);
            server.ask(CUT_SIZE, number as u64, 3);
            let setup = Setup { dead_subflows: true, ..Setup::default() };
            let row = fixture.client(&setup, async |stack| {
                lose(fixture.lab(), stack, &server, dev, down, up, &data).await
            });
            fixture.lab().restore().unwrap();
            let (seconds, longest, again) = row;
            let by = if down { "link down" } else { "silent drop" };
            let stall = format!("{:.0}", longest.as_secs_f64() * 1e3);
            let way = if up { "up" } else { "down" };
            table.row(&[&dev, &by, &way, &"yes", &format!("{seconds:.2}"), &stall, &again]);
        }
    }
    println!("{table}");
}

async fn lose(
    lab: &Lab,
    stack: &Stack,
    server: &Peer,
    dev: &'static str,
    down: bool,
    up: bool,
    data: &Data,
) -> (f64, Duration, u64) {
    let mut stream = stack.connect(at(if up { Peer::SINK } else { Peer::SOURCE })).await.unwrap();
    if up {
        established(&stream, 3).await;
    }
    let (start, mut longest) = (clock::now(), Duration::ZERO);
    // A third of the data has passed by then.
    let cut = async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        change(lab, move |lab| if down { lab.set_link(dev, false) } else { lab.cut(dev, true) })
            .await;
    };
    let hash = if up {
        let work = watched(&stream, &mut longest, write_all(&stream, &data.bytes));
        tokio::join!(work, cut);
        stream.shutdown().await.unwrap();
        let answer = watched(&stream, &mut longest, read_to_end(&stream)).await;
        String::from_utf8(answer).unwrap()
    } else {
        let work = watched(&stream, &mut longest, read_to_end(&stream));
        sha256(&tokio::join!(work, cut).0)
    };
    let seconds = clock::now().saturating_since(start).as_secs_f64();
    let info = stream.info().unwrap();
    drop(stream);
    let report = server.report_async().await;
    let context = format!("{dev}, down {down}, up {up}: {report:?}\n{info:#?}");
    assert_eq!(report.error(), None, "{context}");
    assert_eq!(hash, report.text(if up { "received_sha256" } else { "sent_sha256" }), "{context}");
    assert!(!up || hash == data.sha256, "{context}");
    (seconds, longest, info.bytes_retrans)
}

const ANNOUNCED: &[&str] = &["add", "192.168.57.101", "id", "1", "dev", "eth2", "signal"];

/// `ip mptcp endpoint` at the server.
fn endpoint(words: &'static [&str]) -> impl FnOnce(&Lab) -> mpuser_tun::net::Result<()> + Send {
    move |lab| {
        let argv = [&["ip", "mptcp", "endpoint"], words].concat();
        let status = lab.exec("server", &argv)?;
        assert!(status.success(), "{words:?}");
        Ok(())
    }
}

fn addresses(fixture: &Fixture) {
    let mut table = Table::new(
        "The server withdraws an address and announces it again",
        &["moment", "event", "subflows"],
    );
    let _server = fixture.kernel_server();
    for path in ["eth1", "eth2", "eth3"] {
        fixture.lab().set_rate(path, Some(RATE)).unwrap();
    }
    let (data, lab) = (Data::new(CUT_SIZE, 5), fixture.lab());
    let watch = Watch::start(fixture, "server");
    fixture.client(&Setup::default(), async |stack| {
        let mut stream = stack.connect(at(Peer::SINK)).await.unwrap();
        established(&stream, 3).await;
        let mut events = stream.events();
        let alive =
            |stream: &MptcpStream| stream.subflows().iter().filter(|s| s.state == "ESTAB").count();
        let story = async {
            change(lab, endpoint(&["delete", "id", "1"])).await;
            // The kernel's RST comes on the subflow itself, its REMOVE_ADDR on another path: in any order. Our address that
            // is free again may join another of the server's at any time after it.
            let (mut removed, mut closed, mut opened) = (false, None, None);
            while !removed || closed.is_none() {
                match expect(&mut events, is_change).await {
                    Event::AddressRemoved { .. } => removed = true,
                    event @ Event::SubflowClosed { .. } => closed = Some(event),
                    event @ Event::SubflowEstablished { .. } => opened = Some(event),
                    _ => {}
                }
            }
            let closed = closed.unwrap();
            let left = alive(&stream);
            change(lab, endpoint(ANNOUNCED)).await;
            let mut announced = false;
            // What was opened first may be a subflow of the beginning, of which is told late.
            while !announced || opened.is_none() || alive(&stream) < 3 {
                match expect(&mut events, is_news).await {
                    Event::AddressAnnounced { .. } => announced = true,
                    event => opened = Some(event),
                }
            }
            let opened = opened.unwrap();
            (closed, left, opened, alive(&stream))
        };
        let (story, ()) = tokio::join!(story, write_all(&stream, &data.bytes));
        table.row(&[&"REMOVE_ADDR", &format!("{:?}", story.0), &story.1]);
        table.row(&[&"ADD_ADDR", &format!("{:?}", story.2), &story.3]);
        stream.shutdown().await.unwrap();
        let answer = read_to_end(&stream).await;
        assert_eq!(String::from_utf8(answer).unwrap(), data.sha256, "{:#?}", stream.info());
        // A local address that is free again may have joined the first address meanwhile.
        assert!(story.1 >= 2 && story.3 >= 3, "{:#?}", stream.info());
    });
    watch.assert_no_fault("addresses");
    println!("{table}");
}

const fn is_news(event: &Event) -> bool {
    matches!(event, Event::AddressAnnounced { .. } | Event::SubflowEstablished { .. })
}

const fn is_change(event: &Event) -> bool {
    matches!(event, Event::AddressRemoved { .. } | Event::SubflowClosed { .. }) || is_news(event)
}

/// The next event of this kind.
async fn expect(events: &mut mpuser_tun::Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let search = async {
        loop {
            match events.recv().await {
                Some(event) if wanted(&event) => return event,
                Some(_) => {}
                None => panic!("the connection is over"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), search).await.expect("no such event within 5 s")
}

fn half_close(fixture: &Fixture) {
    let mut table = Table::new(
        "Ends that close one after the other",
        &["first to close", "bytes", "equal by SHA-256"],
    );
    let server = fixture.kernel_server();
    fixture.client(&Setup::default(), async |stack| {
        for size in [0, 1, 1421, 1 << 20, 8 << 20] {
            let data = Data::new(size, 9);
            // Ours: the kernel answers when it has all.
            let mut stream = stack.connect(at(Peer::STORE)).await.unwrap();
            established(&stream, 3).await;
            send_all(&mut stream, &data.bytes).await;
            let back = receive(&mut stream).await;
            assert_eq!(back, (size, data.sha256.clone()), "{size}: {:#?}", stream.info());
            drop(stream);
            assert_eq!(server.report_async().await.error(), None);
            table.row(&[&"ours", &size, &"yes"]);
            // Theirs: it has closed its end when we begin.
            server.ask(size, 9, 3);
            let mut stream = stack.connect(at(Peer::SOURCE)).await.unwrap();
            let (_, hash) = receive(&mut stream).await;
            send_all(&mut stream, &data.bytes).await;
            let report = server.report_async().await;
            assert_eq!(hash, report.text("sent_sha256"), "{size}: {:#?}", stream.info());
            assert_eq!(data.sha256, report.text("received_sha256"), "{size}: {:#?}", stream.info());
            table.row(&[&"the kernel's", &size, &"yes"]);
        }
        assert_engine_content(&stack.counters(), "half close");
    });
    println!("{table}");
}

fn resets(fixture: &Fixture) {
    let mut table = Table::new(
        "Resets in the middle of a transfer",
        &["by", "what the other end sees", "MP_FASTCLOSE"],
    );
    let server = fixture.kernel_server();
    fixture.client(&Setup::default(), async |stack| {
        let data = Data::new(64 << 20, 2);
        server.ask(4 << 20, 2, 3);
        let mut stream = stack.connect(at(Peer::RESET)).await.unwrap();
        established(&stream, 3).await;
        let writing = tokio::time::timeout(Duration::from_secs(10), stream.write_all(&data.bytes));
        let error = writing.await.expect("the reset was not noticed").expect_err("it was taken in");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        let counted = stack.counters().mp_fastclose_rx;
        assert!(counted >= 1, "{:#?}", stack.counters());
        table.row(&[&"the kernel", &error, &format!("{counted} received")]);
        let _ = server.report_async().await;
        drop(stream);

        let watch = Watch::start(fixture, "server");
        let stream = stack.connect(at(Peer::SINK)).await.unwrap();
        established(&stream, 3).await;
        write_all(&stream, &data.bytes[..1 << 20]).await;
        stream.abort();
        let report = server.report_async().await;
        let error = report.error().expect("the kernel took it for an orderly end").to_owned();
        let counted = watch.mptcp("MPFastcloseRx");
        assert!(counted >= 1, "{:#?}", watch.delta());
        table.row(&[&"us", &error, &format!("{counted} received by the kernel")]);
    });
    println!("{table}");
}

fn nobody(fixture: &Fixture) {
    let mut table = Table::new("Nobody there", &["what", "error kind", "error", "ms"]);
    fixture.client(&Setup::default(), async |stack| {
        let cases = [
            ("a port nobody listens on", "192.168.56.101:9", ErrorKind::ConnectionRefused),
            ("an address nobody answers ARP for", "192.168.56.77:7001", ErrorKind::HostUnreachable),
        ];
        for (what, address, kind) in cases {
            let start = clock::now();
            let address: SocketAddr = address.parse().unwrap();
            let outcome =
                tokio::time::timeout(Duration::from_secs(10), stack.connect(address)).await;
            let error =
                outcome.expect("no outcome within 10 s").expect_err("a connection to nobody");
            let ms = clock::now().saturating_since(start).as_millis();
            table.row(&[&what, &format!("{:?}", error.kind()), &error, &ms]);
            assert_eq!(error.kind(), kind, "{what}: {error:?}");
        }
    });
    println!("{table}");
}

fn plain(fixture: &Fixture) {
    let mut table = Table::new(
        "Servers that speak plain TCP",
        &["server", "fallback", "bytes", "equal by SHA-256"],
    );
    let ports = "sink:7102 echo:7101";
    let server = fixture.peer("server", "server.py", &format!("tcp {ports}"));
    let base = 7100;
    for (what, enabled) in [("a TCP socket", "1"), ("a TCP socket, net.mptcp.enabled=0", "0")] {
        fixture.sysctl("server", "net/mptcp/enabled", enabled);
        fixture.client(&Setup::default(), async |stack| {
            for size in [1, 1448, 1449, 64 << 10, 16 << 20] {
                let data = Data::new(size, 3);
                let mut stream = stack.connect(at(base + 2)).await.unwrap();
                assert_eq!(
                    upload(&mut stream, &data.bytes).await,
                    data.sha256,
                    "{:#?}",
                    stream.info()
                );
                assert!(!stream.is_mptcp());
                drop(stream);
                let mut stream = stack.connect(at(base + 1)).await.unwrap();
                let (_, hash) = exchange(&mut stream, &data.bytes).await;
                assert_eq!(hash, data.sha256, "{:#?}", stream.info());
                let reason = stream.fallback_reason();
                assert_eq!(reason, Some(FallbackReason::SynAckWithoutCapable));
                drop(stream);
                for _ in 0..2 {
                    assert_eq!(server.report_async().await.error(), None);
                }
                table.row(&[&what, &"syn_ack_without_capable", &size, &"yes"]);
            }
        });
    }
    println!("{table}");
}

const SHORT: u64 = 200;
const PARALLEL: u64 = 50;

fn short(fixture: &Fixture) {
    let mut table = Table::new(
        "Short connections, one after the other",
        &["client", "connections", "equal", "per second"],
    );
    let (server, watch) = (fixture.kernel_server(), Watch::start(fixture, "server"));
    fixture.client(&Setup::default(), async |stack| {
        let start = clock::now();
        for seed in 0..SHORT {
            let data = Data::new(1 + seed as usize * 37, seed);
            let mut stream = stack.connect(at(Peer::ECHO)).await.unwrap();
            let (_, hash) = exchange(&mut stream, &data.bytes).await;
            assert_eq!(hash, data.sha256, "seed {seed}: {:#?}", stream.info());
        }
        let rate = SHORT as f64 / clock::now().saturating_since(start).as_secs_f64();
        for _ in 0..SHORT {
            assert_eq!(server.report_async().await.error(), None);
        }
        assert_engine_content(&stack.counters(), "short connections");
        table.row(&[&"ours", &SHORT, &SHORT, &format!("{rate:.0}")]);
    });
    watch.assert_no_fault("short connections");
    println!("{table}");
}

fn parallel(fixture: &Fixture) {
    const SIZE: usize = 512 << 10;
    let mut table = Table::new(
        "Connections at the same time",
        &["client", "connections", "bytes each", "equal"],
    );
    let (server, watch) = (fixture.kernel_server(), Watch::start(fixture, "server"));
    let client = fixture.peer("server", "client.py", "");
    fixture.client(&Setup::default(), async |stack| {
        let work = (0..PARALLEL).map(|seed| echo_one(stack.clone(), SIZE, seed));
        let tasks: Vec<_> = work.map(tokio::spawn).collect();
        for task in tasks {
            task.await.unwrap();
        }
        for _ in 0..PARALLEL {
            assert_eq!(server.report_async().await.error(), None);
        }
        table.row(&[&"ours", &PARALLEL, &SIZE, &PARALLEL]);

        let listener = MptcpListener::bind(stack, (Ipv4Addr::UNSPECIFIED, 7000)).await.unwrap();
        for seed in 0..PARALLEL {
            client.tell(&json!({
                "host": ENGINE, "port": 7000, "protocol": "mptcp", "mode": "echo", "size": SIZE,
                "seed": seed, "subflows": 0, "parallel": true,
            }));
        }
        for _ in 0..PARALLEL {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.into_split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
        for _ in 0..PARALLEL {
            let report = client.report_async().await;
            assert_eq!(report.error(), None, "{report:?}");
            assert_eq!(report.text("sent_sha256"), report.text("received_sha256"), "{report:?}");
        }
        table.row(&[&"the kernel's", &PARALLEL, &SIZE, &PARALLEL]);
        assert_engine_content(&stack.counters(), "parallel connections");
    });
    watch.assert_no_fault("parallel connections");
    println!("{table}");
}

async fn echo_one(stack: Stack, size: usize, seed: u64) {
    let data = Data::new(size, seed);
    let mut stream = stack.connect(at(Peer::ECHO)).await.unwrap();
    let (_, hash) = exchange(&mut stream, &data.bytes).await;
    assert_eq!(hash, data.sha256, "seed {seed}: {:#?}", stream.info());
}
