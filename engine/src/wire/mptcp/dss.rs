//! DSS (RFC 8684 3.3): data sequence mapping, data acknowledgement, DATA_FIN.

use super::{emit_option, first_byte, subtype};
use crate::seq::{DataSeq, SubflowSeq};
use crate::wire::bytes::Reader;
use core::fmt;

/// A: Data ACK present.
const ACK: u8 = 0x01;
/// a: Data ACK has 8 octets.
const ACK_LONG: u8 = 0x02;
/// M: mapping present.
const MAP: u8 = 0x04;
/// m: data sequence number has 8 octets.
const MAP_LONG: u8 = 0x08;
/// F: DATA_FIN.
const DATA_FIN: u8 = 0x10;

/// A number of the data sequence space in one of its two widths (RFC 8684 3.3.1 [DSS-16] [DSS-17]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireDataSeq {
    /// The low 32 bits.
    Short(u32),
    /// All 64 bits.
    Long(u64),
}

/// The next data sequence number expected (RFC 8684 3.3.2).
pub type DataAck = WireDataSeq;

impl WireDataSeq {
    /// The full number; a short one is taken as the candidate nearest to `near` [DSS-19] [DSS-20].
    #[must_use]
    pub const fn expand(self, near: DataSeq) -> DataSeq {
        match self {
            Self::Short(low) => DataSeq::expand(low, near),
            Self::Long(full) => DataSeq(full),
        }
    }

    /// All 64 bits are there.
    #[must_use]
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Long(_))
    }

    const fn octets(self) -> usize {
        match self {
            Self::Short(_) => 4,
            Self::Long(_) => 8,
        }
    }

    #[inline(always)]
    fn read(reader: &mut Reader<'_>, long: bool) -> Option<Self> {
        if long { reader.u64().map(Self::Long) } else { reader.u32().map(Self::Short) }
    }
}

/// The long form.
impl From<DataSeq> for WireDataSeq {
    fn from(seq: DataSeq) -> Self {
        Self::Long(seq.0)
    }
}

/// Which octets of the subflow are which octets of the connection (RFC 8684 3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DssMapping {
    /// Data sequence number of the first octet.
    pub data_seq: WireDataSeq,
    /// Subflow sequence number of the first octet; 0 for a DATA_FIN without data [FIN-2].
    pub subflow_seq: SubflowSeq,
    /// Octets, a DATA_FIN counted [FIN-1]; 0 means from here on without end [DSS-23].
    pub data_len: u16,
    /// DSS checksum, if agreed upon.
    pub checksum: Option<u16>,
}

impl DssMapping {
    /// The infinite mapping, by which a connection becomes plain TCP (RFC 8684 3.7).
    #[must_use]
    pub const fn is_infinite(&self) -> bool {
        self.data_len == 0
    }
}

/// A DSS option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dss {
    /// Data ACK, if present.
    pub data_ack: Option<DataAck>,
    /// Mapping, if present.
    pub mapping: Option<DssMapping>,
    /// F: the data ends with this mapping.
    pub data_fin: bool,
}

