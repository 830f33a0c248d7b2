//! Keys, tokens and the HMACs that prove who one is (RFC 8684 3.1, 3.2, 3.4.1).

use crate::addr::{AddressId, IpAddr};
use crate::rng::Rng;
use crate::seq::DataSeq;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// One end's 64-bit key (RFC 8684 3.1). Whoever knows both keys can join the connection, so it is never printed
/// and compares in constant time.
#[derive(Clone, Copy, Default)]
pub struct Key(pub u64);

/// What a key determines: one SHA-256 gives both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Names the connection in MP_JOIN: the digest's first 32 bits (RFC 8684 3.1 [INI-25]).
    pub token: Token,
    /// Initial data sequence number: the digest's last 64 bits (RFC 8684 3.1 [INI-26]). The SYN takes it, so the
    /// first data octet is one further on [INI-38].
    pub idsn: DataSeq,
}

/// A connection's name at one end (RFC 8684 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Token(pub u32);

/// The random number that makes a join's HMAC fresh (RFC 8684 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Nonce(pub u32);

/// The full HMAC of a join; the wire carries its beginning.
#[derive(Clone, Copy)]
pub struct JoinHmac([u8; 32]);

impl Key {
    /// A fresh key, not to be predicted [INI-7], never 0: the kernel takes 0 for "no key".
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.next_u64().max(1))
    }

    /// Token and IDSN of this key.
    #[must_use]
    pub fn facts(self) -> KeyFacts {
        // The key goes in as it is on the wire [INI-27]; "bottom" means rightmost [INI-28].
        let digest: [u8; 32] = Sha256::digest(self.0.to_be_bytes()).into();
        KeyFacts {
            token: Token(u32::from_be_bytes(first(&digest))),
            idsn: DataSeq(u64::from_be_bytes(last8(&digest))),
        }
    }
}

impl Nonce {
    /// A fresh nonce.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.next_u32())
    }
}

impl JoinHmac {
    /// What MP_JOIN on the SYN/ACK carries.
    #[must_use]
    pub fn leftmost64(&self) -> [u8; 8] {
        first(&self.0)
    }

    /// What MP_JOIN on the third ACK carries.
    #[must_use]
    pub fn leftmost160(&self) -> [u8; 20] {
        first(&self.0)
    }
}

/// The HMAC by which the end holding `own` proves itself in a join (RFC 8684 3.2 [JOIN-11]).
///
/// "Own" is always the prover: swap all four arguments to get what the peer has to show.
#[must_use]
#[inline]
pub fn join_hmac(own: Key, peer: Key, own_nonce: Nonce, peer_nonce: Nonce) -> JoinHmac {
    let mut mac = keyed(own, peer);
    mac.update(&(u64::from(own_nonce.0) << 32 | u64::from(peer_nonce.0)).to_be_bytes());
    JoinHmac(mac.finalize().into_bytes().into())
}

/// The HMAC of an ADD_ADDR sent by the end holding `own` (RFC 8684 3.4.1 [ADDR-9]).
#[must_use]
pub fn add_addr_hmac(
    own: Key,
    peer: Key,
    id: AddressId,
    address: IpAddr,
    port: Option<u16>,
) -> [u8; 8] {
    let mut mac = keyed(own, peer);
    mac.update(&[id.0]);
    match address {
        IpAddr::V4(address) => mac.update(&address.octets()),
        IpAddr::V6(address) => mac.update(&address.octets()),
    }
    mac.update(&port.unwrap_or(0).to_be_bytes());
    last8(&mac.finalize().into_bytes().into())
}

/// A key that only the holder of `secret` can make, and makes again from the same `input` (RFC 8684 3.1 [INI-7]):
/// for a server that keeps nothing between SYN and third packet. Never 0.
#[must_use]
pub fn derive_key(secret: &[u8; 32], input: &[&[u8]]) -> Key {
    let mut block = [0; 64];
    for (slot, byte) in block.iter_mut().zip(secret) {
        *slot = *byte;
    }
    let mut mac: Hmac<Sha256> = Hmac::new(&block.into());
    for part in input {
        mac.update(part);
    }
    Key(u64::from_be_bytes(last8(&mac.finalize().into_bytes().into())).max(1))
}

/// Compares without telling by its duration where the difference lies. Different lengths are never equal.
#[must_use]
pub fn verify(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// An HMAC whose key is `own` followed by `peer`.
#[inline]
fn keyed(own: Key, peer: Key) -> Hmac<Sha256> {
    // HMAC pads its key with zeros to one hash block; handing it in padded leaves no length that could be wrong.
    let mut block = [0; 64];
    if let Some(keys) = block.first_chunk_mut() {
        *keys = (u128::from(own.0) << 64 | u128::from(peer.0)).to_be_bytes();
    }
    Hmac::new(&block.into())
}

/// The first `N` bytes of a digest.
fn first<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    const { assert!(N <= 32) };
    digest.first_chunk().copied().unwrap_or([0; N])
}

/// The last 8 bytes of a digest.
fn last8(digest: &[u8; 32]) -> [u8; 8] {
    digest.last_chunk().copied().unwrap_or_default()
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Debug for JoinHmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinHmac(..)")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token:{self}")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nonce:{self}")
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

#[cfg(test)]
mod tests;
