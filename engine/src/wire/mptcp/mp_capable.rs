//! MP_CAPABLE (RFC 8684 3.1): the handshake of the first subflow.

use super::{emit_option, first_byte, subtype};
use crate::crypto::Key;
use crate::wire::bytes::Reader;
use core::fmt;

/// The flag byte of MP_CAPABLE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapableFlags(pub u8);

impl CapableFlags {
    /// A: DSS checksums required.
    pub const CHECKSUM_REQUIRED: u8 = 0x80;
    /// B: an extension that must be understood. Always sent as 0 [INI-18].
    pub const EXTENSIBILITY: u8 = 0x40;
    /// C: no further subflows to this address and port [INI-20].
    pub const DENY_JOIN_INITIAL: u8 = 0x20;
    /// D to H: crypto algorithms.
    pub const ALGORITHMS: u8 = 0x1f;
    /// H: HMAC-SHA256.
    pub const HMAC_SHA256: u8 = 0x01;

    /// The flags of an end that speaks HMAC-SHA256 only [INI-21].
    #[must_use]
    pub const fn new(checksum_required: bool, deny_join_initial: bool) -> Self {
        let a = if checksum_required { Self::CHECKSUM_REQUIRED } else { 0 };
        let c = if deny_join_initial { Self::DENY_JOIN_INITIAL } else { 0 };
        Self(a | c | Self::HMAC_SHA256)
    }

    /// A
    #[must_use]
    pub const fn checksum_required(self) -> bool {
        self.0 & Self::CHECKSUM_REQUIRED != 0
    }

    /// B
    #[must_use]
    pub const fn extensibility(self) -> bool {
        self.0 & Self::EXTENSIBILITY != 0
    }

    /// C
    #[must_use]
    pub const fn deny_join_initial(self) -> bool {
        self.0 & Self::DENY_JOIN_INITIAL != 0
    }

    /// H
    #[must_use]
    pub const fn hmac_sha256(self) -> bool {
        self.0 & Self::HMAC_SHA256 != 0
    }

    /// D to H, five bits.
    #[must_use]
    pub const fn algorithms(self) -> u8 {
        self.0 & Self::ALGORITHMS
    }
}

/// MP_CAPABLE in its four shapes, told apart by length [INI-6].
///
/// Every version parses if its length is one of these; whether to speak it is the engine's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MpCapable {
    /// 4 octets, on the SYN.
    Syn {
        /// 0 to 15; RFC 8684 is 1.
        version: u8,
        /// Flags A to H.
        flags: CapableFlags,
    },
    /// 12 octets, on the SYN/ACK. (In version 0 also on the SYN.)
    SynAck {
        /// 0 to 15.
        version: u8,
        /// Flags A to H.
        flags: CapableFlags,
        /// The key of who sends this.
        sender_key: Key,
    },
    /// 20 octets, on the third packet when it has no data.
    Ack {
        /// 0 to 15.
        version: u8,
        /// Flags A to H.
        flags: CapableFlags,
        /// The key of who sends this.
        sender_key: Key,
        /// The key of who receives this, repeated.
        receiver_key: Key,
    },
    /// 22 or 24 octets, on the first data [INI-13].
    AckData {
        /// 0 to 15.
        version: u8,
        /// Flags A to H.
        flags: CapableFlags,
        /// The key of who sends this.
        sender_key: Key,
        /// The key of who receives this, repeated.
        receiver_key: Key,
        /// Data-level length: maps as many octets, from IDSN + 1 and subflow sequence number 1 on.
        data_len: u16,
        /// DSS checksum of that mapping.
        checksum: Option<u16>,
    },
}

impl MpCapable {
    /// Reads the option; `None` when no shape has this length.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let version = reader.u8()? & 0x0f;
        let flags = CapableFlags(reader.u8()?);
        if body.len() == 2 {
            return Some(Self::Syn { version, flags });
        }
        let sender_key = Key(reader.u64()?);
        if body.len() == 10 {
            return Some(Self::SynAck { version, flags, sender_key });
        }
        let receiver_key = Key(reader.u64()?);
        let checksum = match body.len() {
            18 => return Some(Self::Ack { version, flags, sender_key, receiver_key }),
            20 => false,
            22 => true,
            _ => return None,
        };
        let data_len = reader.u16()?;
        let checksum = if checksum { Some(reader.u16()?) } else { None };
        Some(Self::AckData { version, flags, sender_key, receiver_key, data_len, checksum })
    }

    /// Octets on the wire: 4, 12, 20, 22 or 24.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        match self {
            Self::Syn { .. } => 4,
            Self::SynAck { .. } => 12,
            Self::Ack { .. } => 20,
            Self::AckData { checksum: None, .. } => 22,
            Self::AckData { checksum: Some(_), .. } => 24,
        }
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| {
            writer.put([first_byte(subtype::MP_CAPABLE, self.version()), self.flags().0]);
            match self {
                Self::Syn { .. } => {}
                Self::SynAck { sender_key, .. } => writer.put(sender_key.0.to_be_bytes()),
                Self::Ack { sender_key, receiver_key, .. } => {
                    writer.put(sender_key.0.to_be_bytes());
                    writer.put(receiver_key.0.to_be_bytes());
                }
                Self::AckData { sender_key, receiver_key, data_len, checksum, .. } => {
                    writer.put(sender_key.0.to_be_bytes());
                    writer.put(receiver_key.0.to_be_bytes());
                    writer.put(data_len.to_be_bytes());
                    if let Some(checksum) = checksum {
                        writer.put(checksum.to_be_bytes());
                    }
                }
            }
        })
    }

    /// The version, 0 to 15.
    #[must_use]
    pub const fn version(&self) -> u8 {
        match *self {
            Self::Syn { version, .. }
            | Self::SynAck { version, .. }
            | Self::Ack { version, .. }
            | Self::AckData { version, .. } => version,
        }
    }

    /// The flags.
    #[must_use]
    pub const fn flags(&self) -> CapableFlags {
        match *self {
            Self::Syn { flags, .. }
            | Self::SynAck { flags, .. }
            | Self::Ack { flags, .. }
            | Self::AckData { flags, .. } => flags,
        }
    }
}

