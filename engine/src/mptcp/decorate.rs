//! Which MPTCP options a planned segment carries (plan, *decorate*, emit).
//!
//! Linux' table of what may share a segment is followed: DSS alone on data; MP_CAPABLE, MP_JOIN or ADD_ADDR alone
//! on a pure ACK; MP_TCPRST, with MP_FASTCLOSE or MP_FAIL where there is cause, on a RST.

use super::fallback::InfiniteMapping;
use super::handshake;
use super::subflow::{Phase, ROOM_BESIDE_TIMESTAMPS, Subflow};
use crate::config::ConnectionConfig;
use crate::crypto::{Key, join_hmac};
use crate::seq::{DataSeq, SubflowSeq};
use crate::tcp::{PlanKind, SegmentOptions, SegmentPlan, State};
use crate::wire::OptionBuffer;
use crate::wire::checksum::{Checksum, dss_checksum};
use crate::wire::mptcp::{
    CapableFlags, Dss, DssMapping, FastClose, MpCapable, MpFail, MpJoin, MpTcpRst, MptcpOption,
    WireDataSeq,
};

/// What the options of a segment depend on beyond the subflow itself: values of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MetaView {
    /// MPTCP is offered or in use; false means plain TCP and no option at all [FB-21].
    pub(crate) mptcp: bool,
    /// This end opened the connection.
    pub(crate) client: bool,
    /// The peer has proved that it took MPTCP up [INI-16].
    pub(crate) confirmed: bool,
    pub(crate) own_key: Key,
    pub(crate) peer_key: Option<Key>,
    pub(crate) peer_token: u32,
    /// DSS checksums are in use, or asked for.
    pub(crate) checksum: bool,
    /// This end takes no joins to the first subflow's address and port: flag C.
    pub(crate) deny_join_initial: bool,
    /// DSN of data offset 0 in the sending direction (IDSN + 1).
    pub(crate) data_base: DataSeq,
    /// Data ACK to send.
    pub(crate) data_ack: DataSeq,
    /// Send short DSNs and Data ACKs [DSS-16].
    pub(crate) short: bool,
    /// The peer sends long DSNs: they are answered with long Data ACKs [DACK-1].
    pub(crate) long_ack: bool,
    /// Otherwise Data ACKs have 32 bits, whatever DSNs have.
    pub(crate) short_ack: bool,
    /// Before the server has confirmed, the keys go before a DATA_FIN.
    pub(crate) keys_first: bool,
    /// A server sends a DSS before its first ADD_ADDR.
    pub(crate) dss_first: bool,
    /// What nobody acknowledges is said again.
    pub(crate) repeat_signals: bool,
    /// DSN of this end's DATA_FIN, while it waits for its acknowledgement.
    pub(crate) data_fin: Option<DataSeq>,
}

impl MetaView {
    /// The flags of MP_CAPABLE: HMAC-SHA256 alone [INI-21] [INI-22] (K2), A where checksums are wanted [INI-29] [INI-30], C
    /// where nobody may join the first subflow's address and port [INI-20] (K16).
    const fn flags(&self) -> CapableFlags {
        CapableFlags::new(self.checksum, self.deny_join_initial)
    }

    /// [DSS-18]: the long form where the low half could wrap within one MSL.
    fn width(&self, seq: DataSeq) -> WireDataSeq {
        if self.short && seq.low32() < 1 << 31 {
            WireDataSeq::Short(seq.low32())
        } else {
            WireDataSeq::Long(seq.0)
        }
    }

    fn wire_ack(&self) -> WireDataSeq {
        match (self.long_ack, self.short_ack) {
            (true, _) => WireDataSeq::Long(self.data_ack.0),
            (false, true) => WireDataSeq::Short(self.data_ack.low32()),
            (false, false) => self.width(self.data_ack),
        }
    }

    /// Octets of a DSS with the longest mapping, and of MP_CAPABLE with both keys.
    pub(crate) const LONGEST_DSS: u8 = 28;

    /// Option octets data segments need.
    pub(crate) const fn reserved_options(&self) -> u8 {
        if self.mptcp { Self::LONGEST_DSS } else { 0 }
    }
}

/// TCP's own options but SACK, in the order of Linux.
pub(crate) fn tcp_options(from: &SegmentOptions) -> OptionBuffer {
    let mut options = OptionBuffer::new();
    if let Some(mss) = from.mss {
        options.push_mss(mss);
    }
    if from.sack_permitted {
        options.push_sack_permitted();
    }
    if let Some(timestamps) = from.timestamps {
        options.push_timestamps(timestamps);
    }
    if let Some(shift) = from.window_scale {
        options.push_window_scale(shift);
    }
    options
}

