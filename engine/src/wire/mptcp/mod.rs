//! The MPTCP option, TCP option kind 30 (RFC 8684 3 [OPT-1]): one file per subtype.
//!
//! `body` everywhere is the option without its kind and length bytes; its length is known to be right because the
//! caller cut it there. A subtype's `parse` gives `None` for a length that is not legal in version 1; the option
//! then becomes [`MptcpOption::Unknown`] with its bytes kept. Reserved bits are ignored on receipt (RFC 8684 3.3,
//! 3.4.1, 3.6 [OPT-11] [OPT-13] [OPT-15], and likewise where the text is silent) and sent as zero.

mod add_addr;
mod dss;
mod fastclose;
mod mp_capable;
mod mp_fail;
mod mp_join;
mod mp_prio;
mod mp_tcprst;
mod raw;
mod remove_addr;

pub use add_addr::AddAddr;
pub use dss::{DataAck, Dss, DssMapping, WireDataSeq};
pub use fastclose::FastClose;
pub use mp_capable::{CapableFlags, MpCapable};
pub use mp_fail::MpFail;
pub use mp_join::MpJoin;
pub use mp_prio::MpPrio;
pub use mp_tcprst::MpTcpRst;
pub use raw::RawOption;
pub use remove_addr::RemoveAddr;

use super::bytes::Writer;
use core::fmt;

/// TCP option kind of every MPTCP signal.
pub const KIND: u8 = 30;

/// The four-bit subtypes (RFC 8684 8.2).
pub mod subtype {
    /// MP_CAPABLE
    pub const MP_CAPABLE: u8 = 0x0;
    /// MP_JOIN
    pub const MP_JOIN: u8 = 0x1;
    /// DSS
    pub const DSS: u8 = 0x2;
    /// ADD_ADDR
    pub const ADD_ADDR: u8 = 0x3;
    /// REMOVE_ADDR
    pub const REMOVE_ADDR: u8 = 0x4;
    /// MP_PRIO
    pub const MP_PRIO: u8 = 0x5;
    /// MP_FAIL
    pub const MP_FAIL: u8 = 0x6;
    /// MP_FASTCLOSE
    pub const MP_FASTCLOSE: u8 = 0x7;
    /// MP_TCPRST
    pub const MP_TCPRST: u8 = 0x8;
}

/// One MPTCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MptcpOption {
    /// MP_CAPABLE
    Capable(MpCapable),
    /// MP_JOIN
    Join(MpJoin),
    /// DSS
    Dss(Dss),
    /// ADD_ADDR
    AddAddr(AddAddr),
    /// REMOVE_ADDR
    RemoveAddr(RemoveAddr),
    /// MP_PRIO
    Prio(MpPrio),
    /// MP_FAIL
    Fail(MpFail),
    /// MP_FASTCLOSE
    FastClose(FastClose),
    /// MP_TCPRST
    TcpRst(MpTcpRst),
    /// An unassigned subtype, a form of version 0, or a length no form has: kept byte for byte.
    Unknown(RawOption),
}

impl MptcpOption {
    /// Reads the option whose bytes after kind and length are `body` (at most 38; more cannot be in a TCP header
    /// and would be cut off).
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let known = body.first().and_then(|first| match first >> 4 {
            subtype::MP_CAPABLE => MpCapable::parse(body).map(Self::Capable),
            subtype::MP_JOIN => MpJoin::parse(body).map(Self::Join),
            subtype::DSS => Dss::parse(body).map(Self::Dss),
            subtype::ADD_ADDR => AddAddr::parse(body).map(Self::AddAddr),
            subtype::REMOVE_ADDR => RemoveAddr::parse(body).map(Self::RemoveAddr),
            subtype::MP_PRIO => MpPrio::parse(body).map(Self::Prio),
            subtype::MP_FAIL => MpFail::parse(body).map(Self::Fail),
            subtype::MP_FASTCLOSE => FastClose::parse(body).map(Self::FastClose),
            subtype::MP_TCPRST => MpTcpRst::parse(body).map(Self::TcpRst),
            _ => None,
        });
        known.unwrap_or_else(|| Self::Unknown(RawOption::new(body)))
    }

    /// Octets on the wire, kind and length included: 2 to 40.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        match self {
            Self::Capable(option) => option.wire_len(),
            Self::Join(option) => option.wire_len(),
            Self::Dss(option) => option.wire_len(),
            Self::AddAddr(option) => option.wire_len(),
            Self::RemoveAddr(option) => option.wire_len(),
            Self::Prio(option) => option.wire_len(),
            Self::Fail(option) => option.wire_len(),
            Self::FastClose(option) => option.wire_len(),
            Self::TcpRst(option) => option.wire_len(),
            Self::Unknown(option) => option.wire_len(),
        }
    }

    /// Writes the whole option to the front of `out` and returns its length; `None`, and nothing written, when it
    /// does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Capable(option) => option.emit(out),
            Self::Join(option) => option.emit(out),
            Self::Dss(option) => option.emit(out),
            Self::AddAddr(option) => option.emit(out),
            Self::RemoveAddr(option) => option.emit(out),
            Self::Prio(option) => option.emit(out),
            Self::Fail(option) => option.emit(out),
            Self::FastClose(option) => option.emit(out),
            Self::TcpRst(option) => option.emit(out),
            Self::Unknown(option) => option.emit(out),
        }
    }
}

impl fmt::Display for MptcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capable(option) => option.fmt(f),
            Self::Join(option) => option.fmt(f),
            Self::Dss(option) => option.fmt(f),
            Self::AddAddr(option) => option.fmt(f),
            Self::RemoveAddr(option) => option.fmt(f),
            Self::Prio(option) => option.fmt(f),
            Self::Fail(option) => option.fmt(f),
            Self::FastClose(option) => option.fmt(f),
            Self::TcpRst(option) => option.fmt(f),
            Self::Unknown(option) => option.fmt(f),
        }
    }
}

/// Writes kind and length, then what `write` puts after them, if `len` octets fit into `out`.
#[inline(always)]
fn emit_option(out: &mut [u8], len: usize, write: impl FnOnce(&mut Writer<'_>)) -> Option<usize> {
    let mut writer = Writer::new(out.get_mut(..len)?);
    writer.put([KIND, len as u8]);
    write(&mut writer);
    Some(len)
}

/// A byte with `subtype` in its upper half.
const fn first_byte(subtype: u8, low: u8) -> u8 {
    subtype << 4 | low & 0x0f
}

#[cfg(test)]
mod tests;
