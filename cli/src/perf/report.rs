//! The end of a measurement: both ends' figures, as lines and as an object.

use super::args::Perf;
use super::client::Tallies;
use super::flow::Flow;
use super::meter::{Directions, Interval, Row, beginning, row_object, sum};
use super::picture;
use super::wire::Tally;
use crate::error::{Code, Failure, plain_words};
use crate::output::subflow_reports;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinError;

/// One of `--at`, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Obeyed {
    #[serde(skip)]
    pub(super) at: Duration,
    pub(super) order: String,
    pub(super) refusals: Vec<String>,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Outcome {
    directions: Directions,
    pub(super) flows: Vec<Arc<Flow>>,
    tallies: Vec<Option<Result<Tallies, io::Error>>>,
    /// The server's sockets are its kernel's.
    kernel: bool,
    pub(super) intervals: Vec<Interval>,
    pub(super) orders: Vec<Obeyed>,
    pub(super) elapsed: Duration,
    /// A signal ended it.
    pub(super) stopped: Option<Code>,
}

/// A row of the end, and whose figures it has.
struct Line {
    row: Row,
    time: Duration,
    sender: bool,
}

impl Outcome {
    pub(super) fn new(directions: Directions, flows: Vec<Arc<Flow>>, kernel: bool) -> Self {
        let tallies = flows.iter().map(|_| None).collect();
        let (intervals, orders) = (Vec::new(), Vec::new());
        let elapsed = Duration::ZERO;
        Self { directions, flows, tallies, kernel, intervals, orders, elapsed, stopped: None }
    }

    /// How many connections are done.
    pub(super) fn ended(&self) -> usize {
        self.tallies.iter().flatten().count()
    }

    /// A connection is done.
    pub(super) fn over(
        &mut self,
        done: Result<(usize, io::Result<Tallies>), JoinError>,
    ) -> Result<(), Failure> {
        let done = done.map_err(|error| Failure::internal("a task ended early", error));
        let (index, tallies) = done?;
        if let Some(place) = self.tallies.get_mut(index) {
            *place = Some(tallies);
        }
        Ok(())
    }

    /// The figures of both ends, for each direction.
    fn rows(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let directions = [(true, self.directions.sends), (false, self.directions.receives)];
        for (sends, _) in directions.iter().filter(|(_, wanted)| *wanted) {
            for sender in [true, false] {
                let mut rows = Vec::new();
                let mut longest = Duration::ZERO;
                for (flow, tallies) in self.flows.iter().zip(&self.tallies) {
                    let Some(Ok((own, theirs))) = tallies else { continue };
                    let tally = if *sends == sender { own } else { theirs };
                    let (row, time) = side(flow.number, *sends, sender, tally);
                    longest = longest.max(time);
                    rows.push(row.clone());
                    lines.push(Line { row, time, sender });
                }
                let sum = sum(&rows, *sends).filter(|_| rows.len() > 1);
                lines.extend(sum.map(|row| Line { row, time: longest, sender }));
            }
        }
        lines
    }

