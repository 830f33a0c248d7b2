//! Quantities of one run.

use crate::direction::Direction;
use crate::metrics::{FlowOutcome, Outcome};
use crate::stats;

/// The flows of a group.
pub fn flows<'a>(outcome: &'a Outcome, group: &'a str) -> impl Iterator<Item = &'a FlowOutcome> {
    outcome.flows.iter().filter(move |flow| flow.group == group)
}

/// Bytes of a full-size packet of 1500 that are payload: headers, timestamps and, for MPTCP, a DSS with a data ACK.
pub(super) fn payload(flow: &FlowOutcome) -> f64 {
    if flow.mptcp { PAYLOAD_MPTCP } else { PAYLOAD_TCP }
}

/// IPv4 and TCP headers and timestamps leave this of 1500 bytes.
pub const PAYLOAD_TCP: f64 = 1448.0;
/// A DSS of 20 bytes more is taken from it.
pub const PAYLOAD_MPTCP: f64 = 1428.0;

/// What the flow delivered in the measured time, full-size packets a second: the unit in which congestion control
/// shares a link, whatever the headers.
pub fn packets_per_second(flow: &FlowOutcome) -> f64 {
    flow.goodput_bps / 8.0 / payload(flow)
}

/// The mean of a quantity over a group; NaN of nobody.
pub fn mean_of(outcome: &Outcome, group: &str, f: impl Fn(&FlowOutcome) -> f64) -> f64 {
    let values: Vec<f64> = flows(outcome, group).map(f).collect();
    if values.is_empty() { f64::NAN } else { stats::mean(&values) }
}

/// The sum of a quantity over all flows whose group's name begins so.
pub fn sum_of(outcome: &Outcome, prefix: &str, f: impl Fn(&FlowOutcome) -> f64) -> f64 {
    outcome.flows.iter().filter(|flow| flow.group.starts_with(prefix)).map(f).sum()
}

/// The share of a link's rate that was used in the measured time; NaN if it has none.
pub fn utilisation(outcome: &Outcome, link: &str, direction: Direction) -> f64 {
    let link = outcome.links.iter().find(|l| l.name == link);
    let lane = link.map(|l| if direction == Direction::Forward { &l.forward } else { &l.backward });
    lane.and_then(|lane| lane.utilisation).unwrap_or(f64::NAN)
}

/// The round trip of a group's subflows on a path, queues included: the mean of what their senders measured last, seconds.
pub fn round_trip(outcome: &Outcome, group: &str, path: u32) -> f64 {
    let subflows = flows(outcome, group).flat_map(|flow| &flow.subflows);
    let of_path = subflows.filter(|subflow| subflow.path == path && subflow.srtt > 0.0);
    let times: Vec<f64> = of_path.map(|subflow| subflow.srtt).collect();
    if times.is_empty() { f64::NAN } else { stats::mean(&times) }
}

/// Seconds from the start of a flow to its end; NaN if it has not ended.
pub fn duration(flow: &FlowOutcome) -> f64 {
    flow.end.map_or(f64::NAN, |end| end - flow.start)
}

/// Seconds each completion took.
pub fn completion_times(flow: &FlowOutcome) -> Vec<f64> {
    flow.completions.iter().map(|done| done.end - done.start).collect()
}
