//! Verdicts, and the file of expected differences.

use super::*;
use crate::conform::probe::{Probe, Run};
use crate::conform::target::SERVER;

fn nothing(_: &mut Probe<'_>) -> Run {
    Ok(())
}

fn case() -> Case {
    let action = Action::Run(nothing);
    let (title, source, expected) = ("t", "3.1", "a | b");
    Case { id: "H01", title, source, setup: SERVER, expected, action }
}

fn verdict(ours: &str, theirs: Option<&str>, known: &Differences) -> Verdict {
    judge(case(), Some(ours.to_owned()), theirs.map(str::to_owned), known).verdict
}

#[test]
fn verdicts() {
    let none = Differences::default();
    assert_eq!(verdict("a", None, &none), Verdict::Pass);
    assert_eq!(verdict("b", Some("a"), &none), Verdict::Pass);
    assert_eq!(verdict("c", None, &none), Verdict::Differs);
    assert_eq!(verdict("c", Some("c"), &none), Verdict::SameAsKernel(None));
    assert_eq!(verdict("a", Some("c"), &none), Verdict::Differs);
    let text = "# comment\ncase: H01\nengine: a\nkernel: c\nreason: why\nsection: 3.1\n";
    let known = Differences::parse(text).unwrap();
    assert_eq!(verdict("a", Some("c"), &known), Verdict::Explained("why (3.1)".into()));
    assert_eq!(verdict("a", Some("d"), &known), Verdict::Differs);
    assert_eq!(verdict("a", None, &known), Verdict::Pass);
}

/// The texts agree, the counters do not: that is a difference, unless the file says why.
#[test]
fn counters_are_compared() {
    let observed = |value: u64| {
        let counters = [("MPRstRx".to_owned(), value)].into();
        Some(Observation { text: "a".to_owned(), counters })
    };
    let verdict = |text: &str, theirs| {
        let known = Differences::parse(text).unwrap();
        judge_with_counters(case(), observed(1), theirs, &known).verdict
    };
    assert_eq!(verdict("", observed(1)), Verdict::Pass);
    assert_eq!(verdict("", None), Verdict::Pass);
    assert_eq!(verdict("", observed(2)), Verdict::Differs);
    assert_eq!(verdict("counter: MPRstRx\nreason: why\n", observed(2)), Verdict::Pass);
    let elsewhere = "counter: MPRstRx\ncases: H02\nreason: why\n";
    assert_eq!(verdict(elsewhere, observed(2)), Verdict::Differs);
}

#[test]
fn stale_entries_are_found() {
    let text = "case: H01\nengine: a\nkernel: c\nreason: why\nsection: 3.1\n";
    let known = Differences::parse(text).unwrap();
    let row = |ours: &str, theirs: Option<&str>| {
        judge(case(), Some(ours.to_owned()), theirs.map(str::to_owned), &known)
    };
    assert_eq!(known.stale(&[row("a", Some("b"))], true), ["H01"]);
    assert!(known.stale(&[row("a", Some("c"))], true).is_empty());
    assert!(known.stale(&[row("a", None)], true).is_empty());
    assert_eq!(known.stale(&[], true), ["H01"]);
    assert!(known.stale(&[], false).is_empty());
    let known =
        Differences::parse(&text.replace("kernel: c", "kernel: b")).unwrap().of(Profile::Linux);
    let row = judge(case(), Some("b".to_owned()), Some("b".to_owned()), &known);
    assert!(known.stale(&[row], true).is_empty(), "it is the expected answer");
}

/// With the `linux` profile the kernel's answer is the one expected, unless we follow it in no profile.
#[test]
fn the_linux_profile_is_held_to_the_kernel() {
    let text = "case: H01\nengine: a\nkernel: c\nreason: why\nsection: 3.1\n";
    let known = Differences::parse(text).unwrap().of(Profile::Linux);
    assert!(matches!(verdict("c", None, &known), Verdict::SameAsKernel(Some(_))));
    assert!(matches!(verdict("c", Some("c"), &known), Verdict::SameAsKernel(Some(_))));
    assert_eq!(verdict("a", Some("c"), &known), Verdict::Differs);
    let both = text.replace("reason:", "profile: both\nreason:");
    let known = Differences::parse(&both).unwrap().of(Profile::Linux);
    assert!(matches!(verdict("a", Some("c"), &known), Verdict::Explained(_)));
    assert_eq!(verdict("c", None, &known), Verdict::Differs);
    assert!(Differences::parse(&text.replace("reason:", "profile: rfc\nreason:")).is_err());
}

#[test]
fn a_broken_file_is_told() {
    for text in [
        "case H01",
        "case: H01\nengine: a",
        "case: H01\nengine: a\nkernel: c\nreason: why\nsection: 1\nmore: x",
        "case: H01\ncase: H02",
    ] {
        assert!(Differences::parse(text).is_err(), "{text}");
    }
    Differences::reviewed().unwrap();
}
