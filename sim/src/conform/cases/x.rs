//! X: closing, as it should go and as it should not.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::packet::Packet;
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{SERVER, Setup};
use mpuser_engine::wire::{Dss, DssMapping};
use std::time::Duration;

/// Closing is given up soon.
const SHORT: Setup = Setup { close_timeout: 2, ..SERVER };

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("X01", "graceful, we first", "3.3.3 [FIN-4]", SERVER,
        "DATA_FIN at 0; no FIN yet; FIN on both; app: EOF", x01),
    case("X02", "graceful, the peer first", "3.3.3", SERVER,
        "app: 'xyz', EOF; DATA_FIN at 0; FIN", x02),
    case("X03", "half closed, then 1 MiB the other way", "3.3.3", SERVER,
        "app: EOF; 1048576 bytes intact", x03),
    case("X04", "both at once", "3.3.3", SERVER, "DATA_FIN at 0; FIN; no RST", x04),
    case("X05", "DATA_FIN with data", "3.3.3 [FIN-1]", SERVER, "data-ack 7; app: 'xyz', EOF", x05),
    case("X06", "our DATA_FIN alone", "3.3.3 [FIN-2]", SERVER, "SSN 0, length 1", x06),
    case("X07", "DATA_FIN alone with length 9", "3.3.3 [FIN-2]", SERVER,
        "app: open; alive: 'xyz' data-acked", x07),
    case("X08", "DATA_FIN ahead of missing data", "3.3.3 [FIN-3]", SERVER,
        "data-ack 3; app: open; data-ack 7; app: 'xyz', EOF", x08),
    case("X09", "data beyond DATA_FIN", "3.3.3", SERVER, "app: 'abc', EOF", x09),
    case("X10", "our DATA_FIN is never acknowledged", "3.3.3 [FIN-9]", SHORT,
        "repeated on both; ends within 8 s", x10),
    case("X11", "the peer's DATA_FIN again after the end", "3.3.3", SERVER,
        "answered by a Data ACK or a RST", x11),
    case("X12", "FIN without DATA_FIN on one of two", "3.3.3 [FIN-8]", SERVER,
        "FIN; alive: 'xyz' data-acked", x12),
    case("X13", "FIN without DATA_FIN on the only one", "3.3.3", SERVER, "FIN; app: open", x13),
    case("X27", "closing in 24 orders", "3.3.3", SERVER, "24 of 24 ended", x27),
    case("X28", "the peer vanishes while we close", "3.3.3 [FIN-9]", SHORT,
        "DATA_FIN at 0; ends within 8 s", x28),
    case("X29", "the last ACK never comes", "RFC 9293 3.6", SERVER,
        "FIN again, at most 12 times, then quiet", x29),
];

fn ended(packet: &Packet) -> bool {
    packet.header.flags.fin || packet.header.flags.rst
}

/// What the application's shutdown sends on this subflow.
fn shut(p: &mut Probe<'_>, flow: &mut Flow) {
    p.answers(flow);
    p.target.shutdown();
    p.note_answers(flow);
}

fn x01(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    shut(p, &mut a);
    let dss = p.ack(1);
    p.send(&mut a, seg().dss(dss));
    let mut early = p.answers(&mut a);
    early.extend(p.answers(&mut b));
    p.note(if early.iter().any(ended) { "FIN already" } else { "no FIN yet" });
    let fin = p.data_fin(3, 1);
    p.send(&mut a, seg().dss(fin));
    let both =
        p.wait_for(&mut a, ANSWER, ended).is_some() && p.wait_for(&mut b, ANSWER, ended).is_some();
    p.note(if both { "FIN on both" } else { "no FIN on both" });
    p.note_app_state();
    Ok(())
}

