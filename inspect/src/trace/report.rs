//! What a trace has shown, as values, tables and JSON.

use super::connection::Connection;
use super::join::side_of;
use super::stream::{Role, Stream};
use super::{Finding, Trace};
use crate::option::subtype_name;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Everything that was found.
pub struct Report {
    /// TCP segments.
    pub packets: u64,
    /// Segments with an MPTCP option.
    pub mptcp_packets: u64,
    /// MPTCP options.
    pub mptcp_options: u64,
    /// How often each subtype came.
    pub subtypes: [u64; 16],
    /// TCP connections, MPTCP or not.
    pub streams: Vec<Stream>,
    /// MPTCP connections.
    pub connections: Vec<Connection>,
    /// Broken rules, by packet.
    pub findings: Vec<Finding>,
    /// Findings that were only counted.
    pub more_findings: u64,
}

impl Trace {
    /// Ends the trace.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.conclude();
        Report {
            packets: self.packets,
            mptcp_packets: self.mptcp_packets,
            mptcp_options: self.mptcp_options,
            subtypes: self.subtypes,
            streams: self.streams,
            connections: self.connections,
            findings: self.findings,
            more_findings: self.more,
        }
    }
}

/// Milliseconds with three digits behind the point.
fn milliseconds(nanoseconds: i64) -> f64 {
    (nanoseconds / 1000) as f64 / 1000.0
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { (part as f64 * 1000.0 / of as f64).round() / 10.0 }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Plain => "plain",
        Role::First => "first",
        Role::Joined => "joined",
        Role::Midstream => "midstream",
    }
}

impl Report {
    /// The subflows of a connection.
    fn subflows<'a>(&'a self, connection: &'a Connection) -> impl Iterator<Item = &'a Stream> {
        connection.subflows.iter().filter_map(|index| self.streams.get(*index))
    }

    /// One object for everything.
    #[must_use]
    pub fn json(&self) -> Value {
        let subtypes: serde_json::Map<String, Value> = (0_u8..)
            .zip(self.subtypes)
            .filter(|(_, count)| *count > 0)
            .map(|(number, count)| (subtype_name(number).to_owned(), json!(count)))
            .collect();
        json!({
            "schema": "mpuser-inspect-1",
            "packets": self.packets,
            "mptcp_packets": self.mptcp_packets,
            "mptcp_options": self.mptcp_options,
            "subtypes": subtypes,
            "streams": self.streams.len(),
            "connections": self.connections.iter().map(|c| self.connection(c)).collect::<Vec<_>>(),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "findings_not_listed": self.more_findings,
        })
    }

    fn connection(&self, connection: &Connection) -> Value {
        let directions: Vec<Value> = connection
            .sides
            .iter()
            .map(|side| {
                json!({
                    "key": side.key.map(|key| format!("{key:#018x}")),
                    "token": side.token.map(|token| format!("{token:#010x}")),
                    "idsn": side.base.filter(|_| side.exact),
                    "bytes": side.bytes(),
                    "mapped": side.mapped(),
                    "mappings": side.mappings,
                    "reinjected": side.reinjected,
                    "duplicate": side.duplicate,
                    "unmapped": side.unmapped,
                    "checksums_right": side.checksums.0,
                    "checksums_wrong": side.checksums.1,
                    "add_addr_hmacs_right": side.hmacs.0,
                    "add_addr_hmacs_wrong": side.hmacs.1,
                    "data_fin": !side.fins.is_empty(),
                    "ordering_delay_mean_ms": milliseconds(side.ordering.mean()),
                    "ordering_delay_max_ms": milliseconds(side.ordering.longest),
                    "waited": side.ordering.waited,
                })
            })
            .collect();
        let total: Vec<u64> = connection.sides.iter().map(super::Side::bytes).collect();
        json!({
            "connection": connection.index,
            "version": connection.version,
            "checksum": connection.checksum(),
            "fallback": connection.fallback(&self.streams).map(|why| why.to_string()),
            "fast_close": connection.fast_close,
            "directions": directions,
            "subflows": self.subflows(connection).map(|s| subflow(s, &total)).collect::<Vec<_>>(),
        })
    }

