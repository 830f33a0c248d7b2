//! The engine set up as the capture shows its side to have been.

use crate::Role;
use crate::recording::{Case, Recording, Segment};
use crate::run::Options;
use mpuser_engine::PmEndpoint;
use mpuser_engine::addr::InterfaceId;
use mpuser_engine::config::{
    ConnectionConfig, EndpointConfig, EndpointFlags, FastOpen, Limits, PathManagerKind, Profile,
};
use mpuser_engine::wire::{FastOpenCookie, MpCapable, MpJoin, MptcpOption};
use mpuser_engine::{Endpoint, LocalAddress};
use mpuser_inspect::packet::{ACK, RST, SYN};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// TCP option kinds.
const MSS: u8 = 2;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;
const FAST_OPEN: u8 = 34;
/// No capture of a kernel shows a larger window in use.
const RECEIVE_BUFFER: usize = 32 << 20;
/// The interface of every address.
pub(crate) const INTERFACE: InterfaceId = InterfaceId(0);

/// How the engine is set up.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) endpoint: EndpointConfig,
    pub(crate) connection: ConnectionConfig,
    pub(crate) limits: Limits,
    pub(crate) addresses: Vec<LocalAddress>,
    pub(crate) endpoints: Vec<PmEndpoint>,
    /// Identifiers that are backups.
    pub(crate) backups: BTreeSet<u8>,
    /// Where a server listens.
    pub(crate) listen: Option<SocketAddr>,
    /// What a client knows of the server from before.
    pub(crate) cookie: Option<(IpAddr, FastOpenCookie, u16)>,
    /// What was read off the capture, in words.
    pub(crate) notes: Vec<String>,
}

impl Setup {
    pub(crate) fn read(recording: &Recording, case: &Case, role: Role, options: &Options) -> Self {
        let facts = Facts { recording, case, side: role.side() };
        let profile = if options.linux { Profile::Linux } else { Profile::Rfc };
        let connection = ConnectionConfig {
            path_manager: PathManagerKind::Kernel,
            join_announced: false,
            join_from_local: false,
            nagle: false,
            // What the other side sends was let in by windows of the capture, not by ours.
            ..ConnectionConfig::of(profile).with_fixed_buffers(RECEIVE_BUFFER, RECEIVE_BUFFER)
        };
        let endpoint = EndpointConfig { implicit_endpoints: false, ..EndpointConfig::default() };
        let (endpoints, backups) = facts.endpoints();
        let mut setup = Self {
            endpoint,
            connection,
            limits: Limits::default(),
            addresses: facts.addresses(),
            endpoints,
            backups,
            listen: (role == Role::Server).then(|| facts.first_ends().1),
            cookie: None,
            notes: Vec::new(),
        };
        setup.handshake(&facts);
        setup.limits(&facts);
        setup
    }

    /// An engine with these settings.
    pub(crate) fn build(&self, seed: u64) -> Endpoint {
        let mut bytes = [0; 32];
        let (front, _) = bytes.split_at_mut(8);
        front.copy_from_slice(&seed.to_le_bytes());
        let mut endpoint = Endpoint::new(self.endpoint.clone(), bytes);
        let now = crate::run::START;
        for address in &self.addresses {
            endpoint.add_address(now, *address);
        }
        for wanted in &self.endpoints {
            // an address with two identifiers keeps the first one
            let _ = endpoint.add_endpoint(now, *wanted);
        }
        endpoint.set_limits(now, self.limits);
        if let Some((server, cookie, mss)) = self.cookie {
            endpoint.set_fast_open_cookie(now, server, (cookie, mss));
        }
        endpoint
    }

    fn handshake(&mut self, facts: &Facts<'_>) {
        let Some(own) = facts.own_syn() else { return };
        let peer = facts.peer_syn();
        // the second of the two can only take what was offered
        let offered = |kind| facts.side == 0 || peer.is_some_and(|syn| syn.option(kind).is_some());
        for (kind, name, setting) in [
            (TIMESTAMPS, "timestamps", &mut self.connection.tcp.timestamps),
            (SACK_PERMITTED, "SACK", &mut self.connection.tcp.sack),
        ] {
            *setting = own.option(kind).is_some() || !offered(kind);
            if !*setting {
                self.notes.push(format!("{name} off"));
            }
        }
        let capable = |segment: &Segment| {
            segment.signals().find_map(|signal| match signal {
                MptcpOption::Capable(capable) => Some(capable),
                _ => None,
            })
        };
        let asked = peer.and_then(capable);
        match capable(own) {
            Some(capable) => self.flags(facts, &capable, asked.as_ref()),
            None if facts.side == 0 || asked.is_some() => {
                self.connection.mptcp = false;
                self.notes.push("MPTCP off".to_owned());
            }
            None => {}
        }
        self.fast_open(facts, own, peer);
    }

    fn flags(&mut self, facts: &Facts<'_>, own: &MpCapable, asked: Option<&MpCapable>) {
        let flags = own.flags();
        let theirs = asked.is_some_and(|asked| asked.flags().checksum_required());
        // RFC 8684 3.1 [INI-29]: who answers says what holds, whoever wanted it
        self.connection.checksum = flags.checksum_required() && (facts.side == 0 || !theirs);
        if self.connection.checksum {
            self.notes.push("checksum on".to_owned());
        }
        if flags.deny_join_initial() {
            self.connection.allow_join_initial_addr_port = false;
            self.notes.push("allow_join_initial_addr_port off".to_owned());
        }
    }

