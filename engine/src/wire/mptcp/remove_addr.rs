//! REMOVE_ADDR (RFC 8684 3.4.2): advertised addresses that are gone.

use super::{emit_option, first_byte, subtype};
use crate::addr::AddressId;
use core::fmt;

/// What fits: 40 octets less kind, length and subtype.
const CAPACITY: usize = 37;

/// 1 to 37 address IDs, one octet each [ADDR-29].
#[derive(Clone, Copy, Eq)]
pub struct RemoveAddr {
    len: u8,
    ids: [AddressId; CAPACITY],
}

impl RemoveAddr {
    /// The removal of `ids`; `None` when there are none or more than 37.
    #[must_use]
    pub fn from_ids(ids: &[AddressId]) -> Option<Self> {
        if ids.is_empty() || ids.len() > CAPACITY {
            return None;
        }
        let mut all = [AddressId(0); CAPACITY];
        for (slot, id) in all.iter_mut().zip(ids) {
            *slot = *id;
        }
        Some(Self { len: ids.len() as u8, ids: all })
    }

    /// The IDs as they stand on the wire: repetitions are possible.
    #[must_use]
    pub fn ids(&self) -> &[AddressId] {
        self.ids.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Reads the option; `None` when it has no ID.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (_, ids) = body.split_first()?;
        if ids.is_empty() || ids.len() > CAPACITY {
            return None;
        }
        let mut all = [AddressId(0); CAPACITY];
        for (slot, id) in all.iter_mut().zip(ids) {
            *slot = AddressId(*id);
        }
        Some(Self { len: ids.len() as u8, ids: all })
    }

    /// Octets on the wire: 4 to 40.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        3 + self.len as usize
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| {
            writer.put([first_byte(subtype::REMOVE_ADDR, 0)]);
            for id in self.ids() {
                writer.put([id.0]);
            }
        })
    }
}

impl PartialEq for RemoveAddr {
    fn eq(&self, other: &Self) -> bool {
        self.ids() == other.ids()
    }
}

impl fmt::Debug for RemoveAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoveAddr").field(&self.ids()).finish()
    }
}

impl fmt::Display for RemoveAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("remove-addr id")?;
        self.ids().iter().try_for_each(|id| write!(f, " {}", id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MptcpOption;
    use crate::wire::samples::{check_option, hex};

    #[test]
    fn one_and_all() {
        let one = RemoveAddr::from_ids(&[AddressId(7)]).unwrap();
        check_option(MptcpOption::RemoveAddr(one), "1e044007", "remove-addr id 7");
        let three = RemoveAddr::from_ids(&[AddressId(1), AddressId(255), AddressId(1)]).unwrap();
        check_option(MptcpOption::RemoveAddr(three), "1e064001ff01", "remove-addr id 1 255 1");
        let most = RemoveAddr::from_ids(&[AddressId(9); CAPACITY]).unwrap();
        assert_eq!(most.wire_len(), 40);
        assert_eq!(RemoveAddr::parse(&[&[0x4f][..], &[9; CAPACITY]].concat()), Some(most));
    }

    #[test]
    fn none_or_too_many_are_refused() {
        assert_eq!(RemoveAddr::from_ids(&[]), None);
        assert_eq!(RemoveAddr::from_ids(&[AddressId(1); CAPACITY + 1]), None);
        assert_eq!(RemoveAddr::parse(&hex("40")), None);
        assert_eq!(RemoveAddr::parse(&[0x40; CAPACITY + 2]), None);
    }
}
