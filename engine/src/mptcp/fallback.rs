//! When MPTCP is given up, and how (RFC 8684 3.7): one table from what happened and how things stand to what is done.
//!
//! A function over values; `connection/fallback.rs` gathers the values and acts on the verdict.

use crate::config::{Behaviour, OnlySubflow, UnmappedData};
use crate::error::{FallbackReason, ResetReason};

/// What puts MPTCP in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A packet of the first handshake has no MP_CAPABLE, or none that can be used.
    Handshake(FallbackReason),
    /// Data was acknowledged by a segment without any MPTCP option.
    /// `holding` if octets without a mapping are held on that subflow, too; `crossing` if what is acknowledged so, and
    /// not at data level, stood in more than one mapping.
    BareAck { holding: bool, crossing: bool },
    /// Data was delivered again and again, and never acknowledged at data level.
    NeverDataAcked,
    /// No answer to any DATA_FIN.
    DataFinUnanswered,
    /// A FIN without any MPTCP option; `heard` if the peer has sent a DSS that was more than a DATA_FIN, `early` if a
    /// FIN in return could come before the end of this end's data.
    BareFin { heard: bool, early: bool },
    /// Octets that no mapping covers; `ahead` if one was announced that begins behind them.
    Unmapped { ahead: bool },
    /// Such octets were held, and no mapping came for too long or for too many of them.
    NeverMapped,
    /// Mappings come, but octets are missing at data level that this subflow alone can have brought.
    MappingsLost,
    /// A DSS has a checksum though none was agreed, or none though one was.
    ChecksumDisagreement,
    /// A mapping contradicts one in force.
    MappingConflict,
    /// The checksum over a mapping is wrong.
    ChecksumFailed,
    /// An infinite mapping; `fits` if the place it names can be joined to what was received.
    InfiniteMapping { fits: bool },
    /// MP_FAIL on a segment without RST.
    PeerFailed,
    /// MP_FAIL was sent several times, and no infinite mapping came.
    FailUnanswered,
}

/// How the connection and the subflow in question stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// This end opened the connection.
    pub(crate) client: bool,
    /// The peer has shown that it took MPTCP up.
    pub(crate) confirmed: bool,
    /// The subflow is the first one, there is no other, and there never was.
    pub(crate) alone: bool,
    /// The subflow is the first one, and no join was ever completed; some may be on their way.
    pub(crate) unjoined: bool,
    /// The subflow was joined.
    pub(crate) joined: bool,
    /// What the subflow delivered is, octet for octet, what the data level has.
    pub(crate) contiguous: bool,
    /// Octets went out under a second mapping (K26).
    pub(crate) remapped: bool,
    /// Nothing was received yet.
    pub(crate) fresh: bool,
    /// A Data ACK came back on this subflow with the acknowledgement of data [FB-3].
    pub(crate) proven: bool,
    /// MP_FAIL was sent; the infinite mapping is awaited.
    pub(crate) awaiting: bool,
    /// MP_FAIL was received and answered; the next new data goes out under an infinite mapping.
    pub(crate) answered: bool,
    /// This end's FIN was given to the subflow before the data had its end.
    pub(crate) ending: bool,
}

