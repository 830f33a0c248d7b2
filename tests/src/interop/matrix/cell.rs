//! The dimensions of the matrix, its cells, and the few that stand for all.

use super::super::{ENGINE, SERVER};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What the engine is; the kernel is the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Role {
    Client,
    Server,
}

/// The families of the first subflow and of the two joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Families {
    V4,
    V6,
    V4ThenV6,
    V6ThenV4,
}

impl Families {
    /// Whether the first subflow, and whether the joins are IPv6.
    #[must_use]
    pub const fn v6(self) -> (bool, bool) {
        match self {
            Self::V4 => (false, false),
            Self::V6 => (true, true),
            Self::V4ThenV6 => (false, true),
            Self::V6ThenV4 => (true, false),
        }
    }

    /// Whether they differ.
    #[must_use]
    pub const fn mixed(self) -> bool {
        self.v6().0 != self.v6().1
    }
}

/// What happens on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Clean,
    /// 1 % of the packets are lost, each way.
    Loss,
    /// 5 % of the packets are overtaken, each way.
    Reorder,
    /// The path of the first subflow goes silent for good after half of the data.
    Cut,
    /// The path of the first subflow is silent for every other half second, from after half of the data on; with
    /// 20 MiB from the beginning on.
    Flap,
}

/// One cell: a connection, the same number of bytes each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The engine's role.
    pub role: Role,
    /// The families of its subflows.
    pub families: Families,
    /// Whether DSS checksums are agreed on.
    pub checksum: bool,
    /// Bytes each way.
    pub size: usize,
    /// What happens on the way.
    pub condition: Condition,
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const FAMILIES: [Families; 4] =
    [Families::V4, Families::V6, Families::V4ThenV6, Families::V6ThenV4];
/// Nothing, the least, more than fits a segment, what fits the first window, what takes a while.
const SIZES: [usize; 5] = [0, 1, 1461, 64 << 10, LARGE];
const CONDITIONS: [Condition; 5] =
    [Condition::Clean, Condition::Loss, Condition::Reorder, Condition::Cut, Condition::Flap];
/// From here on the transfer is under way while something happens to it; below, it waits for that in its middle.
pub(super) const LARGE: usize = 20 << 20;

impl Cell {
    /// Every cell there is.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for condition in CONDITIONS {
            for role in ROLES {
                for families in FAMILIES {
                    for checksum in [false, true] {
                        let cell = |size| Self { role, families, checksum, size, condition };
                        cells.extend(SIZES.map(cell));
                    }
                }
            }
        }
        cells
    }

    /// Few cells in which any two values of any two dimensions meet.
    #[must_use]
    pub fn pairwise() -> Vec<Self> {
        let all = Self::all();
        let mut open: BTreeSet<_> = all.iter().flat_map(Self::pairs).collect();
        let mut chosen = Vec::new();
        while !open.is_empty() {
            let gain =
                |cell: &Self| cell.pairs().iter().filter(|pair| open.contains(*pair)).count();
            // The first of the best: the choice depends on nothing but the dimensions.
            let mut best = all[0];
            for cell in &all {
                if gain(cell) > gain(&best) {
                    best = *cell;
                }
            }
            for pair in best.pairs() {
                open.remove(&pair);
            }
            chosen.push(best);
        }
        chosen.sort_by_key(Self::seed);
        chosen
    }

    fn pairs(&self) -> Vec<[String; 2]> {
        let values = self.values();
        let pair = |(i, j): (usize, usize)| [i, j].map(|k| format!("{k} {}", values[k]));
        (0..5).flat_map(|i| (i + 1..5).map(move |j| (i, j))).map(pair).collect()
    }

    /// One word for each dimension.
    #[must_use]
    pub fn values(&self) -> [&'static str; 5] {
        let role = if self.role == Role::Client { "client" } else { "server" };
        let families = match self.families {
            Families::V4 => "v4",
            Families::V6 => "v6",
            Families::V4ThenV6 => "v4+v6",
            Families::V6ThenV4 => "v6+v4",
        };
        let checksum = if self.checksum { "csum" } else { "no-csum" };
        let size = match self.size {
            0 => "0B",
            1 => "1B",
            1461 => "MSS+1",
            LARGE => "20MiB",
            _ => "64KiB",
        };
        let condition = match self.condition {
            Condition::Clean => "clean",
            Condition::Loss => "loss",
            Condition::Reorder => "reorder",
            Condition::Cut => "cut",
            Condition::Flap => "flap",
        };
        [role, families, checksum, size, condition]
    }

    /// A number of its own, the same in every run: the seed of its data and faults.
    #[must_use]
    pub fn seed(&self) -> u64 {
        Self::all().iter().position(|cell| cell == self).map_or(0, |at| at as u64 + 1)
    }

    /// The address the connection goes to.
    #[must_use]
    pub fn dest(&self) -> IpAddr {
        let v6 = self.families.v6().0;
        match self.role {
            Role::Client => server_address(56, v6),
            Role::Server => engine_address(v6),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.values().join("/"))
    }
}

/// The kernel's address on the link with this number.
pub(super) const fn server_address(link: u16, v6: bool) -> IpAddr {
    let hex = [0x56, 0x57, 0x58];
    match (v6, SERVER) {
        (true, _) => {
            let net = hex[link as usize - 56];
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0x192, 0x168, net, 0, 0, 0, 0x101))
        }
        (false, IpAddr::V4(first)) => {
            let [a, b, _, d] = first.octets();
            IpAddr::V4(std::net::Ipv4Addr::new(a, b, link as u8, d))
        }
        (false, other) => other,
    }
}

/// The engine's address on the first link.
const fn engine_address(v6: bool) -> IpAddr {
    if v6 { IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x83, 0x56, 0, 0, 0, 2)) } else { ENGINE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_cells_stand_for_all() {
        let (all, few) = (Cell::all(), Cell::pairwise());
        assert_eq!(all.len(), 400);
        assert!((25..=35).contains(&few.len()), "{}", few.len());
        let pairs = |cells: &[Cell]| cells.iter().flat_map(Cell::pairs).collect::<BTreeSet<_>>();
        assert_eq!(pairs(&all), pairs(&few));
        assert_eq!(few, Cell::pairwise());
    }

    #[test]
    fn names_and_seeds_are_unique() {
        let all = Cell::all();
        let names: BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        let seeds: BTreeSet<u64> = all.iter().map(Cell::seed).collect();
        assert_eq!((names.len(), seeds.len()), (all.len(), all.len()));
        assert!(names.contains("server/v6+v4/csum/MSS+1/flap"), "{names:?}");
    }
}
