//! The application over the endpoint: writes octets that say where they stand, and looks at those it reads.

use super::peer::{self, Peer};
use crate::draw::Draw;
use crate::shown::note;
use arbitrary::{Result, Unstructured};
use mpuser_engine::Endpoint;
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::time::Instant;

/// What one application has done so far.
#[derive(Default)]
pub(super) struct Application {
    /// Octets written.
    pub(super) written: u64,
    /// Octets read.
    read: u64,
    /// The first octet read that is not the peer's at its place.
    strange: Option<u64>,
    /// The end was read.
    ended: bool,
}

/// Octet number `at` of what the application writes.
pub(super) const fn octet(at: u64) -> u8 {
    (at ^ at >> 8 ^ 0x5a) as u8
}

impl Application {
    pub(super) fn act(
        &mut self,
        u: &mut Unstructured<'_>,
        endpoint: &mut Endpoint,
        now: Instant,
        id: Option<ConnectionId>,
    ) -> Result<()> {
        let (choice, length) = (u.below(32)?, u.length()? as usize % 20_000);
        let Some(id) = id else { return Ok(()) };
        note(|| format!("{:>8} ms  application: {choice}, {length}", now.as_millis()));
        match choice {
            0..16 => {
                let data: Vec<u8> = (self.written..).take(length).map(octet).collect();
                self.written += endpoint.write(now, id, &data).unwrap_or(0) as u64;
            }
            16..27 => self.read(endpoint, now, id, length),
            27..29 => endpoint.shutdown(now, id),
            29 => endpoint.close(now, id),
            30 => endpoint.abort(now, id),
            _ => endpoint.set_nagle(id, length % 2 == 0),
        }
        Ok(())
    }

    fn read(&mut self, endpoint: &mut Endpoint, now: Instant, id: ConnectionId, most: usize) {
        let mut left = most.max(1);
        while left > 0
            && let Ok(piece) = endpoint.read_chunk(now, id, left)
        {
            if piece.is_empty() {
                self.ended = true;
                return;
            }
            assert!(!self.ended, "data after the end");
            let other = (self.read..).zip(&piece).find(|(at, byte)| peer::octet(*at) != **byte);
            self.strange = self.strange.or(other.map(|(at, _)| at));
            self.read += piece.len() as u64;
            left -= piece.len();
        }
    }

    pub(super) fn read_all(&mut self, endpoint: &mut Endpoint, now: Instant, id: ConnectionId) {
        self.read(endpoint, now, id, usize::MAX);
    }

    /// Of a peer that told no lie every octet stands at its place, and nothing is made up.
    pub(super) fn judge(&self, peer: &Peer) {
        assert!(self.read <= peer.payload, "{} octets read, {} sent", self.read, peer.payload);
        if peer.lied {
            return;
        }
        assert_eq!(self.strange, None, "another octet than the peer's");
        assert!(self.read <= peer.next_data, "{} read, {} there", self.read, peer.next_data);
        let end = peer.data_fin.or(peer.plain_fin);
        assert!(!self.ended || end.is_some(), "the end, which nobody sent");
    }
}
