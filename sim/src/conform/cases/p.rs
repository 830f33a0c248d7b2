//! P: parsers, fed by packets; those of files belong elsewhere.

use crate::conform::case::{Case, case, skip};
use crate::conform::data_level::HandMade as _;
use crate::conform::probe::{Probe, QUIET, Run, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{CLIENT, SERVER, Setup, probe_address};
use mpuser_engine::addr::AddressId;
use mpuser_engine::wire::{
    AddAddr, MpCapable, MpPrio, MptcpOption, OptionBuffer, TcpOption, TcpOptionIter,
};

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("P01", "an option of length 0", "RFC 9293 3.1 [MUST-7]", SERVER,
        "alive: 'xyz' data-acked", p01),
    case("P02", "an option of length 1", "RFC 9293 3.1 [MUST-7]", SERVER,
        "alive: 'xyz' data-acked", p02),
    case("P03", "an MPTCP option without a subtype", "3", SERVER, "alive: 'xyz' data-acked", p03),
    case("P04", "unknown and experimental subtypes", "3, 8", SERVER,
        "alive: 'xyz' data-acked", p04),
    case("P05", "an option longer than the header", "RFC 9293 3.1 [MUST-7]", SERVER,
        "alive: 'xyz' data-acked", p05),
    case("P06", "40 NOPs; an end of list, then garbage", "RFC 9293 3.1", SERVER,
        "alive: 'xyz' data-acked", p06),
    case("P07", "data offset below 5 and beyond the segment", "RFC 9293 3.1", SERVER,
        "app: no bytes; alive: 'xyz' data-acked", p07),
    case("P08", "every subtype at every length it does not have", "3", SERVER,
        "alive: 'xyz' data-acked", p08),
    case("P09", "MP_CAPABLE on a SYN with each flag byte", "3.1", SERVER,
        "256 SYN/ACKs, MPTCP for H without B", p09),
    case("P10", "two of each option", "3", SERVER, "alive: 'xyz' data-acked", p10),
    case("P11", "what the stack sends, read and written again", "3", Setup { checksum: true, ..CLIENT },
        "the same bytes", p11),
    case("P12", "2 000 segments with random options", "3", SERVER, "alive: 'xyz' data-acked", p12),
    case("P13", "MP_CAPABLE of every length in the wrong phase", "3.1 [INI-6]", SERVER,
        "alive: 'xyz' data-acked", p13),
    case("P14", "ADD_ADDR at its eight lengths", "3.4.1", CLIENT,
        "echo len 8, 10, 20, 22", p14),
    case("P15", "REMOVE_ADDR of 3 to 40 octets", "3.4.2", SERVER, "alive: 'xyz' data-acked", p15),
    skip("P16", "pcap files", "reads files, not packets: tested with the reader of captures"),
    skip("P17", "pcapng files", "reads files, not packets: tested with the reader of captures"),
    skip("P18", "tcpdump's MPTCP captures", "reads files, not packets: tested with the reader of captures"),
    skip("P19", "the grammar of scripts", "reads files, not packets: tested with the reader of scripts"),
    skip("P20", "craft expressions", "reads text, not packets: tested with the craft command"),
    skip("P21", "unknown keys of the configuration", "reads files, not packets: tested with the settings"),
    skip("P22", "garbage at the control socket", "no packet reaches it: tested with the control socket"),
];

/// Sends a DSS-less ACK with these bytes as options, after which the connection has to live.
fn survives(p: &mut Probe<'_>, all: &[Vec<u8>]) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    for options in all {
        p.send(&mut a, seg().raw(options));
    }
    p.note_alive(&mut a, 3);
    Ok(())
}

fn p01(p: &mut Probe<'_>) -> Run {
    survives(p, &[vec![30, 0, 1, 1], vec![8, 0], vec![1, 1, 253, 0]])
}

fn p02(p: &mut Probe<'_>) -> Run {
    survives(p, &[vec![30, 1, 1, 1], vec![8, 1], vec![1, 1, 253, 1]])
}

fn p03(p: &mut Probe<'_>) -> Run {
    survives(p, &[vec![30, 2, 1, 1], vec![1, 1, 30, 2]])
}

