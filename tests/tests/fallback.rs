//! Falling back to plain TCP (RFC 8684 3.7), in every place of the handshake and after it.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::Event;
use mpuser_engine::config::{Behaviour, ConnectionConfig, UnmappedData};
use mpuser_engine::error::{FallbackReason, ResetReason};
use mpuser_engine::seq::SubflowSeq;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{
    CapableFlags, Dss, DssMapping, MpCapable, MpTcpRst, MptcpOption, WireDataSeq,
};
use mpuser_tests::scripted::*;

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
}

/// Both directions work as plain TCP, both ends close, no packet has an MPTCP option [FB-21] [INI-15].
fn assert_plain(script: &mut Script, flow: &mut Flow) {
    script.write(b"from here");
    let packets = script.all(flow);
    assert!(packets.iter().all(Packet::is_plain), "{packets:#?}");
    let data: Vec<u8> = packets.iter().flat_map(|p| p.payload.to_vec()).collect();
    assert_eq!(data, b"from here");
    script.send(flow, seg().data(b"from there"));
    assert_eq!(script.read(), b"from there");
    script.shutdown();
    script.advance(Duration::from_millis(100));
    let packets = script.all(flow);
    assert!(packets.iter().all(Packet::is_plain), "{packets:#?}");
    assert!(packets.iter().any(|p| p.header.flags.fin), "a FIN, no DATA_FIN: {packets:#?}");
    script.send(flow, seg().fin());
    assert!(script.at_end());
    let last = script.next(flow);
    assert!(last.is_plain());
    assert!(script.events.contains(&Event::Closed(None)), "{:?}", script.events);
    script.assert_silent();
}

/// The first new data goes out under an infinite mapping: length 0, checksum 0, from the last octet known to be
/// intact; and so does its retransmission. After its acknowledgement there are no options [FB-6] [DSS-23].
fn assert_announced(script: &mut Script, flow: &mut Flow, intact: u64) {
    script.write(b"last mapping");
    let first = script.next(flow);
    let again = script.wait(flow, Duration::from_secs(2)).expect("retransmitted");
    for packet in [first, again] {
        assert_eq!(packet.payload.as_ref(), b"last mapping");
        let mapping = packet.mapping().expect("an infinite mapping");
        assert!(mapping.is_infinite() && packet.data_ack().is_some(), "{packet:?}");
        assert_eq!(mapping.data_seq.expand(script.own_dsn(0)), script.own_dsn(intact));
        assert_eq!(mapping.subflow_seq, SubflowSeq::from_offset(intact));
        assert_eq!(mapping.checksum, script.checksum.then_some(0));
    }
    assert_eq!(script.endpoint.counters().infinite_map_tx, 1);
    script.send(flow, seg());
    script.all(flow);
}

/// [INI-33] [FB-1] [FB-2]: the SYN/ACK has no MP_CAPABLE, or one that is no answer.
#[test]
fn client_falls_back_without_mp_capable_on_the_syn_ack() {
    let syn_ack = |version, flags| {
        let (flags, sender_key) = (CapableFlags(flags), PEER_KEY);
        Some(MptcpOption::Capable(MpCapable::SynAck { version, flags, sender_key }))
    };
    let short = Some(MptcpOption::Capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS }));
    for option in
        [None, short, syn_ack(0, 1), syn_ack(2, 1), syn_ack(1, 0x41), syn_ack(1, 3), syn_ack(1, 0)]
    {
        let mut script = Script::client(config(), 2);
        let (mut flow, _) = script.next_syn().expect("a SYN");
        let mut answer = seg().syn();
        if let Some(option) = option {
            answer = answer.option(option);
        }
        script.send(&mut flow, answer);
        assert!(script.next(&mut flow).is_plain(), "{option:?}");
        assert!(!script.info().mptcp);
        assert_eq!(script.endpoint.counters().mp_capable_fallback_syn_ack, 1);
        assert_plain(&mut script, &mut flow);
        assert!(script.next_syn().is_none(), "no join on plain TCP");
    }
}

