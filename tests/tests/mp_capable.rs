//! MP_CAPABLE on the wire, both roles (RFC 8684 3.1).

use mpuser_engine::Event;
use mpuser_engine::config::{Behaviour, ConnectionConfig};
use mpuser_engine::crypto::Key;
use mpuser_engine::seq::SeqNum;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{CapableFlags, MpCapable, MptcpOption};
use mpuser_tests::scripted::*;

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
}

fn capable(option: MpCapable) -> MptcpOption {
    MptcpOption::Capable(option)
}

/// [INI-1] [INI-6] [INI-12] [INI-17] [INI-18] [INI-21]: SYN 4 octets, SYN/ACK 12, third ACK 20 with both keys.
#[test]
fn client_sends_the_three_forms() {
    let mut script = Script::client(config(), 1);
    let (mut flow, syn) = script.next_syn().expect("a SYN");
    assert_eq!(syn.signals(), [capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS })]);
    let answer = MpCapable::SynAck { version: 1, flags: PLAIN_FLAGS, sender_key: PEER_KEY };
    script.send(&mut flow, seg().syn().option(capable(answer)));
    let third = script.next(&mut flow);
    let [MptcpOption::Capable(MpCapable::Ack { version, flags, sender_key, receiver_key })] =
        third.signals()[..]
    else {
        panic!("{third:?}");
    };
    assert_eq!((version, flags, receiver_key), (1, PLAIN_FLAGS, PEER_KEY));
    assert_ne!(sender_key, Key(0), "the kernel takes 0 for no key (K7)");
    assert!(third.options.dss.is_none() && third.payload.is_empty());
    assert_eq!(third.header.ack, Some(SeqNum(flow.iss + 1)));
    let token = sender_key.facts().token.0;
    assert!(script.events.contains(&Event::Established { mptcp: true, token }));
    assert!(!script.events.contains(&Event::FullyEstablished), "no DSS so far [INI-16]");
    script.assert_silent();
}

/// [INI-13] (K12): data sent before any DSS carries both keys and its length; then nothing until an ACK (K4).
#[test]
fn client_repeats_the_keys_on_its_first_data() {
    let mut script = Script::client(config(), 1);
    let mut flow = script.answer(PLAIN_FLAGS);
    script.write(&[7; 5_000]);
    let first = script.next(&mut flow);
    let key = script.key;
    let [
        MptcpOption::Capable(MpCapable::AckData {
            sender_key,
            receiver_key,
            data_len,
            checksum,
            ..
        }),
    ] = first.signals()[..]
    else {
        panic!("{first:?}");
    };
    assert_eq!((sender_key, receiver_key, checksum), (key, PEER_KEY, None));
    assert_eq!(usize::from(data_len), first.payload.len());
    assert!(first.options.dss.is_none());
    script.assert_silent();
    let dss = script.ack(first.payload.len() as u64);
    script.send(&mut flow, seg().dss(dss));
    let second = script.next(&mut flow);
    let mapping = second.mapping().expect("a DSS from now on");
    assert_eq!(
        mapping.data_seq.expand(script.own_dsn(0)),
        script.own_dsn(first.payload.len() as u64)
    );
}

/// (K12): Linux fills its window at once. What follows the keys has a DSS; sent again, the first has the keys again.
#[test]
fn client_may_fill_its_window_before_it_is_answered() {
    let behaviour = Behaviour::linux();
    let mut script = Script::client(ConnectionConfig { behaviour, ..config() }, 1);
    let mut flow = script.answer(PLAIN_FLAGS);
    script.write(&[7; 5_000]);
    let first = script.next(&mut flow);
    assert!(matches!(first.signals()[..], [MptcpOption::Capable(MpCapable::AckData { .. })]));
    let mut sent = first.payload.len() as u64;
    let next = script.own_dsn(sent);
    for packet in script.all(&mut flow) {
        let mapping = packet.mapping().expect("a DSS from now on");
        assert!(mapping.data_seq.expand(script.own_dsn(0)).since(next) >= 0);
        sent += packet.payload.len() as u64;
    }
    assert_eq!(sent, 5_000);
    script.advance(Duration::from_secs(1));
    let again = script.next(&mut flow);
    assert_eq!((again.header.seq, again.signals()), (first.header.seq, first.signals()));
}

