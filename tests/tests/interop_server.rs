//! Our listener with the kernel's clients: Multipath TCP with joins of both kinds, and plain TCP; and with our own
//! client.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is the report")]

use mpuser_engine::error::FallbackReason;
use mpuser_tests::interop::{
    Data, ENGINE, Facts, Fixture, Peer, Scenario, Setup, Table, Watch, assert_engine_content,
    established, exchange, main as run, median, open_tun, receive, send_all,
};
use mpuser_tun::lab::LabOptions;
use mpuser_tun::{MptcpListener, MptcpStream, PathConfig, Stack, clock};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use tokio::io::AsyncWriteExt as _;

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "kernel_clients", run: endpoints },
        Scenario { name: "kernel_clients_with_checksums", run: checksums },
        Scenario { name: "kernel_clients_with_plain_tcp", run: plain },
        Scenario { name: "our_own_client", run: ourselves },
        Scenario { name: "a_path_lost_in_the_middle", run: lost_paths },
    ];
    // Here the kernel is the client: it announces nothing.
    let options = LabOptions { server_signal: false, ..LabOptions::default() };
    run("server", options, &[], &scenarios)
}

const PORT: u16 = 7000;
const SIZES: [(usize, u64); 8] =
    [(1, 5), (1419, 5), (1420, 5), (1421, 5), (1448, 5), (1460, 5), (64 << 10, 5), (100 << 20, 2)];
const COLUMNS: [&str; 7] =
    ["bytes", "way", "connections", "equal by SHA-256", "subflows", "faults counted", "median ms"];

fn endpoints(fixture: &Fixture) {
    let title = "The kernel's clients with `subflow` endpoints, our listener";
    all_sizes(fixture, &joined_by_endpoints(fixture), title, 3);
}

fn checksums(fixture: &Fixture) {
    fixture.sysctl("server", "net/mptcp/checksum_enabled", "1");
    let title = "The kernel's clients with `subflow` endpoints, our listener, checksums on";
    all_sizes(fixture, &joined_by_endpoints(fixture).checksum(true), title, 3);
}

/// The kernel opens subflows from its second and third address to our one.
fn joined_by_endpoints(fixture: &Fixture) -> Setup {
    fixture.output("server", &["ip", "mptcp", "endpoint", "flush"]);
    for k in [57, 58] {
        let (dev, own) = (format!("eth{}", k - 55), format!("192.168.{k}.101"));
        fixture.output("server", &["ip", "mptcp", "endpoint", "add", &own, "dev", &dev, "subflow"]);
        // Our address has a route by the first link only, ...
        let (via, metric) = (format!("192.168.{k}.100"), k.to_string());
        let route = [
            "ip",
            "route",
            "replace",
            "10.83.56.0/24",
            "via",
            &via,
            "dev",
            &dev,
            "metric",
            &metric,
        ];
        fixture.output("server", &route);
    }
    // ... and answers by another link than the question's do not reach a socket bound to that.
    let rule = ["ip", "rule", "add", "to", "192.168.0.0/16", "lookup", "main", "priority", "100"];
    if !fixture.output("client", &["ip", "rule"]).contains("100:") {
        fixture.output("client", &rule);
    }
    fixture.sysctl("client", "net/ipv4/ip_forward", "1");
    Setup { paths: 1, ..Setup::default() }
}

fn all_sizes(fixture: &Fixture, setup: &Setup, title: &str, subflows: usize) {
    let mut table = Table::new(title, &COLUMNS);
    let client = fixture.peer("server", "client.py", "");
    fixture.client(setup, async |stack| {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let listener = MptcpListener::bind(stack, any).await.unwrap();
        for (size, runs) in SIZES {
            for mode in ["upload", "download"] {
                let watch = Watch::start(fixture, "server");
                let mut times = Vec::new();
                for seed in 0..runs {
                    let what = Exchange { mode, size, seed, subflows, protocol: "mptcp" };
                    let (seconds, checksum) = what.run(&listener, &client).await;
                    assert_eq!(checksum, setup.connection.checksum);
                    times.push(seconds);
                }
                watch.assert_no_fault(title);
                assert_engine_content(&stack.counters(), title);
                let time = format!("{:.2}", median(times) * 1e3);
                table.row(&[&size, &mode, &runs, &runs, &subflows, &0, &time]);
            }
        }
        let (counted, connections) =
            (stack.counters(), SIZES.map(|(_, runs)| runs * 2).iter().sum::<u64>());
        assert_eq!(counted.mp_capable_ack_rx, connections, "{counted:#?}");
        assert_eq!(counted.mp_join_ack_rx, connections * (subflows as u64 - 1), "{counted:#?}");
    });
    println!("{table}");
}

