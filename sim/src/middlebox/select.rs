//! Which segments a box is interested in.

use super::args::Args;
use super::flow::{Flows, Progresses};
use crate::direction::Direction;
use crate::packet::{RawTcpOption, TcpPacket, bits};
use crate::text;
use mpuser_engine::wire::mptcp::subtype;
use mpuser_engine::wire::tcp_option::kind;

/// Kinds of segments by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segments {
    Syn,
    SynAck,
    /// The first segment after the SYN from the same end, unless it has data.
    Third,
    /// Everything without SYN.
    NonSyn,
    /// With data.
    Data,
    /// Without SYN, RST and data.
    Ack,
}

const SEGMENTS: [(&str, Segments); 6] = [
    ("syn", Segments::Syn),
    ("synack", Segments::SynAck),
    ("third", Segments::Third),
    ("nonsyn", Segments::NonSyn),
    ("data", Segments::Data),
    ("ack", Segments::Ack),
];

const SUBTYPES: [(&str, u8); 9] = [
    ("capable", subtype::MP_CAPABLE),
    ("join", subtype::MP_JOIN),
    ("dss", subtype::DSS),
    ("add-addr", subtype::ADD_ADDR),
    ("remove-addr", subtype::REMOVE_ADDR),
    ("prio", subtype::MP_PRIO),
    ("fail", subtype::MP_FAIL),
    ("fastclose", subtype::MP_FASTCLOSE),
    ("tcprst", subtype::MP_TCPRST),
];

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Who sent the SYN.
    opener: Option<Direction>,
    /// The opener's third packet has passed.
    third: bool,
    progress: Progresses,
}

/// A choice of segments, and of options on them. Nothing named means everything.
#[derive(Debug)]
pub(super) struct Select {
    segments: Vec<Segments>,
    subtypes: Vec<u8>,
    direction: Option<Direction>,
    /// Octets of data that must have passed in that direction of the flow.
    from: u64,
    flows: Flows<Seen>,
}

impl Select {
    pub(super) fn new(args: &mut Args<'_>) -> Result<Self, String> {
        let segments =
            SEGMENTS.iter().filter(|(name, _)| args.flag(name)).map(|(_, s)| *s).collect();
        let subtypes =
            SUBTYPES.iter().filter(|(name, _)| args.flag(name)).map(|(_, s)| *s).collect();
        Ok(Self {
            segments,
            subtypes,
            direction: args.direction(),
            from: args.value("from", text::size)?.unwrap_or(0),
            flows: Flows::default(),
        })
    }

    /// The segment is one of those chosen. To be asked once about every segment, in order.
    pub(super) fn segment(&mut self, direction: Direction, packet: &TcpPacket) -> bool {
        let seen = self.flows.of(direction, packet, Seen::default);
        if packet.is_syn() && seen.opener.is_none_or(|opener| opener == direction) {
            *seen = Seen { opener: Some(direction), ..Seen::default() };
        }
        let before = seen.progress.of_mut(direction).note(packet);
        let first = !packet.has(bits::SYN) && seen.opener == Some(direction) && !seen.third;
        seen.third |= first;
        let data = !packet.payload.is_empty();
        let is = |kind: &Segments| match kind {
            Segments::Syn => packet.is_syn(),
            Segments::SynAck => packet.is_syn_ack(),
            Segments::Third => first && !data,
            Segments::NonSyn => !packet.has(bits::SYN),
            Segments::Data => data,
            Segments::Ack => !data && packet.flags & (bits::SYN | bits::RST) == 0,
        };
        (self.segments.is_empty() || self.segments.iter().any(is))
            && self.direction.is_none_or(|wanted| wanted == direction)
            && before >= self.from
    }

    /// The option is an MPTCP option of a subtype chosen.
    pub(super) fn option(&self, option: &RawTcpOption) -> bool {
        option.kind == kind::MPTCP
            && (self.subtypes.is_empty()
                || option.mptcp_subtype().is_some_and(|s| self.subtypes.contains(&s)))
    }
}
