//! J: joining subflows, the handshake itself.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::probe::{ANSWER, NONCE, Probe, QUIET, Run, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{CLIENT, SERVER, Setup};
use mpuser_engine::addr::AddressId;
use mpuser_engine::crypto::{Key, Token, join_hmac};
use mpuser_engine::wire::{MpJoin, MptcpOption};
use std::time::Duration;

/// A client that opens a subflow from its second address.
const JOINER: Setup = Setup { addresses: 2, subflow: true, ..CLIENT };

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("J01", "a correct join", "3.2 [JOIN-5] [JOIN-8]", SERVER,
        "SYN/ACK MP_JOIN len 16 with a right HMAC; fourth ACK; app: 'xyz'", j01),
    case("J02", "unknown token", "3.2, 3.8", SERVER, "RST reason 1", j02),
    case("J03", "join before our third ACK was seen", "3.2", SERVER, "RST reason 1", j03),
    case("J05", "wrong HMAC in the third ACK", "3.2", SERVER, "RST reason 1; app: open", j05),
    case("J06", "third ACK without MP_JOIN", "3.2", SERVER, "RST reason 1; app: open", j06),
    case("J07", "data before the third ACK", "3.2", SERVER,
        "RST reason 1; app: open | RST; app: open", j07),
    case("J08", "wrong HMAC in the SYN/ACK of our join", "3.2", JOINER,
        "RST reason 1; data", j08),
    case("J09", "SYN/ACK without MP_JOIN to our join", "3.2", JOINER,
        "RST reason 1; data | RST reason 6; data", j09),
    case("J10", "our third ACK is lost", "3.2 [JOIN-13]", JOINER,
        "MP_JOIN len 24 again within 3 s, then quiet", j10),
    case("J11", "the fourth ACK is lost, data comes", "3.2", JOINER,
        "app: 'xyz'; no MP_JOIN any more", j11),
    case("J12", "a join that is never finished", "3.2", SERVER,
        "SYN/ACK again within 4 s; the next join works", j12),
    case("J16", "the same joining SYN from two ports", "3.2 [JOIN-4]", SERVER,
        "another nonce", j16),
    case("J23", "joining SYN of 11 octets, and with reserved bits", "3.2", SERVER,
        "SYN/ACK; SYN/ACK MP_JOIN len 16", j23),
    case("J26", "HMACs wrong in the first and in the last byte", "3.2", SERVER,
        "RST reason 1; RST reason 1; app: open", j26),
];

fn j01(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    let (mut flow, answer) = p.join_syn(1, 1)?;
    let option = answer.find(|option| match option {
        MptcpOption::Join(MpJoin::SynAck { hmac, nonce, .. }) => Some((*hmac, *nonce)),
        _ => None,
    });
    let (hmac, nonce) = option.ok_or_else(|| stop("no MP_JOIN in the SYN/ACK"))?;
    let right = join_hmac(p.own_key, p.key, nonce, NONCE).leftmost64() == hmac;
    let text = p.digest(&[answer]);
    p.note(format!("{text} with a {} HMAC", if right { "right" } else { "wrong" }));
    let option = p.join_ack(&flow);
    p.send(&mut flow, seg().option(option));
    let fourth = p.next(&mut flow, "fourth ACK")?;
    p.note(if fourth.header.flags.rst { "RST" } else { "fourth ACK" });
    p.send_data(&mut flow, 3, b"xyz");
    p.note_app();
    Ok(())
}

/// A joining SYN with this token, and what comes.
fn join_with_token(p: &mut Probe<'_>, token: Token) -> Run {
    let mut flow = p.flow(1);
    let (backup, address_id, nonce) = (false, AddressId(1), NONCE);
    let join = MptcpOption::Join(MpJoin::Syn { backup, address_id, token, nonce });
    p.send(&mut flow, seg().syn().no_ack().option(join));
    p.note_answers(&mut flow);
    Ok(())
}

fn j02(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    join_with_token(p, Token(0x0bad_cafe))
}

fn j03(p: &mut Probe<'_>) -> Run {
    p.open()?;
    let token = p.own_key.facts().token;
    join_with_token(p, token)
}

/// A join up to the SYN/ACK, then this instead of the third packet; the rest of the connection is alive.
fn third(p: &mut Probe<'_>, with: impl FnOnce(&Probe<'_>, &Flow) -> MptcpOption) -> Run {
    let (mut flow, _) = p.join_syn(1, 1)?;
    let option = with(p, &flow);
    p.send(&mut flow, seg().option(option));
    let rst = p.wait_for(&mut flow, ANSWER, |packet| !packet.header.flags.syn);
    let text = p.digest(&rst.into_iter().collect::<Vec<_>>());
    p.note(text);
    Ok(())
}

fn wrong_hmac(p: &Probe<'_>, flow: &Flow, byte: usize) -> MptcpOption {
    match p.join_ack(flow) {
        MptcpOption::Join(MpJoin::Ack { mut hmac }) => {
            if let Some(byte) = hmac.get_mut(byte) {
                *byte ^= 1;
            }
            MptcpOption::Join(MpJoin::Ack { hmac })
        }
        other => other,
    }
}

