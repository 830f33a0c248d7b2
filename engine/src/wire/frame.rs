//! Segments over a byte stream: the layout of docs/framing.md, without I/O.
//!
//! A stream begins with a [`Preface`] in each direction. Frames follow: a TCP segment without ports and checksum, since
//! the stream has its own. Every length is bounded before anything is kept.

use super::OptionBuffer;
use super::bytes::{Reader, Writer};
use super::ip::{IpHeader, protocol};
use super::tcp::{self, ChecksumMode, TcpHeader};
use crate::addr::{FourTuple, SocketAddr};
use crate::seq::SeqNum;
use alloc::vec::Vec;
use bytes::{Buf as _, Bytes, BytesMut};
use core::fmt;

/// The version of the layout.
pub const VERSION: u8 = 1;
/// Octets of a preface.
pub const PREFACE_LEN: usize = 8;
/// Octets of a frame before its options.
pub const HEAD_LEN: usize = 16;
/// Most octets of options, as in TCP.
pub const MAX_OPTIONS: usize = 40;
/// Most octets of payload.
pub const MAX_PAYLOAD: usize = 16_384;

const MAGIC: [u8; 4] = *b"mpus";
/// FIN, SYN, RST, PSH and ACK; the others mean nothing here.
const KNOWN_FLAGS: u8 = 0x1f;

/// What each end says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preface {
    /// From the one who opened: 0. From the other: what becomes of the stream.
    pub answer: Answer,
    /// The port that is wanted behind the stream; the answer repeats it.
    pub port: u16,
}

/// What the end that was called says about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Welcome,
    /// There are too many streams that have not proved themselves.
    Busy,
}

impl Preface {
    /// The octets of it.
    #[must_use]
    pub fn emit(&self) -> [u8; PREFACE_LEN] {
        let code = match self.answer {
            Answer::Welcome => 0,
            Answer::Busy => 1,
        };
        let mut bytes = [0; PREFACE_LEN];
        let mut writer = Writer::new(&mut bytes);
        writer.put(MAGIC);
        writer.put([VERSION, code]);
        writer.put(self.port.to_be_bytes());
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`FrameError::NotOurs`], [`FrameError::Version`], [`FrameError::Answer`], [`FrameError::Port`].
    pub fn parse(bytes: [u8; PREFACE_LEN]) -> Result<Self, FrameError> {
        let [m0, m1, m2, m3, version, code, high, low] = bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::NotOurs);
        }
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let answer = match code {
            0 => Answer::Welcome,
            1 => Answer::Busy,
            _ => return Err(FrameError::Answer(code)),
        };
        let port = u16::from_be_bytes([high, low]);
        if port == 0 { Err(FrameError::Port) } else { Ok(Self { answer, port }) }
    }

    /// What came so far cannot become a preface: there is no need to wait for more.
    #[must_use]
    pub fn is_hopeless(so_far: &[u8]) -> bool {
        so_far.iter().zip(MAGIC).any(|(found, wanted)| *found != wanted)
    }
}

/// What is wrong with a stream. There is no way to go on after one: nobody knows where the next frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameError {
    /// It does not begin with a preface.
    NotOurs,
    /// A preface of another version.
    Version(u8),
    /// A preface with an answer that means nothing.
    Answer(u8),
    /// A preface for port 0.
    Port,
    /// More payload than a frame may have.
    PayloadLength(u16),
    /// More words of options than a segment may have.
    OptionsLength(u8),
    /// Control bits that are never set.
    Flags(u8),
    /// Octets that are kept for a later version are not zero.
    Reserved(u16),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("it is no mpuser that answers there"),
            Self::Version(found) => {
                write!(
                    f,
                    "it speaks version {found} of the framing, and this end version {VERSION}"
                )
            }
            Self::Answer(code) => write!(f, "its preface has the unknown answer {code}"),
            Self::Port => f.write_str("its preface asks for port 0"),
            Self::PayloadLength(len) => {
                write!(f, "a frame says {len} octets of payload, more than {MAX_PAYLOAD}")
            }
            Self::OptionsLength(words) => {
                write!(f, "a frame says {words} words of options, more than 10")
            }
            Self::Flags(bits) => write!(f, "a frame has control bits {bits:#04x}"),
            Self::Reserved(value) => write!(f, "a frame has {value:#06x} where zero has to be"),
        }
    }
}

impl core::error::Error for FrameError {}

/// One segment of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The TCP header; its ports and the urgent pointer are 0.
    pub header: TcpHeader,
    /// TCP options as the codec writes them.
    pub options: OptionBuffer,
    /// The subflow's octets.
    pub payload: Bytes,
}

