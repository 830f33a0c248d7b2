//! What packets show from the outside: an observer at both ends that knows what the applications write, and nothing
//! of the engine's tables.

use super::app::{STREAM_MAX, stream};
use crate::world::{AtEnd, Side, Watch};
use mpuser_engine::addr::{ConnectionId, SocketAddr, SubflowId};
use mpuser_engine::crypto::Key;
use mpuser_engine::seq::DataSeq;
use mpuser_engine::time::Instant;
use mpuser_engine::wire::mptcp::{Dss, DssMapping, MpCapable, MptcpOption};
use mpuser_engine::wire::tcp::verify_checksum;
use mpuser_engine::wire::{IpHeader, TcpHeader, TcpOptions};
use std::collections::{BTreeMap, VecDeque};

/// The port of the first connection's listener; the next ones have the next.
pub(super) const PORT: u16 = 80;
/// Packets kept for strangers to send again, and to learn four-tuples from.
const KEPT: usize = 64;

/// Octets that fit on a SYN: an answer that acknowledges more is to another SYN.
const SYN_DATA_MAX: u32 = 1 << 16;

/// An end and a four-tuple as it sees it.
type Place = (Side, SocketAddr, SocketAddr);

/// A SYN of the peer: window scale, window, sequence number.
type PeerSyn = (Option<u8>, u64, u32);

/// A segment taken apart.
struct Segment<'a> {
    /// Of the end in question: its own address first.
    tuple: (SocketAddr, SocketAddr),
    header: TcpHeader,
    options: TcpOptions,
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    fn parse(packet: &'a [u8], sent: bool) -> Option<Self> {
        let ip = IpHeader::parse(packet).ok()?;
        let tcp = ip.payload(packet);
        if !verify_checksum(&ip, tcp) {
            return None;
        }
        let (header, len) = TcpHeader::parse(tcp).ok()?;
        let options = TcpOptions::parse(tcp.get(20..len)?);
        let src = SocketAddr::new(ip.src, header.src_port);
        let dst = SocketAddr::new(ip.dst, header.dst_port);
        let tuple = if sent { (src, dst) } else { (dst, src) };
        Some(Self { tuple, header, options, payload: tcp.get(len..)? })
    }

    fn capable(&self) -> Option<MpCapable> {
        self.options.signals.iter().find_map(|option| match option {
            MptcpOption::Capable(capable) => Some(capable),
            _ => None,
        })
    }
}

/// Ranges of offsets, joined where they touch.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, mut start: u64, mut end: u64) {
        while let Some((s, e)) = self.0.range(..=end).next_back().map(|(s, e)| (*s, *e)) {
            if e < start {
                break;
            }
            (start, end) = (start.min(s), end.max(e));
            self.0.remove(&s);
        }
        self.0.insert(start, end);
    }

    /// The first offset that is missing.
    fn edge(&self) -> u64 {
        self.0.first_key_value().filter(|(start, _)| **start == 0).map_or(0, |(_, end)| *end)
    }
}

/// One direction's sender, as its own packets show it.
#[derive(Debug, Default)]
struct Sender {
    /// Which connection of the run it is, once known.
    number: Option<usize>,
    /// DSN of its first octet, and of the peer's.
    base: Option<DataSeq>,
    peer_base: Option<DataSeq>,
    /// It has said which key of the peer it goes by.
    settled: bool,
    /// Highest Data ACK it sent, relative to the peer's first octet, and the right edge of its window.
    acked: u64,
    edge: u64,
    /// What came to it: ranges of the peer's octets, its DATA_FIN counted.
    arrived: Ranges,
    /// How far the peer lets it send.
    allowed: u64,
    /// Highest Data ACK that came to it.
    heard: u64,
    /// It went on as plain TCP.
    plain: bool,
    /// Octets that went with the SYN, before those with numbers.
    ahead: u64,
}

