//! The pcap format: a header, then records.

use super::{Buffer, LONGEST_RECORD, Located, Problem, nanoseconds};
use pcap_parser::{
    PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};
use std::io::Read;

const HEADER: usize = 24;
const RECORD: &str = "a packet record";

/// What the header of a pcap file says.
pub(super) struct Legacy {
    header: PcapHeader,
    big: bool,
}

impl Legacy {
    /// Reads the header; `None` if it has another magic number.
    pub(super) fn read<R: Read>(buffer: &mut Buffer<R>) -> Result<Option<Self>, Problem> {
        let known = [
            [0xa1, 0xb2, 0xc3, 0xd4],
            [0xd4, 0xc3, 0xb2, 0xa1],
            [0xa1, 0xb2, 0x3c, 0x4d],
            [0x4d, 0x3c, 0xb2, 0xa1],
            // records with eight octets more (Kuznetzov's libpcap)
            [0x34, 0xcd, 0xb2, 0xa1],
        ];
        let Some(magic) = buffer.bytes().first_chunk::<4>().copied() else { return Ok(None) };
        if !known.contains(&magic) {
            return Ok(None);
        }
        buffer.need("the file header", HEADER)?;
        let bytes = buffer.bytes().get(..HEADER).unwrap_or_default();
        let (_, header) =
            parse_pcap_header(bytes).map_err(|_| Problem::Malformed("the file header"))?;
        buffer.use_up(HEADER);
        buffer.forget();
        Ok(Some(Self { big: magic[0] == 0xa1, header }))
    }

    /// The next record.
    pub(super) fn locate<R: Read>(
        &self,
        buffer: &mut Buffer<R>,
    ) -> Result<Option<Located>, Problem> {
        let modified = self.header.is_modified_format();
        let head = if modified { 24 } else { 16 };
        if buffer.fill(1)? == 0 {
            return Ok(None);
        }
        buffer.need("the header of a packet record", head)?;
        let field: [u8; 4] =
            buffer.bytes().get(8..12).and_then(|b| b.first_chunk().copied()).unwrap_or_default();
        let len = if self.big { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > LONGEST_RECORD {
            return Err(Problem::Length { what: RECORD, length: len as u64 });
        }
        buffer.need(RECORD, head + len)?;
        let bytes = buffer.bytes().get(..head + len).unwrap_or_default();
        let parsed = if modified {
            parse_pcap_frame_modified(bytes)
        } else if self.big {
            parse_pcap_frame_be(bytes)
        } else {
            parse_pcap_frame(bytes)
        };
        let (_, record) = parsed.map_err(|_| Problem::Malformed(RECORD))?;
        let unit = if self.header.is_nanosecond_precision() { 1 } else { 1000 };
        let time = nanoseconds(record.ts_sec.into(), i128::from(record.ts_usec) * unit);
        let wire_len = usize::try_from(record.origlen).unwrap_or(len);
        buffer.use_up(head + len);
        Ok(Some(Located {
            start: head,
            len,
            time: Some(time),
            // the upper bits say whether there is a frame check sequence
            link: (self.header.network.0 & 0x0fff_ffff).cast_unsigned(),
            interface: 0,
            wire_len,
        }))
    }
}