impl fmt::Display for CapableFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (bit, letter) in ["A", "B", "C", "D", "E", "F", "G", "H"].into_iter().enumerate() {
            if self.0 << bit & 0x80 != 0 {
                f.write_str(letter)?;
            }
        }
        f.write_str("]")
    }
}

/// Keys are shown by their tokens: a trace may be passed on, a key may not.
impl fmt::Display for MpCapable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "capable v{} {}", self.version(), self.flags())?;
        match self {
            Self::Syn { .. } => Ok(()),
            Self::SynAck { sender_key, .. } => {
                write!(f, " sender token {}", sender_key.facts().token)
            }
            Self::Ack { sender_key, receiver_key, .. }
            | Self::AckData { sender_key, receiver_key, .. } => {
                let (sender, receiver) = (sender_key.facts().token, receiver_key.facts().token);
                write!(f, " sender token {sender} receiver token {receiver}")
            }
        }?;
        if let Self::AckData { data_len, checksum, .. } = self {
            write!(f, " len {data_len}")?;
            if let Some(checksum) = checksum {
                write!(f, " csum {checksum:#06x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MptcpOption;
    use crate::wire::samples::{check_option, hex};

    const FLAGS: CapableFlags = CapableFlags::new(false, false);
    const A: Key = Key(0x0001020304050607);
    const KERNEL: Key = Key(0x1bc778d50fc752dd);

    #[test]
    fn shapes_by_length() {
        check_option(
            MptcpOption::Capable(MpCapable::Syn { version: 1, flags: FLAGS }),
            "1e04 0101",
            "capable v1 [H]",
        );
        // from a live kernel
        check_option(
            MptcpOption::Capable(MpCapable::SynAck {
                version: 1,
                flags: FLAGS,
                sender_key: KERNEL,
            }),
            "1e0c0101 1bc778d50fc752dd",
            "capable v1 [H] sender token 0xeebb0c6c",
        );
        let (version, flags, sender_key, receiver_key) = (1, FLAGS, A, KERNEL);
        check_option(
            MptcpOption::Capable(MpCapable::Ack { version, flags, sender_key, receiver_key }),
            "1e140101 0001020304050607 1bc778d50fc752dd",
            "capable v1 [H] sender token 0x8a851ff8 receiver token 0xeebb0c6c",
        );
        let flags = CapableFlags::new(true, true);
        for (checksum, bytes, text) in [
            (None, "1e1601a1 0001020304050607 1bc778d50fc752dd 000b", ""),
            (Some(0x9681), "1e1801a1 0001020304050607 1bc778d50fc752dd 000b 9681", " csum 0x9681"),
        ] {
            check_option(
                MptcpOption::Capable(MpCapable::AckData {
                    version,
                    flags,
                    sender_key,
                    receiver_key,
                    data_len: 11,
                    checksum,
                }),
                bytes,
                &std::format!(
                    "capable v1 [ACH] sender token 0x8a851ff8 receiver token 0xeebb0c6c len 11{text}"
                ),
            );
        }
    }

    /// RFC 8684 3.1 [INI-2] [INI-6]: a version is no matter of form.
    #[test]
    fn other_versions_keep_their_number() {
        for version in 0..16 {
            let parsed = MpCapable::parse(&[version, 0x01]).unwrap();
            assert_eq!((parsed.version(), parsed.flags()), (version, FLAGS));
        }
        assert_eq!(MpCapable::parse(&hex("0001 0001020304050607")).map(|o| o.version()), Some(0));
    }

    #[test]
    fn flags_by_letter() {
        let all = CapableFlags(0xff);
        assert!(all.checksum_required() && all.extensibility() && all.deny_join_initial());
        assert!(all.hmac_sha256());
        assert_eq!(all.algorithms(), 0x1f);
        assert_eq!(std::format!("{all}"), "[ABCDEFGH]");
        let none = CapableFlags(0);
        assert!(!none.checksum_required() && !none.extensibility() && !none.deny_join_initial());
        assert!(!none.hmac_sha256());
        // [INI-18] [INI-21]
        assert_eq!(CapableFlags::new(false, false).0, 0x01);
        assert_eq!(CapableFlags::new(true, true).0, 0xa1);
    }
}