/// A subflow, as one end sees it.
#[derive(Debug, Default)]
struct Flow {
    isn: Option<u32>,
    /// Window scales: sent, and seen from the peer.
    scales: (Option<u8>, Option<u8>),
    /// By offset in the subflow: length and offset in the connection.
    mappings: BTreeMap<u64, (u64, u64)>,
    /// The infinite mapping: from which offset on, and what that is in the connection.
    infinite: Option<(u64, u64)>,
    /// The window in the peer's SYN, and its sequence number.
    first_window: u64,
    peer_isn: Option<u32>,
    /// Octets of a SYN that were taken, sent and received: they are in no sequence space of MPTCP (RFC 8684 B.2).
    early: u64,
    taken: u64,
    /// Right edge of the window in the subflow's own numbers, since it is plain TCP.
    edge: u64,
}

impl Flow {
    /// Where an octet of the subflow stands in the connection, how many follow under the same mapping, and whether
    /// that mapping is without end.
    fn at(&self, offset: u64) -> Option<(u64, u64, bool)> {
        let (from, (len, data)) =
            self.mappings.range(..=offset).next_back().unwrap_or((&0, &(0, 0)));
        let next = self.mappings.range(offset + 1..).next().map_or(u64::MAX, |(next, _)| *next);
        if offset < from + len {
            return Some((data + offset - from, next.min(from + len) - offset, false));
        }
        let (from, data) = self.infinite.filter(|(from, _)| *from <= offset)?;
        Some((data + offset - from, next - offset, true))
    }
}

/// The observer.
#[derive(Debug, Default)]
pub(super) struct Wire {
    senders: BTreeMap<(Side, ConnectionId), Sender>,
    flows: BTreeMap<(Side, ConnectionId, SubflowId), Flow>,
    owners: BTreeMap<Place, (ConnectionId, SubflowId)>,
    /// SYNs that came before the end said anything: scale, window and sequence number.
    syns: BTreeMap<Place, PeerSyn>,
    /// SYN/ACKs nobody kept a socket for: sequence number and scale.
    stateless: BTreeMap<Place, (u32, Option<u8>)>,
    /// Data went without any option: a fallback has to be told.
    bare: Vec<((Side, ConnectionId), String)>,
    /// What came in, the newest last.
    pub(super) recent: VecDeque<(Side, usize, Vec<u8>)>,
    /// Packets sent, all and since the applications last got on.
    pub(super) sent: u64,
    pub(super) idle: u64,
    /// The first thing that was wrong.
    pub(super) violation: Option<String>,
    /// The last packets, in words.
    pub(super) trace: Option<VecDeque<String>>,
}

impl Wire {
    /// Which connection of the run it is: the server's port says so.
    fn name(&mut self, (side, id): (Side, ConnectionId), segment: &Segment<'_>) {
        let server = if side == Side::Server { segment.tuple.0 } else { segment.tuple.1 };
        let number = usize::from(server.port().wrapping_sub(PORT));
        self.senders.entry((side, id)).or_default().number = Some(number);
    }

    /// This end goes on as plain TCP.
    pub(super) fn on_fallback(&mut self, side: Side, id: ConnectionId) {
        self.senders.entry((side, id)).or_default().plain = true;
        self.bare.retain(|(at, _)| *at != (side, id));
    }

    /// All events of this moment have been told.
    pub(super) fn settle(&mut self) {
        if let Some((at, what)) = self.bare.pop() {
            self.complain(at, what);
        }
    }

    fn complain(&mut self, at: (Side, ConnectionId), what: String) {
        let (side, id) = at;
        let number = self.senders.get(&at).and_then(|sender| sender.number);
        let name = number.map_or_else(|| format!("{id:?}"), |number| format!("{number}"));
        self.violation
            .get_or_insert_with(|| format!("on the wire: connection {name}, {side:?}: {what}"));
    }

