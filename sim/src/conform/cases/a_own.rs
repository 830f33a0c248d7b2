//! A: addresses we announce, and priorities.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::packet::Packet;
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{SERVER, Setup};
use mpuser_engine::wire::{AddAddr, MptcpOption};
use std::time::Duration;

/// A server that announces its second address.
const SIGNALS: Setup = Setup { signal: true, ..SERVER };

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("A14", "the echo of our ADD_ADDR is lost at first", "3.4.1 [ADDR-13]", SIGNALS,
        "ADD_ADDR; again within 10 s; quiet after the echo; withdrawn: REMOVE_ADDR", a14),
    case("A15", "the echo never comes", "3.4.1", SIGNALS,
        "2 to 4 ADD_ADDRs; alive: 'xyz' data-acked", a15),
    case("A16", "ADD_ADDR with a port beside timestamps", "3.4.1, App. A", Setup { signal_port: Some(8_080), ..SIGNALS },
        "ADD_ADDR len 18 on a pure ACK", a16),
    case("A22", "MP_PRIO on the subflow in use", "3.3.8 [PRIO-1]", SERVER,
        "data moves to the other subflow", a22),
    case("A23", "MP_PRIO of 4 octets", "3.3.8 [SEC-6]", SERVER, "data stays", a23),
    case("A24", "every subflow is a backup", "3.3.8 [PRIO-2]", SERVER, "data", a24),
];

fn announcement(packet: &Packet) -> Option<AddAddr> {
    packet.find(|option| match option {
        MptcpOption::AddAddr(add) if !add.echo => Some(*add),
        _ => None,
    })
}

/// The stack's next ADD_ADDR on this subflow.
fn announced(p: &mut Probe<'_>, flow: &mut Flow, limit: Duration) -> Option<Packet> {
    p.wait_for(flow, limit, |packet| announcement(packet).is_some())
}

fn a14(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let first = announced(p, &mut a, ANSWER).ok_or_else(|| stop("no ADD_ADDR"))?;
    p.note("ADD_ADDR");
    let again = announced(p, &mut a, Duration::from_secs(10));
    p.note(if again.is_some() { "again within 10 s" } else { "not again within 10 s" });
    let add = announcement(&first).ok_or_else(|| stop("no ADD_ADDR"))?;
    p.send(&mut a, seg().option(MptcpOption::AddAddr(add.echo())));
    p.answers(&mut a);
    let limit = p.long(Duration::from_secs(300), Duration::from_secs(6));
    let more = announced(p, &mut a, limit);
    p.note(if more.is_some() { "again after the echo" } else { "quiet after the echo" });
    p.target.delete_endpoint().map_err(stop)?;
    let removal = |packet: &Packet| {
        packet.mptcp.iter().any(|option| matches!(option, MptcpOption::RemoveAddr(_)))
    };
    let removed = p.wait_for(&mut a, ANSWER, removal).is_some();
    p.note(if removed { "withdrawn: REMOVE_ADDR" } else { "withdrawn in silence" });
    Ok(())
}

fn a15(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let limit = p.long(Duration::from_secs(600), Duration::from_secs(9));
    let end = p.target.now() + limit;
    let mut count = 0;
    while let Some(_packet) = announced(p, &mut a, end.saturating_sub(p.target.now())) {
        count += 1;
    }
    p.note(if (2..=4).contains(&count) {
        "2 to 4 ADD_ADDRs".to_owned()
    } else {
        format!("{count} ADD_ADDRs")
    });
    p.note_alive(&mut a, 0);
    Ok(())
}

fn a16(p: &mut Probe<'_>) -> Run {
    let mut a = p.flow(0);
    a.timestamps = Some((1, 0));
    let option = p.capable_syn(p.flags());
    p.syn(&mut a, seg().syn().option(option))?;
    let option = p.capable_ack(p.flags());
    p.send(&mut a, seg().option(option));
    let packet = announced(p, &mut a, ANSWER).ok_or_else(|| stop("no ADD_ADDR"))?;
    let add = announcement(&packet).ok_or_else(|| stop("no ADD_ADDR"))?;
    let place = if packet.payload.is_empty() { "a pure ACK" } else { "data" };
    p.note(format!("ADD_ADDR len {} on {place}", add.wire_len()));
    Ok(())
}

/// Where the application's data leaves, acknowledged at once.
fn leaves_by(p: &mut Probe<'_>, a: &mut Flow, b: &mut Flow, acked: u64) -> Option<usize> {
    let by = p.which(b"hello", a, b);
    let dss = p.ack(acked);
    for flow in [a, b] {
        p.send(flow, seg().dss(dss));
        p.answers(flow);
    }
    by
}

fn a22(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.answers(&mut a);
    p.answers(&mut b);
    let used = leaves_by(p, &mut a, &mut b, 5).ok_or_else(|| stop("no data"))?;
    p.send_prio(if used == 0 { &mut a } else { &mut b }, true);
    p.pass(QUIET);
    let then = leaves_by(p, &mut a, &mut b, 10).ok_or_else(|| stop("no data then"))?;
    p.note(if then == used { "data stays" } else { "data moves to the other subflow" });
    Ok(())
}

fn a23(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let mut b = p.joined_with(1, 1, true)?;
    p.answers(&mut b);
    p.send(&mut a, seg().raw_mptcp(&[0x51, 0]));
    p.answers(&mut a);
    let used = leaves_by(p, &mut a, &mut b, 5).ok_or_else(|| stop("no data"))?;
    p.note(if used == 0 { "data stays" } else { "data moves to the other subflow" });
    Ok(())
}

fn a24(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.send_prio(&mut a, true);
    p.send_prio(&mut b, true);
    p.pass(QUIET);
    p.waiting.clear();
    let used = leaves_by(p, &mut a, &mut b, 5);
    p.note(if used.is_some() { "data" } else { "no data" });
    Ok(())
}
