//! Middleboxes: what networks do to TCP on its way.
//!
//! Each box is a value with a name and arguments (`strip-mptcp:syn,from=64k`). Boxes stand in a [`Chain`]; what is
//! not TCP, or has a wrong checksum, passes all of them untouched.

mod ack_ahead;
mod ack_unseen;
mod alg;
mod args;
mod block;
mod chain;
mod coalesce;
mod disorder;
mod flow;
mod hold;
mod isn;
mod mirror;
mod nat;
mod normalise;
mod scrub;
mod select;
mod split;
mod splitter;
mod strip;

pub use chain::{Chain, Output};

use crate::direction::Direction;
use crate::packet::TcpPacket;
use args::Args;
use mpuser_engine::time::Instant;
use std::fmt;

/// What a box sends on: each packet with the way it goes from here.
pub type Emitted = Vec<(Direction, TcpPacket)>;

/// One moment of a box, and what it does with it.
#[derive(Debug)]
pub struct Turn {
    /// The time.
    pub now: Instant,
    /// What leaves the box, in order.
    pub emitted: Emitted,
    /// Packets it has changed, dropped, held or made.
    pub acted: u64,
}

impl Turn {
    /// Nothing was done yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { now, emitted: Emitted::new(), acted: 0 }
    }

    /// Lets a packet leave this way.
    pub fn send(&mut self, direction: Direction, packet: TcpPacket) {
        self.emitted.push((direction, packet));
    }
}

/// A box on the path.
pub trait Middlebox: fmt::Debug + Send {
    /// A packet comes from one side.
    fn on_packet(&mut self, direction: Direction, packet: TcpPacket, turn: &mut Turn);

    /// When [`Middlebox::on_timer`] is to be called next.
    fn next(&self) -> Option<Instant> {
        None
    }

    /// Time has passed.
    fn on_timer(&mut self, _turn: &mut Turn) {}
}

type Make = fn(&mut Args<'_>, u64) -> Result<Box<dyn Middlebox>, String>;

/// A kind of box: its name, its arguments, what it does, and how it is made.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The name before the colon.
    pub name: &'static str,
    /// The arguments it takes, all optional unless said otherwise.
    pub arguments: &'static str,
    /// What it does.
    pub about: &'static str,
    make: Make,
}

macro_rules! kinds {
    ($($name:literal, $arguments:literal, $about:literal, $make:expr;)*) => {
        &[$(Kind { name: $name, arguments: $arguments, about: $about, make: $make }),*]
    };
}

/// Every kind of box there is.
pub const KINDS: &[Kind] = kinds! {
    "strip-mptcp", "SEGMENTS,SUBTYPES,fwd|back,from=SIZE", "replaces MPTCP options by NOPs",
        |args, _| Ok(Box::new(strip::Strip::mptcp(args)?));
    "strip-option", "kind=N (needed),SEGMENTS,fwd|back,from=SIZE", "replaces a TCP option by NOPs",
        |args, _| Ok(Box::new(strip::Strip::any_kind(args)?));
    "drop-mptcp", "SEGMENTS,SUBTYPES,fwd|back,from=SIZE", "drops segments with an MPTCP option",
        |args, _| Ok(Box::new(block::Block::dropping(args)?));
    "rst-mptcp", "SEGMENTS,SUBTYPES,fwd|back,from=SIZE", "answers segments with an MPTCP option by a RST",
        |args, _| Ok(Box::new(block::Block::resetting(args)?));
    "mirror-mptcp", "", "hides MPTCP options of a SYN from the server and puts them on its SYN/ACK",
        |_, _| Ok(Box::new(mirror::Mirror::default()));
    "isn", "keep-sack", "rewrites sequence numbers; with keep-sack not those in SACK blocks",
        |args, seed| Ok(Box::new(isn::Isn::new(args, seed)));
    "nat", "addr=IP,rebind=TIME,rebind-after=SIZE", "translates the client's port (and address); may forget a mapping",
        |args, seed| Ok(Box::new(nat::Nat::new(args, seed)?));
    "split", "size=SIZE,first|last|all", "cuts segments; MPTCP options stay on the first, last or all pieces",
        |args, _| Ok(Box::new(split::Split::new(args)?));
    "coalesce", "max=SIZE,hold=TIME,first|last", "joins segments; MPTCP options are those of the first or last",
        |args, _| Ok(Box::new(coalesce::Coalesce::new(args)?));
    "ack-ahead", "restart=SIZE,lose=N", "acknowledges in place of the receiver; may lose what it acknowledged",
        |args, _| Ok(Box::new(ack_ahead::AckAhead::new(args)?));
    "alg", "longer=N|shorter=N|flip (needed),at=SIZE,fwd|back",
        "changes the length of the payload and adapts sequence numbers; flip changes one octet",
        |args, _| Ok(Box::new(alg::Alg::new(args)?));
    "hold", "drop", "holds (or drops) data behind a hole until the hole is filled",
        |args, _| Ok(Box::new(hold::Hold::new(args)));
    "ack-unseen", "drop|rewrite,blind=P", "drops or lowers an ACK for data it has not seen; overlooks a share of the data",
        |args, seed| Ok(Box::new(ack_unseen::AckUnseen::new(args, seed)?));
    "normalise", "", "replaces the bytes of a retransmission by those first seen",
        |_, _| Ok(Box::new(normalise::Normalise::default()));
    "duplicate", "late=TIME", "sends every packet twice, the copy perhaps later",
        |args, _| Ok(Box::new(disorder::Duplicate::new(args)?));
    "reorder", "by=N,p=P", "holds packets back until up to N later ones have passed",
        |args, seed| Ok(Box::new(disorder::Reorder::new(args, seed)?));
    "scrub", "reserved,timestamps,wscale", "clears reserved bits, shifts timestamps, removes window scaling",
        |args, seed| Ok(Box::new(scrub::Scrub::new(args, seed)));
    "splitter", "mss=N,window=SIZE", "ends every connection and opens another in its place (plain TCP)",
        |args, seed| Ok(Box::new(splitter::Splitter::new(args, seed)?));
};

/// A box from its text: the name, a colon, and arguments between commas.
///
/// # Errors
/// The name is unknown, or an argument is; says what there is.
pub fn build(text: &str, seed: u64) -> Result<Box<dyn Middlebox>, String> {
    let (name, arguments) = text.split_once(':').unwrap_or((text, ""));
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        return Err(format!("there is no box {name:?}; the boxes are {}", names.join(", ")));
    };
    let mut args = Args::new(arguments);
    let made = (kind.make)(&mut args, seed).map_err(|error| format!("box {name}: {error}"))?;
    match args.unused() {
        None => Ok(made),
        Some(word) if kind.arguments.is_empty() => {
            Err(format!("box {name}: it takes no arguments, not {word:?}"))
        }
        Some(word) => Err(format!("box {name}: it does not take {word:?} but {}", kind.arguments)),
    }
}

#[cfg(test)]
mod tests;
