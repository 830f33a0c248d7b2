//! What an endpoint is configured as: five octets of the input.

use crate::draw::Draw;
use arbitrary::{Result, Unstructured};
use mpuser_engine::addr::{AddressId, InterfaceId, IpAddr, SocketAddr};
use mpuser_engine::config::{
    ConnectionConfig, EndpointConfig, EndpointFlags, FastOpen, Limits, PathManagerKind, Profile,
    SchedulerSpec,
};
use mpuser_engine::time::Instant;
use mpuser_engine::{Endpoint, LocalAddress, PmEndpoint};
use mpuser_sim::conform::target::{PORT, stack_address};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Local addresses at the start.
const ADDRESSES: u8 = 2;

/// The choices, bit by bit.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) client: bool,
    pub(super) ipv6: bool,
    /// Each side asks for checksums or not.
    pub(super) own_checksum: bool,
    pub(super) peer_checksum: bool,
    /// The peer sends timestamps.
    pub(super) timestamps: bool,
    /// The peer knows no MPTCP.
    pub(super) plain_peer: bool,
    /// The peer leaves every SYN without an answer.
    pub(super) deaf: bool,
    /// The peer scales its windows.
    pub(super) scaled: bool,
    profile: Profile,
    path_manager: PathManagerKind,
    scheduler: usize,
    /// Listeners answer SYNs without keeping them.
    cookies: bool,
    fast_open: bool,
    short: bool,
    nagle: bool,
    large: bool,
    server_joins: bool,
    drop_timestamps: bool,
    /// Retransmissions are given up early.
    impatient: bool,
}

/// Those that do more than choosing among what has a window.
const SCHEDULERS: [&str; 4] = ["minrtt", "rr", "redundant", "blest"];

impl Setup {
    pub(super) fn draw(u: &mut Unstructured<'_>) -> Result<Self> {
        let [ends, peer, manager, mode, more]: [u8; 5] = u.arbitrary()?;
        let bit = |octet: u8, number: u8| octet >> number & 1 == 1;
        let managers = [
            PathManagerKind::Kernel,
            PathManagerKind::Fullmesh,
            PathManagerKind::Ndiffports(3),
            PathManagerKind::Default,
        ];
        Ok(Self {
            client: bit(ends, 0),
            ipv6: bit(ends, 1),
            own_checksum: bit(ends, 2),
            peer_checksum: bit(ends, 3),
            profile: if bit(ends, 4) { Profile::Linux } else { Profile::Rfc },
            timestamps: bit(peer, 0),
            scaled: bit(peer, 1),
            // most of the time neither
            plain_peer: peer >> 4 == 15,
            deaf: peer >> 4 == 14,
            path_manager: managers[usize::from(manager) % managers.len()],
            scheduler: usize::from(manager >> 4) % SCHEDULERS.len(),
            cookies: mode % 8 == 7,
            fast_open: mode / 8 % 8 == 7,
            short: bit(more, 0),
            nagle: bit(more, 1),
            large: bit(more, 2),
            server_joins: bit(more, 3),
            drop_timestamps: bit(more, 4),
            impatient: more >> 5 != 0,
        })
    }

    /// Octets the endpoint may keep for the reader.
    pub(super) const fn receive_buffer(&self) -> usize {
        if self.large { 256 << 10 } else { 8 << 10 }
    }

    pub(super) fn connection(&self) -> ConnectionConfig {
        let mut config = ConnectionConfig {
            checksum: self.own_checksum,
            path_manager: self.path_manager,
            scheduler: SchedulerSpec::named(SCHEDULERS[self.scheduler]).unwrap_or_default(),
            receive_buffer: self.receive_buffer(),
            send_buffer: self.receive_buffer(),
            short_data_seq: self.short,
            nagle: self.nagle,
            server_joins: self.server_joins,
            fast_open: if self.fast_open { FastOpen::WithoutCookie } else { FastOpen::Off },
            ..ConnectionConfig::of(self.profile)
        };
        config.tcp.timestamps = !self.drop_timestamps;
        if self.impatient {
            (config.tcp.max_retransmits, config.tcp.max_syn_retransmits) = (3, 1);
            config.tcp.syn_linear_timeouts = 1;
        }
        config
    }

    /// An endpoint with its addresses.
    pub(super) fn endpoint(&self, now: Instant) -> Endpoint {
        let max_half_open = if self.cookies { 0 } else { 16 };
        let config = EndpointConfig { max_half_open, ..EndpointConfig::of(self.profile) };
        let mut endpoint = Endpoint::new(config, [42; 32]);
        for index in 0..ADDRESSES {
            endpoint.add_address(now, self.local(index));
        }
        endpoint
    }

    /// Address number `index` of the endpoint.
    pub(super) fn own(&self, index: u8) -> IpAddr {
        stack_address(index, self.ipv6)
    }

    pub(super) fn local(&self, index: u8) -> LocalAddress {
        let address = self.own(index);
        let (interface, mtu) = (InterfaceId(u16::from(index)), 1_500);
        LocalAddress {
            address,
            interface,
            mtu,
            backup: index == 3,
            checksum_offload: false,
            max_payload: 0,
        }
    }

    pub(super) fn listen_on(&self) -> SocketAddr {
        let any: IpAddr =
            if self.ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        SocketAddr::new(any, PORT)
    }

    pub(super) fn pm_endpoint(&self, index: u8, u: &mut Unstructured<'_>) -> Result<PmEndpoint> {
        let [signal, subflow, backup, fullmesh] = [u.flag()?, u.flag()?, u.flag()?, u.flag()?];
        let flags = EndpointFlags { signal, subflow, backup, fullmesh };
        let port = if u.flag()? { Some(8_080) } else { None };
        let id = if u.flag()? { Some(AddressId(u.arbitrary()?)) } else { None };
        Ok(PmEndpoint { address: self.own(index), id, port, flags })
    }
}

/// Limits of all connections.
pub(super) fn limits(u: &mut Unstructured<'_>) -> Result<Limits> {
    Ok(Limits { subflows: u.below(9)?, add_addr_accepted: u.below(9)? })
}
