//! MP_FAIL (RFC 8684 3.7): a DSS checksum was wrong.

use super::{emit_option, first_byte, subtype};
use crate::seq::DataSeq;
use crate::wire::bytes::Reader;
use core::fmt;

/// Where the data can no longer be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpFail {
    /// Data sequence number at the start of the broken mapping [FB-9].
    pub data_seq: DataSeq,
}

impl MpFail {
    /// Reads the option; `None` for any length but 12.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let _reserved = reader.u16()?;
        let data_seq = DataSeq(reader.u64()?);
        reader.rest().is_empty().then_some(Self { data_seq })
    }

    /// Octets on the wire: 12.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        12
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| {
            writer.put([first_byte(subtype::MP_FAIL, 0), 0]);
            writer.put(self.data_seq.0.to_be_bytes());
        })
    }
}

impl fmt::Display for MpFail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fail seq {:#018x}", self.data_seq.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MptcpOption;
    use crate::wire::samples::{check_option, hex};

    #[test]
    fn bytes() {
        check_option(
            MptcpOption::Fail(MpFail { data_seq: DataSeq(0xe3db22c6785a0d46) }),
            "1e0c6000 e3db22c6785a0d46",
            "fail seq 0xe3db22c6785a0d46",
        );
        let reserved = hex("6fff e3db22c6785a0d46");
        assert_eq!(
            MpFail::parse(&reserved),
            Some(MpFail { data_seq: DataSeq(0xe3db22c6785a0d46) })
        );
        assert_eq!(MpFail::parse(&reserved[..9]), None);
    }
}
