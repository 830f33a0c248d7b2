//! The live view: redrawn in place on a terminal, one line a second otherwise.

use super::transfer::Snapshot;
use crate::output::{Printer, Tint};
use crate::units;
use mpuser_engine::SubflowInfo;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// How often a terminal is redrawn.
const FRAME: Duration = Duration::from_millis(100);
/// How often a line is printed elsewhere.
const LINE: Duration = Duration::from_secs(1);
/// How often rates are measured anew: shorter spans jump about.
const SPAN: Duration = Duration::from_millis(500);

/// Draws the state of a transfer on stderr.
#[derive(Debug)]
pub(crate) struct LiveView {
    printer: Printer,
    terminal: bool,
    due: Duration,
    /// Lines on the screen that the next frame replaces.
    drawn: usize,
    rates: Rates,
}

/// Bytes moved by each subflow, and by all, over the last span.
#[derive(Debug, Default)]
struct Rates {
    since: Duration,
    until: Duration,
    before: BTreeMap<u32, u64>,
    moved: BTreeMap<u32, u64>,
    received_before: u64,
    received: u64,
}

impl Rates {
    fn note(&mut self, now: &Snapshot, span: Duration) {
        if now.elapsed.saturating_sub(self.until) < span {
            return;
        }
        self.since = self.until;
        self.until = now.elapsed;
        for subflow in now.info.iter().flat_map(|info| &info.subflows) {
            let total = carried(subflow);
            let before = self.before.insert(subflow.id.0, total).unwrap_or(0);
            self.moved.insert(subflow.id.0, total.saturating_sub(before));
        }
        self.received = now.received.saturating_sub(self.received_before);
        self.received_before = now.received;
    }

    fn span(&self) -> Duration {
        self.until.saturating_sub(self.since)
    }

    fn of(&self, id: u32) -> String {
        units::rate(self.moved.get(&id).copied().unwrap_or(0), self.span())
    }
}

/// What a subflow moved, both ways.
fn carried(subflow: &SubflowInfo) -> u64 {
    subflow.bytes_sent.saturating_add(subflow.bytes_received)
}

impl LiveView {
    /// A view in the printer's style; nothing is drawn with `--json` or `-q`.
    pub(crate) fn new(printer: Printer) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let due = if terminal { Duration::ZERO } else { LINE };
        Self { printer, terminal, due, drawn: 0, rates: Rates::default() }
    }

    /// Draws if it is time to.
    pub(crate) fn draw(&mut self, now: &Snapshot) {
        if self.printer.is_mute() {
            return;
        }
        self.rates.note(now, if self.terminal { SPAN } else { LINE });
        if now.elapsed < self.due {
            return;
        }
        self.due = now.elapsed + if self.terminal { FRAME } else { LINE };
        if self.terminal {
            self.redraw(&frame(now, &self.rates, &self.printer));
        } else {
            self.printer.line(&line(now, &self.rates));
        }
    }

    /// Prints a line that stays, above the view.
    pub(crate) fn say(&mut self, text: &str) {
        self.clear();
        self.printer.line(text);
    }

    /// Takes the view off the screen.
    fn clear(&mut self) {
        if self.drawn > 0 {
            self.redraw(&[]);
        }
    }

    fn redraw(&mut self, lines: &[String]) {
        let mut out = String::new();
        for _ in 0..self.drawn {
            // one line up, then erase it
            out.push_str("\x1b[1A\x1b[2K");
        }
        for text in lines {
            out.push_str(text);
            out.push('\n');
        }
        self.drawn = lines.len();
        // a closed stderr is no reason to stop the transfer
        let _ = std::io::stderr().write_all(out.as_bytes());
    }
}

