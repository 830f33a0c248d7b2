use super::*;
use crate::config::FailedData;
use std::format;
use std::string::String;
use std::vec::Vec;

/// The same table written down as a person would: the first row that matches counts. Columns: trigger, role (c, s),
/// confirmed (c, u), alone (a, p: but for pending joins, m: more), subflow (j: joined, f: first), contiguous (c, g: gap), sent once (o) or
/// remapped (r), fresh (f, d: data came before), proven (p, u), awaiting (w, n), answered (y, n), profile (r, l); a
/// dot is anything.
const TABLE: &str = "
    handshake     . . . . . . . . . . .  fall-back:asked
    bare-ack      . . . . . . . . w . .  ignore
    bare-ack      . . a . c o . . . y .  fall-back:peer_failed
    bare-ack      . . . j . . . u . . .  reset:6
    bare-ack      . . a . . . . p . . r  reset:6
    bare-ack      . . a . c o . . . . .  fall-back:no_dss_in_ack
    bare-ack      . . . . . . . . . . .  ignore
    bare-many     . . . . . . . . w . .  ignore
    bare-many     . . a . c o . . . y .  fall-back:peer_failed
    bare-many     . . . j . . . u . . .  reset:6
    bare-many     . . a . . . . . . . r  reset:6
    bare-many     . . a . c o . . . . l  fall-back:no_dss_in_ack
    bare-many     . . . . . . . . . . .  ignore
    bare-both     . . . . . . . . w . .  ignore
    bare-both     . . a . c o . . . y .  fall-back:peer_failed
    bare-both     . . a . . . . . . . .  reset:6
    bare-both     . . . j . . . u . . .  reset:6
    bare-both     . . . . . . . . . . .  ignore
    never-acked   . . a . . . . . . . .  reset:4
    never-acked   . . . . . . . . . . .  reset:6
    lost          . . a . . . . . . . .  reset:4
    lost          . . . . . . . . . . .  ignore
    fin-unheard   c u a . c o . . . . .  fall-back:no_dss_in_ack
    fin-unheard   . . . . . . . . . . .  ignore
    bare-fin      . . a . c o . . . . .  fall-back:no_dss_in_ack
    bare-fin      . . a . . . . . . . .  reset:6
    bare-fin      . . p . . . . . . . .  reset:6
    bare-fin      . . . . . . . . . . .  ignore
    later-fin     . . . . . . . . . . .  ignore
    early-fin     . . a . . . . . . . .  reset:6
    early-fin     . . p . . . . . . . .  reset:6
    early-fin     . . . . . . . . . . .  ignore
    unmapped      . . a . c o . . . y .  fall-back:peer_failed
    unmapped      . . a . c o . . . . l  fall-back:broken_mapping
    unmapped      . . . . . . . . . . l  reset:6
    misplaced     . . a . c o . . . y .  fall-back:peer_failed
    misplaced     . . a . c o . . . . l  fall-back:broken_mapping
    misplaced     . . . . . . . . . . l  reset:1
    misplaced     c u a . c o . . . . r  fall-back:broken_mapping
    misplaced     . . . . . . . . . . r  hold
    unmapped      c u a . c o . . . . r  fall-back:broken_mapping
    unmapped      . . . . . . . . . . r  hold
    never-mapped  . . . . . . . . . . .  reset:6
    disagreement  . . a . c o . . . . l  fall-back:broken_mapping
    disagreement  . . . . . . . . . . .  reset:1
    conflict      . . a . c o . . . . l  fall-back:broken_mapping
    conflict      . . . . . . . . . . .  reset:1
    bad-checksum  . . a . c o f . . . l  fall-back:checksum_failed
    bad-checksum  . . a . c o . . . . .  send-fail
    bad-checksum  . . . . . . . . . . .  reset-with-fail
    infinite      . . . . . . . . w . .  fall-back:checksum_failed
    infinite      . . a . c o . . . . .  fall-back:infinite_mapping
    infinite      . . . . . . . . . . .  reset:1
    misfit        . . . . . . . . . . .  reset:1
    mp-fail       . . . . . . . . w . .  ignore
    mp-fail       . . a . c o . . . . .  answer-fail
    mp-fail       . . . . . . . . . . .  reset:6
    no-answer     . . . . . . . . . . .  reset-with-fail
";

const TRIGGERS: [(&str, Trigger); 20] = [
    ("handshake", Trigger::Handshake(FallbackReason::AckWithoutCapable)),
    ("bare-ack", Trigger::BareAck { holding: false, crossing: false }),
    ("bare-many", Trigger::BareAck { holding: false, crossing: true }),
    ("bare-both", Trigger::BareAck { holding: true, crossing: false }),
    ("never-acked", Trigger::NeverDataAcked),
    ("lost", Trigger::MappingsLost),
    ("fin-unheard", Trigger::DataFinUnanswered),
    ("bare-fin", Trigger::BareFin { heard: false, early: true }),
    ("later-fin", Trigger::BareFin { heard: true, early: false }),
    ("early-fin", Trigger::BareFin { heard: true, early: true }),
    ("unmapped", Trigger::Unmapped { ahead: false }),
    ("misplaced", Trigger::Unmapped { ahead: true }),
    ("never-mapped", Trigger::NeverMapped),
    ("disagreement", Trigger::ChecksumDisagreement),
    ("conflict", Trigger::MappingConflict),
    ("bad-checksum", Trigger::ChecksumFailed),
    ("infinite", Trigger::InfiniteMapping { fits: true }),
    ("misfit", Trigger::InfiniteMapping { fits: false }),
    ("mp-fail", Trigger::PeerFailed),
    ("no-answer", Trigger::FailUnanswered),
];

