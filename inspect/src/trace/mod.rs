//! Segments put together: subflows, the connections they belong to, what goes over them, and what is wrong with it.
//!
//! A trace is handed one segment at a time and keeps what it needs of the past, never the past itself: ranges,
//! mappings not acknowledged yet, and no more data than a mapping has that spans segments.

mod address;
mod check;
mod connection;
mod data;
mod follow;
mod handshake;
mod join;
mod mapping;
mod measure;
mod report;
mod stream;

pub use connection::{Connection, Fallback, Side};
pub use follow::Follow;
pub use report::Report;
pub use stream::{Half, Role, Stream};

use crate::option::{Fault, RawOption, Signal, fault_text, options, reserved, subtype_name};
use crate::packet::{ChecksumState, Packet, RST};
use mpuser_engine::wire::MptcpOption;
use mpuser_engine::wire::mptcp::KIND;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

/// So many findings are kept; what more there are is counted.
const MOST_FINDINGS: usize = 10_000;

/// What a trace is told beforehand.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Keys of connections whose handshake the capture lacks: the initiator's and the other one.
    pub keys: Vec<(u64, u64)>,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The packet's number.
    pub packet: u64,
    /// The requirements concerned, the one broken first: RFC 8684's by the names of this project, TCP's by section.
    pub ids: &'static [&'static str],
    /// The subflow's number.
    pub stream: usize,
    /// The connection's number.
    pub connection: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// Where a segment belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Number of its TCP connection, counted from 0.
    pub stream: usize,
    /// Number of its MPTCP connection, counted from 0.
    pub connection: Option<usize>,
    /// It comes from the end that opened the subflow: 0; from the other: 1.
    pub from: usize,
    /// Sequence number, the SYN being 0.
    pub seq: i64,
    /// Acknowledgement number, likewise.
    pub ack: i64,
    /// Data sequence number of its mapping, the first octet of the connection being 1.
    pub dsn: Option<i64>,
    /// Data ACK, likewise.
    pub data_ack: Option<i64>,
}

/// A trace being read.
#[derive(Default)]
pub struct Trace {
    settings: Settings,
    streams: Vec<Stream>,
    by_address: HashMap<(SocketAddr, SocketAddr), usize>,
    connections: Vec<Connection>,
    by_token: HashMap<u32, Vec<(usize, usize)>>,
    findings: Vec<Finding>,
    /// Findings that are none if the capture has lost packets.
    tentative: Vec<Finding>,
    /// Findings there was no room for.
    more: u64,
    packets: u64,
    mptcp_packets: u64,
    mptcp_options: u64,
    subtypes: [u64; 16],
    /// Wrong TCP checksums by sender; whether they mean anything is decided at the end.
    checksums: BTreeMap<IpAddr, Sums>,
    follow: Option<Follow>,
}

/// What a sender's TCP checksums are like.
#[derive(Default)]
struct Sums {
    good: u64,
    unfilled: u64,
    bad: u64,
    first_bad: Vec<(u64, usize, Option<usize>)>,
}

/// So many packets with wrong checksums are named for each sender.
const NAMED_BAD: usize = 100;

impl Trace {
    /// A trace without any segment.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Puts the octets of a connection in order while they come.
    pub fn follow(&mut self, follow: Follow) {
        self.follow = Some(follow);
    }

    /// What [`Self::follow`] was given, with what it could not write.
    pub const fn followed(&mut self) -> Option<Follow> {
        self.follow.take()
    }

    /// The TCP connections, in the order of their first segments.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The MPTCP connections, likewise.
    #[must_use]
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// Takes in a segment.
    pub fn push(&mut self, packet: &Packet<'_>) -> Placed {
        self.packets += 1;
        let stream = self.stream_of(packet);
        let Some((from, seq, ack)) = self.streams.get_mut(stream).map(|s| s.place(packet)) else {
            return Placed::default();
        };
        let mut placed = Placed { stream, from, seq, ack, ..Placed::default() };
        let signals = self.signals(packet, stream);
        for signal in &signals {
            self.signal(packet, &mut placed, signal);
        }
        if let Some(stream) = self.streams.get_mut(stream) {
            match (signals.is_empty(), packet.payload_len > 0) {
                (false, _) => stream.bare = (0, 0),
                (true, true) if stream.bare.0 == 0 => stream.bare = (1, packet.number),
                (true, true) => stream.bare.0 += 1,
                (true, false) => {}
            }
        }
        self.data(packet, &placed);
        placed.connection = self.streams.get(stream).and_then(|s| s.connection);
        self.checksum(packet, &placed);
        placed
    }

