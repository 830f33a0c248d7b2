//! The stack under test: an endpoint, a clock that stands until it is told to move, and a table of sockets.

use crate::control::Settings;
use crate::errno::{self, Errno};
use crate::socket::{Socket, Sockets};
use crate::wait::Waiting;
use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, Ipv4Addr, Ipv6Addr};
use mpuser_engine::config::{EndpointConfig, Limits, Profile};
use mpuser_engine::error::ConnectionError;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::pretty;
use mpuser_engine::{Endpoint, Event, LocalAddress};
use std::collections::{BTreeMap, VecDeque};

/// The one device there is.
const INTERFACE: InterfaceId = InterfaceId(0);
/// Most packets that wait to be fetched; a script that fetches none must not eat the memory.
const MAX_OUTBOUND: usize = 65_536;

/// Where connections come from when nobody named an address.
const SOME_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 2));
/// As [`SOME_V4`].
const SOME_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 2));
/// The limits a kernel starts with.
const KERNEL_LIMITS: Limits = Limits { subflows: 2, add_addr_accepted: 0 };

/// What the machine is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose choices the engine follows.
    pub profile: Profile,
    /// The address of this end, known before any packet names it.
    pub local: Option<IpAddr>,
    /// Largest IP packet of the device, bytes.
    pub mtu: u16,
    /// Tell every packet on standard error.
    pub trace: bool,
    /// Everything random comes from here.
    pub seed: [u8; 32],
}

impl Default for Options {
    fn default() -> Self {
        Self { profile: Profile::Linux, local: None, mtu: 1500, trace: false, seed: [0x5d; 32] }
    }
}

impl Options {
    /// What packetdrill's own settings say: it exports them as `OPT_LOCAL_IP` and `OPT_MTU`. `flags` are words
    /// separated by commas: `rfc` or `linux` for the profile, `seed=N`, `trace`.
    #[must_use]
    pub fn from_environment(flags: &str) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let mut options = Self::default().with_flags(flags);
        options.local = variable("OPT_LOCAL_IP").and_then(|text| text.parse().ok());
        options.mtu = variable("OPT_MTU").and_then(|text| text.parse().ok()).unwrap_or(1500);
        options
    }

    /// These options, changed as the flags say; a word that is not known is told on standard error.
    #[must_use]
    pub fn with_flags(mut self, flags: &str) -> Self {
        for word in flags.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let seed = word.strip_prefix("seed=").and_then(|text| text.parse::<u64>().ok());
            if let Some(profile) = Profile::from_name(word) {
                self.profile = profile;
            } else if let Some(seed) = seed {
                self.seed[..8].copy_from_slice(&seed.to_le_bytes());
            } else if word == "trace" {
                self.trace = true;
            } else {
                eprintln!(
                    "mpuser-packetdrill: unknown flag {word:?}: use rfc, linux, trace, seed=N"
                );
            }
        }
        self
    }
}

/// A packet on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it left.
    pub at: Instant,
    /// From the IP header on.
    pub bytes: Vec<u8>,
}

/// What is known of a connection beside what the endpoint says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Its handshake is done.
    pub(crate) established: bool,
    /// With MPTCP.
    pub(crate) mptcp: bool,
    /// It is over.
    pub(crate) ended: bool,
    /// Why, until somebody was told.
    pub(crate) error: Option<Errno>,
    /// Counts what happened, for edge-triggered waiting.
    pub(crate) events: u64,
    /// No descriptor leads to it any more.
    pub(crate) released: bool,
}

/// The stack under test.
#[derive(Debug)]
pub struct Machine {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    pub(crate) settings: Settings,
    pub(crate) sockets: Sockets,
    pub(crate) progress: BTreeMap<ConnectionId, Progress>,
    pub(crate) waiting: Waiting,
    mtu: u16,
    trace: bool,
    outbound: VecDeque<Packet>,
}

