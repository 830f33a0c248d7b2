//! Which parts of a failing setup matter: halves, quarters, and so on are left out while it still fails.

use super::run_caught;
use super::setup::{Part, Setup};

/// The parts without which the setup does not fail any more in this way, or those left after so many tries.
#[must_use]
pub fn shrink(setup: &Setup, tries: usize) -> Vec<Part> {
    let mut keep = setup.parts();
    let kind = |setup: &Setup| {
        let what = run_caught(setup, false).err()?.what;
        what.split([' ', ':']).next().map(str::to_owned)
    };
    let wanted = kind(setup);
    let (mut size, mut left) = (keep.len().div_ceil(2).max(1), tries);
    loop {
        let (mut at, mut smaller) = (0, false);
        while at < keep.len() && left > 0 {
            let end = (at + size).min(keep.len());
            let fewer: Vec<Part> = [&keep[..at], &keep[end..]].concat();
            left -= 1;
            if kind(&setup.only(&fewer)) == wanted {
                (keep, smaller) = (fewer, true);
            } else {
                at = end;
            }
        }
        if left == 0 || size == 1 && !smaller {
            return keep;
        }
        size = (size / 2).max(1);
    }
}