fn x02(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = Dss { data_fin: true, ..p.map_at(a.nxt, 3, b"xyz", 4, 0) };
    p.send(&mut a, seg().data(b"xyz").dss(dss));
    p.note_app();
    p.answers(&mut a);
    p.target.close();
    p.note_answers(&mut a);
    let dss = p.ack(1);
    p.send(&mut a, seg().dss(dss));
    p.note_answers(&mut a);
    Ok(())
}

fn x03(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let fin = p.data_fin(3, 0);
    p.send(&mut a, seg().dss(fin));
    p.pass(QUIET);
    p.note_app_state();
    p.note_download(&mut [&mut a], 1 << 20, Duration::from_secs(2));
    Ok(())
}

fn x04(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    p.target.shutdown();
    let fin = p.data_fin(3, 0);
    p.send(&mut a, seg().dss(fin));
    p.note_answers(&mut a);
    let dss = p.ack(1);
    p.send(&mut a, seg().dss(dss));
    p.note_answers(&mut a);
    p.send(&mut a, seg().fin().dss(dss));
    let rest = p.answers(&mut a);
    p.note(if rest.iter().any(|q| q.header.flags.rst) { "RST" } else { "no RST" });
    Ok(())
}

fn x05(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = Dss { data_fin: true, ..p.map_at(a.nxt, 3, b"xyz", 4, 0) };
    p.send(&mut a, seg().data(b"xyz").dss(dss));
    p.note_acked(&mut [&mut a]);
    p.note_app();
    Ok(())
}

fn x06(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.target.shutdown();
    let fin = p.wait_for(&mut a, ANSWER, Packet::is_data_fin).ok_or_else(|| stop("no DATA_FIN"))?;
    let mapping: DssMapping =
        fin.dss().and_then(|dss| dss.mapping).ok_or_else(|| stop("no mapping"))?;
    p.note(format!("SSN {}, length {}", mapping.subflow_seq.0, mapping.data_len));
    Ok(())
}

fn x07(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let mut fin = p.data_fin(3, 0);
    if let Some(mapping) = &mut fin.mapping {
        mapping.data_len = 9;
    }
    p.send(&mut a, seg().dss(fin));
    p.pass(QUIET);
    p.note_app_state();
    p.note_alive(&mut a, 3);
    Ok(())
}

fn x08(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let fin = p.data_fin(6, 0);
    p.send(&mut a, seg().dss(fin));
    // A stack may keep silent over what it has to hold.
    let dss = p.ack(0);
    p.send(&mut a, seg().dss(dss));
    let early = p.answers(&mut a);
    let acked = p.data_acked(&early).unwrap_or(3);
    p.note(format!("data-ack {acked}"));
    p.note_app_state();
    p.send_data(&mut a, 3, b"xyz");
    // Again: the first one may have been dropped.
    p.send(&mut a, seg().dss(fin));
    p.note_acked(&mut [&mut a]);
    p.note_app();
    Ok(())
}

fn x09(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let fin = p.data_fin(6, 0);
    p.send(&mut a, seg().dss(fin));
    p.send_data(&mut a, 3, b"abcdef");
    p.send(&mut a, seg().dss(fin));
    p.note_app();
    Ok(())
}

/// Notes whether the connection is over on this subflow: RST or FASTCLOSE within eight seconds, or silence.
fn note_given_up(p: &mut Probe<'_>, flow: &mut Flow) {
    let end = p.wait_for(flow, Duration::from_secs(8), |q| q.header.flags.rst);
    let quiet = end.is_some() || p.wait(flow, Duration::from_secs(4)).is_none();
    p.note(if quiet { "ends within 8 s" } else { "goes on for more than 8 s" });
}

fn x10(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.target.close();
    p.pass(Duration::from_millis(1_500));
    let count = |p: &Probe<'_>, flow: &Flow| {
        p.waiting.iter().filter(|q| q.tuple == flow.tuple && q.is_data_fin()).count()
    };
    let (on_a, on_b) = (count(p, &a), count(p, &b));
    let both = on_a > 0 && on_b > 0 && on_a + on_b >= 3;
    p.note(if both { "repeated on both".to_owned() } else { format!("{on_a} and {on_b} times") });
    note_given_up(p, &mut a);
    p.answers(&mut b);
    Ok(())
}

