//! One end of a connection made by hand: it knows keys, nonces and numbers of both directions, and nothing else.
//!
//! Packets go in and come out. [`Session::craft`] fills in what is not said, whatever the segment is, right or wrong;
//! [`Session::hear`] takes note of what the other end says. What comes when is the caller's matter, or
//! [`Dialogue`](crate::Dialogue)'s.

mod data;
mod flow;

pub use data::DataLevel;
pub use flow::Flow;

use crate::build::{BuildError, Built, Known};
use crate::dissect::{DissectError, dissect};
use crate::layer::Stack;
use crate::table::{Kind, mp_capable, mp_fastclose, mp_join, mss, tcp};
use mpuser_engine::rng::Rng;
use std::net::SocketAddr;

/// Which subflow of a session.
pub type FlowId = usize;

/// More subflows than anybody makes by hand.
const FLOWS_MAX: usize = 256;

/// A packet of the other end.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The subflow it belongs to.
    pub flow: FlowId,
    /// It in layers.
    pub stack: Stack,
    /// It with every field.
    pub built: Built,
    /// What its fields have to be: numbers as they were before it came, keys and nonces as they are now.
    pub right: Known,
}

impl Heard {
    /// The control bits.
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.number(Kind::Tcp, "flags").unwrap_or_default()
    }

    /// A number of the first layer of this kind.
    #[must_use]
    pub fn number(&self, kind: Kind, name: &str) -> Option<u64> {
        let layer = self.built.layers.iter().find(|layer| layer.kind == kind)?;
        flow::number(layer, name)
    }

    /// SYN and ACK.
    #[must_use]
    pub fn is_syn_ack(&self) -> bool {
        self.flags() & 0x12 == 0x12
    }

    /// RST.
    #[must_use]
    pub fn is_rst(&self) -> bool {
        self.flags() & flow::RST != 0
    }

    /// It takes a place in sequence space, so it is to be acknowledged.
    #[must_use]
    pub fn counts(&self) -> bool {
        let data_fin = self.number(Kind::Dss, "F") == Some(1);
        self.flags() & flow::FIN != 0 || data_fin || self.stack.find(Kind::Raw).is_some()
    }
}

/// Why a packet was not heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deaf {
    /// It is no TCP packet.
    NotTcp(DissectError),
    /// It belongs to no subflow, and begins none.
    Stranger,
}

/// A hand-made end.
#[derive(Debug)]
pub struct Session {
    /// The data level.
    pub data: DataLevel,
    flows: Vec<Flow>,
    rng: Rng,
}

