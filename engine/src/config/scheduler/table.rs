//! Every scheduler there is, for help and for parsing. What they do is in `mptcp/scheduler`, one file each.

use super::ParamKind::{Number, Switch};
use super::{ParamDoc, SchedulerDoc};

const OPPORTUNISTIC: ParamDoc = ParamDoc {
    name: "opportunistic",
    help: "with the window used up, send the oldest bytes on a much faster subflow as well (M1)",
    kind: Switch(true),
};
const PENALISE: ParamDoc = ParamDoc {
    name: "penalise",
    help: "halve the window of the subflow that holds the oldest bytes meanwhile (M2)",
    kind: Switch(true),
};
const RATIO: ParamDoc = ParamDoc {
    name: "ratio",
    help: "how many times faster a subflow must be for M1",
    kind: Number(4.0, 1.0, 100.0),
};

const fn scheduler(
    name: &'static str,
    aliases: &'static [&'static str],
    help: &'static str,
    params: &'static [ParamDoc],
) -> SchedulerDoc {
    SchedulerDoc { name, aliases, help, params }
}

const fn param(name: &'static str, kind: super::ParamKind, help: &'static str) -> ParamDoc {
    ParamDoc { name, help, kind }
}

/// Every scheduler, the default first.
pub const SCHEDULERS: &[SchedulerDoc] = &[
    scheduler(
        "minrtt",
        &["default"],
        "the subflow with the lowest RTT and room in its window; the v0.9x kernels' default",
        &[OPPORTUNISTIC, PENALISE, RATIO],
    ),
    scheduler(
        "rr",
        &["roundrobin"],
        "one subflow after the other, as in the v0.9x kernels; backups are spared",
        &[
            param("num_segments", Number(1.0, 1.0, 255.0), "segments in a row on one subflow"),
            param("cwnd_limited", Switch(true), "go on with others while one has no room"),
        ],
    ),
];

/// Their names.
pub const SCHEDULER_NAMES: &[&str] = &{
    let mut names = [""; SCHEDULERS.len()];
    let mut index = 0;
    while index < SCHEDULERS.len() {
        names[index] = SCHEDULERS[index].name;
        index += 1;
    }
    names
};
