//! L: liveness and scheduling, by what leaves on which subflow.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::digest::pattern;
use crate::conform::probe::{ANSWER, Probe, QUIET, Run};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{AppError, SERVER};
use std::time::Duration;

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("L01", "one of two paths dies silently", "3.3.6", SERVER, "200000 bytes intact", l01),
    case("L02", "a path flaps", "3.3.6", SERVER, "200000 bytes intact", l02),
    case("L03", "a path loses everything one way", "3.3.6", SERVER, "200000 bytes intact", l03),
    case("L04", "one path is slow", "3.3.6", SERVER, "200000 bytes intact", l04),
    case("L05", "all paths down for a while", "RFC 9293 3.8.1", SERVER,
        "100000 bytes intact", l05),
    case("L06", "the receiver stops reading for a while", "3.3.4", SERVER,
        "the window closes; all bytes in order", l06),
    case("L07", "a backup only after failure", "3.3.8 [PRIO-1]", SERVER,
        "first on the regular one; then on the backup", l07),
    case("L08", "a stale subflow is left and taken again", "3.3.6", SERVER,
        "the other carries on; the stale one recovers", l08),
    case("L09", "no subflow can take data for a while", "3.3.6", SERVER,
        "nothing lost: 5000 bytes intact", l09),
    case("L10", "odd calls of the application", "-", SERVER,
        "shutdown twice; write says EPIPE; read after the end says EOF twice", l10),
];

/// A transfer of the stack's over two subflows where the second is treated by `second`: it gets the subflow and the
/// moment, and says whether the probe answers there.
fn over_two(p: &mut Probe<'_>, len: usize, mut answers: impl FnMut(Duration) -> bool) -> Run {
    let (mut a, mut b) = p.two()?;
    let data = pattern(len);
    let mut written = p.write(&data);
    let mut got = Vec::new();
    let start = p.target.now();
    let end = start + Duration::from_secs(30);
    while got.len() < len && p.target.now() < end {
        let up = answers(p.target.now().saturating_sub(start));
        got = if up {
            p.collect(&mut [&mut a, &mut b], written, QUIET, got)
        } else {
            p.collect(&mut [&mut a], written, QUIET, got)
        };
        written += p.write(data.get(written..).unwrap_or_default());
    }
    p.note(if got == data {
        format!("{len} bytes intact")
    } else {
        format!("{} of {len} bytes", got.len())
    });
    Ok(())
}

fn l01(p: &mut Probe<'_>) -> Run {
    over_two(p, 200_000, |_| false)
}

fn l02(p: &mut Probe<'_>) -> Run {
    over_two(p, 200_000, |at| at.as_millis() / 500 % 2 == 1)
}

fn l03(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.waiting.clear();
    let data = pattern(200_000);
    let mut written = p.write(&data);
    let mut got = Vec::new();
    let end = p.target.now() + Duration::from_secs(30);
    while got.len() < data.len() && p.target.now() < end {
        got = p.collect(&mut [&mut a], written, QUIET, got);
        // The second path still delivers what the probe says, but nothing the stack says.
        p.waiting.retain(|packet| packet.tuple != b.tuple);
        let dss = p.ack(got.len() as u64);
        p.send(&mut b, seg().dss(dss));
        written += p.write(data.get(written..).unwrap_or_default());
    }
    let intact = got == data;
    p.note(if intact { "200000 bytes intact".to_owned() } else { format!("{} bytes", got.len()) });
    Ok(())
}

fn l04(p: &mut Probe<'_>) -> Run {
    let mut calls = 0;
    over_two(p, 200_000, move |_| {
        calls += 1;
        calls % 4 == 0
    })
}

fn l05(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let data = pattern(100_000);
    let mut written = p.write(&data);
    let got = p.collect(&mut [&mut a, &mut b], 30_000, QUIET, Vec::new());
    let down = p.long(Duration::from_secs(50), Duration::from_secs(3));
    p.pass(down);
    p.waiting.clear();
    let mut got = got;
    let end = p.target.now() + p.long(Duration::from_secs(200), Duration::from_secs(20));
    while got.len() < data.len() && p.target.now() < end {
        got = p.collect(&mut [&mut a, &mut b], written, Duration::from_secs(1), got);
        written += p.write(data.get(written..).unwrap_or_default());
    }
    let intact = got == data;
    p.note(if intact { "100000 bytes intact".to_owned() } else { format!("{} bytes", got.len()) });
    Ok(())
}

