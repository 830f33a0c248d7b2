//! Every scheduler there is, for help and for parsing. What they do is in `mptcp/scheduler`, one file each.

use super::ParamKind::{Number, Switch, Weights};
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

const BETA: ParamDoc =
    param("beta", Number(0.25, 0.0, 10.0), "how much longer it goes on waiting once it does");

const AUTOTUNE: ParamDoc = param(
    "autotune",
    Number(2.0, 0.0, 1_000.0),
    "windows the send buffer holds, as Linux tunes it: what is beyond does not count as queued; 0 counts all",
);

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

const CWND_LIMITED: ParamDoc =
    param("cwnd_limited", Switch(true), "go on with others while one has no room");

/// Every scheduler, the default first.
pub const SCHEDULERS: &[SchedulerDoc] = &[
    scheduler(
        "minrtt",
        &["default"],
        "the subflow with the lowest RTT and room in its window; the v0.9x kernels' default",
        &[OPPORTUNISTIC, PENALISE, RATIO],
    ),
    scheduler(
        "linux",
        &["linger", "burst"],
        "the subflow whose send buffer is empty first, in bursts; queues beyond the window, as Linux does",
        &[param("burst", Number(65_428.0, 1_000.0, 1e9), "bytes given to one subflow at a time")],
    ),
    scheduler("first", &[], "always the first subflow (bpf_first)", &[]),
    scheduler(
        "backup",
        &["bkup"],
        "the first subflow that is no backup, else the first (bpf_bkup)",
        &[],
    ),
    scheduler(
        "rr",
        &["roundrobin"],
        "one subflow after the other, as in the v0.9x kernels; backups are spared",
        &[
            param("num_segments", Number(1.0, 1.0, 255.0), "segments in a row on one subflow"),
            CWND_LIMITED,
        ],
    ),
    scheduler(
        "wrr",
        &["weighted"],
        "one subflow after the other, each with its own number of segments in a row",
        &[
            param("weights", Weights(&[1]), "segments in a row, by the order of opening"),
            CWND_LIMITED,
        ],
    ),
    scheduler(
        "redundant-r1",
        &["redundant-copy"],
        "R1: a copy for every other subflow, dropped if it has no room (out-of-tree v0.89)",
        &[],
    ),
    scheduler(
        "redundant-r2",
        &["redundant-remp"],
        "R2: each subflow sends everything, in turn, at its own pace (ReMP)",
        &[],
    ),
    scheduler(
        "redundant-r3",
        &["redundant", "redundant-progmp"],
        "R3: each subflow sends the oldest it has not sent, else something new (ProgMP)",
        &[],
    ),
    scheduler(
        "redundant-r4",
        &["redundant-opportunistic"],
        "R4: something new goes to all subflows with room at that moment, never again (ProgMP)",
        &[],
    ),
    scheduler(
        "redundant-r5",
        &["redundant-idle"],
        "R5: as minrtt; duplicates only when there is nothing new (ProgMP)",
        &[],
    ),
    scheduler(
        "redundant-r6",
        &["redundant-bpf"],
        "R6: the same on all subflows, whatever their windows (bpf_red)",
        &[],
    ),
    scheduler(
        "redundant-r7",
        &["redundant-tquic"],
        "R7: everything on all subflows from the time they are there (tquic)",
        &[],
    ),
    scheduler(
        "blest-paper",
        &[],
        "BLEST: no slow subflow where it would close the window; as in the paper",
        &[
            param("delta", Number(1.0, 0.5, 3.0), "the factor at the beginning"),
            param("step", Number(0.002, 0.0, 0.1), "how much the factor moves in an RTT"),
            OPPORTUNISTIC,
            PENALISE,
            RATIO,
        ],
    ),
    scheduler(
        "blest-linux",
        &["blest"],
        "BLEST as in the v0.95 kernel",
        &[
            param("lambda", Number(1.2, 1.0, 1.3), "the factor at the beginning"),
            OPPORTUNISTIC,
            PENALISE,
            RATIO,
        ],
    ),
    scheduler(
        "ecf-paper",
        &[],
        "ECF: waits for the fast subflow where that completes earlier; as in the paper",
        &[BETA, AUTOTUNE, OPPORTUNISTIC, PENALISE, RATIO],
    ),
    scheduler(
        "ecf-linux",
        &["ecf"],
        "ECF as in the v0.95 kernel",
        &[BETA, AUTOTUNE, OPPORTUNISTIC, PENALISE, RATIO],
    ),
    scheduler(
        "daps",
        &[],
        "DAPS: a plan of whole windows by time of arrival, executed whatever happens",
        &[param(
            "grid",
            Number(4.0, 0.0, 1_000.0),
            "delays are rounded to this many milliseconds; 0 is exact",
        )],
    ),
    scheduler(
        "otias",
        &[],
        "OTIAS: the subflow where a segment arrives first; queues beyond the window",
        &[],
    ),
    scheduler(
        "stms",
        &[],
        "after the idea of STMS: the slow subflow gets data from ahead, to arrive in order",
        &[param("gain", Number(0.1, 0.0, 0.5), "how fast the gap is corrected")],
    ),
    scheduler(
        "dems",
        &[],
        "after the idea of DEMS: a chunk is sent from both ends and met in the middle",
        &[
            param("chunk", Number(256.0, 4.0, 65_536.0), "longest chunk, KiB"),
            param(
                "overlap",
                Number(2.0, 0.0, 64.0),
                "segments around the meeting point sent by both",
            ),
        ],
    ),
    scheduler(
        "qaware",
        &[],
        "after the idea of QAware: shortest local backlog over its drain rate, plus RTT",
        &[],
    ),
    scheduler(
        "handover",
        &[],
        "Apple's handover: one path at a time, answers where it last heard of the peer",
        &[],
    ),
    scheduler(
        "interactive",
        &[],
        "Apple's interactive: the first path while its delay is low, else the fastest of all",
        &[param(
            "threshold",
            Number(250.0, 1.0, 60_000.0),
            "delay from which on it is left, milliseconds",
        )],
    ),
    scheduler(
        "peekaboo",
        &[],
        "Peekaboo: learns when to wait for the fast subflow (LinUCB)",
        &[
            param("alpha", Number(1.0, 0.0, 10.0), "how much it explores"),
            param("round", Number(4.0, 0.01, 1_024.0), "traffic of one round of learning, MiB"),
            param("seed", Number(1.0, 0.0, 1e15), "of its dice"),
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
