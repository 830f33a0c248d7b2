//! The hand-made other end: it says what arrives at the stack and looks at what leaves it, value by value.
//!
//! It has no TCP of its own, only counters, so it can do what no stack would. Nothing in it panics: what does not
//! come as a case needs it ends the case with a [`Stop`], and that is what was observed.

pub use super::data_level::NONCE;
use super::data_level::{DataLevel, HandMade, KEY};
use super::packet::Packet;
use super::segment::{Flow, Seg};
use super::target::{PORT, Setup, Target, probe_address, stack_address};
use mpuser_engine::addr::SocketAddr;
use mpuser_engine::crypto::Key;
use mpuser_engine::wire::CapableFlags;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// How long an answer may take that has to come.
pub const ANSWER: Duration = Duration::from_secs(3);
/// How long to listen before it is called silence.
pub const QUIET: Duration = Duration::from_millis(300);

/// Why a case could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop(pub String);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped: {}", self.0)
    }
}

/// What a case comes to: its notes are in the probe.
pub type Run = Result<(), Stop>;

/// A case ends here for this reason.
#[must_use]
pub fn stop(why: impl Into<String>) -> Stop {
    Stop(why.into())
}

/// The other end of the stack under test.
pub struct Probe<'t> {
    /// The stack.
    pub target: &'t mut dyn Target,
    /// How the stack is configured.
    pub setup: Setup,
    /// The probe's key.
    pub key: Key,
    /// The stack's key, once it was seen.
    pub own_key: Key,
    /// Checksums are in use.
    pub checksum: bool,
    /// The probe numbers its data in 32 bits.
    pub short: bool,
    pub(super) waiting: VecDeque<Packet>,
    notes: Vec<String>,
    next_port: u16,
}

impl fmt::Debug for Probe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("setup", &self.setup).field("notes", &self.notes).finish()
    }
}

impl HandMade for Probe<'_> {
    fn data_level(&self) -> DataLevel {
        let Self { key, own_key, checksum, short, .. } = *self;
        DataLevel { key, own_key, checksum, short }
    }
}

impl<'t> Probe<'t> {
    /// The other end of `target`.
    pub fn new(target: &'t mut dyn Target, setup: Setup) -> Self {
        Self {
            target,
            setup,
            key: KEY,
            own_key: Key(0),
            checksum: setup.checksum,
            short: false,
            waiting: VecDeque::new(),
            notes: Vec::new(),
            next_port: 40_000,
        }
    }

    /// Notes what was seen.
    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// Replaces everything noted since the notes read `before` by this one note.
    pub fn replace_notes(&mut self, before: &str, note: String) {
        while !self.notes.is_empty() && self.observed() != before {
            self.notes.pop();
        }
        self.notes.push(note);
    }

    /// All notes as one text.
    #[must_use]
    pub fn observed(&self) -> String {
        self.notes.join("; ")
    }

    /// MP_CAPABLE flags as the checksum setting wants them.
    #[must_use]
    pub const fn flags(&self) -> CapableFlags {
        CapableFlags::new(self.checksum, false)
    }

    /// A subflow the probe opens from its address number `index` to the stack's first.
    pub fn flow(&mut self, index: u8) -> Flow {
        self.flow_to(index, 0)
    }

    /// A subflow the probe opens from its address number `index` to the stack's number `to`.
    pub fn flow_to(&mut self, index: u8, to: u8) -> Flow {
        self.next_port += 1;
        let local = SocketAddr::new(stack_address(to, self.setup.ipv6), PORT);
        Flow::new(local, SocketAddr::new(probe_address(index, self.setup.ipv6), self.next_port))
    }

    /// The key is the stack's own.
    #[must_use]
    pub fn is_own_key(&self, key: Key) -> bool {
        // What a FASTCLOSE of the stack names is the probe's key.
        key.0 == self.key.0
    }

    /// Sends a segment.
    pub fn send(&mut self, flow: &mut Flow, seg: Seg) {
        self.target.inject(&flow.packet(&seg));
    }