impl Frame {
    /// Takes a packet of the engine apart: its four-tuple as the sender sees it, and the octets that go before the
    /// payload in the frame. `None` for what is not a TCP packet or does not fit into a frame.
    #[must_use]
    pub fn head_of(headers: &[u8], payload_len: usize) -> Option<(FourTuple, Vec<u8>)> {
        let ip = IpHeader::parse_beginning(headers).ok()?;
        let segment = headers.get(ip.header_len..)?;
        let (header, len) = TcpHeader::parse(segment).ok()?;
        let options = segment.get(tcp::HEADER_LEN..len)?;
        let fits = ip.protocol == protocol::TCP && payload_len <= MAX_PAYLOAD;
        if !fits || len != segment.len() || header.flag_bits() & !KNOWN_FLAGS != 0 {
            return None;
        }
        let tuple = FourTuple {
            local: SocketAddr::new(ip.src, header.src_port),
            remote: SocketAddr::new(ip.dst, header.dst_port),
        };
        let mut head = Vec::with_capacity(HEAD_LEN + options.len());
        head.extend_from_slice(&u16::try_from(payload_len).ok()?.to_be_bytes());
        head.extend_from_slice(&[u8::try_from(options.len() / 4).ok()?, header.flag_bits()]);
        head.extend_from_slice(&header.seq.0.to_be_bytes());
        head.extend_from_slice(&header.ack.unwrap_or_default().0.to_be_bytes());
        head.extend_from_slice(&header.window.to_be_bytes());
        head.extend_from_slice(&[0, 0]);
        head.extend_from_slice(options);
        Some((tuple, head))
    }

    /// The packet the engine at this end gets, as if it had come from `tuple.remote`. `None` when the families differ.
    #[must_use]
    pub fn packet(&self, tuple: &FourTuple) -> Option<Bytes> {
        let from = FourTuple { local: tuple.remote, remote: tuple.local };
        let header =
            TcpHeader { src_port: from.local.port(), dst_port: from.remote.port(), ..self.header };
        let mut packet = Vec::with_capacity(120 + self.payload.len());
        let full = ChecksumMode::Full;
        tcp::emit(&mut packet, &from, &header, &self.options, &self.payload, full)?;
        packet.extend_from_slice(&self.payload);
        Some(packet.into())
    }
}

/// Octets of a stream come in, in pieces of any size; frames come out.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Where the stream's next octets go. With [`Self::frame`] called until it gives nothing, no more than one frame
    /// stays in it.
    pub const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The preface, once it is there.
    ///
    /// # Errors
    /// As [`Preface::parse`]; what cannot become one is found as soon as it shows.
    pub fn preface(&mut self) -> Result<Option<Preface>, FrameError> {
        if Preface::is_hopeless(&self.buffer) {
            return Err(FrameError::NotOurs);
        }
        let Some(bytes) = self.buffer.first_chunk().copied() else { return Ok(None) };
        let preface = Preface::parse(bytes)?;
        self.buffer.advance(PREFACE_LEN);
        Ok(Some(preface))
    }

    /// The next frame, if it is whole.
    ///
    /// # Errors
    /// The stream is broken, and stays so.
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((header, option_len, payload_len)) = self.head()? else { return Ok(None) };
        let body = HEAD_LEN + option_len;
        if self.buffer.len() < body + payload_len {
            return Ok(None);
        }
        let head = self.buffer.split_to(body);
        let options = head.get(HEAD_LEN..).and_then(OptionBuffer::from_octets);
        let options = options.unwrap_or_default();
        let payload = self.buffer.split_to(payload_len).freeze();
        Ok(Some(Frame { header, options, payload }))
    }

    fn head(&self) -> Result<Option<(TcpHeader, usize, usize)>, FrameError> {
        let mut reader = Reader::new(&self.buffer);
        let mut fields = || {
            let (payload_len, [words, flags]) = (reader.u16()?, reader.take()?);
            let (seq, ack) = (reader.u32()?, reader.u32()?);
            Some((payload_len, words, flags, seq, ack, reader.u16()?, reader.u16()?))
        };
        let Some((payload_len, words, bits, seq, ack, window, reserved)) = fields() else {
            return Ok(None);
        };
        if usize::from(payload_len) > MAX_PAYLOAD {
            return Err(FrameError::PayloadLength(payload_len));
        }
        if usize::from(words) * 4 > MAX_OPTIONS {
            return Err(FrameError::OptionsLength(words));
        }
        if bits & !KNOWN_FLAGS != 0 {
            return Err(FrameError::Flags(bits));
        }
        if reserved != 0 {
            return Err(FrameError::Reserved(reserved));
        }
        let header = TcpHeader::of_bits(bits, SeqNum(seq), SeqNum(ack), window);
        Ok(Some((header, usize::from(words) * 4, usize::from(payload_len))))
    }
}

#[cfg(test)]
mod tests;
