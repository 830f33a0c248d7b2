//! H: connection set-up, as it should go.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::packet::Packet;
use crate::conform::probe::{ANSWER, Probe, Run, Stop, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{CLIENT, SERVER, Setup};
use mpuser_engine::crypto::Key;
use mpuser_engine::wire::{CapableFlags, MpCapable, MptcpOption};
use std::collections::BTreeSet;
use std::time::Duration;

const CHECKSUM_CLIENT: Setup = Setup { checksum: true, ..CLIENT };

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("H01", "MP_CAPABLE handshake", "3.1 [INI-6]", SERVER,
        "SYN/ACK MP_CAPABLE len 12 flags H; alive: 'xyz' data-acked", h01),
    case("H02", "the client speaks first", "3.1 [INI-13]", CLIENT,
        "SYN MP_CAPABLE len 4 flags H; MP_CAPABLE len 20 flags H; data MP_CAPABLE len 22 flags H covers 5; then data", h02),
    case("H03", "third ACK lost, MP_CAPABLE with data arrives", "3.1 [INI-9]", SERVER,
        "app: 'abc'; alive: 'xyz' data-acked", h03),
    case("H04", "the server speaks first", "3.1", SERVER,
        "data, data-ack seen, 5 bytes", h04),
    case("H06", "SYN of version 2", "3.1 [INI-2]", SERVER,
        "SYN/ACK MP_CAPABLE len 12 flags H", h06),
    case("H10", "H and an unassigned algorithm in the SYN", "3.1 [INI-23]", SERVER,
        "SYN/ACK MP_CAPABLE len 12 flags H", h10),
    case("H11", "the peer sets C: no join to its first address", "3.1 [INI-20]",
        Setup { addresses: 2, subflow: true, ..CLIENT },
        "no join; data", h11),
    case("H12", "the server wants checksums", "3.1 [INI-16]", CHECKSUM_CLIENT,
        "MP_CAPABLE len 20 flags AH; data MP_CAPABLE len 24 flags AH covers 5; then data with a right checksum", h12),
    case("H19", "SYN with MP_CAPABLE twice", "3.1", SERVER,
        "SYN/ACK MP_CAPABLE len 12 flags H | SYN/ACK", h19),
    case("H22", "keys of 200 connections", "3.1 [INI-8]", SERVER, "200 keys, 200 tokens", h22),
    case("H24", "MP_CAPABLE with other keys when established", "3.1", SERVER,
        "alive: 'xyz' data-acked; join by the old keys works", h24),
    case("H05", "SYN of version 0", "3.1 [INI-2]", SERVER, "SYN/ACK", h05),
    case("H18", "nobody answers the SYN", "3.7, RFC 6298", CLIENT,
        "MPTCP at first, plain after 2 or 3 SYNs, within 8 s", h18),
    case("H23", "simultaneous open with MP_CAPABLE", "3.1", CLIENT,
        "SYN/ACK, plain; app: 'abc'", h23),
];

/// SYN with MP_CAPABLE of this version and flags.
fn capable(version: u8, flags: CapableFlags) -> MptcpOption {
    MptcpOption::Capable(MpCapable::Syn { version, flags })
}

/// Sends a SYN with this option and notes the answer.
fn syn(p: &mut Probe<'_>, option: MptcpOption) -> Result<Flow, Stop> {
    let mut flow = p.flow(0);
    let answer = p.syn(&mut flow, seg().syn().option(option))?;
    let text = p.digest(&[answer]);
    p.note(text);
    Ok(flow)
}

fn h01(p: &mut Probe<'_>) -> Run {
    let option = capable(1, p.flags());
    let mut flow = syn(p, option)?;
    let third = p.capable_ack(p.flags());
    p.send(&mut flow, seg().option(third));
    p.accepted()?;
    p.note_alive(&mut flow, 0);
    Ok(())
}

/// The first data of the stack: what it says and covers.
fn first_data(p: &mut Probe<'_>, flow: &mut Flow) -> Result<Packet, Stop> {
    p.write(b"hello");
    let data = p.wait_for(flow, ANSWER, |packet| !packet.payload.is_empty());
    let data = data.ok_or_else(|| stop("no data"))?;
    let covered = data.find(|option| match option {
        MptcpOption::Capable(MpCapable::AckData { data_len, .. }) => Some(*data_len),
        _ => None,
    });
    let text = p.digest(std::slice::from_ref(&data));
    p.note(match covered {
        Some(len) => format!("{text} covers {len}"),
        None => text,
    });
    Ok(data)
}

fn h02(p: &mut Probe<'_>) -> Run {
    let (mut flow, syn) = p.dialled()?;
    let text = p.digest(&[syn]);
    p.note(text);
    let option = p.capable_syn_ack(p.flags());
    let third = p.answer_syn(&mut flow, seg().syn().option(option))?;
    let text = p.digest(&[third]);
    p.note(text);
    first_data(p, &mut flow)?;
    let dss = p.ack(5);
    p.send(&mut flow, seg().dss(dss));
    p.write(b"world");
    let data = p.wait_for(&mut flow, ANSWER, |packet| !packet.payload.is_empty());
    let text = p.digest(&data.into_iter().collect::<Vec<_>>());
    p.note(format!("then {text}"));
    Ok(())
}

