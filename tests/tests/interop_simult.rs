//! The five cases of Linux' selftest `simult_flows.sh` with a kernel at the other end: two paths through the link
//! emulator, 20 Mbit/s together, CUBIC and the scheduler `linux`. How much of that arrives, each way.
//!
//! Without further ado one case, a short transfer. `tests/simult` runs all of them with the script's 16 MiB.
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use mpuser_engine::config::{CongestionAlgorithm, ConnectionConfig, SchedulerSpec};
use mpuser_tests::interop::{
    Data, Fixture, Peer, SERVER, Scenario, Setup, Table, Watch, assert_engine_content, established,
    main as run, receive, upload,
};
use mpuser_tun::lab::LabOptions;
use mpuser_tun::{Stack, clock};
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::io::AsyncWriteExt as _;

/// Rates in Mbit/s and delays in ms each way, as the script has them.
const CASES: [(&str, [u32; 2], [u32; 2]); 5] = [
    ("balanced", [10, 10], [0, 0]),
    ("balanced, unbalanced delay", [10, 10], [1, 25]),
    ("unbalanced", [15, 5], [0, 0]),
    ("unbalanced, delay", [15, 5], [1, 25]),
    ("unbalanced, opposed delay", [15, 5], [25, 1]),
];
const SIZE: usize = 16 << 20;
/// What the script asks for: nine tenths of the aggregate rate, headers counted against it.
const ASKED: f64 = 0.9;
/// A short transfer spends much of its time in slow start.
const SHORT: usize = 3 << 20;
const SHORT_ASKED: f64 = 0.7;
/// The script's own slack: 400 ms around the join and 50 ms; here the clock starts after the join.
const SLACK: f64 = 0.05;

fn main() -> ExitCode {
    let scenarios = [Scenario { name: "two_paths_fill_20_mbit", run: two_paths }];
    let options = LabOptions { server_signal: false, ..LabOptions::default() };
    run("simult", options, &[], &scenarios)
}

/// How often all cases are run; `None`: one of them, and short.
fn rounds() -> Option<u64> {
    std::env::var("MPUSER_SIMULT").ok().map(|rounds| rounds.parse().unwrap_or(1))
}

fn two_paths(fixture: &Fixture) {
    let columns = ["case", "rates", "delays", "way", "seed", "s", "share of 20 Mbit/s", "asked"];
    let mut table = Table::new("16 MiB over two paths, the kernel at the other end", &columns);
    let server = fixture.kernel_server();
    let cases = if rounds().is_some() { &CASES[..] } else { &CASES[3..4] };
    let (size, asked) = if rounds().is_some() { (SIZE, ASKED) } else { (SHORT, SHORT_ASKED) };
    let mut low = Vec::new();
    for seed in 1..=rounds().unwrap_or(1) {
        for (name, rates, delays) in cases {
            let link = |path: usize| {
                format!("rate={}mbit delay={}ms queue=1000p", rates[path], delays[path])
            };
            let setup = Setup {
                connection: connection(),
                links: vec![link(0), link(1)],
                seed,
                paths: 2,
                capture: false,
                ..Setup::default()
            };
            for up in [true, false] {
                let seconds = fixture.client(&setup, async |stack| {
                    transfer(fixture, stack, &server, up, size, seed).await
                });
                let aggregate = f64::from(rates[0] + rates[1]) * 1e6;
                // the hash comes back when all has arrived
                let answer = if up { 2e-3 * f64::from(delays[0].max(delays[1])) } else { 0.0 };
                let share = size as f64 * 8.0 / (seconds - answer - SLACK) / aggregate;
                let way = if up { "up" } else { "down" };
                let [rates, delays] = [rates, delays].map(|of| format!("{}/{}", of[0], of[1]));
                let line = (format!("{seconds:.2}"), format!("{share:.3}"));
                table.row(&[name, &rates, &delays, &way, &seed, &line.0, &line.1, &asked]);
                if share < asked {
                    low.push(format!("{name}, {way}, seed {seed}: {share:.3}"));
                }
            }
        }
    }
    println!("{table}");
    assert!(low.is_empty(), "below {asked}: {low:#?}");
}

fn connection() -> ConnectionConfig {
    let mut connection = ConnectionConfig {
        scheduler: SchedulerSpec::parse("linux").unwrap(),
        receive_buffer: 6 << 20,
        ..ConnectionConfig::default()
    };
    connection.tcp.congestion = CongestionAlgorithm::Cubic;
    connection
}

/// Seconds from the moment when both subflows are there to the last byte's arrival.
async fn transfer(
    fixture: &Fixture,
    stack: &Stack,
    server: &Peer,
    up: bool,
    size: usize,
    seed: u64,
) -> f64 {
    let watch = Watch::start(fixture, "server");
    let data = Data::new(size, seed);
    server.ask(size, seed, 2);
    let port = if up { Peer::SINK } else { Peer::SOURCE };
    let mut stream = stack.connect(SocketAddr::new(SERVER, port)).await.unwrap();
    // the second subflow is joined when the server has said something at data level
    stream.write_all(&data.bytes[..1]).await.unwrap();
    established(&stream, 2).await;
    let start = clock::now();
    let hash =
        if up { upload(&mut stream, &data.bytes[1..]).await } else { receive(&mut stream).await.1 };
    let seconds = clock::now().saturating_since(start).as_secs_f64();
    let info = stream.info().unwrap();
    drop(stream);
    let report = server.report_async().await;
    let context = format!("{report:?}\n{info:#?}");
    assert_eq!(report.error(), None, "{context}");
    let theirs = report.text(if up { "received_sha256" } else { "sent_sha256" });
    assert!(info.mptcp && hash == theirs && (!up || hash == data.sha256), "{context}");
    watch.assert_no_fault(&context);
    assert_engine_content(&stack.counters(), &context);
    seconds
}
