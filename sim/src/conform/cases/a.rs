//! A: addresses the peer announces and withdraws, and priorities.

use crate::conform::case::{Case, case};
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, Stop, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{CLIENT, SERVER, Setup, probe_address, stack_address};
use mpuser_engine::addr::{AddressId, IpAddr};
use mpuser_engine::wire::{AddAddr, MptcpOption, RemoveAddr};
use std::time::Duration;

/// A client that connects to announced addresses.
const ACCEPTS: Setup = Setup { add_addr_accepted: 8, ..CLIENT };

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("A01", "ADD_ADDR of an IPv4 address", "3.4.1 [ADDR-11]", ACCEPTS,
        "echo id 5 len 8; a join to it", a01),
    case("A02", "ADD_ADDR with a port", "3.4.1", ACCEPTS,
        "echo id 5 len 10; a join to it", a02),
    case("A03", "ADD_ADDR of IPv6 addresses, without and with a port", "3.4.1", ACCEPTS,
        "echo id 5 len 20; echo id 6 len 22", a03),
    case("A04", "ADD_ADDR with a wrong HMAC", "3.4.1 [ADDR-10]", ACCEPTS,
        "no echo; no join; alive: 'xyz' data-acked", a04),
    case("A05", "ADD_ADDR of a wrong length", "3.4.1", ACCEPTS,
        "no echo; no join; alive: 'xyz' data-acked", a05),
    case("A06", "identifier 0 with another address", "3.4.1", ACCEPTS,
        "echo id 0 len 8; no join | no echo; no join", a06),
    case("A07", "the identifier of a live subflow with another address", "3.4.1 [ADDR-15]", ACCEPTS,
        "no join to the other address", a07),
    case("A08", "loopback addresses", "3.4.1", ACCEPTS,
        "no echo; no join; no echo; no join; MPJoinSynTx 0", a08),
    case("A09", "an address of our own", "3.4.1", ACCEPTS,
        "no echo; no join; MPJoinSynTx 0 | echo id 5 len 8; no join; MPJoinSynTx 0", a09),
    case("A10", "unspecified, multicast and broadcast addresses", "3.4.1", ACCEPTS,
        "no echo; no join; no echo; no join; no echo; no join; MPJoinSynTx 0", a10),
    case("A11", "40 addresses at once", "3.4.1, 5", ACCEPTS,
        "some echoes; at most 8 joins; alive: 'xyz' data-acked", a11),
    case("A12", "an address that cannot be reached", "3.4.1 [ADDR-19]", ACCEPTS,
        "one attempt; data on the first", a12),
    case("A13", "the same address again after a failure", "3.4.1", ACCEPTS,
        "tries again | does not try again", a13),
    case("A17", "REMOVE_ADDR of a joined address", "3.4.2 [ADDR-26]", SERVER,
        "the second subflow is closed; data on the first", a17),
    case("A18", "REMOVE_ADDR of an unknown identifier", "3.4.2, 3.8", SERVER,
        "ACK; alive: 'xyz' data-acked | nothing; alive: 'xyz' data-acked", a18),
    case("A19", "REMOVE_ADDR of identifier 0", "3.4.2", SERVER,
        "the first subflow is closed; alive: 'xyz' data-acked", a19),
    case("A20", "REMOVE_ADDR of 1, 1 and 255", "3.4.2 [ADDR-29]", SERVER,
        "the second subflow is closed; alive: 'xyz' data-acked", a20),
    case("A21", "an identifier withdrawn and announced again", "3.4.2", ACCEPTS,
        "a join; then a join to the new address", a21),
];

/// Sends an ADD_ADDR and notes echo and join; the join's SYN is left unanswered.
fn announce(
    p: &mut Probe<'_>,
    flow: &mut Flow,
    option: MptcpOption,
) -> Option<(Flow, crate::conform::packet::Packet)> {
    note_echo(p, flow, option);
    let join = p.next_syn(Duration::from_secs(2));
    p.note(if join.is_some() { "a join" } else { "no join" });
    join
}

