//! C: checksums, MP_FAIL and fallback.

use crate::conform::case::{Case, case};
use crate::conform::data_level::HandMade as _;
use crate::conform::packet::Packet;
use crate::conform::probe::{ANSWER, Probe, QUIET, Run, stop};
use crate::conform::segment::{Flow, seg};
use crate::conform::target::{CLIENT, SERVER, Setup, probe_address};
use mpuser_engine::addr::AddressId;
use mpuser_engine::wire::{Dss, DssMapping, MpFail, MpPrio, MptcpOption, RemoveAddr};
use std::time::Duration;

const CHECKSUM: Setup = Setup { checksum: true, ..SERVER };

/// The table.
#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    case("C01", "checksums agreed and right", "3.3.1 [INI-16]", CHECKSUM,
        "alive: 'xyz' data-acked; data with a right checksum", c01),
    case("C02", "a bad checksum, one subflow", "3.7 [FB-9] [FB-11]", CHECKSUM,
        "MP_FAIL at 3; data-ack 3; app: no bytes; after the infinite mapping: app: 'new'", c02),
    case("C03", "a bad checksum on one of two subflows", "3.7 [FB-8]", CHECKSUM,
        "RST MP_FAIL at 3 reason 6; alive: 'xyz' data-acked | RST MP_FAIL at 3; alive: 'xyz' data-acked", c03),
    case("C04", "DSS without the checksum that was agreed", "3.3 [DSS-2]", CHECKSUM,
        "RST reason 1; app: no bytes | RST reason 6; app: no bytes", c04),
    case("C05", "DSS with a checksum that was not agreed", "3.3 [DSS-1]", SERVER,
        "RST reason 1; app: no bytes | RST reason 6; app: no bytes", c05),
    case("C06", "MP_FAIL received, one subflow", "3.7 [FB-13]", SERVER,
        "MP_FAIL; infinite map at 5; then data", c06),
    case("C07", "MP_FAIL received on a RST, two subflows", "3.7 [FB-8]", SERVER,
        "data again on the other subflow", c07),
    case("C08", "an infinite mapping, one subflow", "3.7", SERVER, "app: 'xyz'; plain", c08),
    case("C09", "an infinite mapping on a joined subflow", "3.7", SERVER,
        "RST reason 1; alive: 'xyz' data-acked | RST reason 6; alive: 'xyz' data-acked", c09),
    case("C10", "the first data has no option", "3.7 [FB-1]", SERVER, "app: no bytes; mptcp", c10),
    case("C11", "no DSS in mid-connection, one subflow", "3.7 [FB-7]", SERVER,
        "app: no bytes; mptcp", c11),
    case("C12", "no DSS on a joined subflow", "3.7 [FB-6]", SERVER,
        "ACK; alive: 'xyz' data-acked", c12),
    case("C13", "data acknowledged without any DSS, first subflow", "3.7 [FB-4]", CLIENT,
        "infinite map at 0; then plain | infinite map at 5; then plain | plain; then plain", c13),
    case("C14", "the same on a joined subflow", "3.7 [FB-5]", SERVER,
        "RST reason 6; data again on the other subflow", c14),
    case("C15", "options vanish on one of two subflows", "3.7", SERVER,
        "ACK; app: 'xyzxyz'", c15),
    case("C16", "options vanish on the only subflow, data out of order is waiting", "3.7", SERVER,
        "ACK; app: no bytes", c16),
    case("C17", "fallback while a join is in flight", "3.7", SERVER,
        "no second subflow; app: 'xyz' | the first is reset, the second carries on; app: 'xyz'", c17),
    case("C18", "fallback and DATA_FIN", "3.7", SERVER, "app: 'abcxyz', EOF; app: EOF", c18),
    case("C19", "fallback and ADD_ADDR", "3.7", Setup { add_addr_accepted: 8, ..SERVER },
        "no option; no join; app: 'xyz'", c19),
    case("C20", "options after fallback", "3.7", SERVER, "app: 'xyzxyzxyzxyz'; plain", c20),
    case("C21", "a path that drops MP_CAPABLE, met again", "3.7", Setup { blackhole_timeout: 2, ..CLIENT },
        "plain at last; then plain at once; later MP_CAPABLE len 4 flags H", c21),
    case("C22", "checksum of a split mapping, of odd length, of a DATA_FIN", "3.3.1", CHECKSUM,
        "app: 'xyzabcdef', EOF; data-ack 13", c22),
];

fn c01(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.note_alive(&mut a, 3);
    let data = p.data_after(&mut a, b"world")?;
    let text = format!("data with {}", p.checksum_words(&data));
    p.note(text);
    Ok(())
}

/// A mapping of three octets with this change.
fn spoilt(p: &Probe<'_>, flow: &Flow, spoil: impl FnOnce(&mut DssMapping)) -> Dss {
    let mut dss = p.map(flow, 3, b"BAD", 0);
    if let Some(mapping) = &mut dss.mapping {
        spoil(mapping);
    }
    dss
}

