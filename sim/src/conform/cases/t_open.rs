//! T: the TCP core under attack, while it opens; and packets that are no packets.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::digest::pattern;
use crate::conform::packet::{Packet, fix_checksums};
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{PORT, SERVER, stack_address};
use mpuser_engine::addr::{IpAddr, SocketAddr};
use mpuser_engine::tcp::Flags;
use std::collections::BTreeSet;
use std::time::Duration;

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("T07", "initial sequence numbers of 200 connections", "RFC 6528", SERVER,
        "200 numbers, no constant step", t07),
    case("T08", "the peer's ISN is 2^32-1, 0, 2^31", "RFC 9293 3.4", SERVER,
        "alive: 'xyz' data-acked; alive: 'xyz' data-acked; alive: 'xyz' data-acked", t08),
    case("T09", "MSS of 0, 1, 48, 65 535, and none", "RFC 9293 3.7.1", SERVER,
        "data flows 5 times; without MSS at most 536", t09),
    case("T10", "window scale of 200, and twice", "RFC 7323 2.3", SERVER,
        "data flows; data flows", t10),
    case("T13", "a SACK storm at an MSS of 48", "RFC 2018, RFC 6675", SERVER,
        "10000 bytes intact", t13),
    case("T21", "FIN in SYN-SENT; data in SYN; SYN with FIN; no flags; all flags", "RFC 9293 3.10.7", SERVER,
        "the listener lives: alive: 'xyz' data-acked", t21),
    case("T22", "a wrong ACK in SYN-RECEIVED", "RFC 9293 3.10.7.4", SERVER,
        "RST; the listener lives: alive: 'xyz' data-acked", t22),
    case("T23", "SYN from 0.0.0.0, broadcast, and from ourselves", "RFC 9293 3.10.7.2, RFC 1122", SERVER,
        "nothing; the listener lives: alive: 'xyz' data-acked", t23),
    case("T27", "IP: header length 4, lying length, fragment, TTL 0, wrong checksums", "RFC 791, RFC 1122", SERVER,
        "nothing; app: no bytes; alive: 'xyz' data-acked", t27),
    case("T30", "a flood of SYNs", "RFC 4987", SERVER, "the good client succeeds", t30),
];

fn t07(p: &mut Probe<'_>) -> Run {
    let mut numbers = Vec::new();
    for _ in 0..200 {
        let mut flow = p.flow(0);
        p.syn(&mut flow, seg().syn())?;
        numbers.push(flow.irs);
        p.send(&mut flow, seg().rst());
    }
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    let steps: BTreeSet<u32> =
        numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let step = if steps.len() > 150 { "no constant step" } else { "few different steps" };
    p.note(format!("{} numbers, {step}", distinct.len()));
    Ok(())
}

fn t08(p: &mut Probe<'_>) -> Run {
    for iss in [u32::MAX, 0, 1 << 31] {
        let mut flow = p.flow(0);
        flow.iss = iss;
        let option = p.capable_syn(p.flags());
        p.syn(&mut flow, seg().syn().option(option))?;
        let option = p.capable_ack(p.flags());
        p.send(&mut flow, seg().option(option));
        p.accepted()?;
        p.note_alive(&mut flow, 0);
    }
    Ok(())
}

/// A plain connection opened with these bytes as the SYN's options.
fn open_with(p: &mut Probe<'_>, options: &[u8]) -> Result<Flow, crate::conform::probe::Stop> {
    let mut flow = p.flow(0);
    p.syn(&mut flow, seg().bare_syn().raw(options))?;
    p.send(&mut flow, seg());
    p.accepted()?;
    Ok(flow)
}

fn t09(p: &mut Probe<'_>) -> Run {
    let mut flowing = 0;
    let mut longest = 0;
    for mss in [Some(0_u16), Some(1), Some(48), Some(65_535), None] {
        let options = mss.map_or_else(Vec::new, |mss| {
            let [high, low] = mss.to_be_bytes();
            vec![2, 4, high, low]
        });
        let mut flow = open_with(p, &options)?;
        p.write(&pattern(3_000));
        let packets = p.answers(&mut flow);
        flowing += usize::from(packets.iter().any(|q| !q.payload.is_empty()));
        longest = packets.iter().map(|q| q.payload.len()).max().unwrap_or(0);
        p.target.abort();
        p.pass(QUIET / 10);
    }
    let clamp = if longest <= 536 { "at most 536".to_owned() } else { longest.to_string() };
    p.note(format!("data flows {flowing} times; without MSS {clamp}"));
    Ok(())
}

fn t10(p: &mut Probe<'_>) -> Run {
    let mss = [2, 4, 5, 0xb4];
    for scale in [&[1, 3, 3, 200][..], &[1, 3, 3, 2, 1, 3, 3, 9]] {
        let mut flow = open_with(p, &[&mss, scale].concat())?;
        p.send(&mut flow, seg().window(4));
        p.write(&pattern(100));
        let data = p.wait_for(&mut flow, ANSWER, |q| !q.payload.is_empty());
        p.note(if data.is_some() { "data flows" } else { "no data" });
    }
    Ok(())
}