    fn fast_open(&mut self, facts: &Facts<'_>, own: &Segment, peer: Option<&Segment>) {
        let syn = if facts.side == 0 { Some(own) } else { peer };
        let Some(syn) = syn.filter(|syn| syn.option(FAST_OPEN).is_some()) else { return };
        self.notes.push("Fast Open on".to_owned());
        if facts.side == 1 {
            // the cookie in the capture is not one of this engine's
            self.connection.fast_open =
                if syn.payload_len > 0 { FastOpen::WithoutCookie } else { FastOpen::Cookie };
            return;
        }
        self.connection.fast_open = FastOpen::Cookie;
        let cookie = syn.option(FAST_OPEN).and_then(|option| option.get(2..));
        let cookie = cookie.and_then(FastOpenCookie::new);
        self.cookie = cookie.map(|cookie| (syn.dst.ip(), cookie, mss(syn)));
    }

    /// A side that refused joins took no more subflows than it had.
    fn limits(&mut self, facts: &Facts<'_>) {
        let (mut taken, mut refused) = (0, 0);
        for stream in facts.case.streams.iter().skip(1) {
            let turned_away = facts.segments().any(|segment| {
                segment.placed.stream == *stream
                    && facts.is_own(segment)
                    && segment.has(RST)
                    && segment.placed.from == 1
                    && segment.signals().any(|signal| match signal {
                        MptcpOption::TcpRst(reset) => reset.reason.code() == 3,
                        _ => false,
                    })
            });
            let answered = facts.recording.report.streams.get(*stream);
            if turned_away {
                refused += 1;
            } else if answered.is_some_and(|stream| stream.has_syn_ack) {
                taken += 1;
            }
        }
        if refused > 0 {
            self.limits.subflows = taken;
            self.notes.push(format!("limits: {taken} subflows beside the first"));
        }
    }
}

/// What the capture shows.
struct Facts<'a> {
    recording: &'a Recording,
    case: &'a Case,
    /// The engine's side.
    side: usize,
}

impl<'a> Facts<'a> {
    fn segments(&self) -> impl Iterator<Item = &'a Segment> {
        let recording = self.recording;
        self.case.segments.iter().filter_map(|at| recording.segments.get(*at))
    }

    fn is_own(&self, segment: &Segment) -> bool {
        let stream = self.recording.report.streams.get(segment.placed.stream);
        stream.is_some_and(|stream| stream.side_of(segment.placed.from) == self.side)
    }

    fn first_ends(&self) -> (SocketAddr, SocketAddr) {
        let first = self.case.streams.first();
        let first = first.and_then(|index| self.recording.report.streams.get(*index));
        let nobody = SocketAddr::new(IpAddr::from([0; 4]), 0);
        first.map_or((nobody, nobody), |stream| (stream.ends[0], stream.ends[1]))
    }

    fn on_first(&self, flags: u16) -> Option<&'a Segment> {
        let first = self.case.streams.first().copied();
        self.segments().find(|s| Some(s.placed.stream) == first && s.flags & (SYN | ACK) == flags)
    }

    /// The first SYN or SYN/ACK of the engine's side.
    fn own_syn(&self) -> Option<&'a Segment> {
        self.on_first(if self.side == 0 { SYN } else { SYN | ACK })
    }

    fn peer_syn(&self) -> Option<&'a Segment> {
        self.on_first(if self.side == 0 { SYN | ACK } else { SYN })
    }

    /// Every address the engine's side spoke from, the first subflow's first.
    fn addresses(&self) -> Vec<LocalAddress> {
        let mut all: Vec<LocalAddress> = Vec::new();
        for segment in self.segments().filter(|segment| segment.has(SYN)) {
            let own = self.is_own(segment);
            let address = if own { segment.src.ip() } else { segment.dst.ip() };
            let headers = if address.is_ipv4() { 40 } else { 60 };
            let mtu = mss(segment).saturating_add(headers).max(1280);
            match all.iter_mut().find(|known| known.address == address) {
                Some(known) if own => known.mtu = mtu,
                Some(_) => {}
                None => all.push(LocalAddress {
                    address,
                    interface: INTERFACE,
                    mtu,
                    backup: false,
                    checksum_offload: false,
                    max_payload: 0,
                }),
            }
        }
        all
    }

    /// The identifiers its addresses had; those announced with a port are added when they are announced.
    fn endpoints(&self) -> (Vec<PmEndpoint>, BTreeSet<u8>) {
        let mut found: BTreeMap<(u8, IpAddr), PmEndpoint> = BTreeMap::new();
        let mut with_port = BTreeSet::new();
        for segment in self.segments().filter(|segment| self.is_own(segment)) {
            for signal in segment.signals() {
                let (id, address, backup) = match signal {
                    MptcpOption::Join(
                        MpJoin::Syn { address_id, backup, .. }
                        | MpJoin::SynAck { address_id, backup, .. },
                    ) => (address_id, segment.src.ip(), backup),
                    MptcpOption::AddAddr(add) if !add.echo => {
                        if add.port.is_some() {
                            with_port.insert(add.id.0);
                        }
                        (add.id, add.address, false)
                    }
                    _ => continue,
                };
                // that of the first subflow is 0 whatever its endpoint is called
                let named = Some(id).filter(|id| id.0 != 0);
                let (port, flags) = (None, EndpointFlags::default());
                let entry = PmEndpoint { address, id: named, port, flags };
                found.entry((id.0, address)).or_insert(entry).flags.backup |= backup;
            }
        }
        let backups = found.iter().filter(|(_, e)| e.flags.backup).map(|((id, _), _)| *id);
        let backups = backups.collect();
        found.retain(|(id, _), endpoint| match id {
            0 => endpoint.flags.backup,
            id => !with_port.contains(id),
        });
        (found.into_values().collect(), backups)
    }
}

fn mss(segment: &Segment) -> u16 {
    let value = segment.option(MSS).and_then(|option| option.get(2..)?.first_chunk());
    value.map_or(1460, |octets| u16::from_be_bytes(*octets))
}
