//! A run as one row of numbers. Names begin with the flow group or with `link.NAME`; units are at their ends.

use crate::metrics::{FlowOutcome, Histogram, LaneOutcome, Outcome};
use crate::scenario::{FlowGroup, Scenario, Stack};
use crate::stats;

/// Numbers of a group of flows, each with how it is taken from them.
type Of<'a> = &'a [&'a FlowOutcome];
type GroupMetric = (&'static str, fn(Of<'_>) -> f64);
type LaneMetric = (&'static str, fn(&LaneOutcome) -> f64);

const GROUP: [GroupMetric; 24] = [
    ("goodput_bps", |flows| stats::mean(&each(flows, |flow| flow.goodput_bps))),
    ("goodput_sum_bps", |flows| sum(flows, |flow| flow.goodput_bps)),
    ("jain", |flows| stats::jain(&each(flows, |flow| flow.goodput_bps))),
    ("delivered_bytes", |flows| sum(flows, |flow| flow.delivered_bytes as f64)),
    ("finished", |flows| sum(flows, |flow| f64::from(u8::from(flow.end.is_some())))),
    ("errors", |flows| sum(flows, |flow| f64::from(u8::from(flow.error.is_some())))),
    ("duration_s", |flows| mean_or_none(&times(flows))),
    ("completions", |flows| sum(flows, |flow| flow.completions.len() as f64)),
    ("completion_mean_s", |flows| mean_or_none(&completions(flows))),
    ("completion_p95_s", |flows| stats::quantile(&completions(flows), 0.95).unwrap_or(f64::NAN)),
    ("deadline_met", deadlines),
    ("ofo_max_bytes", |flows| {
        each(flows, |flow| flow.ofo_max as f64).into_iter().fold(0.0, f64::max)
    }),
    ("ofo_delay_mean_s", |flows| delays(flows).mean()),
    ("ofo_delay_p95_s", |flows| delays(flows).quantile(0.95)),
    ("ofo_delay_p99_s", |flows| delays(flows).quantile(0.99)),
    ("hol_blocked_bytes", |flows| sum(flows, |flow| flow.hol_blocked_bytes as f64)),
    ("duplicate_bytes", |flows| sum(flows, |flow| flow.duplicate_bytes as f64)),
    ("reinjected_bytes", |flows| sum(flows, |flow| flow.reinjected_bytes as f64)),
    ("retransmitted_bytes", |flows| {
        sum(flows, |flow| flow.subflows.iter().map(|s| s.retransmitted_bytes as f64).sum())
    }),
    ("idle_resets", |flows| sum(flows, |flow| flow.idle_resets as f64)),
    ("subflows", |flows| sum(flows, |flow| flow.subflows.len() as f64)),
    ("video_rate_bps", |flows| player(flows, |player| player.mean_rate)),
    ("stalls", |flows| player(flows, |player| f64::from(player.stalls))),
    ("stalled_s", |flows| player(flows, |player| player.stalled)),
];

/// Numbers of one direction of a link.
const LANE: [LaneMetric; 4] = [
    ("utilisation", |lane| lane.utilisation.unwrap_or(f64::NAN)),
    ("queue_full", |lane| lane.queue_full as f64),
    ("lost", |lane| (lane.lost + lane.managed + lane.down + lane.too_big) as f64),
    ("queue_max", |lane| lane.queue_max as f64),
];

/// The names [`metrics`] gives for a scenario.
pub(super) fn group_columns(scenario: &Scenario) -> Vec<String> {
    let mut names = Vec::new();
    for group in &scenario.flows {
        names.extend(GROUP.iter().map(|(name, _)| format!("{}.{name}", group.name)));
        if group.stack == Stack::Mptcp {
            names.push(format!("{}.aggregation_benefit", group.name));
            let path = |path| format!("{}.path{path}_bps", group.name);
            names.extend((0..group.paths.len()).map(path));
        }
    }
    for name in scenario.links.keys() {
        for direction in ["fwd", "back"] {
            names.extend(LANE.iter().map(|(lane, _)| format!("link.{name}.{direction}.{lane}")));
        }
    }
    names
}

/// Everything a row says of a run, by name. What there is not (completions of endless transfers) is NaN.
#[must_use]
pub fn metrics(scenario: &Scenario, outcome: &Outcome) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    for group in &scenario.flows {
        let flows: Vec<&FlowOutcome> =
            outcome.flows.iter().filter(|flow| flow.group == group.name).collect();
        values.extend(GROUP.iter().map(|(_, value)| value(&flows)));
        if group.stack == Stack::Mptcp {
            let goodput = stats::mean(&each(&flows, |flow| flow.goodput_bps));
            // of several that share the paths nobody can have them all
            let alone = group.count == 1;
            let benefit = aggregation_benefit(goodput, &capacities(scenario, group));
            values.push(if alone { benefit } else { f64::NAN });
            values.extend((0..group.paths.len()).map(|path| on_path(&flows, path)));
        }
    }
    for name in scenario.links.keys() {
        let link = outcome.links.iter().find(|link| link.name == *name);
        for direction in 0..2 {
            let lane = link.map(|link| if direction == 0 { &link.forward } else { &link.backward });
            values.extend(LANE.iter().map(|(_, value)| lane.map_or(f64::NAN, value)));
        }
    }
    group_columns(scenario).into_iter().zip(values).collect()
}