fn h03(p: &mut Probe<'_>) -> Run {
    let mut flow = p.open()?;
    let (sender_key, receiver_key, flags) = (p.key, p.own_key, p.flags());
    let (version, data_len, checksum) = (1, 3, None);
    let option =
        MpCapable::AckData { version, flags, sender_key, receiver_key, data_len, checksum };
    p.send(&mut flow, seg().data(b"abc").option(MptcpOption::Capable(option)));
    p.accepted()?;
    p.note_app();
    p.note_alive(&mut flow, 3);
    Ok(())
}

fn h04(p: &mut Probe<'_>) -> Run {
    let mut flow = p.serve()?;
    p.write(b"hello");
    let data = p.wait_for(&mut flow, ANSWER, |packet| !packet.payload.is_empty());
    let data = data.ok_or_else(|| stop("no data"))?;
    let acked = if p.data_ack(&data) == Some(0) { "data-ack seen" } else { "no data-ack" };
    let text =
        format!("{}, {acked}, {} bytes", p.digest(std::slice::from_ref(&data)), data.payload.len());
    p.note(text);
    Ok(())
}

fn h05(p: &mut Probe<'_>) -> Run {
    syn(p, capable(0, p.flags())).map(drop)
}

fn h06(p: &mut Probe<'_>) -> Run {
    syn(p, capable(2, p.flags())).map(drop)
}

fn h10(p: &mut Probe<'_>) -> Run {
    syn(p, capable(1, CapableFlags(0x03))).map(drop)
}

fn h11(p: &mut Probe<'_>) -> Run {
    let (mut flow, _) = p.dialled()?;
    let option = p.capable_syn_ack(CapableFlags::new(false, true));
    p.answer_syn(&mut flow, seg().syn().option(option))?;
    let dss = p.ack(0);
    p.send(&mut flow, seg().dss(dss));
    let join = p.next_syn(Duration::from_secs(2));
    p.note(if join.is_some() { "joins" } else { "no join" });
    p.write(b"hello");
    let data = p.wait_for(&mut flow, ANSWER, |packet| !packet.payload.is_empty());
    p.note(if data.is_some() { "data" } else { "no data" });
    Ok(())
}

fn h12(p: &mut Probe<'_>) -> Run {
    let (mut flow, _) = p.dialled()?;
    let option = p.capable_syn_ack(CapableFlags::new(true, false));
    let third = p.answer_syn(&mut flow, seg().syn().option(option))?;
    let text = p.digest(&[third]);
    p.note(text);
    first_data(p, &mut flow)?;
    let dss = p.ack(5);
    p.send(&mut flow, seg().dss(dss));
    p.write(b"world");
    let data = p.wait_for(&mut flow, ANSWER, |packet| !packet.payload.is_empty());
    let data = data.ok_or_else(|| stop("no second data"))?;
    let text = format!("then data with {}", p.checksum_words(&data));
    p.note(text);
    Ok(())
}

fn h18(p: &mut Probe<'_>) -> Run {
    let (mut flow, first) = p.dialled()?;
    let mut with = u32::from(!first.is_plain());
    let begin = first.at;
    loop {
        let next = p.wait_for(&mut flow, Duration::from_secs(10), Packet::is_syn);
        let next = next.ok_or_else(|| stop(format!("{with} SYNs with MP_CAPABLE, no more")))?;
        if next.is_plain() {
            let after = next.at.saturating_sub(begin);
            let soon = if after < Duration::from_secs(8) { "within 8 s" } else { "too late" };
            let count =
                if (2..=3).contains(&with) { "2 or 3".to_owned() } else { with.to_string() };
            p.note(format!("MPTCP at first, plain after {count} SYNs, {soon}"));
            return Ok(());
        }
        with += 1;
        if with > 6 {
            return Err(stop("more than 6 SYNs with MP_CAPABLE"));
        }
    }
}

fn h19(p: &mut Probe<'_>) -> Run {
    let mut flow = p.flow(0);
    let option = capable(1, p.flags());
    let answer = p.syn(&mut flow, seg().syn().option(option).option(option))?;
    let text = p.digest(&[answer]);
    p.note(text);
    Ok(())
}

fn h22(p: &mut Probe<'_>) -> Run {
    let (mut keys, mut tokens) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..200 {
        let mut flow = p.open()?;
        keys.insert(p.own_key.0);
        tokens.insert(p.own_key.facts().token);
        let option = p.capable_ack(p.flags());
        p.send(&mut flow, seg().option(option));
        // The backlog is not what is tried here.
        p.accepted()?;
        p.own_key = Key(0);
    }
    p.note(format!("{} keys, {} tokens", keys.len(), tokens.len()));
    Ok(())
}

fn h23(p: &mut Probe<'_>) -> Run {
    let (mut flow, first) = p.dialled()?;
    flow.hear(&first);
    let option = capable(1, p.flags());
    p.send(&mut flow, seg().syn().no_ack().option(option));
    let answer = p.wait_for(&mut flow, ANSWER, Packet::is_syn_ack);
    let answer = answer.ok_or_else(|| stop("no SYN/ACK"))?;
    let plain = if answer.is_plain() { "plain" } else { "with MPTCP" };
    p.note(format!("SYN/ACK, {plain}"));
    p.send(&mut flow, seg());
    p.send(&mut flow, seg().data(b"abc"));
    p.note_app();
    Ok(())
}

fn h24(p: &mut Probe<'_>) -> Run {
    let mut flow = p.confirmed()?;
    let key = p.own_key;
    p.own_key = Key(77);
    let option = p.capable_ack(p.flags());
    p.own_key = key;
    p.send(&mut flow, seg().option(option));
    p.note_alive(&mut flow, 3);
    p.joined(1)?;
    p.note("join by the old keys works");
    Ok(())
}
