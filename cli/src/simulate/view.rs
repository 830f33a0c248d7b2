//! A run for people: what each flow got, what each link carried.

use crate::exp::campaign::Done;
use crate::output::Printer;
use crate::table::Table;
use crate::units;
use mpuser_sim::metrics::{FlowOutcome, LaneOutcome};
use std::fmt::Write as _;

/// From so many flows of a group on they are shown as one, unless more is asked for.
const MANY: usize = 8;

/// The tables and the digest.
pub(crate) fn run(done: &Done, printer: Printer) -> String {
    let outcome = &done.outcome;
    let mut text = format!(
        "{}, seed {}: {} in virtual time, {} data packets\n\n",
        done.scenario.name,
        done.run.seed,
        units::seconds(outcome.ended),
        outcome.data_packets,
    );
    text.push_str(&flows(done, printer));
    for flow in outcome.flows.iter().filter(|flow| flow.error.is_some()).take(MANY) {
        let error = flow.error.as_deref().unwrap_or_default();
        // writing to a String cannot fail
        let _ = writeln!(text, "{} failed: {error}", name(flow, &done.outcome.flows));
    }
    text.push('\n');
    text.push_str(&links(done, printer));
    // writing to a String cannot fail
    let _ = writeln!(text, "\ndigest {}", outcome.digest);
    text
}

fn name(flow: &FlowOutcome, all: &[FlowOutcome]) -> String {
    let alone = all.iter().filter(|other| other.group == flow.group).count() == 1;
    if alone { flow.group.clone() } else { format!("{}.{}", flow.group, flow.instance) }
}

fn flows(done: &Done, printer: Printer) -> String {
    let mut table = Table::new([
        "flow",
        "goodput",
        "delivered",
        "finished",
        "completions",
        "mean",
        "in time",
        "shares of paths",
        "out of order",
        "waited p95",
        "duplicate",
        "reinjected",
        "resent",
    ]);
    for group in &done.scenario.flows {
        let mine: Vec<&FlowOutcome> =
            done.outcome.flows.iter().filter(|flow| flow.group == group.name).collect();
        if mine.len() >= MANY && !printer.is_verbose() {
            let title = format!("{} x{}, mean", group.name, mine.len());
            table.row(cells(title, &mine));
            continue;
        }
        for flow in mine {
            table.row(cells(name(flow, &done.outcome.flows), &[flow]));
        }
    }
    table.render()
}

/// A row of one flow, or of the mean of several.
fn cells(title: String, flows: &[&FlowOutcome]) -> Vec<String> {
    let count = units::float(flows.len() as u64).max(1.0);
    let mean =
        |value: fn(&FlowOutcome) -> f64| flows.iter().map(|flow| value(flow)).sum::<f64>() / count;
    let bytes = |value: fn(&FlowOutcome) -> u64| {
        let total: u64 = flows.iter().map(|flow| value(flow)).sum();
        let mean = total / (flows.len() as u64).max(1);
        if mean == 0 { "-".to_owned() } else { units::size(mean) }
    };
    let times: Vec<f64> = flows.iter().filter_map(|flow| Some(flow.end? - flow.start)).collect();
    let done: Vec<_> = flows.iter().flat_map(|flow| &flow.completions).collect();
    let of = |values: Vec<f64>| match values.len() {
        0 => "-".to_owned(),
        n => units::seconds(values.iter().sum::<f64>() / units::float(n as u64)),
    };
    let met: Vec<bool> = done.iter().filter_map(|done| done.deadline_met).collect();
    let in_time = met.iter().filter(|met| **met).count() as u64;
    let in_time = match met.len() as u64 {
        0 => "-".to_owned(),
        all => units::percent(units::share(in_time, all)),
    };
    let several = done.len() > flows.len();
    vec![
        title,
        units::bit_rate(mean(|flow| flow.goodput_bps)),
        bytes(|flow| flow.delivered_bytes),
        of(times),
        if several { done.len().to_string() } else { "-".to_owned() },
        if several {
            of(done.iter().map(|done| done.end - done.start).collect())
        } else {
            "-".to_owned()
        },
        in_time,
        shares(flows),
        bytes(|flow| flow.ofo_max),
        match mean(|flow| flow.ofo_delay.quantile(0.95)) {
            waited if waited > 0.0 => units::seconds(waited),
            _ => "-".to_owned(),
        },
        bytes(|flow| flow.duplicate_bytes),
        bytes(|flow| flow.reinjected_bytes),
        bytes(|flow| flow.subflows.iter().map(|subflow| subflow.retransmitted_bytes).sum()),
    ]
}

/// `67 / 33 %`: what went over each path.
fn shares(flows: &[&FlowOutcome]) -> String {
    let mut paths: Vec<u64> = Vec::new();
    for subflow in flows.iter().flat_map(|flow| &flow.subflows) {
        let path = subflow.path as usize;
        if paths.len() <= path {
            paths.resize(path + 1, 0);
        }
        if let Some(bytes) = paths.get_mut(path) {
            *bytes += subflow.received_bytes;
        }
    }
    if paths.len() < 2 {
        return "-".to_owned();
    }
    let all = paths.iter().sum();
    let share = |bytes: &u64| format!("{:.0}", units::share(*bytes, all) * 100.0);
    format!("{} %", paths.iter().map(share).collect::<Vec<_>>().join(" / "))
}

fn links(done: &Done, printer: Printer) -> String {
    let head = [
        "link",
        "used",
        "packets",
        "bytes",
        "queue full",
        "lost",
        "managed",
        "down",
        "too big",
        "longest queue",
    ];
    let mut table = Table::new(head);
    let mut lane = |name: String, lane: &LaneOutcome| {
        let count = |n: u64| if n == 0 { "-".to_owned() } else { n.to_string() };
        table.row([
            name,
            lane.utilisation.map_or_else(|| "-".to_owned(), units::percent),
            lane.delivered.to_string(),
            units::size(lane.delivered_bytes),
            count(lane.queue_full),
            count(lane.lost),
            count(lane.managed),
            count(lane.down),
            count(lane.too_big),
            count(lane.queue_max),
        ]);
    };
    let data = |lane: &LaneOutcome| lane.delivered_bytes > 0;
    for link in &done.outcome.links {
        // of a link that carries ACKs one way the other way is what matters
        let most = link.forward.delivered_bytes.max(link.backward.delivered_bytes);
        let worth = |lane: &LaneOutcome| {
            printer.is_verbose() || lane.delivered_bytes.saturating_mul(4) >= most && data(lane)
        };
        if worth(&link.forward) {
            lane(format!("{} fwd", link.name), &link.forward);
        }
        if worth(&link.backward) {
            lane(format!("{} back", link.name), &link.backward);
        }
    }
    table.render()
}