/// Shutting down before the SYN/ACK must not let a DATA_FIN take the place of the keys [INI-12] (K5).
#[test]
fn client_that_shuts_down_early_still_sends_the_keys_first() {
    let mut script = Script::client(config(), 1);
    script.shutdown();
    let (mut flow, _) = script.next_syn().expect("a SYN");
    let answer = MpCapable::SynAck { version: 1, flags: PLAIN_FLAGS, sender_key: PEER_KEY };
    script.send(&mut flow, seg().syn().option(capable(answer)));
    script.advance(Duration::from_millis(300));
    let packets = script.all(&mut flow);
    assert!(matches!(packets[0].signals()[..], [MptcpOption::Capable(MpCapable::Ack { .. })]));
    assert!(packets[0].options.dss.is_none());
    assert!(packets[1..].iter().any(|p| p.is_lone_data_fin()));
}

/// As above, with the third ACK lost: what is repeated begins with the keys again.
#[test]
fn a_data_fin_before_confirmation_is_never_repeated_without_the_keys() {
    let mut script = Script::client(config(), 1);
    let mut flow = script.answer(PLAIN_FLAGS);
    script.shutdown();
    script.all(&mut flow);
    script.advance(Duration::from_secs(3));
    let packets = script.all(&mut flow);
    assert!(packets.len() >= 6, "{packets:?}");
    for pair in packets.chunks(2) {
        let keys = pair[0].signals();
        assert!(matches!(keys[..], [MptcpOption::Capable(MpCapable::Ack { .. })]), "{pair:?}");
        assert!(pair[1].is_lone_data_fin(), "{pair:?}");
    }
    // A server that never says a word of MPTCP gets a FIN it understands in the end.
    script.advance(Duration::from_secs(20));
    let last = script.all(&mut flow).pop().expect("a FIN");
    assert!(last.header.flags.fin && last.is_plain(), "{last:?}");
}

/// [INI-6] (K6) (K11): the server is established by the third ACK and shows it with a DSS at once.
#[test]
fn server_answers_the_third_ack_with_a_dss() {
    let mut script = Script::server(config());
    let mut flow = script.open(PLAIN_FLAGS);
    let option = script.capable_ack(PLAIN_FLAGS);
    script.send(&mut flow, seg().option(option));
    let answer = script.next(&mut flow);
    assert_eq!(answer.data_ack(), Some(script.dsn(0)), "IDSN + 1 [INI-38]");
    assert!(answer.mapping().is_none() && answer.payload.is_empty());
    assert!(script.events.contains(&Event::FullyEstablished));
    script.accept();
    assert!(script.info().mptcp);
}

/// [INI-13] [INI-14]: the data form as third packet; its mapping starts at IDSN + 1.
#[test]
fn server_takes_first_data_as_third_packet() {
    let mut script = Script::server(config());
    let mut flow = script.open(PLAIN_FLAGS);
    let option = capable(MpCapable::AckData {
        version: 1,
        flags: PLAIN_FLAGS,
        sender_key: PEER_KEY,
        receiver_key: script.key,
        data_len: 5,
        checksum: None,
    });
    script.send(&mut flow, seg().data(b"hello").option(option));
    script.accept();
    assert_eq!(script.read(), b"hello");
    let answer = script.next(&mut flow);
    assert_eq!(answer.data_ack(), Some(script.dsn(5)));
    // The same again, as MP_CAPABLE and as DSS, is absorbed (K40).
    flow.nxt = 0;
    script.send(&mut flow, seg().data(b"hello").option(option));
    flow.nxt = 0;
    let dss = script.map(&flow, 0, b"hello", 0);
    script.send(&mut flow, seg().data(b"hello").dss(dss));
    let dss = script.map(&flow, 5, b" world", 0);
    script.send(&mut flow, seg().data(b" world").dss(dss));
    assert_eq!(script.read(), b" world");
    assert!(script.info().mptcp);
}

