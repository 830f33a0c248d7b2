//! Choices about addresses and subflows: who opens them, from where, and how many. The words are those of
//! `ip mptcp` and of the kernels that had path managers by name.

use core::fmt;

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
    /// The path manager of this name: `kernel`, `default`, `fullmesh`, `ndiffports` (2 subflows),
    /// `ndiffports=N` (N from 1 to 8), `binder`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "kernel" => Some(Self::Kernel),
            "default" => Some(Self::Default),
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

/// What an endpoint (a local address) is used for: the flags of `ip mptcp endpoint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointFlags {
    /// Announced to peers with ADD_ADDR.
    pub signal: bool,
    /// Opens a subflow to the peer's first address.
    pub subflow: bool,
    /// Its subflows ask the peer for B: used while no regular subflow is.
    pub backup: bool,
    /// Opens a subflow to every known address of the peer.
    pub fullmesh: bool,
    /// Made by the engine for an address nobody configured; an explicit endpoint replaces it.
    pub implicit: bool,
}

impl EndpointFlags {
    /// These flags with the one of this name set; `None` for any other word.
    #[must_use]
    pub fn with(mut self, word: &str) -> Option<Self> {
        match word {
            "signal" => self.signal = true,
            "subflow" => self.subflow = true,
            "backup" => self.backup = true,
            "fullmesh" => self.fullmesh = true,
            _ => return None,
        }
        Some(self)
    }

    /// The names of the flags that are set, in the order `ip mptcp endpoint show` has.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        [
            (self.signal, "signal"),
            (self.subflow, "subflow"),
            (self.backup, "backup"),
            (self.fullmesh, "fullmesh"),
            (self.implicit, "implicit"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
    }
}

impl fmt::Display for EndpointFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words().enumerate() {
            let gap = if index > 0 { " " } else { "" };
            write!(f, "{gap}{word}")?;
        }
        Ok(())
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
    use std::string::ToString;

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

    #[test]
    fn flags_are_words() {
        let none = EndpointFlags::default();
        let all = ["signal", "backup"].iter().try_fold(none, |flags, word| flags.with(word));
        assert_eq!(all.map(|flags| flags.to_string()).as_deref(), Some("signal backup"));
        assert_eq!(none.with("implicit"), None, "not for people");
    }
}