    /// Sends data at this data offset, mapped, acknowledging nothing at the data level.
    pub fn send_data(&mut self, flow: &mut Flow, at: u64, data: &[u8]) {
        let dss = self.map(flow, at, data, 0);
        self.send(flow, super::segment::seg().data(data).dss(dss));
    }

    fn take(&mut self, flow: &mut Flow) -> Option<Packet> {
        let index = self.waiting.iter().position(|p| p.tuple == flow.tuple)?;
        let packet = self.waiting.remove(index)?;
        flow.hear(&packet);
        Some(packet)
    }

    /// Takes the next packet from the stack into the queue; false when none comes before `end`.
    fn pull(&mut self, end: Duration) -> bool {
        let left = end.saturating_sub(self.target.now());
        let Some(bytes) = self.target.next_packet(left) else { return false };
        let at = self.target.now();
        self.waiting.extend(Packet::parse(at, &bytes));
        true
    }

    /// The next packet on this subflow, within `limit`.
    pub fn wait(&mut self, flow: &mut Flow, limit: Duration) -> Option<Packet> {
        let end = self.target.now() + limit;
        loop {
            if let Some(packet) = self.take(flow) {
                return Some(packet);
            }
            if !self.pull(end) {
                return None;
            }
        }
    }

    /// The next packet on this subflow, which has to come.
    pub fn next(&mut self, flow: &mut Flow, what: &str) -> Result<Packet, Stop> {
        self.wait(flow, ANSWER).ok_or_else(|| stop(format!("no {what}")))
    }

    /// The next packet on this subflow that `wanted` wants, within `limit`; others are dropped.
    pub fn wait_for(
        &mut self,
        flow: &mut Flow,
        limit: Duration,
        mut wanted: impl FnMut(&Packet) -> bool,
    ) -> Option<Packet> {
        let end = self.target.now() + limit;
        loop {
            let left = end.saturating_sub(self.target.now());
            let packet = self.wait(flow, left)?;
            if wanted(&packet) {
                return Some(packet);
            }
        }
    }

    /// Everything that comes on this subflow until it has been quiet for [`QUIET`], but at most for two seconds.
    pub fn answers(&mut self, flow: &mut Flow) -> Vec<Packet> {
        let end = self.target.now() + Duration::from_secs(2);
        let mut all = Vec::new();
        while self.target.now() < end
            && let Some(packet) = self.wait(flow, QUIET)
        {
            all.push(packet);
        }
        all
    }

    /// Everything that comes on this subflow within `time`.
    pub fn during(&mut self, flow: &mut Flow, time: Duration) -> Vec<Packet> {
        let end = self.target.now() + time;
        let mut all = Vec::new();
        while let Some(packet) = self.wait(flow, end.saturating_sub(self.target.now())) {
            all.push(packet);
        }
        all
    }

    /// Lets time pass. What is sent waits to be looked at.
    pub fn pass(&mut self, time: Duration) {
        let end = self.target.now() + time;
        while self.pull(end) {}
    }

    /// Notes what comes on this subflow, as a digest.
    pub fn note_answers(&mut self, flow: &mut Flow) {
        let packets = self.answers(flow);
        let text = self.digest(&packets);
        self.note(text);
    }

    /// A duration that is long where time costs nothing and short on a wall clock.
    #[must_use]
    pub fn long(&self, virtual_time: Duration, wall_time: Duration) -> Duration {
        if self.target.is_virtual() { virtual_time } else { wall_time }
    }

    /// The first SYN on a subflow nobody has taken from yet, within `limit`: the stack opens a subflow.
    pub fn next_syn(&mut self, limit: Duration) -> Option<(Flow, Packet)> {
        let end = self.target.now() + limit;
        loop {
            if let Some(syn) = self.waiting.iter().find(|p| p.is_syn()) {
                let mut flow = Flow::new(syn.tuple.local, syn.tuple.remote);
                let packet = self.take(&mut flow)?;
                return Some((flow, packet));
            }
            if !self.pull(end) {
                return None;
            }
        }
    }
}
