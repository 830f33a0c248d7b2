//! D: the data level, receiving.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::digest::{bytes_words, pattern};
use crate::conform::probe::{Probe, QUIET, Run, Stop, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::SERVER;
use mpuser_engine::crypto::Key;
use mpuser_engine::seq::SubflowSeq;
use mpuser_engine::wire::Dss;

/// A key whose IDSN, 0x85e31fe8_ffffffbb, has its top bit set and is 69 before a wrap of its low word.
const KEY_BEFORE_WRAP: Key = Key(2_371_058);

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("D01", "out of order across subflows", "3.3.1", SERVER,
        "data-ack 3; data-ack 9; app: 'xyzdef'", d01),
    case("D02", "the same bytes on both subflows", "3.3.1", SERVER,
        "data-ack 6; app: 'xyz'; DuplicateData 1", d02),
    case("D03", "overlap with different content, and longer", "3.3.1", SERVER,
        "app: 'abcDEFGHI'", d03),
    case("D04", "DSN far beyond the window", "3.3.4, 3.8", SERVER,
        "data-ack 3; alive: 'xyz' data-acked", d04),
    case("D05", "DSN far in the past", "3.3.1", SERVER,
        "data-ack 3; app: no bytes; alive: 'xyz' data-acked", d05),
    case("D09", "one mapping over three segments", "3.3.1 [DSS-7]", SERVER,
        "app: 'abcdefghi'; data-ack 12", d09),
    case("D10", "a conflicting mapping inside an open one", "3.3.1 [DSS-11]", SERVER,
        "app: 'abcdef'; plain | RST reason 1", d10),
    case("D11", "the same mapping repeated", "3.3.1", SERVER,
        "app: 'abcdef'; mptcp", d11),
    case("D12", "a mapping for later octets than its segment's", "3.3.1", SERVER,
        "app: no bytes; mptcp", d12),
    case("D13", "the same on a joined subflow", "3.3.1, 3.7", SERVER,
        "ACK; alive: 'xyz' data-acked", d13),
    case("D14", "the mapping arrives after its octets", "3.3.1 [DSS-8]", SERVER,
        "app: 'xyz'; mptcp", d14),
    case("D15", "two DSS in one segment that conflict", "3.3", SERVER, "app: 'xyz'; mptcp", d15),
    case("D16", "DSS flags promise more than its length", "3.3", SERVER,
        "app: no bytes; mptcp", d16),
    case("D17", "DSS longer than its flags", "3.3", SERVER,
        "app: no bytes; mptcp", d17),
    case("D18", "DSN and Data ACK in 32 bits", "3.3.1 [DSS-16]", SERVER,
        "app: 'xyz'; data-ack 6", d18),
    case("D19", "10 KB across a wrap of the low word, 64-bit forms", "3.3.1", SERVER,
        "10000 bytes intact; data-ack 10000", d19),
    case("D20", "10 KB across a wrap of the low word, 32-bit forms", "3.3.1 [DSS-19]", SERVER,
        "10000 bytes intact; data-ack 10000", d20),
    case("D21", "8 MiB in 32-bit forms from just before a wrap", "3.3.1 [DSS-17]", SERVER,
        "8388608 bytes intact", d21),
    case("D22", "mappings of 65 535 octets and of one", "3.3.1", SERVER,
        "65545 bytes intact; mptcp", d22),
    case("D23", "a mapping with SSN 0 and data", "3.3.1", SERVER,
        "app: no bytes; mptcp", d23),
    case("D30", "3 000 holes of one octet at the data level", "3.3.4, 5", SERVER,
        "6000 bytes intact; mptcp", d30),
];

fn d01(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.send_data(&mut b, 6, b"def");
    p.note_acked(&mut [&mut a, &mut b]);
    p.send_data(&mut a, 3, b"xyz");
    p.note_acked(&mut [&mut a, &mut b]);
    p.note_app();
    Ok(())
}

fn d02(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.send_data(&mut a, 3, b"xyz");
    p.pass(QUIET);
    p.send_data(&mut b, 3, b"xyz");
    p.note_acked(&mut [&mut a, &mut b]);
    p.note_app();
    p.note_counter("DuplicateData");
    Ok(())
}

fn d03(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.send_data(&mut a, 6, b"DEF");
    p.pass(QUIET);
    p.send_data(&mut b, 6, b"defGHI");
    p.send_data(&mut b, 3, b"abc");
    p.note_app();
    Ok(())
}

fn d04(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.send_data(&mut a, 1 << 30, b"far");
    p.note_acked(&mut [&mut a]);
    p.note_alive(&mut a, 3);
    Ok(())
}

fn d05(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.send_data(&mut a, 0_u64.wrapping_sub(1_000), b"old");
    p.note_acked(&mut [&mut a]);
    p.note_app();
    p.note_alive(&mut a, 3);
    Ok(())
}

fn d09(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = p.map(&a, 3, b"abcdefghi", 0);
    p.send(&mut a, seg().data(b"abc").dss(dss));
    p.send(&mut a, seg().data(b"def"));
    p.send(&mut a, seg().data(b"ghi"));
    p.note_app();
    p.note_acked(&mut [&mut a]);
    Ok(())
}

