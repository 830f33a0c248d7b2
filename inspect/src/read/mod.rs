//! Capture files: pcap and pcapng, frame by frame, with as much memory as the longest record has.
//!
//! The records are parsed by `pcap-parser`. What stands here holds the buffer, checks the lengths before anybody
//! believes them, and says where in the file something is wrong.

mod legacy;
mod link;
mod ng;

pub use link::{LinkError, Network, link_name, network};

use std::io::Read;

/// No record is longer: the largest snapshot length that libpcap writes is 256 KiB, and pcapng has options.
const LONGEST_RECORD: usize = 16 << 20;
/// What is asked of the source at once.
const CHUNK: usize = 64 << 10;

/// What is wrong with a file, and where.
#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}: {problem}")]
pub struct ReadError {
    /// Octets from the start of the file to the record that is not right.
    pub offset: u64,
    /// What it is.
    #[source]
    pub problem: Problem,
}

/// What can be wrong with a capture file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The source failed.
    #[error("cannot read on: {0}")]
    Io(#[from] std::io::Error),
    /// Nothing at all.
    #[error("the file is empty")]
    Empty,
    /// Not a capture.
    #[error("not a capture: it begins with {0}, which is neither pcap nor pcapng")]
    Magic(String),
    /// A capture inside something else.
    #[error("it is compressed with {0}; decompress it first")]
    Compressed(&'static str),
    /// The file ends inside a record.
    #[error("the file ends within {what}: {wanted} octets announced, {there} there")]
    Cut {
        /// Which record.
        what: &'static str,
        /// Octets it should have.
        wanted: usize,
        /// Octets there are.
        there: usize,
    },
    /// A length that cannot be.
    #[error("{what} says that it has {length} octets, which cannot be")]
    Length {
        /// Which record.
        what: &'static str,
        /// What it says.
        length: u64,
    },
    /// A record the parser refuses.
    #[error("{0} is not well-formed")]
    Malformed(&'static str),
    /// A packet from an interface the file has not described.
    #[error("a packet of interface {0}, which the file does not describe")]
    Interface(u32),
}

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// 1 for the first of the file, as Wireshark counts.
    pub number: u64,
    /// Octets from the start of the file to its record.
    pub offset: u64,
    /// Nanoseconds since 1970, if the record has a time.
    pub time: Option<i64>,
    /// Link type of its interface, a LINKTYPE_ number.
    pub link: u32,
    /// Number of its interface; 0 in a pcap file.
    pub interface: u32,
    /// Octets it had on the wire.
    pub wire_len: usize,
    /// The octets that were captured.
    pub data: &'a [u8],
}

/// Where a frame's octets are in the buffer, and the rest of a [`Frame`].
struct Located {
    start: usize,
    len: usize,
    time: Option<i64>,
    link: u32,
    interface: u32,
    wire_len: usize,
}

enum Format {
    /// Nothing read yet.
    Unknown,
    Legacy(legacy::Legacy),
    Ng(ng::Section),
    /// The end, or an error: nothing more comes.
    Over,
}

/// Frames from a capture file.
pub struct Reader<R> {
    buffer: Buffer<R>,
    format: Format,
    number: u64,
}

impl<R: Read> Reader<R> {
    /// A reader of what `source` gives. Nothing is read yet.
    pub const fn new(source: R) -> Self {
        Self { buffer: Buffer::new(source), format: Format::Unknown, number: 0 }
    }

    /// The next frame; `None` at the end of the file. After an error there is no more.
    ///
    /// # Errors
    /// What is wrong, and at which octet of the file.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let located = self.locate();
        let offset = self.buffer.offset;
        let located = match located {
            Ok(Some(located)) => located,
            Ok(None) => {
                self.format = Format::Over;
                return Ok(None);
            }
            Err(problem) => {
                self.format = Format::Over;
                return Err(ReadError { offset, problem });
            }
        };
        self.number += 1;
        let data = self.buffer.bytes().get(located.start..located.start + located.len);
        Ok(Some(Frame {
            number: self.number,
            offset,
            time: located.time,
            link: located.link,
            interface: located.interface,
            wire_len: located.wire_len,
            data: data.unwrap_or_default(),
        }))
    }

    /// Octets of the file read and done with.
    pub const fn position(&self) -> u64 {
        self.buffer.offset
    }

    fn locate(&mut self) -> Result<Option<Located>, Problem> {
        self.buffer.forget();
        if matches!(self.format, Format::Unknown) {
            self.format = self.detect()?;
        }
        match &mut self.format {
            Format::Legacy(legacy) => legacy.locate(&mut self.buffer),
            Format::Ng(section) => section.locate(&mut self.buffer),
            Format::Unknown | Format::Over => Ok(None),
        }
    }

    /// The format of the file, its header read if it is pcap.
    fn detect(&mut self) -> Result<Format, Problem> {
        let there = self.buffer.fill(4)?;
        let magic: [u8; 4] = match self.buffer.bytes().first_chunk() {
            Some(magic) => *magic,
            None if there == 0 => return Err(Problem::Empty),
            None => return Err(Problem::Cut { what: "the file header", wanted: 24, there }),
        };
        match magic {
            [0x0a, 0x0d, 0x0d, 0x0a] => Ok(Format::Ng(ng::Section::new())),
            [0x1f, 0x8b, ..] => Err(Problem::Compressed("gzip")),
            [0x28, 0xb5, 0x2f, 0xfd] => Err(Problem::Compressed("zstd")),
            [0xfd, 0x37, 0x7a, 0x58] => Err(Problem::Compressed("xz")),
            [0x04, 0x22, 0x4d, 0x18] => Err(Problem::Compressed("lz4")),
            _ => match legacy::Legacy::read(&mut self.buffer)? {
                Some(legacy) => Ok(Format::Legacy(legacy)),
                None => {
                    let words = magic.map(|byte| format!("{byte:02x}")).join(" ");
                    Err(Problem::Magic(words))
                }
            },
        }
    }
}

