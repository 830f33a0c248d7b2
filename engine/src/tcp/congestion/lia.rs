//! Linked increases (RFC 6356): together as aggressive as one TCP on the best path, on no path more than TCP.

use super::SiblingView;
use super::window::{Own, Policy, rate};
use crate::config::CongestionAlgorithm;

/// LIA. An ACK of one segment adds `min(a / w_total, 1 / w_i)` segments with
/// `a = w_total * max(w_j / r_j^2) / (sum w_j / r_j)^2` (RFC 6356 3); the decrease is Reno's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lia;

impl Policy for Lia {
    const ALGORITHM: CongestionAlgorithm = CongestionAlgorithm::Lia;

    fn gain(&self, own: &Own, others: &[SiblingView]) -> f64 {
        if others.is_empty() {
            return 1.0;
        }
        let per_rtt = |window, rtt: core::time::Duration| rate(window, rtt) / rtt.as_secs_f64();
        let (mut best, mut sum) = (per_rtt(own.cwnd, own.srtt), own.rate());
        for other in others {
            best = best.max(per_rtt(other.cwnd, other.srtt));
            sum += other.rate();
        }
        // w_i times the increase. The minimum of RFC 6356 makes 1 of it on the best path, and of an unknown RTT.
        (own.cwnd as f64 * best / (sum * sum)).min(1.0)
    }
}
