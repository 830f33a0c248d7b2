//! Plots of a capture: DSN ladder, round trips, data by subflow.

use crate::error::Failure;
use mpuser_inspect::trace::Placed;
use mpuser_inspect::{Packet, Trace};
use mpuser_sim::report::{Axes, Series, dots, lines};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// So many points a curve has at most; then every second one goes.
const MOST_POINTS: usize = 20_000;

/// Points of one curve, thinned out as they become many.
#[derive(Default)]
struct Curve {
    points: Vec<(f64, f64)>,
    step: usize,
    seen: usize,
}

impl Curve {
    fn add(&mut self, x: f64, y: f64) {
        let step = self.step.max(1);
        if self.seen.is_multiple_of(step) {
            self.points.push((x, y));
        }
        self.seen += 1;
        if self.points.len() >= MOST_POINTS {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
            self.step = step * 2;
        }
    }
}

/// What is drawn of one connection, by subflow.
#[derive(Default)]
struct Drawn {
    ladder: [BTreeMap<usize, Curve>; 2],
    rtt: BTreeMap<usize, Curve>,
    data: BTreeMap<usize, Curve>,
}

/// Curves in the making.
#[derive(Default)]
pub(super) struct Plots {
    first: Option<i64>,
    connections: BTreeMap<usize, Drawn>,
    samples: BTreeMap<(usize, usize), u64>,
}

impl Plots {
    /// Takes in a segment the trace has just placed.
    pub(super) fn add(&mut self, packet: &Packet<'_>, placed: &Placed, trace: &Trace) {
        let (Some(time), Some(connection)) = (packet.time, placed.connection) else { return };
        let Some(stream) = trace.streams().get(placed.stream) else { return };
        let first = *self.first.get_or_insert(time);
        let x = time.saturating_sub(first) as f64 / 1e9;
        let drawn = self.connections.entry(connection).or_default();
        let side = if placed.from == 0 { stream.opener } else { 1 - stream.opener };
        if let (Some(dsn), Some(ladder)) = (placed.dsn, drawn.ladder.get_mut(side)) {
            ladder.entry(placed.stream).or_default().add(x, dsn as f64 / 1e6);
        }
        let new: u64 = stream.halves.iter().map(|half| half.new_data).sum();
        drawn.data.entry(placed.stream).or_default().add(x, new as f64 / 1e6);
        if let Some(half) = stream.halves.get(1 - placed.from) {
            let before = self.samples.entry((placed.stream, placed.from)).or_default();
            if half.rtt.count > *before {
                *before = half.rtt.count;
                let y = half.rtt.last as f64 / 1e6;
                drawn.rtt.entry(placed.stream).or_default().add(x, y);
            }
        }
    }

    /// Draws what there is.
    pub(super) fn write(self, directory: &Path) -> Result<Vec<PathBuf>, Failure> {
        let failed = |path: &Path, error: std::io::Error| {
            Failure::io(format!("{} cannot be written", path.display()), &error)
        };
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        let mut written = Vec::new();
        for (connection, drawn) in self.connections {
            let [there, back] = drawn.ladder;
            let axes = |title, y| Axes { title, x: "time, s", y, log_y: false };
            let ladder = |title| axes(title, "data sequence number, MB");
            let figures = [
                ("dsn-opener", dots(&ladder("DSN, opener to other end"), &series(there))),
                ("dsn-other", dots(&ladder("DSN, other end to opener"), &series(back))),
                ("rtt", dots(&axes("time to the acknowledgement", "ms"), &series(drawn.rtt))),
                ("data", lines(&axes("new data by subflow", "MB"), &series(drawn.data))),
            ];
            for (name, svg) in figures {
                // nothing to plot is no error: one direction may have no data
                let Ok(svg) = svg else { continue };
                let path = directory.join(format!("connection-{connection}-{name}.svg"));
                std::fs::write(&path, svg).map_err(|error| failed(&path, error))?;
                written.push(path);
            }
        }
        Ok(written)
    }
}

fn series(curves: BTreeMap<usize, Curve>) -> Vec<Series> {
    let named = curves
        .into_iter()
        .map(|(stream, curve)| Series { name: format!("subflow {stream}"), points: curve.points });
    named.collect()
}
