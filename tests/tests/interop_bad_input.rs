//! Packets nobody asked for, thrown at the engine while transfers run: none may panic it or damage a stream.
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use mpuser_tests::interop::{
    Data, ENGINE, Fixture, Peer, SERVER, Scenario, Setup, Table, Watch, established, exchange,
    full, main as run,
};
use mpuser_tun::lab::LabOptions;
use mpuser_tun::{MptcpListener, clock};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "injected_without_checksums", run: |f| injected(f, false) },
        Scenario { name: "injected_with_checksums", run: |f| injected(f, true) },
    ];
    run("bad_input", LabOptions::default(), &[], &scenarios)
}

const KINDS: [&str; 6] = ["noise", "stranger", "repeated", "broken", "cut", "outside"];

fn injected(fixture: &Fixture, checksum: bool) {
    fixture.sysctl("server", "net/mptcp/checksum_enabled", if checksum { "1" } else { "0" });
    // So that the transfers meet the packets.
    for path in ["eth1", "eth2", "eth3"] {
        fixture.lab().set_rate(path, Some("200mbit")).unwrap();
    }
    let server = fixture.kernel_server();
    let seed = if checksum { 2 } else { 1 };
    let injectors: Vec<Peer> = (0..2)
        .map(|path| {
            let arguments = format!("eth{} 10.83.{}.2 {}", path + 1, 56 + path, seed * 10 + path);
            fixture.peer("server", "inject.py", &arguments)
        })
        .collect();
    let time = Duration::from_secs(if full() { 60 } else { 5 });
    let watch = Watch::start(fixture, "server");
    let (moved, counters) = fixture.client(&Setup::default().checksum(checksum), async |stack| {
        // Something to be found by SYNs from nowhere.
        let _listener = MptcpListener::bind(stack, (Ipv4Addr::UNSPECIFIED, 7000)).await.unwrap();
        let (start, mut moved) = (clock::now(), 0);
        while clock::now().saturating_since(start) < time {
            let data = Data::new(8 << 20, moved);
            let mut stream = stack.connect(SocketAddr::new(SERVER, Peer::ECHO)).await.unwrap();
            established(&stream, 3).await;
            let (_, hash) = exchange(&mut stream, &data.bytes).await;
            let info = stream.info();
            drop(stream);
            let report = server.report_async().await;
            // the server's hash tells which way the damage was done
            assert_eq!(hash, data.sha256, "transfer {moved}: {report:?} {info:#?}");
            assert_eq!(report.error(), None);
            moved += 1;
        }
        (moved, stack.counters())
    });
    watch.assert_no_fault("injected packets");
    report(checksum, moved, &injectors, &counters);
    assert!(moved > 0 && counters.tcp_in_errors > 0, "nothing was hit: {ENGINE}, {counters:#?}");
}

fn report(
    checksum: bool,
    moved: u64,
    injectors: &[Peer],
    counters: &mpuser_engine::counters::Counters,
) {
    let title = format!(
        "Injected packets, checksums {}: {moved} echoes of 8 MiB over three subflows, all equal",
        if checksum { "on" } else { "off" }
    );
    let mut table = Table::new(title, &["injected", "packets"]);
    let sent: Vec<_> = injectors
        .iter()
        .map(|peer| {
            peer.tell(&json!({}));
            peer.report()
        })
        .collect();
    for kind in KINDS {
        let count: u64 = sent.iter().map(|facts| facts.number(kind)).sum();
        table.row(&[&kind, &count]);
    }
    println!("{table}");
    let mut table = Table::new("What the engine counted", &["counter", "value"]);
    for (name, value) in
        counters.iter().filter(|(n, v)| *v > 0 && (n.starts_with("Mpuser") || n.contains("Join")))
    {
        table.row(&[&name, &value]);
    }
    println!("{table}");
}
