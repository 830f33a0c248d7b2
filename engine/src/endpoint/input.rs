//! A packet comes in: checked, decoded, and handed to the connection it belongs to.

use super::joins::join_syn;
use super::{Endpoint, LocalAddress};
use crate::addr::{ConnectionId, FourTuple, InterfaceId, IpAddr, Ipv4Addr, SocketAddr, SubflowId};
use crate::error::ResetReason;
use crate::mptcp::connection::Predicted;
use crate::mptcp::subflow::Outline;
use crate::tcp::{Segment, SegmentOptions};
use crate::time::Instant;
use crate::wire::MpTcpRst;
use crate::wire::ip::protocol;
use crate::wire::tcp::{HEADER_LEN, verify_checksum};
use crate::wire::{
    Beginning, Behind, IcmpError, IcmpKind, IpHeader, OptionBytes, TcpHeader, TcpOptions,
};
use bytes::{Buf, Bytes};

/// The way of a segment through the endpoint.
#[derive(Debug)]
enum Way {
    /// It was predicted.
    Short { id: ConnectionId, index: usize, predicted: Predicted },
    /// It has to be looked at.
    Long { owner: Option<(ConnectionId, SubflowId)>, options: OptionBytes },
}

/// A segment that no subflow has, and where it came.
#[derive(Clone, Copy)]
pub(super) struct Stranger<'a> {
    pub(super) local: &'a LocalAddress,
    pub(super) tuple: FourTuple,
    pub(super) segment: &'a Segment,
    pub(super) options: &'a TcpOptions,
}

impl Endpoint {
    /// Takes in one IP packet. Whatever is wrong with it is counted and otherwise ignored.
    pub fn handle_packet(&mut self, now: Instant, interface: InterfaceId, packet: Bytes) {
        self.handle_received(now, interface, packet, false);
    }

    /// As [`Self::handle_packet`]. `verified`: a device has found the TCP checksum right, and the field may hold anything.
    /// Then the packet may be longer than the link's MTU: segments with equal options, merged on the way.
    pub fn handle_received(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: Bytes,
        verified: bool,
    ) {
        if let Err(packet) = self.take_in_lane(now, interface, packet, verified) {
            self.handle_apart(now, interface, packet, verified);
        }
    }

    /// Takes in a packet that is in no lane, part by part.
    #[inline(never)]
    fn handle_apart(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: Bytes,
        verified: bool,
    ) {
        let Ok(ip) = IpHeader::parse(&packet) else {
            self.counters.ip_in_errors += 1;
            return;
        };
        let Some(local) = self.addressee(interface, &ip) else { return };
        match ip.protocol {
            protocol::TCP => self.handle_tcp(now, &local, &ip, packet, verified),
            protocol::ICMP | protocol::ICMPV6 => self.handle_icmp(now, &ip, &packet),
            _ => self.counters.ip_in_errors += 1,
        }
    }

    /// Takes in a packet of a flow that carries data, if it is the one that was predicted; otherwise it comes back, and
    /// nothing has happened. Its addresses need no looking up, and only what changes from packet to packet is read.
    #[inline(always)]
    fn take_in_lane(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        mut packet: Bytes,
        verified: bool,
    ) -> Result<(), Bytes> {
        let Some(beginning) = Beginning::of(&packet) else { return Err(packet) };
        let Some((id, subflow)) = self.demux.lane(interface, &beginning) else {
            return Err(packet);
        };
        let Some(entry) = self.connections.get_mut(&id) else { return Err(packet) };
        let connection = &mut entry.connection;
        let Some(index) = connection.subflow_index(subflow) else { return Err(packet) };
        let Some(Behind { header, options, payload }) = beginning.behind(&packet) else {
            return Err(packet);
        };
        // by reference: what is moved right after it was written waits for the memory
        let header = &TcpHeader::of(header);
        let outline = Outline { header, options, len: payload.len() };
        if !beginning.is_sound(&packet, payload.end, verified) {
            return Err(packet);
        }
        let predicted = connection.predicted(now, index, &outline, &mut self.counters);
        let Some(predicted) = &predicted else { return Err(packet) };
        packet.truncate(payload.end);
        packet.advance(payload.start);
        self.counters.tcp_in_segs += 1;
        connection.on_predicted(now, index, predicted, header, &mut packet, &mut self.counters);
        let begins = entry.begins_to_have_events();
        self.note_taken(id, begins);
        Ok(())
    }

    /// The connection has taken in a segment the short way.
    #[inline(always)]
    fn note_taken(&mut self, id: ConnectionId, begins_to_have_events: bool) {
        if begins_to_have_events {
            self.with_events.push_back(id);
        }
        self.schedule.activate(id);
    }

