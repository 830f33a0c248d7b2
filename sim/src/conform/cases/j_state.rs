//! J: joins against limits, identifiers and the state of the connection.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::probe::{ANSWER, NONCE, Probe, QUIET, Run, Stop, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{SERVER, Setup, probe_address, stack_address};
use mpuser_engine::addr::{AddressId, SocketAddr};
use mpuser_engine::crypto::Token;
use mpuser_engine::wire::{MpJoin, MptcpOption};

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("J04", "join after the third ACK, before any data", "3.2 [INI-36]", SERVER,
        "joined; app: 'xyz'", j04),
    case("J13", "the limit of subflows is reached", "3.2, 3.6",
        Setup { subflows: 1, ..SERVER }, "RST reason 3 | RST reason 2", j13),
    case("J14", "300 joins never finished, then a good one", "5", SERVER,
        "the good one succeeds", j14),
    case("J15", "300 joins with random tokens", "5", SERVER,
        "only RST reason 1; the good one succeeds", j15),
    case("J17", "identifier 0 from another address", "3.2", SERVER,
        "accepted; first subflow alive | refused; first subflow alive", j17),
    case("J18", "an identifier in use from another address", "3.2", SERVER,
        "RST reason 3; app: 'xyz'", j18),
    case("J19", "join after the peer's DATA_FIN", "3.2, 3.3.3", SERVER,
        "ACK", j19),
    case("J20", "join after fallback", "3.7", SERVER, "never joined; app: 'xyz'", j20),
    case("J21", "join with the backup bit", "3.3.8 [PRIO-1]", SERVER,
        "data on the first, none on the backup", j21),
    case("J22", "join when no subflow is left", "3.3.3 [FIN-9]", SERVER,
        "app: 'xyz'; data", j22),
    case("J24", "join to a port that was announced", "3.4.1",
        Setup { signal: true, signal_port: Some(8_080), ..SERVER },
        "ADD_ADDR len 18; joined; MP_CAPABLE to it: RST reason 3 | ADD_ADDR len 18; joined; MP_CAPABLE to it: RST", j24),
    case("J25", "join over IPv6 to a connection over IPv4", "3.2",
        Setup { ipv6: true, ..SERVER }, "joined; app: 'xyz'", j25),
];

fn j04(p: &mut Probe<'_>) -> Run {
    p.serve()?;
    let mut flow = p.joined(1)?;
    p.note("joined");
    p.send_data(&mut flow, 0, b"xyz");
    p.note_app();
    Ok(())
}

/// A join from address `index` carried through; what it came to.
fn outcome(p: &mut Probe<'_>, index: u8, id: u8) -> Result<(Flow, String), Stop> {
    let mut flow = p.flow(index);
    let option = p.join_option(id, false);
    let answer = p.syn(&mut flow, seg().syn().option(option))?;
    if flow.nonce.is_none() {
        let text = p.digest(&[answer]);
        return Ok((flow, text));
    }
    let option = p.join_ack(&flow);
    p.send(&mut flow, seg().option(option));
    let packets = p.answers(&mut flow);
    let text = p.digest(&packets);
    Ok((flow, text))
}

fn j13(p: &mut Probe<'_>) -> Run {
    p.two()?;
    let (_, text) = outcome(p, 2, 2)?;
    p.note(text);
    Ok(())
}

fn j14(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    for index in 0..300_u16 {
        let mut flow = p.flow((index % 200) as u8 + 1);
        let option = p.join_option((index % 200) as u8 + 1, false);
        p.send(&mut flow, seg().syn().no_ack().option(option));
    }
    p.pass(QUIET);
    p.waiting.clear();
    p.joined(220)?;
    p.note("the good one succeeds");
    Ok(())
}

fn j15(p: &mut Probe<'_>) -> Run {
    p.confirmed()?;
    for index in 0..300_u32 {
        let mut flow = p.flow(1);
        let token = Token(index.wrapping_mul(0x9e37_79b9));
        let join = MpJoin::Syn { backup: false, address_id: AddressId(1), token, nonce: NONCE };
        p.send(&mut flow, seg().syn().no_ack().option(MptcpOption::Join(join)));
    }
    p.pass(QUIET);
    let answers: Vec<_> = p.waiting.drain(..).collect();
    let text = p.digest(&answers);
    p.note(format!("only {text}"));
    p.joined(2)?;
    p.note("the good one succeeds");
    Ok(())
}

fn j17(p: &mut Probe<'_>) -> Run {
    let mut first = p.confirmed()?;
    let (_, text) = outcome(p, 1, 0)?;
    p.note(if text.contains("RST") { "refused" } else { "accepted" });
    p.send_data(&mut first, 3, b"xyz");
    let heard = p.read();
    p.note(if heard.bytes == b"xyz" { "first subflow alive" } else { "first subflow dead" });
    Ok(())
}

