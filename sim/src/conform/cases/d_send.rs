//! D: the data level, sending.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::packet::{Packet, icmp_error};
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, stop};
use crate::conform::segment::seg;
use crate::conform::target::SERVER;
use mpuser_engine::addr::Ipv4Addr;
use std::time::Duration;

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("D06", "a Data ACK beyond what was sent", "3.3.2", SERVER,
        "data, then the same data again; mptcp", d06),
    case("D07", "Data ACK covers the data, the subflow's ACK does not", "3.3.6 [DACK-9]", SERVER,
        "again on the subflow", d07),
    case("D08", "the subflow's ACK covers the data, no Data ACK", "3.3.2 [DACK-4]", SERVER,
        "again on the other subflow", d08),
    case("D24", "the path's MTU shrinks after the mapping", "3.3.1", SERVER,
        "shorter segments; 4000 bytes intact", d24),
    case("D25", "data before any Data ACK", "3.7 [FB-2]", SERVER, "a mapping for every octet", d25),
    case("D26", "a small window on one subflow", "3.3.4 [RCV-3]", SERVER, "1000 bytes", d26),
    case("D27", "the peer shrinks its window to 0", "3.3.4 [RCV-4]", SERVER,
        "data or a probe within 3 s; after the window opens: 100 bytes intact", d27),
    case("D28", "an old Data ACK with an old window comes late", "3.3.5", SERVER, "data", d28),
    case("D29", "a write and a read of no bytes", "-", SERVER, "nothing; app: open; mptcp", d29),
];

fn has_data(packet: &Packet) -> bool {
    !packet.payload.is_empty()
}

fn d06(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.data_after(&mut a, b"hello")?;
    let dss = p.ack(5_000);
    p.send(&mut a, seg().dss(dss));
    let again = p.wait_for(&mut a, ANSWER, has_data);
    let same = again.is_some_and(|packet| packet.payload == b"hello"[..]);
    p.note(if same { "data, then the same data again" } else { "data, then nothing" });
    let dss = p.ack(5);
    p.send(&mut a, seg().dss(dss));
    p.answers(&mut a);
    p.note_mode(&mut a);
    Ok(())
}

fn d07(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let first = p.data_after(&mut a, b"hello")?;
    let dss = p.ack(5);
    p.send(&mut a, seg().dss(dss).acking(0));
    let again = p.wait_for(&mut a, ANSWER, has_data);
    let same = again.is_some_and(|packet| packet.header.seq == first.header.seq);
    p.note(if same { "again on the subflow" } else { "not again" });
    Ok(())
}

fn d08(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.answers(&mut a);
    p.answers(&mut b);
    let (used, unused) = match p.which(b"hello", &mut a, &mut b) {
        Some(0) => (&mut a, &mut b),
        Some(_) => (&mut b, &mut a),
        None => return Err(stop("no data")),
    };
    let dss = p.ack(0);
    p.send(used, seg().dss(dss));
    let again = p.wait_for(unused, ANSWER, has_data);
    p.note(if again.is_some() { "again on the other subflow" } else { "not on the other subflow" });
    Ok(())
}

fn d24(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.write(&crate::conform::digest::pattern(4_000));
    let sent = p.answers(&mut a);
    let first = sent.into_iter().find(has_data).ok_or_else(|| stop("no data"))?;
    let router = Ipv4Addr::new(192, 0, 2, 254);
    p.target.inject(&icmp_error(router, 3, 4, 800, &first));
    p.waiting.clear();
    a.seen = a.offset(&first);
    let resent = p.wait_for(&mut a, ANSWER, has_data).ok_or_else(|| stop("nothing again"))?;
    let shorter = resent.payload.len() < first.payload.len();
    p.note(if shorter { "shorter segments" } else { "segments as long as before" });
    a.seen = a.offset(&resent) + resent.payload.len() as u64;
    let head = resent.payload.to_vec();
    let dss = p.ack(head.len() as u64);
    p.send(&mut a, seg().dss(dss));
    let got = p.collect(&mut [&mut a], 4_000, Duration::from_secs(3), head);
    p.note(crate::conform::digest::bytes_words(&got));
    Ok(())
}

fn d25(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    p.write(&[7; 4_000]);
    let packets: Vec<Packet> = p.answers(&mut a).into_iter().filter(has_data).collect();
    let mapped = packets.iter().all(|q| q.dss().is_some_and(|dss| dss.mapping.is_some()));
    let text =
        if mapped && packets.len() > 1 { "a mapping for every octet" } else { "not all mapped" };
    p.note(text);
    Ok(())
}

fn d26(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let dss = p.ack(0);
    p.send(&mut a, seg().dss(dss));
    p.send(&mut b, seg().dss(dss).window(100));
    p.answers(&mut a);
    p.answers(&mut b);
    p.write(&[7; 1_000]);
    let got = p.collect(&mut [&mut a, &mut b], 1_000, QUIET, Vec::new());
    p.note(format!("{} bytes", got.len()));
    Ok(())
}

fn d27(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = p.ack(0);
    p.send(&mut a, seg().dss(dss).window(0));
    p.answers(&mut a);
    p.write(&crate::conform::digest::pattern(100));
    let sent = p.wait(&mut a, ANSWER);
    p.note(if sent.is_some() { "data or a probe within 3 s" } else { "nothing within 3 s" });
    a.seen = 0;
    p.waiting.clear();
    p.send(&mut a, seg().dss(dss));
    let got = p.collect(&mut [&mut a], 100, Duration::from_secs(3), Vec::new());
    p.note(format!("after the window opens: {}", crate::conform::digest::bytes_words(&got)));
    Ok(())
}

fn d28(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.data_after(&mut a, b"hellohello")?;
    let (new, old) = (p.ack(10), p.ack(5));
    p.send(&mut a, seg().dss(new));
    p.send(&mut a, seg().dss(old).acking(5).window(0));
    p.answers(&mut a);
    let data = p.data_after(&mut a, b"world")?;
    let text = p.digest(&[data]);
    p.note(text);
    Ok(())
}

fn d29(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let _nothing = p.target.write(&[]);
    let _nothing = p.target.read(0);
    p.note_answers(&mut a);
    p.note_app_state();
    p.note_mode(&mut a);
    Ok(())
}