fn note_echo(p: &mut Probe<'_>, flow: &mut Flow, option: MptcpOption) {
    p.answers(flow);
    p.send(flow, seg().option(option));
    let is_echo =
        |o: &MptcpOption| matches!(o, MptcpOption::AddAddr(add) if add.echo).then_some(*o);
    let echo = p.answers(flow).iter().find_map(|packet| packet.find(is_echo));
    p.note(match echo {
        Some(MptcpOption::AddAddr(add)) => format!("echo id {} len {}", add.id.0, add.wire_len()),
        _ => "no echo".to_owned(),
    });
}

/// The same where a join is wanted: notes whether it goes where it should.
fn announce_usable(p: &mut Probe<'_>, port: Option<u16>) -> Run {
    let mut a = p.connected()?;
    let address = probe_address(5, false);
    let option = p.add_addr(5, address, port);
    note_echo(p, &mut a, option);
    let (join, _) = p.next_syn(ANSWER).ok_or_else(|| stop("no join"))?;
    let wanted = (address, port.unwrap_or(80));
    let there = (join.tuple.remote.ip(), join.tuple.remote.port()) == wanted;
    p.note(if there { "a join to it" } else { "a join elsewhere" });
    Ok(())
}

fn a01(p: &mut Probe<'_>) -> Run {
    announce_usable(p, None)
}

fn a02(p: &mut Probe<'_>) -> Run {
    announce_usable(p, Some(8_080))
}

fn a03(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    for (id, port) in [(5, None), (6, Some(8_080))] {
        let option = p.add_addr(id, probe_address(id, true), port);
        note_echo(p, &mut a, option);
    }
    Ok(())
}

fn a04(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    let (id, address) = (AddressId(5), probe_address(5, false));
    let add = AddAddr { echo: false, id, address, port: None, hmac: Some([7; 8]) };
    announce(p, &mut a, MptcpOption::AddAddr(add));
    p.note_alive(&mut a, 0);
    Ok(())
}

fn a05(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    p.answers(&mut a);
    p.send(&mut a, seg().raw_mptcp(&[0x30, 5, 192, 0, 2, 6, 1, 2, 3, 4, 5]));
    let packets = p.answers(&mut a);
    p.note(if packets.iter().all(|q| !p.digest(std::slice::from_ref(q)).contains("echo")) {
        "no echo"
    } else {
        "an echo"
    });
    let join = p.next_syn(Duration::from_secs(1));
    p.note(if join.is_some() { "a join" } else { "no join" });
    p.note_alive(&mut a, 0);
    Ok(())
}

fn a06(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    let option = p.add_addr(0, probe_address(5, false), None);
    announce(p, &mut a, option);
    Ok(())
}

fn a07(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    p.answers(&mut a);
    let option = p.add_addr(5, probe_address(5, false), None);
    p.send(&mut a, seg().option(option));
    p.take_join(5)?;
    let option = p.add_addr(5, probe_address(6, false), None);
    p.send(&mut a, seg().option(option));
    let join = p.next_syn(Duration::from_secs(2));
    p.note(if join.is_some() {
        "a join to the other address"
    } else {
        "no join to the other address"
    });
    Ok(())
}

/// Announces addresses nobody should connect to.
fn useless(p: &mut Probe<'_>, addresses: &[IpAddr]) -> Run {
    let mut a = p.connected()?;
    for (index, address) in addresses.iter().enumerate() {
        let option = p.add_addr(index as u8 + 5, *address, None);
        announce(p, &mut a, option);
    }
    p.note_counter("MPJoinSynTx");
    Ok(())
}

fn a08(p: &mut Probe<'_>) -> Run {
    useless(p, &[[127, 0, 0, 1].into(), [0, 0, 0, 0, 0, 0, 0, 1_u16].into()])
}

fn a09(p: &mut Probe<'_>) -> Run {
    useless(p, &[stack_address(0, false)])
}

fn a10(p: &mut Probe<'_>) -> Run {
    useless(p, &[[0, 0, 0, 0].into(), [224, 0, 0, 5].into(), [255, 255, 255, 255].into()])
}

fn a11(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    p.answers(&mut a);
    for id in 5..45 {
        let option = p.add_addr(id, probe_address(id, false), None);
        p.send(&mut a, seg().option(option));
    }
    let packets = p.answers(&mut a);
    let echoes = packets.iter().filter(|q| p.digest(&[(*q).clone()]).contains("echo")).count();
    p.note(if (1..=40).contains(&echoes) { "some echoes" } else { "no echo" });
    let mut joins = std::collections::BTreeSet::new();
    while let Some((flow, _)) = p.next_syn(QUIET) {
        joins.insert(flow.tuple.remote);
    }
    let count = joins.len();
    p.note(if count <= 8 { "at most 8 joins".to_owned() } else { format!("{count} joins") });
    p.note_alive(&mut a, 0);
    Ok(())
}