fn j18(p: &mut Probe<'_>) -> Run {
    let (_, mut second) = p.two()?;
    let (_, text) = outcome(p, 2, 1)?;
    p.note(text);
    p.send_data(&mut second, 3, b"xyz");
    p.note_app();
    Ok(())
}

fn j19(p: &mut Probe<'_>) -> Run {
    let mut first = p.confirmed()?;
    let fin = p.data_fin(3, 0);
    p.send(&mut first, seg().dss(fin));
    p.answers(&mut first);
    let (_, text) = outcome(p, 1, 1)?;
    p.note(text);
    Ok(())
}

fn j20(p: &mut Probe<'_>) -> Run {
    let mut first = p.confirmed()?;
    p.fall_back(&mut first, 3, b"abc");
    p.read_all(3, ANSWER);
    outcome(p, 1, 1)?;
    let joined = p.counter("MPJoinAckRx");
    p.note(if joined == 0 { "never joined" } else { "joined" });
    p.send(&mut first, seg().data(b"xyz"));
    p.note_app();
    Ok(())
}

fn j21(p: &mut Probe<'_>) -> Run {
    let mut first = p.confirmed()?;
    let mut second = p.joined_with(1, 1, true)?;
    p.answers(&mut first);
    p.answers(&mut second);
    for round in 0..5 {
        p.write(b"hello");
        let data = p.wait_for(&mut first, ANSWER, |packet| !packet.payload.is_empty());
        data.ok_or_else(|| stop("no data on the first"))?;
        let dss = p.ack(5 * (round + 1));
        p.send(&mut first, seg().dss(dss));
    }
    let backup = p.answers(&mut second);
    let used = backup.iter().any(|packet| !packet.payload.is_empty());
    p.note(format!("data on the first, {} on the backup", if used { "some" } else { "none" }));
    Ok(())
}

fn j22(p: &mut Probe<'_>) -> Run {
    let mut first = p.confirmed()?;
    p.send(&mut first, seg().rst());
    p.pass(QUIET);
    let mut second = p.joined(1)?;
    p.send_data(&mut second, 3, b"xyz");
    p.note_app();
    p.write(b"hello");
    let data = p.wait_for(&mut second, ANSWER, |packet| !packet.payload.is_empty());
    let text = p.digest(&data.into_iter().collect::<Vec<_>>());
    p.note(text);
    Ok(())
}

fn j24(p: &mut Probe<'_>) -> Run {
    let mut first = p.confirmed()?;
    let announced = p.wait_for(&mut first, ANSWER, |packet| {
        packet.mptcp.iter().any(|option| matches!(option, MptcpOption::AddAddr(_)))
    });
    let announced = announced.or_else(|| {
        p.waiting
            .iter()
            .find(|q| q.find(|o| matches!(o, MptcpOption::AddAddr(_)).then_some(())).is_some())
            .cloned()
    });
    let add = announced.and_then(|packet| {
        packet.find(|option| match option {
            MptcpOption::AddAddr(add) => Some(*add),
            _ => None,
        })
    });
    let add = add.ok_or_else(|| stop("no ADD_ADDR"))?;
    p.note(format!("ADD_ADDR len {}", add.wire_len()));
    let port = add.port.unwrap_or(0);
    let local = SocketAddr::new(stack_address(1, false), port);
    let mut flow = Flow::new(local, SocketAddr::new(probe_address(1, false), 45_000));
    let option = p.join_option(1, false);
    p.syn(&mut flow, seg().syn().option(option))?;
    let option = p.join_ack(&flow);
    p.send(&mut flow, seg().option(option));
    let packets = p.answers(&mut flow);
    let text = p.digest(&packets);
    p.note(if text.contains("RST") || text == "nothing" { text } else { "joined".to_owned() });
    let mut other = Flow::new(local, SocketAddr::new(probe_address(1, false), 45_001));
    let option = p.capable_syn(p.flags());
    p.send(&mut other, seg().syn().no_ack().option(option));
    let packets = p.answers(&mut other);
    let text = p.digest(&packets);
    p.note(format!("MP_CAPABLE to it: {text}"));
    Ok(())
}

fn j25(p: &mut Probe<'_>) -> Run {
    p.setup.ipv6 = false;
    p.confirmed()?;
    p.setup.ipv6 = true;
    let mut flow = p.joined(1)?;
    p.note("joined");
    p.send_data(&mut flow, 3, b"xyz");
    p.note_app();
    Ok(())
}