fn p04(p: &mut Probe<'_>) -> Run {
    let all: Vec<Vec<u8>> = (9..16).map(|subtype| vec![30, 4, subtype << 4, 0]).collect();
    survives(p, &all)
}

fn p05(p: &mut Probe<'_>) -> Run {
    survives(p, &[vec![30, 40, 0x20, 5], vec![1, 1, 5, 34], vec![1, 1, 1, 30]])
}

fn p06(p: &mut Probe<'_>) -> Run {
    let mut ended = vec![0; 4];
    ended.resize(40, 0xff);
    survives(p, &[vec![1; 40], ended])
}

fn p07(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let dss = p.map(&a, 3, b"BAD", 0);
    let at = a.nxt as i64;
    let packet = a.packet(&seg().data(b"BAD").dss(dss).at(at));
    for offset in [0_u8, 4, 15] {
        let mut copy = packet.clone();
        if let Some(byte) = copy.get_mut(32) {
            *byte = offset << 4;
        }
        crate::conform::packet::fix_checksums(&mut copy);
        // Fifteen words are more than there are: cut so that they do not fit.
        copy.truncate(packet.len());
        p.target.inject(&copy);
    }
    p.note_app();
    p.note_alive(&mut a, 3);
    Ok(())
}

/// Lengths of a subtype's option that the RFC has.
const fn legal(subtype: u8) -> &'static [usize] {
    match subtype {
        0 => &[4, 12, 20, 22, 24],
        1 => &[12, 16, 24],
        2 => &[4, 8, 12, 16, 18, 20, 22, 24, 26, 28],
        3 => &[8, 10, 16, 18, 20, 22, 28, 30],
        4 => &[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
        5 => &[3],
        6 | 7 => &[12],
        _ => &[4],
    }
}

fn p08(p: &mut Probe<'_>) -> Run {
    let mut all = Vec::new();
    for subtype in 0..9_u8 {
        for len in (3..=40).filter(|len| !legal(subtype).contains(len)) {
            // More than 17 identifiers are legal, too.
            if subtype == 4 && len > 3 {
                continue;
            }
            let mut option = vec![30, len as u8, subtype << 4];
            option.resize(len, 0);
            all.push(option);
        }
    }
    survives(p, &all)
}

fn p09(p: &mut Probe<'_>) -> Run {
    let (mut answered, mut right) = (0, 0);
    for flags in 0..=255_u8 {
        let mut flow = p.flow(0);
        let answer = p.syn(&mut flow, seg().syn().raw_mptcp(&[0x01, flags]))?;
        answered += usize::from(answer.is_syn_ack());
        // Other algorithms beside H are a matter of taste.
        let wanted = flags & 0x41 == 0x01;
        let taste = flags & 0x1e != 0;
        right += usize::from(taste || answer.is_plain() != wanted);
        p.send(&mut flow, seg().rst());
    }
    let rule =
        if right == 256 { "MPTCP for H without B".to_owned() } else { format!("{right} right") };
    p.note(format!("{answered} SYN/ACKs, {rule}"));
    Ok(())
}

fn p10(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let dss = MptcpOption::Dss(p.ack(0));
    let prio = MptcpOption::Prio(MpPrio { backup: false });
    let (id, address) = (AddressId(9), probe_address(9, false));
    let add = MptcpOption::AddAddr(AddAddr { echo: true, id, address, port: None, hmac: None });
    for option in [dss, prio, add] {
        p.send(&mut a, seg().option(option).option(option));
    }
    p.send(&mut a, seg().raw(&[2, 4, 5, 0xb4, 2, 4, 1, 0, 3, 3, 1, 1, 3, 3, 9, 1]));
    p.note_alive(&mut a, 3);
    Ok(())
}

/// The options of a packet, read and written again: are the MPTCP ones the same bytes?
fn same_again(bytes: &[u8]) -> bool {
    TcpOptionIter::new(bytes).all(|option| match option {
        Ok(TcpOption::Mptcp(option)) => {
            let mut buffer = OptionBuffer::new();
            let written = buffer.push_mptcp(&option);
            let again = buffer.as_slice().get(..option.wire_len()).unwrap_or_default();
            written && bytes.windows(again.len()).any(|window| window == again)
        }
        Ok(_) => true,
        Err(_) => false,
    })
}

