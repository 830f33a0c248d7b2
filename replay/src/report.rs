//! What a replay has shown, as values, text and JSON.

use crate::Role;
use crate::compare::{Class, Divergence, captured_steps, engine_steps};
use crate::recording::{Case, Recording};
use crate::run::Ran;
use mpuser_inspect::decode::line;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which side the engine played.
    pub role: Role,
    /// Number of the MPTCP connection in the capture; none for plain TCP.
    pub connection: Option<usize>,
    /// TCP connections it has.
    pub streams: usize,
    /// Steps of the captured side.
    pub steps: usize,
    /// Steps of the engine.
    pub engine_steps: usize,
    /// Packets of the captured side.
    pub packets: usize,
    /// Packets of the engine.
    pub engine_packets: usize,
    /// Settings read off the capture.
    pub notes: Vec<String>,
    /// Zeros stood for data that was not captured.
    pub zeros: bool,
    /// Where they differ, in the order of the capture.
    pub divergences: Vec<Divergence>,
    /// Every packet of the replay, one line each.
    pub log: Vec<String>,
}

impl Outcome {
    pub(crate) fn new(
        recording: &Recording,
        case: &Case,
        role: Role,
        ran: &Ran,
        divergences: Vec<Divergence>,
    ) -> Self {
        let own = case.segments.iter().filter_map(|at| recording.segments.get(*at));
        let own = own.filter(|segment| {
            let stream = recording.report.streams.get(segment.placed.stream);
            stream.is_some_and(|stream| stream.side_of(segment.placed.from) == ran.side)
        });
        let start = Some(crate::run::START.as_nanos().cast_signed());
        let log = ran.live.iter().map(|live| {
            let arrow = if live.own { "engine" } else { "capture" };
            let packet = live.segment.packet();
            format!("{arrow:7} {}", line(&packet, &live.segment.placed, start))
        });
        Self {
            role,
            connection: case.connection,
            streams: case.streams.len(),
            steps: captured_steps(recording, case, ran.side).0.len(),
            engine_steps: engine_steps(ran).0.len(),
            packets: own.count(),
            engine_packets: ran.live.iter().filter(|live| live.own).count(),
            notes: ran.notes.clone(),
            zeros: ran.applications.zeros
                || ran.applications.written.iter().any(|written| !written.is_whole()),
            divergences,
            log: log.collect(),
        }
    }

    /// Divergences of a class.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.divergences.iter().filter(|divergence| divergence.class == class).count()
    }

    /// Nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.count(Class::Failure) == 0
    }

    /// The first divergence that is none of a stack's choices.
    #[must_use]
    pub fn first_failure(&self) -> Option<&Divergence> {
        self.divergences.iter().find(|divergence| divergence.class == Class::Failure)
    }

    /// What it is about, in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        let connection = self.connection.map_or_else(
            || "plain TCP connection".to_owned(),
            |number| format!("connection {number}"),
        );
        format!("{connection}, engine as {}", self.role)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} subflow{}, {} steps captured, {} of the engine; packets {} and {}\n",
            self.headline(),
            self.streams,
            if self.streams == 1 { "" } else { "s" },
            self.steps,
            self.engine_steps,
            self.packets,
            self.engine_packets
        );
        // writing to a string does not fail
        if !self.notes.is_empty() {
            let _ = writeln!(text, "  read off the capture: {}", self.notes.join("; "));
        }
        if self.zeros {
            let _ = writeln!(text, "  data was not captured whole: zeros stand for it");
        }
        for divergence in &self.divergences {
            divergence.write(&mut text);
        }
        let _ = match self.first_failure() {
            None => writeln!(
                text,
                "  no divergence but {} of choice and {} of the capture's",
                self.count(Class::Choice),
                self.count(Class::Capture)
            ),
            Some(first) => writeln!(
                text,
                "  {} divergences; the first: {}{}",
                self.count(Class::Failure),
                first.step,
                first.after.map_or_else(String::new, |n| format!(" (at packet {n})"))
            ),
        };
        text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "connection": self.connection,
            "role": self.role.to_string(),
            "subflows": self.streams,
            "steps": self.steps,
            "engine_steps": self.engine_steps,
            "packets": self.packets,
            "engine_packets": self.engine_packets,
            "notes": self.notes,
            "zeros": self.zeros,
            "good": self.is_good(),
            "divergences": self.divergences.iter().map(Divergence::json).collect::<Vec<_>>(),
        })
    }
}

impl Divergence {
    fn write(&self, text: &mut String) {
        let place = match (self.packet, self.engine_packet) {
            (Some(was), Some(is)) => format!("packet {was} (engine's {is})"),
            (Some(was), None) => format!("packet {was}"),
            (None, Some(is)) => {
                let after = self.after.map_or_else(String::new, |n| format!(", at packet {n}"));
                format!("engine's packet {is}{after}")
            }
            (None, None) => "whole".to_owned(),
        };
        let _ = writeln!(text, "  {:7} {place}: {}", self.class.name(), self.step);
        for field in &self.fields {
            let _ = writeln!(
                text,
                "          {}: capture {}, engine {}",
                field.name, field.capture, field.engine
            );
        }
        let _ = writeln!(text, "          {}", self.reason);
    }

    fn json(&self) -> Value {
        let fields = self.fields.iter().map(
            |field| json!({ "name": field.name, "capture": field.capture, "engine": field.engine }),
        );
        json!({
            "packet": self.packet,
            "after": self.after,
            "engine_packet": self.engine_packet,
            "step": self.step,
            "class": self.class.name().to_lowercase(),
            "reason": self.reason,
            "fields": fields.collect::<Vec<_>>(),
        })
    }
}
