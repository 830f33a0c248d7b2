//! Paths that ended, and whether they are tried again: after a while, or not for this connection. What a peer's MP_TCPRST
//! means for its path (RFC 8684 3.6), and paths this end has left.

use crate::addr::{IpAddr, SocketAddr};
use crate::error::{PeerReset, ResetReason};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Most paths remembered; the oldest is forgotten.
const MAX_PATHS: usize = 16;
/// Attempts on one path before it is left alone.
const MAX_ATTEMPTS: u32 = 8;
/// First wait after a join from an address that was left came to nothing; its SYNs took a minute.
const REJOIN: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// T=0: not this path, for this connection [RST-6].
    Barred,
    /// T=1: again at this time [RST-4].
    Waiting(Instant),
    /// It was tried again; what becomes of it is to be seen.
    Tried,
}

#[derive(Clone, Copy, Debug)]
struct Path {
    local: IpAddr,
    remote: SocketAddr,
    fate: Fate,
    attempts: u32,
    /// How often this end left it for its silence.
    left: u32,
}

impl Path {
    fn leads(&self, local: IpAddr, remote: SocketAddr) -> bool {
        self.local == local && self.remote == remote
    }
}

/// The paths a peer reset or this end left.
#[derive(Debug, Default)]
pub(crate) struct Retries(Vec<Path>);

impl Retries {
    /// The peer reset the subflow from `local` to `remote`, and said why.
    pub(crate) fn on_reset(
        &mut self,
        now: Instant,
        local: IpAddr,
        remote: SocketAddr,
        reset: PeerReset,
    ) {
        let (attempts, left) = self.take(local, remote);
        let fate = if reset.transient && attempts < MAX_ATTEMPTS {
            Fate::Waiting(now + wait(reset.reason, attempts))
        } else {
            Fate::Barred
        };
        self.put(Path { local, remote, fate, attempts: attempts + 1, left });
    }

    /// This end left the path for its silence. The peer is told on another one, so the next attempt takes `rest` at least:
    /// what is told must not end it, too.
    pub(crate) fn on_left(
        &mut self,
        now: Instant,
        local: IpAddr,
        remote: SocketAddr,
        rest: Duration,
    ) {
        let (attempts, left) = self.take(local, remote);
        let fate = Fate::Waiting(now + backoff(rest, attempts));
        self.put(Path { local, remote, fate, attempts, left: left + 1 });
    }

    /// A join from `local` to `remote` came to nothing. A path that carried data once may do so again.
    pub(crate) fn on_failed(&mut self, now: Instant, local: IpAddr, remote: SocketAddr) {
        if let Some(path) = self.0.iter_mut().find(|p| p.leads(local, remote))
            && path.left > 0
            && path.fate == Fate::Tried
        {
            path.attempts += 1;
            path.fate = Fate::Waiting(now + backoff(REJOIN, path.attempts));
        }
    }

    /// How often this end left the path for its silence.
    pub(crate) fn times_left(&self, local: IpAddr, remote: SocketAddr) -> u32 {
        self.0.iter().find(|p| p.leads(local, remote)).map_or(0, |path| path.left)
    }

    /// Forgets a path; the attempts on it, and how often it was left.
    fn take(&mut self, local: IpAddr, remote: SocketAddr) -> (u32, u32) {
        let at = self.0.iter().position(|p| p.leads(local, remote));
        at.map(|at| self.0.remove(at)).map_or((0, 0), |path| (path.attempts, path.left))
    }

    fn put(&mut self, path: Path) {
        if self.0.len() >= MAX_PATHS {
            self.0.remove(0);
        }
        self.0.push(path);
    }

    /// Nothing is to be opened from `local` to `remote`, not now or not at all.
    pub(crate) fn is_barred(&self, local: IpAddr, remote: SocketAddr) -> bool {
        self.0.iter().any(|p| p.leads(local, remote) && p.fate != Fate::Tried)
    }

    /// When a path is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let times = self.0.iter().filter_map(|p| match p.fate {
            Fate::Waiting(at) => Some(at),
            Fate::Barred | Fate::Tried => None,
        });
        times.min()
    }

    /// A path that is due; it counts as tried.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(IpAddr, SocketAddr)> {
        let due = |p: &&mut Path| matches!(p.fate, Fate::Waiting(at) if at <= now);
        let path = self.0.iter_mut().find(due)?;
        path.fate = Fate::Tried;
        Some((path.local, path.remote))
    }

    /// Nothing will be opened any more.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// How long to wait depends on the reason [RST-5], and doubles each time: a queue that was too long is gone with its