fn each(flows: Of<'_>, value: impl Fn(&FlowOutcome) -> f64) -> Vec<f64> {
    flows.iter().map(|flow| value(flow)).collect()
}

fn sum(flows: Of<'_>, value: impl Fn(&FlowOutcome) -> f64) -> f64 {
    flows.iter().map(|flow| value(flow)).sum()
}

fn mean_or_none(values: &[f64]) -> f64 {
    if values.is_empty() { f64::NAN } else { stats::mean(values) }
}

/// Seconds from start to end of the flows that have one.
fn times(flows: Of<'_>) -> Vec<f64> {
    flows.iter().filter_map(|flow| Some(flow.end? - flow.start)).collect()
}

fn completions(flows: Of<'_>) -> Vec<f64> {
    let all = flows.iter().flat_map(|flow| &flow.completions);
    all.map(|done| done.end - done.start).collect()
}

/// The share of what had a deadline that met it.
fn deadlines(flows: Of<'_>) -> f64 {
    let all = flows.iter().flat_map(|flow| &flow.completions).filter_map(|done| done.deadline_met);
    mean_or_none(&all.map(|met| f64::from(u8::from(met))).collect::<Vec<f64>>())
}

fn delays(flows: Of<'_>) -> Histogram {
    let mut all = Histogram::default();
    flows.iter().for_each(|flow| all.merge(&flow.ofo_delay));
    all
}

fn player(flows: Of<'_>, value: impl Fn(&crate::metrics::PlayerOutcome) -> f64) -> f64 {
    let all: Vec<f64> = flows.iter().filter_map(|flow| flow.player.as_ref()).map(value).collect();
    mean_or_none(&all)
}

/// Mean over the flows of what their subflows over this path carried.
fn on_path(flows: Of<'_>, path: usize) -> f64 {
    let carried = |flow: &FlowOutcome| {
        let mine = flow.subflows.iter().filter(|subflow| subflow.path as usize == path);
        mine.map(|subflow| subflow.throughput_bps).sum()
    };
    mean_or_none(&each(flows, carried))
}

/// The capacity of each path: that of its slowest link at the beginning, in the direction of the data.
fn capacities(scenario: &Scenario, group: &FlowGroup) -> Vec<f64> {
    let of_link = |name: &String| {
        let config = &scenario.links.get(name)?.config;
        let lane = match group.direction {
            crate::Direction::Forward => &config.forward,
            crate::Direction::Backward => &config.backward,
        };
        let traced = lane.trace.as_ref().map(|trace| trace.mean_rate());
        traced.or(lane.rate).map(|rate| rate as f64)
    };
    let of_path = |links: &[String]| links.iter().filter_map(of_link).fold(f64::INFINITY, f64::min);
    group.paths.iter().map(|path| of_path(&path.links)).collect()
}

/// Aggregation benefit (Paasch et al., CSWS 2014): 1 is all the capacity, 0 that of the best path alone, below 0 less
/// than that.
fn aggregation_benefit(goodput: f64, capacities: &[f64]) -> f64 {
    let best = capacities.iter().copied().fold(0.0, f64::max);
    let all: f64 = capacities.iter().sum();
    if !all.is_finite() || all <= best || best <= 0.0 {
        return f64::NAN;
    }
    if goodput >= best { (goodput - best) / (all - best) } else { (goodput - best) / best }
}
