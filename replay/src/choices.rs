//! Which divergences are a stack's free choice, which come of the capture, and why.

use crate::compare::{Class, Divergence, Kind};
use crate::recording::{Case, Recording, Segment};
use crate::run::{Ran, Want};
use crate::steps::What;
use mpuser_engine::wire::{MpJoin, MptcpOption};
use mpuser_inspect::packet::RST;
use mpuser_inspect::trace::Fallback;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// What a captured connection was like.
pub(crate) struct Circumstances {
    fallback: Option<Fallback>,
    /// MP_FAIL was said.
    failed: bool,
    aborted: bool,
    /// By local number of the stream: a RST of the engine's side, of the other side, any segment of the engine's side.
    streams: Vec<Heard>,
    server: bool,
    /// Identifiers of addresses the engine does not announce.
    refused: BTreeSet<u8>,
    /// Streams that the other side opened with the identifier 0 from another address than its first.
    borrowed: BTreeSet<usize>,
}

#[derive(Clone, Copy, Default)]
struct Heard {
    own_reset: bool,
    peer_reset: bool,
    own: bool,
    /// The engine's side opened it.
    opened: bool,
}

impl Circumstances {
    pub(crate) fn of(recording: &Recording, case: &Case, ran: &Ran) -> Self {
        let connection = case.connection.and_then(|index| recording.report.connections.get(index));
        let mut streams = vec![Heard::default(); case.streams.len()];
        let (mut aborted, mut refused, mut borrowed) = (false, BTreeSet::new(), BTreeSet::new());
        let first = case.streams.first().and_then(|index| recording.report.streams.get(*index));
        let theirs = first.and_then(|first| first.ends.get(1 - ran.side)).map(SocketAddr::ip);
        for segment in case.segments.iter().filter_map(|at| recording.segments.get(*at)) {
            aborted |= segment.signals().any(|s| matches!(s, MptcpOption::FastClose(_)));
            refused.extend(segment.signals().filter_map(|signal| match signal {
                MptcpOption::AddAddr(add) => is_nobody(add.address).then_some(add.id.0),
                _ => None,
            }));
            let stream = recording.report.streams.get(segment.placed.stream);
            let local = case.streams.iter().position(|s| *s == segment.placed.stream);
            let zero = segment.signals().any(|signal| match signal {
                MptcpOption::Join(MpJoin::Syn { address_id, .. }) => address_id.0 == 0,
                _ => false,
            });
            borrowed.extend(local.filter(|_| zero && Some(segment.src.ip()) != theirs));
            let heard = local.and_then(|local| streams.get_mut(local));
            if let (Some(heard), Some(stream)) = (heard, stream) {
                heard.opened = stream.side_of(0) == ran.side;
                heard.note(segment, stream.side_of(segment.placed.from) == ran.side);
            }
        }
        Self {
            fallback: connection.and_then(|c| c.fallback(&recording.report.streams)),
            failed: connection.is_some_and(|c| c.failed.is_some()),
            aborted,
            streams,
            server: ran.side == 1,
            refused,
            borrowed,
        }
    }

    fn stream(&self, local: usize) -> Heard {
        self.streams.get(local).copied().unwrap_or_default()
    }

    /// Says what a divergence is.
    pub(crate) fn judge(&self, divergence: &mut Divergence) {
        let known = by_field(divergence)
            .or_else(|| by_times(divergence))
            .or_else(|| self.by_stream(divergence))
            .or_else(|| self.by_address(divergence))
            .or_else(|| self.by_damage(divergence))
            .or_else(|| self.by_fallback(divergence))
            .or_else(|| self.by_data(divergence));
        match known {
            Some((class, reason)) => {
                divergence.class = class;
                reason.clone_into(&mut divergence.reason);
            }
            None => unexplained(divergence).clone_into(&mut divergence.reason),
        }
    }