impl Standing {
    /// One subflow's stream is the data, in both directions: plain TCP can go on where MPTCP ends (K26).
    const fn can_fall_back(&self) -> bool {
        self.alone && self.contiguous && !self.remapped
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Ignore,
    /// Plain TCP from here on [FB-21].
    FallBack(FallbackReason),
    /// The octets are kept: a mapping may follow [DSS-12] [DSS-13].
    Hold,
    /// MP_FAIL on an ACK; what the subflow delivers is kept back until the infinite mapping comes [FB-12].
    SendFail,
    /// MP_FAIL in return; new data goes out under an infinite mapping [FB-13].
    AnswerFail,
    /// RST with MP_TCPRST.
    Reset(ResetReason),
    /// RST with MP_FAIL and MP_TCPRST [FB-9] [FB-14].
    ResetWithFail,
}

/// The table, with one exception: to plain TCP a FIN is the end of the data. One that went out, or is about to, before
/// the rest of the data could be staged must not be taken for that.
pub(crate) fn decide(trigger: Trigger, standing: &Standing, behaviour: &Behaviour) -> Verdict {
    match look_up(trigger, standing, behaviour) {
        Verdict::FallBack(_) if standing.ending => {
            Verdict::Reset(ResetReason::MiddleboxInterference)
        }
        verdict => verdict,
    }
}

fn look_up(trigger: Trigger, standing: &Standing, behaviour: &Behaviour) -> Verdict {
    let possible = standing.can_fall_back();
    let choose = |choice: OnlySubflow, reason: ResetReason| match choice {
        OnlySubflow::FallBack if possible => Verdict::FallBack(FallbackReason::BrokenMapping),
        _ => Verdict::Reset(reason),
    };
    match trigger {
        // [FB-1] [FB-2] [INI-33] [INI-35]: before there is anything to lose.
        Trigger::Handshake(reason) => Verdict::FallBack(reason),
        // The peer is plain TCP already, and its infinite mapping is on its way.
        Trigger::BareAck { .. } if standing.awaiting => Verdict::Ignore,
        // The peer said that it would, and has fallen back: without new data it was not told of it [FB-12] [FB-13].
        Trigger::BareAck { .. } | Trigger::Unmapped { .. } if standing.answered && possible => {
            Verdict::FallBack(FallbackReason::PeerFailed)
        }
        Trigger::BareAck { holding, crossing } => {
            on_bare_ack(holding, crossing, standing, behaviour)
        }
        // Options get through. On the only subflow nothing is sent again; on the next one it will be, and soon.
        Trigger::NeverDataAcked | Trigger::MappingsLost if standing.alone => {
            Verdict::Reset(ResetReason::TooMuchOutstandingData)
        }
        Trigger::MappingsLost => Verdict::Ignore,
        // [FB-4] [FB-7]: stream and data offsets differ by now, so the subflow goes.
        Trigger::NeverDataAcked => Verdict::Reset(ResetReason::MiddleboxInterference),
        // [FB-6]: nothing says that the server speaks MPTCP. A FIN it will understand.
        Trigger::DataFinUnanswered if standing.client && !standing.confirmed && possible => {
            Verdict::FallBack(FallbackReason::NoDssInAck)
        }
        Trigger::DataFinUnanswered => Verdict::Ignore,
        // [FB-6]: MPTCP puts an option on a FIN. The peer may have fallen back without this end having noticed, and
        // then it is the end of the data.
        Trigger::BareFin { heard: false, .. } if possible => {
            Verdict::FallBack(FallbackReason::NoDssInAck)
        }
        // Plain TCP, or an MPTCP that lost its option: an end of the data that may be none is an error, and a FIN in
        // return could be one to the peer. It does not need a join that nobody may ever answer.
        Trigger::BareFin { heard, early } if standing.unjoined && (!heard || early) => {
            Verdict::Reset(ResetReason::MiddleboxInterference)
        }
        // A subflow's own business [FIN-8].
        Trigger::BareFin { .. } => Verdict::Ignore,
        // (K24): at once, without waiting for a mapping that might come.
        Trigger::Unmapped { ahead } if behaviour.unmapped_data == UnmappedData::FallBack => {
            let mistaken = ResetReason::MptcpError;
            let reason = if ahead { mistaken } else { ResetReason::MiddleboxInterference };
            choose(OnlySubflow::FallBack, reason)
        }
        // [FB-1]: nothing says that the server got the keys; it may be plain TCP (K5).
        Trigger::Unmapped { .. } if standing.client && !standing.confirmed && possible => {
            Verdict::FallBack(FallbackReason::BrokenMapping)
        }
        // A peer in MPTCP sends them again at data level (K30): new data, were this plain TCP. Only the sender knows,
        // and it falls back by itself if it has to [FB-6].
        Trigger::Unmapped { .. } => Verdict::Hold,
        // [FB-7] [FB-8] [DSS-14]
        Trigger::NeverMapped => Verdict::Reset(ResetReason::MiddleboxInterference),
        // [DSS-1] [DSS-2] [DSS-3] (K25)
        Trigger::ChecksumDisagreement => {
            choose(behaviour.checksum_disagreement, ResetReason::MptcpError)
        }
        // [DSS-4] (K25)
        Trigger::MappingConflict => choose(behaviour.mapping_conflict, ResetReason::MptcpError),
        // [FB-9] [FB-14]
        Trigger::ChecksumFailed if !possible => Verdict::ResetWithFail,
        // (K39)
        Trigger::ChecksumFailed if standing.fresh && !behaviour.fail_first_mapping => {
            Verdict::FallBack(FallbackReason::ChecksumFailed)
        }
        // [FB-12]
        Trigger::ChecksumFailed => Verdict::SendFail,
        Trigger::InfiniteMapping { fits: true } if standing.awaiting => {
            Verdict::FallBack(FallbackReason::ChecksumFailed)
        }
        Trigger::InfiniteMapping { fits: true } if possible => {
            Verdict::FallBack(FallbackReason::InfiniteMapping)
        }
        // [FB-20]: elsewhere nobody could say in which order the data belongs.
        Trigger::InfiniteMapping { .. } => Verdict::Reset(ResetReason::MptcpError),
        // The answer to the own one.
        Trigger::PeerFailed if standing.awaiting => Verdict::Ignore,
        // [FB-13] (K38)
        Trigger::PeerFailed if possible => Verdict::AnswerFail,
        // The subflow damages what it carries, and cannot be saved; the data goes another way [FB-10].
        Trigger::PeerFailed => Verdict::Reset(ResetReason::MiddleboxInterference),
        // [FB-14] [FB-15]
        Trigger::FailUnanswered => Verdict::ResetWithFail,
    }
}

fn on_bare_ack(
    holding: bool,
    crossing: bool,
    standing: &Standing,
    behaviour: &Behaviour,
) -> Verdict {
    // Nothing of MPTCP comes any more. If the peer has fallen back, what is sent again at data level is new data to
    // it; if it has not, some of what is held may have been sent again. Neither way is safe [FB-7].
    let unsafe_either_way = holding && standing.alone;
    // [FB-4] [FB-5] [FB-6] (K12): the options do not get through, or the peer has fallen back. Later, and beside
    // others, a peer may tell Data ACKs only when they move [DACK-7]; a timer finds out then.
    let joined_in_vain = standing.joined && !standing.proven;
    // [FB-7] [FB-8]: options came through before, or several mappings are concerned. A segment joined out of two with
    // different mappings makes Linux fall back, too, and lose data that it has acknowledged: its application sees an
    // end too early, and no error.
    let vanished = standing.alone
        && (crossing || standing.proven)
        && behaviour.options_vanish == OnlySubflow::Reset;
    if unsafe_either_way || joined_in_vain || vanished {
        Verdict::Reset(ResetReason::MiddleboxInterference)
    } else if standing.can_fall_back() {
        Verdict::FallBack(FallbackReason::NoDssInAck)
    } else {
        Verdict::Ignore
    }
}

/// What MP_FAIL was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Stream offset of the first octet concerned.
    pub(crate) stream: u64,
    /// Its data offset.
    pub(crate) data: u64,
    /// How often MP_FAIL was sent.
    pub(crate) sends: u32,
    /// The peer sent one, too.
    pub(crate) answered: bool,
}

