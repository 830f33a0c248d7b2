//! The options of every kind of segment, in the tightest space: with timestamps.

use super::*;
use crate::addr::{AddressId, FourTuple, InterfaceId, SocketAddr, SubflowId};
use crate::config::TcpConfig;
use crate::crypto::Nonce;
use crate::error::ResetReason;
use crate::mptcp::subflow::{Egress, Join};
use crate::seq::SeqNum;
use crate::tcp::{Flags, OpenParams, Segment, SegmentOptions, SendLimits, Socket, Timestamps};
use crate::time::Instant;
use crate::window::WindowScale;
use crate::wire::TcpOptions;
use bytes::Bytes;
use std::vec::Vec;

fn meta() -> MetaView {
    MetaView {
        mptcp: true,
        client: true,
        confirmed: true,
        own_key: Key(0x0001_0203_0405_0607),
        peer_key: Some(Key(0x0809_0a0b_0c0d_0e0f)),
        peer_token: 0x3417_9de5,
        checksum: true,
        deny_join_initial: false,
        data_base: DataSeq(0x1_0000_0005),
        data_ack: DataSeq(0x2_0000_0007),
        short: false,
        long_ack: false,
        short_ack: false,
        keys_first: true,
        dss_first: true,
        repeat_signals: true,
        data_fin: None,
    }
}

/// An established subflow with timestamps.
fn subflow(join: bool) -> Subflow {
    let tuple = FourTuple {
        local: SocketAddr::from(([10, 0, 0, 1], 1)),
        remote: SocketAddr::from(([10, 0, 0, 2], 2)),
    };
    let params = OpenParams {
        iss: SeqNum(100),
        config: TcpConfig::default(),
        mss: 1_460,
        receive_window: 65_535,
        window_scale: WindowScale::ZERO,
        timestamp_offset: 0,
        carried: false,
    };
    let mut tcp = Socket::connect(Instant::ZERO, params);
    let syn = tcp.plan(Instant::ZERO, &SendLimits::default()).expect("a SYN");
    tcp.commit(Instant::ZERO, &syn);
    let options = SegmentOptions {
        mss: Some(1_460),
        sack_permitted: true,
        timestamps: Some(Timestamps {
            value: 1,
            echo: syn.options.timestamps.map_or(0, |t| t.value),
        }),
        ..SegmentOptions::default()
    };
    let answer = Segment {
        seq: SeqNum(500),
        ack: Some(SeqNum(101)),
        flags: Flags { syn: true, ..Flags::default() },
        window: 65_535,
        options,
        ..Segment::default()
    };
    assert!(tcp.on_segment(Instant::ZERO, &answer).established);
    let join = join.then_some(Join { own_nonce: Nonce(1), peer_nonce: Some(Nonce(2)) });
    let egress =
        Egress { interface: InterfaceId(0), checksum_offload: false, max_payload: 0, route: None };
    let ids = (AddressId(1), AddressId(2));
    let mut subflow = Subflow::new(SubflowId(0), tuple, egress, ids, join, tcp);
    subflow.phase = Phase::Active;
    subflow
}

/// What the next segment's options are, read back.
fn next(subflow: &mut Subflow, meta: &MetaView) -> TcpOptions {
    let reserved_options = meta.reserved_options();
    let limits = SendLimits { window: 65_535, reserved_options, ..SendLimits::default() };
    let plan = subflow.tcp.plan(Instant::ZERO, &limits).expect("something to send");
    let options = decorate(subflow, &plan, meta, &ConnectionConfig::default());
    let parsed = TcpOptions::parse(options.as_slice());
    assert!(!parsed.malformed && parsed.timestamps.is_some());
    parsed
}

fn signals(options: &TcpOptions) -> Vec<MptcpOption> {
    options.signals.iter().collect()
}