    fn note(&mut self, now: Instant, what: &str, packet: AtEnd<'_>, segment: Option<&Segment<'_>>) {
        let Some(trace) = &mut self.trace else { return };
        let text = segment.map_or_else(
            || format!("{} octets", packet.bytes.len()),
            |s| {
                let (h, o) = (&s.header, &s.options);
                let signals: Vec<String> = o.signals.iter().map(|one| one.to_string()).collect();
                let dss = o.dss.map(|dss| MptcpOption::Dss(dss).to_string()).unwrap_or_default();
                format!(
                    "{}<>{} {:?} seq {} ack {} win {} len {} {dss} {}",
                    s.tuple.0,
                    s.tuple.1,
                    h.flags,
                    h.seq.0,
                    h.ack.map_or(0, |ack| ack.0),
                    h.window,
                    s.payload.len(),
                    signals.join(" ")
                )
            },
        );
        let at = now.as_micros() as f64 / 1e6;
        trace.push_back(format!("{at:12.6} {:?} {what} path {} {text}", packet.side, packet.path));
        if trace.len() > 100_000 {
            trace.pop_front();
        }
    }

    fn on_sent(&mut self, at: (Side, ConnectionId), subflow: SubflowId, segment: &Segment<'_>) {
        let (side, id) = at;
        let known = self.owners.insert((side, segment.tuple.0, segment.tuple.1), (id, subflow));
        if known != Some((id, subflow)) && subflow == SubflowId(0) {
            self.name(at, segment);
        }
        let syn = self.syns.remove(&(side, segment.tuple.0, segment.tuple.1));
        let flow = self.flows.entry((side, id, subflow)).or_default();
        if let Some((scale, window, isn)) = syn.filter(|_| flow.isn.is_none()) {
            (flow.scales.1, flow.first_window, flow.peer_isn) = (scale, window, Some(isn));
        }
        if segment.header.flags.syn {
            flow.isn = Some(segment.header.seq.0);
            flow.scales.0 = segment.options.window_scale;
            if let (Some(ack), Some(isn)) = (segment.header.ack, flow.peer_isn) {
                flow.taken = u64::from(ack.0.wrapping_sub(isn).wrapping_sub(1));
            }
        } else if flow.isn.is_none()
            && let Some((isn, scale)) =
                self.stateless.remove(&(side, segment.tuple.0, segment.tuple.1))
        {
            (flow.isn, flow.scales.0) = (Some(isn), scale);
        }
        let sender = self.senders.entry(at).or_default();
        sender.allowed = sender.allowed.max(flow.first_window);
        if let Some(key) = segment.capable().and_then(sender_key) {
            sender.base = Some(key.facts().idsn + 1);
        }
        if let Some(key) = segment.capable().and_then(receiver_key) {
            (sender.peer_base, sender.settled) = (Some(key.facts().idsn + 1), true);
        }
        if sender.plain {
            self.check_plain(at, segment);
        }
        self.check_data_ack(at, subflow, segment);
        if !segment.payload.is_empty() && !segment.header.flags.syn {
            self.check_data(at, subflow, segment);
        }
    }

    /// RFC 8684 3.7 [FB-21]: after a fallback nothing but an infinite mapping, and what goes with a RST.
    fn check_plain(&mut self, at: (Side, ConnectionId), segment: &Segment<'_>) {
        if segment.header.flags.rst {
            return;
        }
        let infinite = |dss: Dss| dss.mapping.is_some_and(|mapping| mapping.is_infinite());
        let fail = |option: MptcpOption| matches!(option, MptcpOption::Fail(_));
        let late = segment.options.dss.is_some_and(|dss| !infinite(dss))
            || segment.options.signals.iter().any(|option| !fail(option));
        if late {
            let options = (segment.options.dss, segment.options.signals);
            self.complain(at, format!("an option after the fallback: {options:?}"));
        }
    }

