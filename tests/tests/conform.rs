//! The catalogue of cases against the engine, and the list against the catalogue.

use mpuser_engine::config::Profile;
use mpuser_sim::conform::{Differences, EngineTarget, Verdict, all, case, compare};

/// Groups of the catalogue and how many cases each has.
const GROUPS: [(char, usize); 10] = [
    ('H', 24),
    ('J', 26),
    ('D', 30),
    ('C', 22),
    ('A', 24),
    ('X', 30),
    ('T', 30),
    ('R', 16),
    ('P', 22),
    ('L', 10),
];

/// The engine against what is expected of it, or reviewed, with this profile.
fn run(profile: Profile, known: &Differences) {
    let mut complaints = Vec::new();
    for case in all() {
        let observed = case.observe(&mut EngineTarget::with_profile(&case.setup, profile));
        let row = compare::judge(case, observed, None, known);
        if row.verdict == Verdict::Differs {
            complaints.push(format!("{}: {}", case.id, row.engine.unwrap_or_default()));
        }
    }
    assert!(complaints.is_empty(), "\n  {}", complaints.join("\n  "));
}

#[test]
fn no_difference_is_unexplained() {
    let known = Differences::reviewed().expect("the file of expected differences");
    run(Profile::Rfc, &known.of(Profile::Rfc));
}

/// What is reviewed as the kernel's answer is that of the `linux` profile, too; the kernel itself is asked by
/// `mpuser conform --profile linux --target kernel`.
#[test]
fn the_linux_profile_answers_as_the_kernel_did() {
    let known = Differences::reviewed().expect("the file of expected differences");
    run(Profile::Linux, &known.of(Profile::Linux));
}

/// Nothing of a group is left out, and what is skipped says why.
#[test]
fn the_list_is_complete() {
    for group in case::groups() {
        let count = GROUPS.iter().find(|(letter, _)| *letter == group.letter).expect("a group").1;
        let ids: Vec<&str> =
            all().iter().filter(|c| c.group() == group.letter).map(|c| c.id).collect();
        let expected: Vec<String> =
            (1..=count).map(|number| format!("{}{number:02}", group.letter)).collect();
        assert_eq!(ids, expected);
    }
    let skipped = all().iter().filter(|c| matches!(c.action, case::Action::Skip(_))).count();
    assert!(skipped <= 10, "{skipped} cases are skipped");
}