    /// A line for every subflow and direction.
    #[must_use]
    pub fn csv_rows(&self) -> Vec<Vec<String>> {
        let head = [
            "connection",
            "version",
            "subflow",
            "role",
            "direction",
            "from",
            "to",
            "packets",
            "bytes",
            "retransmitted",
            "new_data",
            "duplicate_data",
            "share_percent",
            "rtt_min_ms",
            "rtt_mean_ms",
            "hmacs_right",
            "hmacs_wrong",
            "backup",
            "reset",
            "fallback",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for connection in &self.connections {
            let fallback = connection.fallback(&self.streams);
            for stream in self.subflows(connection) {
                for (from, half) in stream.halves.iter().enumerate() {
                    let side = side_of(stream.opener, from);
                    let total = connection.sides.get(side).map_or(0, super::Side::bytes);
                    let end =
                        |i: usize| stream.ends.get(i).map_or(String::new(), ToString::to_string);
                    let rtt = half.rtt;
                    let time =
                        |t: Option<i64>| t.map_or(String::new(), |t| milliseconds(t).to_string());
                    rows.push(vec![
                        connection.index.to_string(),
                        connection.version.map_or(String::new(), |v| v.to_string()),
                        stream.index.to_string(),
                        role_name(stream.role).to_owned(),
                        side.to_string(),
                        end(from),
                        end(1 - from),
                        half.packets.to_string(),
                        half.bytes.to_string(),
                        half.retransmitted.to_string(),
                        half.new_data.to_string(),
                        half.duplicate_data.to_string(),
                        share(half.new_data, total).to_string(),
                        time((rtt.count > 0).then_some(rtt.min)),
                        time(rtt.mean()),
                        stream.hmacs.0.to_string(),
                        stream.hmacs.1.to_string(),
                        stream.backup.get(from).copied().unwrap_or_default().to_string(),
                        stream.reset.to_string(),
                        fallback.map_or(String::new(), |why| why.to_string()),
                    ]);
                }
            }
        }
        rows
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} TCP packets, {} with MPTCP options ({} options), {} TCP connections, {} MPTCP connections",
            self.packets,
            self.mptcp_packets,
            self.mptcp_options,
            self.streams.len(),
            self.connections.len()
        );
        for connection in &self.connections {
            self.connection_text(connection, &mut out);
        }
        out
    }

    fn connection_text(&self, connection: &Connection, out: &mut String) {
        let version = connection.version.map_or_else(|| "?".to_owned(), |v| v.to_string());
        let checksum = match connection.checksum() {
            Some(true) => "with checksums",
            Some(false) => "without checksums",
            None => "checksums unknown",
        };
        let _ = writeln!(out, "\nconnection {}: MPTCPv{version}, {checksum}", connection.index);
        let tokens = connection.sides.each_ref().map(|side| {
            side.token.map_or_else(|| "unknown".to_owned(), |token| format!("{token:08x}"))
        });
        let _ = writeln!(out, "  tokens {} (opener), {} (other)", tokens[0], tokens[1]);
        if let Some(why) = connection.fallback(&self.streams) {
            let _ = writeln!(out, "  plain TCP: {why}");
        }
        if let Some(packet) = connection.fast_close {
            let _ = writeln!(out, "  MP_FASTCLOSE in packet {packet}");
        }
        for (arrow, side) in ["->", "<-"].iter().zip(&connection.sides) {
            let _ = writeln!(
                out,
                "  {arrow} {} octets in {} mappings, {} reinjected, {} duplicate, {} unmapped; \
                 out of order: mean {:.3} ms, longest {:.3} ms{}",
                side.bytes(),
                side.mappings,
                side.reinjected,
                side.duplicate,
                side.unmapped,
                milliseconds(side.ordering.mean()),
                milliseconds(side.ordering.longest),
                if side.fins.is_empty() { "" } else { "; DATA_FIN" }
            );
        }
        let _ = writeln!(
            out,
            "  {:>7} {:<9} {:<46} {:>9} {:>9} {:>8} {:>6} {:>9} {:>5}",
            "subflow",
            "role",
            "ends",
            "-> octets",
            "<- octets",
            "retrans",
            "share",
            "rtt ms",
            "hmac"
        );
        let sent = connection.sides.iter().map(super::Side::bytes).sum();
        for stream in self.subflows(connection) {
            subflow_text(stream, sent, out);
        }
    }
}

/// The row of a subflow; its connection has `sent` octets in both directions.
fn subflow_text(stream: &Stream, sent: u64, out: &mut String) {
    let [a, b] = &stream.halves;
    let (there, back) = if stream.opener == 0 { (a, b) } else { (b, a) };
    let rtt = [a.rtt, b.rtt].into_iter().filter(|r| r.count > 0).max_by_key(|r| r.min);
    let hmac = match stream.hmacs {
        (0, 0) => "-",
        (_, 0) => "ok",
        _ => "WRONG",
    };
    let _ = writeln!(
        out,
        "  {:>7} {:<9} {:<46} {:>9} {:>9} {:>8} {:>5.1}% {:>9} {:>5}{}{}",
        stream.index,
        role_name(stream.role),
        format!("{} > {}", stream.ends[0], stream.ends[1]),
        there.bytes,
        back.bytes,
        a.retransmitted + b.retransmitted,
        share(a.new_data + b.new_data, sent),
        rtt.map_or_else(|| "-".to_owned(), |r| format!("{:.3}", milliseconds(r.min))),
        hmac,
        if stream.backup.contains(&true) { " backup" } else { "" },
        if stream.reset { " reset" } else { "" },
    );
}

fn subflow(stream: &Stream, total: &[u64]) -> Value {
    let halves: Vec<Value> = stream
        .halves
        .iter()
        .enumerate()
        .map(|(from, half)| {
            let side = side_of(stream.opener, from);
            json!({
                "direction": side,
                "packets": half.packets,
                "bytes": half.bytes,
                "retransmitted": half.retransmitted,
                "new_data": half.new_data,
                "duplicate_data": half.duplicate_data,
                "share_percent": share(half.new_data, total.get(side).copied().unwrap_or_default()),
                "rtt_samples": half.rtt.count,
                "rtt_min_ms": (half.rtt.count > 0).then(|| milliseconds(half.rtt.min)),
                "rtt_mean_ms": half.rtt.mean().map(milliseconds),
                "rtt_max_ms": (half.rtt.count > 0).then(|| milliseconds(half.rtt.max)),
                "dss": half.dss,
                "fin": half.fin,
            })
        })
        .collect();
    json!({
        "stream": stream.index,
        "role": role_name(stream.role),
        "opener": stream.opener,
        "ends": stream.ends.map(|end| end.to_string()),
        "first_packet": stream.first_packet,
        "address_ids": stream.ids,
        "backup": stream.backup,
        "hmacs_right": stream.hmacs.0,
        "hmacs_wrong": stream.hmacs.1,
        "complete_handshake": stream.is_whole(),
        "reset": stream.reset,
        "halves": halves,
    })
}

/// A finding as an object.
fn finding(finding: &Finding) -> Value {
    json!({
        "packet": finding.packet,
        "ids": finding.ids,
        "stream": finding.stream,
        "connection": finding.connection,
        "what": finding.what,
    })
}
