//! Capture files: a small pcapng writer (draft-ietf-opsawg-pcapng).
//!
//! One section; one interface block per path with link type RAW and nanosecond timestamps; packets with direction and
//! comment; a statistics block per interface at the end. A failing file never hurts a connection: the first error is
//! kept, and nothing more is written.
#![forbid(unsafe_code)]

mod story;

pub use story::{Carried, Story};

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
/// Raw IP, version 4 or 6.
const LINKTYPE_RAW: u16 = 101;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Units per second as a power of ten: nanoseconds.
const TSRESOL: u8 = 9;
/// Longest comment written, bytes; keeps an option within its 16-bit length with room to spare.
const MAX_COMMENT: usize = 1024;

/// Which way a packet went, seen from this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    Inbound,
    /// Sent.
    Outbound,
}

/// An interface of the capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureInterface(u32);

#[derive(Default)]
struct Statistics {
    packets: u64,
    dropped: u64,
}

/// Writes a pcapng file.
pub struct CaptureWriter {
    out: BufWriter<Box<dyn Write + Send>>,
    /// One block under construction.
    block: Vec<u8>,
    snaplen: usize,
    live: bool,
    started: bool,
    finished: bool,
    interfaces: Vec<Statistics>,
    first: Option<Duration>,
    last: Duration,
    error: Option<io::Error>,
}

impl CaptureWriter {
    /// A writer to a file, a pipe or standard output. Nothing is written before the first interface.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self {
            out: BufWriter::with_capacity(64 * 1024, Box::new(out)),
            block: Vec::with_capacity(2048),
            snaplen: usize::MAX,
            live: false,
            started: false,
            finished: false,
            interfaces: Vec::new(),
            first: None,
            last: Duration::ZERO,
            error: None,
        }
    }

    /// Keeps only the first `bytes` of every packet (128 holds all headers). 0 means everything, the default.
    #[must_use]
    pub fn snaplen(mut self, bytes: usize) -> Self {
        self.snaplen = if bytes == 0 { usize::MAX } else { bytes };
        self
    }

    /// Writes every packet out at once instead of gathering 64 KiB: for a pipe somebody is looking at. A reader
    /// that does not keep up then holds up the stack.
    #[must_use]
    pub fn live(mut self, live: bool) -> Self {
        self.live = live;
        self
    }

    /// Adds an interface.
    pub fn add_interface(&mut self, name: &str) -> CaptureInterface {
        if !self.started {
            self.started = true;
            self.section_header();
        }
        let number = self.interfaces.len() as u32;
        self.interfaces.push(Statistics::default());
        // A file with a limit says so; 0 is "no limit".
        let limit = u32::try_from(self.snaplen).unwrap_or(0);
        self.begin(INTERFACE_DESCRIPTION);
        self.block.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        self.block.extend_from_slice(&[0; 2]);
        self.put32(limit);
        self.option(IF_NAME, clip(name).as_bytes());
        self.option(IF_TSRESOL, &[TSRESOL]);
        self.end();
        CaptureInterface(number)
    }

    /// Writes one packet, given in two parts, `at` a time since the Unix epoch.
    pub fn packet(
        &mut self,
        interface: CaptureInterface,
        at: Duration,
        direction: Direction,
        (headers, payload): (&[u8], &[u8]),
        comment: Option<&str>,
    ) {
        let Some(statistics) = self.interfaces.get_mut(interface.0 as usize) else { return };
        if self.error.is_some() || self.finished {
            return;
        }
        statistics.packets += 1;
        self.first.get_or_insert(at);
        self.last = self.last.max(at);
        let original = headers.len() + payload.len();
        let headers = headers.get(..self.snaplen).unwrap_or(headers);
        let payload = payload.get(..self.snaplen - headers.len()).unwrap_or(payload);
        self.begin(ENHANCED_PACKET);
        self.put32(interface.0);
        self.put_time(at);
        self.put32((headers.len() + payload.len()) as u32);
        self.put32(original as u32);
        self.block.extend_from_slice(headers);
        self.block.extend_from_slice(payload);
        self.pad();
        let flags: u32 = match direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        self.option(EPB_FLAGS, &flags.to_le_bytes());
        if let Some(comment) = comment {
            self.option(OPT_COMMENT, clip(comment).as_bytes());
        }
        self.end();
        if self.live {
            self.flush();
        }
    }

    /// Counts a packet the device refused; the statistics block at the end tells.
    pub fn dropped(&mut self, interface: CaptureInterface) {
        if let Some(statistics) = self.interfaces.get_mut(interface.0 as usize) {
            statistics.dropped += 1;
        }
    }

    /// Writes a packet that never arrived, on the interface `drop:PATH` made for that, with the reason as its comment.
    pub fn lost(
        &mut self,
        drops: CaptureInterface,
        at: Duration,
        direction: Direction,
        parts: (&[u8], &[u8]),
        reason: &str,
    ) {
        self.packet(drops, at, direction, parts, Some(reason));
    }

    /// Hands everything to the file.
    pub fn flush(&mut self) {
        if self.error.is_none() {
            self.error = self.out.flush().err();
        }
    }

    /// Writes the statistics and flushes; nothing is written after. Done on drop as well.
    pub fn finish(&mut self) {
        if self.finished {
            return;
        }
        let interfaces = std::mem::take(&mut self.interfaces);
        let (first, last) = (self.first.unwrap_or(self.last), self.last);
        for (number, statistics) in interfaces.iter().enumerate() {
            self.begin(INTERFACE_STATISTICS);
            self.put32(number as u32);
            self.put_time(last);
            self.option(ISB_STARTTIME, &time(first));
            self.option(ISB_ENDTIME, &time(last));
            self.option(ISB_IFRECV, &statistics.packets.to_le_bytes());
            self.option(ISB_IFDROP, &statistics.dropped.to_le_bytes());
            self.end();
        }
        self.finished = true;
        self.flush();
    }

    /// The error that ended the capture, if one did.
    #[must_use]
    pub const fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn section_header(&mut self) {
        self.begin(SECTION_HEADER);
        self.put32(BYTE_ORDER_MAGIC);
        // Version 1.0, section length not known.
        self.put32(1);
        self.block.extend_from_slice(&u64::MAX.to_le_bytes());
        self.option(SHB_USERAPPL, concat!("mpuser ", env!("CARGO_PKG_VERSION")).as_bytes());
        self.end();
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.put32(kind);
        self.put32(0); // the length, set by `end`
    }

    /// Closes the block under construction, which has options, and writes it.
    fn end(&mut self) {
        self.option(OPT_END, &[]);
        let length = (self.block.len() + 4) as u32;
        self.put32(length);
        if let Some(field) = self.block.get_mut(4..8) {
            field.copy_from_slice(&length.to_le_bytes());
        }
        if self.error.is_none() && !self.finished {
            self.error = self.out.write_all(&self.block).err();
        }
    }

    fn put32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn put_time(&mut self, at: Duration) {
        self.block.extend_from_slice(&time(at));
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend_from_slice(&code.to_le_bytes());
        self.block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }
}

impl Drop for CaptureWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for CaptureWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureWriter")
            .field("interfaces", &self.interfaces.len())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Nanoseconds since the Unix epoch, high word first.
fn time(at: Duration) -> [u8; 8] {
    let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    (nanos.rotate_left(32)).to_le_bytes()
}

/// At most [`MAX_COMMENT`] bytes, cut between characters.
fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_COMMENT)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
