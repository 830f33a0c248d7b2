//! One MPTCP connection: what is known of its two sides.

use super::measure::Ordering;
use super::stream::Stream;
use mpuser_engine::addr::{AddressId, IpAddr};
use mpuser_engine::buffer::RangeSet;
use mpuser_engine::crypto::{self, Key, Nonce};
use std::collections::BTreeMap;
use std::fmt;

/// So many holes are followed at data level.
const MOST_RANGES: usize = 1 << 14;

/// One MPTCP connection.
pub struct Connection {
    /// Its number.
    pub index: usize,
    /// 0 or 1, if a handshake was seen.
    pub version: Option<u8>,
    /// Who opened it and the other one.
    pub sides: [Side; 2],
    /// Numbers of its subflows, in the order of appearance.
    pub subflows: Vec<usize>,
    /// Flags of MP_CAPABLE on SYN, SYN/ACK and third packet.
    pub flags: [Option<u8>; 3],
    /// The packet with an infinite mapping.
    pub infinite: Option<u64>,
    /// The packet with MP_FAIL.
    pub failed: Option<u64>,
    /// The packet with MP_FASTCLOSE.
    pub fast_close: Option<u64>,
    /// The last SYN of the first subflow had no MP_CAPABLE any more.
    pub(super) plain_syn: bool,
    /// Which key each packet showed, for the one that differs.
    pub(super) key_packets: [u64; 2],
}

/// What one side sends.
pub struct Side {
    /// Its key.
    pub key: Option<u64>,
    /// Its token: what the other side's joins carry.
    pub token: Option<u32>,
    /// Data sequence number before the first octet: the initial one, or a guess from the first seen.
    pub(super) base: Option<u64>,
    /// The base comes from the key.
    pub(super) exact: bool,
    /// What it has mapped.
    pub(super) mapped: RangeSet,
    pub(super) mapped_octets: u64,
    /// What has come.
    pub(super) arrived: RangeSet,
    pub(super) octets: u64,
    pub(super) ordering: Ordering,
    /// Octets mapped again, in other mappings.
    pub reinjected: u64,
    /// Mappings.
    pub mappings: u64,
    /// Octets sent that had been seen before at data level.
    pub duplicate: u64,
    /// Octets without a mapping.
    pub unmapped: u64,
    /// DSS checksums that were right, and wrong ones.
    pub checksums: (u64, u64),
    /// The first octet the other side has not acknowledged, relative, and the packet that says so.
    pub(super) acked: (i64, u64),
    /// What was acknowledged before that.
    pub(super) acked_before: i64,
    /// On which subflow, and whether less was acknowledged there later.
    pub(super) acked_on: (usize, bool),
    /// Where DATA_FINs stand: how many, in which packet the first.
    pub(super) fins: BTreeMap<i64, (u64, u64, usize)>,
    /// Addresses by their IDs.
    pub(super) addresses: BTreeMap<u8, IpAddr>,
    /// Advertised, with port.
    pub(super) advertised: BTreeMap<u8, (IpAddr, Option<u16>)>,
    /// HMACs of ADD_ADDR that were right, and wrong ones.
    pub hmacs: (u64, u64),
    /// Something is wrong that explains holes.
    pub(super) suspect: bool,
}

impl Side {
    fn new() -> Self {
        Self {
            key: None,
            token: None,
            base: None,
            exact: false,
            mapped: RangeSet::new(MOST_RANGES),
            mapped_octets: 0,
            arrived: RangeSet::new(MOST_RANGES),
            octets: 0,
            ordering: Ordering::new(),
            reinjected: 0,
            mappings: 0,
            duplicate: 0,
            unmapped: 0,
            checksums: (0, 0),
            acked: (0, 0),
            acked_before: 0,
            acked_on: (0, false),
            fins: BTreeMap::new(),
            addresses: BTreeMap::new(),
            advertised: BTreeMap::new(),
            hmacs: (0, 0),
            suspect: false,
        }
    }

    /// Octets mapped, each counted once.
    #[must_use]
    pub const fn mapped(&self) -> u64 {
        self.mapped_octets
    }

    /// Octets that came, each counted once.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.octets
    }

    /// Where its DATA_FIN stands, relative; the first place, should there be several.
    #[must_use]
    pub fn data_fin(&self) -> Option<i64> {
        self.fins.first_key_value().map(|(at, _)| *at)
    }

    /// The highest Data ACK the other side has sent, relative.
    #[must_use]
    pub const fn data_acked(&self) -> i64 {
        self.acked.0
    }

    /// The other side acknowledges what is before `ack`.
    pub(super) fn acknowledged(&mut self, ack: i64, packet: u64, stream: usize) {
        if ack > self.acked.0 {
            self.acked_before = self.acked.0;
            self.acked = (ack, packet);
            self.acked_on = (stream, false);
        } else if ack < self.acked.0 && stream == self.acked_on.0 {
            self.acked_on.1 = true;
        }
    }

    /// The end of what is mapped, relative.
    pub(super) fn end(&self) -> i64 {
        self.mapped.last().map_or(1, |last| last.end.cast_signed())
    }

    /// A number of its data sequence space, relative; the first one seen makes the base if there is none.
    pub(super) fn relative(&mut self, seq: mpuser_engine::wire::WireDataSeq) -> (i64, u64) {
        use mpuser_engine::seq::DataSeq;
        use mpuser_engine::wire::WireDataSeq::{Long, Short};
        let base = match (self.base, seq) {
            (Some(base), _) => base,
            (None, Long(all)) => all.wrapping_sub(1),
            (None, Short(low)) => u64::from(low).wrapping_sub(1),
        };
        self.base = Some(base);
        let near = base.wrapping_add_signed(self.end().max(self.acked.0));
        let full = match seq {
            // a base from 32 bits is compared in 32 bits
            Long(all) if base >> 32 == 0 && !self.exact && all >> 32 != 0 => {
                self.base = Some(base | (all >> 32) << 32);
                all
            }
            Long(all) => all,
            Short(low) => DataSeq::expand(low, DataSeq(near)).0,
        };
        let base = self.base.unwrap_or_default();
        (full.wrapping_sub(base).cast_signed(), full)
    }
}

