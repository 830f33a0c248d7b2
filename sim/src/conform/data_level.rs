//! The data level as a hand-made end speaks it: its options with the right keys, numbers and checksums.

use super::segment::Flow;
use mpuser_engine::addr::{AddressId, IpAddr};
use mpuser_engine::crypto::{Key, Nonce, add_addr_hmac, join_hmac};
use mpuser_engine::seq::{DataSeq, SubflowSeq};
use mpuser_engine::wire::{
    AddAddr, CapableFlags, Checksum, Dss, DssMapping, MpCapable, MpJoin, MptcpOption, WireDataSeq,
    dss_checksum,
};

/// The key of a hand-made end.
pub const KEY: Key = Key(0x0001_0203_0405_0607);
/// Its nonce in joins.
pub const NONCE: Nonce = Nonce(0x1122_3344);

/// A connection between a hand-made end and a stack. Offsets count octets of data from 0.
#[derive(Clone, Copy, Debug)]
pub struct DataLevel {
    /// The hand-made end's key.
    pub key: Key,
    /// The stack's.
    pub own_key: Key,
    /// Checksums are in use.
    pub checksum: bool,
    /// The hand-made end numbers its data in 32 bits.
    pub short: bool,
}

impl DataLevel {
    /// DSN of the hand-made end's octet number `offset`.
    #[must_use]
    pub fn dsn(&self, offset: u64) -> DataSeq {
        self.key.facts().idsn + 1 + offset
    }

    /// DSN of the stack's octet number `offset`: what the hand-made end acknowledges.
    #[must_use]
    pub fn own_dsn(&self, offset: u64) -> DataSeq {
        self.own_key.facts().idsn + 1 + offset
    }

    const fn wire(&self, seq: DataSeq) -> WireDataSeq {
        if self.short { WireDataSeq::Short(seq.low32()) } else { WireDataSeq::Long(seq.0) }
    }

    /// A Data ACK for `offset` octets of the stack's.
    #[must_use]
    pub fn ack(&self, offset: u64) -> Dss {
        Dss { data_ack: Some(self.wire(self.own_dsn(offset))), ..Dss::default() }
    }

    /// A mapping of `data_len` octets at data offset `at` to subflow offset `from`, with the checksum of `data` and a
    /// Data ACK for `acked`.
    #[must_use]
    pub fn map_at(&self, from: u64, at: u64, data: &[u8], data_len: u16, acked: u64) -> Dss {
        self.mapping(SubflowSeq::from_offset(from), at, data, data_len, acked)
    }

    /// A DATA_FIN at data offset `at`, alone, with a Data ACK for `acked`.
    #[must_use]
    pub fn data_fin(&self, at: u64, acked: u64) -> Dss {
        Dss { data_fin: true, ..self.mapping(SubflowSeq(0), at, b"", 1, acked) }
    }

    fn mapping(
        &self,
        subflow_seq: SubflowSeq,
        at: u64,
        data: &[u8],
        data_len: u16,
        acked: u64,
    ) -> Dss {
        let data_seq = self.dsn(at);
        let checksum = self.checksum.then(|| {
            let mut sum = Checksum::new();
            sum.add_bytes(data);
            dss_checksum(data_seq, subflow_seq, data_len, sum)
        });
        let data_seq = self.wire(data_seq);
        let mapping = DssMapping { data_seq, subflow_seq, data_len, checksum };
        Dss { mapping: Some(mapping), ..self.ack(acked) }
    }

    /// MP_CAPABLE with both keys, for the third packet of a client.
    #[must_use]
    pub const fn capable_ack(&self, flags: CapableFlags) -> MptcpOption {
        let (sender_key, receiver_key) = (self.key, self.own_key);
        MptcpOption::Capable(MpCapable::Ack { version: 1, flags, sender_key, receiver_key })
    }

    /// MP_JOIN of a SYN.
    #[must_use]
    pub fn join_syn(&self, address_id: AddressId, backup: bool) -> MptcpOption {
        let token = self.own_key.facts().token;
        MptcpOption::Join(MpJoin::Syn { backup, address_id, token, nonce: NONCE })
    }

    /// MP_JOIN of a SYN/ACK, with the right HMAC for the stack's nonce.
    #[must_use]
    pub fn join_syn_ack(&self, nonce: Nonce, address_id: AddressId) -> MptcpOption {
        let hmac = join_hmac(self.key, self.own_key, NONCE, nonce).leftmost64();
        MptcpOption::Join(MpJoin::SynAck { backup: false, address_id, hmac, nonce: NONCE })
    }

    /// MP_JOIN of the third packet, with the right HMAC for the stack's nonce.
    #[must_use]
    pub fn join_ack(&self, nonce: Nonce) -> MptcpOption {
        let hmac = join_hmac(self.key, self.own_key, NONCE, nonce).leftmost160();
        MptcpOption::Join(MpJoin::Ack { hmac })
    }

    /// ADD_ADDR with the right HMAC.
    #[must_use]
    pub fn add_addr(&self, id: AddressId, address: IpAddr, port: Option<u16>) -> AddAddr {
        let hmac = Some(add_addr_hmac(self.key, self.own_key, id, address, port));
        AddAddr { echo: false, id, address, port, hmac }
    }
}

/// A hand-made end of one connection, and what it says at the data level.
pub trait HandMade {
    /// What its options are made of.
    fn data_level(&self) -> DataLevel;

    /// See [`DataLevel::dsn`].
    fn dsn(&self, offset: u64) -> DataSeq {
        self.data_level().dsn(offset)
    }

    /// See [`DataLevel::own_dsn`].
    fn own_dsn(&self, offset: u64) -> DataSeq {
        self.data_level().own_dsn(offset)
    }

    /// See [`DataLevel::ack`].
    fn ack(&self, offset: u64) -> Dss {
        self.data_level().ack(offset)
    }

    /// A mapping of `data` at data offset `at`, for the next octets of `flow`, with a Data ACK for `acked`.
    fn map(&self, flow: &Flow, at: u64, data: &[u8], acked: u64) -> Dss {
        self.map_at(flow.nxt, at, data, data.len() as u16, acked)
    }

    /// See [`DataLevel::map_at`].
    fn map_at(&self, from: u64, at: u64, data: &[u8], data_len: u16, acked: u64) -> Dss {
        self.data_level().map_at(from, at, data, data_len, acked)
    }

    /// See [`DataLevel::data_fin`].
    fn data_fin(&self, at: u64, acked: u64) -> Dss {
        self.data_level().data_fin(at, acked)
    }

    /// See [`DataLevel::capable_ack`].
    fn capable_ack(&self, flags: CapableFlags) -> MptcpOption {
        self.data_level().capable_ack(flags)
    }
}
