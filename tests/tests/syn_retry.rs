//! SYNs that go unanswered or are refused: again without MP_CAPABLE, and remembered (RFC 8684 3.1, 3.9.3).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::Event;
use mpuser_engine::addr::SocketAddr;
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::error::{ConnectionError, FallbackReason};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpCapable, MptcpOption};
use mpuser_tests::scripted::*;

/// SYNs of this attempt until one is plain: how many there were, and when they went, milliseconds after the first.
fn syns_until_plain(script: &mut Script) -> (Flow, Vec<u64>) {
    let (mut flow, first) = script.next_syn().expect("a SYN");
    assert!(!first.is_plain());
    let mut times = vec![0];
    loop {
        let syn = script.wait(&mut flow, Duration::from_secs(20)).expect("a retransmission");
        assert!(syn.header.flags.syn && syn.header.seq == first.header.seq);
        times.push(syn.at.saturating_sub(first.at).as_millis() as u64);
        if syn.is_plain() {
            return (flow, times);
        }
    }
}

/// Opens one more connection to the peer's first address.
fn connect_again(script: &mut Script, config: &ConnectionConfig) {
    let (now, remote) = (script.now, SocketAddr::new(peer_address(0), PORT));
    script.id = script.endpoint.connect(now, config.clone(), None, remote).expect("an address");
}

fn established(script: &Script) -> bool {
    script.info().subflows[0].state == "ESTAB"
}

/// H18 [INI-36] [HEU-8] (K13): the first SYN and `syn_retrans_before_tcp_fallback` more carry the option.
#[test]
fn the_option_is_left_out_after_some_retransmissions() {
    for (kept, expected) in [(0, vec![0, 1_000]), (2, vec![0, 1_000, 2_000, 3_000])] {
        let config = ConnectionConfig {
            syn_retrans_before_tcp_fallback: kept,
            ..ConnectionConfig::default()
        };
        let mut script = Script::client(config, 1);
        let (mut flow, times) = syns_until_plain(&mut script);
        assert_eq!(times, expected);
        script.send(&mut flow, seg().syn());
        assert!(script.next(&mut flow).is_plain(), "no option in the third ACK [INI-33]");
        assert_eq!(script.info().fallback, Some(FallbackReason::SynTimeout));
        let counters = script.endpoint.counters();
        assert_eq!(counters.mp_capable_syn_tx, u64::from(kept) + 1);
        assert_eq!(counters.mp_capable_syn_tx_drop, 1);
        assert_eq!(counters.blackhole, 1);
    }
}

/// H18: nobody answers at all. That is no blackhole, and it ends.
#[test]
fn no_answer_at_all_ends_in_an_error() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    script.advance(Duration::from_secs(300));
    assert!(script.events.contains(&Event::Closed(Some(ConnectionError::ConnectTimeout))));
    assert_eq!(script.endpoint.counters().blackhole, 0);
}

/// C21 [INI-5] [HEU-10]: for an hour, then two, that destination gets plain SYNs; one success forgets it all.
#[test]
fn a_blackhole_is_remembered_and_forgotten() {
    let config = ConnectionConfig::default();
    let mut script = Script::client(config.clone(), 1);
    for hours in [1, 2] {
        let (mut flow, _) = syns_until_plain(&mut script);
        script.send(&mut flow, seg().syn());
        script.next(&mut flow);
        connect_again(&mut script, &config);
        let (_, syn) = script.next_syn().expect("a SYN");
        assert!(syn.is_plain(), "it was found out a moment ago");
        script.advance(Duration::from_secs(hours * 3_600));
        script.forget_emitted();
        connect_again(&mut script, &config);
    }
    assert_eq!(script.endpoint.counters().mp_capable_syn_tx_disabled, 2);
    let mut flow = script.answer(PLAIN_FLAGS);
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss));
    assert!(script.info().mptcp);
}

/// [HEU-10]: another destination is not concerned; Linux would stop MPTCP altogether (K13).
#[test]
fn a_blackhole_is_one_destination() {
    let config = ConnectionConfig::default();
    let mut script = Script::client(config.clone(), 1);
    let (mut flow, _) = syns_until_plain(&mut script);
    script.send(&mut flow, seg().syn());
    script.next(&mut flow);
    let (now, other) = (script.now, SocketAddr::new(peer_address(1), PORT));
    script.endpoint.connect(now, config, None, other).expect("an address");
    assert!(!script.next_syn().expect("a SYN").1.is_plain());
}

/// [INI-37]: the answer to an early SYN overtakes nothing: MPTCP although a plain SYN went out meanwhile.
#[test]
fn a_late_answer_with_the_option_still_counts() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    let (mut flow, _) = syns_until_plain(&mut script);
    let (version, flags, sender_key) = (1, PLAIN_FLAGS, PEER_KEY);
    let option = MptcpOption::Capable(MpCapable::SynAck { version, flags, sender_key });
    script.send(&mut flow, seg().syn().option(option));
    let third = script.next(&mut flow);
    assert!(matches!(third.signals()[..], [MptcpOption::Capable(MpCapable::Ack { .. })]));
    assert!(script.info().mptcp);
    assert_eq!(script.endpoint.counters().blackhole, 0);
}

/// M11 [HEU-8]: a RST to a SYN with MP_CAPABLE is followed by a SYN without, under another sequence number; if that
/// one gets through, the destination is remembered.
#[test]
fn a_refused_syn_is_followed_by_a_plain_one() {
    let config = ConnectionConfig::default();
    let mut script = Script::client(config.clone(), 1);
    let (mut flow, first) = script.next_syn().expect("a SYN");
    let (old, refusal) = (flow.irs, seg().rst().at(0));
    script.advance(Duration::from_millis(20));
    script.send(&mut flow, refusal);
    let second = script.next(&mut flow);
    assert!(second.header.flags.syn && second.is_plain(), "{second:?}");
    assert_ne!(second.header.seq, first.header.seq);
    assert!(script.events.is_empty(), "{:?}", script.events);
    // What the first SYN is still answered with is a mistake, and stays one (RFC 9293 3.10.7.3).
    flow.irs = old;
    script.send(&mut flow, seg().syn().at(-1));
    assert!(script.next(&mut flow).header.flags.rst);
    flow.irs = second.header.seq.0;
    script.send(&mut flow, seg().syn().at(-1));
    assert!(established(&script));
    assert_eq!(script.info().fallback, Some(FallbackReason::SynRefused));
    script.all(&mut flow);
    connect_again(&mut script, &config);
    assert!(script.next_syn().expect("a SYN").1.is_plain());
}

/// A port nobody listens on refuses both, and that is the end; nothing is remembered.
#[test]
fn a_closed_port_refuses_twice() {
    for (retry, syns) in [(true, 2), (false, 1)] {
        let config = ConnectionConfig { retry_refused_as_tcp: retry, ..Default::default() };
        let mut script = Script::client(config.clone(), 1);
        let (mut flow, _) = script.next_syn().expect("a SYN");
        let mut refused = 0;
        loop {
            script.send(&mut flow, seg().rst().at(0));
            refused += 1;
            if script.try_next(&mut flow).is_none() {
                break;
            }
        }
        assert_eq!(refused, syns);
        assert!(script.events.contains(&Event::Closed(Some(ConnectionError::Refused))));
        connect_again(&mut script, &config);
        assert!(!script.next_syn().expect("a SYN").1.is_plain());
    }
}