fn word(verdict: Verdict, asked: FallbackReason) -> String {
    match verdict {
        Verdict::Ignore => "ignore".into(),
        Verdict::FallBack(reason) if reason == asked => "fall-back:asked".into(),
        Verdict::FallBack(reason) => format!("fall-back:{}", reason.as_str()),
        Verdict::Hold => "hold".into(),
        Verdict::SendFail => "send-fail".into(),
        Verdict::AnswerFail => "answer-fail".into(),
        Verdict::Reset(reason) => format!("reset:{}", reason.code()),
        Verdict::ResetWithFail => "reset-with-fail".into(),
    }
}

/// Every combination there is, with its columns as letters.
fn standings() -> impl Iterator<Item = (Standing, [char; 10])> {
    (0u32..1 << 11).map(|bits| {
        let bit = |n: u32| bits & 1 << n != 0;
        let pick = |n: u32, yes: char, no: char| if bit(n) { yes } else { no };
        let standing = Standing {
            client: bit(0),
            confirmed: bit(1),
            alone: bit(2),
            unjoined: bit(2) || bit(10),
            joined: bit(3),
            contiguous: bit(4),
            remapped: bit(5),
            fresh: bit(6),
            proven: bit(7),
            awaiting: bit(8),
            answered: bit(9),
            ending: false,
        };
        let letters = [
            pick(0, 'c', 's'),
            pick(1, 'c', 'u'),
            pick(2, 'a', pick(10, 'p', 'm')),
            pick(3, 'j', 'f'),
            pick(4, 'c', 'g'),
            pick(5, 'r', 'o'),
            pick(6, 'f', 'd'),
            pick(7, 'p', 'u'),
            pick(8, 'w', 'n'),
            pick(9, 'y', 'n'),
        ];
        (standing, letters)
    })
}

/// RFC 8684 3.7 [FB-1] [FB-2] [FB-4] [FB-5] [FB-6] [FB-7] [FB-8] [FB-9] [FB-12] [FB-13] [FB-14] [FB-20], [DSS-1]
/// [DSS-2] [DSS-3] [DSS-14]: all 81 920 cases, against the table above; every row of it is needed.
#[test]
fn the_table_is_complete_and_right() {
    let rows: Vec<Vec<&str>> = TABLE
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|row| !row.is_empty())
        .collect();
    let mut used = std::vec![false; rows.len()];
    let asked = FallbackReason::AckWithoutCapable;
    for (profile, behaviour) in [('r', Behaviour::rfc()), ('l', Behaviour::linux())] {
        for (name, trigger) in TRIGGERS {
            for (standing, letters) in standings() {
                let fits = |row: &&Vec<&str>| {
                    let columns = letters.iter().chain([&profile]);
                    let wanted = row.iter().skip(1);
                    row.first() == Some(&name)
                        && wanted.zip(columns).all(|(w, c)| *w == "." || w.starts_with(*c))
                };
                let row = rows.iter().position(|row| fits(&row)).expect("no row");
                used[row] = true;
                let got = word(decide(trigger, &standing, &behaviour), asked);
                let expected = rows[row].last().copied().expect("a verdict");
                assert_eq!(got, expected, "{name} {letters:?} {profile}");
            }
        }
    }
    let idle: Vec<_> = rows.iter().zip(used).filter(|(_, used)| !used).collect();
    assert!(idle.is_empty(), "never used: {idle:?}");
}

/// (K26) (K30): a peer that has shown that it speaks MPTCP sends unmapped octets again, so nothing but holding them is
/// right; unless it has said with MP_FAIL that it goes on as plain TCP.
#[test]
fn no_silent_fallback_from_a_peer_in_mptcp() {
    for (standing, _) in standings().filter(|(s, _)| s.confirmed && !s.answered) {
        assert_eq!(
            decide(Trigger::Unmapped { ahead: false }, &standing, &Behaviour::rfc()),
            Verdict::Hold
        );
    }
}

/// [FB-4]: where MPTCP cannot be left without harm, no trigger but the handshake leaves it; what the peer has begun
/// with its infinite mapping apart.
#[test]
fn no_fallback_beside_other_subflows() {
    for (standing, _) in standings().filter(|(s, _)| !s.alone && !s.awaiting) {
        for (name, trigger) in TRIGGERS.iter().skip(1) {
            for behaviour in [Behaviour::rfc(), Behaviour::linux()] {
                let verdict = decide(*trigger, &standing, &behaviour);
                assert!(!matches!(verdict, Verdict::FallBack(_)), "{name} {standing:?}");
            }
        }
    }
}

/// [FB-4]: a FIN that came before the end of the data would be its end to plain TCP.
#[test]
fn no_fallback_behind_an_early_fin() {
    for (standing, _) in standings() {
        let ending = Standing { ending: true, ..standing };
        for (name, trigger) in TRIGGERS {
            for behaviour in [Behaviour::rfc(), Behaviour::linux()] {
                let expected = match decide(trigger, &standing, &behaviour) {
                    Verdict::FallBack(_) => Verdict::Reset(ResetReason::MiddleboxInterference),
                    verdict => verdict,
                };
                assert_eq!(decide(trigger, &ending, &behaviour), expected, "{name} {ending:?}");
            }
        }
    }
}

/// The two profiles differ where `Behaviour` says so.
#[test]
fn failed_data_is_withheld_unless_linux_is_imitated() {
    assert_eq!(Behaviour::rfc().failed_data, FailedData::Withhold, "[FB-11]");
    assert_eq!(Behaviour::linux().failed_data, FailedData::Deliver, "(K39)");
}
