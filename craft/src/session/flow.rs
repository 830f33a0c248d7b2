//! One TCP connection as a hand-made end keeps it: numbers, nothing else.

use super::data::DataLevel;
use crate::build::{Built, BuiltLayer};
use crate::table::Kind;
use crate::value::Value;
use mpuser_engine::seq::{DataSeq, SeqNum};
use std::net::SocketAddr;

/// FIN, SYN and RST among the control bits.
pub(super) const FIN: u64 = 0x01;
pub(super) const SYN: u64 = 0x02;
pub(super) const RST: u64 = 0x04;

/// A subflow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Our address.
    pub local: SocketAddr,
    /// The other end's.
    pub remote: SocketAddr,
    /// Our next sequence number.
    pub seq: u32,
    /// The sequence number expected next, once there was a SYN.
    pub ack: Option<u32>,
    /// Octets of ours that went out.
    pub carried: u64,
    /// Octets of the other end's that arrived in order.
    pub heard: u64,
    /// Our nonce, if this is a join.
    pub nonce: u32,
    /// The other end's.
    pub peer_nonce: Option<u32>,
    /// Identifier of our address.
    pub address_id: u8,
    /// The other end has sent FIN, and all before it.
    pub ended: bool,
    /// There was a RST, from either side.
    pub reset: bool,
    /// What the other end's octets are: subflow offset, data sequence number, octets.
    mapping: Option<(u64, u64, u64)>,
}

/// A number of a built layer.
pub(super) fn number(layer: &BuiltLayer, name: &str) -> Option<u64> {
    match layer.field(name)?.value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

impl Flow {
    pub(super) const fn new(
        local: SocketAddr,
        remote: SocketAddr,
        iss: u32,
        nonce: u32,
        address_id: u8,
    ) -> Self {
        Self {
            local,
            remote,
            seq: iss,
            ack: None,
            carried: 0,
            heard: 0,
            nonce,
            peer_nonce: None,
            address_id,
            ended: false,
            reset: false,
            mapping: None,
        }
    }

    /// Takes note of what went out. What was put somewhere else in sequence space moves nothing.
    pub(super) fn sent(&mut self, built: &Built) {
        for layer in &built.layers {
            match layer.kind {
                Kind::Tcp => {
                    let flags = number(layer, "flags").unwrap_or_default();
                    self.reset |= flags & RST != 0;
                    if number(layer, "seq") == Some(self.seq.into()) {
                        let payload = payload(built);
                        let taken =
                            payload + u64::from(flags & SYN != 0) + u64::from(flags & FIN != 0);
                        self.seq = self.seq.wrapping_add(taken as u32);
                        self.carried += payload;
                    }
                }
                Kind::MpJoin => {
                    self.nonce = number(layer, "nonce").map_or(self.nonce, |nonce| nonce as u32);
                    let id = number(layer, "address_id");
                    self.address_id = id.map_or(self.address_id, |id| id as u8);
                }
                _ => {}
            }
        }
    }

    /// Takes note of what came in: the subflow's numbers, and the data that its mappings make of it.
    pub(super) fn heard(&mut self, built: &Built, data: &mut DataLevel) {
        let Some(tcp) = built.layers.iter().find(|layer| layer.kind == Kind::Tcp) else { return };
        let (flags, seq) = (
            number(tcp, "flags").unwrap_or_default(),
            number(tcp, "seq").unwrap_or_default() as u32,
        );
        self.reset |= flags & RST != 0;
        if flags & SYN != 0 {
            self.ack = Some(seq.wrapping_add(1));
        }
        for layer in built.layers.iter().filter(|layer| layer.kind.is_mptcp()) {
            self.option(layer, flags, data);
        }
        let Some(expected) = self.ack.filter(|_| flags & SYN == 0) else { return };
        let octets = payload(built);
        let ahead = i64::from(SeqNum(expected).since(SeqNum(seq)));
        // what was here before is not taken again, what comes too early is not kept
        let new = u64::try_from(ahead).ok().and_then(|old| octets.checked_sub(old));
        let Some(new) = new else { return };
        let fin = flags & FIN != 0 && !self.ended;
        self.ack = Some(expected.wrapping_add(new as u32).wrapping_add(fin.into()));
        self.ended |= fin;
        self.map(new, data);
        self.heard += new;
    }

    fn option(&mut self, layer: &BuiltLayer, flags: u64, data: &mut DataLevel) {
        match layer.kind {
            Kind::MpCapable => {
                let key = number(layer, "sender_key");
                data.peer_key = key.or(data.peer_key);
                if let (Some(len), Some(first)) = (number(layer, "data_len"), data.expected()) {
                    self.mapping = Some((0, first, len));
                }
            }
            Kind::MpJoin if flags & SYN != 0 => {
                self.peer_nonce = number(layer, "nonce").map(|nonce| nonce as u32);
            }
            Kind::Dss => {
                let (Some(expected), Some(dsn)) = (data.expected(), number(layer, "dsn")) else {
                    return;
                };
                let long = number(layer, "m") == Some(1);
                let dsn = if long { dsn } else { DataSeq::expand(dsn as u32, DataSeq(expected)).0 };
                let fin = number(layer, "F") == Some(1);
                let len = number(layer, "data_len").unwrap_or_default();
                let octets = len.saturating_sub(fin.into());
                if fin {
                    data.fin = Some(dsn.wrapping_add(octets));
                }
                let ssn = number(layer, "ssn").unwrap_or_default();
                if octets > 0 && ssn > 0 {
                    self.mapping = Some((ssn - 1, dsn, octets));
                }
                data.advance(dsn, 0);
            }
            _ => {}
        }
    }

    /// The next `new` octets of the subflow as data.
    fn map(&self, new: u64, data: &mut DataLevel) {
        let Some((from, dsn, len)) = self.mapping else { return };
        let Some(within) = self.heard.checked_sub(from).filter(|within| *within < len) else {
            return;
        };
        data.advance(dsn.wrapping_add(within), new.min(len - within));
    }
}

fn payload(built: &Built) -> u64 {
    let raw = built.layers.iter().find(|layer| layer.kind == Kind::Raw);
    raw.map_or(0, |raw| raw.at.len() as u64)
}
