//! What all packets of a flow begin with: the fields of IP that stay, the addresses and the ports.

use super::bytes::Reader;
use super::checksum::Checksum;
use super::ip::protocol;
use super::tcp::{HEADER_LEN, TcpHeader};
use super::{ipv4, ipv6};

/// IPv4: what stays of the first eight octets (not length and identification) and of the second (not the checksum).
const IPV4_STAYS: [u64; 2] = [0xffff_0000_0000_ffff, 0xffff_0000_ffff_ffff];
/// IPv6: what stays of the first eight octets (not the length).
const IPV6_STAYS: u64 = 0xffff_ffff_0000_ffff;
/// Version 4 and a header without options.
const IPV4: u8 = 0x45;

/// The beginning of a TCP packet, without IP options, extension headers and fragments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    words: [u64; 6],
    ip: usize,
}

/// What a packet has behind its beginning.
#[derive(Debug)]
pub(crate) struct Behind<'a> {
    /// The TCP header without its options.
    pub(crate) header: &'a [u8; HEADER_LEN],
    pub(crate) options: &'a [u8],
    /// Where the payload lies in the packet.
    pub(crate) payload: core::ops::Range<usize>,
}

/// Word by word: what is in registers would have to be written for a call that compares memory, and that call waits for it.
impl PartialEq for Beginning {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let words = self.words.iter().zip(&other.words);
        let differ = words.fold(0, |differ, (one, another)| differ | (one ^ another));
        differ == 0 && self.ip == other.ip
    }
}

impl Eq for Beginning {}

impl Beginning {
    /// The beginning of `packet`; `None` if it has another form.
    #[inline(always)]
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(packet);
        let first = reader.u64()?;
        let mut words = [first, reader.u64()?, reader.u64()?, 0, 0, 0];
        let [version, ..] = first.to_be_bytes();
        if version == IPV4 {
            for (word, stays) in words.iter_mut().zip(IPV4_STAYS) {
                *word &= stays;
            }
            let [.., fragment_high, fragment_low] = first.to_be_bytes();
            let [_, number, ..] = words[1].to_be_bytes();
            let whole = u16::from_be_bytes([fragment_high, fragment_low]) & ipv4::FRAGMENT == 0;
            return (whole && number == protocol::TCP)
                .then_some(Self { words, ip: ipv4::HEADER_LEN });
        }
        let [.., number, _] = first.to_be_bytes();
        if version >> 4 != 6 || number != protocol::TCP {
            return None;
        }
        words[0] &= IPV6_STAYS;
        words[3] = reader.u64()?;
        words[4] = reader.u64()?;
        words[5] = reader.u32()?.into();
        Some(Self { words, ip: ipv6::HEADER_LEN })
    }

    /// A number that is the same for the same beginning, of `bits` bits.
    #[inline(always)]
    pub(crate) fn hash(&self, bits: u32) -> usize {
        let mixed = self.words.into_iter().fold(0, |all, word| all ^ word);
        // Fibonacci hashing: the upper bits depend on all others.
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
    }

    /// What follows in `packet`, which has this beginning; `None` if its lengths are wrong. Checksums are not looked at.
    #[inline(always)]
    pub(crate) fn behind<'a>(&self, packet: &'a [u8]) -> Option<Behind<'a>> {
        let at = if self.is_ipv4() { 2 } else { 4 };
        let len = Reader::new(packet.get(at..)?).u16()?;
        let total = usize::from(len) + if self.is_ipv4() { 0 } else { self.ip };
        let segment = packet.get(self.ip..total)?;
        let header = segment.first_chunk()?;
        let len = TcpHeader::len(header);
        let options = segment.get(HEADER_LEN..len)?;
        Some(Behind { header, options, payload: self.ip + len..total })
    }

    /// The checksums of the first `total` octets of `packet`, which has this beginning, are right: that of IPv4, and unless
    /// `verified` that of TCP. The addresses lie right before the TCP header, so one sum takes them with it.
    #[inline(always)]
    pub(crate) fn is_sound(&self, packet: &[u8], total: usize, verified: bool) -> bool {
        let zero = |sum: Checksum| sum.finish() == 0;
        let addresses = if self.is_ipv4() { 12 } else { 8 };
        let (Some(covered), Some(header)) = (packet.get(addresses..total), packet.first_chunk())
        else {
            return false;
        };
        let sound = !self.is_ipv4() || zero(ipv4::sum(header));
        sound
            && (verified || {
                let mut sum = Checksum::new();
                sum.add_u64((total - self.ip) as u64 + u64::from(protocol::TCP));
                sum.add_bytes(covered);
                zero(sum)
            })
    }

    #[inline(always)]
    const fn is_ipv4(&self) -> bool {
        self.ip == ipv4::HEADER_LEN
    }
}

#[cfg(test)]
mod tests;
