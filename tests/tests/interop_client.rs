//! Our client against the kernel's server: every size, each way, with and without DSS checksums.
#![expect(clippy::expect_used, reason = "a panic is the report")]

use mpuser_tests::interop::{
    Data, Fixture, Peer, SERVER, Scenario, Setup, Table, Watch, established, full, main as run,
    median, receive, upload,
};
use mpuser_tun::lab::LabOptions;
use mpuser_tun::{Stack, clock};
use std::fmt::Display;
use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "sizes_without_checksums", run: |f| sizes(f, false) },
        Scenario { name: "sizes_with_checksums", run: |f| sizes(f, true) },
    ];
    run("client", LabOptions::default(), &[], &scenarios)
}

/// A segment of ours carries 1420 bytes: 1448 less 28 of a DSS with 64-bit numbers and no checksum. Around it and
/// around every other size a segment could have.
const SMALL: [usize; 12] = [1, 1415, 1416, 1419, 1420, 1421, 1447, 1448, 1449, 1459, 1460, 1461];
const LARGE: [usize; 2] = [64 << 10, 100 << 20];
const RUNS: u64 = 20;
/// Subflows of every connection: the first and two joins.
const SUBFLOWS: usize = 3;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Up,
    Down,
}

fn sizes(fixture: &Fixture, checksum: bool) {
    fixture.sysctl("server", "net/mptcp/checksum_enabled", if checksum { "1" } else { "0" });
    let title = format!(
        "Our client, the kernel's server, checksums {}",
        if checksum { "on" } else { "off" }
    );
    let columns = [
        "bytes",
        "way",
        "connections",
        "equal by SHA-256",
        "MPCapableACKRX",
        "MPJoinAckRx",
        "faults counted",
        "median ms",
        "Mbit/s",
    ];
    let mut table = Table::new(title, &columns);
    let server = fixture.kernel_server();
    for way in [Way::Up, Way::Down] {
        let setup = Setup::default().checksum(checksum);
        fixture.client(&setup, async |stack| {
            for size in SMALL.into_iter().chain(LARGE) {
                let runs = if size > 1 << 20 && !full() { 5 } else { RUNS };
                one_size(fixture, stack, &server, way, size, runs, checksum, &mut table).await;
            }
        });
    }
    println!("{table}");
}

async fn one_size(
    fixture: &Fixture,
    stack: &Stack,
    server: &Peer,
    way: Way,
    size: usize,
    runs: u64,
    checksum: bool,
    table: &mut Table,
) {
    let watch = Watch::start(fixture, "server");
    let mut times = Vec::new();
    for seed in 0..runs {
        let data = Data::new(if way == Way::Up { size } else { 0 }, seed);
        if way == Way::Down {
            server.ask(size, seed, SUBFLOWS);
        }
        let context = format!("{size} bytes, seed {seed}");
        times.push(transfer(stack, server, way, &data, checksum, &context).await);
    }
    let context = format!("{size} bytes");
    watch.assert_no_fault(&context);
    let (capable, joins) = (watch.mptcp("MPCapableACKRX"), watch.mptcp("MPJoinAckRx"));
    assert_eq!((capable, joins), (runs, runs * 2), "{context}: {:#?}", watch.delta());
    let median = median(times);
    let rate: &dyn Display = &format!("{:.0}", size as f64 * 8.0 / median / 1e6);
    let way: &dyn Display = if way == Way::Up { &"up" } else { &"down" };
    table.row(&[
        &size,
        way,
        &runs,
        &runs,
        &capable,
        &joins,
        &0,
        &format!("{:.2}", median * 1e3),
        rate,
    ]);
}

/// Moves the data over three subflows; seconds from the first byte to the answer.
async fn transfer(
    stack: &Stack,
    server: &Peer,
    way: Way,
    data: &Data,
    checksum: bool,
    context: &str,
) -> f64 {
    let port = if way == Way::Up { Peer::SINK } else { Peer::SOURCE };
    let mut stream = stack.connect(SocketAddr::new(SERVER, port)).await.expect(context);
    if way == Way::Up {
        established(&stream, SUBFLOWS).await;
    }
    let start = clock::now();
    let outcome = match way {
        Way::Up => upload(&mut stream, &data.bytes).await,
        Way::Down => {
            let (_, hash) = receive(&mut stream).await;
            hash
        }
    };
    let seconds = clock::now().saturating_since(start).as_secs_f64();
    let info = stream.info().expect(context);
    assert!(info.mptcp && info.csum_enabled == checksum, "{context}: {info:#?}");
    drop(stream);
    let report = server.report_async().await;
    assert_eq!(report.error(), None, "{context}: {report:?}\n{info:#?}");
    let expected = report.text(if way == Way::Up { "received_sha256" } else { "sent_sha256" });
    assert_eq!(outcome, expected, "{context}: {info:#?}");
    if way == Way::Up {
        assert_eq!(expected, data.sha256, "{context}: {info:#?}");
    }
    seconds
}