    /// Data ACKs are monotone and cover nothing that did not come; the right edge of the window does not retreat
    /// (RFC 8684 3.3.4).
    fn check_data_ack(
        &mut self,
        at: (Side, ConnectionId),
        subflow: SubflowId,
        segment: &Segment<'_>,
    ) {
        let failing = segment.options.signals.iter().any(|o| matches!(o, MptcpOption::Fail(_)));
        let plain = self.senders.get(&at).is_some_and(|sender| sender.plain);
        if plain && let Some(what) = self.plain_edge(at, subflow, segment) {
            return self.complain(at, what);
        }
        let Some(ack) = segment.options.dss.and_then(|dss| dss.data_ack) else { return };
        let Some(sender) = self.senders.get_mut(&at) else { return };
        let Some(base) = sender.peer_base else { return };
        let ack = ack.expand(base + sender.acked).since(base);
        let arrived = sender.arrived.edge();
        if ack < 0 || ack as u64 > arrived {
            let what = format!("a Data ACK of {ack}, but {arrived} octets came in order");
            return self.complain(at, what);
        }
        let ack = ack as u64;
        let before = sender.acked;
        sender.acked = before.max(ack);
        if ack < before && !failing {
            return self.complain(at, format!("a Data ACK of {ack} after one of {before}"));
        }
        let scales = self.flows.get(&(at.0, at.1, subflow)).map(|flow| flow.scales);
        // the window of plain TCP begins at its own acknowledgement
        let counts = !segment.header.flags.syn && !plain;
        let Some((own, peers)) = scales.filter(|_| counts) else { return };
        let scale = own.filter(|_| peers.is_some()).unwrap_or(0).min(14);
        let edge = ack + (u64::from(segment.header.window) << scale);
        let Some(sender) = self.senders.get_mut(&at) else { return };
        let before = sender.edge;
        sender.edge = before.max(edge);
        // a window is told in units, rounded up by less than one, or down; without a scale there may be no room for it
        let clipped = segment.header.window == u16::MAX;
        if edge + (2 << scale) <= before + 1 && !clipped && !failing && !segment.header.flags.rst {
            self.complain(at, format!("the window's right edge goes back from {before} to {edge}"));
        }
    }

    /// The window's right edge at the level of plain TCP does not go back (RFC 9293 3.8.6); what was said.
    fn plain_edge(
        &mut self,
        at: (Side, ConnectionId),
        subflow: SubflowId,
        segment: &Segment<'_>,
    ) -> Option<String> {
        let flow = self.flows.get_mut(&(at.0, at.1, subflow))?;
        let (ack, isn) = (segment.header.ack?, flow.peer_isn?);
        if segment.header.flags.syn || segment.header.flags.rst {
            return None;
        }
        let scale = flow.scales.0.filter(|_| flow.scales.1.is_some()).unwrap_or(0).min(14);
        let ack = u64::from(ack.0.wrapping_sub(isn));
        let edge = ack + (u64::from(segment.header.window) << scale);
        let before = flow.edge;
        flow.edge = before.max(edge);
        let clipped = segment.header.window == u16::MAX;
        (edge + (2 << scale) <= before + 1 && !clipped)
            .then(|| format!("the plain window's right edge goes back from {before} to {edge}"))
    }

