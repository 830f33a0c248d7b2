//! The pcapng format: sections of blocks, interfaces described in each.

use super::{Buffer, LONGEST_RECORD, Located, Problem, nanoseconds};
use pcap_parser::pcapng::{
    Block, parse_block_be, parse_block_le, parse_sectionheaderblock_be, parse_sectionheaderblock_le,
};
use std::io::Read;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// The packet block of old, before the enhanced one.
const OBSOLETE: u32 = 2;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;
/// A file has at most so many interfaces; more are an attack on memory.
const MOST_INTERFACES: usize = 1 << 16;

/// What a packet's block does not say itself.
struct Interface {
    link: u32,
    snaplen: u32,
    /// Ticks in a second.
    resolution: u64,
    /// Seconds to be added to every time.
    offset: i64,
}

/// A section: one byte order, its own interfaces.
pub(super) struct Section {
    big: bool,
    interfaces: Vec<Interface>,
}

impl Section {
    pub(super) const fn new() -> Self {
        Self { big: false, interfaces: Vec::new() }
    }

    /// The next packet; blocks of other kinds are passed over.
    pub(super) fn locate<R: Read>(
        &mut self,
        buffer: &mut Buffer<R>,
    ) -> Result<Option<Located>, Problem> {
        loop {
            buffer.forget();
            if buffer.fill(1)? == 0 {
                return Ok(None);
            }
            buffer.need("the header of a block", 12)?;
            let kind = self.word(buffer.bytes(), 0);
            if kind == SECTION {
                self.order(buffer.bytes())?;
            }
            let len = self.word(buffer.bytes(), 4) as usize;
            if len < 12 || !len.is_multiple_of(4) || len > LONGEST_RECORD {
                return Err(Problem::Length { what: "a block", length: len as u64 });
            }
            buffer.need("a block", len)?;
            let block = buffer.bytes().get(..len).unwrap_or_default();
            if self.word(block, len - 4) as usize != len {
                return Err(Problem::Malformed("a block whose two lengths differ"));
            }
            let found = self.block(kind, block)?;
            buffer.use_up(len);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// The byte order of a new section.
    fn order(&mut self, block: &[u8]) -> Result<(), Problem> {
        self.big = match block.get(8..12) {
            Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
            Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
            _ => return Err(Problem::Malformed("the byte-order magic of a section")),
        };
        Ok(())
    }

    fn block(&mut self, kind: u32, block: &[u8]) -> Result<Option<Located>, Problem> {
        match kind {
            SECTION => {
                let parse = if self.big {
                    parse_sectionheaderblock_be
                } else {
                    parse_sectionheaderblock_le
                };
                parse(block).map_err(|_| Problem::Malformed("a section header"))?;
                self.interfaces.clear();
                Ok(None)
            }
            OBSOLETE => self.obsolete(block).map(Some),
            INTERFACE | SIMPLE | ENHANCED => {
                let parse = if self.big { parse_block_be } else { parse_block_le };
                let name = match kind {
                    INTERFACE => "an interface description",
                    SIMPLE => "a simple packet block",
                    _ => "an enhanced packet block",
                };
                match parse(block).map_err(|_| Problem::Malformed(name))?.1 {
                    Block::InterfaceDescription(found) => {
                        if self.interfaces.len() >= MOST_INTERFACES {
                            return Err(Problem::Malformed("a file of more than 65536 interfaces"));
                        }
                        self.interfaces.push(Interface {
                            link: found.linktype.0.cast_unsigned(),
                            snaplen: found.snaplen,
                            resolution: ticks(found.if_tsresol)
                                .ok_or(Problem::Malformed("the time resolution of an interface"))?,
                            offset: found.if_tsoffset,
                        });
                        Ok(None)
                    }
                    Block::SimplePacket(packet) => {
                        self.simple(packet.origlen, block.len()).map(Some)
                    }
                    Block::EnhancedPacket(packet) => {
                        let time = (packet.ts_high, packet.ts_low);
                        let sizes = (packet.caplen, packet.origlen);
                        self.packet(packet.if_id, time, sizes, 28, block.len()).map(Some)
                    }
                    _ => Err(Problem::Malformed(name)),
                }
            }
            _ => Ok(None),
        }
    }

    fn interface(&self, id: u32) -> Result<&Interface, Problem> {
        self.interfaces.get(id as usize).ok_or(Problem::Interface(id))
    }

    /// A packet of interface `id` whose octets begin at `start` of a block of `block` octets.
    fn packet(
        &self,
        id: u32,
        time: (u32, u32),
        (captured, original): (u32, u32),
        start: usize,
        block: usize,
    ) -> Result<Located, Problem> {
        let interface = self.interface(id)?;
        let len = captured as usize;
        if len > block.saturating_sub(start + 4) {
            return Err(Problem::Length { what: "a packet", length: len as u64 });
        }
        let ticks = i128::from(u64::from(time.0) << 32 | u64::from(time.1));
        let resolution = i128::from(interface.resolution.max(1));
        let seconds = ticks / resolution + i128::from(interface.offset);
        let fraction = ticks % resolution * 1_000_000_000 / resolution;
        Ok(Located {
            start,
            len,
            time: Some(nanoseconds(seconds, fraction)),
            link: interface.link,
            interface: id,
            wire_len: original as usize,
        })
    }

    /// No time, no interface but the first, and as much as fits.
    fn simple(&self, original: u32, block: usize) -> Result<Located, Problem> {
        let interface = self.interface(0)?;
        let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let len = (original.min(limit) as usize).min(block.saturating_sub(16));
        Ok(Located {
            start: 12,
            len,
            time: None,
            link: interface.link,
            interface: 0,
            wire_len: original as usize,
        })
    }

    fn obsolete(&self, block: &[u8]) -> Result<Located, Problem> {
        if block.len() < 32 {
            return Err(Problem::Malformed("a packet block"));
        }
        let word = self.word(block, 8);
        // the first two octets are the interface, the next two count drops
        let id = if self.big { word >> 16 } else { word & 0xffff };
        let time = (self.word(block, 12), self.word(block, 16));
        let sizes = (self.word(block, 20), self.word(block, 24));
        self.packet(id, time, sizes, 28, block.len())
    }

    /// The number in the four octets at `at`, in the section's byte order; 0 where there are none.
    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied();
        let four = four.unwrap_or_default();
        if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }
}

/// Ticks in a second by the option `if_tsresol`: a power of ten, or of two with the upper bit.
fn ticks(resolution: u8) -> Option<u64> {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10_u64.checked_pow(exponent) } else { 2_u64.checked_pow(exponent) }
}