fn p11(p: &mut Probe<'_>) -> Run {
    let (mut flow, syn) = p.dialled()?;
    let mut packets = vec![syn];
    let option = p.capable_syn_ack(p.flags());
    packets.push(p.answer_syn(&mut flow, seg().syn().option(option))?);
    packets.push(p.data_after(&mut flow, b"hello")?);
    let dss = p.ack(5);
    p.send(&mut flow, seg().dss(dss));
    packets.push(p.data_after(&mut flow, b"world")?);
    p.target.abort();
    packets.extend(p.answers(&mut flow));
    let same = packets.iter().all(|packet| same_again(&packet.option_bytes));
    p.note(if same && packets.len() > 4 { "the same bytes" } else { "other bytes" });
    Ok(())
}

fn p12(p: &mut Probe<'_>) -> Run {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    for _ in 0..2_000 {
        let len = (random() % 10 + 1) as usize * 4;
        let mut options: Vec<u8> = (0..len).map(|_| random() as u8).collect();
        // Of the shape of an MPTCP option, but of no subtype that could end the connection rightly.
        if let [kind, length, subtype, flags, ..] = options.as_mut_slice() {
            (*kind, *length) = (30, len as u8);
            // Nor a mapping: one with a checksum would end the subflow.
            *flags &= if *subtype >> 4 == 2 { 0xfb } else { 0xff };
            *subtype = if matches!(*subtype >> 4, 4 | 6 | 7) { 0x90 } else { *subtype };
        }
        p.send(&mut a, seg().raw(&options));
    }
    p.pass(QUIET);
    p.waiting.clear();
    p.note_alive(&mut a, 3);
    Ok(())
}

fn p13(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let (version, flags, sender_key, receiver_key) = (1, p.flags(), p.own_key, p.key);
    for option in [
        MpCapable::Syn { version, flags },
        MpCapable::SynAck { version, flags, sender_key },
        MpCapable::Ack { version, flags, sender_key, receiver_key },
        MpCapable::AckData {
            version,
            flags,
            sender_key,
            receiver_key,
            data_len: 9,
            checksum: None,
        },
        MpCapable::AckData {
            version,
            flags,
            sender_key,
            receiver_key,
            data_len: 9,
            checksum: Some(1),
        },
    ] {
        p.send(&mut a, seg().option(MptcpOption::Capable(option)));
    }
    p.note_alive(&mut a, 3);
    Ok(())
}

/// The length of the echo this announcement gets.
fn echo_len(p: &mut Probe<'_>, flow: &mut Flow, option: MptcpOption) -> Option<usize> {
    p.send(flow, seg().option(option));
    let packets = p.answers(flow);
    packets.iter().find_map(|packet| {
        packet.find(|option| match option {
            MptcpOption::AddAddr(add) if add.echo => Some(add.wire_len()),
            _ => None,
        })
    })
}

fn p14(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    p.answers(&mut a);
    let mut echoes = Vec::new();
    for (id, ipv6, port) in
        [(5, false, None), (6, false, Some(81)), (7, true, None), (8, true, Some(81))]
    {
        let option = p.add_addr(id, probe_address(id, ipv6), port);
        let len = echo_len(p, &mut a, option).ok_or_else(|| stop("no echo"))?;
        echoes.push(len.to_string());
        // An echo nobody waits for.
        if let MptcpOption::AddAddr(add) = option {
            p.send(&mut a, seg().option(MptcpOption::AddAddr(add.echo())));
        }
    }
    p.note(format!("echo len {}", echoes.join(", ")));
    Ok(())
}

fn p15(p: &mut Probe<'_>) -> Run {
    let all: Vec<Vec<u8>> = (3..=40_u8)
        .map(|len| {
            let mut option = vec![30, len, 0x40];
            option.resize(usize::from(len), 77);
            option
        })
        .collect();
    survives(p, &all)
}
