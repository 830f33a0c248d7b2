//! The outcome of a run, as values. Times are seconds of virtual time since the beginning of the run.

use super::Histogram;
use serde::Serialize;

/// Everything a run has shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// The seed it ran with.
    pub seed: u64,
    /// SHA-256 of the log of events, in hexadecimal: equal digests are equal runs.
    pub digest: String,
    /// When it ended.
    pub ended: f64,
    /// Time of which rates are means: from the end of the warm-up to the end of the run.
    pub measured: f64,
    /// TCP packets with payload that flows sent.
    pub data_packets: u64,
    /// Steps of the event loop.
    pub events: u64,
    /// Flows, in the order of their groups.
    pub flows: Vec<FlowOutcome>,
    /// Links, by name.
    pub links: Vec<LinkOutcome>,
    /// Background loads.
    pub background: Vec<BackgroundOutcome>,
}

/// One flow.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FlowOutcome {
    /// Its group.
    pub group: String,
    /// Its number within the group.
    pub instance: u32,
    /// When it began to connect.
    pub start: f64,
    /// When it had done all it had to, if it did.
    pub end: Option<f64>,
    /// It speaks MPTCP.
    pub mptcp: bool,
    /// The error that ended it, if one did.
    pub error: Option<String>,
    /// Application bytes written by the sending end.
    pub written_bytes: u64,
    /// Application bytes read by the receiving end.
    pub delivered_bytes: u64,
    /// Of these, those read in the measured time.
    pub measured_bytes: u64,
    /// `measured_bytes` as bits a second: over the measured time, or, if the flow was there for a part of it only, over that
    /// part.
    pub goodput_bps: f64,
    /// What was asked for and came: a transfer, responses, messages, chunks, objects.
    pub completions: Vec<Completion>,
    /// Subflows, in the order of opening, of all connections of the flow.
    pub subflows: Vec<SubflowOutcome>,
    /// Most bytes that waited out of order at the receiving end.
    pub ofo_max: u64,
    /// Bytes that wait out of order at the receiving end, every [`Scenario::sample`](crate::scenario::Scenario::sample).
    pub ofo_samples: Vec<u64>,
    /// How long bytes waited at the receiving end before all before them had come; bytes that came in order waited 0.
    pub ofo_delay: Histogram,
    /// Bytes that came out of order at the data level: the head of the line blocked them.
    pub hol_blocked_bytes: u64,
    /// Congestion windows that were reset after a pause, by both ends.
    pub idle_resets: u64,
    /// Bytes that reached the receiving end's data level a second time.
    pub duplicate_bytes: u64,
    /// Bytes the sending end gave to a second subflow.
    pub reinjected_bytes: u64,
    /// Bytes read at the receiving end, per sample.
    pub goodput_samples: Vec<u64>,
    /// What a player of chunks saw.
    pub player: Option<PlayerOutcome>,
}

/// What an adaptive player saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PlayerOutcome {
    /// The bit rate of each chunk that came.
    pub rates: Vec<u64>,
    /// Mean of these, bits a second.
    pub mean_rate: f64,
    /// Pauses in playing, after it began.
    pub stalls: u32,
    /// Time they took, seconds.
    pub stalled: f64,
}

/// Something asked for that came.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Completion {
    /// Bytes.
    pub size: u64,
    /// When it was asked for or written.
    pub start: f64,
    /// When the last byte was read.
    pub end: f64,
    /// Whether it was there by its deadline; `None` without one.
    pub deadline_met: Option<bool>,
}

/// One subflow, as its sending end saw it at the end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SubflowOutcome {
    /// The connection within the flow, 0 the first.
    pub connection: u32,
    /// The path.
    pub path: u32,
    /// It is a backup.
    pub backup: bool,
    /// Payload bytes sent, retransmissions not counted.
    pub sent_bytes: u64,
    /// Payload bytes that arrived at the other end, those that came twice counted twice.
    pub received_bytes: u64,
    /// Of these, those in the measured time.
    pub measured_bytes: u64,
    /// `measured_bytes` as bits a second of the measured time.
    pub throughput_bps: f64,
    /// Payload bytes sent again.
    pub retransmitted_bytes: u64,
    /// Smoothed round-trip time at the end, seconds.
    pub srtt: f64,
    /// Congestion window at the end, bytes.
    pub cwnd: u64,
    /// Congestion windows reset after a pause.
    pub idle_resets: u64,
    /// Payload bytes that arrived, per sample.
    pub samples: Vec<u64>,
    /// The sending end's number for it.
    #[serde(skip)]
    pub(crate) tag: u32,
}

/// One link.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LinkOutcome {
    /// Its name.
    pub name: String,
    /// From clients to servers.
    pub forward: LaneOutcome,
    /// From servers to clients.
    pub backward: LaneOutcome,
}

/// One direction of a link.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LaneOutcome {
    /// Packets that came in.
    pub received: u64,
    /// Packets that came out, copies included.
    pub delivered: u64,
    /// Bytes that came out.
    pub delivered_bytes: u64,
    /// Bytes that came out in the measured time.
    pub measured_bytes: u64,
    /// Share of its rate that was used in the measured time; `None` for a link without a rate.
    pub utilisation: Option<f64>,
    /// Dropped at random.
    pub lost: u64,
    /// Dropped by a full queue.
    pub queue_full: u64,
    /// Dropped by the queue management.
    pub managed: u64,
    /// Dropped because the link was down.
    pub down: u64,
    /// Dropped for being too long.
    pub too_big: u64,
    /// Copies it made.
    pub duplicated: u64,
    /// Packets still on it at the end.
    pub inside: u64,
    /// Most packets that waited.
    pub queue_max: u64,
    /// Packets that wait, per sample.
    pub queue_samples: Vec<u32>,
}

/// One background source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BackgroundOutcome {
    /// Its name.
    pub name: String,
    /// Packets sent.
    pub sent: u64,
    /// Packets that came out of the link.
    pub delivered: u64,
}
