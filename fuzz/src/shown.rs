//! What a target does, step by step, when an input is replayed by hand.

use std::sync::atomic::{AtomicBool, Ordering};

static SHOWN: AtomicBool = AtomicBool::new(false);

/// From now on targets say on stderr what they do.
pub fn show() {
    SHOWN.store(true, Ordering::Relaxed);
}

/// Says `text`, if somebody listens.
#[expect(clippy::print_stderr, reason = "asked for by whoever replays an input")]
pub(crate) fn note(text: impl FnOnce() -> String) {
    if SHOWN.load(Ordering::Relaxed) {
        eprintln!("{}", text());
    }
}
