//! Our listener announces its addresses to a kernel client, makes a subflow a backup, and withdraws an address; the
//! kernel's counters say what it made of that (RFC 8684 3.3.8, 3.4).
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use mpuser_engine::PmEndpoint;
use mpuser_engine::addr::AddressId;
use mpuser_engine::config::EndpointFlags;
use mpuser_tests::interop::{
    Data, ENGINE, Facts, Fixture, Scenario, Setup, Table, Watch, assert_engine_content,
    established, exchange, main as run,
};
use mpuser_tun::MptcpListener;
use mpuser_tun::lab::LabOptions;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

const PORT: u16 = 7000;
/// Announced with the third address, and listened on by nobody.
const ANNOUNCED_PORT: u16 = 8_443;
const SIZE: usize = 4 << 20;
/// What the client sends before it is told to go on.
const GATE: usize = 64 << 10;

fn main() -> ExitCode {
    let scenarios = [Scenario { name: "announced_to_a_kernel_client", run: announced }];
    let options = LabOptions { server_signal: false, ..LabOptions::default() };
    run("addresses", options, &[], &scenarios)
}

/// Ways from the kernel's client to each of our addresses.
fn routes(fixture: &Fixture) {
    fixture.output("server", &["ip", "mptcp", "endpoint", "flush"]);
    fixture.output(
        "server",
        &["ip", "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8"],
    );
    for path in 1..=3 {
        let (net, via) =
            (format!("10.83.{}.0/24", 55 + path), format!("192.168.{}.100", 55 + path));
        let dev = format!("eth{path}");
        fixture.output("server", &["ip", "route", "replace", &net, "via", &via, "dev", &dev]);
    }
    let rule = ["ip", "rule", "add", "to", "192.168.0.0/16", "lookup", "main", "priority", "100"];
    if !fixture.output("client", &["ip", "rule"]).contains("100:") {
        fixture.output("client", &rule);
    }
    fixture.sysctl("client", "net/ipv4/ip_forward", "1");
}

fn announced(fixture: &Fixture) {
    routes(fixture);
    let client = fixture.peer("server", "client.py", "");
    let watch = Watch::start(fixture, "server");
    fixture.client(&Setup::default(), async |stack| {
        let own: Vec<IpAddr> = stack.addresses().iter().map(|a| a.address).collect();
        let signal = EndpointFlags { signal: true, ..EndpointFlags::default() };
        for (index, port) in [(1, None), (2, Some(ANNOUNCED_PORT))] {
            let id = Some(AddressId(10 + index as u8));
            let endpoint = PmEndpoint { address: own[index], id, port, flags: signal };
            stack.add_endpoint(endpoint).unwrap();
        }
        let listener = MptcpListener::bind(stack, (Ipv4Addr::UNSPECIFIED, PORT)).await.unwrap();
        client.tell(&json!({
            "host": ENGINE, "port": PORT, "protocol": "mptcp", "mode": "echo", "size": SIZE, "seed": 3,
            "subflows": 3, "gate": GATE, "parallel": true,
        }));
        let (mut stream, _) = listener.accept().await.unwrap();
        established(&stream, 3).await;
        let info = stream.info().unwrap();
        let joined: Vec<_> = info.subflows.iter().map(|s| (s.ids.0.0, s.tuple.local)).collect();
        assert!(joined.contains(&(11, (own[1], PORT).into())), "{joined:?}");
        assert!(joined.contains(&(12, (own[2], ANNOUNCED_PORT).into())), "{joined:?}");
        let of = |id| info.subflows.iter().find(|s| s.ids.0 == AddressId(id)).unwrap().id;
        stream.set_backup(of(11), true).unwrap();
        stack.delete_endpoint(AddressId(12)).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let left = stream.info().unwrap().subflows;
        let left: Vec<_> = left.iter().filter(|s| s.state == "ESTAB").map(|s| s.ids.0.0).collect();
        assert_eq!(left, [0, 11], "the withdrawn one is closed");
        client.tell(&json!({ "go": true }));
        let data = Data::new(SIZE, 3);
        exchange(&mut stream, &data.bytes).await;
        drop(stream);
        let report: Facts = client.report_async().await;
        assert_eq!(report.error(), None, "{report:?}");
        assert_eq!(report.text("received_sha256"), data.sha256);
        let counted = stack.counters();
        assert_eq!((counted.add_addr_tx, counted.echo_add), (2, 2), "{counted:#?}");
        // repeated, where there was time
        assert!((1..=3).contains(&counted.rm_addr_tx), "{counted:#?}");
        assert!((1..=3).contains(&counted.mp_prio_tx), "{counted:#?}");
        assert_engine_content(&counted, "announced");
    });
    let names = ["AddAddr", "EchoAddTx", "PortAdd", "RmAddr", "MPPrioRx", "MPJoinSynAckRx"];
    let mut table = Table::new("What a kernel client counted", &names);
    let counts = names.map(|name| watch.mptcp(name));
    table.row(&counts.each_ref().map(|count| count as &dyn std::fmt::Display));
    println!("{table}");
    let echoes = if watch.counts("EchoAddTx") { 2 } else { 0 };
    assert!(matches!(counts, [2, _, 1, 1..=3, 1..=3, 2]) && counts[1] == echoes, "{counts:?}");
}
