use super::*;
use crate::link::{LaneConfig, LinkConfig, QueueLimit};
use crate::packet::TcpPacket;
use crate::scenario::{FlowGroup, LinkSpec, Path, Traffic};
use crate::world::{run, run_with};
use bytes::Bytes;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Two lossy paths, 100 kB.
fn scenario() -> Scenario {
    let lane = LaneConfig {
        rate: Some(8_000_000),
        delay: Duration::from_millis(10),
        loss: crate::link::Loss::Bernoulli(0.02),
        queue: QueueLimit::Packets(50),
        ..LaneConfig::default()
    };
    let config = LinkConfig { forward: lane.clone(), backward: lane, boxes: Vec::new() };
    let link = LinkSpec { config, changes: Vec::new() };
    let flow = FlowGroup {
        name: "mp".to_owned(),
        paths: vec![Path::over(&["a"]), Path::over(&["b"])],
        traffic: Traffic::Bulk { size: Some(100_000) },
        ..FlowGroup::default()
    };
    let links = ["a", "b"].map(|name| (name.to_owned(), link.clone())).into();
    Scenario { name: "trace".to_owned(), links, flows: vec![flow], ..Scenario::default() }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn looking_on_changes_nothing_and_every_event_is_a_line_of_json() {
    let plain = run(&scenario(), 5).unwrap();
    let mut stream = EventStream::new(Vec::new());
    let seen = run_with(&scenario(), 5, &mut stream).unwrap();
    assert_eq!(plain.digest, seen.digest);
    let text = String::from_utf8(stream.finish().unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["trace"]["flows"][0], "mp");
    let named = |name: &'static str| lines.iter().filter(move |line| line["name"] == name);
    let count = |name: &'static str| named(name).count();
    let (sent, received) = (count("transport:packet_sent"), count("transport:packet_received"));
    let dropped = count("transport:packet_dropped");
    let inside: u64 = seen.links.iter().map(|l| l.forward.inside + l.backward.inside).sum();
    assert_eq!(sent as u64, (received + dropped) as u64 + inside);
    assert!(dropped > 0);
    let read: u64 =
        named("transport:data_moved").filter_map(|l| l["data"]["length"].as_u64()).sum();
    assert_eq!(read, 100_000);
    assert!(named("transport:packet_sent").any(|line| line["data"]["dss"].is_string()));
    assert!(named("mptcp:event").any(|l| l["data"]["event"].to_string().contains("Established")));
    assert!(count("recovery:metrics_updated") > 10);
    let times: Vec<f64> = lines.iter().filter_map(|line| line["time"].as_f64()).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
}

/// Each enhanced packet block: interface and packet.
fn packets(file: &[u8]) -> Vec<(u32, Bytes)> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut found) = (0, Vec::new());
    while at < file.len() {
        let len = word(at + 4) as usize;
        if word(at) == 6 {
            let captured = word(at + 20) as usize;
            found.push((word(at + 8), Bytes::copy_from_slice(&file[at + 28..at + 28 + captured])));
        }
        at += len;
    }
    found
}

#[test]
fn a_capture_has_the_packets_of_the_client_with_good_checksums() {
    let file = Shared::default();
    let mut capture = Capture::new(file.clone(), 0);
    let outcome = run_with(&scenario(), 5, &mut capture).unwrap();
    capture.finish().unwrap();
    let all = packets(&file.0.lock().unwrap());
    // beside each path stands an interface for what it drops
    let (packets, drops): (Vec<_>, Vec<_>) = all.into_iter().partition(|(on, _)| on % 2 == 0);
    let count = |lane: &crate::metrics::LaneOutcome| {
        lane.lost + lane.queue_full + lane.managed + lane.down + lane.too_big
    };
    let lost: u64 = outcome.links.iter().map(|l| count(&l.forward) + count(&l.backward)).sum();
    assert_eq!((drops.len() as u64, lost > 0), (lost, true));
    let sent: u64 = outcome.links.iter().map(|link| link.forward.received).sum();
    let arrived: u64 = outcome.links.iter().map(|link| link.backward.delivered).sum();
    assert_eq!(packets.len() as u64, sent + arrived);
    assert!(packets.iter().any(|(interface, _)| *interface == 2));
    for (_, packet) in &packets {
        let parsed = TcpPacket::parse(packet).expect("TCP with a good checksum");
        assert!(parsed.is_syn() || parsed.has_mptcp() || parsed.has(crate::packet::bits::ACK));
    }
}

/// What tshark shows of it: names of interfaces, directions, and what comments say.
#[test]
fn tshark_reads_comments_directions_and_drops() {
    let path = std::env::temp_dir().join(format!("mpuser-sim-{}.pcapng", std::process::id()));
    let mut capture = Capture::new(std::fs::File::create(&path).unwrap(), 0);
    run_with(&scenario(), 5, &mut capture).unwrap();
    capture.finish().unwrap();
    let mut command = std::process::Command::new("tshark");
    command.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=/t"]);
    for field in ["frame.interface_name", "frame.packet_flags_direction", "frame.comment"] {
        command.args(["-e", field]);
    }
    let output = command.args(["-e", "_ws.malformed"]).output();
    let _ = std::fs::remove_file(&path);
    let Ok(output) = output else {
        eprintln!("NOT RUN: there is no tshark");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let of = |name: &'static str| lines.iter().filter(move |line| line[0] == name);
    assert!(lines.iter().all(|line| line[3].is_empty()), "malformed packets");
    let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let passed = ["mp via a", "mp via b"].into_iter().flat_map(of);
    let directions: Vec<u32> = passed.map(|line| number(line[1])).collect();
    assert!(directions.contains(&1) && directions.contains(&2), "{directions:?}");
    assert!(of("drop:mp via a").all(|line| line[2] == "dropped by a link of the path"));
    assert!(of("mp via a").any(|line| line[2].starts_with("path 0, dsn 1+")), "{text}");
    let said = |what: &str| lines.iter().any(|line| line[2].contains(what));
    assert!(said("retransmission"), "{text}");
}