    /// Joins that one of the two stacks does not take.
    fn by_stream(&self, divergence: &Divergence) -> Known {
        match divergence.kind {
            Kind::Missing(What::Rst(n)) if self.stream(n).peer_reset => Some((
                Class::Choice,
                "kernel choice: it answers a RST with a RST; RFC 9293 3.10.7 sends none",
            )),
            Kind::Missing(What::SynAck(n)) if n > 0 && self.server && self.stream(n).own_reset => {
                Some((
                    Class::Choice,
                    "kernel choice: it refuses a join at its third packet, the engine at its SYN (RFC 8684 3.2)",
                ))
            }
            Kind::Extra(What::SynAck(n)) if n > 0 && self.stream(n).own_reset => Some((
                Class::Choice,
                "kernel choice: a Linux client takes no joins, the engine takes those with its token (RFC 8684 3.2)",
            )),
            Kind::Field(What::Rst(n)) if self.stream(n).own_reset => {
                Some((Class::Choice, "choice: MP_TCPRST may say why, and need not (RFC 8684 3.6)"))
            }
            Kind::Field(What::Syn(_)) if named(divergence, "address ID") => Some((
                Class::Choice,
                "kernel choice: from another address with the identifier 0 of the first; the engine has one for each [JOIN-4]",
            )),
            Kind::Missing(What::SynAck(n)) | Kind::Extra(What::Rst(n))
                if self.borrowed.contains(&n) =>
            {
                Some((
                    Class::Choice,
                    "engine choice: a join with the identifier of another live address is refused [JOIN-4] (ARCHITECTURE.md)",
                ))
            }
            Kind::Field(What::SynAck(_)) if named(divergence, "Fast Open") => Some((
                Class::Capture,
                "the cookie in the capture is another server's, so the engine gives one of its own (RFC 7413 3.1)",
            )),
            Kind::Stall(Want::Fin) => Some((
                Class::Choice,
                "engine choice: subflows are closed when both DATA_FINs are acknowledged [FIN-5]; the FIN came later",
            )),
            Kind::Extra(What::Echo(..)) => Some((
                Class::Capture,
                "the captured side never had the ADD_ADDR: it was lost behind the place of capture",
            )),
            _ => None,
        }
    }

    /// What the engine does not do with addresses.
    fn by_address(&self, divergence: &Divergence) -> Known {
        match divergence.kind {
            Kind::Missing(What::AddAddr(_, address)) if is_nobody(address) => Some((
                Class::Choice,
                "engine choice: it announces no address that is no host's; ADD_ADDR is for addresses to be joined",
            )),
            Kind::Missing(What::Echo(_, address)) if is_nobody(address) => Some((
                Class::Choice,
                "engine choice: an announced address that is no host's is ignored [ADDR-13]",
            )),
            Kind::Missing(What::AddAddr(0, _)) => Some((
                Class::Choice,
                "kernel choice: an endpoint on the first address is announced as 0; the engine keeps 0 for the first subflow [JOIN-2]",
            )),
            Kind::Missing(What::RemoveAddr(id)) if self.refused.contains(&id) => {
                Some((Class::Choice, "what was not announced is not withdrawn"))
            }
            _ => None,
        }
    }

    /// Data that was damaged on the way: the other side goes on as it did after *that* MP_FAIL.
    fn by_damage(&self, divergence: &Divergence) -> Known {
        let reason = match divergence.kind {
            Kind::Extra(What::Infinite) if self.failed => {
                "engine choice: MP_FAIL is followed by an infinite mapping (RFC 8684 3.7 [FB-12]); Linux leaves it out where it has no new data"
            }
            Kind::Missing(What::DataFin) | Kind::Stall(Want::Data(_)) | Kind::DataAck
                if self.failed =>
            {
                "after MP_FAIL: the engine is plain TCP, without Data ACK and DATA_FIN; Linux goes on with both for a while"
            }
            Kind::Field(What::Fail)
            | Kind::Missing(What::Fail | What::Rst(_))
            | Kind::Extra(What::Fin(_))
                if self.failed =>
            {
                "damage behind the place of capture, or another mapping hit by it: what failed is not the same here"
            }
            Kind::Read if self.failed => {
                "engine choice: what failed its checksum is withheld until an infinite mapping comes, which the captured side never needed (ARCHITECTURE.md)"
            }
            _ => return None,
        };
        Some((Class::Capture, reason))
    }

