//! Balanced linked adaptation (draft-walid-mptcp-congestion-control-04): between LIA's friendliness and OLIA's
//! sluggishness.

use super::window::{Own, Policy};
use super::{SiblingView, min_ssthresh};
use crate::config::CongestionAlgorithm;

/// BALIA. With `x = w / r` and `alpha = max x_j / x_i`, an ACK of one segment adds
/// `x_i / (r_i (sum x_j)^2) * (1 + alpha) / 2 * (4 + alpha) / 5` segments, and a loss takes
/// `w / 2 * min(alpha, 1.5)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Balia;

fn alpha(own: &Own, others: &[SiblingView]) -> f64 {
    let best = others.iter().fold(own.rate(), |best, other| best.max(other.rate()));
    best / own.rate()
}

impl Policy for Balia {
    const ALGORITHM: CongestionAlgorithm = CongestionAlgorithm::Balia;

    fn gain(&self, own: &Own, others: &[SiblingView]) -> f64 {
        if others.is_empty() || own.srtt.is_zero() {
            return 1.0;
        }
        let alpha = alpha(own, others);
        let sum = others.iter().fold(own.rate(), |sum, other| sum + other.rate());
        let share = own.rate() / sum;
        share * share * ((1.0 + alpha) / 2.0) * ((4.0 + alpha) / 5.0)
    }

    fn remaining(&self, own: &Own, others: &[SiblingView]) -> u64 {
        let least = min_ssthresh(own.mss);
        if others.is_empty() || own.srtt.is_zero() || own.cwnd == 0 {
            return (own.cwnd / 2).max(least);
        }
        let cut = own.cwnd as f64 / 2.0 * alpha(own, others).min(1.5);
        own.cwnd.saturating_sub(cut as u64).max(least)
    }
}
