//! Loss, reordering and duplicates on every path, both directions, with the kernel as the peer.
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use mpuser_tests::interop::{
    Data, Fixture, Peer, SERVER, Scenario, Setup, Table, Watch, assert_engine_content, established,
    exchange, full, main as run, receive, upload,
};
use mpuser_tun::device::Faults;
use mpuser_tun::lab::LabOptions;
use mpuser_tun::{Stack, clock};
use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "faults_without_checksums", run: |f| faults(f, false) },
        Scenario { name: "faults_with_checksums", run: |f| faults(f, true) },
    ];
    run("faulty", LabOptions::default(), &[], &scenarios)
}

const SIZE: usize = 20 << 20;

fn paths(seed: u64) -> Faults {
    Faults::new(seed).loss(0.01).reorder(0.05).duplicate(0.01)
}

fn faults(fixture: &Fixture, checksum: bool) {
    fixture.sysctl("server", "net/mptcp/checksum_enabled", if checksum { "1" } else { "0" });
    let title = format!(
        "1 % loss, 5 % reordering, 1 % duplicates on each of three paths and in both directions, \
         checksums {}",
        if checksum { "on" } else { "off" }
    );
    let columns = [
        "seed",
        "bytes",
        "way",
        "equal by SHA-256",
        "faults counted",
        "s",
        "Mbit/s",
        "retransmitted",
        "reinjected",
        "kernel retransmitted",
    ];
    let mut table = Table::new(title, &columns);
    let server = fixture.kernel_server();
    for seed in 1..=if full() { 10 } else { 2 } {
        let setup = Setup { faults: Some(paths), seed, ..Setup::default() }.checksum(checksum);
        fixture.client(&setup, async |stack| {
            for way in ["up", "down", "both"] {
                one(fixture, stack, &server, way, seed, checksum, &mut table).await;
            }
        });
    }
    println!("{table}");
}

async fn one(
    fixture: &Fixture,
    stack: &Stack,
    server: &Peer,
    way: &str,
    seed: u64,
    checksum: bool,
    table: &mut Table,
) {
    let (watch, before) = (Watch::start(fixture, "server"), stack.counters());
    let data = Data::new(SIZE, seed);
    let port = match way {
        "up" => Peer::SINK,
        "down" => Peer::SOURCE,
        _ => Peer::ECHO,
    };
    server.ask(SIZE, seed, 3);
    let mut stream = stack.connect(SocketAddr::new(SERVER, port)).await.unwrap();
    if way != "down" {
        established(&stream, 3).await;
    }
    let start = clock::now();
    let hash = match way {
        "up" => upload(&mut stream, &data.bytes).await,
        "down" => receive(&mut stream).await.1,
        _ => exchange(&mut stream, &data.bytes).await.1,
    };
    let seconds = clock::now().saturating_since(start).as_secs_f64();
    let info = stream.info().unwrap();
    drop(stream);
    let report = server.report_async().await;
    let context = format!("{way}, seed {seed}, checksum {checksum}: {report:?}\n{info:#?}");
    assert_eq!(report.error(), None, "{context}");
    let theirs = report.text(if way == "down" { "sent_sha256" } else { "received_sha256" });
    assert_eq!(hash, theirs, "{context}");
    assert!(way == "down" || hash == data.sha256, "{context}");
    assert!(info.mptcp && info.csum_enabled == checksum, "{context}");
    watch.assert_no_fault(&context);
    assert_engine_content(&stack.counters(), &context);
    let again = stack.counters().tcp_retrans_segs - before.tcp_retrans_segs;
    let kernel = watch.delta().get("TcpRetransSegs").copied().unwrap_or(0);
    let rate = format!("{:.0}", SIZE as f64 * 8.0 / seconds / 1e6);
    let seconds = format!("{seconds:.2}");
    table.row(&[
        &seed,
        &SIZE,
        &way,
        &"yes",
        &0,
        &seconds,
        &rate,
        &again,
        &info.bytes_retrans,
        &kernel,
    ]);
}
