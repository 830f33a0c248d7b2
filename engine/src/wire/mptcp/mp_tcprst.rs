//! MP_TCPRST (RFC 8684 3.6): why a subflow is reset.

use super::{emit_option, first_byte, subtype};
use crate::error::ResetReason;
use core::fmt;

/// The reason of a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpTcpRst {
    /// T: the path may be tried again later [RST-4].
    pub transient: bool,
    /// The reason.
    pub reason: ResetReason,
}

impl MpTcpRst {
    /// A reason that will not pass: T=0.
    #[must_use]
    pub const fn lasting(reason: ResetReason) -> Self {
        Self { transient: false, reason }
    }

    /// Reads the option; `None` for any length but 4. U, V and W are ignored [OPT-15].
    #[must_use]
    pub const fn parse(body: &[u8]) -> Option<Self> {
        match body {
            [first, reason] => {
                Some(Self { transient: *first & 1 != 0, reason: ResetReason::from_code(*reason) })
            }
            _ => None,
        }
    }

    /// Octets on the wire: 4.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        4
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| {
            // U, V and W are sent as zero [OPT-14].
            writer.put([first_byte(subtype::MP_TCPRST, self.transient.into()), self.reason.code()]);
        })
    }
}

impl fmt::Display for MpTcpRst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.transient { "transient" } else { "permanent" };
        write!(f, "tcprst {kind} reason {:#04x}", self.reason.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MptcpOption;
    use crate::wire::samples::{check_option, hex};

    #[test]
    fn bytes() {
        let interference = ResetReason::MiddleboxInterference;
        check_option(
            MptcpOption::TcpRst(MpTcpRst { transient: false, reason: interference }),
            "1e048006",
            "tcprst permanent reason 0x06",
        );
        let option = MpTcpRst { transient: true, reason: ResetReason::Unassigned(0x40) };
        check_option(MptcpOption::TcpRst(option), "1e048140", "tcprst transient reason 0x40");
        // [OPT-15]
        assert_eq!(MpTcpRst::parse(&hex("8f40")), Some(option));
        assert_eq!(MpTcpRst::parse(&hex("80")), None);
    }
}
