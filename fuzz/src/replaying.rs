//! Captures played against the engine, and logs done again: whatever stands in the file, there is an end.

use mpuser_replay::{Options, Recording, Role, replay};

/// Connections of one file that are played.
const CASES: usize = 4;

/// A capture, both sides of its connections.
pub(crate) fn run(data: &[u8]) {
    let Ok(recording) = Recording::parse(data) else { return };
    for case in recording.cases().iter().take(CASES) {
        for role in [Role::Client, Role::Server] {
            let outcome = replay(&recording, case, role, Options::default());
            let _ = (outcome.text(), outcome.json(), outcome.headline());
        }
    }
}

/// A log of an endpoint's calls.
pub(crate) fn log(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count() as u64;
    if let Err(error) = mpuser_record::parse(data) {
        assert!((1..=lines + 1).contains(&error.line), "{error}");
        assert!(!error.to_string().is_empty());
    }
}
