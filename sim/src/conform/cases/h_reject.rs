//! H: handshakes that must come to plain TCP.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::probe::{ANSWER, Probe, Run, Stop, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{CLIENT, SERVER};
use mpuser_engine::crypto::Key;
use mpuser_engine::wire::{CapableFlags, MpCapable, MptcpOption};

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("H07", "SYN/ACK of version 0, then of version 2", "3.1 [INI-3]", CLIENT,
        "third ACK plain; data; app: 'abc'; third ACK plain; data; app: 'abc'", h07),
    case("H08", "B set in SYN and SYN/ACK", "3.1 [INI-19]", SERVER, "SYN/ACK; app: 'abc'", h08),
    case("H09", "no algorithm", "3.1 [INI-24]", SERVER, "SYN/ACK; app: 'abc'", h09),
    case("H13", "SYN/ACK without MP_CAPABLE", "3.1 [INI-10]", CLIENT,
        "third ACK plain; data; app: 'abc'", h13),
    case("H14", "SYN/ACK mirrors the 4-byte option", "3.1 [INI-6]", CLIENT,
        "third ACK plain; data; app: 'abc'", h14),
    case("H15", "third ACK without MP_CAPABLE, then plain data", "3.1 [INI-11]", SERVER,
        "app: 'abc'; data", h15),
    case("H16", "third ACK without MP_CAPABLE, then data with it", "3.7", SERVER,
        "app: 'abc'; data", h16),
    case("H17", "third ACK with a wrong echo of our key", "3.1", SERVER,
        "app: 'abc'; data", h17),
    case("H20", "SYN with MP_CAPABLE and MP_JOIN", "3.1", SERVER, "SYN/ACK; app: 'abc'", h20),
    case("H21", "SYN with MP_CAPABLE of 5 and of 12 octets", "3.1 [INI-6]", SERVER,
        "SYN/ACK; app: 'abc'; SYN/ACK; app: 'abc'", h21),
];

/// A plain connection in use: the probe's bytes arrive, and the application's leave without options.
fn plain_client(p: &mut Probe<'_>, answer: MptcpOption) -> Run {
    let (mut flow, _) = p.dialled()?;
    let third = p.answer_syn(&mut flow, seg().syn().option(answer))?;
    p.note(if third.is_plain() { "third ACK plain" } else { "third ACK with MPTCP" });
    plain_both_ways(p, &mut flow);
    Ok(())
}

fn plain_both_ways(p: &mut Probe<'_>, flow: &mut Flow) {
    note_write(p, flow);
    p.send(flow, seg().data(b"abc"));
    p.note_app();
}

/// The application writes; what leaves.
fn note_write(p: &mut Probe<'_>, flow: &mut Flow) {
    p.write(b"hello");
    let data = p.wait_for(flow, ANSWER, |packet| !packet.payload.is_empty());
    let text = p.digest(&data.into_iter().collect::<Vec<_>>());
    p.note(text);
}

fn h07(p: &mut Probe<'_>) -> Run {
    for version in [0, 2] {
        let (flags, sender_key) = (p.flags(), p.key);
        let option = MptcpOption::Capable(MpCapable::SynAck { version, flags, sender_key });
        plain_client(p, option)?;
    }
    Ok(())
}

/// The answer to a SYN with these options after MSS, and that the connection works as plain TCP.
fn plain_server(p: &mut Probe<'_>, options: &[MptcpOption]) -> Run {
    let mut flow = p.flow(0);
    let mut syn = seg().syn();
    for option in options {
        syn = syn.option(*option);
    }
    let answer = p.syn(&mut flow, syn)?;
    let text = p.digest(&[answer]);
    p.note(text);
    p.send(&mut flow, seg());
    p.accepted()?;
    p.send(&mut flow, seg().data(b"abc"));
    p.note_app();
    Ok(())
}

fn syn_with(flags: u8) -> MptcpOption {
    MptcpOption::Capable(MpCapable::Syn { version: 1, flags: CapableFlags(flags) })
}

fn h08(p: &mut Probe<'_>) -> Run {
    plain_server(p, &[syn_with(0x41)])
}

fn h09(p: &mut Probe<'_>) -> Run {
    plain_server(p, &[syn_with(0)])
}

fn h13(p: &mut Probe<'_>) -> Run {
    let (mut flow, _) = p.dialled()?;
    let third = p.answer_syn(&mut flow, seg().syn())?;
    p.note(if third.is_plain() { "third ACK plain" } else { "third ACK with MPTCP" });
    plain_both_ways(p, &mut flow);
    Ok(())
}

fn h14(p: &mut Probe<'_>) -> Run {
    let mirrored = syn_with(p.flags().0);
    plain_client(p, mirrored)
}

/// The probe as client up to the SYN/ACK; then the third packet without MP_CAPABLE.
fn without_third(p: &mut Probe<'_>) -> Result<Flow, Stop> {
    let mut flow = p.open()?;
    p.send(&mut flow, seg());
    p.accepted()?;
    Ok(flow)
}

fn h15(p: &mut Probe<'_>) -> Run {
    let mut flow = without_third(p)?;
    p.send(&mut flow, seg().data(b"abc"));
    p.note_app();
    note_write(p, &mut flow);
    Ok(())
}

fn h16(p: &mut Probe<'_>) -> Run {
    let mut flow = without_third(p)?;
    let (sender_key, receiver_key, flags) = (p.key, p.own_key, p.flags());
    let (version, data_len, checksum) = (1, 3, None);
    let option =
        MpCapable::AckData { version, flags, sender_key, receiver_key, data_len, checksum };
    p.send(&mut flow, seg().data(b"abc").option(MptcpOption::Capable(option)));
    p.note_app();
    note_write(p, &mut flow);
    Ok(())
}

fn h17(p: &mut Probe<'_>) -> Run {
    let mut flow = p.open()?;
    let key = p.own_key;
    p.own_key = Key(key.0 ^ 1);
    let option = p.capable_ack(p.flags());
    p.own_key = key;
    p.send(&mut flow, seg().option(option));
    p.accepted()?;
    p.send(&mut flow, seg().data(b"abc"));
    p.note_app();
    note_write(p, &mut flow);
    Ok(())
}

fn h20(p: &mut Probe<'_>) -> Run {
    let options = [syn_with(1), p.join_option(1, false)];
    plain_server(p, &options)
}

fn h21(p: &mut Probe<'_>) -> Run {
    let key = p.key.0.to_be_bytes();
    for body in [vec![0x01, 0x01, 0], [&[0x01, 0x01][..], &key].concat()] {
        let mut flow = p.flow(0);
        let answer = p.syn(&mut flow, seg().syn().raw_mptcp(&body))?;
        let text = p.digest(&[answer]);
        p.note(text);
        p.send(&mut flow, seg());
        p.accepted().map_err(|_| stop("not established"))?;
        p.send(&mut flow, seg().data(b"abc"));
        p.note_app();
    }
    Ok(())
}