    /// Octets are those the application wrote at the places the mappings say, and the peer's window has room.
    fn check_data(&mut self, at: (Side, ConnectionId), subflow: SubflowId, segment: &Segment<'_>) {
        let Some(flow) = self.flows.get_mut(&(at.0, at.1, subflow)) else { return };
        let (Some(isn), Some(sender)) = (flow.isn, self.senders.get_mut(&at)) else { return };
        let (Some(number), plain) = (sender.number, sender.plain) else { return };
        let (base, allowed) = (sender.base, sender.allowed);
        let early = flow.early;
        let start = u64::from(segment.header.seq.0.wrapping_sub(isn).wrapping_sub(1));
        let Some(start) = start.checked_sub(early) else { return };
        if subflow == SubflowId(0) {
            sender.ahead = early;
        }
        let ahead = sender.ahead;
        let (mut problem, mut bare) = (None, false);
        match announced(segment, base) {
            Some((from, 0, data)) => flow.infinite = Some((from, data)),
            Some((from, len, data)) => {
                let (before, now) = (flow.mappings.insert(from, (len, data)), (len, data));
                if let Some(before) = before.filter(|before| *before != now) {
                    problem = Some(format!("the mapping at {from} is {now:?} and was {before:?}"));
                }
            }
            None => {}
        }
        let octets = stream(number, at.0);
        let end = start + segment.payload.len() as u64;
        let mut offset = start;
        while offset < end && problem.is_none() {
            let from = (offset - start) as usize;
            let (data, run, free) = match flow.at(offset) {
                Some(found) => found,
                None if plain || base.is_none() => (offset, u64::MAX, true),
                None => {
                    bare = segment.options.dss.is_none();
                    problem = Some(format!("octet {offset} of the subflow has no mapping"));
                    break;
                }
            };
            let run = run.min(end - offset);
            let sent = &segment.payload[from..from + run as usize];
            let place = (data + ahead) as usize;
            if octets.get(place..place + run as usize) != Some(sent) {
                problem = Some(format!("octets {data}..{} are sent as others", data + run));
            } else if !free && data + run > allowed {
                let end = data + run;
                problem = Some(format!("octets to {end} are sent, the window ends at {allowed}"));
            }
            offset += run;
        }
        match problem {
            Some(problem) if bare => self.bare.push((at, problem)),
            Some(problem) => self.complain(at, problem),
            None => {}
        }
    }

    fn on_arrival(&mut self, side: Side, segment: &Segment<'_>) {
        let key = (side, segment.tuple.0, segment.tuple.1);
        let window = u64::from(segment.header.window);
        if segment.header.flags.syn {
            // perhaps of a subflow to come
            let isn = segment.header.seq.0;
            self.syns.insert(key, (segment.options.window_scale, window, isn));
        }
        let Some((id, subflow)) = self.owners.get(&key).copied() else { return };
        let at = (side, id);
        let Some(flow) = self.flows.get_mut(&(side, id, subflow)) else { return };
        let Some(sender) = self.senders.get_mut(&at) else { return };
        if segment.header.flags.syn
            && let (Some(ack), Some(isn)) = (segment.header.ack, flow.isn)
            && ack.0.wrapping_sub(isn).wrapping_sub(1) > SYN_DATA_MAX
        {
            // answers a forged SYN of the same four-tuple
            return;
        }
        if let Some(key) = segment.capable().and_then(sender_key) {
            // what an earlier SYN was answered counts no more, nor does an answer after the handshake
            let base = key.facts().idsn + 1;
            if segment.header.flags.syn && !sender.settled {
                sender.peer_base = Some(base);
            }
            sender.peer_base.get_or_insert(base);
        }
        let own_base = sender.base;
        if segment.header.flags.syn && flow.peer_isn.is_some() {
            return;
        }
        if segment.header.flags.syn {
            if let (Some(ack), Some(isn)) = (segment.header.ack, flow.isn) {
                flow.early = u64::from(ack.0.wrapping_sub(isn).wrapping_sub(1));
            }
            (flow.scales.1, flow.first_window) = (segment.options.window_scale, window);
            flow.peer_isn = Some(segment.header.seq.0);
            sender.allowed = sender.allowed.max(window);
            return;
        }
        let scale = flow.scales.1.filter(|_| flow.scales.0.is_some()).unwrap_or(0).min(14);
        if let Some(ack) = segment.options.dss.and_then(|dss| dss.data_ack)
            && let Some(own_base) = own_base
        {
            let ack = ack.expand(own_base + sender.heard).since(own_base);
            if (0..=STREAM_MAX as i64 + 1).contains(&ack) {
                sender.heard = sender.heard.max(ack as u64);
            }
        }
        sender.allowed = sender.allowed.max(sender.heard + (window << scale));
        arrived(flow, sender, segment);
    }
}

const fn sender_key(capable: MpCapable) -> Option<Key> {
    match capable {
        MpCapable::Syn { .. } => None,
        MpCapable::SynAck { sender_key, .. }
        | MpCapable::Ack { sender_key, .. }
        | MpCapable::AckData { sender_key, .. } => Some(sender_key),
    }
}

