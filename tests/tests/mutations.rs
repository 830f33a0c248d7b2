//! Is a deliberately broken engine caught by the interaction suite? Run by `tests/mutations`.
#![cfg(feature = "mutations")]

use mpuser_engine::mutations::{Mutation, set};
use mpuser_tests::interact::{draw, run_caught};

/// Seeds within which each mutation has to be found.
const SEEDS: u64 = 200;

#[test]
fn every_mutation_is_caught() {
    for mutation in Mutation::ALL {
        set(mutation);
        let found = (0..SEEDS).find_map(|seed| Some((seed, run_caught(&draw(seed), false).err()?)));
        let Some((seed, violation)) = found else {
            panic!("{mutation:?} is not caught within {SEEDS} seeds");
        };
        println!("{mutation:?}: caught after {} seeds by {}", seed + 1, violation.what);
    }
    set(Mutation::None);
    for seed in 0..20 {
        assert!(run_caught(&draw(seed), false).is_ok(), "seed {seed} without any mutation");
    }
}
