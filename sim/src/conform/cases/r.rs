//! R: bounds of resources, by what a peer sees of them.

use crate::conform::case::{Case, case, skip};
use crate::conform::data_level::HandMade as _;
use crate::conform::digest::{bytes_words, pattern};
use crate::conform::packet::Packet;
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{CLIENT, SERVER, Setup, probe_address, stack_address};
use mpuser_engine::addr::SocketAddr;
use std::time::Duration;

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("R01", "1 MiB out of order against a buffer of 64 KiB", "3.3.4", Setup { receive_buffer: 65_536, ..SERVER },
        "nothing delivered early; then in order", r01),
    case("R02", "4 000 data-level fragments out of order", "3.3.4, 5", SERVER,
        "12000 bytes intact", r02),
    case("R03", "more subflows than the limit", "3.2", SERVER,
        "8 joined, then refused; alive: 'xyz' data-acked", r03),
    case("R04", "20 half-open joins, then a good one", "5", SERVER, "the good one succeeds", r04),
    case("R05", "1 500 half-open connections, then a good one", "RFC 4987", SERVER,
        "SYN/ACK; alive: 'xyz' data-acked", r05),
    case("R06", "200 announced addresses", "3.4.1, 5", Setup { add_addr_accepted: 8, ..CLIENT },
        "at most 8 joins; alive: 'xyz' data-acked", r06),
    case("R07", "joins that are refused again and again", "3.2", Setup { add_addr_accepted: 8, ..CLIENT },
        "at most 8 attempts; data", r07),
    case("R08", "500 segments to a closed port", "RFC 9293 3.5.2", SERVER,
        "at most 500 RSTs; alive: 'xyz' data-acked", r08),
    case("R09", "2 000 mappings ahead of their octets", "3.3.1", SERVER,
        "alive afterwards: 2003 bytes intact", r09),
    case("R10", "1 MiB over two subflows, one of them slow", "3.3.2", SERVER,
        "1048576 bytes intact", r10),
    case("R11", "5 000 priority changes the application does not look at", "3.3.8", SERVER,
        "alive: 'xyz' data-acked", r11),
    skip("R12", "a capture file on a slow disk", "no packet shows it: tested with the writer of captures"),
    skip("R13", "clients of the control socket", "no packet reaches it: tested with the control socket"),
    case("R14", "50 connections closed one after the other", "RFC 9293 3.6.1", SERVER,
        "50 closed; alive: 'xyz' data-acked", r14),
    skip("R15", "processor time per packet", "a measurement, not a stimulus: one of the benches"),
    case("R16", "200 idle connections", "-", SERVER, "200 of 200 alive", r16),
];

fn r01(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let mut b = p.joined(1)?;
    for index in 1..750_u64 {
        p.send_data(&mut b, index * 1_400, &[9; 1_400]);
    }
    p.pass(QUIET);
    let early = p.read_now().bytes.len();
    p.note(if early == 0 {
        "nothing delivered early".to_owned()
    } else {
        format!("{early} bytes early")
    });
    let data = pattern(40_000);
    let mut got = Vec::new();
    // What was held has the wrong bytes on purpose: only the hole is the pattern.
    let hole: Vec<u8> = data.iter().copied().take(1_400).collect();
    got.extend(p.upload(&mut a, 0, &hole));
    let rest = p.read().bytes;
    got.extend(rest);
    let expected = |index: usize| if index < 1_400 { data[index] } else { 9 };
    let right = got.iter().enumerate().all(|(index, byte)| *byte == expected(index));
    let bounded = got.len() <= 262_144;
    p.note(match (right, bounded, got.len() >= 1_400) {
        (true, true, true) => "then in order".to_owned(),
        _ => format!("{} bytes, right: {right}", got.len()),
    });
    Ok(())
}

fn r02(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let mut b = p.joined(1)?;
    let data = pattern(12_000);
    for at in (3..12_000_usize).step_by(6) {
        p.send_data(&mut b, at as u64, data.get(at..at + 2).unwrap_or_default());
    }
    for at in (5..12_000_usize).step_by(6) {
        p.send_data(&mut b, at as u64, data.get(at..at + 1).unwrap_or_default());
    }
    p.pass(QUIET);
    let got = p.upload(&mut a, 0, &data);
    p.note(bytes_words(&got));
    Ok(())
}

fn r03(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let mut joined = 0;
    for index in 1..20 {
        match p.joined(index) {
            Ok(mut flow) => {
                let refused = p.answers(&mut flow).iter().any(|q| q.header.flags.rst);
                joined += usize::from(!refused);
            }
            Err(_) => break,
        }
    }
    p.note(format!("{joined} joined, then refused"));
    p.note_alive(&mut a, 3);
    Ok(())
}

fn r04(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    for index in 1..21 {
        let mut flow = p.flow(index);
        let option = p.join_option(index, false);
        p.send(&mut flow, seg().syn().no_ack().option(option));
    }
    p.pass(QUIET);
    p.waiting.clear();
    p.joined(50)?;
    p.note("the good one succeeds");
    Ok(())
}

fn r05(p: &mut Probe<'_>) -> Run {
    for index in 0..1_500_u32 {
        let mut flow = p.flow((index % 200) as u8 + 2);
        let option = p.capable_syn(p.flags());
        p.send(&mut flow, seg().syn().no_ack().option(option));
    }
    p.pass(QUIET);
    p.waiting.clear();
    let mut a = p.open()?;
    p.note("SYN/ACK");
    let option = p.capable_ack(p.flags());
    p.send(&mut a, seg().option(option));
    p.accepted()?;
    p.note_alive(&mut a, 0);
    Ok(())
}

