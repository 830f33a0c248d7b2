//! X: resets, aborts, and ends at odd moments.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::digest::pattern;
use crate::conform::packet::Packet;
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{CLIENT, SERVER, Setup};
use mpuser_engine::crypto::Key;
use mpuser_engine::error::ResetReason;
use mpuser_engine::wire::{FastClose, MpTcpRst, MptcpOption};
use std::time::Duration;

/// Without subflows a connection ends soon.
const SHORT: Setup = Setup { close_timeout: 2, ..SERVER };

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("X14", "RST on one of two subflows", "3.3.3", SERVER,
        "data again on the other; alive: 'xyz' data-acked", x14),
    case("X15", "RST on the only subflow", "3.3.3 [FIN-9]", SHORT,
        "app: open; later app: ETIMEDOUT | app: open; later app: ECONNRESET | app: open; later app: ENOTCONN", x15),
    case("X16", "MP_TCPRST with every reason", "3.6 [RST-3]", SERVER,
        "MPRstRx 7; alive: 'xyz' data-acked", x16),
    case("X17", "FASTCLOSE on an ACK", "3.5 [FC-2]", SERVER,
        "RST; RST; app: ECONNRESET", x17),
    case("X18", "FASTCLOSE on a RST", "3.5 [FC-5]", SERVER, "RST; app: ECONNRESET", x18),
    case("X19", "FASTCLOSE with a wrong key", "3.5 [FC-1]", SERVER,
        "app: open; alive: 'xyz' data-acked", x19),
    case("X20", "our abort", "3.5 [FC-3]", SERVER, "FASTCLOSE; RST on the other; repeated or over", x20),
    case("X21", "FASTCLOSE crosses FASTCLOSE", "3.5", SERVER, "FASTCLOSE; then quiet", x21),
    case("X22", "close with data unread", "3.5, RFC 9293 3.6", SERVER,
        "FASTCLOSE or RST", x22),
    case("X23", "the application lets go of the connection", "3.3.3", SERVER,
        "DATA_FIN at 0; FIN", x23),
    case("X24", "close in SYN-SENT, and before the first DSS", "RFC 9293 3.10.4", CLIENT,
        "SYN/ACK then gets RST or nothing; later close ends", x24),
    case("X25", "the same ports again after the end", "RFC 9293 3.6.1", SERVER,
        "SYN/ACK", x25),
    case("X26", "RST in SYN-RECEIVED, SYN/ACK later still served", "RFC 9293 3.10.7", SERVER,
        "nothing; alive: 'xyz' data-acked; after EOF: app: ECONNRESET or EOF", x26),
    case("X30", "abort in the middle of a transfer", "3.5", SERVER,
        "quiet within 1 s", x30),
];

fn x14(p: &mut Probe<'_>) -> Run {
    let (mut used, mut other) = p.two_in_use(b"hello")?;
    p.send(&mut used, seg().rst());
    let again = p.wait_for(&mut other, ANSWER, |packet| !packet.payload.is_empty());
    p.note(if again.is_some() { "data again on the other" } else { "data lost" });
    p.note_alive(&mut other, 3);
    Ok(())
}

fn x15(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.send(&mut a, seg().rst());
    p.pass(QUIET);
    p.note_app_state();
    p.pass(Duration::from_secs(6));
    let words = p.read().end.map_or_else(|e| e.word(), |eof| if eof { "EOF" } else { "open" });
    p.note(format!("later app: {words}"));
    Ok(())
}

fn x16(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    for reason in 0..7 {
        let mut b = p.joined(reason + 1)?;
        let (transient, reason) = (reason % 2 == 1, ResetReason::from_code(reason));
        p.send(&mut b, seg().rst().option(MptcpOption::TcpRst(MpTcpRst { transient, reason })));
        p.pass(QUIET / 10);
    }
    p.note_counter("MPRstRx");
    p.note_alive(&mut a, 3);
    Ok(())
}

/// Notes whether a RST comes on this subflow.
fn note_rst(p: &mut Probe<'_>, flow: &mut Flow) {
    let rst = p.wait_for(flow, ANSWER, |packet| packet.header.flags.rst);
    p.note(if rst.is_some() { "RST" } else { "no RST" });
}

/// What the application is told of an end.
fn note_end(p: &mut Probe<'_>) {
    let end = p.read().end;
    let words = end.map_or_else(|error| error.word(), |eof| if eof { "EOF" } else { "open" });
    p.note(format!("app: {words}"));
}

fn x17(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let option = p.fastclose();
    p.send(&mut a, seg().option(option));
    note_rst(p, &mut a);
    note_rst(p, &mut b);
    note_end(p);
    Ok(())
}

fn x18(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let option = p.fastclose();
    p.send(&mut a, seg().rst().option(option));
    note_rst(p, &mut b);
    note_end(p);
    Ok(())
}

fn x19(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let option = FastClose { receiver_key: Key(p.own_key.0 ^ 1) };
    p.send(&mut a, seg().option(MptcpOption::FastClose(option)));
    p.pass(QUIET);
    p.note_app_state();
    p.note_alive(&mut a, 3);
    Ok(())
}

