//! What a run is made of, as values: network, ends, applications, and what happens when.

use crate::world::Side;
use mpuser_engine::addr::IpAddr;
use mpuser_engine::config::{ConnectionConfig, EndpointFlags, Limits};
use mpuser_engine::time::Duration;
use mpuser_sim::LinkConfig;
use std::fmt;

/// Most octets that go with a SYN.
pub(super) const EARLY_MAX: usize = 3_000;

/// Everything that was drawn from a seed.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The seed; keys, ports, losses come from it, too.
    pub seed: u64,
    /// Links of the paths, their middleboxes included.
    pub links: Vec<LinkConfig>,
    /// Addresses of the client and of the server, with the path of each.
    pub addresses: [Vec<(IpAddr, usize)>; 2],
    /// Settings of both ends.
    pub ends: [End; 2],
    /// Connections, in order of opening.
    pub connections: Vec<Opening>,
    /// What happens, by time.
    pub steps: Vec<(Duration, Step)>,
    /// When the faults stop.
    pub calm: Duration,
    /// Segments may be predicted; if not, all of them go the long way.
    pub predicting: bool,
}

/// One end.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// Of each connection.
    pub config: ConnectionConfig,
    /// Of the endpoint.
    pub limits: Limits,
    /// What differs from the default, in words.
    pub words: Vec<String>,
}

/// A connection that is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// When.
    pub at: Duration,
    /// To which address of the server.
    pub remote: IpAddr,
    /// Octets each side writes before it ends its direction.
    pub sizes: [usize; 2],
    /// Each side reads whatever comes; otherwise only when a step says so, until the faults stop.
    pub eager: [bool; 2],
    /// Each side writes all it can from the start; otherwise only when a step says so.
    pub prompt: [bool; 2],
    /// Octets that go with the SYN.
    pub early: usize,
}

/// Packets nobody of the two sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// A packet of some time ago once more.
    Replay,
    /// A RST, SYN, ACK or data with random numbers, on a four-tuple in use.
    Blind,
    /// A SYN with an MP_JOIN made up.
    Join,
    /// Random octets behind a good IP header.
    Noise,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Writes so many octets, of those its [`Opening`] has.
    Write(usize, Side, usize),
    /// Reads so many.
    Read(usize, Side, usize),
    /// Ends its direction.
    Shutdown(usize, Side),
    /// Lets go of the connection.
    Close(usize, Side),
    /// MP_FASTCLOSE.
    Abort(usize, Side),
    /// Opens a subflow from one address to another, by their numbers.
    OpenSubflow(usize, Side, usize, usize),
    /// Closes the n-th subflow.
    CloseSubflow(usize, Side, usize),
    /// MP_PRIO on the n-th subflow.
    Backup(usize, Side, usize, bool),
    /// An address appears that was away.
    AddAddress(Side, usize),
    /// An address goes.
    RemoveAddress(Side, usize),
    /// `ip mptcp endpoint add`.
    AddEndpoint(Side, usize, EndpointFlags),
    /// `ip mptcp endpoint delete`, the n-th.
    DeleteEndpoint(Side, usize),
    /// `ip mptcp endpoint change`, the n-th.
    ChangeEndpoint(Side, usize, EndpointFlags),
    /// `ip mptcp endpoint flush`.
    Flush(Side),
    /// `ip mptcp limits set`.
    Limits(Side, Limits),
    /// `sysctl -w`.
    Setting(Side, &'static str, String),
    /// No packets pass: in the client's direction, in the server's.
    Cut(usize, bool, bool),
    /// They do again.
    Restore(usize),
    /// A path becomes another.
    Change(usize, Box<LinkConfig>),
    /// The translator on a path forgets.
    Rebind(usize),
    /// A stranger sends something to this end.
    Inject(Side, usize, Forgery, u64),
}

/// A part of a setup that can be left out to see whether it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A step.
    Step(usize),
    /// A middlebox of a path.
    Box(usize, usize),
    /// Loss, disorder, damage, small queues and packets of a path.
    Faults(usize),
    /// The rate of a path.
    Rate(usize),
    /// The settings of an end.
    End(usize),
    /// The octets a side of a connection writes.
    Data(usize, usize),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(n) => write!(f, "s{n}"),
            Self::Box(path, n) => write!(f, "b{path}.{n}"),
            Self::Faults(path) => write!(f, "f{path}"),
            Self::Rate(path) => write!(f, "r{path}"),
            Self::End(side) => write!(f, "e{side}"),
            Self::Data(connection, side) => write!(f, "d{connection}.{side}"),
        }
    }
}

