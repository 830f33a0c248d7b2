//! The peer: flows and the data level of one connection, what it heard, and the answers that keep a handshake going.

use super::application;
use super::setup::Setup;
use mpuser_engine::Transmit;
use mpuser_engine::addr::{AddressId, SocketAddr};
use mpuser_engine::crypto::Key;
use mpuser_engine::seq::DataSeq;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{CapableFlags, Dss, MpCapable, MpJoin, MptcpOption};
use mpuser_sim::conform::data_level::{DataLevel, KEY};
use mpuser_sim::conform::packet::Packet;
use mpuser_sim::conform::segment::{Flow, Seg, seg};
use mpuser_sim::conform::target::{PORT, probe_address};

/// Flows at once; further SYNs of the endpoint stay without an answer.
const FLOWS: usize = 8;

/// Octet number `at` of what the peer sends.
pub(super) const fn octet(at: u64) -> u8 {
    (at ^ at >> 7 ^ 0xc3) as u8
}

/// Where the endpoint under test finds the peer.
pub(super) fn remote(setup: &Setup, index: u8) -> SocketAddr {
    SocketAddr::new(probe_address(index, setup.ipv6), PORT)
}

/// Octets of data that stand somewhere on a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Offset on the flow.
    pub(super) from: u64,
    /// Offset of the data.
    pub(super) at: u64,
    pub(super) len: u16,
}

/// A flow and what was sent on it.
pub(super) struct Lane {
    pub(super) flow: Flow,
    pub(super) chunks: Vec<Chunk>,
    /// The SYN of the join was the endpoint's.
    invited: bool,
}

/// The other end of the connection.
pub(super) struct Peer {
    pub(super) setup: Setup,
    pub(super) lanes: Vec<Lane>,
    /// The endpoint's key, once it was seen.
    pub(super) own_key: Option<Key>,
    pub(super) checksum: bool,
    /// MPTCP was agreed upon.
    pub(super) mptcp: bool,
    /// Data offset of what is sent next.
    pub(super) next_data: u64,
    /// Data offsets of its DATA_FIN, and of a FIN that meant the same.
    pub(super) data_fin: Option<u64>,
    pub(super) plain_fin: Option<u64>,
    /// Octets of payload in all packets together.
    pub(super) payload: u64,
    /// Octets of the endpoint's data that came in order.
    pub(super) heard: u64,
    /// Something was said that is not true: octets may be delivered that do not belong there.
    pub(super) lied: bool,
    /// Answers nothing.
    pub(super) silent: bool,
    /// The last packet of the endpoint, for whom wants to complain about it.
    pub(super) last: Option<Packet>,
    answers: Vec<Vec<u8>>,
    pub(super) joins: u8,
}

