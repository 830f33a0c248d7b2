//! Which packets are lost.

use mpuser_engine::rng::Rng;
use std::sync::Arc;

/// A model of loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each packet on its own with this probability.
    Bernoulli(f64),
    /// Two states (Gilbert, Elliott): loss comes in bursts.
    GilbertElliott {
        /// Probability per packet of going from the good state to the bad one.
        to_bad: f64,
        /// Probability per packet of going back.
        to_good: f64,
        /// Loss in the bad state.
        bad: f64,
        /// Loss in the good state.
        good: f64,
    },
    /// Packet by packet: `true` is lost. Begins anew at its end.
    Trace(Arc<[bool]>),
}

/// A model of loss at work.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossState {
    bad: bool,
    at: usize,
}

impl LossState {
    /// Whether the next packet is lost. Always two draws.
    pub(crate) fn next(&mut self, model: &Loss, rng: &mut Rng) -> bool {
        let (first, second) = (rng.next_u32(), rng.next_u32());
        let below = |draw: u32, p: f64| f64::from(draw) < p * 4_294_967_296.0;
        match model {
            Loss::None => false,
            Loss::Bernoulli(p) => below(first, *p),
            Loss::GilbertElliott { to_bad, to_good, bad, good } => {
                let turn = if self.bad { *to_good } else { *to_bad };
                self.bad ^= below(first, turn);
                below(second, if self.bad { *bad } else { *good })
            }
            Loss::Trace(lost) => {
                let verdict = lost.get(self.at).copied().unwrap_or(false);
                self.at = if self.at + 1 >= lost.len() { 0 } else { self.at + 1 };
                verdict
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::rng;

    fn run(model: &Loss, packets: usize) -> Vec<bool> {
        let (mut state, mut rng) = (LossState::default(), rng(7, 1));
        (0..packets).map(|_| state.next(model, &mut rng)).collect()
    }

    fn share(lost: &[bool]) -> f64 {
        lost.iter().filter(|l| **l).count() as f64 / lost.len() as f64
    }

    #[test]
    fn loss_is_as_often_as_asked() {
        assert!((share(&run(&Loss::Bernoulli(0.01), 200_000)) - 0.01).abs() < 0.001);
        // the bad state holds 1/(1+20) of the time, and loses half
        let bursty = Loss::GilbertElliott { to_bad: 0.01, to_good: 0.2, bad: 0.5, good: 0.0 };
        let lost = run(&bursty, 400_000);
        assert!((share(&lost) - 0.5 / 21.0).abs() < 0.002, "{}", share(&lost));
        // and it comes in bursts: after a loss another is far likelier than on average
        let pairs = lost.windows(2).filter(|pair| pair[0]);
        let after: Vec<bool> = pairs.map(|pair| pair[1]).collect();
        assert!(share(&after) > 0.3);
    }

    #[test]
    fn a_trace_begins_anew() {
        let trace = Loss::Trace([true, false, false].into());
        assert_eq!(run(&trace, 7), [true, false, false, true, false, false, true]);
    }
}