/// One frame of the terminal view, 80 columns.
fn frame(now: &Snapshot, rates: &Rates, printer: &Printer) -> Vec<String> {
    let done = units::share(now.received, now.size);
    let mut lines = vec![format!(
        "{:>9} out {:>9} of {} back [{}] {:>7} {:>14}",
        units::size(now.sent),
        units::size(now.received),
        units::size(now.size),
        units::bar(done, 12),
        units::percent(done),
        units::rate(rates.received, rates.span()),
    )];
    let subflows: &[SubflowInfo] = now.info.as_ref().map_or(&[], |info| &info.subflows);
    let total = subflows.iter().map(carried).sum();
    for subflow in subflows {
        let tint = match subflow.state {
            "ESTAB" if !subflow.stale => Tint::Good,
            "CLOSED" => Tint::Bad,
            _ => Tint::Warn,
        };
        let state = if subflow.stale { "stale" } else { subflow.state };
        let text = format!(
            "{:>3} {:<15} {:<10} {:>14} {:>7}  srtt {:>8} cwnd {:>10}",
            subflow.id.0,
            subflow.tuple.local.ip().to_string(),
            state,
            rates.of(subflow.id.0),
            units::percent(units::share(carried(subflow), total)),
            units::time(subflow.srtt),
            units::size(subflow.cwnd),
        );
        lines.push(printer.tint(tint, &text));
    }
    lines
}

/// One line for a log.
fn line(now: &Snapshot, rates: &Rates) -> String {
    let subflows: &[SubflowInfo] = now.info.as_ref().map_or(&[], |info| &info.subflows);
    let each = subflows.iter().map(|subflow| {
        let state = match subflow.state {
            "ESTAB" if subflow.stale => "stale, ".to_owned(),
            "ESTAB" => String::new(),
            other => format!("{}, ", other.to_ascii_lowercase()),
        };
        format!("{}: {state}{}", subflow.id.0, rates.of(subflow.id.0))
    });
    let mut text = format!(
        "{:>6.1} s {:>9} back ({}) {}",
        now.elapsed.as_secs_f64(),
        units::size(now.received),
        units::percent(units::share(now.received, now.size)),
        units::rate(rates.received, rates.span()),
    );
    for part in each {
        text.push_str(" | ");
        text.push_str(&part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Color, Global};
    use crate::output::tests::info;

    fn snapshot(millis: u64, received: u64) -> Snapshot {
        Snapshot {
            elapsed: Duration::from_millis(millis),
            size: 64 << 20,
            sent: 64 << 20,
            received,
            info: Some(info()),
        }
    }

    fn plain() -> Printer {
        Printer::new(&Global { color: Color::Never, ..Global::default() })
    }

    #[test]
    fn a_frame_has_a_line_for_the_whole_and_one_for_each_subflow() {
        let mut rates = Rates::default();
        rates.note(&snapshot(1000, 16 << 20), SPAN);
        let lines = frame(&snapshot(1000, 16 << 20), &rates, &plain());
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[0],
            " 64.0 MiB out  16.0 MiB of 64.0 MiB back [###.........]  25.0 %   134.2 Mbit/s"
        );
        assert!(lines[1].contains("10.83.56.1"), "{}", lines[1]);
        assert!(lines[1].contains("33.6 Mbit/s"), "{}", lines[1]);
        assert!(lines[1].contains("80.0 %"), "{}", lines[1]);
        assert!(lines.iter().all(|line| line.chars().count() <= 90), "{lines:#?}");
    }

    #[test]
    fn rates_are_of_the_last_span() {
        let mut rates = Rates::default();
        rates.note(&snapshot(1000, 16 << 20), SPAN);
        rates.note(&snapshot(1100, 17 << 20), SPAN);
        assert_eq!(rates.received, 16 << 20, "too early to measure anew");
        rates.note(&snapshot(2000, 17 << 20), SPAN);
        assert_eq!((rates.received, rates.span()), (1 << 20, Duration::from_secs(1)));
        assert_eq!(rates.of(0), "0 bit/s");
    }

    #[test]
    fn a_log_line_names_every_subflow() {
        let mut rates = Rates::default();
        rates.note(&snapshot(1000, 16 << 20), LINE);
        assert_eq!(
            line(&snapshot(1000, 16 << 20), &rates),
            "   1.0 s  16.0 MiB back (25.0 %) 134.2 Mbit/s | 0: 33.6 Mbit/s | 1: 8.4 Mbit/s"
        );
    }
}