impl Session {
    /// An end that draws its keys and numbers from `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        let key = rng.next_u64();
        let (version, peer_key, checksum) = (1, None, false);
        let data = DataLevel { version, key, peer_key, checksum, sent: 0, received: 0, fin: None };
        Self { data, flows: Vec::new(), rng }
    }

    /// The subflows.
    #[must_use]
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// One subflow.
    #[must_use]
    pub fn flow(&self, flow: FlowId) -> Option<&Flow> {
        self.flows.get(flow)
    }

    /// A port nobody else has, probably.
    pub fn port(&mut self) -> u16 {
        40_000 + self.rng.below(20_000) as u16
    }

    /// A subflow between these addresses. Nothing is sent.
    pub fn open(&mut self, local: SocketAddr, remote: SocketAddr) -> FlowId {
        let (iss, nonce) = (self.rng.next_u32(), self.rng.next_u32());
        // the first subflow's address has identifier 0
        let address_id = self.flows.len().min(255) as u8;
        if self.flows.len() >= FLOWS_MAX {
            self.flows.pop();
        }
        self.flows.push(Flow::new(local, remote, iss, nonce, address_id));
        self.flows.len() - 1
    }

    /// What the fields of the next packet on a subflow are filled in from.
    #[must_use]
    pub fn known(&self, flow: FlowId) -> Known {
        let DataLevel { version, key, peer_key, checksum, sent, received, .. } = self.data;
        let known = Known { version, key: Some(key), peer_key, checksum, ..Known::default() };
        let known = Known { data_sent: sent, data_received: received, ..known };
        match self.flows.get(flow) {
            None => known,
            Some(flow) => Known {
                local: flow.local,
                remote: flow.remote,
                seq: flow.seq,
                ack: flow.ack.unwrap_or_default(),
                nonce: flow.nonce,
                peer_nonce: flow.peer_nonce,
                carried: flow.carried,
                address_id: flow.address_id,
                ..known
            },
        }
    }

    /// What the other end's fields have to be: what it has sent so far lies behind it already.
    fn known_of_peer(&self, flow: FlowId) -> Known {
        let known = self.known(flow).reversed();
        let carried = self.flows.get(flow).map_or(0, |flow| flow.heard);
        Known { carried, address_id: 0, ..known }
    }

    /// The packet that layers become on this subflow; its place is taken.
    ///
    /// # Errors
    /// Something is needed that is neither said nor known yet.
    pub fn craft(&mut self, flow: FlowId, stack: &Stack) -> Result<Built, BuildError> {
        let built = stack.build(&self.known(flow))?;
        for layer in &built.layers {
            let len = flow::number(layer, "data_len").unwrap_or_default();
            match layer.kind {
                Kind::MpCapable => {
                    self.data.key = flow::number(layer, "sender_key").unwrap_or(self.data.key);
                    self.data.checksum |= flow::number(layer, "A") == Some(1);
                    self.data.sent += len;
                }
                // a mapping of something else, or of something sent before, moves nothing
                Kind::Dss if layer.field("dsn").is_some_and(|field| field.auto) => {
                    self.data.sent += len
                }
                _ => {}
            }
        }
        if let Some(flow) = self.flows.get_mut(flow) {
            flow.sent(&built);
        }
        Ok(built)
    }

    /// Takes note of a packet of the other end. A SYN begins a subflow.
    ///
    /// # Errors
    /// It is no TCP packet, or one nobody here has to do with.
    pub fn hear(&mut self, packet: &[u8]) -> Result<Heard, Deaf> {
        let stack = dissect(packet).map_err(Deaf::NotTcp)?;
        let nothing = Known { key: None, ..Known::default() };
        let unreadable = |_| Deaf::NotTcp(DissectError::Tcp);
        let mut built = stack.build(&nothing).map_err(unreadable)?;
        packet.clone_into(&mut built.bytes);
        let (remote, local) = ends(&built).ok_or(Deaf::Stranger)?;
        let mut heard = Heard { flow: 0, stack, built, right: Known::default() };
        let same = |flow: &Flow| (flow.local, flow.remote) == (local, remote);
        heard.flow = match self.flows.iter().rposition(same) {
            Some(flow) => flow,
            None if heard.flags() & 0x12 == flow::SYN => self.open(local, remote),
            None => return Err(Deaf::Stranger),
        };
        // both ends have asked, or one: then both use them
        self.data.checksum |= heard.number(Kind::MpCapable, "A") == Some(1);
        let before = self.known_of_peer(heard.flow);
        if let Some(flow) = self.flows.get_mut(heard.flow) {
            flow.heard(&heard.built, &mut self.data);
        }
        let Known { key, peer_key, nonce, peer_nonce, .. } = self.known_of_peer(heard.flow);
        heard.right = Known { key, peer_key, nonce, peer_nonce, ..before };
        Ok(heard)
    }
}

/// Source and destination.
fn ends(built: &Built) -> Option<(SocketAddr, SocketAddr)> {
    let tcp = built.layers.iter().find(|layer| layer.kind == Kind::Tcp)?;
    let ip = built.layers.first()?;
    let address = |name: &str| match ip.field(name)?.value {
        crate::Value::Address(address) => Some(address),
        _ => None,
    };
    let port = |name: &str| flow::number(tcp, name).map(|port| port as u16);
    let src = SocketAddr::new(address("src")?, port("sport")?);
    Some((src, SocketAddr::new(address("dst")?, port("dport")?)))
}

/// The segments of an ordinary connection; whatever a session knows is filled in.
impl Session {
    /// SYN with MP_CAPABLE.
    #[must_use]
    pub fn capable() -> Stack {
        tcp(crate::Value::Auto, crate::Value::Auto).syn() / mss(1_460) / mp_capable()
    }

    /// SYN with MP_JOIN.
    #[must_use]
    pub fn join_syn() -> Stack {
        tcp(crate::Value::Auto, crate::Value::Auto).syn() / mss(1_460) / mp_join()
    }

    /// A segment with an ACK and these control bits, and nothing else.
    #[must_use]
    pub fn plain(flags: &str) -> Stack {
        crate::Layer::new(Kind::Tcp).with("flags", flags).into()
    }

    /// RST with MP_FASTCLOSE: the whole connection ends at once.
    #[must_use]
    pub fn abort() -> Stack {
        Self::plain("RA") / mp_fastclose()
    }
}

#[cfg(test)]
mod tests;