impl Failed {
    /// An infinite mapping of data offset `data` to stream offset `start` can be joined to what came before: it
    /// means the stream as it is, or it sends again what failed.
    pub(crate) const fn is_joined_by(&self, data: u64, start: u64) -> bool {
        let as_it_is = data.wrapping_sub(start) == self.data.wrapping_sub(self.stream);
        as_it_is || (data == self.data && start >= self.stream)
    }
}

/// The exchange that comes before a fallback in mid-connection [FB-12] [FB-13].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailExchange {
    /// MP_FAIL was sent, and no infinite mapping came yet.
    pub(crate) sent: Option<Failed>,
    /// MP_FAIL was received and answered: what is sent next goes under an infinite mapping.
    pub(crate) received: bool,
}

impl FailExchange {
    /// The connection is on its way to plain TCP: no further subflow may come [FB-20].
    pub(crate) const fn is_active(&self) -> bool {
        self.received || self.sent.is_some()
    }
}

/// Plain TCP after MPTCP: a stream offset of the only subflow minus this is a data offset. Not zero where the
/// infinite mapping sent again what had failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlainOffsets {
    pub(crate) send: u64,
    pub(crate) recv: u64,
}

/// An infinite mapping to be sent (RFC 8684 3.3.1 [DSS-23]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InfiniteMapping {
    /// Stream offset of the segment that carries it: the first new one [FB-12].
    pub(crate) at: u64,
    /// Stream offset it names: that of the last octet known to be intact, or of what is sent again.
    pub(crate) start: u64,
    /// Data offset it names.
    pub(crate) data: u64,
}

#[cfg(test)]
mod tests;