/// The options of a planned segment: TCP's own first, MPTCP's next, SACK in what is left (K15), perhaps before them.
pub(crate) fn decorate(
    subflow: &Subflow,
    plan: &SegmentPlan,
    meta: &MetaView,
    config: &ConnectionConfig,
) -> OptionBuffer {
    let mut tcp = plan.options;
    if needs_all_room(subflow, plan, meta) {
        tcp.timestamps = None;
    }
    let mut options = tcp_options(&tcp);
    if let Some(cookie) = &plan.options.fast_open {
        // Beside MP_CAPABLE there is room for 14 octets of cookie on a SYN, for 6 on a SYN/ACK [TFO-1].
        options.push_fast_open(cookie);
    }
    let mut sack = plan.options.sack;
    if config.behaviour.sack_first && !sack.as_slice().is_empty() {
        let mut other = options;
        push_rest(&mut other, subflow, plan, meta, config);
        sack.truncate(other.remaining().saturating_sub(4) / 8);
        options.push_sack(&sack);
        sack.truncate(0);
    }
    push_rest(&mut options, subflow, plan, meta, config);
    options.push_sack(&sack);
    options
}

/// What MPTCP has to say on a segment, or what is left of it after a fallback.
fn push_rest(
    options: &mut OptionBuffer,
    subflow: &Subflow,
    plan: &SegmentPlan,
    meta: &MetaView,
    config: &ConnectionConfig,
) {
    let late = subflow.tcp.state() == State::TimeWait && !config.behaviour.options_in_time_wait;
    if meta.mptcp && !late {
        push_mptcp(options, subflow, plan, meta, config);
    } else if let Some(infinite) = subflow.infinite.filter(|i| i.at == plan.offset)
        && !plan.payload.is_empty()
    {
        options.push_dss(&infinite_mapping(infinite, meta));
    }
}

/// The ACK carries an ADD_ADDR for IPv6 with a port: 30 octets, which do not fit beside timestamps (K28).
fn needs_all_room(subflow: &Subflow, plan: &SegmentPlan, meta: &MetaView) -> bool {
    let signal = subflow.next_signal(meta).filter(|_| plan.kind.is_pure_ack());
    signal.is_some_and(|signal| signal.wire_len() > ROOM_BESIDE_TIMESTAMPS)
}

fn push_mptcp(
    options: &mut OptionBuffer,
    subflow: &Subflow,
    plan: &SegmentPlan,
    meta: &MetaView,
    config: &ConnectionConfig,
) {
    match plan.kind {
        PlanKind::Syn => {
            if let Some(option) = syn(subflow, plan, meta, config) {
                options.push_mptcp(&option);
            }
        }
        PlanKind::SynAck => {
            if let Some(option) = syn_ack(subflow, meta) {
                options.push_mptcp(&option);
            }
        }
        PlanKind::Reset => reset(options, subflow, meta),
        PlanKind::ResetReply => {}
        _ if !plan.payload.is_empty() => data(options, subflow, plan, meta),
        _ => acknowledgement(options, subflow, plan, meta),
    }
}

fn syn(
    subflow: &Subflow,
    plan: &SegmentPlan,
    meta: &MetaView,
    config: &ConnectionConfig,
) -> Option<MptcpOption> {
    let Some(join) = &subflow.join else {
        // [HEU-8]: a middlebox may drop SYNs with unknown options; after some tries the option is left out.
        return (plan.transmissions <= config.syn_retrans_before_tcp_fallback).then(|| {
            let flags = meta.flags();
            MptcpOption::Capable(MpCapable::Syn { version: handshake::VERSION, flags })
        });
    };
    Some(MptcpOption::Join(MpJoin::Syn {
        backup: subflow.backup_local,
        address_id: subflow.local_id,
        token: crate::crypto::Token(meta.peer_token),
        nonce: join.own_nonce,
    }))
}

fn syn_ack(subflow: &Subflow, meta: &MetaView) -> Option<MptcpOption> {
    let Some(join) = &subflow.join else {
        let flags = meta.flags();
        return Some(MptcpOption::Capable(MpCapable::SynAck {
            version: handshake::VERSION,
            flags,
            sender_key: meta.own_key,
        }));
    };
    let hmac = join_hmac(meta.own_key, meta.peer_key?, join.own_nonce, join.peer_nonce?);
    Some(MptcpOption::Join(MpJoin::SynAck {
        backup: subflow.backup_local,
        address_id: subflow.local_id,
        hmac: hmac.leftmost64(),
        nonce: join.own_nonce,
    }))
}

fn reset(options: &mut OptionBuffer, subflow: &Subflow, meta: &MetaView) {
    if subflow.phase == Phase::Handshake && subflow.join.is_none() {
        return;
    }
    if let (true, Some(receiver_key)) = (subflow.fast_close, meta.peer_key) {
        options.push_mptcp(&MptcpOption::FastClose(FastClose { receiver_key }));
    }
    if let Some(data_seq) = subflow.fail {
        options.push_mptcp(&MptcpOption::Fail(MpFail { data_seq }));
    }
    let reason = subflow.reset_reason;
    let rst = MpTcpRst { transient: reason.passes(), reason };
    options.push_mptcp(&MptcpOption::TcpRst(rst));
}

/// MP_CAPABLE with both keys stands in for a DSS until the server has confirmed [INI-12] [INI-13].
fn capable_ack(meta: &MetaView) -> Option<(Key, Key)> {
    (meta.client && !meta.confirmed).then_some(())?;
    Some((meta.own_key, meta.peer_key?))
}

