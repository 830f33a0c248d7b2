//! What fields are filled in from.

use mpuser_engine::addr::AddressId;
use mpuser_engine::crypto::{self, Key, Nonce};
use mpuser_inspect::v0;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What is known of the connection a packet belongs to. "Own" is who sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where it comes from.
    pub local: SocketAddr,
    /// Where it goes.
    pub remote: SocketAddr,
    /// Its sequence number.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: u32,
    /// Version of MPTCP: 0 or 1.
    pub version: u8,
    /// The sender's key.
    pub key: Option<u64>,
    /// The receiver's key.
    pub peer_key: Option<u64>,
    /// The sender's nonce, if this is a join.
    pub nonce: u32,
    /// The receiver's.
    pub peer_nonce: Option<u32>,
    /// DSS checksums are in use.
    pub checksum: bool,
    /// Octets of data that are mapped already.
    pub data_sent: u64,
    /// Octets of data received in order.
    pub data_received: u64,
    /// Octets this subflow has carried before.
    pub carried: u64,
    /// Identifier of the sender's address.
    pub address_id: u8,
}

/// A packet on its own, between addresses of RFC 5737.
impl Default for Known {
    fn default() -> Self {
        Self {
            local: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 40_000)),
            remote: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 2), 80)),
            seq: 0,
            ack: 0,
            version: 1,
            key: Some(0x0001_0203_0405_0607),
            peer_key: None,
            nonce: 0x1122_3344,
            peer_nonce: None,
            checksum: false,
            data_sent: 0,
            data_received: 0,
            carried: 0,
            address_id: 1,
        }
    }
}

impl Known {
    /// Token and initial data sequence number of a key: SHA-256, in version 0 SHA-1.
    #[must_use]
    pub fn facts(&self, key: u64) -> (u32, u64) {
        if self.version == 0 {
            return v0::key_facts(key);
        }
        let facts = Key(key).facts();
        (facts.token.0, facts.idsn.0)
    }

    /// The HMAC by which the end with `own` proves itself in a join: 20 octets, of which a SYN/ACK has 8.
    #[must_use]
    pub fn join_hmac(&self, own: u64, peer: u64, nonce: u32, peer_nonce: u32) -> [u8; 20] {
        if self.version == 0 {
            return v0::join_hmac(own, peer, nonce, peer_nonce);
        }
        crypto::join_hmac(Key(own), Key(peer), Nonce(nonce), Nonce(peer_nonce)).leftmost160()
    }

    /// The HMAC of an ADD_ADDR.
    #[must_use]
    pub fn add_addr_hmac(
        own: u64,
        peer: u64,
        id: u8,
        address: IpAddr,
        port: Option<u16>,
    ) -> [u8; 8] {
        crypto::add_addr_hmac(Key(own), Key(peer), AddressId(id), address, port)
    }

    /// The data sequence number of octet number `offset` behind a key.
    #[must_use]
    pub fn dsn(&self, key: u64, offset: u64) -> u64 {
        self.facts(key).1.wrapping_add(1).wrapping_add(offset)
    }

    /// The same connection, seen by the other end.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
            seq: self.ack,
            ack: self.seq,
            key: self.peer_key,
            peer_key: self.key,
            nonce: self.peer_nonce.unwrap_or_default(),
            peer_nonce: Some(self.nonce),
            data_sent: self.data_received,
            data_received: self.data_sent,
            ..self.clone()
        }
    }
}