/// [INI-36] [HEU-8] (K13): three SYNs with the option, then without.
#[test]
fn client_leaves_the_option_out_after_three_syns() {
    let mut script = Script::client(config(), 1);
    let (mut flow, syn) = script.next_syn().expect("a SYN");
    let mut plain = vec![syn.is_plain()];
    for _ in 0..4 {
        let syn = script.wait(&mut flow, Duration::from_secs(20)).expect("retransmitted");
        assert!(syn.header.flags.syn);
        plain.push(syn.is_plain());
    }
    assert_eq!(plain, [false, false, false, true, true]);
    script.send(&mut flow, seg().syn());
    script.next(&mut flow);
    assert_eq!(script.info().fallback, Some(FallbackReason::SynTimeout));
    let counters = script.endpoint.counters();
    assert_eq!((counters.mp_capable_syn_tx, counters.mp_capable_syn_tx_drop), (3, 1));
    assert_plain(&mut script, &mut flow);
}

/// [INI-35] (K1) (K5): the third packet has no MP_CAPABLE, or not one of the right form.
#[test]
fn server_falls_back_without_mp_capable_on_the_third_packet() {
    let ack = |version, flags, key| {
        let (flags, sender_key) = (CapableFlags(flags), PEER_KEY);
        let receiver_key = key;
        Some(MptcpOption::Capable(MpCapable::Ack { version, flags, sender_key, receiver_key }))
    };
    let wrong_key = mpuser_engine::crypto::Key(77);
    for case in 0..5 {
        let mut script = Script::server(config());
        let mut flow = script.open(PLAIN_FLAGS);
        let option = match case {
            0 => None,
            1 => ack(1, 1, wrong_key),
            2 => ack(0, 1, script.key),
            3 => ack(1, 0x41, script.key),
            _ => Some(MptcpOption::Capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS })),
        };
        let mut third = seg();
        if let Some(option) = option {
            third = third.option(option);
        }
        script.send(&mut flow, third);
        script.accept();
        assert!(!script.info().mptcp, "{option:?}");
        assert_eq!(script.endpoint.counters().mp_capable_fallback_ack, 1);
        assert_plain(&mut script, &mut flow);
    }
}

/// (K4): data with a bare DSS overtook the third ACK.
#[test]
fn server_falls_back_when_a_dss_comes_first() {
    let mut script = Script::server(config());
    let mut flow = script.open(PLAIN_FLAGS);
    let dss = script.map(&flow, 0, b"early", 0);
    script.send(&mut flow, seg().data(b"early").dss(dss));
    script.accept();
    assert!(!script.info().mptcp);
    assert_eq!(script.read(), b"early");
    assert_plain(&mut script, &mut flow);
}

/// [FB-6] (K12): the first data was acknowledged without any DSS.
#[test]
fn client_falls_back_when_its_first_data_is_acknowledged_without_dss() {
    for shut in [false, true] {
        let mut script = Script::client(config(), 2);
        let mut flow = script.answer(PLAIN_FLAGS);
        script.write(b"request");
        if shut {
            script.shutdown();
        }
        script.all(&mut flow);
        script.send(&mut flow, seg());
        assert_eq!(script.info().fallback, Some(FallbackReason::NoDssInAck));
        assert!(script.events.contains(&Event::Fallback(FallbackReason::NoDssInAck)));
        assert_eq!(script.endpoint.counters().mp_capable_data_fallback, 1);
        if shut {
            // The DATA_FIN was sent in vain: a FIN has to take its place.
            let packets = script.all(&mut flow);
            assert!(packets.iter().any(|p| p.header.flags.fin && p.is_plain()), "{packets:#?}");
            script.send(&mut flow, seg().fin());
            script.next(&mut flow);
            assert!(script.events.contains(&Event::Closed(None)));
            script.advance(Duration::from_secs(20));
            script.assert_silent();
        } else {
            assert_announced(&mut script, &mut flow, 0);
            assert_plain(&mut script, &mut flow);
        }
    }
}

/// (K12): Linux says nothing.
#[test]
fn a_fallback_may_be_silent() {
    let behaviour = Behaviour::linux();
    let mut script = Script::client(ConnectionConfig { behaviour, ..config() }, 2);
    let mut flow = script.answer(PLAIN_FLAGS);
    script.write(b"request");
    script.all(&mut flow);
    script.send(&mut flow, seg());
    assert_eq!(script.info().fallback, Some(FallbackReason::NoDssInAck));
    assert_plain(&mut script, &mut flow);
}