/// Of the third ACK: it names the key of the peer, whatever else was answered.
const fn receiver_key(capable: MpCapable) -> Option<Key> {
    match capable {
        MpCapable::Syn { .. } | MpCapable::SynAck { .. } => None,
        MpCapable::Ack { receiver_key, .. } | MpCapable::AckData { receiver_key, .. } => {
            Some(receiver_key)
        }
    }
}

/// Notes which octets of the connection came.
fn arrived(flow: &Flow, sender: &mut Sender, segment: &Segment<'_>) {
    let base = sender.peer_base;
    let silent = segment.options.dss.is_none() && segment.options.signals.is_empty();
    let start = flow.peer_isn.map(|isn| {
        let start = u64::from(segment.header.seq.0.wrapping_sub(isn).wrapping_sub(1));
        start.saturating_sub(flow.taken)
    });
    if silent && let Some(start) = start {
        // to a peer that fell back it is the octet of that number, and its FIN the end
        let len = segment.payload.len() as u64 + u64::from(segment.header.flags.fin);
        if len > 0 && start <= STREAM_MAX as u64 {
            sender.arrived.add(start, start + len);
        }
    }
    if let Some((from, len, data)) = announced(segment, base)
        // an infinite mapping may begin before the segment that has it
        && let (len, data) = match start {
            Some(start) if len == 0 => {
                (segment.payload.len() as u64, data + start.saturating_sub(from))
            }
            _ => (len, data),
        }
        && data <= STREAM_MAX as u64
        && len > 0
    {
        sender.arrived.add(data, data + len);
    }
    if let Some(dss) = segment.options.dss
        && let (Some(mapping), Some(base), true) = (dss.mapping, base, dss.data_fin)
    {
        let data = mapping.data_seq.expand(base).since(base);
        if (0..=STREAM_MAX as i64).contains(&data) {
            sender.arrived.add(data as u64, data as u64 + u64::from(mapping.data_len));
        }
    }
}

/// Mappings of payload a segment announces: where in the subflow, how long, where in the connection.
fn announced(segment: &Segment<'_>, base: Option<DataSeq>) -> Option<(u64, u64, u64)> {
    if let Some(MpCapable::AckData { data_len, .. }) = segment.capable() {
        return Some((0, u64::from(data_len), 0));
    }
    let dss = segment.options.dss?;
    let DssMapping { data_seq, subflow_seq, data_len, .. } = dss.mapping?;
    let start = u64::from(subflow_seq.0.checked_sub(1)?);
    let base = base?;
    let data = data_seq.expand(base).since(base);
    let len = u64::from(data_len).checked_sub(u64::from(dss.data_fin))?;
    (data >= 0).then_some((start, len, data as u64))
}

impl Watch for Wire {
    fn sent(&mut self, now: Instant, packet: AtEnd<'_>) {
        self.sent += 1;
        self.idle += 1;
        let segment = Segment::parse(packet.bytes, true);
        self.note(now, "sends on", packet, segment.as_ref());
        let Some(segment) = segment else {
            return self.complain((packet.side, ConnectionId(0)), "sends no TCP".to_owned());
        };
        if let Some((id, subflow)) = packet.owner {
            self.on_sent((packet.side, id), subflow, &segment);
        } else if segment.header.flags.syn {
            let key = (packet.side, segment.tuple.0, segment.tuple.1);
            self.stateless.insert(key, (segment.header.seq.0, segment.options.window_scale));
        }
    }

    fn arrives(&mut self, now: Instant, packet: AtEnd<'_>) {
        let segment = Segment::parse(packet.bytes, false);
        self.note(now, "hears on", packet, segment.as_ref());
        if let Some(segment) = segment {
            self.on_arrival(packet.side, &segment);
        }
        if self.recent.len() >= KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back((packet.side, packet.path, packet.bytes.to_vec()));
    }
}
