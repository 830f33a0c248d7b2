//! MP_JOIN (RFC 8684 3.2): the handshake of a further subflow.

use super::{emit_option, first_byte, subtype};
use crate::addr::AddressId;
use crate::crypto::{Nonce, Token};
use crate::wire::bytes::Reader;
use core::fmt;

/// MP_JOIN in its three shapes, told apart by length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MpJoin {
    /// 12 octets, on the SYN.
    Syn {
        /// B: use this subflow only when no other works.
        backup: bool,
        /// ID of the SYN's source address.
        address_id: AddressId,
        /// The receiver's token [JOIN-1].
        token: Token,
        /// The sender's nonce.
        nonce: Nonce,
    },
    /// 16 octets, on the SYN/ACK.
    SynAck {
        /// B: use this subflow only when no other works.
        backup: bool,
        /// ID of the SYN/ACK's source address.
        address_id: AddressId,
        /// The sender's HMAC, leftmost 64 bits [JOIN-5].
        hmac: [u8; 8],
        /// The sender's nonce.
        nonce: Nonce,
    },
    /// 24 octets, on the third packet.
    Ack {
        /// The sender's HMAC, leftmost 160 bits [JOIN-8].
        hmac: [u8; 20],
    },
}

impl MpJoin {
    /// Reads the option; `None` when no shape has this length.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let backup = reader.u8()? & 1 != 0;
        let address_id = AddressId(reader.u8()?);
        match body.len() {
            10 => {
                let token = Token(reader.u32()?);
                Some(Self::Syn { backup, address_id, token, nonce: Nonce(reader.u32()?) })
            }
            14 => {
                let hmac = reader.take()?;
                Some(Self::SynAck { backup, address_id, hmac, nonce: Nonce(reader.u32()?) })
            }
            22 => Some(Self::Ack { hmac: reader.take()? }),
            _ => None,
        }
    }

    /// Octets on the wire: 12, 16 or 24.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        match self {
            Self::Syn { .. } => 12,
            Self::SynAck { .. } => 16,
            Self::Ack { .. } => 24,
        }
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| match *self {
            // The bits beside B are sent as zero, and all of them on the third packet [OPT-8] [OPT-9].
            Self::Syn { backup, address_id, token, nonce } => {
                writer.put([first_byte(subtype::MP_JOIN, backup.into()), address_id.0]);
                writer.put(token.0.to_be_bytes());
                writer.put(nonce.0.to_be_bytes());
            }
            Self::SynAck { backup, address_id, hmac, nonce } => {
                writer.put([first_byte(subtype::MP_JOIN, backup.into()), address_id.0]);
                writer.put(hmac);
                writer.put(nonce.0.to_be_bytes());
            }
            Self::Ack { hmac } => {
                writer.put([first_byte(subtype::MP_JOIN, 0), 0]);
                writer.put(hmac);
            }
        })
    }
}

impl fmt::Display for MpJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            f.write_str(" hmac 0x")?;
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        let head = |f: &mut fmt::Formatter<'_>, backup: bool, id: AddressId| {
            write!(f, "join{} id {}", if backup { " backup" } else { "" }, id.0)
        };
        match self {
            Self::Syn { backup, address_id, token, nonce } => {
                head(f, *backup, *address_id)?;
                write!(f, " token {token} nonce {nonce}")
            }
            Self::SynAck { backup, address_id, hmac, nonce } => {
                head(f, *backup, *address_id)?;
                hex(f, hmac)?;
                write!(f, " nonce {nonce}")
            }
            Self::Ack { hmac } => {
                f.write_str("join")?;
                hex(f, hmac)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MptcpOption;
    use crate::wire::samples::{check_option, hex};

    #[test]
    fn shapes_by_length() {
        let (address_id, token, nonce) = (AddressId(2), Token(0x34179de5), Nonce(0x11223344));
        check_option(
            MptcpOption::Join(MpJoin::Syn { backup: true, address_id, token, nonce }),
            "1e0c1102 34179de5 11223344",
            "join backup id 2 token 0x34179de5 nonce 0x11223344",
        );
        // from a live kernel
        check_option(
            MptcpOption::Join(MpJoin::SynAck {
                backup: false,
                address_id: AddressId(0),
                hmac: *hex("803b9a71bac327e5").first_chunk().unwrap(),
                nonce: Nonce(0xa431534c),
            }),
            "1e101000 803b9a71bac327e5 a431534c",
            "join id 0 hmac 0x803b9a71bac327e5 nonce 0xa431534c",
        );
        check_option(
            MptcpOption::Join(MpJoin::Ack {
                hmac: *hex("a54aebb37c11d2bcb27a15b82beba5d3656c8727").first_chunk().unwrap(),
            }),
            "1e181000 a54aebb37c11d2bcb27a15b82beba5d3656c8727",
            "join hmac 0xa54aebb37c11d2bcb27a15b82beba5d3656c8727",
        );
    }

    #[test]
    fn reserved_bits_do_not_matter() {
        let body = hex("1f02 34179de5 11223344");
        assert_eq!(MpJoin::parse(&body), MpJoin::parse(&hex("1102 34179de5 11223344")));
        let third = |head: &str| MpJoin::parse(&[hex(head), std::vec![7; 20]].concat());
        assert_eq!(third("1fff"), third("1000"));
        assert_eq!(third("1000"), Some(MpJoin::Ack { hmac: [7; 20] }));
    }
}