fn j05(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    third(p, |p, flow| wrong_hmac(p, flow, 7))?;
    p.note_app_state();
    Ok(())
}

fn j26(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    third(p, |p, flow| wrong_hmac(p, flow, 0))?;
    third(p, |p, flow| wrong_hmac(p, flow, 19))?;
    p.note_app_state();
    Ok(())
}

fn j06(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    let (mut flow, _) = p.join_syn(1, 1)?;
    p.send(&mut flow, seg());
    p.note_answers(&mut flow);
    p.note_app_state();
    Ok(())
}

fn j07(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    let (mut flow, _) = p.join_syn(1, 1)?;
    p.send_data(&mut flow, 3, b"xyz");
    let rst = p.wait_for(&mut flow, ANSWER, |packet| packet.header.flags.rst);
    let text = p.digest(&rst.into_iter().collect::<Vec<_>>());
    p.note(text);
    p.note_app_state();
    Ok(())
}

/// The connection's first subflow still takes the application's data.
fn note_first_alive(p: &mut Probe<'_>, flow: &mut Flow) {
    p.write(b"hello");
    let data = p.wait_for(flow, ANSWER, |packet| !packet.payload.is_empty());
    p.note(if data.is_some() { "data" } else { "no data" });
}

fn j08(p: &mut Probe<'_>) -> Run {
    let mut first = p.connected()?;
    let (mut flow, syn) = p.next_syn(ANSWER).ok_or_else(|| stop("no joining SYN"))?;
    let key = p.own_key;
    p.own_key = Key(key.0 ^ 1);
    let answer = p.join_answer(&mut flow, &syn, 0)?;
    p.own_key = key;
    p.send(&mut flow, answer);
    p.note_answers(&mut flow);
    note_first_alive(p, &mut first);
    Ok(())
}

fn j09(p: &mut Probe<'_>) -> Run {
    let mut first = p.connected()?;
    let (mut flow, _) = p.next_syn(ANSWER).ok_or_else(|| stop("no joining SYN"))?;
    p.send(&mut flow, seg().syn());
    p.note_answers(&mut flow);
    note_first_alive(p, &mut first);
    Ok(())
}

/// The stack joins; its third packet has been sent.
fn half_joined(p: &mut Probe<'_>) -> Result<Flow, crate::conform::probe::Stop> {
    p.connected()?;
    let (mut flow, syn) = p.next_syn(ANSWER).ok_or_else(|| stop("no joining SYN"))?;
    let answer = p.join_answer(&mut flow, &syn, 0)?;
    p.answer_syn(&mut flow, answer)?;
    Ok(flow)
}

fn is_third(packet: &crate::conform::packet::Packet) -> bool {
    packet.mptcp.iter().any(|o| matches!(o, MptcpOption::Join(MpJoin::Ack { .. })))
}

fn j10(p: &mut Probe<'_>) -> Run {
    let mut flow = half_joined(p)?;
    let again = p.wait_for(&mut flow, Duration::from_secs(3), is_third);
    let dss = p.ack(0);
    p.send(&mut flow, seg().dss(dss));
    p.pass(QUIET);
    p.answers(&mut flow);
    let more = p.wait_for(&mut flow, Duration::from_secs(3), is_third);
    let quiet = if more.is_some() { "and again" } else { "then quiet" };
    let when = if again.is_some() { "MP_JOIN len 24 again within 3 s" } else { "not again" };
    p.note(format!("{when}, {quiet}"));
    Ok(())
}

fn j11(p: &mut Probe<'_>) -> Run {
    let mut flow = half_joined(p)?;
    p.send_data(&mut flow, 0, b"xyz");
    p.note_app();
    p.answers(&mut flow);
    let more = p.wait_for(&mut flow, Duration::from_secs(3), is_third);
    p.note(if more.is_some() { "MP_JOIN again" } else { "no MP_JOIN any more" });
    Ok(())
}

fn j12(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    let (mut flow, _) = p.join_syn(1, 1)?;
    let again = p.wait_for(&mut flow, Duration::from_secs(4), |q| q.is_syn_ack());
    p.note(if again.is_some() { "SYN/ACK again within 4 s" } else { "no SYN/ACK again" });
    p.joined(2)?;
    p.note("the next join works");
    Ok(())
}

fn j16(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    let (first, _) = p.join_syn(1, 1)?;
    let (second, _) = p.join_syn(1, 1)?;
    p.note(if first.nonce == second.nonce { "the same nonce" } else { "another nonce" });
    Ok(())
}

fn j23(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    let token = p.own_key.facts().token.0.to_be_bytes();
    let mut body = vec![0x10, 1];
    body.extend_from_slice(&token);
    body.extend_from_slice(&NONCE.0.to_be_bytes());
    let mut short = p.flow(1);
    let cut = body.get(..9).unwrap_or_default().to_vec();
    let answer = p.syn(&mut short, seg().syn().raw_mptcp(&cut))?;
    let text = p.digest(&[answer]);
    p.note(text);
    if let Some(first) = body.first_mut() {
        *first |= 0x0e;
    }
    let mut flow = p.flow(2);
    let answer = p.syn(&mut flow, seg().syn().raw_mptcp(&body))?;
    let text = p.digest(&[answer]);
    p.note(text);
    Ok(())
}