/// [FB-3] [FB-4] [FB-5]: the first data on a joined subflow is acknowledged without any option: it goes at once. Once
/// it has been acknowledged with a Data ACK, a peer may leave Data ACKs out that bring no news [DACK-7].
#[test]
fn a_joined_subflow_that_loses_options_is_reset() {
    for proven in [false, true] {
        let mut script = Script::server(config());
        let mut first = script.serve();
        let mut second = script.joined(1);
        script.send(&mut first, seg().fin());
        script.all(&mut first);
        script.write(b"one");
        assert_eq!(script.next(&mut second).payload.as_ref(), b"one");
        if proven {
            let dss = script.ack(3);
            script.send(&mut second, seg().dss(dss));
            script.write(b"two");
            script.all(&mut second);
        }
        script.send(&mut second, seg());
        let reset = script.all(&mut second).into_iter().find(|p| p.header.flags.rst);
        assert_eq!(reset.is_some(), !proven);
        let reason = ResetReason::MiddleboxInterference;
        let rst = MptcpOption::TcpRst(MpTcpRst { transient: false, reason });
        assert!(reset.is_none_or(|reset| reset.signals() == [rst]));
        assert!(script.info().mptcp);
    }
}

/// [FB-6] [INI-15]: the server as well, as long as nothing was acknowledged at data level; so no octet is known to be
/// intact.
#[test]
fn server_falls_back_when_its_data_is_acknowledged_without_options() {
    let mut script = Script::server(config());
    let mut flow = script.serve();
    script.write(b"first");
    script.all(&mut flow);
    script.send(&mut flow, seg());
    assert_eq!(script.info().fallback, Some(FallbackReason::NoDssInAck));
    assert_announced(&mut script, &mut flow, 0);
    assert_plain(&mut script, &mut flow);
}

/// [FB-7] [FB-8]: later plain TCP is not safe: a Linux peer that fell back may have lost what it acknowledged, and would
/// take a data-level retransmission for new data. Where options have got through before, a segment without any is an
/// accident; silence after it is not.
#[test]
fn a_subflow_that_loses_its_options_later_is_reset() {
    let mut script = Script::server(config());
    let mut flow = script.serve();
    script.write(b"first");
    script.all(&mut flow);
    let dss = script.ack(5);
    script.send(&mut flow, seg().dss(dss));
    for (text, acked) in [(b"second", 11), (b"third ", 17)] {
        script.write(text);
        script.all(&mut flow);
        script.send(&mut flow, seg());
        assert!(script.info().mptcp, "an accident");
        let dss = script.ack(acked);
        script.send(&mut flow, seg().dss(dss));
    }
    script.write(b"fourth");
    script.all(&mut flow);
    script.send(&mut flow, seg());
    script.advance(Duration::from_secs(2));
    let packets = script.all(&mut flow);
    assert!(packets.iter().all(|p| p.payload.is_empty()), "nothing comes twice");
    assert!(packets.last().is_some_and(|p| p.header.flags.rst), "{packets:#?}");
    assert!(script.info().mptcp);
}

/// [FB-4] [FB-5]: beside another subflow, the one that delivers and brings no Data ACK back is given up in the end.
#[test]
fn a_subflow_that_brings_no_data_acks_is_given_up() {
    let mut script = Script::server(config());
    let mut first = script.serve();
    script.joined(1);
    script.write(b"data");
    let mut reset = false;
    for _ in 0..400 {
        let packets = script.all(&mut first);
        reset |= packets.iter().any(|p| p.header.flags.rst);
        if packets.iter().any(|p| !p.payload.is_empty()) {
            script.send(&mut first, seg());
        }
        script.advance(Duration::from_millis(100));
    }
    assert!(reset);
    let reset_here = mpuser_engine::SubflowEnd::ResetHere(ResetReason::MiddleboxInterference);
    assert!(
        script
            .events
            .iter()
            .any(|e| matches!(e, Event::SubflowClosed { cause, .. } if *cause == reset_here))
    );
}

