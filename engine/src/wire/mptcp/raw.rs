//! An MPTCP option whose meaning is not known.

use super::emit_option;
use core::fmt;

/// The longest option body a TCP header can hold.
const CAPACITY: usize = 38;

/// The bytes of an option after its kind and length.
#[derive(Clone, Copy)]
pub struct RawOption {
    len: u8,
    bytes: [u8; CAPACITY],
}

impl RawOption {
    /// Keeps `body`, at most its first 38 bytes.
    #[must_use]
    pub fn new(body: &[u8]) -> Self {
        let mut bytes = [0; CAPACITY];
        for (slot, byte) in bytes.iter_mut().zip(body) {
            *slot = *byte;
        }
        Self { len: body.len().min(CAPACITY) as u8, bytes }
    }

    /// The bytes after kind and length.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The subtype, when there is a byte for it.
    #[must_use]
    pub fn subtype(&self) -> Option<u8> {
        self.body().first().map(|first| first >> 4)
    }

    /// Octets on the wire: 2 to 40.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        2 + self.len as usize
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| writer.put_slice(self.body()))
    }
}

impl PartialEq for RawOption {
    fn eq(&self, other: &Self) -> bool {
        self.body() == other.body()
    }
}

impl Eq for RawOption {}

impl fmt::Debug for RawOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawOption({:02x?})", self.body())
    }
}

impl fmt::Display for RawOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subtype() {
            Some(subtype) => write!(f, "unknown-{subtype:#x} 0x")?,
            None => return f.write_str("unknown empty"),
        }
        self.body().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn keeps_what_a_header_can_hold_and_no_more() {
        assert_eq!(RawOption::new(&[7; 300]).body(), [7; CAPACITY]);
        assert_eq!(RawOption::new(&[]).wire_len(), 2);
        assert_eq!(RawOption::new(&[0x91, 2]).to_string(), "unknown-0x9 0x9102");
        assert_eq!(RawOption::new(&[]).to_string(), "unknown empty");
    }
}