/// A connection closed by both, the stack first; the probe has sent its FIN on its only subflow.
fn closed(p: &mut Probe<'_>) -> Result<Flow, crate::conform::probe::Stop> {
    let mut a = p.confirmed()?;
    p.target.close();
    p.wait_for(&mut a, ANSWER, Packet::is_data_fin).ok_or_else(|| stop("no DATA_FIN"))?;
    let fin = p.data_fin(3, 1);
    p.send(&mut a, seg().dss(fin));
    p.wait_for(&mut a, ANSWER, ended).ok_or_else(|| stop("no FIN"))?;
    Ok(a)
}

fn x11(p: &mut Probe<'_>) -> Run {
    let mut a = closed(p)?;
    let dss = p.ack(1);
    p.send(&mut a, seg().fin().dss(dss));
    p.pass(QUIET);
    p.waiting.clear();
    let fin = p.data_fin(3, 1);
    p.send(&mut a, seg().dss(fin));
    let packets = p.answers(&mut a);
    let told = p.data_acked(&packets) == Some(4) || packets.iter().any(|q| q.header.flags.rst);
    p.note(if told { "answered by a Data ACK or a RST" } else { "not answered" });
    Ok(())
}

fn x12(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.answers(&mut b);
    p.send(&mut b, seg().fin());
    p.note_answers(&mut b);
    p.note_alive(&mut a, 3);
    Ok(())
}

fn x13(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    p.send(&mut a, seg().fin());
    p.note_answers(&mut a);
    p.note_app_state();
    Ok(())
}

/// The steps of closing, in the order that `order` draws from them.
fn close_in_order(
    p: &mut Probe<'_>,
    mut order: usize,
) -> Result<bool, crate::conform::probe::Stop> {
    let (mut a, mut b) = p.two()?;
    p.target.shutdown();
    p.pass(QUIET / 3);
    let mut steps = vec![0, 1, 2, 3];
    while !steps.is_empty() {
        let count = steps.len();
        let step = steps.remove(order % count);
        order /= count;
        let (dss, fin) = (p.ack(1), p.data_fin(3, 0));
        match step {
            0 => p.send(&mut a, seg().fin()),
            1 => p.send(&mut b, seg().fin()),
            2 => p.send(&mut a, seg().dss(fin)),
            _ => p.send(&mut b, seg().dss(dss)),
        }
        p.pass(QUIET / 10);
    }
    p.pass(QUIET);
    let over = p.read().end != Ok(false);
    p.target.close();
    p.pass(QUIET);
    p.waiting.clear();
    Ok(over)
}

fn x27(p: &mut Probe<'_>) -> Run {
    let mut done = 0;
    for order in 0..24 {
        done += usize::from(close_in_order(p, order)?);
    }
    p.note(format!("{done} of 24 ended"));
    Ok(())
}

fn x28(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    p.target.close();
    p.note_answers(&mut a);
    note_given_up(p, &mut a);
    Ok(())
}

fn x29(p: &mut Probe<'_>) -> Run {
    let mut a = closed(p)?;
    let dss = p.ack(1);
    // Our FIN arrives, the ACK of theirs does not.
    let unacked = a.seen as i64 - 1;
    p.send(&mut a, seg().fin().dss(dss).acking(unacked));
    let limit = p.long(Duration::from_secs(3_600), Duration::from_secs(5));
    let count = p.during(&mut a, limit).iter().filter(|q| q.header.flags.fin).count();
    p.note(match count {
        1..=12 => "FIN again, at most 12 times, then quiet".to_owned(),
        _ => format!("FIN again {count} times"),
    });
    Ok(())
}
