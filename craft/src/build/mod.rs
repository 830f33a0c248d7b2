//! Packets out of layers: what was said is taken as it is, right or wrong, and the rest is filled in.

mod fill;
mod header;
mod known;
mod mptcp;
mod plain;

pub use fill::Field;
pub use known::Known;

use crate::layer::{Stack, misplaced};
use crate::table::{Kind, Place};
use fill::Fill;
use std::fmt;
use std::ops::Range;

/// Octets of options a TCP header has room for.
pub const OPTIONS_MAX: usize = 40;

/// Why a packet cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// What is wrong; no full stop.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl BuildError {
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.help)
    }
}

impl std::error::Error for BuildError {}

/// A layer as it is in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltLayer {
    /// Its kind.
    pub kind: Kind,
    /// Its fields, those of the wire.
    pub fields: Vec<Field>,
    /// Where in the packet it stands.
    pub at: Range<usize>,
}

impl BuiltLayer {
    /// A field that is there.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.spec.name == name)
    }
}

/// A packet, and what every field of it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The packet, from its IP header on.
    pub bytes: Vec<u8>,
    /// Its layers.
    pub layers: Vec<BuiltLayer>,
}

/// What options want to know of the segment they stand on.
#[derive(Debug)]
struct Segment<'a> {
    syn: bool,
    ack: bool,
    payload: &'a [u8],
}

impl Stack {
    /// Builds the packet; what is not said is filled in from what is known.
    ///
    /// # Errors
    /// Something is needed that is neither said nor known, or the packet would be none.
    pub fn build(&self, known: &Known) -> Result<Built, BuildError> {
        let stack = self.clone().with_tcp();
        check(&stack)?;
        let payload = payload(&stack)?;
        let tcp =
            stack.find(Kind::Tcp).map_or_else(|| crate::layer::Layer::new(Kind::Tcp), Clone::clone);
        let mut tcp_fill = Fill::new(&tcp);
        // FIN 1, SYN 2, PSH 8, ACK 16
        let flags = tcp_fill.number("flags", if payload.is_empty() { 0x10 } else { 0x18 })?;
        let segment = Segment { syn: flags & 2 != 0, ack: flags & 0x10 != 0, payload: &payload };
        let mut options = Vec::new();
        let mut option_layers = Vec::new();
        for layer in stack.at(Place::Option) {
            let mut fill = Fill::new(layer);
            let bytes = if layer.kind().is_mptcp() {
                mptcp::option(&mut fill, &segment, known)?
            } else {
                plain::option(&mut fill)?
            };
            let at = options.len()..options.len() + bytes.len();
            options.extend_from_slice(&bytes);
            option_layers.push(BuiltLayer { kind: layer.kind(), fields: fill.finish(), at });
        }
        options.resize(options.len().next_multiple_of(4), plain::NOP);
        if options.len() > OPTIONS_MAX && !tcp_fill.is_said("dataofs") {
            let what = format!("the options take {} octets", options.len());
            let help =
                "a TCP header has room for 40; with TCP(dataofs=15) they are sent all the same";
            return Err(BuildError::new(what, help));
        }
        let parts = header::Parts { flags, options: &options, payload: &payload };
        let network = stack.at(Place::Network).next();
        header::packet(network, tcp_fill, &parts, known, option_layers)
    }
}

/// What makes a packet impossible before any field is looked at.
fn check(stack: &Stack) -> Result<(), BuildError> {
    let mut before = None;
    for layer in stack.layers() {
        if let Some(fault) = layer.faults().first() {
            return Err(BuildError::new(fault.clone(), "see `mpuser craft --layers`"));
        }
        if let Some(why) = misplaced(before, layer.kind()) {
            return Err(BuildError::new(why, "put it where it belongs"));
        }
        before = Some(layer.kind());
    }
    Ok(())
}

fn payload(stack: &Stack) -> Result<Vec<u8>, BuildError> {
    match stack.find(Kind::Raw) {
        Some(raw) => Ok(Fill::new(raw).octets("load", Some(Vec::new()))?.unwrap_or_default()),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests;
