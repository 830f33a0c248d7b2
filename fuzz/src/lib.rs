//! Fuzz targets: functions that take any octets and panic when something is wrong.
//!
//! The same functions run under libFuzzer (`fuzz/libfuzzer`), over the corpus and random mutations of it as a plain test
//! (`fuzz/tests`), and for hours (`tests/fuzz`). A target that needs structure draws it from the octets.
#![forbid(unsafe_code)]
#![expect(clippy::panic, reason = "a panic is the finding")]

mod acceptance;
mod captures;
mod convert;
pub mod corpus;
mod craft;
mod draw;
mod endpoint;
mod frames;
mod greetings;
mod identity;
mod mappings;
pub mod mutate;
mod network;
mod options;
mod packet;
mod pieces;
mod reassembly;
mod replaying;
mod shown;
mod text;

pub use shown::show;

/// A function to be fed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: the file in `fuzz/libfuzzer`, the folder in `fuzz/corpus`.
    pub name: &'static str,
    /// What it looks at.
    pub about: &'static str,
    /// Longest input that makes sense, octets.
    pub most: usize,
    /// Takes any octets; a panic is a finding.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, about: &'static str, most: usize, run: fn(&[u8])) -> Target {
    Target { name, about, most, run }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("options", "the option area of a TCP header", 40, options::run),
    target("identity", "packets drawn, written and read again", 512, identity::run),
    target("packet", "any octets as a packet", 512, packet::run),
    target("acceptance", "segments at a TCP socket, beside RFC 9293's table", 512, acceptance::run),
    target("mappings", "the mapping queue beside a model", 512, mappings::run),
    target("reassembly", "data-level reassembly beside a model", 512, reassembly::run),
    target("endpoint", "packets, time and calls at a whole endpoint", 512, endpoint::run),
    target("network", "two endpoints over a hostile network", 512, network::run),
    target("frames", "any octets as a stream of frames, cut anywhere", 512, frames::run),
    target("convert", "messages of RFC 8803, at both sides", 1_024, convert::run),
    target("greetings", "SOCKS5 and HTTP CONNECT, at both sides", 1_024, greetings::run),
    target("pcap", "any octets as a capture, read and explained", 4_096, captures::run),
    target("pcapng", "blocks of pcapng, read and explained", 2_048, captures::blocks),
    target("scenario", "scenarios of the simulator in TOML", 1_024, text::scenario),
    target("experiment", "experiments in TOML", 1_024, text::experiment),
    target("craft", "packets as text, built and taken apart", 512, craft::expression),
    target("dissect", "any octets as layers, said and built again", 256, craft::octets),
    target("script", "scenario scripts, as far as they are read", 1_024, craft::script),
    target("log", "logs of an endpoint's calls, done again", 8_192, replaying::log),
    target("replay", "any octets as a capture, played against the engine", 4_096, replaying::run),
    target("line", "settings, schedulers, links, boxes, commands: one line", 256, text::line),
];

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Feeds the target of this name.
///
/// # Panics
/// When something is wrong, which is the finding; or if there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let Some(target) = find(name) else { panic!("no target {name}") };
    (target.run)(data);
}