/// The kernel's client has three ways to us, and loses one of them after a third of the data.
fn lost_paths(fixture: &Fixture) {
    let columns = ["loss of", "way", "equal by SHA-256", "s", "reinjections"];
    let title =
        "24 MiB over three paths of 100mbit each, a kernel client, our listener, one path cut";
    let mut table = Table::new(title, &columns);
    let setup = Setup { dead_subflows: true, ..joined_by_endpoints(fixture) };
    let client = fixture.peer("server", "client.py", "");
    for dev in ["eth1", "eth2", "eth3"] {
        for mode in ["upload", "download"] {
            for path in ["eth1", "eth2", "eth3"] {
                fixture.lab().set_rate(path, Some("100mbit")).unwrap();
            }
            let lab = fixture.lab().clone();
            let (seconds, again) = fixture.client(&setup, async |stack| {
                let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
                let listener = MptcpListener::bind(stack, any).await.unwrap();
                let what =
                    Exchange { mode, size: 24 << 20, seed: 1, subflows: 3, protocol: "mptcp" };
                let cut = async {
                    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
                    tokio::task::spawn_blocking(move || lab.cut(dev, true).unwrap()).await.unwrap();
                };
                let (outcome, ()) = tokio::join!(what.run(&listener, &client), cut);
                (outcome.0, stack.counters().mptcp_retrans)
            });
            fixture.lab().restore().unwrap();
            table.row(&[&dev, &mode, &"yes", &format!("{seconds:.2}"), &again]);
        }
    }
    println!("{table}");
}

/// One connection of a kernel client.
struct Exchange {
    mode: &'static str,
    size: usize,
    seed: u64,
    subflows: usize,
    protocol: &'static str,
}

impl Exchange {
    /// Seconds from the first to the last byte here, and whether there were checksums.
    async fn run(&self, listener: &MptcpListener, client: &Peer) -> (f64, bool) {
        let Self { mode, size, seed, subflows, protocol } = *self;
        let context = format!("{protocol} {mode} of {size} bytes, seed {seed}");
        client.tell(&json!({
            "host": ENGINE, "port": PORT, "protocol": protocol, "mode": mode, "size": size, "seed": seed,
            "subflows": if protocol == "mptcp" { subflows } else { 0 },
        }));
        let (mut stream, _) = listener.accept().await.expect(&context);
        if subflows > 0 {
            established(&stream, subflows).await;
        }
        let start = clock::now();
        let hash = match mode {
            "upload" => {
                let (_, hash) = receive(&mut stream).await;
                send_all(&mut stream, hash.as_bytes()).await;
                hash
            }
            _ => {
                let data = Data::new(size, seed);
                send_all(&mut stream, &data.bytes).await;
                let (rest, _) = receive(&mut stream).await;
                assert_eq!(rest, 0, "{context}");
                data.sha256
            }
        };
        let seconds = clock::now().saturating_since(start).as_secs_f64();
        let info = stream.info().expect(&context);
        let expected = (protocol == "tcp").then_some(FallbackReason::SynWithoutCapable);
        assert_eq!(
            (info.mptcp, info.fallback),
            (protocol == "mptcp", expected),
            "{context}: {info:#?}"
        );
        drop(stream);
        let report: Facts = client.report_async().await;
        assert_eq!(report.error(), None, "{context}: {report:?}\n{info:#?}");
        let theirs =
            if mode == "upload" { ["sent_sha256", "answer"] } else { ["received_sha256"; 2] };
        for key in theirs {
            assert_eq!(report.text(key), hash, "{context}: {key}\n{info:#?}");
        }
        (seconds, info.csum_enabled)
    }
}

