//! Fully coupled (COUPLED of NSDI 2011, 2.2): the total window behaves as one TCP's, and moves to the least congested
//! paths.

use super::window::{Own, Policy};
use super::{SiblingView, min_ssthresh};
use crate::config::CongestionAlgorithm;

/// COUPLED: an ACK of one segment adds `1 / w_total` segments, a loss takes `w_total / 2` from the subflow's window,
/// down to one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coupled;

fn total(own: &Own, others: &[SiblingView]) -> u64 {
    others.iter().fold(own.cwnd, |sum, other| sum.saturating_add(other.cwnd))
}

impl Policy for Coupled {
    const ALGORITHM: CongestionAlgorithm = CongestionAlgorithm::Coupled;

    fn gain(&self, own: &Own, others: &[SiblingView]) -> f64 {
        own.cwnd as f64 / total(own, others) as f64
    }

    fn remaining(&self, own: &Own, others: &[SiblingView]) -> u64 {
        if others.is_empty() {
            return (own.cwnd / 2).max(min_ssthresh(own.mss));
        }
        // One segment goes on probing a path that is otherwise given up.
        own.cwnd.saturating_sub(total(own, others) / 2).max(own.mss)
    }
}