impl Setup {
    /// Everything that can be left out.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = (0..self.steps.len()).map(Part::Step).collect();
        for (path, link) in self.links.iter().enumerate() {
            parts.extend((0..link.boxes.len()).map(|n| Part::Box(path, n)));
            parts.extend([Part::Faults(path), Part::Rate(path)]);
        }
        parts.extend([Part::End(0), Part::End(1)]);
        for connection in 0..self.connections.len() {
            parts.extend([Part::Data(connection, 0), Part::Data(connection, 1)]);
        }
        parts
    }

    /// The same with these parts alone.
    #[must_use]
    pub fn only(&self, keep: &[Part]) -> Self {
        let mut setup = self.clone();
        let keeps = |part: Part| keep.contains(&part);
        setup.steps = retained(&self.steps, |n| keeps(Part::Step(n)));
        for (path, link) in setup.links.iter_mut().enumerate() {
            link.boxes = retained(&link.boxes, |n| keeps(Part::Box(path, n)));
            if !keeps(Part::Faults(path)) {
                *link = calm(link);
            }
            if !keeps(Part::Rate(path)) {
                (link.forward.rate, link.backward.rate) = (None, None);
            }
        }
        for (side, end) in setup.ends.iter_mut().enumerate() {
            if !keeps(Part::End(side)) {
                *end = End::default();
            }
        }
        for (number, connection) in setup.connections.iter_mut().enumerate() {
            for side in 0..2 {
                if !keeps(Part::Data(number, side)) {
                    connection.sizes[side] = 0;
                }
            }
        }
        setup
    }

    /// Packets are changed on the way, by a middlebox that is there until the end.
    #[must_use]
    pub fn has_box(&self, names: &[&str]) -> bool {
        let mut boxes = self.links.iter().flat_map(|link| &link.boxes);
        boxes.any(|text| names.iter().any(|name| text.split(':').next() == Some(name)))
    }
}

fn retained<T: Clone>(all: &[T], keep: impl Fn(usize) -> bool) -> Vec<T> {
    all.iter().enumerate().filter(|(n, _)| keep(*n)).map(|(_, one)| one.clone()).collect()
}

/// A link without faults: its rates, delays and boxes stay.
#[must_use]
pub(super) fn calm(link: &LinkConfig) -> LinkConfig {
    let mut calm = LinkConfig { boxes: link.boxes.clone(), ..LinkConfig::default() };
    for (to, from) in [(&mut calm.forward, &link.forward), (&mut calm.backward, &link.backward)] {
        (to.rate, to.delay, to.mtu) = (from.rate, from.delay, from.mtu);
        to.too_big = from.too_big;
    }
    calm
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, faults until {:?}", self.seed, self.calm)?;
        for (path, link) in self.links.iter().enumerate() {
            writeln!(f, "  path {path}: {}", link_words(link))?;
        }
        for (side, name) in ["client", "server"].iter().enumerate() {
            let addresses: Vec<String> =
                self.addresses[side].iter().map(|(ip, path)| format!("{ip} on {path}")).collect();
            let words = self.ends[side].words.join(", ");
            writeln!(f, "  {name}: {}; {words}", addresses.join(", "))?;
        }
        for (number, one) in self.connections.iter().enumerate() {
            writeln!(f, "  connection {number}: {one:?}")?;
        }
        for (number, (at, step)) in self.steps.iter().enumerate() {
            writeln!(f, "  s{number} {at:?} {step:?}")?;
        }
        Ok(())
    }
}

fn link_words(link: &LinkConfig) -> String {
    let lane = |lane: &mpuser_sim::link::LaneConfig| {
        let mut words = vec![format!("{:?}", lane.delay)];
        let mut say = |set: bool, text: String| {
            if set {
                words.push(text);
            }
        };
        say(lane.rate.is_some(), format!("{} bit/s", lane.rate.unwrap_or(0)));
        say(!lane.jitter.amount.is_zero(), format!("{:?}", lane.jitter));
        say(lane.loss != mpuser_sim::link::Loss::None, format!("{:?}", lane.loss));
        say(lane.reorder > 0.0, format!("reorder {}/{}", lane.reorder, lane.reorder_distance));
        say(lane.duplicate > 0.0, format!("duplicate {}", lane.duplicate));
        say(lane.corrupt > 0.0, format!("corrupt {}", lane.corrupt));
        say(lane.mtu < u16::MAX, format!("MTU {}", lane.mtu));
        say(!lane.up, "down".to_owned());
        say(true, format!("{:?}", lane.queue));
        words.join(", ")
    };
    let boxes = link.boxes.join(" ");
    format!("-> {}; <- {}; boxes: {boxes}", lane(&link.forward), lane(&link.backward))
}
