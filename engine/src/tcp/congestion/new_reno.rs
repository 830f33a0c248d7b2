//! The standard: slow start, congestion avoidance, halving (RFC 5681, RFC 6582).

use super::SiblingView;
use super::window::{Own, Policy};
use crate::config::CongestionAlgorithm;

/// Reno knows no siblings.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewReno;

impl Policy for NewReno {
    const ALGORITHM: CongestionAlgorithm = CongestionAlgorithm::NewReno;

    fn gain(&self, _own: &Own, _others: &[SiblingView]) -> f64 {
        1.0
    }
}