    /// Takes in a TCP packet whose payload lies apart from its headers and whose checksum a device has found right, as
    /// devices with receive offload hand them over. `headers` are those of IP and TCP and nothing behind them.
    pub fn handle_verified(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        headers: &[u8],
        payload: Bytes,
    ) {
        let total = headers.len() + payload.len();
        let ip = IpHeader::parse_beginning(headers).ok();
        let Some(ip) = ip.filter(|ip| ip.total_len == total && ip.protocol == protocol::TCP) else {
            self.counters.ip_in_errors += 1;
            return;
        };
        let Some(local) = self.addressee(interface, &ip) else { return };
        let bytes = headers.get(ip.header_len..).unwrap_or_default();
        let parsed = TcpHeader::parse(bytes).ok().filter(|(_, len)| *len == bytes.len());
        let Some((header, header_len)) = parsed else {
            self.counters.tcp_in_errors += 1;
            return;
        };
        let options = bytes.get(HEADER_LEN..header_len).unwrap_or(&[]);
        let tuple = tuple(&ip, &header);
        let way = self.way(now, &tuple, &Outline { header: &header, options, len: payload.len() });
        self.handle_segment(now, &local, tuple, &header, &way, payload);
    }

    /// The address of this end a packet is for, if it is for one and comes from somebody who can be answered.
    fn addressee(&mut self, interface: InterfaceId, ip: &IpHeader) -> Option<LocalAddress> {
        // What a kernel says to everybody on a link (its groups, its search for routers) is no error, and not for us.
        if ip.dst.is_multicast() && ip.protocol != protocol::TCP {
            return None;
        }
        let local = self.addresses.get(ip.dst).or_else(|| self.stand_in(interface, ip.dst));
        // RFC 9293 3.9.2.3 [MUST-57]: nothing of what follows would reach anybody (T23).
        if local.is_none() || is_no_host(ip.src) || ip.src == ip.dst {
            self.counters.ip_in_errors += 1;
            return None;
        }
        // Answers leave the way the question came, whichever device the address was added for.
        Some(LocalAddress { interface, ..local? })
    }

    fn handle_tcp(
        &mut self,
        now: Instant,
        local: &LocalAddress,
        ip: &IpHeader,
        mut packet: Bytes,
        verified: bool,
    ) {
        let bytes = ip.payload(&packet);
        let parsed = TcpHeader::parse(bytes).ok();
        let parsed = parsed.filter(|_| verified || verify_checksum(ip, bytes));
        let Some((header, header_len)) = parsed else {
            self.counters.tcp_in_errors += 1;
            return;
        };
        let (options, payload) = bytes.split_at_checked(header_len).unwrap_or((bytes, &[]));
        let options = options.get(HEADER_LEN..).unwrap_or(&[]);
        let tuple = tuple(ip, &header);
        let way = self.way(now, &tuple, &Outline { header: &header, options, len: payload.len() });
        if matches!(way, Way::Short { .. })
            && let Some(beginning) = Beginning::of(&packet)
        {
            self.demux.open_lane(local.interface, beginning);
        }
        // Shortened in place: one more reference would have to be counted, up and down.
        packet.truncate(ip.total_len);
        packet.advance((ip.header_len + header_len).min(packet.len()));
        self.handle_segment(now, local, tuple, &header, &way, packet);
    }

    /// Which way a segment with sound checksums goes.
    fn way(&mut self, now: Instant, tuple: &FourTuple, outline: &Outline<'_>) -> Way {
        let owner = self.demux.find(tuple);
        owner
            .and_then(|(id, subflow)| {
                let connection = &mut self.connections.get_mut(&id)?.connection;
                let index = connection.subflow_index(subflow)?;
                let predicted = connection.predicted(now, index, outline, &mut self.counters)?;
                Some(Way::Short { id, index, predicted })
            })
            // Copied only here: it would cost a good part of what the short way saves.
            .unwrap_or_else(|| Way::Long { owner, options: OptionBytes::of(outline.options) })
    }

    fn handle_segment(
        &mut self,
        now: Instant,
        local: &LocalAddress,
        tuple: FourTuple,
        header: &TcpHeader,
        way: &Way,
        payload: Bytes,
    ) {
        self.counters.tcp_in_segs += 1;
        let (owner, bytes) = match way {
            Way::Short { id, index, predicted } => {
                return self.take_predicted(now, (*id, *index), predicted, header, payload);
            }
            Way::Long { owner, options } => (*owner, options),
        };
        let options = &TcpOptions::parse(bytes.as_slice());
        let segment = segment(header, options, payload);
        if let Some((id, subflow)) = owner
            && let Some(entry) = self.connections.get_mut(&id)
            && let Some(index) = entry.connection.subflow_index(subflow)
        {
            let connection = &mut entry.connection;
            let reopens = connection.reopens(index, &segment)
                && (self.listeners.find(tuple.local).is_some()
                    || self.interceptors.on(local.interface));
            if !reopens {
                let regular =
                    connection.on_segment(now, index, &segment, options, &mut self.counters);
                let predicting = self.predicting && regular;
                connection.predict(subflow, predicting, &segment, options, bytes);
                return self.serve(now, id);
            }
            connection.end_time_wait(now, index);
            self.serve(now, id);
        }
        self.handle_unknown(now, &Stranger { local, tuple, segment: &segment, options });
    }