impl Connection {
    pub(super) fn new(index: usize, version: Option<u8>) -> Self {
        Self {
            index,
            version,
            sides: [Side::new(), Side::new()],
            subflows: Vec::new(),
            flags: [None; 3],
            infinite: None,
            failed: None,
            fast_close: None,
            plain_syn: false,
            key_packets: [0; 2],
        }
    }

    /// Checksums are in use, as far as the handshake says (RFC 8684 3.1 [INI-29]).
    #[must_use]
    pub const fn checksum(&self) -> Option<bool> {
        match self.flags {
            [Some(a), Some(b), _] => Some((a | b) & 0x80 != 0),
            _ => None,
        }
    }

    /// Both keys.
    #[must_use]
    pub fn keys(&self) -> Option<[u64; 2]> {
        Some([self.sides[0].key?, self.sides[1].key?])
    }

    /// The full HMAC by which `side` proves itself in a join, as long as its version has it.
    pub(super) fn join_hmac(&self, side: usize, own: u32, peer: u32) -> Option<Vec<u8>> {
        let keys = self.keys()?;
        let (mine, theirs) = if side == 0 { (keys[0], keys[1]) } else { (keys[1], keys[0]) };
        Some(if self.version == Some(0) {
            crate::v0::join_hmac(mine, theirs, own, peer).to_vec()
        } else {
            let hmac = crypto::join_hmac(Key(mine), Key(theirs), Nonce(own), Nonce(peer));
            hmac.leftmost160().to_vec()
        })
    }

    /// The HMAC of an ADD_ADDR of `side`.
    pub(super) fn add_addr_hmac(
        &self,
        side: usize,
        id: u8,
        address: IpAddr,
        port: Option<u16>,
    ) -> Option<[u8; 8]> {
        let keys = self.keys()?;
        let (mine, theirs) = if side == 0 { (keys[0], keys[1]) } else { (keys[1], keys[0]) };
        Some(crypto::add_addr_hmac(Key(mine), Key(theirs), AddressId(id), address, port))
    }

    /// Why it is plain TCP, if it is.
    #[must_use]
    pub fn fallback(&self, streams: &[Stream]) -> Option<Fallback> {
        if let Some(packet) = self.infinite {
            return Some(match self.failed {
                Some(fail) => Fallback::Failed(fail),
                None => Fallback::Infinite(packet),
            });
        }
        let first = self.subflows.first().and_then(|index| streams.get(*index))?;
        if first.role != super::Role::First || !first.has_syn || self.flags[0].is_none() {
            return None;
        }
        let [client, server] = &first.halves;
        if !first.has_syn_ack {
            return (server.packets == 0 || first.reset).then_some(Fallback::NoAnswer);
        }
        if self.flags[1].is_none() {
            return Some(if self.plain_syn { Fallback::PlainSyn } else { Fallback::PlainSynAck });
        }
        if self.flags[2].is_none() && client.dss == 0 && client.packets > 1 {
            return Some(Fallback::PlainThird);
        }
        let talked = server.packets > 2 && client.bytes + server.bytes > 0;
        if talked && (server.dss == 0 || (client.dss == 0 && client.packets > 4)) {
            return Some(Fallback::NoDss);
        }
        let (segments, packet) = first.bare;
        let alone = self.subflows.len() == 1 && first.halves.iter().all(|half| !half.suspect);
        (alone && segments > 1).then_some(Fallback::Vanished(packet))
    }
}

/// Why a connection is plain TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The SYN with MP_CAPABLE was not answered, or refused.
    NoAnswer,
    /// The SYN was repeated without MP_CAPABLE.
    PlainSyn,
    /// The SYN/ACK had no MP_CAPABLE.
    PlainSynAck,
    /// The third packet had no MP_CAPABLE.
    PlainThird,
    /// One end never sent a DSS.
    NoDss,
    /// From this packet on neither end has MPTCP options.
    Vanished(u64),
    /// An infinite mapping, in this packet.
    Infinite(u64),
    /// MP_FAIL in this packet, then an infinite mapping.
    Failed(u64),
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("the SYN with MP_CAPABLE was not accepted"),
            Self::PlainSyn => f.write_str("the SYN was repeated without MP_CAPABLE"),
            Self::PlainSynAck => f.write_str("no MP_CAPABLE on the SYN/ACK"),
            Self::PlainThird => f.write_str("no MP_CAPABLE on the third packet"),
            Self::NoDss => f.write_str("one end never sent a DSS"),
            Self::Vanished(packet) => write!(f, "no MPTCP option from packet {packet} on"),
            Self::Infinite(packet) => write!(f, "infinite mapping in packet {packet}"),
            Self::Failed(packet) => write!(f, "MP_FAIL in packet {packet}"),
        }
    }
}
