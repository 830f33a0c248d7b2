//! The virtio-net header in front of every packet of an offload device: what is left to do to it, or was left undone.
//!
//! Layout: `struct virtio_net_hdr` of the virtio specification (5.1.6), little-endian, without `num_buffers`.

use mpuser_engine::wire::segmentation::{Layout, TCP_CHECKSUM};

/// Octets of the header.
pub(super) const HEADER_LEN: usize = 10;

/// The checksum field is a partial sum: `csum_start` and `csum_offset` say what is to be summed and where it goes.
const NEEDS_CSUM: u8 = 1;
/// The checksum was found right.
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
/// A mark beside the type: the first segment has CWR.
const GSO_ECN: u8 = 0x80;

/// One header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    /// Octets of IP and TCP headers; for super-segments only.
    hdr_len: u16,
    /// Payload of each segment.
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl VnetHeader {
    /// For a TCP packet whose checksum field holds the sum of the pseudo-header, cut into payloads of `segment_size` where
    /// it is longer. What is no TCP packet goes as it is.
    pub(super) fn of(headers: &[u8], payload_len: usize, segment_size: Option<u16>) -> Self {
        let Some(layout) = Layout::of(headers) else { return Self::default() };
        // A header is at most 120 octets long: the layout says so.
        let (start, whole) = (layout.tcp as u16, headers.len() as u16);
        let mut header = Self {
            flags: NEEDS_CSUM,
            csum_start: start,
            csum_offset: TCP_CHECKSUM as u16,
            ..Self::default()
        };
        if let Some(size) = segment_size.filter(|size| payload_len > usize::from(*size)) {
            header.gso_type = if layout.ipv4 { GSO_TCPV4 } else { GSO_TCPV6 };
            header.hdr_len = whole;
            header.gso_size = size;
        }
        header
    }

    pub(super) fn emit(self) -> [u8; HEADER_LEN] {
        let [h0, h1] = self.hdr_len.to_le_bytes();
        let [g0, g1] = self.gso_size.to_le_bytes();
        let [s0, s1] = self.csum_start.to_le_bytes();
        let [o0, o1] = self.csum_offset.to_le_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }

    pub(super) const fn parse(bytes: [u8; HEADER_LEN]) -> Self {
        let [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] = bytes;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_le_bytes([h0, h1]),
            gso_size: u16::from_le_bytes([g0, g1]),
            csum_start: u16::from_le_bytes([s0, s1]),
            csum_offset: u16::from_le_bytes([o0, o1]),
        }
    }

    /// Nobody has to look at the checksum: it was found right, or never left this machine and is not filled in.
    pub(super) const fn is_verified(&self) -> bool {
        self.flags & (NEEDS_CSUM | DATA_VALID) != 0
    }

    /// Payload of the segments, or of the UDP datagrams, the packet was merged from.
    pub(super) const fn segment_size(&self) -> Option<u16> {
        let merged = self.gso_type & !GSO_ECN != GSO_NONE && self.gso_size > 0;
        if merged { Some(self.gso_size) } else { None }
    }
}

#[cfg(test)]
#[path = "vnet_tests.rs"]
mod tests;