    /// Where octets `seq` to `seq + len` of one end of a stream stand at data level, as far as they are mapped: first
    /// octet on the subflow, how many, relative data sequence number. Mappings are forgotten once they are
    /// acknowledged, so this is asked right after [`Self::push`].
    #[must_use]
    pub fn mapped(&self, placed: &Placed, len: u32) -> Vec<(i64, i64, i64)> {
        let half = self.streams.get(placed.stream).and_then(|s| s.halves.get(placed.from));
        half.map(|h| h.maps.pieces(placed.seq, placed.seq + i64::from(len))).unwrap_or_default()
    }

    /// The MPTCP options of a segment, those without a form reported.
    fn signals(&mut self, packet: &Packet<'_>, stream: usize) -> Vec<Signal> {
        let mut found = Vec::new();
        for raw in options(packet.options, packet.options_len) {
            let there = matches!(raw.fault, None | Some(Fault::NotCaptured));
            if raw.kind == KIND && there {
                self.mptcp_options += 1;
                let subtype = raw.body().first().map(|first| usize::from(first >> 4));
                if let Some(count) = subtype.and_then(|number| self.subtypes.get_mut(number)) {
                    *count += 1;
                }
            }
            if raw.fault == Some(Fault::NotCaptured) {
                continue;
            }
            match raw.signal() {
                Some(signal) => {
                    self.shape(packet, stream, &raw, &signal);
                    found.push(signal);
                }
                None if raw.fault.is_some() => {
                    let what = format!(
                        "option kind {} at octet {} of the options: {}",
                        raw.kind,
                        raw.at,
                        fault_text(&raw)
                    );
                    let ids: &[&str] =
                        if raw.kind == KIND { &["OPT-1", "RFC9293-3.1"] } else { &["RFC9293-3.1"] };
                    self.finding(packet.number, stream, ids, what);
                    self.suspect(packet, stream);
                }
                None => {}
            }
        }
        if !found.is_empty() {
            self.mptcp_packets += 1;
        }
        found
    }

    /// The length and the reserved bits of an option.
    fn shape(&mut self, packet: &Packet<'_>, stream: usize, raw: &RawOption<'_>, signal: &Signal) {
        if let Signal::Malformed(kind) = signal {
            let ids: &[&str] = match kind {
                Some(0) => &["INI-6", "OPT-1"],
                Some(1) if packet.is_syn() => &["JOIN-1", "OPT-1"],
                Some(1) if packet.is_syn_ack() => &["JOIN-5", "OPT-1"],
                Some(1) => &["JOIN-8", "OPT-1"],
                Some(3) => &["ADDR-9", "ADDR-11", "OPT-1"],
                Some(4) => &["ADDR-29", "OPT-1"],
                Some(5) => &["PRIO-3", "OPT-1"],
                Some(6) => &["FB-9", "OPT-1"],
                Some(7) => &["FC-1", "OPT-1"],
                _ => &["OPT-1"],
            };
            // subtypes of experiments and of the future are nobody's fault
            if kind.is_none_or(|number| number <= 8) {
                self.finding(packet.number, stream, ids, fault_text(raw));
                self.suspect(packet, stream);
            }
        }
        if let Some((what, bits)) = reserved(signal, raw.body()) {
            let ids: &[&str] = match signal {
                Signal::V1(MptcpOption::Join(mpuser_engine::wire::MpJoin::Ack { .. })) => {
                    &["OPT-9"]
                }
                Signal::V1(MptcpOption::Join(_)) => &["OPT-8"],
                Signal::V1(MptcpOption::Dss(_)) => &["OPT-10"],
                Signal::V1(MptcpOption::AddAddr(_)) => &["OPT-12"],
                Signal::V1(MptcpOption::TcpRst(_)) => &["OPT-14"],
                _ => &["OPT-1"],
            };
            let name = raw.body().first().map_or("", |first| subtype_name(first >> 4));
            self.finding(
                packet.number,
                stream,
                ids,
                format!("{name}: {what} are {bits:#x}, not 0"),
            );
        }
    }