/// [DSS-16] [DSS-18] [DACK-1].
#[test]
fn numbers_are_short_only_where_that_is_safe() {
    let short = MetaView { short: true, ..meta() };
    assert_eq!(short.width(DataSeq(0x9_7fff_ffff)), WireDataSeq::Short(0x7fff_ffff));
    assert_eq!(short.width(DataSeq(0x9_8000_0000)), WireDataSeq::Long(0x9_8000_0000));
    assert_eq!(meta().width(DataSeq(7)), WireDataSeq::Long(7));
    assert_eq!(short.wire_ack(), WireDataSeq::Short(7));
    // As Linux: DSNs long, Data ACKs short until the peer has sent a long DSN [DACK-1].
    let linux = MetaView { short: false, short_ack: true, ..short };
    assert_eq!(linux.wire_ack(), WireDataSeq::Short(7));
    assert_eq!(MetaView { long_ack: true, ..linux }.wire_ack(), WireDataSeq::Long(0x2_0000_0007));
    assert_eq!(MetaView { long_ack: true, ..short }.wire_ack(), WireDataSeq::Long(0x2_0000_0007));
}

/// [OPT-16]: the longest DSS fills the header to the last octet.
#[test]
fn data_carries_its_mapping() {
    let meta = meta();
    let mut subflow = subflow(true);
    subflow.stage(1_000, Bytes::from_static(&[1; 3_000]), &meta);
    subflow.tcp.request_ack();
    let dss = next(&mut subflow, &meta).dss.expect("a pure ACK goes first");
    assert!(dss.mapping.is_none() && dss.data_ack.is_some());
    let plan = subflow.tcp.plan(Instant::ZERO, &SendLimits::default()).expect("the ACK");
    subflow.tcp.commit(Instant::ZERO, &plan);
    let mapping = next(&mut subflow, &meta).dss.and_then(|d| d.mapping).expect("a mapping");
    assert_eq!(mapping.data_seq, WireDataSeq::Long(0x1_0000_0005 + 1_000));
    assert_eq!(
        (mapping.subflow_seq, mapping.data_len),
        (SubflowSeq(1), 3_000),
        "all of it [DSS-22]"
    );
    assert!(mapping.checksum.is_some());
    let plain = MetaView { mptcp: false, ..meta };
    let options = next(&mut subflow, &plain);
    assert!(options.dss.is_none() && options.signals.is_empty(), "[FB-21]");
}

/// [INI-12] [JOIN-8] [FIN-2]: pure ACKs, by phase.
#[test]
fn pure_acks_carry_what_the_phase_wants() {
    let unconfirmed = MetaView { confirmed: false, ..meta() };
    let mut first = subflow(false);
    let keys = signals(&next(&mut first, &unconfirmed));
    assert!(matches!(keys[..], [MptcpOption::Capable(MpCapable::Ack { .. })]));
    let mut joined = subflow(true);
    joined.phase = Phase::PreEstablished;
    let options = next(&mut joined, &meta());
    assert!(matches!(signals(&options)[..], [MptcpOption::Join(MpJoin::Ack { .. })]));
    assert!(options.dss.is_none());
    joined.phase = Phase::Active;
    let fin = MetaView { data_fin: Some(DataSeq(77)), ..meta() };
    let dss = next(&mut joined, &fin).dss.expect("a DSS");
    let mapping = dss.mapping.expect("a DATA_FIN");
    assert!(dss.data_fin);
    assert_eq!(
        (mapping.data_seq, mapping.subflow_seq.0, mapping.data_len),
        (WireDataSeq::Long(77), 0, 1)
    );
    joined.phase = Phase::Closing;
    assert!(next(&mut joined, &fin).dss.is_some_and(|d| !d.data_fin && d.data_ack.is_some()));
}

/// [FC-3] [FB-9] [RST-1]: everything a RST can say at once fits.
#[test]
fn a_reset_says_why() {
    let mut subflow = subflow(true);
    subflow.fast_close = true;
    subflow.fail = Some(DataSeq(9));
    subflow.reset(ResetReason::MiddleboxInterference);
    let found = signals(&next(&mut subflow, &meta()));
    let rst = MpTcpRst { transient: false, reason: ResetReason::MiddleboxInterference };
    let expected = [
        MptcpOption::FastClose(FastClose { receiver_key: Key(0x0809_0a0b_0c0d_0e0f) }),
        MptcpOption::Fail(MpFail { data_seq: DataSeq(9) }),
        MptcpOption::TcpRst(rst),
    ];
    assert_eq!(found, expected);
}