fn is_fastclose(packet: &Packet) -> bool {
    packet.mptcp.iter().any(|option| matches!(option, MptcpOption::FastClose(_)))
}

fn x20(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.answers(&mut a);
    p.answers(&mut b);
    p.target.abort();
    let (on_a, on_b) = (p.answers(&mut a), p.answers(&mut b));
    let closes = on_a.iter().chain(&on_b).filter(|q| is_fastclose(q)).count();
    p.note(if closes > 0 { "FASTCLOSE" } else { "no FASTCLOSE" });
    let resets = [&on_a, &on_b].iter().filter(|all| all.iter().any(|q| q.header.flags.rst)).count();
    p.note(if resets > 0 { "RST on the other" } else { "no RST" });
    p.pass(Duration::from_secs(2));
    p.note(if resets == 2 || closes > 1 || p.waiting.iter().any(is_fastclose) {
        "repeated or over"
    } else {
        "not repeated"
    });
    Ok(())
}

fn x21(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    p.target.abort();
    let close = p.wait_for(&mut a, ANSWER, is_fastclose);
    p.note(if close.is_some() { "FASTCLOSE" } else { "no FASTCLOSE" });
    let option = p.fastclose();
    p.send(&mut a, seg().option(option));
    p.answers(&mut a);
    let more = p.wait(&mut a, Duration::from_secs(3));
    p.note(if more.is_some() { "then more" } else { "then quiet" });
    Ok(())
}

fn x22(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.send_data(&mut a, 3, b"xyz");
    p.answers(&mut a);
    p.target.close();
    let end = p.wait_for(&mut a, ANSWER, |q| is_fastclose(q) || q.header.flags.rst);
    p.note(if end.is_some() { "FASTCLOSE or RST" } else { "neither FASTCLOSE nor RST" });
    Ok(())
}

fn x23(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    p.target.close();
    p.note_answers(&mut a);
    let fin = p.data_fin(3, 1);
    p.send(&mut a, seg().dss(fin));
    p.note_answers(&mut a);
    Ok(())
}

fn x24(p: &mut Probe<'_>) -> Run {
    let (mut a, _) = p.dialled()?;
    p.target.close();
    let option = p.capable_syn_ack(p.flags());
    p.send(&mut a, seg().syn().option(option));
    let packets = p.answers(&mut a);
    let quiet = packets.iter().all(|q| q.header.flags.rst);
    p.note(if quiet { "SYN/ACK then gets RST or nothing" } else { "SYN/ACK is taken" });
    let mut b = p.answered()?;
    p.target.close();
    let end =
        p.wait_for(&mut b, ANSWER, |q| q.is_data_fin() || q.header.flags.fin || q.header.flags.rst);
    p.note(if end.is_some() { "later close ends" } else { "later close does not end" });
    Ok(())
}

fn x25(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.target.shutdown();
    p.wait_for(&mut a, ANSWER, Packet::is_data_fin).ok_or_else(|| stop("no DATA_FIN"))?;
    let fin = p.data_fin(3, 1);
    p.send(&mut a, seg().dss(fin));
    p.wait_for(&mut a, ANSWER, |q| q.header.flags.fin).ok_or_else(|| stop("no FIN"))?;
    let dss = p.ack(1);
    p.send(&mut a, seg().fin().dss(dss));
    p.pass(QUIET);
    p.waiting.clear();
    let mut again = Flow::new(a.tuple.local, a.tuple.remote);
    again.iss = a.iss.wrapping_add(1_000_000);
    let option = p.capable_syn(p.flags());
    let answer = p.syn(&mut again, seg().syn().option(option))?;
    p.note(if answer.is_syn_ack() { "SYN/ACK" } else { "no SYN/ACK" });
    Ok(())
}

fn x26(p: &mut Probe<'_>) -> Run {
    let mut half = p.open()?;
    p.send(&mut half, seg().rst());
    p.note_answers(&mut half);
    let mut a = p.serve()?;
    p.note_alive(&mut a, 0);
    let fin = p.data_fin(3, 0);
    p.send(&mut a, seg().dss(fin));
    p.pass(QUIET);
    p.target.shutdown();
    p.pass(QUIET);
    p.send(&mut a, seg().rst());
    p.pass(QUIET);
    let end = p.read().end;
    p.note(match end {
        Ok(false) => "after EOF: app: open",
        _ => "after EOF: app: ECONNRESET or EOF",
    });
    Ok(())
}

fn x30(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.write(&pattern(200_000));
    p.collect(&mut [&mut a], 50_000, QUIET, Vec::new());
    p.target.abort();
    p.pass(Duration::from_secs(1));
    p.waiting.clear();
    let dss = p.ack(50_000);
    p.send(&mut a, seg().dss(dss));
    let late = p.during(&mut a, Duration::from_secs(2));
    let data = late.iter().any(|q| !q.payload.is_empty());
    p.note(if data { "data after 1 s" } else { "quiet within 1 s" });
    Ok(())
}
