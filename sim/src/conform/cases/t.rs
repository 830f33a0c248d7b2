//! T: the TCP core under attack, in an established connection.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::digest::pattern;
use crate::conform::packet::{Packet, icmp_error};
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, Stop, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::SERVER;
use mpuser_engine::addr::Ipv4Addr;
use mpuser_engine::seq::SeqNum;
use std::time::Duration;

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("T01", "RST in the window, not exact", "RFC 5961 3", SERVER,
        "ACK; alive: 'xyz' data-acked", t01),
    case("T02", "RST out of the window", "RFC 9293 3.5.3", SERVER,
        "nothing; alive: 'xyz' data-acked", t02),
    case("T03", "SYN in an established connection", "RFC 5961 4", SERVER,
        "ACK; alive: 'xyz' data-acked", t03),
    case("T04", "data with an ACK from long ago", "RFC 5961 5", SERVER,
        "ACK; app: no bytes; alive: 'xyz' data-acked", t04),
    case("T05", "data with an ACK of what was never sent", "RFC 9293 3.10.7.4", SERVER,
        "app: no bytes; alive: 'xyz' data-acked", t05),
    case("T06", "400 in-window RSTs in a burst", "RFC 5961 7", SERVER,
        "at most 10 answers; alive: 'xyz' data-acked", t06),
    case("T11", "3 000 one-octet segments with holes between them", "RFC 9293 3.4", SERVER,
        "alive afterwards: 6000 bytes intact", t11),
    case("T12", "SACK blocks: inverted, far off, overlapping", "RFC 2018", SERVER,
        "20000 bytes intact", t12),
    case("T14", "SACK blocks that a box has not translated", "RFC 2018", SERVER,
        "100000 bytes intact", t14),
    case("T15", "a zero window for long", "RFC 9293 3.8.6.1 [MUST-36]", SERVER,
        "probes, further and further apart; 100 bytes intact", t15),
    case("T16", "a window of one octet for long", "RFC 9293 3.8.6.2", SERVER,
        "at most 20 packets in 3 s", t16),
    case("T17", "ACKs ahead of what was received", "RFC 5681", SERVER,
        "no data lost: 30000 bytes intact", t17),
    case("T18", "1 000 duplicate ACKs", "RFC 5681 3.2", SERVER,
        "the first segment again at most 3 times", t18),
    case("T19", "overlapping segments with different octets", "RFC 9293 3.4", SERVER,
        "app: 'abcDEF' | app: 'abcdef'", t19),
    case("T20", "timestamps go back, jump, are missing", "RFC 7323 5", SERVER,
        "app: 'abc'; old: no bytes; jump: 'jmp'; missing: no lock-out", t20),
    case("T24", "urgent pointers", "RFC 9293 3.8.5", SERVER, "app: 'abcdefghi'", t24),
    case("T25", "ICMP fragmentation needed: 68, 0, 65 535, and of a wrong number", "RFC 5927 7", SERVER,
        "20000 bytes intact, no segment under 48", t25),
    case("T26", "ICMP hard errors in an established connection", "RFC 5927 6", SERVER,
        "app: open; alive: 'xyz' data-acked", t26),
    case("T28", "retransmission timeouts back off", "RFC 6298 5.5", SERVER,
        "4 or more, each gap longer", t28),
    case("T29", "a long silence", "RFC 9293 3.8.4", SERVER,
        "no storm; alive: 'xyz' data-acked", t29),
];

/// A stimulus of one segment; what answers it, and that the connection lives.
fn poke(p: &mut Probe<'_>, what: impl FnOnce(&Flow) -> crate::conform::segment::Seg) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let segment = what(&a);
    p.send(&mut a, segment);
    p.note_answers(&mut a);
    p.note_alive(&mut a, 3);
    Ok(())
}

fn t01(p: &mut Probe<'_>) -> Run {
    poke(p, |a| seg().rst().at(a.nxt as i64 + 10))
}

fn t02(p: &mut Probe<'_>) -> Run {
    poke(p, |a| seg().rst().at(a.nxt as i64 + 100_000_000))
}

