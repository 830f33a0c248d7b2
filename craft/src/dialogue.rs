//! A session with somebody to talk to: steps of a connection, each with its answer.

use crate::build::{BuildError, Built};
use crate::layer::Stack;
use crate::session::{Deaf, FlowId, Heard, Session};
use crate::table::{Kind, dss, mp_capable, mp_join, raw};
use mpuser_sim::conform::Target;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What carries packets to the other end and back. Only [`Wire::receive`] lets time pass.
pub trait Wire {
    /// Time since the start.
    fn now(&self) -> Duration;

    /// Sends an IP packet.
    fn send(&mut self, packet: &[u8]);

    /// The next IP packet for us; `None` if there is none for as long as `limit`.
    fn receive(&mut self, limit: Duration) -> Option<Vec<u8>>;
}

/// A stack under test is somebody to talk to.
impl<T: Target + ?Sized> Wire for T {
    fn now(&self) -> Duration {
        Target::now(self)
    }

    fn send(&mut self, packet: &[u8]) {
        self.inject(packet);
    }

    fn receive(&mut self, limit: Duration) -> Option<Vec<u8>> {
        self.next_packet(limit)
    }
}

/// A packet that went one way or the other.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When.
    pub at: Duration,
    /// We sent it.
    pub sent: bool,
    /// From its IP header on.
    pub packet: Vec<u8>,
}

/// Why a step of a connection was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A packet could not be built.
    Build(BuildError),
    /// Nobody answered.
    Silence,
    /// A RST, with the reason of an MP_TCPRST.
    Reset(Option<u8>),
    /// The answer had no MPTCP option, or not the one it needs.
    Plain,
    /// The HMAC of the answer is not the one its sender's key makes.
    BadHmac,
    /// There is no such subflow, or none that is open.
    NoFlow,
}

impl From<BuildError> for Refusal {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Silence => f.write_str("nobody answered"),
            Self::Reset(None) => f.write_str("the answer was a RST"),
            Self::Reset(Some(reason)) => {
                write!(f, "the answer was a RST with MP_TCPRST, reason {reason}")
            }
            Self::Plain => f.write_str("the answer had no MPTCP option of the right kind"),
            Self::BadHmac => f.write_str("the answer's HMAC is wrong"),
            Self::NoFlow => f.write_str("there is no such subflow"),
        }
    }
}

impl std::error::Error for Refusal {}

/// How often a SYN is sent.
const TRIES: u32 = 3;
/// How long to listen for what need not come.
const QUIET: Duration = Duration::from_millis(200);

/// A session on a wire. What comes in is acknowledged, as far as a step needs it.
pub struct Dialogue<'w> {
    /// Keys and numbers.
    pub session: Session,
    /// What carries the packets.
    pub wire: &'w mut dyn Wire,
    /// How long an answer may take.
    pub patience: Duration,
    /// All packets so far, until somebody takes them.
    pub log: Vec<Exchange>,
}

impl fmt::Debug for Dialogue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialogue").field("session", &self.session).finish_non_exhaustive()
    }
}

impl<'w> Dialogue<'w> {
    /// A session that begins.
    pub fn new(wire: &'w mut dyn Wire, seed: [u8; 32]) -> Self {
        let patience = Duration::from_secs(1);
        Self { session: Session::new(seed), wire, patience, log: Vec::new() }
    }

    /// Sends what layers become on a subflow.
    ///
    /// # Errors
    /// The packet cannot be built.
    pub fn send(&mut self, flow: FlowId, stack: &Stack) -> Result<Built, BuildError> {
        let built = self.session.craft(flow, stack)?;
        self.wire.send(&built.bytes);
        self.note(true, &built.bytes);
        Ok(built)
    }

    fn note(&mut self, sent: bool, packet: &[u8]) {
        self.log.push(Exchange { at: self.wire.now(), sent, packet: packet.to_vec() });
    }

    /// The next packet that belongs to this session.
    pub fn receive(&mut self, limit: Duration) -> Option<Heard> {
        let end = self.wire.now() + limit;
        loop {
            let left = end.checked_sub(self.wire.now())?;
            let packet = self.wire.receive(left)?;
            match self.session.hear(&packet) {
                Ok(heard) => {
                    self.note(false, &packet);
                    return Some(heard);
                }
                // ICMP and the like is worth seeing, what is another's is not
                Err(Deaf::NotTcp(_)) => self.note(false, &packet),
                Err(Deaf::Stranger) => {}
            }
        }
    }

    /// The next packet of this subflow.
    fn answer(&mut self, flow: FlowId, limit: Duration) -> Option<Heard> {
        let end = self.wire.now() + limit;
        loop {
            let left = end.checked_sub(self.wire.now())?;
            let heard = self.receive(left)?;
            if heard.flow == flow {
                return Some(heard);
            }
        }
    }

    /// Sends and waits for one answer on the subflow: scapy's `sr1`.
    ///
    /// # Errors
    /// The packet cannot be built.
    pub fn sr1(&mut self, flow: FlowId, stack: &Stack) -> Result<Option<Heard>, BuildError> {
        self.send(flow, stack)?;
        let patience = self.patience;
        Ok(self.answer(flow, patience))
    }

    /// Sends a SYN until it is answered.
    ///
    /// # Errors
    /// Silence or a RST.
    pub fn syn(&mut self, flow: FlowId, stack: &Stack) -> Result<Heard, Refusal> {
        let packet = self.send(flow, stack)?.bytes;
        for again in 0..TRIES {
            if again > 0 {
                self.wire.send(&packet);
                self.note(true, &packet);
            }
            let patience = self.patience;
            match self.answer(flow, patience) {
                Some(heard) if heard.is_rst() => return Err(reset(&heard)),
                Some(heard) if heard.is_syn_ack() => return Ok(heard),
                _ => {}
            }
        }
        Err(Refusal::Silence)
    }

