//! Congestion control by name.

/// Congestion control of each subflow (RFC 8684 3.3.8). The coupled ones look at all subflows of a connection; with a
/// single one they are Reno, but for wVegas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CongestionAlgorithm {
    /// RFC 5681 and 6582.
    NewReno,
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 6356.
    Lia,
    /// draft-khalili-mptcp-congestion-control-05.
    Olia,
    /// draft-walid-mptcp-congestion-control-04.
    Balia,
    /// Weighted Vegas (ICNP 2012).
    Wvegas,
    /// Equally weighted TCP (NSDI 2011).
    Ewtcp,
    /// Fully coupled (NSDI 2011).
    Coupled,
    /// BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00), each subflow on its own.
    Bbr,
}

impl CongestionAlgorithm {
    const ALL: [(Self, &'static str, &'static str); 9] = [
        (Self::Cubic, "cubic", "RFC 9438, each subflow on its own"),
        (Self::NewReno, "reno", "RFC 5681 with SACK, each subflow on its own"),
        (Self::Lia, "lia", "RFC 6356: together as aggressive as one TCP on the best path"),
        (Self::Olia, "olia", "draft-khalili-05: as lia, and moves to the best paths"),
        (Self::Balia, "balia", "draft-walid-04: between lia's friendliness and olia's slowness"),
        (Self::Wvegas, "wvegas", "weighted Vegas: by delay, ten segments queued in all"),
        (Self::Ewtcp, "ewtcp", "each of n subflows takes 1/n of a TCP's share"),
        (
            Self::Coupled,
            "coupled",
            "the windows together are one TCP's, on the least congested paths",
        ),
        (
            Self::Bbr,
            "bbr",
            "BBR version 1: by measured bandwidth and delay, paced, each subflow on its own; beside Reno and with a \
             short queue it takes most of a link",
        ),
    ];

    /// Every name [`Self::from_name`] takes, the default first.
    pub const NAMES: &'static [&'static str] =
        &["cubic", "reno", "lia", "olia", "balia", "wvegas", "ewtcp", "coupled", "bbr"];

    /// Every algorithm, the default first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().map(|(algorithm, ..)| algorithm)
    }

    /// The algorithm of this name; `newreno` is another word for `reno`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "newreno" { "reno" } else { name };
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(algorithm, ..)| algorithm)
    }

    /// Its name, as kernels spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// What it does, in one line for help texts.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.row().2
    }

    /// It looks at the other subflows of its connection.
    #[must_use]
    pub const fn is_coupled(self) -> bool {
        !matches!(self, Self::NewReno | Self::Cubic | Self::Bbr)
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        let [first, ..] = Self::ALL;
        Self::ALL.into_iter().find(|(algorithm, ..)| *algorithm == self).unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_there_and_back() {
        assert!(
            CongestionAlgorithm::all()
                .map(CongestionAlgorithm::name)
                .eq(CongestionAlgorithm::NAMES.iter().copied())
        );
        for algorithm in CongestionAlgorithm::all() {
            assert_eq!(CongestionAlgorithm::from_name(algorithm.name()), Some(algorithm));
        }
        assert_eq!(CongestionAlgorithm::from_name("newreno"), Some(CongestionAlgorithm::NewReno));
        assert_eq!(CongestionAlgorithm::from_name("vegas"), None);
    }
}