/// An announced address whose host answers nothing; the ports the stack has tried from.
fn attempts(p: &mut Probe<'_>, time: Duration) -> usize {
    let end = p.target.now() + time;
    let mut ports = std::collections::BTreeSet::new();
    while p.target.now() < end
        && let Some((flow, _)) = p.next_syn(end.saturating_sub(p.target.now()))
    {
        ports.insert(flow.tuple.local);
    }
    ports.len()
}

fn a12(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    let option = p.add_addr(5, probe_address(5, false), None);
    p.send(&mut a, seg().option(option));
    let time = p.long(Duration::from_secs(300), Duration::from_secs(6));
    let count = attempts(p, time);
    p.note(if count == 1 { "one attempt".to_owned() } else { format!("{count} attempts") });
    p.data_after(&mut a, b"hello")?;
    p.note("data on the first");
    Ok(())
}

fn a13(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    let option = p.add_addr(5, probe_address(5, false), None);
    p.send(&mut a, seg().option(option));
    let (mut join, _) = p.next_syn(ANSWER).ok_or_else(|| stop("no join"))?;
    join.nxt = 0;
    p.send(&mut join, seg().rst());
    p.pass(Duration::from_secs(1));
    p.waiting.clear();
    p.send(&mut a, seg().option(option));
    let again = p.next_syn(Duration::from_secs(2));
    p.note(if again.is_some() { "tries again" } else { "does not try again" });
    Ok(())
}

fn remove(ids: &[u8]) -> Result<MptcpOption, Stop> {
    let ids: Vec<AddressId> = ids.iter().copied().map(AddressId).collect();
    RemoveAddr::from_ids(&ids).map(MptcpOption::RemoveAddr).ok_or_else(|| stop("no IDs"))
}

/// Notes whether the stack ends this subflow, with FIN or RST, given time for a probe that nobody answers.
fn note_closed(p: &mut Probe<'_>, flow: &mut Flow, which: &str) {
    let limit = p.long(Duration::from_secs(120), Duration::from_secs(8));
    let end = p.wait_for(flow, limit, |q| q.header.flags.fin || q.header.flags.rst);
    let state = if end.is_some() { "is closed" } else { "stays" };
    p.note(format!("the {which} subflow {state}"));
}

fn a17(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let option = remove(&[1])?;
    p.send(&mut a, seg().option(option));
    note_closed(p, &mut b, "second");
    p.answers(&mut a);
    p.data_after(&mut a, b"hello")?;
    p.note("data on the first");
    Ok(())
}

fn a18(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.answers(&mut b);
    let option = remove(&[77])?;
    p.send(&mut a, seg().option(option));
    p.note_answers(&mut b);
    p.note_alive(&mut b, 3);
    Ok(())
}

fn a19(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let option = remove(&[0])?;
    p.send(&mut b, seg().option(option));
    note_closed(p, &mut a, "first");
    p.note_alive(&mut b, 3);
    Ok(())
}

fn a20(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let option = remove(&[1, 1, 255])?;
    p.send(&mut a, seg().option(option));
    note_closed(p, &mut b, "second");
    p.note_alive(&mut a, 3);
    Ok(())
}

fn a21(p: &mut Probe<'_>) -> Run {
    let mut a = p.connected()?;
    let option = p.add_addr(5, probe_address(5, false), None);
    p.send(&mut a, seg().option(option));
    p.take_join(5)?;
    p.note("a join");
    let option = remove(&[5])?;
    p.send(&mut a, seg().option(option));
    p.pass(QUIET);
    let option = p.add_addr(5, probe_address(6, false), None);
    p.send(&mut a, seg().option(option));
    let wanted = probe_address(6, false);
    let join = p.next_syn(ANSWER).is_some_and(|(flow, _)| flow.tuple.remote.ip() == wanted);
    p.note(if join { "then a join to the new address" } else { "then none" });
    Ok(())
}