impl Machine {
    /// A machine at time zero.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let config = EndpointConfig::of(options.profile);
        let mut machine = Self {
            endpoint: Endpoint::new(config, options.seed),
            now: Instant::ZERO,
            settings: Settings::new(options.profile),
            sockets: Sockets::default(),
            progress: BTreeMap::new(),
            waiting: Waiting::default(),
            mtu: options.mtu,
            trace: options.trace,
            outbound: VecDeque::new(),
        };
        if options.profile == Profile::Linux {
            machine.endpoint.set_limits(machine.now, KERNEL_LIMITS);
        }
        if let Some(local) = options.local {
            machine.own(local);
        }
        machine
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Makes an address one of this machine's, if it is not yet.
    pub(crate) fn own(&mut self, address: IpAddr) {
        if self.endpoint.addresses().iter().any(|known| known.address == address) {
            return;
        }
        let local = LocalAddress {
            address,
            interface: INTERFACE,
            mtu: self.mtu,
            backup: false,
            checksum_offload: false,
            max_payload: 0,
        };
        self.endpoint.add_address(self.now, local);
    }

    /// Makes sure that there is an address of this family to connect from.
    pub(crate) fn own_some(&mut self, v4: bool) {
        if !self.endpoint.addresses().iter().any(|known| known.address.is_ipv4() == v4) {
            self.own(if v4 { SOME_V4 } else { SOME_V6 });
        }
    }

    /// A packet arrives. Whatever address it is sent to is this machine's: there is nobody else on the link.
    pub fn receive(&mut self, packet: &[u8]) {
        if let Some(address) = destination(packet) {
            self.own(address);
        }
        self.tell('<', packet);
        let bytes = Bytes::copy_from_slice(packet);
        self.endpoint.handle_packet(self.now, INTERFACE, bytes);
        self.settle();
    }

    /// The next packet that leaves. Time runs on until there is one; `None` when nothing will ever leave.
    pub fn transmit(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.outbound.pop_front() {
                return Some(packet);
            }
            let due = self.next_deadline()?;
            self.advance_to(due);
        }
    }

    /// Lets time pass.
    pub fn sleep(&mut self, time: Duration) {
        self.advance_to(self.now + time);
    }

    /// When something happens by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        Instant::earliest(self.endpoint.poll_timeout(), self.waiting.next_deadline())
    }

    /// Moves the clock, with every timer at its moment.
    pub(crate) fn advance_to(&mut self, until: Instant) {
        while let Some(due) = self.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            self.settle();
        }
        self.now = self.now.max(until);
    }

    /// Something happened: packets are fetched, events read, and calls that wait are tried again.
    pub(crate) fn settle(&mut self) {
        loop {
            self.pump();
            if !self.retry_waiting() {
                return;
            }
        }
    }

    fn pump(&mut self) {
        let mut headers = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit(self.now, &mut headers) {
            let mut bytes = headers.clone();
            bytes.extend_from_slice(&transmit.payload);
            self.tell('>', &bytes);
            if self.outbound.len() < MAX_OUTBOUND {
                self.outbound.push_back(Packet { at: self.now, bytes });
            }
        }
        while let Some((connection, event)) = self.endpoint.poll_event() {
            self.on_event(connection, &event);
        }
    }

    fn tell(&self, direction: char, packet: &[u8]) {
        if self.trace {
            eprintln!("{} {direction} {}", self.now, pretty(packet));
        }
    }

    fn on_event(&mut self, connection: ConnectionId, event: &Event) {
        let progress = self.progress.entry(connection).or_default();
        match event {
            Event::Established { mptcp, .. } => {
                progress.established = true;
                progress.mptcp = *mptcp;
            }
            Event::Closed(end) => {
                progress.ended = true;
                // What this end did is no news to it; and Linux tells nobody that no subflow was left to wait for.
                let silent = progress.mptcp && *end == Some(ConnectionError::Timeout);
                let told = end.filter(|error| *error != ConnectionError::Aborted && !silent);
                progress.error = told.map(errno::of_end);
            }
            Event::Readable | Event::Writable => {}
            _ => return,
        }
        progress.events += 1;
        if progress.ended && progress.released {
            self.progress.remove(&connection);
        }
    }

    /// Lets go of a connection whose descriptor is closed.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        let progress = self.progress.entry(connection).or_default();
        progress.released = true;
        if progress.ended {
            self.progress.remove(&connection);
        }
    }

    pub(crate) fn socket(&self, fd: i32) -> Result<&Socket, Errno> {
        self.sockets.get(fd).ok_or(Errno(libc::EBADF))
    }

    pub(crate) fn socket_mut(&mut self, fd: i32) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(fd).ok_or(Errno(libc::EBADF))
    }
}

/// Where an IP packet goes.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?)),
        6 => Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?)),
        _ => None,
    }
}