    /// Opens the first subflow: SYN, SYN/ACK, ACK, all with MP_CAPABLE.
    ///
    /// # Errors
    /// Why there is no MPTCP connection.
    pub fn handshake(&mut self, local: IpAddr, remote: SocketAddr) -> Result<FlowId, Refusal> {
        let local = SocketAddr::new(local, self.session.port());
        let flow = self.session.open(local, remote);
        let answer = self.syn(flow, &Session::capable())?;
        if answer.number(Kind::MpCapable, "sender_key").is_none() {
            return Err(Refusal::Plain);
        }
        self.send(flow, &(Session::plain("A") / mp_capable()))?;
        self.listen(QUIET);
        Ok(flow)
    }

    /// Opens another subflow, from this address.
    ///
    /// # Errors
    /// Why there is none.
    pub fn join(&mut self, local: IpAddr, remote: SocketAddr) -> Result<FlowId, Refusal> {
        let local = SocketAddr::new(local, self.session.port());
        let flow = self.session.open(local, remote);
        let answer = self.syn(flow, &Session::join_syn())?;
        if answer.number(Kind::MpJoin, "nonce").is_none() {
            return Err(Refusal::Plain);
        }
        if !Self::proves(&answer) {
            return Err(Refusal::BadHmac);
        }
        self.send(flow, &(Session::plain("A") / mp_join()))?;
        // the fourth packet, or a RST because the HMAC was not to its taste
        match self.answer(flow, QUIET) {
            Some(heard) if heard.is_rst() => Err(reset(&heard)),
            _ => Ok(flow),
        }
    }

    /// The HMAC of an MP_JOIN on a SYN/ACK is the one the other end's key makes.
    #[must_use]
    pub fn proves(answer: &Heard) -> bool {
        let peer = &answer.right;
        let (Some(own), Some(theirs), Some(nonce)) = (peer.key, peer.peer_key, peer.peer_nonce)
        else {
            return false;
        };
        let right = peer.join_hmac(own, theirs, peer.nonce, nonce);
        let said = answer.stack.find(Kind::MpJoin).and_then(|join| join.get("hmac"));
        matches!(said, Some(crate::Value::Octets(hmac)) if right.starts_with(hmac) && hmac.len() == 8)
    }

    /// Sends data in a mapping, and listens to what is said to it.
    ///
    /// # Errors
    /// The packet cannot be built.
    pub fn data(&mut self, flow: FlowId, data: &[u8]) -> Result<(), Refusal> {
        if self.session.flow(flow).is_none() {
            return Err(Refusal::NoFlow);
        }
        self.send(flow, &(Session::plain("PA") / dss() / raw(data)))?;
        self.listen(QUIET);
        Ok(())
    }

    /// Acknowledges everything, on both levels.
    ///
    /// # Errors
    /// The packet cannot be built.
    pub fn ack(&mut self, flow: FlowId) -> Result<(), Refusal> {
        let plain = Session::plain("A");
        let stack = if self.session.data.peer_key.is_some() { plain / dss() } else { plain };
        self.send(flow, &stack)?;
        Ok(())
    }

    /// Takes what comes until it is quiet for so long, and acknowledges it.
    pub fn listen(&mut self, quiet: Duration) -> Vec<Heard> {
        // an end that answers every ACK with one would go on for ever
        const MOST: usize = 1_000;
        let mut all = Vec::new();
        while all.len() < MOST {
            let Some(heard) = self.receive(quiet) else { break };
            if heard.counts() && !heard.is_rst() {
                let _unbuildable = self.ack(heard.flow);
            }
            all.push(heard);
        }
        all
    }

    /// Closes: DATA_FIN, then FIN on every subflow.
    ///
    /// # Errors
    /// [`Refusal::Silence`] when the other end does not close with us, [`Refusal::Reset`] when it resets instead.
    pub fn close(&mut self) -> Result<(), Refusal> {
        let open = |session: &Session| -> Vec<FlowId> {
            let flows = session.flows().iter().enumerate();
            flows.filter(|(_, flow)| !flow.reset && flow.ack.is_some()).map(|(id, _)| id).collect()
        };
        let first = open(&self.session).first().copied().ok_or(Refusal::NoFlow)?;
        self.send(first, &(Session::plain("A") / dss().F(1)))?;
        self.listen(QUIET);
        let ended = self.session.data.ended();
        for flow in open(&self.session) {
            self.send(flow, &(Session::plain("FA") / dss()))?;
        }
        self.listen(QUIET);
        let all =
            self.session.flows().iter().all(|flow| flow.ended || flow.reset || flow.ack.is_none());
        let reset = self.session.flows().iter().any(|flow| flow.reset);
        match (ended && all, reset) {
            (true, _) => Ok(()),
            (false, true) => Err(Refusal::Reset(None)),
            (false, false) => Err(Refusal::Silence),
        }
    }

    /// Ends everything at once: MP_FASTCLOSE if the other end's key is known, RST on every subflow.
    pub fn abort(&mut self) {
        for flow in 0..self.session.flows().len() {
            let over = self.session.flow(flow).is_none_or(|flow| flow.reset);
            if over {
                continue;
            }
            let fast = flow == 0 && self.session.data.peer_key.is_some();
            let stack = if fast { Session::abort() } else { Session::plain("RA") };
            let _unbuildable = self.send(flow, &stack);
        }
    }
}

/// A RST with its reason.
fn reset(heard: &Heard) -> Refusal {
    Refusal::Reset(heard.number(Kind::MpTcprst, "reason").map(|reason| reason as u8))
}

#[cfg(test)]
mod tests;
