//! The cases, one file for each group.

mod h;
mod h_reject;
mod j;
mod j_state;

use super::case::{Case, Group};

/// The order of the groups: as a connection lives.
pub(super) const ORDER: &str = "HJDCAXTRPL";

/// A group's letter, its title and the tables it consists of.
type Tables = (char, &'static str, &'static [&'static [Case]]);

const TABLES: &[Tables] = &[
    ('H', "connection set-up", &[h::CASES, h_reject::CASES]),
    ('J', "joining subflows", &[j::CASES, j_state::CASES]),
];

/// Every group.
pub(super) fn groups() -> Vec<Group> {
    let group = |(letter, title, tables): &Tables| Group { letter: *letter, title, tables };
    TABLES.iter().map(group).collect()
}

#[cfg(test)]
mod tests;
