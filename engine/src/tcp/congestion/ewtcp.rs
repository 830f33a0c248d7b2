//! Equally weighted TCP (Honda et al., PFLDNeT 2009; NSDI 2011, 2.1): each of n subflows takes 1/n of a TCP's share.

use super::SiblingView;
use super::window::{Own, Policy};
use crate::config::CongestionAlgorithm;

/// EWTCP: Reno with its increase divided by n^2, so that the window is divided by n.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ewtcp;

impl Policy for Ewtcp {
    const ALGORITHM: CongestionAlgorithm = CongestionAlgorithm::Ewtcp;

    fn gain(&self, _own: &Own, others: &[SiblingView]) -> f64 {
        let paths = (others.len() + 1) as f64;
        1.0 / (paths * paths)
    }
}
