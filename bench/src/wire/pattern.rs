//! What transfers carry: octets that tell where they belong.

use bytes::Bytes;
use std::io;

/// The period of the octets: a prime, so that no shift by a segment or a buffer goes unnoticed.
const PERIOD: usize = 251;
/// How much is written or read at a time.
pub const CHUNK: usize = 256 * 1024;
/// Of every so many reads one is compared whole, of the others both edges: comparing everything would be a good part
/// of what is measured.
const WHOLE: u64 = 16;
/// Octets of an edge.
const EDGE: usize = 64;

/// Octets to take any chunk from: octet `i` of a stream is `i % 251`.
#[derive(Debug)]
pub struct Pattern(Bytes);

impl Default for Pattern {
    fn default() -> Self {
        let period = (0..PERIOD).cycle().filter_map(|octet| u8::try_from(octet).ok());
        Self(period.take(CHUNK + PERIOD).collect())
    }
}

impl Pattern {
    /// What an application that writes one chunk after the other, each of them whole, has to write at `position`: the rest
    /// of that chunk, at most `len` octets. A stack that takes little at a time does not get to see the beginning of a
    /// chunk, which is in the cache, all the time.
    #[must_use]
    pub fn rest_of_chunk(&self, position: u64, len: u64) -> &[u8] {
        let begun = usize::try_from(position % CHUNK as u64).unwrap_or(0);
        self.at(position - begun as u64, len + begun as u64).get(begun..).unwrap_or_default()
    }

    /// The same, to be handed over.
    #[must_use]
    pub fn shared_rest_of_chunk(&self, position: u64, len: u64) -> Bytes {
        self.0.slice_ref(self.rest_of_chunk(position, len))
    }

    /// The octets from `position` on, at most `len` and at most a chunk.
    #[must_use]
    pub fn at(&self, position: u64, len: u64) -> &[u8] {
        let start = usize::try_from(position % PERIOD as u64).unwrap_or(0);
        let len = usize::try_from(len).unwrap_or(CHUNK).min(CHUNK);
        self.0.get(start..start + len).unwrap_or_default()
    }
}

/// The receiving end's view of a transfer.
#[derive(Debug, Default)]
pub struct Check {
    pattern: Pattern,
    position: u64,
    reads: u64,
}

impl Check {
    /// Octets that came so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Takes in what was read.
    ///
    /// # Errors
    /// It is not what belongs there.
    pub fn take(&mut self, read: &[u8]) -> io::Result<()> {
        let whole = self.reads.is_multiple_of(WHOLE);
        self.reads += 1;
        let mut position = self.position;
        for part in read.chunks(CHUNK) {
            let wanted = self.pattern.at(position, part.len() as u64);
            let edge = part.len().min(EDGE);
            let right = if whole {
                part == wanted
            } else {
                part.get(..edge) == wanted.get(..edge)
                    && part.get(part.len() - edge..) == wanted.get(part.len() - edge..)
            };
            if !right {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("wrong octets at or behind {position}"),
                ));
            }
            position += part.len() as u64;
        }
        self.position = position;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_written_one_after_the_other() {
        let pattern = Pattern::default();
        let chunk = CHUNK as u64;
        for (position, len, wanted) in [
            (0, 10, 10),
            (0, 2 * chunk, chunk),
            (chunk - 3, 7, 3),
            (5 * chunk + 9, chunk, chunk - 9),
        ] {
            let rest = pattern.rest_of_chunk(position, len);
            assert_eq!(rest.len() as u64, wanted);
            assert_eq!(rest, pattern.at(position, wanted));
        }
    }

    #[test]
    fn a_shift_or_a_change_is_noticed() {
        let pattern = Pattern::default();
        let mut check = Check::default();
        for len in [1, 63, 64, 65, 1432, 64_440, 100_000, 3] {
            check.take(pattern.at(check.position(), len)).unwrap();
        }
        assert_eq!(check.position(), 1 + 63 + 64 + 65 + 1432 + 64_440 + 100_000 + 3);
        for shift in [1, 1432, 64_440, 65_536, CHUNK as u64] {
            let mut check = Check::default();
            check.take(pattern.at(0, 5000)).unwrap();
            check.take(pattern.at(5000 + shift, 5000)).unwrap_err();
        }
    }
}
