//! What a script may answer.

use super::view::{Span, Subflow};
use mpuser_engine::addr::SubflowId;
use rhai::{Engine, INT};

/// An answer; times are milliseconds from now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Send(SubflowId, u64),
    Duplicate(SubflowId, u64, u64),
    Reinject(SubflowId, u64, u64),
    Penalise(SubflowId, f64),
    SetAside(u64),
    SetTimer(f64),
    Wait,
    WaitFor(f64),
}

/// Negative numbers name nothing.
fn id(number: INT) -> SubflowId {
    SubflowId(u32::try_from(number).unwrap_or(u32::MAX))
}

fn amount(number: INT) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Answer>("Answer");
    engine
        .register_fn("wait", || Answer::Wait)
        .register_fn("wait_for", Answer::WaitFor)
        .register_fn("wait_for", |ms: INT| Answer::WaitFor(ms as f64))
        .register_fn("set_timer", Answer::SetTimer)
        .register_fn("set_timer", |ms: INT| Answer::SetTimer(ms as f64))
        .register_fn("set_aside", |len: INT| Answer::SetAside(amount(len)));
    engine
        .register_fn("send", |s: Subflow| Answer::Send(s.snapshot.id, s.snapshot.available))
        .register_fn("send", |s: Subflow, len: INT| Answer::Send(s.snapshot.id, amount(len)))
        .register_fn("send", |s: INT, len: INT| Answer::Send(id(s), amount(len)));
    engine
        .register_fn("duplicate", |s: Subflow, r: Span| {
            Answer::Duplicate(s.snapshot.id, r.start, r.end)
        })
        .register_fn("duplicate", |s: INT, start: INT, end: INT| {
            Answer::Duplicate(id(s), amount(start), amount(end))
        })
        .register_fn("reinject", |s: Subflow, r: Span| {
            Answer::Reinject(s.snapshot.id, r.start, r.end)
        })
        .register_fn("reinject", |s: INT, start: INT, end: INT| {
            Answer::Reinject(id(s), amount(start), amount(end))
        })
        .register_fn("penalise", |s: Subflow, factor: f64| Answer::Penalise(s.snapshot.id, factor))
        .register_fn("penalise", |s: INT, factor: f64| Answer::Penalise(id(s), factor));
}
