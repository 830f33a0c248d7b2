//! Memory for long packets that comes back: fresh pages would cost more than what is written to them.

use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Most buffers kept; those of more packets than this are given back to the allocator.
const MAX_KEPT: usize = 128;
/// A packet that would leave most of a buffer empty gets memory of its own: it may wait in a queue for long.
const SHORT: usize = 16 * 1024;

/// Buffers of one size.
#[derive(Debug)]
pub(super) struct Pool {
    free: Mutex<Vec<Box<[u8]>>>,
    size: usize,
}

/// A buffer that a packet fills up to `len`, on loan.
#[derive(Debug)]
struct Loan {
    buffer: Box<[u8]>,
    len: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.buffer));
    }
}

impl Pool {
    pub(super) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::default(), size })
    }

    pub(super) fn take(&self) -> Box<[u8]> {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; self.size].into_boxed_slice())
    }

    pub(super) fn put(&self, buffer: Box<[u8]>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < MAX_KEPT {
            free.push(buffer);
        }
    }

    /// The first `len` octets of a buffer as a packet; the buffer comes back with the last of it.
    pub(super) fn lend(self: &Arc<Self>, buffer: Box<[u8]>, len: usize) -> Bytes {
        if len <= SHORT {
            let packet = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
            self.put(buffer);
            return packet;
        }
        Bytes::from_owner(Loan { buffer, len, pool: Arc::clone(self) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pool: &Pool) -> usize {
        pool.free.lock().unwrap().len()
    }

    #[test]
    fn a_buffer_comes_back_with_the_last_piece_of_its_packet() {
        let pool = Pool::new(65_535);
        let mut buffer = pool.take();
        buffer[..3].copy_from_slice(b"abc");
        let packet = pool.lend(buffer, 60_000);
        let piece = packet.slice(..3);
        assert_eq!(packet.len(), 60_000);
        drop(packet);
        assert_eq!((&piece[..], kept(&pool)), (&b"abc"[..], 0));
        drop(piece);
        assert_eq!(kept(&pool), 1);
        // A short one does not hold it.
        let short = pool.lend(pool.take(), 1_500);
        assert_eq!((short.len(), kept(&pool)), (1_500, 1));
        assert_eq!(&short[..3], b"abc");
    }

    #[test]
    fn no_more_are_kept_than_the_limit() {
        let pool = Pool::new(30_000);
        let packets: Vec<_> = (0..200).map(|_| pool.lend(pool.take(), 20_000)).collect();
        drop(packets);
        assert_eq!(kept(&pool), MAX_KEPT);
    }
}
