//! Who talks to whom: addresses, and the numbers that stand for objects.

use core::fmt;
pub use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One subflow's addresses and ports, seen from this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourTuple {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// An MPTCP address identifier (RFC 8684 3.2 [JOIN-2]): 0 is the address of the first subflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct AddressId(pub u8);

/// A device the driver gave a number to; packets enter and leave through one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct InterfaceId(pub u16);

/// A subflow of one connection. Never reused within the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SubflowId(pub u32);

/// A connection of one endpoint. Never reused within the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ConnectionId(pub u64);

/// A listener of one endpoint. Never reused within the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ListenerId(pub u32);

impl fmt::Display for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.local, self.remote)
    }
}

/// Most gateways of a [`SourceRoute`]: 40 octets of IPv4 options, less 3 and the destination.
const GATEWAYS_MAX: usize = 8;

/// Gateways a packet goes through, in this order (RFC 791 3.1, loose source route). 1 to 8 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceRoute {
    len: u8,
    gateways: [Ipv4Addr; GATEWAYS_MAX],
}

impl SourceRoute {
    /// A route through these gateways; `None` for none, or more than 8.
    #[must_use]
    pub fn new(gateways: &[Ipv4Addr]) -> Option<Self> {
        let mut all = [Ipv4Addr::UNSPECIFIED; GATEWAYS_MAX];
        all.get_mut(..gateways.len())?.copy_from_slice(gateways);
        let len = u8::try_from(gateways.len()).ok().filter(|len| *len > 0)?;
        Some(Self { len, gateways: all })
    }

    /// How many gateways.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.len as usize
    }

    /// The gateways, the nearest first.
    #[must_use]
    pub fn gateways(&self) -> &[Ipv4Addr] {
        self.gateways.get(..usize::from(self.len)).unwrap_or_default()
    }
}