    /// The last lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let both = self.directions.sends && self.directions.receives;
        let role = if both { "[Role]" } else { "" };
        let mut lines = vec![
            "- ".repeat(25),
            format!("[ ID]{role} Interval           Transfer     Bitrate         Retr"),
        ];
        for Line { row, time, sender } in self.rows() {
            let retransmits = row.retransmits.filter(|_| sender);
            let retransmits = retransmits.map_or_else(String::new, |count| count.to_string());
            let word = if sender { "sender" } else { "receiver" };
            let beginning = beginning(&row, both, (Duration::ZERO, time));
            lines.push(format!("{beginning}{retransmits:>4}            {word}"));
        }
        for flow in &self.flows {
            lines.extend(self.contributions(flow));
        }
        lines
    }

    /// What each subflow contributed.
    fn contributions(&self, flow: &Flow) -> Vec<String> {
        let Some(info) = flow.link.info() else { return Vec::new() };
        let subflow = |report: crate::output::SubflowReport| {
            let (local, remote) = (&report.local, &report.remote);
            let mut text = format!("[{:3}] subflow {} {local} -> {remote}", flow.number, report.id);
            for (said, word, share) in [
                (self.directions.sends, "sent", report.share_sent),
                (self.directions.receives, "received", report.share_received),
            ] {
                if said {
                    text += &format!(", {} {word}", crate::units::percent(share));
                }
            }
            text + if report.backup { ", backup" } else { "" }
        };
        subflow_reports(&info).into_iter().map(subflow).collect()
    }

    /// All of it.
    pub(super) fn object(&self, args: &Perf, remote: SocketAddr) -> Value {
        let connected = |flow: &Arc<Flow>| {
            let (local, remote) = flow.link.addresses()?;
            let (local, remote) = (local.to_string(), remote.to_string());
            let mptcp = flow.link.info().map(|info| info.mptcp);
            Some(json!({ "socket": flow.number, "local": local, "remote": remote, "mptcp": mptcp }))
        };
        let mut end: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for Line { row, time, sender } in self.rows() {
            let key = match (row.flow.is_some(), sender) {
                (true, true) => "sent",
                (true, false) => "received",
                (false, true) => "sum_sent",
                (false, false) => "sum_received",
            };
            let object = row_object(&row, (Duration::ZERO, time));
            end.entry(key).or_default().push(object);
        }
        let subflows: Vec<_> = self
            .flows
            .iter()
            .filter_map(|flow| {
                let subflows = subflow_reports(&flow.link.info()?);
                Some(json!({ "socket": flow.number, "subflows": subflows }))
            })
            .collect();
        let orders = self.orders.iter().map(|obeyed| {
            json!({ "at": obeyed.at.as_secs_f64(), "order": obeyed.order, "refusals": obeyed.refusals })
        });
        json!({
            "schema": "mpuser.perf/1",
            "start": {
                "connecting_to": remote.to_string(),
                "connected": self.flows.iter().filter_map(connected).collect::<Vec<_>>(),
                "kernel": args.kernel, "peer_kernel": self.kernel,
                "num_streams": args.parallel, "blksize": args.length,
                "reverse": args.reverse, "bidir": args.bidir,
            },
            "intervals": self.intervals.iter().map(Interval::object).collect::<Vec<_>>(),
            "orders": orders.collect::<Vec<_>>(),
            "end": end, "subflows": subflows, "seconds": self.elapsed.as_secs_f64(),
        })
    }

    /// All of it as a picture.
    pub(super) fn picture(&self, remote: SocketAddr) -> Result<String, Failure> {
        let title = format!("mpuser perf with {remote}");
        picture::measurement(&title, &self.intervals, &self.orders)
    }

    /// The exit code, or what went wrong.
    pub(super) fn verdict(&self, remote: SocketAddr) -> Result<ExitCode, Failure> {
        if let Some(code) = self.stopped {
            return Ok(ExitCode::from(code.exit()));
        }
        for tallies in self.tallies.iter().flatten() {
            if let Err(error) = tallies {
                return Err(Failure::new(
                    Code::Lost,
                    format!("the measurement with {remote} did not come to its end"),
                    plain_words(error),
                    "--pcap FILE shows the last packets",
                ));
            }
        }
        match self.orders.iter().find(|obeyed| !obeyed.refusals.is_empty()) {
            None => Ok(ExitCode::SUCCESS),
            Some(obeyed) => Err(Failure::new(
                Code::Check,
                format!("`--at {}` was not followed", obeyed.order),
                obeyed.refusals.join("; "),
                "the numbers of subflows are those of the columns; -v names the paths",
            )),
        }
    }
}

/// One end's figures for a direction: `sends` is the client's view of it, `sender` says whose figures they are.
fn side(number: u32, sends: bool, sender: bool, tally: &Tally) -> (Row, Duration) {
    let (bytes, seconds) = if sender {
        (tally.sent, tally.send_seconds)
    } else {
        (tally.received, tally.receive_seconds)
    };
    let retransmits = tally.retransmits.filter(|_| sender);
    let row = Row { flow: Some(number), sends, bytes, retransmits, subflows: BTreeMap::new() };
    // the other end may say anything
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    (row, time)
}