fn flip(mapping: &mut DssMapping) {
    mapping.checksum = mapping.checksum.map(|sum| sum ^ 1);
}

fn c02(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let dss = spoilt(p, &a, flip);
    p.send(&mut a, seg().data(b"BAD").dss(dss));
    let packets = p.answers(&mut a);
    let text = p.digest(&packets);
    p.note(text);
    let acked = p.data_acked(&packets).unwrap_or(-1);
    p.note(format!("data-ack {acked}"));
    p.note_app();
    let fail = MptcpOption::Fail(MpFail { data_seq: p.own_dsn(0) });
    let dss = p.infinite(&a, 3);
    p.send(&mut a, seg().data(b"new").dss(dss).option(fail));
    let words = p.read().words();
    p.note(format!("after the infinite mapping: app: {words}"));
    Ok(())
}

fn c03(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let dss = spoilt(p, &b, flip);
    p.send(&mut b, seg().data(b"BAD").dss(dss));
    p.note_answers(&mut b);
    p.note_alive(&mut a, 3);
    Ok(())
}

fn c04(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    let dss = spoilt(p, &a, |mapping| mapping.checksum = None);
    p.send(&mut a, seg().data(b"BAD").dss(dss));
    p.note_answers(&mut a);
    p.note_app();
    Ok(())
}

fn c05(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.answers(&mut a);
    p.checksum = true;
    let dss = p.map(&a, 3, b"BAD", 0);
    p.checksum = false;
    p.send(&mut a, seg().data(b"BAD").dss(dss));
    p.note_answers(&mut a);
    p.note_app();
    Ok(())
}

fn c06(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.data_after(&mut a, b"hello")?;
    let (dss, data_seq) = (p.ack(5), p.own_dsn(5));
    p.send(&mut a, seg().dss(dss).option(MptcpOption::Fail(MpFail { data_seq })));
    let packets = p.answers(&mut a);
    let failed = packets.iter().any(|q| q.mptcp.iter().any(|o| matches!(o, MptcpOption::Fail(_))));
    p.note(if failed { "MP_FAIL" } else { "no MP_FAIL" });
    let next = p.data_after(&mut a, b"world")?;
    let text = p.digest(&[next]);
    p.note(text.replace(" reason 0", ""));
    p.send(&mut a, seg());
    let next = p.data_after(&mut a, b"again")?;
    let text = p.digest(&[next]);
    p.note(format!("then {text}"));
    Ok(())
}

/// The subflow the application's data leaves by, then the other one.
fn used_first<'f>(
    p: &mut Probe<'_>,
    a: &'f mut Flow,
    b: &'f mut Flow,
) -> Result<(&'f mut Flow, &'f mut Flow), crate::conform::probe::Stop> {
    p.answers(a);
    p.answers(b);
    match p.which(b"hello", a, b) {
        Some(0) => Ok((a, b)),
        Some(_) => Ok((b, a)),
        None => Err(stop("no data")),
    }
}

fn note_again(p: &mut Probe<'_>, other: &mut Flow) {
    let again = p.wait_for(other, ANSWER, |packet| !packet.payload.is_empty());
    p.note(if again.is_some() { "data again on the other subflow" } else { "data lost" });
}

fn c07(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let (used, other) = used_first(p, &mut a, &mut b)?;
    let data_seq = p.own_dsn(0);
    p.send(used, seg().rst().option(MptcpOption::Fail(MpFail { data_seq })));
    note_again(p, other);
    Ok(())
}

fn c08(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    let dss = p.infinite(&a, 3);
    p.send(&mut a, seg().data(b"xyz").dss(dss));
    p.note_app();
    p.note_mode(&mut a);
    Ok(())
}

fn c09(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    let dss = p.infinite(&b, 3);
    p.send(&mut b, seg().data(b"BAD").dss(dss));
    p.note_answers(&mut b);
    p.note_alive(&mut a, 3);
    Ok(())
}

fn c10(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    p.send(&mut a, seg().data(b"abc"));
    p.note_app();
    p.note_mode(&mut a);
    Ok(())
}

fn c11(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.send(&mut a, seg().data(b"xyz"));
    p.note_app();
    p.note_mode(&mut a);
    Ok(())
}

fn c12(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.send(&mut b, seg().data(b"BAD"));
    p.note_answers(&mut b);
    p.note_alive(&mut a, 3);
    Ok(())
}

fn c13(p: &mut Probe<'_>) -> Run {
    let mut a = p.answered()?;
    p.data_after(&mut a, b"hello")?;
    p.send(&mut a, seg());
    p.answers(&mut a);
    let next = p.data_after(&mut a, b"world")?;
    let text = if next.is_plain() { "plain".to_owned() } else { p.digest(&[next]) };
    p.note(text);
    p.send(&mut a, seg());
    let next = p.data_after(&mut a, b"again")?;
    p.note(if next.is_plain() { "then plain" } else { "then with MPTCP" });
    Ok(())
}