/// Joins of the stack's until it is quiet, each refused with a RST if `refuse`; how many ports it tried from.
fn joins(p: &mut Probe<'_>, refuse: bool, quiet: Duration) -> usize {
    let mut tried = std::collections::BTreeSet::new();
    while let Some((mut flow, _)) = p.next_syn(quiet) {
        tried.insert((flow.tuple.local, flow.tuple.remote));
        if refuse {
            p.send(&mut flow, seg().rst());
        }
        if tried.len() > 100 {
            break;
        }
    }
    tried.len()
}

fn at_most_8(count: usize, what: &str) -> String {
    if count <= 8 { format!("at most 8 {what}") } else { format!("{count} {what}") }
}

fn r06(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    for id in 5..205 {
        let option = p.add_addr(id, probe_address(id, false), None);
        p.send(&mut a, seg().option(option));
    }
    let count = joins(p, false, QUIET);
    p.note(at_most_8(count, "joins"));
    p.note_alive(&mut a, 0);
    Ok(())
}

fn r07(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    for id in 5..10 {
        let option = p.add_addr(id, probe_address(id, false), None);
        p.send(&mut a, seg().option(option));
        p.pass(QUIET / 10);
    }
    let quiet = p.long(Duration::from_secs(300), Duration::from_secs(2));
    let count = joins(p, true, quiet);
    p.note(at_most_8(count, "attempts"));
    p.data_after(&mut a, b"hello")?;
    p.note("data");
    Ok(())
}

fn r08(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let local = SocketAddr::new(stack_address(0, false), 9);
    for port in 0..500 {
        let mut flow = Flow::new(local, SocketAddr::new(probe_address(1, false), 2_000 + port));
        p.send(&mut flow, seg().data(b"x"));
    }
    p.pass(QUIET);
    let count = p.waiting.iter().filter(|q| q.header.flags.rst).count();
    p.waiting.clear();
    p.note(if count <= 500 { "at most 500 RSTs".to_owned() } else { format!("{count} RSTs") });
    p.note_alive(&mut a, 3);
    Ok(())
}

fn r09(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let data = pattern(2_003);
    // Segments behind a hole of the subflow: their mappings have to wait.
    for at in 3..2_003_u64 {
        let octet = data.get(at as usize..=at as usize).unwrap_or_default();
        let dss = p.map_at(at, at, octet, 1, 0);
        p.send(&mut a, seg().data(octet).dss(dss).at(at as i64));
    }
    p.pass(QUIET);
    p.waiting.clear();
    let mut got = Vec::new();
    let end = p.target.now() + Duration::from_secs(5);
    // The rest by retransmission, as a sender would: from where the stack says it is.
    let mut at = 0_u64;
    while got.len() < data.len() && p.target.now() < end {
        let len = if at == 0 { 3 } else { 1 };
        let piece = data.get(at as usize..at as usize + len).unwrap_or_default().to_vec();
        let dss = p.map_at(at, at, &piece, len as u16, 0);
        p.send(&mut a, seg().data(&piece).dss(dss).at(at as i64));
        let acked = p.wait(&mut a, QUIET / 10).map(|packet: Packet| {
            let ack = packet.header.ack.unwrap_or_default().0;
            u64::from(ack.wrapping_sub(a.iss).wrapping_sub(1))
        });
        at = acked.unwrap_or(at).max(at).min(2_002);
        got.extend(p.read_now().bytes);
    }
    p.note(format!("alive afterwards: {}", bytes_words(&got)));
    Ok(())
}

fn r10(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.note_download(&mut [&mut a, &mut b], 1 << 20, Duration::from_secs(2));
    Ok(())
}

fn r11(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    for index in 0..5_000 {
        p.send_prio(&mut a, index % 2 == 0);
    }
    p.note_alive(&mut a, 3);
    Ok(())
}

fn r14(p: &mut Probe<'_>) -> Run {
    let mut closed = 0;
    for _ in 0..50 {
        let mut a = p.serve()?;
        p.target.close();
        let fin = p.wait_for(&mut a, ANSWER, Packet::is_data_fin);
        fin.ok_or_else(|| stop("no DATA_FIN"))?;
        let fin = p.data_fin(0, 1);
        p.send(&mut a, seg().dss(fin));
        let end = p.wait_for(&mut a, ANSWER, |q| q.header.flags.fin);
        let dss = p.ack(1);
        p.send(&mut a, seg().fin().dss(dss));
        closed += usize::from(end.is_some());
    }
    p.note(format!("{closed} closed"));
    let mut a = p.serve()?;
    p.note_alive(&mut a, 0);
    Ok(())
}

fn r16(p: &mut Probe<'_>) -> Run {
    let mut flows = Vec::new();
    for _ in 0..200 {
        let flow = p.serve()?;
        flows.push((flow, p.own_key));
    }
    let idle = p.long(Duration::from_secs(3_600), Duration::from_secs(1));
    p.pass(idle);
    p.waiting.clear();
    let mut alive = 0;
    for (flow, key) in &mut flows {
        p.own_key = *key;
        p.send_data(flow, 0, b"abc");
        let acked = p.wait_for(flow, ANSWER, |q| q.dss().is_some());
        alive += usize::from(acked.is_some_and(|q| p.data_ack(&q) == Some(3)));
    }
    p.note(format!("{alive} of 200 alive"));
    Ok(())
}