impl Peer {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            lanes: Vec::new(),
            own_key: None,
            checksum: setup.own_checksum || setup.peer_checksum,
            mptcp: false,
            next_data: 0,
            data_fin: None,
            plain_fin: None,
            payload: 0,
            heard: 0,
            lied: false,
            silent: setup.deaf,
            last: None,
            answers: Vec::new(),
            joins: 0,
            setup: setup.clone(),
        }
    }

    pub(super) fn level(&self) -> DataLevel {
        let own_key = self.own_key.unwrap_or(Key(0));
        DataLevel { key: KEY, own_key, checksum: self.checksum, short: false }
    }

    pub(super) const fn flags(&self) -> CapableFlags {
        CapableFlags::new(self.setup.peer_checksum, false)
    }

    /// A flow of the peer's opening, to address `to` of the endpoint.
    pub(super) fn flow(&self, to: u8, from: u8, port: u16) -> Flow {
        let local = SocketAddr::new(self.setup.own(to), PORT);
        let remote = SocketAddr::new(probe_address(from, self.setup.ipv6), port);
        self.stamped(Flow::new(local, remote))
    }

    fn stamped(&self, mut flow: Flow) -> Flow {
        flow.timestamps = self.setup.timestamps.then_some((1_000, 0));
        flow
    }

    /// A SYN has what both might agree upon.
    pub(super) fn syn(&self) -> Seg {
        let syn = seg().syn().sack_permitted();
        if self.setup.scaled { syn.scale(3) } else { syn }
    }

    /// The SYN of the first flow.
    pub(super) fn open(&mut self) -> Vec<Vec<u8>> {
        let mut syn = self.syn().no_ack();
        if !self.setup.plain_peer {
            let flags = self.flags();
            syn = syn.option(MptcpOption::Capable(MpCapable::Syn { version: 1, flags }));
        }
        let mut flow = self.flow(0, 0, 40_000);
        let packet = flow.packet(&syn);
        self.lanes.push(Lane { flow, chunks: Vec::new(), invited: false });
        vec![packet]
    }

    /// The third packet of the first flow, if the SYN was answered.
    pub(super) fn third(&mut self) -> Vec<Vec<u8>> {
        let level = self.level();
        let (flags, mptcp) = (self.flags(), self.own_key.is_some());
        self.mptcp = mptcp;
        let Some(lane) = self.lanes.first_mut().filter(|lane| lane.flow.irs != 0) else {
            return Vec::new();
        };
        let ack = if mptcp { seg().option(level.capable_ack(flags)) } else { seg() };
        vec![lane.flow.packet(&ack)]
    }

    /// Looks at a packet of the endpoint.
    pub(super) fn hear(
        &mut self,
        headers: &[u8],
        transmit: &Transmit,
        application: &application::Application,
    ) {
        let bytes = [headers, &transmit.payload].concat();
        let Some(packet) = Packet::parse(Duration::ZERO, &bytes) else {
            panic!("a broken packet: {bytes:02x?}");
        };
        assert!(!packet.options.malformed, "malformed options: {:02x?}", packet.option_bytes);
        assert!(bytes.len() <= 1_500, "{} octets", bytes.len());
        let found = self.lanes.iter().position(|lane| lane.flow.tuple == packet.tuple);
        match found {
            Some(lane) => self.on_packet(lane, &packet, application),
            None if packet.is_syn() && !self.silent && self.lanes.len() < FLOWS => {
                self.on_syn(&packet)
            }
            None => {}
        }
        self.last = Some(packet);
    }

    fn on_packet(&mut self, lane: usize, packet: &Packet, application: &application::Application) {
        for signal in &packet.mptcp {
            match *signal {
                MptcpOption::Capable(
                    MpCapable::SynAck { sender_key, .. }
                    | MpCapable::Ack { sender_key, .. }
                    | MpCapable::AckData { sender_key, .. },
                ) => {
                    self.own_key.get_or_insert(sender_key);
                }
                MptcpOption::Join(MpJoin::SynAck { nonce, .. }) => {
                    self.lanes[lane].flow.nonce = Some(nonce)
                }
                _ => {}
            }
        }
        let before = self.lanes[lane].flow.clone();
        self.lanes[lane].flow.hear(packet);
        if self.own_key.is_some() && !packet.header.flags.syn {
            self.check_data(&before, packet, application);
        }
        let joining = packet.is_syn_ack() && !self.lanes[lane].invited && lane > 0;
        if joining
            && !self.silent
            && let Some(nonce) = self.lanes[lane].flow.nonce
        {
            let join = self.level().join_ack(nonce);
            let third = self.lanes[lane].flow.packet(&seg().option(join));
            self.answers.push(third);
        }
    }

    /// A mapping says of every octet which of the application's it is.
    fn check_data(&mut self, flow: &Flow, packet: &Packet, application: &application::Application) {
        let Some(mapping) = packet.mapping().filter(|mapping| !mapping.is_infinite()) else {
            return;
        };
        let own_start = self.level().own_dsn(0);
        let data_seq: DataSeq = mapping.data_seq.expand(own_start + self.heard);
        let Ok(at) = u64::try_from(data_seq.since(own_start)) else { return };
        let here = flow.offset(packet) as u32;
        // the mapping may begin in an earlier segment
        let skip = here.wrapping_add(1).wrapping_sub(mapping.subflow_seq.0);
        if packet.payload.is_empty() || skip >= u32::from(mapping.data_len) {
            return;
        }
        let first = at + u64::from(skip);
        let len = packet.payload.len().min(usize::from(mapping.data_len) - skip as usize);
        let right =
            (first..).zip(&packet.payload[..len]).all(|(at, byte)| application::octet(at) == *byte);
        assert!(right, "octets at {first} are not the application's");
        assert!(first + len as u64 <= application.written, "octets nobody wrote");
        if first <= self.heard {
            self.heard = self.heard.max(first + len as u64);
        }
    }

    /// The endpoint opens a flow.
    fn on_syn(&mut self, packet: &Packet) {
        let mut flow = self.stamped(Flow::new(packet.tuple.local, packet.tuple.remote));
        flow.hear(packet);
        let signal = packet.mptcp.first().copied();
        let mut answer = self.syn();
        match signal {
            Some(MptcpOption::Capable(_)) if !self.setup.plain_peer => {
                let (version, flags, sender_key) = (1, self.flags(), KEY);
                self.mptcp = true;
                answer = answer.option(MptcpOption::Capable(MpCapable::SynAck {
                    version,
                    flags,
                    sender_key,
                }));
            }
            Some(MptcpOption::Join(MpJoin::Syn { nonce, .. })) => {
                let id = AddressId(self.lanes.len() as u8);
                answer = answer.option(self.level().join_syn_ack(nonce, id));
            }
            _ => {}
        }
        let packet = flow.packet(&answer);
        self.lanes.push(Lane { flow, chunks: Vec::new(), invited: true });
        self.answers.push(packet);
    }

    /// What has to be said at once.
    pub(super) fn answers(&mut self) -> Vec<Vec<u8>> {
        let answers = std::mem::take(&mut self.answers);
        if self.silent { Vec::new() } else { answers }
    }

    /// A Data ACK for everything heard, if there is a data level.
    pub(super) fn ack(&self) -> Option<Dss> {
        (self.mptcp && self.own_key.is_some()).then(|| self.level().ack(self.heard))
    }

    /// A flow of the peer's own opening.
    pub(super) fn add(&mut self, flow: Flow) {
        if self.lanes.len() < FLOWS {
            self.lanes.push(Lane { flow, chunks: Vec::new(), invited: false });
        }
    }
}
