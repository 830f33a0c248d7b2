//! Address prefixes, and finding a free piece of a pool.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{ErrorKind, NetError, Result};

/// An address prefix, `192.0.2.0/24` or `2001:db8::/32`; the host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The address of the family of `like` with these bits.
fn address(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

/// How many addresses a prefix with `host_bits` free bits has, less one.
const fn last_host(host_bits: u8) -> u128 {
    if host_bits >= 128 { u128::MAX } else { (1 << host_bits) - 1 }
}

impl Prefix {
    /// The prefix of `len` bits that `address` is in; a `len` beyond the family's width is cut.
    pub fn new(addr: IpAddr, len: u8) -> Self {
        let len = len.min(width(addr));
        let hosts = last_host(width(addr) - len);
        Self { address: address(addr, bits(addr) & !hosts), len }
    }

    /// The prefix with this one address.
    pub fn host(addr: IpAddr) -> Self {
        Self::new(addr, 128)
    }

    /// Its first address.
    pub const fn network(self) -> IpAddr {
        self.address
    }

    /// Its length in bits, 0 to 32 or 128.
    pub const fn prefix_len(self) -> u8 {
        self.len
    }

    /// The address `n` after the first one, if it is inside.
    pub fn nth(self, n: u128) -> Option<IpAddr> {
        let inside = n <= last_host(width(self.address) - self.len);
        inside.then(|| address(self.address, bits(self.address) | n))
    }

    /// Whether `addr` is in it.
    pub fn contains(self, addr: IpAddr) -> bool {
        width(addr) == width(self.address) && Self::new(addr, self.len) == self
    }

    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The first piece of `len` bits that overlaps nothing in `taken`. At most 65536 are tried.
    pub fn free_piece(self, len: u8, taken: &[Self]) -> Option<Self> {
        let step = width(self.address).checked_sub(len)?;
        let count = 1u128.checked_shl(u32::from(len.checked_sub(self.len)?))?.min(65536);
        (0..count)
            .filter_map(|i| self.nth(i << step))
            .map(|a| Self::new(a, len))
            .find(|piece| taken.iter().all(|t| !t.overlaps(*piece)))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl FromStr for Prefix {
    type Err = NetError;

    /// `ADDR/LEN`, or `ADDR` for a host.
    fn from_str(s: &str) -> Result<Self> {
        let wrong = |why: String| {
            NetError::new(
                ErrorKind::Usage,
                format!("{s:?} is not an address prefix"),
                why,
                "write it like 192.0.2.0/24 or 2001:db8::/32",
            )
        };
        let (addr, len) = match s.split_once('/') {
            Some((a, l)) => (a, Some(l)),
            None => (s, None),
        };
        let addr: IpAddr = addr.parse().map_err(|e| wrong(format!("{addr:?}: {e}")))?;
        let len = match len {
            None => width(addr),
            Some(l) => l.parse().ok().filter(|l| *l <= width(addr)).ok_or_else(|| {
                wrong(format!("the length {l:?} is not between 0 and {}", width(addr)))
            })?,
        };
        Ok(Self::new(addr, len))
    }
}

impl TryFrom<String> for Prefix {
    type Error = NetError;

    fn try_from(s: String) -> Result<Self> {
        s.parse()
    }
}

impl From<Prefix> for String {
    fn from(p: Prefix) -> Self {
        p.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> Prefix {
        s.parse().unwrap()
    }

    #[test]
    fn parse_and_print() {
        for (s, shown) in [
            ("10.83.56.7/24", "10.83.56.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("fd00::5/126", "fd00::4/126"),
        ] {
            assert_eq!(p(s).to_string(), shown);
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/x", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<Prefix>().unwrap_err().kind, ErrorKind::Usage, "{bad}");
        }
    }

    #[test]
    fn containment() {
        assert!(p("0.0.0.0/0").contains("255.255.255.255".parse().unwrap()));
        assert!(p("::/0").contains("ff::1".parse().unwrap()));
        assert!(!p("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(p("10.83.0.0/16").overlaps(p("10.83.5.4/30")));
        assert!(p("10.83.5.4/30").overlaps(p("10.0.0.0/8")));
        assert!(!p("10.83.5.4/30").overlaps(p("10.83.5.8/30")));
    }

    #[test]
    fn free_pieces_skip_what_is_taken() {
        let pool = p("10.83.0.0/16");
        assert_eq!(pool.free_piece(30, &[]), Some(p("10.83.0.0/30")));
        let taken = [p("10.83.0.0/29"), p("10.83.0.9/32")];
        assert_eq!(pool.free_piece(30, &taken), Some(p("10.83.0.12/30")));
        assert_eq!(pool.free_piece(30, &[p("10.0.0.0/8")]), None);
        assert_eq!(pool.free_piece(8, &[]), None);
        assert_eq!(p("fd83::/112").free_piece(126, &[p("fd83::1/128")]), Some(p("fd83::4/126")));
        assert_eq!(p("::/0").free_piece(126, &[p("::/64")]), None);
    }
}