/// A window on the source: what is read and not yet done with.
struct Buffer<R> {
    source: R,
    held: Vec<u8>,
    /// Where the window begins in `held`.
    start: usize,
    /// Where it begins in the file.
    offset: u64,
    /// What is to be dropped before the next record is looked for.
    used: usize,
}

impl<R: Read> Buffer<R> {
    const fn new(source: R) -> Self {
        Self { source, held: Vec::new(), start: 0, offset: 0, used: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.held.get(self.start..).unwrap_or_default()
    }

    /// Reads until `wanted` octets are there or the source ends; gives how many of them are there.
    fn fill(&mut self, wanted: usize) -> Result<usize, Problem> {
        while self.bytes().len() < wanted {
            if self.start > 0 {
                self.held.drain(..self.start);
                self.start = 0;
            }
            let before = self.held.len();
            // chunk by chunk: a length that lies costs no memory
            self.held.resize(before + CHUNK, 0);
            let space = self.held.get_mut(before..).unwrap_or_default();
            let read = self.source.read(space);
            let got = *read.as_ref().unwrap_or(&0);
            self.held.truncate(before + got.min(CHUNK));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.bytes().len().min(wanted))
    }

    /// `len` octets of `what`, or the error that they are not there.
    fn need(&mut self, what: &'static str, len: usize) -> Result<(), Problem> {
        let there = self.fill(len)?;
        if there < len { Err(Problem::Cut { what, wanted: len, there }) } else { Ok(()) }
    }

    /// The record of `len` octets is done with as soon as the next one is asked for.
    const fn use_up(&mut self, len: usize) {
        self.used = len;
    }

    /// Drops what was used.
    fn forget(&mut self) {
        let used = self.used.min(self.bytes().len());
        self.start += used;
        self.offset += used as u64;
        self.used = 0;
    }
}

/// Nanoseconds, as far as they fit.
fn nanoseconds(seconds: i128, fraction: i128) -> i64 {
    let all = seconds.saturating_mul(1_000_000_000).saturating_add(fraction);
    i64::try_from(all).unwrap_or(if all < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
