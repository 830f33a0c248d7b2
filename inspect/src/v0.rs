//! What version 0 (RFC 6824) does otherwise: keys from the SYN on, SHA-1, addresses without HMAC, priorities for
//! other addresses. All its other forms are those of version 1, with the same layout.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use std::fmt;
use std::net::IpAddr;

/// A form that only version 0 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Option0 {
    /// ADD_ADDR: the version of IP stands where version 1 has E, and there is no HMAC (RFC 6824 3.4.1).
    AddAddr {
        /// Its number.
        id: u8,
        /// The address.
        address: IpAddr,
        /// A port other than the one in use.
        port: Option<u16>,
    },
    /// MP_PRIO that may name an address (RFC 6824 3.3.8).
    Prio {
        /// B
        backup: bool,
        /// The address that is meant.
        id: u8,
    },
}

impl Option0 {
    /// Reads what follows kind and length; `None` if it is no form of version 0, or one that version 1 has too.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (first, rest) = body.split_first()?;
        let (id, rest) = rest.split_first()?;
        match (first >> 4, first & 0x0f, rest.len()) {
            (3, 4, 4 | 6) => {
                let (address, port) = rest.split_first_chunk::<4>()?;
                Some(Self::AddAddr {
                    id: *id,
                    address: IpAddr::from(*address),
                    port: port_of(port),
                })
            }
            (3, 6, 16 | 18) => {
                let (address, port) = rest.split_first_chunk::<16>()?;
                Some(Self::AddAddr {
                    id: *id,
                    address: IpAddr::from(*address),
                    port: port_of(port),
                })
            }
            (5, low, 0) => Some(Self::Prio { backup: low & 1 != 0, id: *id }),
            _ => None,
        }
    }

    pub(crate) fn fields(&self, put: &mut impl FnMut(&str, Value)) {
        match self {
            Self::AddAddr { id, address, port } => {
                put("ipver", json!(if address.is_ipv4() { 4 } else { 6 }));
                put("addrid", json!(id));
                put(if address.is_ipv4() { "ipv4" } else { "ipv6" }, json!(address.to_string()));
                if let Some(port) = port {
                    put("port", json!(port));
                }
            }
            Self::Prio { backup, id } => {
                put("backup.flag", json!(u8::from(*backup)));
                put("addrid", json!(id));
            }
        }
    }
}

impl fmt::Display for Option0 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddAddr { id, address, port } => {
                write!(f, "add-addr v0 id {id} {address}")?;
                port.map_or(Ok(()), |port| write!(f, " port {port}"))
            }
            Self::Prio { backup, id } => {
                write!(f, "prio {} id {id}", if *backup { "backup" } else { "non-backup" })
            }
        }
    }
}

fn port_of(rest: &[u8]) -> Option<u16> {
    rest.first_chunk().map(|port| u16::from_be_bytes(*port))
}

/// Token and initial data sequence number of a key (RFC 6824 3.1, 3.2): the first 32 and the last 64 bits of SHA-1.
#[must_use]
pub fn key_facts(key: u64) -> (u32, u64) {
    let digest: [u8; 20] = Sha1::digest(key.to_be_bytes()).into();
    let token = digest.first_chunk().map(|head| u32::from_be_bytes(*head));
    let idsn = digest.last_chunk().map(|tail| u64::from_be_bytes(*tail));
    (token.unwrap_or_default(), idsn.unwrap_or_default())
}

/// The HMAC-SHA1 of a join, by which the end that holds `own` proves itself (RFC 6824 3.2).
#[must_use]
pub fn join_hmac(own: u64, peer: u64, own_nonce: u32, peer_nonce: u32) -> [u8; 20] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&own.to_be_bytes());
    key[8..].copy_from_slice(&peer.to_be_bytes());
    // a key of any length is taken
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&key) else { return [0; 20] };
    mac.update(&own_nonce.to_be_bytes());
    mac.update(&peer_nonce.to_be_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6824: both from SHA-1 of the key; the connection of a capture, its MP_JOIN has the token.
    #[test]
    fn token_and_idsn() {
        // SHA-1 of eight octets of zero: 05fe405753166f125559e7c9ac558654f107c7e9
        assert_eq!(key_facts(0), (0x05fe_4057, 0xac55_8654_f107_c7e9));
    }

    #[test]
    fn the_hmac_is_that_of_its_keys() {
        let a = join_hmac(1, 2, 3, 4);
        assert_ne!(a, join_hmac(2, 1, 3, 4));
        assert_ne!(a, join_hmac(1, 2, 4, 3));
    }
}