/// [INI-2] [INI-19] [INI-23] [INI-24] [INI-32] [INI-34] (K2) (K3).
#[test]
fn server_answers_only_what_it_understands() {
    let syn = |version, flags| capable(MpCapable::Syn { version, flags: CapableFlags(flags) });
    for (option, understood) in [
        (Some(syn(1, 0x01)), true),
        (Some(syn(2, 0x01)), true),
        (Some(syn(15, 0x81)), true),
        (Some(syn(1, 0x1f)), true),
        (Some(syn(1, 0x21)), true),
        (Some(syn(0, 0x01)), false),
        (Some(syn(1, 0x41)), false),
        (Some(syn(1, 0x00)), false),
        (Some(syn(1, 0x10)), false),
        (
            Some(capable(MpCapable::SynAck {
                version: 1,
                flags: PLAIN_FLAGS,
                sender_key: PEER_KEY,
            })),
            false,
        ),
        (None, false),
    ] {
        let mut script = Script::server(config());
        let local = std::net::SocketAddr::new(engine_address(0), PORT);
        let mut flow = Flow::new(local, std::net::SocketAddr::new(peer_address(0), 40_000));
        let mut syn = seg().syn().no_ack();
        if let Some(option) = option {
            syn = syn.option(option);
        }
        script.send(&mut flow, syn);
        let answer = script.next(&mut flow);
        assert!(answer.header.flags.syn && answer.header.ack.is_some());
        let signals = answer.signals();
        match signals[..] {
            [MptcpOption::Capable(MpCapable::SynAck { version, flags, .. })] if understood => {
                assert_eq!((version, flags.algorithms()), (1, CapableFlags::HMAC_SHA256));
                assert!(!flags.extensibility());
            }
            [] if !understood => {}
            _ => panic!("{option:?} was answered with {signals:?}"),
        }
    }
}

/// [INI-29] [INI-30] (K8): either side's A bit turns checksums on, and every later packet says so.
#[test]
fn checksums_are_agreed_by_either_side() {
    for (own, peer) in [(false, false), (true, false), (false, true), (true, true)] {
        let flags = CapableFlags::new(peer, false);
        let wanted = own || peer;
        let mut script = Script::server(ConnectionConfig { checksum: own, ..config() });
        let local = std::net::SocketAddr::new(engine_address(0), PORT);
        let mut flow = Flow::new(local, std::net::SocketAddr::new(peer_address(0), 40_000));
        let syn = capable(MpCapable::Syn { version: 1, flags });
        script.send(&mut flow, seg().syn().no_ack().option(syn));
        let answer = script.next(&mut flow);
        let [MptcpOption::Capable(MpCapable::SynAck { flags, sender_key, .. })] =
            answer.signals()[..]
        else {
            panic!("{answer:?}");
        };
        assert_eq!(flags.checksum_required(), wanted, "server {own} client {peer}");
        script.key = sender_key;
        let option = script.capable_ack(CapableFlags::new(wanted, false));
        script.send(&mut flow, seg().option(option));
        script.accept();
        assert_eq!(script.info().csum_enabled, wanted);

        let mut script = Script::client(ConnectionConfig { checksum: own, ..config() }, 1);
        let (mut flow, syn) = script.next_syn().expect("a SYN");
        let [MptcpOption::Capable(MpCapable::Syn { flags, .. })] = syn.signals()[..] else {
            panic!("{syn:?}");
        };
        assert_eq!(flags.checksum_required(), own);
        let flags = CapableFlags::new(peer, false);
        let answer = MpCapable::SynAck { version: 1, flags, sender_key: PEER_KEY };
        script.send(&mut flow, seg().syn().option(capable(answer)));
        let third = script.next(&mut flow);
        let [MptcpOption::Capable(MpCapable::Ack { flags, .. })] = third.signals()[..] else {
            panic!("{third:?}");
        };
        assert_eq!(flags.checksum_required(), wanted, "client {own} server {peer}");
        assert_eq!(script.info().csum_enabled, wanted);
    }
}

/// (K8): a client that asks only on its third ACK means it.
#[test]
fn a_late_checksum_request_counts() {
    let mut script = Script::server(config());
    let mut flow = script.open(PLAIN_FLAGS);
    let option = script.capable_ack(CHECKSUM_FLAGS);
    script.send(&mut flow, seg().option(option));
    script.accept();
    assert!(script.info().csum_enabled);
}

/// [INI-7] [INI-8] [INI-9]: keys differ between connections, so tokens do.
#[test]
fn every_connection_has_a_key_of_its_own() {
    let mut script = Script::server(config());
    let mut keys = Vec::new();
    for port in 0..8 {
        let local = std::net::SocketAddr::new(engine_address(0), PORT);
        let mut flow = Flow::new(local, std::net::SocketAddr::new(peer_address(0), 40_000 + port));
        let option = capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS });
        script.send(&mut flow, seg().syn().no_ack().option(option));
        let answer = script.next(&mut flow);
        let [MptcpOption::Capable(MpCapable::SynAck { sender_key, .. })] = answer.signals()[..]
        else {
            panic!("{answer:?}");
        };
        assert!(keys.iter().all(|k| *k != sender_key));
        keys.push(sender_key);
    }
}