    /// A side that went on as plain TCP.
    fn by_fallback(&self, divergence: &Divergence) -> Known {
        let fallback = self.fallback?;
        match divergence.kind {
            Kind::Extra(What::Infinite) => Some((
                Class::Choice,
                "kernel choice: it falls back without a word, the engine says so with an infinite mapping (RFC 8684 3.7)",
            )),
            Kind::DataAck => Some((Class::Choice, "plain TCP acknowledges nothing at data level")),
            Kind::Field(What::Third(0)) if fallback == Fallback::PlainThird => Some((
                Class::Capture,
                "the captured side did not see the option: it was removed behind the place of capture",
            )),
            _ => None,
        }
    }

    fn by_data(&self, divergence: &Divergence) -> Known {
        match divergence.kind {
            Kind::Share => Some((
                Class::Choice,
                "scheduler choice: which subflow carries what is left to the sender (RFC 8684 3.3)",
            )),
            Kind::Data | Kind::Read | Kind::DataAck if self.aborted => Some((
                Class::Choice,
                "timing: what was still under way when the connection was ended at once",
            )),
            Kind::DataAck if more(divergence) => Some((
                Class::Capture,
                "the capture ends, or its connection did, before the last acknowledgement",
            )),
            Kind::Field(What::FastClose) => Some((
                Class::Choice,
                "choice: MP_FASTCLOSE goes on RSTs or on an ACK that is repeated (RFC 8684 3.5)",
            )),
            _ => None,
        }
    }
}

impl Heard {
    fn note(&mut self, segment: &Segment, own: bool) {
        self.own |= own;
        self.own_reset |= own && segment.has(RST);
        self.peer_reset |= !own && segment.has(RST);
    }
}

/// No host has this address.
pub(crate) const fn is_nobody(address: IpAddr) -> bool {
    address.is_multicast() || address.is_loopback() || address.is_unspecified()
}

fn named(divergence: &Divergence, name: &str) -> bool {
    divergence.fields.iter().any(|field| field.name == name)
}

/// The engine has the larger number.
fn more(divergence: &Divergence) -> bool {
    let number = |text: &str| text.parse::<i64>().unwrap_or_default();
    divergence.fields.iter().all(|field| number(&field.engine) > number(&field.capture))
}

type Known = Option<(Class, &'static str)>;

/// Fields of the handshake that every stack chooses.
fn by_field(divergence: &Divergence) -> Known {
    let (Kind::Field(What::Syn(_) | What::SynAck(_)), [field]) =
        (divergence.kind, divergence.fields.as_slice())
    else {
        return None;
    };
    let reason = match field.name.as_str() {
        "window scale" => "kernel choice: the scale fits its receive buffer (RFC 7323 2.3)",
        "MSS" => "kernel choice: it takes the MTU of the route, the engine that of the device",
        _ => return None,
    };
    Some((Class::Choice, reason))
}

/// How often the same is said.
fn by_times(divergence: &Divergence) -> Known {
    let Kind::Times(what) = divergence.kind else { return None };
    let reason = match what {
        What::Syn(_) | What::SynAck(_) => "timing: retransmissions of the handshake",
        What::Third(_) => return None,
        What::AddAddr(..) => "timing: repeated until it is echoed (RFC 8684 3.4.1)",
        What::Echo(..) => "as often as the ADD_ADDR came",
        What::RemoveAddr(_) | What::Prio(_) => {
            "engine choice: said up to three times, since nobody acknowledges it (RFC 8684 3.4.2, 3.3.8)"
        }
        What::Infinite | What::Fail => "timing: repeated until it is answered (RFC 8684 3.7)",
        What::DataFin => {
            "choice: on which subflows and how often, until it is acknowledged (RFC 8684 3.3.3)"
        }
        What::FastClose => "timing: repeated until it is answered (RFC 8684 3.5)",
        What::Fin(_) => "timing: retransmissions of the FIN",
        What::Rst(_) => "as often as segments came for a subflow that is gone (RFC 9293 3.10.7)",
    };
    Some((Class::Choice, reason))
}

/// Where to look.
const fn unexplained(divergence: &Divergence) -> &'static str {
    match divergence.kind {
        Kind::Missing(_) => "the engine did not answer as the captured side did",
        Kind::Extra(_) => "the captured side did nothing of the kind",
        Kind::Stall(_) => "what the captured side sent before this packet did not come",
        Kind::Rule => "a packet of the engine breaks a rule of the RFC",
        Kind::Engine => "the engine refused what the captured side did",
        _ => "not explained",
    }
}