impl Dss {
    /// Reads the option; `None` when the length does not go with the flags.
    ///
    /// Lengths are ambiguous, so the flags decide and the length only says whether there is a checksum.
    #[must_use]
    #[inline]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let [_, flags] = reader.take()?;
        // a and m mean nothing without A and M [OPT-11].
        let data_ack = if flags & ACK != 0 {
            Some(WireDataSeq::read(&mut reader, flags & ACK_LONG != 0)?)
        } else {
            None
        };
        let mapping = if flags & MAP != 0 {
            let data_seq = WireDataSeq::read(&mut reader, flags & MAP_LONG != 0)?;
            let subflow_seq = SubflowSeq(reader.u32()?);
            let data_len = reader.u16()?;
            let checksum = if reader.rest().is_empty() { None } else { Some(reader.u16()?) };
            Some(DssMapping { data_seq, subflow_seq, data_len, checksum })
        } else {
            None
        };
        reader.rest().is_empty().then_some(Self {
            data_ack,
            mapping,
            data_fin: flags & DATA_FIN != 0,
        })
    }

    /// Octets on the wire: 4 to 28.
    #[must_use]
    #[inline]
    pub const fn wire_len(&self) -> usize {
        let ack = match self.data_ack {
            Some(ack) => ack.octets(),
            None => 0,
        };
        let mapping = match self.mapping {
            Some(DssMapping { data_seq, checksum: Some(_), .. }) => data_seq.octets() + 8,
            Some(DssMapping { data_seq, checksum: None, .. }) => data_seq.octets() + 6,
            None => 0,
        };
        4 + ack + mapping
    }

    /// Writes the option; `None` when it does not fit.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| {
            // Reserved bits are zero [OPT-10].
            writer.put([first_byte(subtype::DSS, 0), self.flags()]);
            match self.data_ack {
                Some(WireDataSeq::Long(ack)) => writer.put(ack.to_be_bytes()),
                Some(WireDataSeq::Short(ack)) => writer.put(ack.to_be_bytes()),
                None => {}
            }
            let Some(mapping) = self.mapping else { return };
            match mapping.data_seq {
                WireDataSeq::Long(seq) => writer.put(seq.to_be_bytes()),
                WireDataSeq::Short(seq) => writer.put(seq.to_be_bytes()),
            }
            writer.put(mapping.subflow_seq.0.to_be_bytes());
            writer.put(mapping.data_len.to_be_bytes());
            if let Some(checksum) = mapping.checksum {
                writer.put(checksum.to_be_bytes());
            }
        })
    }

    const fn flags(&self) -> u8 {
        let ack = match self.data_ack {
            None => 0,
            Some(WireDataSeq::Short(_)) => ACK,
            Some(WireDataSeq::Long(_)) => ACK | ACK_LONG,
        };
        let map = match self.mapping {
            None => 0,
            Some(DssMapping { data_seq: WireDataSeq::Short(_), .. }) => MAP,
            Some(DssMapping { data_seq: WireDataSeq::Long(_), .. }) => MAP | MAP_LONG,
        };
        ack | map | if self.data_fin { DATA_FIN } else { 0 }
    }
}

/// As many digits as the wire has.
impl fmt::Display for WireDataSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(low) => write!(f, "{low:#010x}"),
            Self::Long(full) => write!(f, "{full:#018x}"),
        }
    }
}