/// The kernel sends ADD_ADDR alone: the ACK of the first data may have that and no DSS (K11) (K28).
#[test]
fn an_add_addr_on_the_first_ack_is_no_reason_to_fall_back() {
    let mut script = Script::client(config(), 1);
    let mut flow = script.answer(PLAIN_FLAGS);
    script.write(b"request");
    script.all(&mut flow);
    let option = MptcpOption::AddAddr(script.add_addr(1, peer_address(1), None));
    script.send(&mut flow, seg().option(option));
    assert!(script.info().mptcp);
    assert!(script.events.contains(&Event::FullyEstablished));
}

/// (K5): the server's data has no DSS, and none ever came: the third packet may have lost its option on the way.
#[test]
fn a_server_that_never_sent_a_dss_may_be_plain() {
    let mut script = Script::client(config(), 2);
    let mut flow = script.answer(PLAIN_FLAGS);
    script.send(&mut flow, seg().data(b"greeting"));
    assert_eq!(script.read(), b"greeting");
    assert_eq!(script.info().fallback, Some(FallbackReason::BrokenMapping));
    assert_eq!(script.endpoint.counters().dss_fallback, 1);
    script.all(&mut flow);
    assert_plain(&mut script, &mut flow);
}

/// (K24): Linux takes octets without a mapping for the begin of plain TCP.
#[test]
fn unmapped_data_may_mean_plain_tcp() {
    let unmapped_data = UnmappedData::FallBack;
    let behaviour = Behaviour { unmapped_data, ..Behaviour::rfc() };
    let mut script = Script::server(ConnectionConfig { behaviour, ..config() });
    let mut flow = script.serve();
    let dss = script.map(&flow, 0, b"mapped ", 0);
    script.send(&mut flow, seg().data(b"mapped ").dss(dss));
    script.send(&mut flow, seg().data(b"unmapped"));
    assert_eq!(script.read(), b"mapped unmapped");
    assert_eq!(script.info().fallback, Some(FallbackReason::BrokenMapping));
    script.all(&mut flow);
    assert_plain(&mut script, &mut flow);
}

/// [FB-20] (K41): an infinite mapping. On an empty segment, or with F, length 0 is nothing (K34).
#[test]
fn an_infinite_mapping_ends_mptcp() {
    let infinite = |script: &Script, flow: &Flow, at| {
        let data_seq = WireDataSeq::Long(script.dsn(at).0);
        let subflow_seq = SubflowSeq::from_offset(flow.nxt);
        let mapping = DssMapping { data_seq, subflow_seq, data_len: 0, checksum: None };
        Dss { mapping: Some(mapping), ..script.ack(0) }
    };
    let mut script = Script::server(config());
    let mut flow = script.serve();
    let dss = script.map(&flow, 0, b"abc", 0);
    script.send(&mut flow, seg().data(b"abc").dss(dss));
    let dss = Dss { data_fin: true, ..infinite(&script, &flow, 3) };
    script.send(&mut flow, seg().dss(dss));
    assert!(script.info().mptcp);
    let dss = infinite(&script, &flow, 3);
    script.send(&mut flow, seg().data(b"def").dss(dss));
    assert_eq!(script.endpoint.counters().infinite_map_rx, 1);
    assert_eq!(script.info().fallback, Some(FallbackReason::InfiniteMapping));
    assert_eq!(script.read(), b"abcdef");
    script.all(&mut flow);
    assert_plain(&mut script, &mut flow);
}

/// After a data-level retransmission stream and data offsets differ: no fallback any more (K26).
#[test]
fn no_fallback_once_octets_have_two_mappings() {
    let mut script = Script::server(config());
    let mut flow = script.serve();
    for _ in 0..2 {
        // The same data twice, as the kernel retransmits at data level (K30).
        let dss = script.map(&flow, 0, b"abc", 0);
        script.send(&mut flow, seg().data(b"abc").dss(dss));
    }
    script.all(&mut flow);
    script.send(&mut flow, seg().data(b"unmapped"));
    assert!(script.info().mptcp);
    assert_eq!(script.read(), b"abc");
}