fn plain(fixture: &Fixture) {
    let mut table = Table::new("Plain TCP clients of the kernel's, our listener", &COLUMNS);
    let client = fixture.peer("server", "client.py", "");
    fixture.client(&Setup::default(), async |stack| {
        let listener = MptcpListener::bind(stack, (Ipv4Addr::UNSPECIFIED, PORT)).await.unwrap();
        for (size, runs) in SIZES {
            for mode in ["upload", "download"] {
                let mut times = Vec::new();
                for seed in 0..runs {
                    let what = Exchange { mode, size, seed, subflows: 0, protocol: "tcp" };
                    times.push(what.run(&listener, &client).await.0);
                }
                let time = format!("{:.2}", median(times) * 1e3);
                table.row(&[&size, &mode, &runs, &runs, &"TCP", &0, &time]);
            }
        }
        assert_engine_content(&stack.counters(), "plain TCP");
    });
    println!("{table}");
}

/// The address of an engine in the server's namespace.
fn far(path: u8) -> IpAddr {
    Ipv4Addr::new(10, 84, 56 + path, 2).into()
}

/// Three devices in the server's namespace, with routes to and from them.
fn far_devices(fixture: &Fixture) -> Vec<mpuser_tun::device::PlainTun> {
    let open = || (0..3).map(|path| open_tun(&format!("far{path}")).unwrap()).collect();
    let devices = fixture.lab().in_namespace("server", open).unwrap();
    fixture.sysctl("server", "net/ipv4/ip_forward", "1");
    for path in 0..3u8 {
        let (net, dev, far) = (56 + path, format!("eth{}", path + 1), format!("far{path}"));
        let own = format!("10.84.{net}.1/30");
        // Or the engine would get router solicitations.
        fixture.sysctl("server", &format!("net/ipv6/conf/{far}/disable_ipv6"), "1");
        fixture.output("server", &["ip", "link", "set", &far, "mtu", "1500", "up"]);
        fixture.output("server", &["ip", "address", "add", &own, "dev", &far]);
        let (via, metric) = (format!("192.168.{net}.101"), net.to_string());
        let route =
            ["ip", "route", "add", "10.84.0.0/16", "via", &via, "dev", &dev, "metric", &metric];
        fixture.output("client", &route);
    }
    devices
}

fn ourselves(fixture: &Fixture) {
    let mut table = Table::new("Our client, our listener", &COLUMNS);
    let devices = far_devices(fixture);
    let setup = Setup { dest: far(0), ..Setup::default() };
    fixture.client(&setup, async |client| {
        let mut builder = Stack::builder();
        for (device, path) in devices.into_iter().zip(0..) {
            builder = builder.path(PathConfig::new(device, far(path)));
        }
        let server = builder.build().unwrap();
        let listener = MptcpListener::bind(&server, (Ipv4Addr::UNSPECIFIED, PORT)).await.unwrap();
        for (size, runs) in SIZES {
            let mut times = Vec::new();
            for seed in 0..runs {
                let (near, far) = tokio::join!(client.connect((far(0), PORT)), listener.accept());
                let (near, (far, _)) = (near.unwrap(), far.unwrap());
                established(&near, 3).await;
                established(&far, 3).await;
                times.push(both_ways(near, far, size, seed).await);
            }
            let time = format!("{:.2}", median(times) * 1e3);
            table.row(&[&size, &"both at once", &runs, &runs, &3, &0, &time]);
        }
        assert_engine_content(&client.counters(), "client");
        assert_engine_content(&server.counters(), "server");
        server.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    });
    println!("{table}");
}

async fn both_ways(mut near: MptcpStream, mut far: MptcpStream, size: usize, seed: u64) -> f64 {
    let (up, down) = (Data::new(size, seed), Data::new(size, seed + 1000));
    let start = clock::now();
    let (a, b) = tokio::join!(exchange(&mut near, &up.bytes), exchange(&mut far, &down.bytes));
    let seconds = clock::now().saturating_since(start).as_secs_f64();
    assert_eq!(
        (a.1, b.1),
        (down.sha256, up.sha256),
        "{size} bytes, seed {seed}: {:#?}",
        near.info()
    );
    let _ = near.shutdown().await;
    seconds
}
