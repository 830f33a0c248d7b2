//! What can be wrong with bytes from the wire.

use core::fmt;

/// Why a packet was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than the headers say.
    Truncated,
    /// Neither IPv4 nor IPv6.
    BadVersion,
    /// A header length too small to be true, or larger than the packet.
    BadHeaderLength,
    /// An IP length field that contradicts the header.
    BadTotalLength,
    /// The IP header's, the TCP or the ICMP checksum is wrong.
    BadChecksum,
    /// A fragment; reassembly is somebody else's work.
    Fragment,
    /// More IPv6 extension headers than any honest sender uses.
    TooManyExtensionHeaders,
    /// An IPv6 routing header that still has a way to go: the packet is not at its destination.
    SourceRouted,
    /// A TCP option length of 0 or 1.
    BadOptionLength {
        /// Of the option's kind byte, from the start of the options.
        offset: usize,
    },
    /// A TCP option that runs past the end of the options.
    OptionOverrun {
        /// Of the option's kind byte, from the start of the options.
        offset: usize,
    },
    /// Not a TCP packet, or not an error about one.
    NotTcp,
    /// An ICMP message that is no error this stack acts upon.
    NotAnError,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the packet is cut short",
            Self::BadVersion => "neither IPv4 nor IPv6",
            Self::BadHeaderLength => "impossible header length",
            Self::BadTotalLength => "impossible packet length",
            Self::BadChecksum => "wrong checksum",
            Self::Fragment => "an IP fragment",
            Self::TooManyExtensionHeaders => "too many IPv6 extension headers",
            Self::SourceRouted => "an IPv6 routing header with segments left",
            Self::BadOptionLength { offset } => {
                return write!(f, "TCP option at offset {offset} has a length below 2");
            }
            Self::OptionOverrun { offset } => {
                return write!(f, "TCP option at offset {offset} runs past the end");
            }
            Self::NotTcp => "not TCP",
            Self::NotAnError => "not an ICMP error about a TCP segment",
        })
    }
}

impl core::error::Error for Error {}