fn l06(p: &mut Probe<'_>) -> Run {
    p.setup.receive_buffer = 65_536;
    let mut a = p.serve()?;
    let data = pattern(2_000_000);
    let mut window = u16::MAX;
    let mut sent = 0_usize;
    // As a sender: as far as the window goes, which without scaling is 64 KiB at most.
    while sent < data.len() {
        let piece = data.get(sent..sent + 1_400).unwrap_or_default();
        if piece.is_empty() || window < 1_400 {
            break;
        }
        p.send_data(&mut a, sent as u64, piece);
        sent += piece.len();
        for packet in p.during(&mut a, Duration::from_millis(1)) {
            window = packet.header.window;
        }
        if sent.is_multiple_of(14_000) {
            for packet in p.during(&mut a, Duration::from_millis(50)) {
                window = packet.header.window;
            }
        }
        // Enough for the largest buffer.
        if sent > 12_000_000 {
            break;
        }
    }
    let bounded = window < 1_400 || sent >= 1_999_000;
    p.note(if bounded { "the window closes" } else { "the window stays open" });
    let stall = p.long(Duration::from_secs(60), Duration::from_secs(2));
    p.pass(stall);
    let got = p.read_all(sent, ANSWER).bytes;
    let right = data.starts_with(&got) && got.len() + 3_000 >= sent;
    p.note(if right {
        "all bytes in order".to_owned()
    } else {
        format!("{} of {sent}", got.len())
    });
    Ok(())
}

fn l07(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let mut b = p.joined_with(1, 1, true)?;
    p.answers(&mut a);
    p.answers(&mut b);
    let first = p.which(b"hello", &mut a, &mut b);
    let dss = p.ack(5);
    p.send(&mut a, seg().dss(dss));
    p.answers(&mut a);
    p.send(&mut a, seg().rst());
    p.pass(QUIET);
    p.data_after(&mut b, b"world")?;
    p.note(if first == Some(0) { "first on the regular one" } else { "first on the backup" });
    p.note("then on the backup");
    Ok(())
}

fn l08(p: &mut Probe<'_>) -> Run {
    let (mut used, mut other) = p.two_in_use(b"hello")?;
    // The one in use is not acknowledged any more.
    let again = p.wait_for(&mut other, ANSWER, |q| !q.payload.is_empty());
    let dss = p.ack(5);
    p.send(&mut other, seg().dss(dss));
    let next = p.data_after(&mut other, b"world");
    let carries = again.is_some() && next.is_ok();
    p.note(if carries { "the other carries on" } else { "the other does not carry on" });
    let dss = p.ack(10);
    p.send(&mut other, seg().dss(dss));
    recover(p, &mut used);
    p.answers(&mut other);
    p.answers(&mut used);
    p.send_prio(&mut other, true);
    p.pass(QUIET);
    p.waiting.clear();
    let back = p.data_after(&mut used, b"again").is_ok();
    p.note(if back { "the stale one recovers" } else { "the stale one does not recover" });
    Ok(())
}

/// Everything the stack sent on this subflow is acknowledged at last.
fn recover(p: &mut Probe<'_>, flow: &mut Flow) {
    let dss = p.ack(10);
    p.answers(flow);
    p.send(flow, seg().dss(dss));
}

fn l09(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.answers(&mut a);
    p.answers(&mut b);
    p.send_prio(&mut a, true);
    p.send_prio(&mut b, true);
    let dss = p.ack(0);
    for flow in [&mut a, &mut b] {
        p.send(flow, seg().dss(dss).window(0));
    }
    p.write(&pattern(5_000));
    p.pass(Duration::from_secs(1));
    p.waiting.clear();
    for flow in [&mut a, &mut b] {
        p.send(flow, seg().dss(dss));
    }
    let got = p.collect(&mut [&mut a, &mut b], 5_000, Duration::from_secs(3), Vec::new());
    let intact = got == pattern(5_000);
    p.note(if intact {
        "nothing lost: 5000 bytes intact".to_owned()
    } else {
        format!("{} bytes", got.len())
    });
    Ok(())
}

fn l10(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.target.shutdown();
    p.target.shutdown();
    p.note("shutdown twice");
    let error = p.target.write(b"x").err().map_or("nothing", AppError::word);
    p.note(format!("write says {error}"));
    let fin = p.data_fin(3, 0);
    p.send(&mut a, seg().dss(fin));
    p.pass(QUIET);
    let ends = (0..2).filter(|_| p.target.read(10).is_ok_and(|data| data.is_empty())).count();
    p.note(if ends == 2 {
        "read after the end says EOF twice".to_owned()
    } else {
        format!("EOF {ends} times")
    });
    Ok(())
}
