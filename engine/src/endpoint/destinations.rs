//! What is remembered about destinations, so that the next connection need not find it out again [INI-5] [HEU-10].

use crate::addr::IpAddr;
use crate::mptcp::lesson::Lesson;
use crate::tcp::FastOpenCookie;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;

/// A timeout is doubled so often at most: 64 times, as in the kernel (K13).
const MAX_DOUBLINGS: u32 = 6;

/// How long no data is put on SYNs after one got no answer (RFC 7413 4.1.3.1).
const FAST_OPEN_PAUSE: Duration = Duration::from_secs(3_600);

/// MPTCP did not get through.
#[derive(Clone, Copy, Debug)]
struct Blackhole {
    until: Instant,
    failures: u32,
}

#[derive(Debug, Default)]
struct Destination {
    blackhole: Option<Blackhole>,
    /// A Fast Open cookie, and the MSS that goes with it.
    cookie: Option<(FastOpenCookie, u16)>,
    /// No data on SYNs before then.
    no_syn_data_until: Option<Instant>,
    last_used: u64,
}

/// A bounded table; the destination used longest ago is forgotten first.
#[derive(Debug)]
pub(super) struct Destinations {
    table: BTreeMap<IpAddr, Destination>,
    limit: usize,
    blackhole_timeout: Duration,
    uses: u64,
}

impl Destinations {
    pub(super) const fn new(limit: usize, blackhole_timeout: Duration) -> Self {
        Self { table: BTreeMap::new(), limit, blackhole_timeout, uses: 0 }
    }

    /// For failures from now on; zero remembers none.
    pub(super) const fn set_blackhole_timeout(&mut self, timeout: Duration) {
        self.blackhole_timeout = timeout;
    }

    /// MPTCP is not worth an attempt now.
    pub(super) fn is_blackholed(&self, now: Instant, address: IpAddr) -> bool {
        let known = self.table.get(&address).and_then(|d| d.blackhole);
        !self.blackhole_timeout.is_zero() && known.is_some_and(|b| now < b.until)
    }

    /// SYNs with data got no answer from there a while ago.
    pub(super) fn drops_syn_data(&self, now: Instant, address: IpAddr) -> bool {
        let until = self.table.get(&address).and_then(|d| d.no_syn_data_until);
        until.is_some_and(|until| now < until)
    }

    /// The cookie this server gave, and its MSS.
    pub(super) fn cookie(&mut self, address: IpAddr) -> Option<(FastOpenCookie, u16)> {
        self.uses += 1;
        let destination = self.table.get_mut(&address)?;
        destination.last_used = self.uses;
        destination.cookie
    }

    /// Takes a lesson about `address`.
    pub(super) fn learn(&mut self, now: Instant, address: IpAddr, lesson: Lesson) {
        match lesson {
            Lesson::Blackhole => {
                if self.blackhole_timeout.is_zero() {
                    return;
                }
                let timeout = self.blackhole_timeout;
                let Some(destination) = self.entry(address) else { return };
                let before = destination.blackhole.map_or(0, |b| b.failures);
                let until = now + timeout.saturating_mul(1 << before.min(MAX_DOUBLINGS));
                let failures = before.saturating_add(1);
                destination.blackhole = Some(Blackhole { until, failures });
            }
            Lesson::Cookie { cookie, mss } => {
                if let Some(destination) = self.entry(address) {
                    destination.cookie = Some((cookie, mss));
                }
            }
            Lesson::FastOpenFailed => {
                let until = now + FAST_OPEN_PAUSE;
                if let Some(destination) = self.entry(address) {
                    destination.no_syn_data_until = Some(until);
                }
            }
            Lesson::Reached => {
                if let Some(destination) = self.table.get_mut(&address) {
                    destination.blackhole = None;
                }
            }
        }
    }

    /// The destination's entry, made if need be.
    fn entry(&mut self, address: IpAddr) -> Option<&mut Destination> {
        if self.limit == 0 {
            return None;
        }
        if self.table.len() >= self.limit && !self.table.contains_key(&address) {
            let oldest = self.table.iter().min_by_key(|(_, d)| d.last_used).map(|(a, _)| *a);
            oldest.and_then(|oldest| self.table.remove(&oldest));
        }
        self.uses += 1;
        let destination = self.table.entry(address).or_default();
        destination.last_used = self.uses;
        Some(destination)
    }
}

#[cfg(test)]
mod tests;