fn c14(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.send_prio(&mut a, true);
    let (used, other) = used_first(p, &mut b, &mut a)?;
    p.send(used, seg());
    p.note_answers(used);
    note_again(p, other);
    Ok(())
}

fn c15(p: &mut Probe<'_>) -> Run {
    let (mut a, mut b) = p.two()?;
    p.send_data(&mut b, 3, b"xyz");
    p.answers(&mut b);
    p.send(&mut b, seg().data(b"BAD"));
    p.note_answers(&mut b);
    p.send_data(&mut a, 6, b"xyz");
    p.note_app();
    Ok(())
}

fn c16(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.send_data(&mut a, 100, b"far");
    p.answers(&mut a);
    p.send(&mut a, seg().data(b"BAD"));
    p.note_answers(&mut a);
    let bytes = p.read().bytes;
    p.note(format!("app: {}", crate::conform::digest::bytes_words(&bytes)));
    Ok(())
}

fn c17(p: &mut Probe<'_>) -> Run {
    let mut a = p.serve()?;
    let (mut b, _) = p.join_syn(1, 1)?;
    p.fall_back(&mut a, 0, b"abc");
    p.read_all(3, ANSWER);
    let reset = p.answers(&mut a).iter().any(|packet| packet.header.flags.rst);
    let option = p.join_ack(&b);
    p.send(&mut b, seg().option(option));
    let packets = p.answers(&mut b);
    let joined = !packets.is_empty() && packets.iter().all(|packet| !packet.header.flags.rst);
    if reset && joined {
        p.note("the first is reset, the second carries on");
        p.send_data(&mut b, 0, b"xyz");
    } else {
        p.note(if joined { "a second subflow" } else { "no second subflow" });
        p.send(&mut a, seg().data(b"xyz"));
    }
    p.note_app();
    Ok(())
}

fn c18(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.fall_back(&mut a, 3, b"abc");
    p.send(&mut a, seg().data(b"xyz"));
    let fin = p.data_fin(9, 0);
    p.send(&mut a, seg().dss(fin));
    p.send(&mut a, seg().fin());
    p.note_app();
    p.note_app_state();
    Ok(())
}

fn c19(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.fall_back(&mut a, 3, b"abc");
    p.read_all(3, ANSWER);
    p.answers(&mut a);
    let add = p.add_addr(5, probe_address(5, false), None);
    p.send(&mut a, seg().option(add));
    let packets = p.answers(&mut a);
    p.note(if packets.iter().all(Packet::is_plain) { "no option" } else { "an option" });
    let join = p.next_syn(Duration::from_secs(1));
    p.note(if join.is_some() { "a join" } else { "no join" });
    p.send(&mut a, seg().data(b"xyz"));
    p.note_app();
    Ok(())
}

fn c20(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.fall_back(&mut a, 3, b"abc");
    p.read_all(3, ANSWER);
    let dss = p.map(&a, 77, b"xyz", 0);
    let ids = RemoveAddr::from_ids(&[AddressId(0)]).ok_or_else(|| stop("no IDs"))?;
    let fail = MptcpOption::Fail(MpFail { data_seq: p.own_dsn(0) });
    for option in [
        MptcpOption::Dss(dss),
        MptcpOption::Prio(MpPrio { backup: true }),
        MptcpOption::RemoveAddr(ids),
        fail,
    ] {
        p.send(&mut a, seg().data(b"xyz").option(option));
    }
    p.note_app();
    p.note_mode(&mut a);
    Ok(())
}

fn c21(p: &mut Probe<'_>) -> Run {
    let (mut a, _) = p.dialled()?;
    let plain = p.wait_for(&mut a, Duration::from_secs(20), |q| q.is_syn() && q.is_plain());
    p.note(if plain.is_some() { "plain at last" } else { "never plain" });
    p.answer_syn(&mut a, seg().syn())?;
    p.target.abort();
    p.pass(QUIET);
    p.waiting.clear();
    let (_, syn) = p.dialled()?;
    p.note(if syn.is_plain() { "then plain at once" } else { "then MP_CAPABLE" });
    p.target.abort();
    p.pass(Duration::from_secs(5));
    p.waiting.clear();
    let (_, syn) = p.dialled()?;
    let text = p.digest(&[syn]).replace("SYN ", "");
    p.note(format!("later {text}"));
    Ok(())
}

fn c22(p: &mut Probe<'_>) -> Run {
    let mut a = p.confirmed()?;
    p.send_data(&mut a, 3, b"xyz");
    let dss = p.map(&a, 6, b"abcdef", 0);
    p.send(&mut a, seg().data(b"abc").dss(dss));
    p.send(&mut a, seg().data(b"def"));
    let fin = p.data_fin(12, 0);
    p.send(&mut a, seg().dss(fin));
    p.note_app();
    p.note_acked(&mut [&mut a]);
    Ok(())
}