fn t03(p: &mut Probe<'_>) -> Run {
    poke(p, |a| seg().bare_syn().no_ack().at(a.nxt as i64))
}

/// Data with an impossible ACK.
fn bad_ack(p: &mut Probe<'_>, ack: i64, with_answer: bool) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let dss = p.map(&a, 3, b"BAD", 0);
    let at = a.nxt as i64;
    p.send(&mut a, seg().data(b"BAD").dss(dss).acking(ack).at(at));
    let packets = p.answers(&mut a);
    if with_answer {
        let text = p.digest(&packets);
        p.note(text);
    }
    p.note_app();
    p.note_alive(&mut a, 3);
    Ok(())
}

fn t04(p: &mut Probe<'_>) -> Run {
    bad_ack(p, -100_000_000, true)
}

fn t05(p: &mut Probe<'_>) -> Run {
    bad_ack(p, 1_000, false)
}

fn t06(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    for offset in 0..400 {
        let at = a.nxt as i64 + 10 + offset;
        p.send(&mut a, seg().rst().at(at));
    }
    let count = p.answers(&mut a).len();
    p.note(if count <= 10 { "at most 10 answers".to_owned() } else { format!("{count} answers") });
    p.note_alive(&mut a, 3);
    Ok(())
}

fn t11(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let data = pattern(6_000);
    let dss = p.map(&a, 0, &data, 0);
    for at in (1..6_000_usize).step_by(2) {
        let octet = data.get(at..=at).unwrap_or_default();
        p.send(&mut a, seg().data(octet).at(at as i64));
    }
    p.pass(QUIET);
    p.waiting.clear();
    let mut got = p.read_now();
    for _ in 0..20 {
        for (index, piece) in data.chunks(1_000).enumerate() {
            let segment = seg().data(piece).at(index as i64 * 1_000);
            p.send(&mut a, if index == 0 { segment.dss(dss) } else { segment });
        }
        got.bytes.extend(p.read_all(6_000 - got.bytes.len(), QUIET).bytes);
        if got.bytes.len() == 6_000 {
            break;
        }
    }
    p.note(format!("alive afterwards: {}", got.words()));
    Ok(())
}

/// A SACK option with these blocks, as offsets of the stack's stream.
fn sack(flow: &Flow, blocks: &[(i64, i64)]) -> Vec<u8> {
    let mut option = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
    for (start, end) in blocks {
        for edge in [start, end] {
            let seq = flow.irs.wrapping_add(1).wrapping_add(*edge as u32);
            option.extend_from_slice(&seq.to_be_bytes());
        }
    }
    option
}

/// A plain TCP connection that negotiated SACK.
fn with_sack(p: &mut Probe<'_>) -> Result<Flow, Stop> {
    let mut a = p.flow(0);
    p.syn(&mut a, seg().syn().raw(&[1, 1, 4, 2]))?;
    p.send(&mut a, seg());
    p.accepted()?;
    Ok(a)
}

/// Takes `len` bytes of a plain connection, each ACK with an option of this kind.
fn take_plain(
    p: &mut Probe<'_>,
    flow: &mut Flow,
    len: usize,
    option: impl Fn(&Flow) -> Vec<u8>,
) -> bool {
    let data = pattern(len);
    let mut written = p.write(&data);
    let mut got = Vec::new();
    while got.len() < len {
        let before = flow.seen;
        let Some(packet) = p.wait(flow, ANSWER) else { break };
        if !packet.payload.is_empty() {
            if flow.seen > before {
                got.extend_from_slice(&packet.payload);
            }
            let bytes = option(flow);
            p.send(flow, seg().raw(&bytes));
        }
        written += p.write(data.get(written..).unwrap_or_default());
    }
    got == data
}

fn note_intact(p: &mut Probe<'_>, intact: bool, len: usize) {
    p.note(if intact { format!("{len} bytes intact") } else { "bytes missing".to_owned() });
}

