//! What is compared, and what is asked of it.

use std::fmt;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rounds, of each of which every contender has a value.
    pub rounds: usize,
    /// Less of everything: to see that it works.
    pub quick: bool,
}

impl Settings {
    /// Nine rounds; three if `quick`.
    #[must_use]
    pub const fn new(quick: bool) -> Self {
        Self { rounds: if quick { 3 } else { 9 }, quick }
    }
}

/// What a case has to show. A ratio is that of the first contender to the second, taken in each round, the median of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask {
    /// The ratio is at least this.
    RatioAtLeast(f64),
    /// The ratio is at most this.
    RatioAtMost(f64),
    /// The first contender's value is at least this.
    AtLeast(f64),
    /// The first contender's value is at most this.
    AtMost(f64),
    /// The first contender's value is at most this in every round: not the median is judged, but the worst.
    NeverOver(f64),
}

impl Ask {
    /// It is about a ratio.
    #[must_use]
    pub const fn is_ratio(self) -> bool {
        matches!(self, Self::RatioAtLeast(_) | Self::RatioAtMost(_))
    }

    /// How many times what was asked for: 1 and above is met.
    #[must_use]
    pub fn reached(self, value: f64) -> f64 {
        match self {
            Self::RatioAtLeast(ask) | Self::AtLeast(ask) => value / ask,
            Self::RatioAtMost(ask) | Self::AtMost(ask) | Self::NeverOver(ask) => ask / value,
        }
    }

    /// The value is what was asked for, or better.
    #[must_use]
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::RatioAtLeast(ask) | Self::AtLeast(ask) => value >= ask,
            Self::RatioAtMost(ask) | Self::AtMost(ask) | Self::NeverOver(ask) => value <= ask,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(ask) | Self::AtLeast(ask) => write!(f, ">= {ask}"),
            Self::RatioAtMost(ask) | Self::AtMost(ask) => write!(f, "<= {ask}"),
            Self::NeverOver(ask) => write!(f, "never over {ask}"),
        }
    }
}

/// How others on the machine are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Before each round, and during it: all that the processor does is ours.
    Throughout,
    /// Before each round only: the kernel and other processes are part of the case.
    Before,
}

/// Measures once.
pub type Measure = Box<dyn FnMut(&Settings) -> Result<f64, String>>;

/// One that takes part.
pub struct Contender {
    /// Its name.
    pub name: String,
    /// One value, in the case's unit.
    pub measure: Measure,
}

impl Contender {
    /// With this name.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        measure: impl FnMut(&Settings) -> Result<f64, String> + 'static,
    ) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What makes the contenders, with all they need (a lab, files); dropping them takes it away again. An error says what
/// is missing, and the case is left out.
pub type Prepare = fn(&Settings) -> Result<Vec<Contender>, String>;

/// A comparison.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `P1`, `P2` ...; several cases may share one.
    pub id: &'static str,
    /// What is done.
    pub what: &'static str,
    /// Of the contenders' values.
    pub unit: &'static str,
    /// What it has to show.
    pub ask: Ask,
    /// How others are noticed.
    pub watch: Watch,
    /// Ours first, then whom it is compared with; more are shown and not judged.
    pub prepare: Prepare,
}
