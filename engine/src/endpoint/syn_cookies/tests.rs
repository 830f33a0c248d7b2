use super::*;
use crate::rng::Rng;
use crate::tcp::{Flags, Timestamps};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn cookies() -> SynCookies {
    SynCookies::new(&mut Rng::from_seed([9; 32]))
}

fn tuple(port: u16) -> FourTuple {
    FourTuple {
        local: SocketAddr::from(([10, 0, 0, 1], 80)),
        remote: SocketAddr::from(([192, 0, 2, 1], port)),
    }
}

fn syn(seq: u32, mss: Option<u16>, scale: Option<u8>, sack: bool) -> Segment {
    let options = SegmentOptions {
        mss,
        window_scale: scale,
        sack_permitted: sack,
        timestamps: Some(Timestamps { value: 77, echo: 0 }),
        ..SegmentOptions::default()
    };
    let flags = Flags { syn: true, ..Flags::default() };
    Segment { seq: SeqNum(seq), flags, options, ..Segment::default() }
}

fn third(syn: &Segment, isn: SeqNum, echo: u32) -> Segment {
    let timestamps = Some(Timestamps { value: 78, echo });
    let options = SegmentOptions { timestamps, ..SegmentOptions::default() };
    Segment { seq: syn.seq + 1, ack: Some(isn + 1), options, ..Segment::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What the SYN said comes back with the third packet, for at least a slot's time, whatever the clocks say.
    #[test]
    fn a_cookie_brings_back_what_the_syn_said(
        at in 0_u64..1 << 40, later in 0_u64..64_000, clock: u32, seq: u32, port: u16,
        mss in proptest::option::of(0_u16..), scale in proptest::option::of(0_u8..20), sack: bool,
    ) {
        let mut cookies = cookies();
        let syn = syn(seq, mss, scale, sack);
        let isn = cookies.isn(Instant::from_millis(at), &tuple(port), &syn);
        let stamp = SynCookies::timestamp(clock, scale, sack);
        let lag = clock.wrapping_sub(stamp);
        prop_assert!(lag <= 31, "the clock went back: {lag}");
        let now = Instant::from_millis(at + later);
        prop_assert!(cookies.expected(now));
        let found = cookies.check(&tuple(port), &third(&syn, isn, stamp), now);
        let found = found.expect("a valid cookie");
        prop_assert_eq!((found.irs, found.iss), (syn.seq, isn));
        prop_assert_eq!(found.slot, SynCookies::slot(Instant::from_millis(at)));
        prop_assert_eq!(found.options.window_scale, scale.map(|s| s.min(14)));
        prop_assert_eq!(found.options.sack_permitted, sack);
        let (said, kept) = (mss.unwrap_or(536), found.options.mss.expect("always"));
        prop_assert!(kept <= said.max(88) && (said < 536 || kept >= 536));
    }

    /// Numbers that were never given out are not believed; one in some hundred million would be.
    #[test]
    fn other_numbers_are_not_believed(seq: u32, ack: u32, other: u16) {
        let mut cookies = cookies();
        let (now, syn) = (Instant::from_millis(5_000), syn(seq, None, None, false));
        let isn = cookies.isn(now, &tuple(1), &syn);
        prop_assume!(SeqNum(ack) != isn + 1 && other != 1);
        let good = third(&syn, isn, 0);
        prop_assert_eq!(cookies.check(&tuple(1), &Segment { ack: Some(SeqNum(ack)), ..good.clone() }, now), None);
        prop_assert_eq!(cookies.check(&tuple(other), &good, now), None);
    }
}

/// Good in its slot and the next, then never again.
#[test]
fn a_cookie_expires() {
    let mut cookies = cookies();
    let syn = syn(5, Some(1_460), None, false);
    let isn = cookies.isn(Instant::ZERO, &tuple(1), &syn);
    let ack = third(&syn, isn, 0);
    let at = |slots: u32| Instant::ZERO + SLOT * slots;
    assert!(cookies.check(&tuple(1), &ack, at(1)).is_some());
    for slots in 2..256 {
        assert!(cookies.check(&tuple(1), &ack, at(slots)).is_none(), "{slots}");
    }
    assert!(!cookies.expected(at(3)));
}

/// [INI-7]: keys differ between handshakes, slots and draws, and are the same again for the same handshake.
#[test]
fn keys_belong_to_one_handshake() {
    let cookies = cookies();
    let mut seen = BTreeSet::new();
    for port in 1..20 {
        for irs in 0..5 {
            for slot in 0..3 {
                for draw in 0..KEY_DRAWS {
                    let key = cookies.key(&tuple(port), SeqNum(irs), slot, draw);
                    assert_eq!(key, cookies.key(&tuple(port), SeqNum(irs), slot, draw));
                    assert!(key != Key(0) && seen.insert(key.0));
                }
            }
        }
    }
    let others = SynCookies::new(&mut Rng::from_seed([8; 32]));
    assert_ne!(cookies.key(&tuple(1), SeqNum(0), 0, 0), others.key(&tuple(1), SeqNum(0), 0, 0));
}
