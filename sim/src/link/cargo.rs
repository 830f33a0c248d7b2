//! What a link carries.

use super::icmp::fragmentation_needed;
use bytes::Bytes;

/// An IP packet as far as a link is concerned.
pub trait Cargo: Clone {
    /// Octets of the packet.
    fn size(&self) -> usize;

    /// Flips one bit; bits count from the packet's first.
    fn flip(&mut self, bit: u32);

    /// The message to the packet's sender that only `mtu` octets pass, if one may be sent.
    fn fragmentation_needed(&self, mtu: u16) -> Option<Self>;
}

impl Cargo for Bytes {
    fn size(&self) -> usize {
        self.len()
    }

    fn flip(&mut self, bit: u32) {
        let mut bytes = self.to_vec();
        if let Some(byte) = bytes.get_mut(bit as usize / 8) {
            *byte ^= 1 << (bit % 8);
        }
        *self = bytes.into();
    }

    fn fragmentation_needed(&self, mtu: u16) -> Option<Self> {
        fragmentation_needed(self, mtu)
    }
}