impl fmt::Display for Dss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dss")?;
        if self.data_fin {
            f.write_str(" fin")?;
        }
        if let Some(ack) = self.data_ack {
            write!(f, " ack {ack}")?;
        }
        if let Some(mapping) = self.mapping {
            write!(f, " seq {} subseq {}", mapping.data_seq, mapping.subflow_seq.0)?;
            write!(f, " len {}", mapping.data_len)?;
            if let Some(checksum) = mapping.checksum {
                write!(f, " csum {checksum:#06x}")?;
            }
            if mapping.is_infinite() {
                f.write_str(" infinite")?;
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

    fn mapping(data_seq: WireDataSeq, len: u16, checksum: Option<u16>) -> Option<DssMapping> {
        Some(DssMapping { data_seq, subflow_seq: SubflowSeq(1), data_len: len, checksum })
    }

    #[test]
    fn live_kernel() {
        let data_ack = Some(DataAck::Long(0xe3db22c6785a0d51));
        check_option(
            MptcpOption::Dss(Dss { data_ack, ..Dss::default() }),
            "1e0c2003 e3db22c6785a0d51",
            "dss ack 0xe3db22c6785a0d51",
        );
        let data_seq = WireDataSeq::Long(0xbd09c1b94a030663);
        check_option(
            MptcpOption::Dss(Dss {
                data_ack,
                mapping: mapping(data_seq, 11, None),
                data_fin: false,
            }),
            "1e1a200f e3db22c6785a0d51 bd09c1b94a030663 00000001 000b",
            "dss ack 0xe3db22c6785a0d51 seq 0xbd09c1b94a030663 subseq 1 len 11",
        );
        let data_seq = WireDataSeq::Long(0x242894828b368fca);
        check_option(
            MptcpOption::Dss(Dss {
                data_ack: None,
                mapping: mapping(data_seq, 11, Some(0x9681)),
                data_fin: false,
            }),
            "1e14200c 242894828b368fca 00000001 000b 9681",
            "dss seq 0x242894828b368fca subseq 1 len 11 csum 0x9681",
        );
    }

    #[test]
    fn short_forms_and_special_mappings() {
        check_option(
            MptcpOption::Dss(Dss {
                data_ack: Some(DataAck::Short(5)),
                mapping: mapping(WireDataSeq::Short(6), 1, Some(0)),
                data_fin: true,
            }),
            "1e142015 00000005 00000006 00000001 0001 0000",
            "dss fin ack 0x00000005 seq 0x00000006 subseq 1 len 1 csum 0x0000",
        );
        check_option(
            MptcpOption::Dss(Dss {
                data_ack: None,
                mapping: mapping(WireDataSeq::Long(6), 0, None),
                data_fin: false,
            }),
            "1e12200c 0000000000000006 00000001 0000",
            "dss seq 0x0000000000000006 subseq 1 len 0 infinite",
        );
    }

    /// RFC 8684 3.3 [OPT-11], and the reserved bits.
    #[test]
    fn meaningless_bits_are_ignored() {
        assert_eq!(Dss::parse(&[0x2f, 0xea]), Some(Dss::default()));
        let with_a = hex("2004 00000006 00000001 0001");
        let mut and_more = with_a.clone();
        and_more[1] |= 0xe2;
        assert_eq!(Dss::parse(&and_more), Dss::parse(&with_a));
    }

    /// 22 octets are ack32 + map64 as well as ack64 + map32: the flags decide.
    #[test]
    fn ambiguous_lengths_are_read_by_flags() {
        let rest = "00000001 00000002 00000003 00000004 0005";
        let parse = |flags: &str| Dss::parse(&hex(&std::format!("20{flags} {rest}"))).unwrap();
        assert_eq!(parse("0d").data_ack, Some(DataAck::Short(1)));
        assert_eq!(parse("0d").mapping.unwrap().data_seq, WireDataSeq::Long(0x2_0000_0003));
        assert_eq!(parse("07").data_ack, Some(DataAck::Long(0x1_0000_0002)));
        assert_eq!(parse("07").mapping.unwrap().data_seq, WireDataSeq::Short(3));
    }

    #[test]
    fn every_length_is_right_for_its_flags_only() {
        for flags in 0..=0xff_u8 {
            let ack = [0, 4, 0, 8][usize::from(flags & 3)];
            let map = [0, 10, 0, 14][usize::from(flags >> 2 & 3)];
            let expected = 2 + ack + map;
            for len in 0..=38 {
                let mut body = std::vec![0; len];
                [0x20, flags].into_iter().zip(&mut body).for_each(|(byte, slot)| *slot = byte);
                let legal = len == expected || (map > 0 && len == expected + 2);
                assert_eq!(Dss::parse(&body).is_some(), legal, "flags {flags:#x} length {len}");
            }
        }
    }

    #[test]
    fn short_numbers_expand_near_the_expected_one() {
        let near = DataSeq(0x1_ffff_fff0);
        assert_eq!(WireDataSeq::Short(0x10).expand(near), DataSeq(0x2_0000_0010));
        assert_eq!(WireDataSeq::Long(7).expand(near), DataSeq(7));
        assert_eq!(WireDataSeq::from(near), WireDataSeq::Long(near.0));
    }
}