    fn signal(&mut self, packet: &Packet<'_>, placed: &mut Placed, signal: &Signal) {
        let connection = self.streams.get(placed.stream).and_then(|s| s.connection);
        match signal {
            Signal::V1(MptcpOption::Capable(capable)) => self.capable(packet, placed, capable),
            Signal::V1(MptcpOption::Join(join)) => self.join(packet, placed, join),
            Signal::V1(MptcpOption::Dss(dss)) => self.dss(packet, placed, dss),
            Signal::V1(MptcpOption::AddAddr(add)) => self.add_addr(packet, placed, add),
            Signal::V1(MptcpOption::RemoveAddr(remove)) => self.remove_addr(packet, placed, remove),
            Signal::V1(MptcpOption::FastClose(close)) => self.fast_close(packet, placed, close),
            Signal::V1(MptcpOption::Fail(fail)) => self.fail(packet, placed, fail),
            Signal::V1(MptcpOption::TcpRst(_)) if !packet.has(RST) => {
                let what = "MP_TCPRST on a segment that is no RST".to_owned();
                self.finding(packet.number, placed.stream, &["RST-1"], what);
            }
            Signal::V0(crate::v0::Option0::Prio { .. }) => {
                let version = connection.and_then(|c| self.connections.get(c)).map(|c| c.version);
                if version == Some(Some(1)) {
                    let what = "MP_PRIO with an address ID, which version 1 does not have";
                    self.finding(packet.number, placed.stream, &["PRIO-3"], what.to_owned());
                }
            }
            Signal::V0(crate::v0::Option0::AddAddr { .. }) => {
                let version = connection.and_then(|c| self.connections.get(c)).map(|c| c.version);
                if version == Some(Some(1)) {
                    let what = "ADD_ADDR in the form of version 0, without HMAC";
                    self.finding(packet.number, placed.stream, &["ADDR-9"], what.to_owned());
                }
            }
            // what is malformed has been reported
            Signal::V1(_) | Signal::Malformed(_) => {}
        }
    }

    /// What a side says from here on may have holes that are explained already.
    fn suspect(&mut self, packet: &Packet<'_>, stream: usize) {
        let Some(stream) = self.streams.get_mut(stream) else { return };
        let from = stream.side(packet.src);
        if let Some(half) = stream.halves.get_mut(from) {
            half.suspect = true;
        }
    }

    fn finding(&mut self, packet: u64, stream: usize, ids: &'static [&'static str], what: String) {
        if self.findings.len() >= MOST_FINDINGS {
            self.more += 1;
            return;
        }
        let connection = self.streams.get(stream).and_then(|s| s.connection);
        self.findings.push(Finding { packet, ids, stream, connection, what });
    }

    /// A finding that something is not there which has to be: none if it was sent and not captured.
    fn unless_lost(
        &mut self,
        packet: u64,
        stream: usize,
        ids: &'static [&'static str],
        what: String,
    ) {
        let before = self.findings.len();
        self.finding(packet, stream, ids, what);
        self.tentative.extend(self.findings.drain(before..));
    }

    fn checksum(&mut self, packet: &Packet<'_>, placed: &Placed) {
        let sums = self.checksums.entry(packet.src.ip()).or_default();
        match packet.checksum {
            ChecksumState::Good => sums.good += 1,
            ChecksumState::Unfilled => sums.unfilled += 1,
            ChecksumState::Bad => {
                sums.bad += 1;
                if sums.first_bad.len() < NAMED_BAD {
                    sums.first_bad.push((packet.number, placed.stream, placed.connection));
                }
            }
            ChecksumState::Unknown => {}
        }
    }

    /// The stream a segment belongs to, a new one if need be.
    fn stream_of(&mut self, packet: &Packet<'_>) -> usize {
        let key = if packet.src <= packet.dst {
            (packet.src, packet.dst)
        } else {
            (packet.dst, packet.src)
        };
        if let Some(known) = self.by_address.get(&key) {
            let again = packet.is_syn()
                && self.streams.get(*known).is_some_and(|stream| stream.is_another(packet));
            if !again {
                return *known;
            }
        }
        let index = self.streams.len();
        self.streams.push(Stream::new(index, packet));
        self.by_address.insert(key, index);
        index
    }
}

#[cfg(test)]
mod tests;
