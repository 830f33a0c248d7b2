//! How much an application may write ahead: twice what the subflows' congestion windows let through until it is
//! acknowledged at data level. Once for what is in flight, and once for what is to follow. A Data ACK waits for the slowest
//! subflow, so each window counts as often as it goes round meanwhile (RFC 8684 3.3.5 [SND-5]).

use crate::time::Duration;

/// Super-segments there is room for where round trips are short: some in flight, and others being written.
const SUPER_SEGMENTS: u64 = 8;
/// What a short round trip is.
pub(crate) const SHORT_RTT: Duration = Duration::from_millis(2);
/// Octets of buffer that are enough where all round trips are short; more would only leave the caches.
pub(crate) const SHORT_MOST: usize = 4 << 20;

/// What one subflow can carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carrier {
    /// Congestion window, octets.
    pub(crate) cwnd: u64,
    /// Smoothed round-trip time.
    pub(crate) srtt: Duration,
    /// The shortest round-trip time there was: a machine that is busy for a moment makes no long path.
    pub(crate) min_rtt: Duration,
    /// Most payload of a super-segment; 0: there are none.
    pub(crate) super_segment: u64,
}

/// Octets of send buffer these subflows ask for.
pub(crate) fn wanted(carriers: impl Iterator<Item = Carrier> + Clone) -> u64 {
    let longest = carriers.clone().map(|c| c.srtt).max().unwrap_or_default().as_nanos();
    let rounds = |c: &Carrier| {
        let octets = u128::from(c.cwnd) * longest.max(1) / c.srtt.as_nanos().max(1);
        u64::try_from(octets).unwrap_or(u64::MAX)
    };
    let windows = carriers.clone().map(|c| rounds(&c)).fold(0, u64::saturating_add);
    let short = carriers.clone().filter(|c| c.srtt <= SHORT_RTT);
    let pieces = short.map(|c| c.super_segment).max().unwrap_or_default();
    windows
        .saturating_mul(2)
        .max(SUPER_SEGMENTS * pieces)
        .min(most(carriers.map(|c| c.min_rtt)) as u64)
}

/// The largest buffer there is a use for on paths of these shortest round-trip times, octets.
pub(crate) fn most(min_rtts: impl Iterator<Item = Duration>) -> usize {
    if min_rtts.max().unwrap_or_default() <= SHORT_RTT { SHORT_MOST } else { usize::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(cwnd: u64, ms: u64) -> Carrier {
        let srtt = Duration::from_millis(ms);
        Carrier { cwnd, srtt, min_rtt: srtt, super_segment: 0 }
    }

    fn of(carriers: &[Carrier]) -> u64 {
        wanted(carriers.iter().copied())
    }

    #[test]
    fn twice_the_windows_as_often_as_they_go_round() {
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[carrier(100_000, 50)]), 200_000);
        assert_eq!(of(&[carrier(100_000, 50), carrier(30_000, 50)]), 260_000);
        // 100 Mbit/s each way, 10 and 100 ms: 2 * sum(BW_i) * RTT_max
        assert_eq!(of(&[carrier(125_000, 10), carrier(1_250_000, 100)]), 5_000_000);
        assert_eq!(of(&[carrier(u64::MAX, 10), carrier(u64::MAX, 100)]), u64::MAX);
        assert_eq!(of(&[carrier(1_000, 0)]), 2_000);
        let busy = Carrier { min_rtt: Duration::from_millis(1), ..carrier(u64::MAX, 9) };
        assert_eq!(of(&[carrier(u64::MAX, 2), busy]), SHORT_MOST as u64, "both are short");
    }

    #[test]
    fn super_segments_need_room_where_they_come_back_soon() {
        let near = Carrier { super_segment: 65_535, ..carrier(14_600, 1) };
        assert_eq!(of(&[near]), 8 * 65_535);
        let far = Carrier { super_segment: 65_535, ..carrier(14_600, 40) };
        assert_eq!(of(&[far]), 29_200);
    }
}