/// subflow, resources come back, a slow path stays slow for longer.
fn wait(reason: ResetReason, attempts: u32) -> Duration {
    let first = match reason {
        ResetReason::TooMuchOutstandingData => Duration::from_millis(200),
        ResetReason::UnacceptablePerformance => Duration::from_secs(10),
        ResetReason::LackOfResources => Duration::from_secs(2),
        _ => Duration::from_secs(1),
    };
    backoff(first, attempts)
}

/// `first`, doubled with every attempt, a minute at most.
pub(crate) fn backoff(first: Duration, attempts: u32) -> Duration {
    first.saturating_mul(1 << attempts.min(16)).min(MAX_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(last: u8) -> (IpAddr, SocketAddr) {
        (IpAddr::from([10, 0, 0, last]), SocketAddr::from(([192, 0, 2, 1], 80)))
    }

    fn reset(reason: ResetReason, transient: bool) -> PeerReset {
        PeerReset { reason, transient }
    }

    /// [RST-4] [RST-5] [RST-6]: T decides whether, the reason decides when, and patience ends.
    #[test]
    fn transient_trouble_is_waited_out() {
        for code in 0..=7 {
            let reason = ResetReason::from_code(code);
            let (local, remote) = path(1);
            let mut retries = Retries::default();
            retries.on_reset(Instant::ZERO, local, remote, reset(reason, false));
            assert!(retries.is_barred(local, remote), "{reason:?}");
            assert_eq!(retries.poll_timeout(), None, "{reason:?}");
            assert!(!retries.is_barred(path(2).0, remote), "another path");

            let (mut retries, mut now, mut waits) =
                (Retries::default(), Instant::ZERO, std::vec::Vec::new());
            loop {
                retries.on_reset(now, local, remote, reset(reason, true));
                let Some(at) = retries.poll_timeout() else { break };
                assert!(retries.is_barred(local, remote), "not by another door");
                assert_eq!(retries.take_due(at - Duration::from_millis(1)), None);
                waits.push(at.saturating_since(now));
                now = at;
                assert_eq!(retries.take_due(now), Some((local, remote)));
                assert_eq!((retries.take_due(now), retries.poll_timeout()), (None, None));
                assert!(!retries.is_barred(local, remote));
            }
            assert_eq!(waits.len(), 8);
            assert!(waits.is_sorted() && waits[7] <= MAX_WAIT, "{waits:?}");
            assert!(retries.is_barred(local, remote));
        }
        let first = |reason| wait(reason, 0);
        assert!(
            first(ResetReason::TooMuchOutstandingData) < first(ResetReason::LackOfResources)
                && first(ResetReason::LackOfResources)
                    < first(ResetReason::UnacceptablePerformance)
        );
    }

    /// A path that was left carried data once: it is tried for as long as the connection lasts, less and less often.
    #[test]
    fn a_path_that_was_left_is_tried_again_and_again() {
        let (local, remote) = path(1);
        let mut retries = Retries::default();
        let (rest, mut now) = (Duration::from_millis(200), Instant::ZERO);
        retries.on_failed(now, local, remote);
        assert_eq!((retries.times_left(local, remote), retries.poll_timeout()), (0, None));
        retries.on_left(now, local, remote, rest);
        assert!(retries.is_barred(local, remote) && !retries.is_barred(path(2).0, remote));
        let mut waits = std::vec::Vec::new();
        for _ in 0..20 {
            let at = retries.poll_timeout().unwrap();
            waits.push(at.saturating_since(now));
            now = at;
            assert_eq!(retries.take_due(now), Some((local, remote)));
            retries.on_failed(now, local, remote);
        }
        assert_eq!(waits[..3], [rest, Duration::from_secs(2), Duration::from_secs(4)]);
        assert!(waits.is_sorted() && waits[19] == MAX_WAIT, "{waits:?}");
        assert_eq!(retries.times_left(local, remote), 1, "it never came back");
        retries.on_left(now, local, remote, rest);
        assert_eq!(retries.times_left(local, remote), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let mut retries = Retries::default();
        for last in 0..=255 {
            let (local, remote) = path(last);
            retries.on_reset(Instant::ZERO, local, remote, reset(ResetReason::Unspecified, true));
        }
        assert_eq!(retries.0.len(), MAX_PATHS);
        retries.clear();
        assert_eq!(retries.poll_timeout(), None);
    }
}