fn t13(p: &mut Probe<'_>) -> Run {
    let mut flow = open_with(p, &[2, 4, 0, 48, 1, 1, 4, 2])?;
    let data = pattern(10_000);
    let mut written = p.write(&data);
    let mut got = Vec::new();
    while got.len() < data.len() {
        let before = flow.seen;
        let Some(packet) = p.wait(&mut flow, ANSWER) else { break };
        if flow.seen > before {
            got.extend_from_slice(&packet.payload);
        }
        let mut option = vec![1, 1, 5, 34];
        for block in 0..4_u32 {
            let start = flow.irs.wrapping_add(flow.seen as u32 + 49 + 96 * block);
            option.extend_from_slice(&start.to_be_bytes());
            option.extend_from_slice(&start.wrapping_add(48).to_be_bytes());
        }
        // What was sacked is not lost: only now and then a block that is true.
        if got.len() % 7 == 0 {
            p.send(&mut flow, seg().raw(&option));
        }
        p.send(&mut flow, seg());
        written += p.write(data.get(written..).unwrap_or_default());
    }
    let intact = got == data;
    p.note(if intact { "10000 bytes intact".to_owned() } else { format!("{} bytes", got.len()) });
    Ok(())
}

/// Notes that a new MPTCP connection works.
fn note_listener(p: &mut Probe<'_>) -> Run {
    p.pass(QUIET);
    p.waiting.clear();
    let mut flow = p.open()?;
    let option = p.capable_ack(p.flags());
    p.send(&mut flow, seg().option(option));
    p.accepted()?;
    let before = p.observed();
    p.note_alive(&mut flow, 0);
    let after = p.observed();
    let alive = after.strip_prefix(&before).unwrap_or(&after).trim_start_matches("; ").to_owned();
    p.replace_notes(&before, format!("the listener lives: {alive}"));
    Ok(())
}

fn t21(p: &mut Probe<'_>) -> Run {
    let fin = Flags { fin: true, ..Flags::default() };
    let both = Flags { syn: true, fin: true, ..Flags::default() };
    let all = Flags { syn: true, fin: true, rst: true, psh: true, urg: true, ece: true, cwr: true };
    for flags in [fin, both, Flags::default(), all] {
        let mut flow = p.flow(0);
        p.send(&mut flow, seg().flags(flags).no_ack().data(b"junk"));
        let mut flow = p.flow(0);
        p.send(&mut flow, seg().flags(flags));
    }
    note_listener(p)
}

fn t22(p: &mut Probe<'_>) -> Run {
    let mut flow = p.open()?;
    p.send(&mut flow, seg().acking(5_000));
    p.note_answers(&mut flow);
    note_listener(p)
}

fn t23(p: &mut Probe<'_>) -> Run {
    let local = SocketAddr::new(stack_address(0, false), PORT);
    let sources: [IpAddr; 3] =
        [[0, 0, 0, 0].into(), [255, 255, 255, 255].into(), stack_address(0, false)];
    let mut answers = 0;
    for source in sources {
        let mut flow = Flow::new(local, SocketAddr::new(source, PORT));
        p.send(&mut flow, seg().syn().no_ack());
        answers += p.answers(&mut flow).len();
    }
    p.note(if answers == 0 { "nothing".to_owned() } else { format!("{answers} answers") });
    note_listener(p)
}

/// Broken copies of a packet.
fn broken(packet: &[u8]) -> Vec<Vec<u8>> {
    let change = |at: usize, to: u8, fix: bool| {
        let mut copy = packet.to_vec();
        if let Some(byte) = copy.get_mut(at) {
            *byte = to;
        }
        if fix {
            fix_checksums(&mut copy);
        }
        copy
    };
    let mut long = packet.to_vec();
    if let [_, _, high, low, ..] = long.as_mut_slice() {
        (*high, *low) = (0x7f, 0xff);
    }
    fix_checksums(&mut long);
    let byte = |at: usize| packet.get(at).copied().unwrap_or(0);
    vec![
        change(0, 0x44, false),
        long,
        change(6, 0x20, true),
        change(10, byte(10) ^ 0xff, false),
        change(36, byte(36) ^ 0xff, false),
        packet.get(..30).unwrap_or_default().to_vec(),
        packet.get(..10).unwrap_or_default().to_vec(),
    ]
}

fn t27(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let dss = p.map(&a, 3, b"BAD", 0);
    let at = a.nxt as i64;
    let packet = a.packet(&seg().data(b"BAD").dss(dss).at(at));
    for packet in broken(&packet) {
        p.target.inject(&packet);
    }
    p.note_answers(&mut a);
    p.note_app();
    p.note_alive(&mut a, 3);
    Ok(())
}

fn t30(p: &mut Probe<'_>) -> Run {
    let count: u32 = if p.target.is_virtual() { 10_000 } else { 2_000 };
    let local = SocketAddr::new(stack_address(0, false), PORT);
    for index in 0..count {
        let address = IpAddr::from([198, 18, (index >> 8) as u8, index as u8]);
        let mut flow = Flow::new(local, SocketAddr::new(address, 1_000));
        let option = p.capable_syn(p.flags());
        p.send(&mut flow, seg().syn().no_ack().option(option));
        if index % 500 == 499 {
            p.pass(Duration::from_millis(5));
            p.waiting.clear();
        }
    }
    p.pass(QUIET);
    p.waiting.clear();
    let mut good = p.flow(0);
    let answer = p.syn(&mut good, seg().syn()).ok().filter(Packet::is_syn_ack);
    answer.ok_or_else(|| stop("no SYN/ACK for the good client"))?;
    p.send(&mut good, seg());
    p.accepted()?;
    p.send(&mut good, seg().data(b"abc"));
    let got = p.read_all(3, ANSWER);
    p.note(if got.bytes == b"abc" { "the good client succeeds" } else { "the good client fails" });
    Ok(())
}
