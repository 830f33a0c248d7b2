use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

fn octets(pieces: VecDeque<(u64, Bytes)>) -> BTreeMap<u64, u8> {
    pieces.into_iter().flat_map(|(at, piece)| (at..).zip(piece).collect::<Vec<_>>()).collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// So many octets that are mapped, then so many that are not.
    Arrive(u64, usize),
    Take(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let arrive = (0u64..5, 1usize..20).prop_map(|(gap, len)| Step::Arrive(gap, len));
    prop_oneof![arrive, (0u64..150, 0u64..40).prop_map(|(at, len)| Step::Take(at, at + len))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Beside a map of octets: what is taken is what came, once, and never more than the bound is kept.
    #[test]
    fn what_is_taken_is_what_came(steps in prop::collection::vec(step(), 1..30)) {
        const BOUND: usize = 48;
        let (mut held, mut model) = (Held::default(), BTreeMap::new());
        let (mut at, mut run) = (0u64, 0);
        for step in steps {
            match step {
                Step::Arrive(gap, len) => {
                    at += gap;
                    let data: Vec<u8> = (at..at + len as u64).map(|o| o as u8).collect();
                    model.extend((at..).zip(data.iter().copied()));
                    run += len;
                    prop_assert_eq!(held.push(at, data.into(), BOUND), run <= BOUND);
                    at += len as u64;
                    prop_assert!(held.len <= BOUND);
                    // The oldest pieces are gone.
                    let first = held.pieces.front().map_or(at, |(at, _)| *at);
                    model.retain(|o, _| *o >= first);
                }
                Step::Take(from, to) => {
                    let all = (from..to).all(|o| model.contains_key(&o));
                    prop_assert_eq!(held.covers(from, to), all);
                    held.on_mapping(to);
                    if model.keys().next().is_some_and(|first| to > *first) {
                        run = 0;
                    }
                    let expected: BTreeMap<u64, u8> =
                        model.iter().map(|(o, b)| (*o, *b)).filter(|(o, _)| (from..to).contains(o)).collect();
                    prop_assert_eq!(octets(held.take(from, to)), expected);
                    model.retain(|o, _| !(from..to).contains(o));
                }
            }
            prop_assert_eq!(held.len, model.len());
            prop_assert_eq!(held.awaits_mapping(), run > 0);
        }
        prop_assert_eq!(octets(held.take(0, u64::MAX)), model);
    }
}

/// Small pieces cannot pile up.
#[test]
fn pieces_are_bounded() {
    let mut held = Held::default();
    for at in 0..5_000 {
        assert!(held.push(at, Bytes::from_static(b"x"), 1 << 17));
    }
    assert!(held.pieces.len() <= MAX_PIECES);
    assert!(held.covers(4_500, 5_000) && !held.covers(0, 1));
}