    /// Takes a segment the short way.
    fn take_predicted(
        &mut self,
        now: Instant,
        (id, index): (ConnectionId, usize),
        predicted: &Predicted,
        header: &TcpHeader,
        mut payload: Bytes,
    ) {
        let Some(entry) = self.connections.get_mut(&id) else { return };
        let counters = &mut self.counters;
        entry.connection.on_predicted(now, index, predicted, header, &mut payload, counters);
        let begins = entry.begins_to_have_events();
        self.note_taken(id, begins);
    }

    /// No subflow has these addresses: a join, a new connection, or a mistake.
    fn handle_unknown(&mut self, now: Instant, stranger: &Stranger<'_>) {
        let Stranger { tuple, segment, options, .. } = *stranger;
        let is_syn = segment.flags.syn && segment.ack.is_none() && !segment.flags.rst;
        if is_syn && let Some(join) = join_syn(options) {
            // [JOIN-17]: by token, whatever the port.
            self.counters.mp_join_syn_rx += 1;
            self.counters.mp_join_syn_backup_rx += u64::from(join.backup);
            if let Err(reason) = self.accept_join(now, stranger, &join) {
                self.reply_reset(now, stranger, reason);
            }
            return;
        }
        if is_syn && (self.accept_connection(now, stranger) || self.hold(stranger)) {
            return;
        }
        if segment.flags.rst {
            self.withdraw_request(stranger);
        }
        if self.accept_waiting_join(now, stranger) || self.accept_remembered(now, stranger) {
            return;
        }
        self.counters.no_socket += 1;
        // A port announced for joins takes nothing else (K42).
        let announced = self.pm_endpoints.of_port(tuple.local.ip(), tuple.local.port());
        let for_joins = is_syn && announced.is_some();
        self.counters.mp_capable_endp_attempt += u64::from(for_joins);
        let prohibited = MpTcpRst::lasting(ResetReason::AdministrativelyProhibited);
        let reason = for_joins.then_some(prohibited);
        self.reply_reset(now, stranger, reason);
    }

    pub(super) fn reply_reset(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        reason: Option<MpTcpRst>,
    ) {
        let Stranger { local, tuple, segment, .. } = *stranger;
        if !self.stateless.reset(now, &mut self.rng, local, tuple, segment, reason) {
            self.counters.stateless_drop += 1;
        }
    }

    fn handle_icmp(&mut self, now: Instant, ip: &IpHeader, packet: &Bytes) {
        let Ok(error) = IcmpError::parse(ip, ip.payload(packet)) else {
            self.counters.ip_in_errors += 1;
            return;
        };
        let Some((id, subflow)) = self.demux.get(&error.tuple) else { return };
        let Some(entry) = self.connections.get_mut(&id) else { return };
        let connection = &mut entry.connection;
        let Some(index) = connection.subflow_index(subflow) else { return };
        match error.kind {
            IcmpKind::FragmentationNeeded { mtu } => {
                // Every IPv6 link takes 1 280 octets (RFC 8201 4). With IPv4 less than 552 is an attack rather than a link,
                // as Linux sees it, and so is 0 of an old router (RFC 1191 5).
                let (headers, least) = if ip.src.is_ipv4() { (40, 552) } else { (60, 1_280) };
                let mss = mtu.max(least) - headers;
                connection.on_path_mtu(now, index, mss, error.seq);
            }
            IcmpKind::Unreachable { code: _ } => {
                connection.on_unreachable(now, index, error.seq);
            }
        }
        self.serve(now, id);
    }
}

/// No single host has this address.
pub(super) fn is_no_host(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.is_unspecified() || address.is_multicast() || broadcast
}

const fn tuple(ip: &IpHeader, header: &TcpHeader) -> FourTuple {
    FourTuple {
        local: SocketAddr::new(ip.dst, header.dst_port),
        remote: SocketAddr::new(ip.src, header.src_port),
    }
}

/// The urgent pointer is not looked at: what it points to stands in the stream like everything else [DSS-11].
fn segment(header: &TcpHeader, options: &TcpOptions, payload: Bytes) -> Segment {
    Segment {
        seq: header.seq,
        ack: header.ack,
        flags: header.flags,
        window: header.window,
        options: SegmentOptions {
            mss: options.mss,
            window_scale: options.window_scale,
            sack_permitted: options.sack_permitted,
            sack: options.sack,
            timestamps: options.timestamps,
            fast_open: options.fast_open,
        },
        payload,
        // [OPT-4] [ADDR-18]: any option but a bare DSS; a DSS that maps something without payload is a DATA_FIN.
        carries_signal: !options.signals.is_empty()
            || options.dss.is_some_and(|dss| dss.mapping.is_some()),
    }
}