fn t12(p: &mut Probe<'_>) -> Run {
    let mut a = with_sack(p)?;
    let intact = take_plain(p, &mut a, 20_000, |flow| {
        let seen = flow.seen as i64;
        sack(flow, &[(seen + 500, seen + 100), (900_000, 901_000), (seen, seen + 10), (5, 9)])
    });
    note_intact(p, intact, 20_000);
    Ok(())
}

fn t14(p: &mut Probe<'_>) -> Run {
    let mut a = with_sack(p)?;
    let intact = take_plain(p, &mut a, 100_000, |flow| {
        let far = flow.seen as i64 + 700_000_000;
        sack(flow, &[(far, far + 1_460)])
    });
    note_intact(p, intact, 100_000);
    Ok(())
}

fn t15(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve_plain()?;
    p.send(&mut a, seg().window(0));
    p.write(&pattern(100));
    let limit = Duration::from_secs(5);
    let end = p.target.now() + limit;
    let mut times = Vec::new();
    while let Some(packet) = p.wait(&mut a, end.saturating_sub(p.target.now())) {
        times.push(packet.at);
        p.send(&mut a, seg().acking(0).window(0));
    }
    let gaps: Vec<Duration> =
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let growing = gaps.windows(2).all(|pair| pair[1] * 10 > pair[0] * 11);
    p.note(if growing && times.len() >= 3 {
        "probes, further and further apart".to_owned()
    } else {
        format!("{} probes", times.len())
    });
    a.seen = 0;
    p.send(&mut a, seg());
    let mut got = Vec::new();
    while got.len() < 100 {
        let before = a.seen;
        let Some(packet) = p.wait(&mut a, ANSWER) else { break };
        if a.seen > before {
            got.extend_from_slice(&packet.payload);
        }
        p.send(&mut a, seg());
    }
    note_intact(p, got == pattern(100), 100);
    Ok(())
}

fn t16(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve_plain()?;
    p.send(&mut a, seg().window(1));
    p.write(&pattern(1_000));
    let end = p.target.now() + Duration::from_secs(3);
    let mut count = 0;
    while let Some(_packet) = p.wait(&mut a, end.saturating_sub(p.target.now())) {
        count += 1;
        p.send(&mut a, seg().window(1));
        if count > 1_000 {
            break;
        }
    }
    p.note(if count <= 20 {
        "at most 20 packets in 3 s".to_owned()
    } else {
        format!("{count} packets in 3 s")
    });
    Ok(())
}

fn t17(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve_plain()?;
    let intact = take_plain(p, &mut a, 30_000, |_| Vec::new());
    // Ahead of what was sent: to be ignored.
    p.send(&mut a, seg().acking(90_000));
    p.answers(&mut a);
    p.note(if intact { "no data lost: 30000 bytes intact" } else { "bytes missing" });
    Ok(())
}

fn t18(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve_plain()?;
    p.write(&pattern(20_000));
    let first = p.wait(&mut a, ANSWER).ok_or_else(|| stop("no data"))?;
    for _ in 0..1_000 {
        p.send(&mut a, seg().acking(0));
    }
    let packets = p.during(&mut a, Duration::from_millis(100));
    let again = packets.iter().filter(|q| q.header.seq == first.header.seq).count();
    p.note(if again <= 3 {
        "the first segment again at most 3 times".to_owned()
    } else {
        format!("the first segment {again} times")
    });
    Ok(())
}

fn t19(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve_plain()?;
    p.send(&mut a, seg().data(b"DEF").at(3));
    p.pass(QUIET / 3);
    p.send(&mut a, seg().data(b"abcdef"));
    p.note_app();
    Ok(())
}