/// Notes a RST, or else what the application reads and in which mode its own data leaves.
fn note_reset_or_mode(p: &mut Probe<'_>, flow: &mut Flow) {
    let packets = p.answers(flow);
    if packets.iter().any(|packet| packet.header.flags.rst) {
        let text = p.digest(&packets);
        return p.note(text);
    }
    p.note_app();
    p.note_mode(flow);
}

fn d10(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = p.map(&a, 3, b"abcdefghi", 0);
    p.send(&mut a, seg().data(b"abc").dss(dss));
    let other = p.map(&a, 100, b"def", 0);
    p.send(&mut a, seg().data(b"def").dss(other));
    note_reset_or_mode(p, &mut a);
    Ok(())
}

fn d11(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = p.map(&a, 3, b"abcdef", 0);
    p.send(&mut a, seg().data(b"abc").dss(dss));
    p.send(&mut a, seg().data(b"def").dss(dss));
    note_reset_or_mode(p, &mut a);
    Ok(())
}

/// A mapping of three octets that begins a hundred octets after the segment it stands on.
fn later(p: &Probe<'_>, flow: &Flow) -> Dss {
    p.map_at(flow.nxt + 100, 3, b"xyz", 3, 0)
}

fn d12(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = later(p, &a);
    p.send(&mut a, seg().data(b"xyz").dss(dss));
    note_reset_or_mode(p, &mut a);
    Ok(())
}

fn d13(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let dss = later(p, &b);
    p.send(&mut b, seg().data(b"BAD").dss(dss));
    p.note_answers(&mut b);
    p.note_alive(&mut a, 3);
    Ok(())
}

fn d14(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = p.map(&a, 3, b"xyz", 0);
    p.send(&mut a, seg().data(b"xyz"));
    p.send(&mut a, seg().dss(dss));
    note_reset_or_mode(p, &mut a);
    Ok(())
}

fn d15(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.short = true;
    let right = Dss { data_ack: None, ..p.map(&a, 3, b"xyz", 0) };
    let wrong = Dss { data_ack: None, ..p.map(&a, 100, b"xyz", 0) };
    p.short = false;
    p.send(&mut a, seg().data(b"xyz").dss(right).dss(wrong));
    note_reset_or_mode(p, &mut a);
    Ok(())
}

fn d16(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.send(&mut a, seg().data(b"xyz").raw_mptcp(&[0x20, 0x05]));
    note_reset_or_mode(p, &mut a);
    Ok(())
}

fn d17(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let mut body = vec![0x20, 0x01];
    body.resize(26, 0);
    p.send(&mut a, seg().data(b"xyz").raw_mptcp(&body));
    note_reset_or_mode(p, &mut a);
    Ok(())
}

fn d18(p: &mut Probe<'_>) -> Run {
    p.short = true;
    let mut a = p.confirmed()?;
    p.send_data(&mut a, 3, b"xyz");
    p.note_app();
    p.note_acked(&mut [&mut a]);
    Ok(())
}

/// A transfer with this key: what arrives.
fn transfer(p: &mut Probe<'_>, key: Key, len: usize) -> Result<Flow, Stop> {
    p.key = key;
    let mut a = p.serve()?;
    let got = p.upload(&mut a, 0, &pattern(len));
    p.note(bytes_words(&got));
    Ok(a)
}

fn d19(p: &mut Probe<'_>) -> Run {
    let mut a = transfer(p, KEY_BEFORE_WRAP, 10_000)?;
    p.note_acked(&mut [&mut a]);
    Ok(())
}

fn d20(p: &mut Probe<'_>) -> Run {
    p.short = true;
    let mut a = transfer(p, KEY_BEFORE_WRAP, 10_000)?;
    p.note_acked(&mut [&mut a]);
    Ok(())
}

fn d21(p: &mut Probe<'_>) -> Run {
    p.short = true;
    transfer(p, KEY_BEFORE_WRAP, 8 << 20)?;
    Ok(())
}

fn d22(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let data = pattern(65_545);
    let (long, short) = data.split_at(65_535);
    let dss = p.map(&a, 0, long, 0);
    let mut got = Vec::new();
    for (index, piece) in long.chunks(1_400).enumerate() {
        let segment = seg().data(piece);
        p.send(&mut a, if index == 0 { segment.dss(dss) } else { segment });
        p.pass(QUIET / 300);
        got.extend(p.read_now().bytes);
    }
    for (index, octet) in short.iter().enumerate() {
        p.send_data(&mut a, 65_535 + index as u64, &[*octet]);
    }
    got.extend(p.read().bytes);
    p.note(bytes_words(&got));
    p.note_mode(&mut a);
    Ok(())
}

fn d23(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let mut dss = p.map_at(0, 0, b"?abc", 4, 0);
    let mapping = dss.mapping.as_mut().ok_or_else(|| stop("no mapping"))?;
    mapping.subflow_seq = SubflowSeq(0);
    p.send(&mut a, seg().data(b"abc").dss(dss));
    note_reset_or_mode(p, &mut a);
    Ok(())
}

fn d30(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let mut b = p.joined(1)?;
    let data = pattern(6_000);
    for at in (1..6_000_usize).step_by(2) {
        p.send_data(&mut b, at as u64, data.get(at..=at).unwrap_or_default());
    }
    p.pass(QUIET);
    let got = p.upload(&mut a, 0, &data);
    p.note(bytes_words(&got));
    p.note_mode(&mut a);
    Ok(())
}
