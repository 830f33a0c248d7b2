//! Choices about addresses and subflows: who opens them, from where, and how many. The words are those of
//! `ip mptcp` and of the kernels that had path managers by name.

use crate::addr::{IpAddr, SocketAddr};

/// Who opens subflows, from which addresses to which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathManagerKind {
    /// As the flags of the endpoints and the limits say (the kernel's in-kernel path manager).
    #[default]
    Kernel,
    /// Opens and announces nothing; subflows come by hand or from the peer (`default` of the v0.9x kernels).
    Default,
    /// One subflow from every local address to every known address of the peer.
    Fullmesh,
    /// So many subflows between the addresses of the first one, told apart by their source ports.
    Ndiffports(u8),
    /// One subflow from every local address, and one through every gateway of
    /// [`ConnectionConfig::gateways`](super::ConnectionConfig::gateways), to the peer's first address.
    Binder,
}

impl PathManagerKind {
    /// The path manager of this name: `kernel`, `default` (or `none`), `fullmesh`, `ndiffports` (2 subflows),
    /// `ndiffports=N` (N from 1 to 8), `binder`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "kernel" => Some(Self::Kernel),
            "default" | "none" => Some(Self::Default),
            "fullmesh" => Some(Self::Fullmesh),
            "ndiffports" => Some(Self::Ndiffports(2)),
            "binder" => Some(Self::Binder),
            _ => {
                let count = name.strip_prefix("ndiffports=")?.parse().ok()?;
                (1..=8).contains(&count).then_some(Self::Ndiffports(count))
            }
        }
    }

    /// Its name, without the number of `ndiffports`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Default => "default",
            Self::Fullmesh => "fullmesh",
            Self::Ndiffports(_) => "ndiffports",
            Self::Binder => "binder",
        }
    }

    /// Every name [`Self::from_name`] takes, without the forms with a number.
    pub const NAMES: &'static [&'static str] =
        &["kernel", "default", "fullmesh", "ndiffports", "binder"];
}

/// A forwarder that leads to the peer: a proxy, port forward or translator that passes TCP options on. The peer knows
/// nothing of it; a subflow to its address ends at the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// The forwarder's address and port.
    pub remote: SocketAddr,
    /// The only address of this end that leads there, if there is one.
    pub local: Option<IpAddr>,
}

/// What an endpoint (a local address) is for: the flags of `ip mptcp endpoint`. Without any it only fixes an
/// identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointFlags {
    /// Announced to peers (ADD_ADDR, RFC 8684 3.4.1).
    pub signal: bool,
    /// Opens a subflow to the peer's first address.
    pub subflow: bool,
    /// Its subflows ask the peer for B: used while no regular subflow is (RFC 8684 3.2, 3.3.8).
    pub backup: bool,
    /// Opens a subflow to every known address of the peer.
    pub fullmesh: bool,
}

impl EndpointFlags {
    /// The words of the flags that are set, in the order `ip mptcp endpoint show` prints them.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let Self { signal, subflow, backup, fullmesh } = self;
        let all =
            [(signal, "signal"), (subflow, "subflow"), (backup, "backup"), (fullmesh, "fullmesh")];
        all.into_iter().filter(|(set, _)| *set).map(|(_, word)| word)
    }
}

/// Limits of every connection of an endpoint: `ip mptcp limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most subflows beside the first, whoever opens them. Default 8, the kernel's largest.
    pub subflows: usize,
    /// Most announced addresses of the peer that subflows are opened to. Default 8, the kernel's largest.
    pub add_addr_accepted: usize,
}

impl Limits {
    /// What an untouched kernel has (K45).
    pub const LINUX: Self = Self { subflows: 2, add_addr_accepted: 0 };
}

impl Default for Limits {
    fn default() -> Self {
        Self { subflows: 8, add_addr_accepted: 8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_managers_have_names() {
        for name in PathManagerKind::NAMES {
            assert_eq!(PathManagerKind::from_name(name).map(PathManagerKind::name), Some(*name));
        }
        let ndiffports = PathManagerKind::from_name("ndiffports=5");
        assert_eq!(ndiffports, Some(PathManagerKind::Ndiffports(5)));
        for wrong in ["", "ndiffports=0", "ndiffports=9", "ndiffports=x", "mesh"] {
            assert_eq!(PathManagerKind::from_name(wrong), None, "{wrong}");
        }
    }
}
