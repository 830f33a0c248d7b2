//! MP_FASTCLOSE (RFC 8684 3.5): the whole connection ends at once.

use super::{emit_option, first_byte, subtype};
use crate::crypto::Key;
use crate::wire::bytes::Reader;
use core::fmt;

/// An abort of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastClose {
    /// The key of who receives this; with another one the option is to be ignored [FC-1].
    pub receiver_key: Key,
}

impl FastClose {
    /// Reads the option; `None` for any length but 12.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let _reserved = reader.u16()?;
        let receiver_key = Key(reader.u64()?);
        reader.rest().is_empty().then_some(Self { receiver_key })
    }

    /// Octets on the wire: 12.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        12
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| {
            writer.put([first_byte(subtype::MP_FASTCLOSE, 0), 0]);
            writer.put(self.receiver_key.0.to_be_bytes());
        })
    }
}

/// The key is shown by its token.
impl fmt::Display for FastClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fastclose receiver token {}", self.receiver_key.facts().token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MptcpOption;
    use crate::wire::samples::{check_option, hex};

    #[test]
    fn bytes() {
        let option = FastClose { receiver_key: Key(0x0001020304050607) };
        check_option(
            MptcpOption::FastClose(option),
            "1e0c7000 0001020304050607",
            "fastclose receiver token 0x8a851ff8",
        );
        assert_eq!(FastClose::parse(&hex("7fff 0001020304050607")), Some(option));
        assert_eq!(FastClose::parse(&hex("7000 0001020304050607 00")), None);
    }
}
