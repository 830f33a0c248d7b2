//! The plots of this project: what of a run goes on which axis.

use super::plot::{Axes, Series, boxes, dots, lines};
use crate::metrics::{FlowOutcome, Histogram};
use crate::stats::BoxPlot;
use mpuser_engine::time::Duration;

/// Most points of a line; more would make a page heavy and no clearer.
const MAX_POINTS: usize = 600;
/// Most dots of a ladder.
const MAX_DOTS: usize = 4_000;

/// Throughput of each subflow and of the flow over time, Mbit/s; `sample` is the time between samples.
///
/// # Errors
/// The run has no samples.
pub fn throughput(title: &str, flow: &FlowOutcome, sample: Duration) -> Result<String, String> {
    let mut series: Vec<Series> = flow
        .subflows
        .iter()
        .filter(|subflow| subflow.samples.iter().any(|bytes| *bytes > 0))
        .enumerate()
        .map(|(number, subflow)| Series {
            name: format!("subflow {number}, path {}", subflow.path),
            points: rates(&subflow.samples, sample),
        })
        .collect();
    if series.len() > 1 || series.is_empty() {
        let points = rates(&flow.goodput_samples, sample);
        series.push(Series { name: "delivered in order".to_owned(), points });
    }
    let axes = Axes { title, x: "time, s", y: "throughput, Mbit/s", log_y: false };
    lines(&axes, &series)
}

/// Bytes per sample as Mbit/s, as many samples together as keep it readable.
fn rates(samples: &[u64], sample: Duration) -> Vec<(f64, f64)> {
    let seconds = sample.as_secs_f64();
    if seconds <= 0.0 {
        return Vec::new();
    }
    // at least 100 ms: a shorter time shows packets, not rates
    let together = samples.len().div_ceil(MAX_POINTS).max((0.1 / seconds).round() as usize).max(1);
    let width = together as f64 * seconds;
    let bins = samples.chunks_exact(together).enumerate();
    bins.map(|(index, bytes)| {
        let sum: u64 = bytes.iter().sum();
        ((index as f64 + 0.5) * width, sum as f64 * 8e-6 / width)
    })
    .collect()
}

/// How long bytes waited for those before them: the share that waited longer, over the time.
///
/// # Errors
/// Nothing has waited.
pub fn delay_ccdf(title: &str, delays: &[(String, &Histogram)]) -> Result<String, String> {
    let series: Vec<Series> = delays
        .iter()
        .map(|(name, delay)| Series {
            name: name.clone(),
            points: delay.ccdf().into_iter().filter(|(_, share)| *share >= 1e-5).collect(),
        })
        .collect();
    let y = "share of bytes that waited longer";
    lines(&Axes { title, x: "out-of-order delay, s", y, log_y: true }, &series)
}

/// Data sequence numbers over time, a colour for each path: `sent` has the time (s), the number relative to the
/// first byte, and the path.
///
/// # Errors
/// Nothing was sent.
pub fn dsn_ladder(title: &str, sent: &[(f64, u64, usize)]) -> Result<String, String> {
    let paths = sent.iter().map(|(_, _, path)| path + 1).max().unwrap_or(0);
    let step = sent.len().div_ceil(MAX_DOTS).max(1);
    let mut series: Vec<Series> = (0..paths)
        .map(|number| Series { name: format!("path {number}"), points: Vec::new() })
        .collect();
    for (time, dsn, path) in sent.iter().step_by(step) {
        if let Some(series) = series.get_mut(*path) {
            series.points.push((*time, *dsn as f64 / 1e6));
        }
    }
    let axes = Axes { title, x: "time, s", y: "data sequence number, MB", log_y: false };
    dots(&axes, &series)
}

/// Completion times in seconds, a box for each name.
///
/// # Errors
/// Nothing was completed.
pub fn completion_boxes(title: &str, times: &[(String, Vec<f64>)]) -> Result<String, String> {
    let plots: Vec<(String, BoxPlot)> = times
        .iter()
        .filter_map(|(name, times)| Some((name.clone(), BoxPlot::of(times)?)))
        .collect();
    boxes(&Axes { title, x: "", y: "completion time, s", log_y: false }, &plots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::SubflowOutcome;

    #[test]
    fn rates_are_in_mbit() {
        let samples = vec![12_500; 100];
        let rates = rates(&samples, Duration::from_millis(10));
        assert_eq!(rates.len(), 10);
        assert!(rates.iter().all(|(_, mbit)| (mbit - 10.0).abs() < 1e-9));
        assert!((rates[0].0 - 0.05).abs() < 1e-9);
    }

    #[test]
    fn plots_say_what_they_show() {
        let subflow =
            |path| SubflowOutcome { path, samples: vec![9_000; 200], ..Default::default() };
        let flow = FlowOutcome {
            subflows: vec![subflow(0), subflow(1)],
            goodput_samples: vec![18_000; 200],
            ..Default::default()
        };
        let mut delay = Histogram::default();
        (1..100).for_each(|ms| delay.add(Duration::from_millis(ms), 1));
        let ladder: Vec<(f64, u64, usize)> = (0..100u32)
            .map(|k| (f64::from(k) / 10.0, u64::from(k) * 1_400, k as usize % 2))
            .collect();
        let boxes =
            [("minrtt".to_owned(), vec![1.0, 1.1, 1.2, 2.0]), ("ecf".to_owned(), vec![0.9])];
        for (svg, words) in [
            (throughput("T", &flow, Duration::from_millis(10)), &["time, s", "Mbit/s", "path 1"]),
            (delay_ccdf("D", &[("ecf".into(), &delay)]), &["delay, s", "share of bytes", "ecf"]),
            (dsn_ladder("L", &ladder), &["time, s", "number, MB", "path 1"]),
            (completion_boxes("C", &boxes), &["completion time, s", "minrtt", "ecf"]),
        ] {
            let svg = svg.unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
            assert!(words.iter().all(|word| svg.contains(word)), "{words:?}");
        }
    }

    #[test]
    fn nothing_to_plot_is_said() {
        assert!(throughput("T", &FlowOutcome::default(), Duration::from_millis(10)).is_err());
        assert!(delay_ccdf("D", &[]).is_err());
        assert!(dsn_ladder("L", &[]).is_err());
        assert!(completion_boxes("C", &[("a".into(), Vec::new())]).is_err());
    }
}
