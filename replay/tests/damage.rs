//! What is wrong must be found: captures damaged in one field, garbage, and parts of captures.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use mpuser_replay::{Class, Options, Outcome, Recording, Role, replay};
use std::path::Path;

fn bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(name);
    std::fs::read(path).expect("a capture")
}

fn replayed(bytes: &[u8], role: Role, options: Options) -> Outcome {
    let recording = Recording::parse(bytes).expect("a capture");
    let case = recording.cases().first().expect("a connection");
    assert_eq!(case.unfit, None);
    replay(&recording, case, role, options)
}

/// Where the options of an MPTCP subtype lie in a pcap file: those whose kind, length and subtype fit.
fn options(bytes: &[u8], len: u8, subtype: u8) -> Vec<usize> {
    let fits = |w: &[u8]| w[0] == 30 && w[1] == len && w[2] >> 4 == subtype;
    bytes.windows(3).enumerate().filter(|(_, w)| fits(w)).map(|(at, _)| at).collect()
}

/// Every field of the handshakes that says something about the engine: one octet of it changed, and the engine of the
/// other role no longer does as the captured side did.
#[test]
fn a_wrong_field_is_a_divergence_where_it_stands() {
    let good = bytes("ksft_005_multiple_subflows.pcap");
    // length, subtype, octet of the option, who is fooled, what is missing then
    for (len, subtype, octet, role, missing) in [
        (12, 1, 5, Role::Server, "SYN/ACK of subflow 1"), // token
        (16, 1, 6, Role::Client, "third packet of subflow 1"), // HMAC of the SYN/ACK
        (24, 1, 9, Role::Server, "FIN on subflow 1"),     // HMAC of the third packet
    ] {
        assert!(replayed(&good, role, Options::default()).is_good());
        let mut bad = good.clone();
        let at = *options(&good, len, subtype).first().expect("such an option");
        bad[at + octet] ^= 0x40;
        let outcome = replayed(&bad, role, Options::default());
        let steps: Vec<&str> = outcome
            .divergences
            .iter()
            .filter(|d| d.class == Class::Failure)
            .map(|d| d.step.as_str())
            .collect();
        assert!(steps.contains(&missing), "{subtype}/{len}: {steps:?}");
        assert!(steps.contains(&"RST on subflow 1"), "{subtype}/{len}: {steps:?}");
    }
}

/// A DSS checksum that fits nothing: the engine ends the subflow, or falls back with MP_FAIL.
#[test]
fn a_wrong_checksum_is_a_divergence() {
    let good = bytes("own28_csum_oneside.pcap");
    let mut bad = good.clone();
    let at = *options(&good, 28, 2).first().expect("a mapping with a checksum");
    bad[at + 26] ^= 0x55;
    assert!(replayed(&bad, Role::Server, Options::default()).is_good(), "it is the server's");
    let outcome = replayed(&bad, Role::Client, Options::default());
    assert!(!outcome.zeros, "no data was cut");
    let first = outcome.first_failure().expect("a divergence");
    // the mapping is complete with packet 28
    assert_eq!((first.step.as_str(), first.after), ("MP_FAIL", Some(28)), "{}", outcome.text());
}

#[test]
fn a_seed_repeats_a_replay_and_another_changes_keys_only() {
    let file = bytes("own01_v4_3paths.pcap");
    let run = |seed| replayed(&file, Role::Client, Options { seed, ..Options::default() });
    let (one, again, other) = (run(1), run(1), run(2));
    assert_eq!(one.log, again.log);
    assert_ne!(one.log, other.log);
    assert_eq!(one.steps, other.steps);
    assert!(one.is_good() && other.is_good());
}

/// As Linux, the engine has fewer divergences of choice, and none that is wrong.
#[test]
fn the_linux_profile_is_closer_to_linux() {
    let mut choices = [0, 0];
    for name in
        ["ksft_029_remove_single_subflow.pcap", "ksft_117_userspace_pm_add_remove_address.pcap"]
    {
        for role in [Role::Client, Role::Server] {
            for (linux, sum) in [false, true].into_iter().zip(&mut choices) {
                let options = Options { linux, ..Options::default() };
                let outcome = replayed(&bytes(name), role, options);
                assert!(outcome.is_good(), "{name}: {}", outcome.text());
                *sum += outcome.count(Class::Choice);
            }
        }
    }
    assert!(choices[1] < choices[0], "{choices:?}");
}

#[test]
fn strictly_no_two_stacks_are_the_same() {
    let options = Options { strict: true, ..Options::default() };
    let outcome = replayed(&bytes("own01_v4_3paths.pcap"), Role::Client, options);
    let first = outcome.first_failure().expect("another packet");
    assert_eq!(first.step, "packet 4 of the engine's side on subflow 0", "{}", outcome.text());
    assert!(!first.fields.is_empty());
}

/// Cut at every few octets, and with octets changed all over: an error or an outcome, no panic and no endless loop.
#[test]
fn parts_and_garbage_come_to_an_end() {
    let file = bytes("ksft_005_multiple_subflows.pcap");
    let look = |bytes: &[u8]| {
        let Ok(recording) = Recording::parse(bytes) else { return };
        for case in recording.cases().iter().filter(|case| case.unfit.is_none()) {
            for role in [Role::Client, Role::Server] {
                let _ =
                    replay(&recording, case, role, Options { strict: true, ..Options::default() });
            }
        }
    };
    for end in (0..file.len()).step_by(97) {
        look(&file[..end]);
    }
    let mut state = 7_u32;
    for _ in 0..150 {
        let mut bad = file.clone();
        for _ in 0..8 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = state as usize % bad.len();
            bad[at] = (state >> 24) as u8;
        }
        look(&bad);
    }
}