fn t20(p: &mut Probe<'_>) -> Run {
    let mut a = p.flow(0);
    a.timestamps = Some((1_000_000, 0));
    p.syn(&mut a, seg().syn())?;
    p.send(&mut a, seg());
    p.accepted()?;
    p.send(&mut a, seg().data(b"abc"));
    p.note_app();
    let (value, echo) = a.timestamps.ok_or_else(|| stop("no timestamps"))?;
    a.timestamps = Some((value - 500_000, echo));
    let at = a.nxt as i64;
    p.send(&mut a, seg().data(b"old").at(at));
    let words = p.read().words();
    p.note(format!("old: {words}"));
    a.timestamps = Some((value + 1_000_000_000, echo));
    p.send(&mut a, seg().data(b"jmp"));
    let words = p.read().words();
    p.note(format!("jump: {words}"));
    a.timestamps = None;
    let at = a.nxt as i64;
    p.send(&mut a, seg().data(b"mis").at(at));
    p.read();
    a.timestamps = Some((value + 1_000_001_000, echo));
    p.send(&mut a, seg().data(b"mis"));
    p.send(&mut a, seg().data(b"end"));
    let got = p.read();
    p.note(if got.bytes.ends_with(b"end") {
        "missing: no lock-out"
    } else {
        "missing: locked out"
    });
    Ok(())
}

fn t24(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    for (index, (data, pointer)) in
        [(b"abc", 0), (b"def", 2), (b"ghi", 60_000)].into_iter().enumerate()
    {
        let dss = p.map(&a, 3 + 3 * index as u64, data, 0);
        p.send(&mut a, seg().data(data).dss(dss).urgent(pointer));
    }
    p.note_app();
    Ok(())
}

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

fn t25(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve_plain()?;
    let data = pattern(20_000);
    p.write(&data);
    let first = p.wait(&mut a, ANSWER).ok_or_else(|| stop("no data"))?;
    for mtu in [68, 0, 65_535] {
        p.target.inject(&icmp_error(ROUTER, 3, 4, mtu, &first));
    }
    let mut wrong = first.clone();
    wrong.header.seq = SeqNum(first.header.seq.0.wrapping_add(500_000_000));
    p.target.inject(&icmp_error(ROUTER, 3, 4, 300, &wrong));
    let mut got = first.payload.to_vec();
    let mut least = got.len();
    p.send(&mut a, seg());
    while got.len() < data.len() {
        let before = a.seen;
        let Some(packet) = p.wait(&mut a, ANSWER) else { break };
        if a.seen > before {
            got.extend_from_slice(&packet.payload);
            let last = got.len() == data.len();
            least = if last { least } else { least.min(packet.payload.len()) };
        }
        p.send(&mut a, seg());
    }
    let intact = got == data;
    p.note(match (intact, least >= 48) {
        (true, true) => "20000 bytes intact, no segment under 48".to_owned(),
        _ => format!("{} bytes, shortest segment {least}", got.len()),
    });
    Ok(())
}

fn t26(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.write(b"hello");
    let sent = p.wait_for(&mut a, ANSWER, |q| !q.payload.is_empty());
    let sent = sent.ok_or_else(|| stop("no data"))?;
    for code in [2, 3] {
        p.target.inject(&icmp_error(ROUTER, 3, code, 0, &sent));
    }
    p.pass(QUIET);
    p.note_app_state();
    p.note_alive(&mut a, 3);
    Ok(())
}

fn t28(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve_plain()?;
    p.write(b"hello");
    let packets: Vec<Packet> = p.during(&mut a, Duration::from_secs(7));
    let times: Vec<Duration> =
        packets.iter().filter(|q| !q.payload.is_empty()).map(|q| q.at).collect();
    let gaps: Vec<Duration> =
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    // The first gap may belong to a tail loss probe.
    let growing = gaps.windows(2).skip(1).all(|pair| pair[1] * 10 > pair[0] * 13);
    p.note(if growing && gaps.len() >= 4 {
        "4 or more, each gap longer".to_owned()
    } else {
        format!("gaps {gaps:?}")
    });
    Ok(())
}

fn t29(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let silence = p.long(Duration::from_secs(8 * 3_600), Duration::from_secs(3));
    let packets = p.during(&mut a, silence);
    p.note(if packets.len() <= 1 {
        "no storm".to_owned()
    } else {
        format!("{} packets", packets.len())
    });
    p.note_alive(&mut a, 3);
    Ok(())
}