fn acknowledgement(
    options: &mut OptionBuffer,
    subflow: &Subflow,
    plan: &SegmentPlan,
    meta: &MetaView,
) {
    if let Some(join) = &subflow.join
        && subflow.phase == Phase::PreEstablished
    {
        if let (Some(peer_key), Some(peer_nonce)) = (meta.peer_key, join.peer_nonce) {
            let hmac = join_hmac(meta.own_key, peer_key, join.own_nonce, peer_nonce);
            options.push_mptcp(&MptcpOption::Join(MpJoin::Ack { hmac: hmac.leftmost160() }));
        }
        return;
    }
    if subflow.fast_closing
        && let Some(receiver_key) = meta.peer_key
    {
        options.push_mptcp(&MptcpOption::FastClose(FastClose { receiver_key }));
        return;
    }
    // A DATA_FIN cannot wait for the server to confirm: it may be all there is to say. The keys go before it.
    if subflow.join.is_none()
        && (meta.data_fin.is_none() || (meta.keys_first && !subflow.keys_sent))
        && let Some((sender_key, receiver_key)) = capable_ack(meta)
    {
        let (version, flags) = (handshake::VERSION, meta.flags());
        let option = MpCapable::Ack { version, flags, sender_key, receiver_key };
        options.push_mptcp(&MptcpOption::Capable(option));
        return;
    }
    let signal = subflow.next_signal(meta).filter(|_| plan.kind.is_pure_ack());
    if let Some(signal) = signal {
        options.push_mptcp(signal);
        if matches!(signal, MptcpOption::AddAddr(_)) {
            return;
        }
    }
    let fin = meta.data_fin.filter(|_| subflow.phase == Phase::Active);
    let meta = &MetaView { data_ack: intact(meta.data_ack, signal), ..*meta };
    let dss = Dss {
        data_ack: meta.peer_key.map(|_| meta.wire_ack()),
        mapping: fin.map(|seq| fin_mapping(seq, meta)),
        data_fin: fin.is_some(),
    };
    // An empty one would be taken for the confirmation that MPTCP is in use [INI-16], before the keys have come.
    if dss.data_ack.is_some() || dss.mapping.is_some() {
        options.push_dss(&dss);
    }
}

/// A segment that says by MP_FAIL where data is damaged acknowledges none from there on.
fn intact(data_ack: DataSeq, signal: Option<&MptcpOption>) -> DataSeq {
    match signal {
        Some(MptcpOption::Fail(fail)) if data_ack.since(fail.data_seq) > 0 => fail.data_seq,
        _ => data_ack,
    }
}

/// The last word of MPTCP: length 0, checksum 0 [DSS-23]; whatever follows is plain TCP [FB-12].
fn infinite_mapping(infinite: InfiniteMapping, meta: &MetaView) -> Dss {
    let mapping = DssMapping {
        data_seq: WireDataSeq::Long((meta.data_base + infinite.data).0),
        subflow_seq: SubflowSeq::from_offset(infinite.start),
        data_len: 0,
        checksum: meta.checksum.then_some(0),
    };
    Dss { data_ack: Some(meta.wire_ack()), mapping: Some(mapping), data_fin: false }
}

/// A DATA_FIN without payload: SSN 0, length 1, its own DSN [FIN-2].
fn fin_mapping(seq: DataSeq, meta: &MetaView) -> DssMapping {
    let subflow_seq = SubflowSeq(0);
    let checksum = meta.checksum.then(|| dss_checksum(seq, subflow_seq, 1, Checksum::new()));
    DssMapping { data_seq: WireDataSeq::Long(seq.0), subflow_seq, data_len: 1, checksum }
}

fn data(options: &mut OptionBuffer, subflow: &Subflow, plan: &SegmentPlan, meta: &MetaView) {
    let Some(mapping) = subflow.sent.at(plan.offset) else { return };
    let data_len = u16::try_from(mapping.len).unwrap_or(u16::MAX);
    if subflow.join.is_none()
        && mapping.start == 0
        && let Some((sender_key, receiver_key)) = capable_ack(meta)
    {
        let (version, flags) = (handshake::VERSION, meta.flags());
        let checksum = mapping.checksum;
        let option =
            MpCapable::AckData { version, flags, sender_key, receiver_key, data_len, checksum };
        options.push_mptcp(&MptcpOption::Capable(option));
        return;
    }
    // It is the mapping of the segment's first octet [DSS-21].
    // Every segment repeats its mapping: stronger than [FB-3] asks, and robust against split and loss [OPT-17].
    options.push_dss(&Dss {
        // None before the third packet brought the peer's key (RFC 8684 B.3).
        data_ack: meta.peer_key.map(|_| meta.wire_ack()),
        mapping: Some(DssMapping {
            data_seq: meta.width(meta.data_base + mapping.data),
            subflow_seq: SubflowSeq::from_offset(mapping.start),
            data_len,
            checksum: mapping.checksum,
        }),
        data_fin: false,
    });
}

#[cfg(test)]
mod tests;
