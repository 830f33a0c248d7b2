//! The cases, one file for each group.

mod a;
mod a_own;
mod c;
mod d;
mod d_send;
mod h;
mod h_reject;
mod j;
mod j_state;
mod l;
mod p;
mod r;
mod t;
mod t_open;
mod x;
mod x_abort;

use super::case::{Case, Group};

/// The order of the groups: as a connection lives.
pub(super) const ORDER: &str = "HJDCAXTRPL";

/// A group's letter, its title and the tables it consists of.
type Tables = (char, &'static str, &'static [&'static [Case]]);

const TABLES: &[Tables] = &[
    ('H', "connection set-up", &[h::CASES, h_reject::CASES]),
    ('J', "joining subflows", &[j::CASES, j_state::CASES]),
    ('D', "data level", &[d::CASES, d_send::CASES]),
    ('C', "checksum and fallback", &[c::CASES]),
    ('A', "addresses", &[a::CASES, a_own::CASES]),
    ('X', "closing and reset", &[x::CASES, x_abort::CASES]),
    ('T', "TCP under attack", &[t::CASES, t_open::CASES]),
    ('R', "bounds", &[r::CASES]),
    ('P', "parsers", &[p::CASES]),
    ('L', "liveness", &[l::CASES]),
];

/// Every group.
pub(super) fn groups() -> Vec<Group> {
    let group = |(letter, title, tables): &Tables| Group { letter: *letter, title, tables };
    TABLES.iter().map(group).collect()
}

#[cfg(test)]
mod tests;
