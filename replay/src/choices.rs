//! Which divergences are a stack's free choice, and why.

use crate::compare::{Class, Divergence, Kind};
use crate::recording::{Case, Recording};
use crate::run::Ran;
use crate::steps::What;

/// Says what a divergence is.
pub(crate) fn judge(divergence: &mut Divergence, recording: &Recording, case: &Case, ran: &Ran) {
    let known = by_field(divergence).or_else(|| by_kind(divergence, recording, case, ran));
    match known {
        Some((class, reason)) => {
            divergence.class = class;
            divergence.reason = reason.to_owned();
        }
        None => unexplained(divergence).clone_into(&mut divergence.reason),
    }
}

type Known = Option<(Class, &'static str)>;

/// Fields of the handshake that every stack chooses.
fn by_field(divergence: &Divergence) -> Known {
    let (Kind::Field(What::Syn(_) | What::SynAck(_)), [field]) =
        (divergence.kind, divergence.fields.as_slice())
    else {
        return None;
    };
    let reason = match field.name.as_str() {
        "window scale" => "kernel choice: the scale fits its receive buffer (RFC 7323 2.3)",
        "MSS" => "kernel choice: it takes the MTU of the route, the engine that of the device",
        _ => return None,
    };
    Some((Class::Choice, reason))
}

fn by_kind(divergence: &Divergence, _recording: &Recording, _case: &Case, _ran: &Ran) -> Known {
    match divergence.kind {
        Kind::Share => Some((
            Class::Choice,
            "scheduler choice: which subflow carries what is left to the sender (RFC 8684 3.3)",
        )),
        _ => None,
    }
}

/// Where to look.
const fn unexplained(divergence: &Divergence) -> &'static str {
    match divergence.kind {
        Kind::Missing(_) => "the engine did not answer as the captured side did",
        Kind::Extra(_) => "the captured side did nothing of the kind",
        Kind::Stall(_) => "what the captured side sent before this packet did not come",
        Kind::Rule => "a packet of the engine breaks a rule of the RFC",
        Kind::Engine => "the engine refused what the captured side did",
        _ => "not explained",
    }
}
