//! MP_PRIO (RFC 8684 3.3.8): changes the priority of the subflow it is sent on.

use super::{emit_option, first_byte, subtype};
use core::fmt;

/// The priority of this subflow in the direction towards the sender of the option [PRIO-3].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpPrio {
    /// B: use this subflow only when no other works.
    pub backup: bool,
}

impl MpPrio {
    /// Reads the option; `None` for any length but 3. The 4-octet form of version 0 could name another subflow and
    /// is refused on purpose [SEC-6].
    #[must_use]
    pub const fn parse(body: &[u8]) -> Option<Self> {
        match body {
            [first] => Some(Self { backup: *first & 1 != 0 }),
            _ => None,
        }
    }

    /// Octets on the wire: 3.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        3
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| {
            writer.put([first_byte(subtype::MP_PRIO, self.backup.into())]);
        })
    }
}

impl fmt::Display for MpPrio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.backup { "prio backup" } else { "prio" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MptcpOption;
    use crate::wire::samples::{check_option, hex};

    #[test]
    fn both_priorities() {
        check_option(MptcpOption::Prio(MpPrio { backup: true }), "1e0351", "prio backup");
        check_option(MptcpOption::Prio(MpPrio { backup: false }), "1e0350", "prio");
        assert_eq!(MpPrio::parse(&hex("5e")), Some(MpPrio { backup: false }));
        // [SEC-6]
        assert_eq!(MpPrio::parse(&hex("5102")), None);
    }
}
