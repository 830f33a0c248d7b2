//! A run as a stream of events: one JSON object a line, in the manner of qlog (draft-ietf-quic-qlog-main-schema), with names of
//! its own for what TCP and MPTCP have and QUIC has not.

use super::flow_name;
use crate::direction::Direction;
use crate::scenario::Scenario;
use crate::world::{Observer, Packet, What};
use mpuser_engine::time::Instant;
use mpuser_engine::wire::{IpHeader, TcpHeader, TcpOptions};
use mpuser_engine::{Event, SubflowInfo};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Writes events as they happen.
#[derive(Debug)]
pub struct EventStream<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> EventStream<W> {
    /// A stream into `out`, which should be buffered.
    pub const fn new(out: W) -> Self {
        Self { out, error: None }
    }

    /// Hands everything to `out` and gives it back.
    ///
    /// # Errors
    /// The first error there was in writing; nothing was written after it.
    pub fn finish(mut self) -> io::Result<W> {
        match self.error {
            Some(error) => Err(error),
            None => self.out.flush().map(|()| self.out),
        }
    }

    fn line(&mut self, value: &Value) {
        if self.error.is_none() {
            self.error = writeln!(self.out, "{value}").err();
        }
    }

    fn event(&mut self, now: Instant, name: &str, data: Value) {
        let time = now.as_nanos() as f64 / 1e6;
        self.line(&json!({ "time": time, "name": name, "data": data }));
    }
}

/// The words for directions: those of the application.
const fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "up",
        Direction::Backward => "down",
    }
}

/// What an observer would want to know of a packet's headers.
fn fields(packet: &Packet<'_>) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| {
        data.insert(key.to_owned(), value);
    };
    put("flow", packet.flow.into());
    put("path", packet.path.into());
    put("direction", way(packet.direction).into());
    put("length", (packet.headers.len() + packet.payload.len()).into());
    let whole = packet.headers.is_empty();
    let bytes = if whole { packet.payload } else { packet.headers };
    let Ok(ip) = IpHeader::parse_beginning(bytes) else { return data };
    let segment = bytes.get(ip.header_len..).unwrap_or_default();
    let Ok((header, len)) = TcpHeader::parse(segment) else { return data };
    let payload = ip.total_len.saturating_sub(ip.header_len + len);
    put("source_port", header.src_port.into());
    put("destination_port", header.dst_port.into());
    put("seq", header.seq.0.into());
    if let Some(ack) = header.ack {
        put("ack", ack.0.into());
    }
    put("payload_length", payload.into());
    let flags = [
        ("SYN", header.flags.syn),
        ("FIN", header.flags.fin),
        ("RST", header.flags.rst),
        ("PSH", header.flags.psh),
    ];
    let set: Vec<&str> = flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    put("flags", set.into());
    let options = TcpOptions::parse(segment.get(20..len).unwrap_or_default());
    if let Some(dss) = &options.dss {
        put("dss", format!("{dss:?}").into());
    }
    if !options.signals.is_empty() {
        let signals = options.signals.iter().map(|signal| format!("{signal:?}"));
        put("mptcp", signals.collect::<Vec<String>>().into());
    }
    data
}

impl<W: Write> Observer for EventStream<W> {
    fn begin(&mut self, scenario: &Scenario, seed: u64) {
        let count: u32 = scenario.flows.iter().map(|group| group.count).sum();
        let flows: Vec<String> = (0..count).map(|flow| flow_name(scenario, flow)).collect();
        self.line(&json!({
            "qlog_format": "JSON-LINES",
            "title": scenario.name,
            "description": scenario.description,
            "trace": {
                "common_fields": { "time_format": "relative", "time_unit": "ms" },
                "vantage_point": { "type": "network" },
                "seed": seed,
                "flows": flows,
            },
        }));
    }

    fn packet(&mut self, now: Instant, what: What, packet: &Packet<'_>) {
        let name = match what {
            What::Sent => "transport:packet_sent",
            What::Arrived => "transport:packet_received",
            What::Dropped => "transport:packet_dropped",
        };
        self.event(now, name, Value::Object(fields(packet)));
    }

    fn read(
        &mut self,
        now: Instant,
        flow: u32,
        connection: u32,
        direction: Direction,
        octets: u64,
    ) {
        let direction = way(direction);
        let data = json!({ "flow": flow, "connection": connection, "direction": direction, "length": octets });
        self.event(now, "transport:data_moved", data);
    }

    fn engine(&mut self, now: Instant, flow: u32, connection: u32, side: Direction, event: &Event) {
        if matches!(event, Event::Readable | Event::Writable) {
            return;
        }
        let side = if side == Direction::Forward { "client" } else { "server" };
        let event = format!("{event:?}");
        let data = json!({ "flow": flow, "connection": connection, "owner": side, "event": event });
        self.event(now, "mptcp:event", data);
    }

    fn subflow(&mut self, now: Instant, flow: u32, connection: u32, info: &SubflowInfo) {
        let data = json!({
            "flow": flow,
            "connection": connection,
            "subflow": info.id.0,
            "state": info.state,
            "congestion_window": info.cwnd,
            "ssthresh": (info.ssthresh < u64::MAX).then_some(info.ssthresh),
            "bytes_in_flight": info.in_flight,
            "smoothed_rtt": info.srtt.as_secs_f64() * 1e3,
        });
        self.event(now, "recovery:metrics_updated", data);
    }

    fn wants_subflows(&self) -> bool {
        true
    }
}
