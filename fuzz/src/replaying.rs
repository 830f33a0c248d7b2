//! Captures played against the engine: whatever stands in the file, an end, and no rule of the engine broken.

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
