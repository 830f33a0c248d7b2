//! Data on the SYN, both roles (RFC 7413, RFC 8684 appendix B).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::addr::SocketAddr;
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, FastOpen};
use mpuser_engine::crypto::Key;
use mpuser_engine::error::FallbackReason;
use mpuser_engine::seq::{SeqNum, SubflowSeq};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{FastOpenCookie, MpCapable, MptcpOption};
use mpuser_tests::scripted::*;
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

fn config() -> ConnectionConfig {
    ConnectionConfig { fast_open: FastOpen::Cookie, ..ConnectionConfig::default() }
}

fn cookie(bytes: &[u8]) -> FastOpenCookie {
    FastOpenCookie::new(bytes).expect("a legal length")
}

fn capable_syn() -> MptcpOption {
    MptcpOption::Capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS })
}

fn capable_syn_ack() -> MptcpOption {
    let (version, flags, sender_key) = (1, PLAIN_FLAGS, PEER_KEY);
    MptcpOption::Capable(MpCapable::SynAck { version, flags, sender_key })
}

/// A client that has a cookie of the peer, and a second connection of it with `data` written at once.
fn client_with(cookie: FastOpenCookie, config: &ConnectionConfig, data: &[u8]) -> Script {
    let mut script = Script::client(config.clone(), 1);
    let (mut flow, syn) = script.next_syn().expect("a SYN");
    assert_eq!(syn.options.fast_open, Some(FastOpenCookie::REQUEST));
    assert!(!syn.is_plain() && syn.payload.is_empty(), "both options fit [TFO-1]");
    script.send(&mut flow, seg().syn().fast_open(cookie).option(capable_syn_ack()));
    script.forget_emitted();
    let (now, remote) = (script.now, SocketAddr::new(peer_address(0), PORT));
    let opened = script.endpoint.connect_with_data(now, config.clone(), None, remote, data);
    let (id, taken) = opened.expect("an address");
    assert_eq!(taken, data.len());
    script.id = id;
    script
}

/// The SYN with data; the peer takes `taken` octets of it. Returns the third ACK.
fn take_syn(script: &mut Script, taken: u64) -> (Flow, Packet) {
    let (mut flow, _) = script.next_syn().expect("a SYN");
    script.send(&mut flow, seg().syn().acking(taken as i64).option(capable_syn_ack()));
    flow.irs = flow.irs.wrapping_add(taken as u32);
    let third = script.next(&mut flow);
    if let [MptcpOption::Capable(MpCapable::Ack { sender_key, .. })] = third.signals()[..] {
        script.key = sender_key;
    }
    (flow, third)
}

/// [TFO-1] [TFO-2] [TFO-3]: the SYN carries cookie, MP_CAPABLE and data; what follows is the first octet of both spaces.
#[test]
fn client_sends_data_with_its_syn() {
    for len in [4, 8, 14] {
        let mut script = client_with(cookie(&vec![7; len]), &config(), REQUEST);
        let (mut flow, syn) = script.next_syn().expect("a SYN");
        assert_eq!(syn.options.fast_open, Some(cookie(&vec![7; len])));
        assert_eq!(syn.signals(), [capable_syn()]);
        assert!(syn.options.timestamps.is_some() && syn.options.sack_permitted);
        assert_eq!(&syn.payload[..], REQUEST);
        let taken = REQUEST.len() as u64;
        script.send(&mut flow, seg().syn().acking(taken as i64).option(capable_syn_ack()));
        flow.irs = flow.irs.wrapping_add(taken as u32);
        let third = script.next(&mut flow);
        let [MptcpOption::Capable(MpCapable::Ack { sender_key, .. })] = third.signals()[..] else {
            panic!("{third:?}");
        };
        script.key = sender_key;
        script.write(b"more");
        let data = script.next(&mut flow);
        assert_eq!(&data.payload[..], b"more");
        assert_eq!(flow.offset(&data), 0, "right behind the SYN's data");
        let [MptcpOption::Capable(MpCapable::AckData { data_len: 4, .. })] = data.signals()[..]
        else {
            panic!("{data:?}");
        };
        let dss = script.ack(4);
        script.send(&mut flow, seg().dss(dss));
        let info = script.info();
        assert_eq!((info.bytes_sent, info.bytes_acked), (taken + 4, taken + 4));
        assert_eq!(info.snd_una, script.own_dsn(4).0, "the SYN's data has no DSN");
        script.write(b"again");
        let mapping = script.next(&mut flow).mapping().expect("a DSS");
        assert_eq!(mapping.subflow_seq, SubflowSeq(5), "SSN counts from behind the SYN's data");
        assert_eq!(script.endpoint.counters().tcp_fast_open_active, 1);
    }
}

/// A cookie too long to stand beside MP_CAPABLE: no data on the SYN, rather than no timestamps for good [TFO-1].
#[test]
fn a_cookie_that_does_not_fit_is_left_out() {
    let mut script = client_with(cookie(&[7; 16]), &config(), REQUEST);
    let (_, syn) = script.next_syn().expect("a SYN");
    assert!(syn.payload.is_empty() && syn.options.fast_open.is_none());
    assert_eq!(syn.signals(), [capable_syn()]);
}

/// [TFO-4]: what the server did not take is sent after the handshake, with a mapping.
#[test]
fn data_the_server_did_not_take_is_sent_again() {
    for taken in [0, 5] {
        let mut script = client_with(cookie(&[7; 8]), &config(), REQUEST);
        let (mut flow, third) = take_syn(&mut script, taken);
        let packets: Vec<Packet> = std::iter::once(third)
            .chain(script.all(&mut flow))
            .filter(|p| !p.payload.is_empty())
            .collect();
        let rest = &REQUEST[taken as usize..];
        let [first] = &packets[..] else { panic!("{packets:?}") };
        assert_eq!((&first.payload[..], flow.offset(first)), (rest, 0));
        let [MptcpOption::Capable(MpCapable::AckData { data_len, .. })] = first.signals()[..]
        else {
            panic!("{first:?}");
        };
        assert_eq!(usize::from(data_len), rest.len());
        let counters = script.endpoint.counters();
        assert_eq!(counters.tcp_fast_open_active_fail, u64::from(taken == 0));
    }
}

/// RFC 7413 4.1.3: the SYN is retransmitted without cookie and data; the server may have taken the first one all the
/// same. The next connections do without for a while.
#[test]
fn a_lost_syn_is_repeated_without_data() {
    for taken in [0, REQUEST.len() as u64] {
        let mut script = client_with(cookie(&[7; 8]), &config(), REQUEST);
        let (mut flow, first) = script.next_syn().expect("a SYN");
        let again = script.wait(&mut flow, Duration::from_secs(2)).expect("a retransmission");
        assert!(again.payload.is_empty() && again.options.fast_open.is_none());
        assert_eq!((again.header.seq, again.signals()), (first.header.seq, first.signals()));
        script.send(&mut flow, seg().syn().acking(taken as i64).option(capable_syn_ack()));
        flow.irs = flow.irs.wrapping_add(taken as u32);
        let sent: Vec<u8> = script.all(&mut flow).iter().flat_map(|p| p.payload.to_vec()).collect();
        assert_eq!(sent, REQUEST[taken as usize..]);
        let (now, remote) = (script.now, SocketAddr::new(peer_address(0), PORT));
        let next = script.endpoint.connect_with_data(now, config(), None, remote, REQUEST);
        script.id = next.expect("an address").0;
        let (_, syn) = script.next_syn().expect("a SYN");
        assert!(syn.payload.is_empty() && syn.options.fast_open.is_none(), "{syn:?}");
    }
}

/// An ACK of more than was sent, or of less than the SYN, is a mistake as ever (RFC 9293 3.10.7.3).
#[test]
fn a_syn_ack_acknowledges_what_was_sent() {
    for wrong in [REQUEST.len() as u64 + 1, u64::MAX] {
        let mut script = client_with(cookie(&[7; 8]), &config(), REQUEST);
        let (mut flow, _) = script.next_syn().expect("a SYN");
        script.send(&mut flow, seg().syn().acking(wrong as i64).option(capable_syn_ack()));
        assert!(script.next(&mut flow).header.flags.rst);
        assert_eq!(script.info().subflows[0].state, "SYN-SENT");
    }
}

/// Fallbacks: no MP_CAPABLE in the answer, or a plain connection from the start. The stream is the same.
#[test]
fn client_falls_back_with_data_on_its_syn() {
    for mptcp in [true, false] {
        let config = ConnectionConfig { mptcp, ..config() };
        let mut script = if mptcp {
            client_with(cookie(&[7; 8]), &config, REQUEST)
        } else {
            let mut script = Script::client(config.clone(), 1);
            let (mut flow, _) = script.next_syn().expect("a SYN");
            script.send(&mut flow, seg().syn().fast_open(cookie(&[7; 8])));
            script.forget_emitted();
            let (now, remote) = (script.now, SocketAddr::new(peer_address(0), PORT));
            let next = script.endpoint.connect_with_data(now, config, None, remote, REQUEST);
            script.id = next.expect("an address").0;
            script
        };
        let (mut flow, syn) = script.next_syn().expect("a SYN");
        assert_eq!((&syn.payload[..], syn.is_plain()), (REQUEST, !mptcp));
        script.send(&mut flow, seg().syn().acking(3));
        flow.irs = flow.irs.wrapping_add(3);
        script.write(b"!");
        script.advance(Duration::from_millis(100));
        let packets = script.all(&mut flow);
        assert!(packets.iter().all(Packet::is_plain));
        script.send(&mut flow, seg());
        let sent: Vec<u8> = packets
            .into_iter()
            .chain(script.all(&mut flow))
            .flat_map(|p| p.payload.to_vec())
            .collect();
        assert_eq!(sent, [&REQUEST[3..], b"!"].concat());
    }
}

/// What is written between `connect` and the first packet goes with the SYN, too.
#[test]
fn early_writes_ride_on_the_syn() {
    let mut script = client_with(cookie(&[7; 8]), &config(), b"");
    let now = script.now;
    script.endpoint.write(now, script.id, b"one ").expect("room");
    script.endpoint.write(now, script.id, b"two").expect("room");
    let (_, syn) = script.next_syn().expect("a SYN");
    assert_eq!(&syn.payload[..], b"one two");
    // And a segment's worth is the limit: that of the server, less all options.
    let mut script = client_with(cookie(&[7; 8]), &config(), &[1; 5_000]);
    let (_, syn) = script.next_syn().expect("a SYN");
    assert_eq!(syn.payload.len(), 1_420);
}

fn server() -> Script {
    Script::server(config())
}

fn peer_flow(port: u16) -> Flow {
    let local = SocketAddr::new(engine_address(0), PORT);
    Flow::new(local, SocketAddr::new(peer_address(0), port))
}

/// The cookie the server gives to the peer.
fn fetch_cookie(script: &mut Script) -> FastOpenCookie {
    let mut flow = peer_flow(30_000);
    let request = seg().syn().no_ack().sack_permitted().stamp(1, 0).scale(7);
    let request = request.fast_open(FastOpenCookie::REQUEST).option(capable_syn());
    script.send(&mut flow, request);
    let answer = script.next(&mut flow);
    let given = answer.options.fast_open.expect("a cookie");
    assert_eq!(answer.signals().len(), 1, "with MP_CAPABLE beside it");
    let common = (answer.options.timestamps.is_some(), answer.options.sack_permitted);
    assert_eq!(common, (true, true), "[TFO-1]: nothing had to go");
    given
}

/// A SYN with cookie and data, and the SYN/ACK; the server's key is noted.
fn fast_syn(script: &mut Script, port: u16, cookie: FastOpenCookie, data: &[u8]) -> (Flow, Packet) {
    let mut flow = peer_flow(port);
    let syn = seg().syn().no_ack().fast_open(cookie).option(capable_syn());
    script.send(&mut flow, syn.data(data));
    let answer = script.next(&mut flow);
    if let [MptcpOption::Capable(MpCapable::SynAck { sender_key, .. })] = answer.signals()[..] {
        script.key = sender_key;
    }
    let taken = answer.header.ack.map_or(0, |ack| ack.since(SeqNum(flow.iss + 1)));
    flow.iss += taken as u32;
    flow.nxt -= taken as u64;
    (flow, answer)
}

/// [TFO-2] [TFO-3]: the SYN's data is read and answered before the third packet; then both spaces begin at their
/// beginning.
#[test]
fn server_takes_and_answers_data_on_a_syn() {
    let mut script = server();
    let given = fetch_cookie(&mut script);
    let (mut flow, answer) = fast_syn(&mut script, 40_000, given, REQUEST);
    assert_eq!(flow.nxt, 0, "all of it was taken");
    assert!(answer.options.fast_open.is_none(), "the cookie is still good");
    script.accept();
    assert_eq!(script.read(), REQUEST);
    script.write(b"200 OK");
    let early = script.next(&mut flow);
    assert_eq!((&early.payload[..], flow.offset(&early)), (&b"200 OK"[..], 0));
    let mapping = early.mapping().expect("mapped");
    assert_eq!(mapping.data_seq.expand(script.own_dsn(0)), script.own_dsn(0));
    assert_eq!(early.data_ack(), None, "the client's key is not known so far");
    let option = script.capable_ack(PLAIN_FLAGS);
    script.send(&mut flow, seg().option(option));
    assert!(script.info().mptcp);
    let dss = script.next(&mut flow);
    assert_eq!(dss.data_ack(), Some(script.dsn(0)), "the SYN's data has no DSN");
    let dss = script.map(&flow, 0, b"more", 6);
    script.send(&mut flow, seg().data(b"more").dss(dss));
    assert_eq!(script.read(), b"more");
    let info = script.info();
    assert_eq!((info.bytes_received, info.bytes_acked), (REQUEST.len() as u64 + 4, 6));
    let counters = script.endpoint.counters();
    assert_eq!((counters.tcp_fast_open_cookie_reqd, counters.tcp_fast_open_passive), (1, 1));
    script.forget_emitted();
    script.joined(1);
    assert_eq!(script.established().len(), 2);
}

/// The third packet has no MP_CAPABLE, or the SYN had none: plain TCP, the same stream.
#[test]
fn server_falls_back_after_data_on_a_syn() {
    let mut script = server();
    let given = fetch_cookie(&mut script);
    let (mut flow, _) = fast_syn(&mut script, 40_000, given, REQUEST);
    script.accept();
    script.write(b"200 ");
    assert_eq!(&script.next(&mut flow).payload[..], b"200 ");
    script.send(&mut flow, seg().data(b"more"));
    assert_eq!(script.info().fallback, Some(FallbackReason::AckWithoutCapable));
    assert_eq!(script.read(), [REQUEST, b"more"].concat());
    script.forget_emitted();
    script.write(b"OK");
    let next = script.next(&mut flow);
    assert_eq!((&next.payload[..], next.is_plain()), (&b"OK"[..], true));

    let mut flow = peer_flow(40_001);
    script.send(&mut flow, seg().syn().no_ack().fast_open(given).data(REQUEST));
    assert!(script.next(&mut flow).is_plain());
    script.accept();
    assert_eq!(script.read(), REQUEST);
    script.write(b"hi");
    let next = script.next(&mut flow);
    assert_eq!((&next.payload[..], next.is_plain()), (&b"hi"[..], true));
}

/// No cookie of this end, for this address, of these hours: the data is left to the client's retransmission, and it
/// gets a cookie.
#[test]
fn server_leaves_the_data_of_a_wrong_cookie() {
    let mut script = server();
    let given = fetch_cookie(&mut script);
    let (mut flow, answer) = fast_syn(&mut script, 40_000, cookie(&[1; 6]), REQUEST);
    assert_eq!(flow.nxt, REQUEST.len() as u64, "nothing was taken");
    assert_eq!(answer.options.fast_open, Some(given));
    assert!(script.endpoint.accept(script.listener.expect("a server")).is_none());
    flow.nxt = 0;
    let option = MptcpOption::Capable(MpCapable::AckData {
        version: 1,
        flags: PLAIN_FLAGS,
        sender_key: PEER_KEY,
        receiver_key: script.key,
        data_len: REQUEST.len() as u16,
        checksum: None,
    });
    script.send(&mut flow, seg().data(REQUEST).option(option));
    script.accept();
    assert_eq!(script.read(), REQUEST, "[TFO-4]: mapped this time");
    assert_eq!(script.info().rcv_nxt, script.dsn(REQUEST.len() as u64).0);
    assert_eq!(script.endpoint.counters().tcp_fast_open_passive_fail, 1);
    // An hour later the cookie is old: still good, and a new one comes with the answer.
    script.advance(Duration::from_secs(3_600));
    let (flow, answer) = fast_syn(&mut script, 40_001, given, REQUEST);
    assert_eq!(flow.nxt, 0);
    assert!(answer.options.fast_open.is_some_and(|new| new != given));
    assert_eq!(script.endpoint.counters().tcp_fast_open_passive_alt_key, 1);
}

/// RFC 7413 5.1: a client that proves nothing but its cookie gets only so far.
#[test]
fn connections_let_in_by_a_cookie_are_bounded() {
    let endpoint = EndpointConfig { max_fast_open: 3, ..EndpointConfig::default() };
    let mut script = Script::server_with(endpoint, config());
    let given = fetch_cookie(&mut script);
    let mut taken = 0;
    let mut last = None;
    for port in 0..6 {
        let (flow, _) = fast_syn(&mut script, 40_000 + port, given, REQUEST);
        taken += u32::from(flow.nxt == 0);
        last = last.or(Some(flow));
    }
    assert_eq!(taken, 3);
    assert_eq!(script.endpoint.counters().tcp_fast_open_listen_overflow, 3);
    // A third packet makes room.
    let mut first = last.expect("six");
    script.send(&mut first, seg());
    assert_eq!(fast_syn(&mut script, 41_000, given, REQUEST).0.nxt, 0);
    // Those whose third packet never comes are given up, also when the application has taken them.
    let listener = script.listener.expect("a server");
    let accepted: Vec<_> = std::iter::from_fn(|| script.endpoint.accept(listener)).collect();
    assert_eq!(accepted.len(), 4);
    script.advance(Duration::from_secs(200));
    let alive =
        accepted.iter().filter(|id| script.endpoint.info(**id).is_some_and(|i| i.error.is_none()));
    assert_eq!(alive.count(), 1);
}

/// The SYN arrives twice, or again without data: one connection, one copy; the answer to it is the same.
#[test]
fn a_repeated_syn_is_taken_once() {
    let mut script = server();
    let given = fetch_cookie(&mut script);
    let (flow, first) = fast_syn(&mut script, 40_000, given, REQUEST);
    for data in [REQUEST, b""] {
        let mut again = peer_flow(40_000);
        script.send(&mut again, seg().syn().no_ack().option(capable_syn()).data(data));
        let answer = script.next(&mut again);
        assert_eq!((answer.header.seq, answer.header.ack), (first.header.seq, first.header.ack));
    }
    script.accept();
    assert_eq!(script.read(), REQUEST);
    assert_eq!(flow.nxt, 0);
    assert!(script.endpoint.accept(script.listener.expect("a server")).is_none());
}

/// The server answers and closes before the third packet: everything arrives, and ends in order.
#[test]
fn server_may_close_before_the_third_packet() {
    let mut script = server();
    let given = fetch_cookie(&mut script);
    let (mut flow, _) = fast_syn(&mut script, 40_000, given, REQUEST);
    script.accept();
    script.read();
    script.write(b"bye");
    script.close();
    let packets = script.all(&mut flow);
    assert!(packets.iter().all(|p| !p.header.flags.fin && !p.header.flags.rst), "{packets:?}");
    let option = script.capable_ack(PLAIN_FLAGS);
    script.send(&mut flow, seg().option(option));
    assert!(script.all(&mut flow).iter().any(Packet::is_lone_data_fin));
}

/// Off, as by default: cookies are neither given nor taken.
#[test]
fn off_means_off() {
    let mut script = Script::server(ConnectionConfig::default());
    let mut flow = peer_flow(40_000);
    let request = seg().syn().no_ack().fast_open(FastOpenCookie::REQUEST);
    script.send(&mut flow, request.option(capable_syn()));
    assert!(script.next(&mut flow).options.fast_open.is_none());
    let mut script = Script::client(ConnectionConfig::default(), 1);
    assert!(script.next_syn().expect("a SYN").1.options.fast_open.is_none());
    assert_ne!(script.key, Key(1));
}

/// One connection of two real ends: how long until the answer was read, and whether it was MPTCP.
fn request_and_answer(
    world: &mut World,
    config: &ConnectionConfig,
    up: &[u8],
    down: &[u8],
) -> Option<Duration> {
    let listener = world.listen(config.clone());
    let (now, remote) = (world.now, SocketAddr::new(mpuser_tests::world::server_address(0), 80));
    let opened = world.client.connect_with_data(now, config.clone(), None, remote, up);
    let (client, taken) = opened.expect("an address");
    let mut a = Transfer::new(Side::Client, client, up[taken..].to_vec());
    let mut b = None;
    let mut answered = None;
    let done = world.run_until(Duration::from_secs(120), |w| {
        if b.is_none() {
            b = w.server.accept(listener).map(|id| Transfer::new(Side::Server, id, down.to_vec()));
        }
        let a_done = a.pump(w);
        if a.incoming.len() == down.len() {
            answered = answered.or(Some(w.now.saturating_since(now)));
        }
        b.as_mut().is_some_and(|b| b.pump(w)) && a_done
    });
    let b = b.expect("accepted");
    assert!(done && a.error.is_none() && b.error.is_none(), "{:?} {:?}", a.error, b.error);
    assert!(a.incoming == down && b.incoming == up, "{} {}", a.incoming.len(), b.incoming.len());
    let now = world.now;
    world.client.close(now, client);
    world.server.unlisten(now, listener);
    world.run_for(Duration::from_secs(1));
    answered
}

/// The point of it all: the answer is there after one round trip instead of two.
#[test]
fn an_answer_takes_one_round_trip() {
    for mptcp in [true, false] {
        let config = ConnectionConfig { mptcp, ..config() };
        let mut world = World::new(1, vec![Path { rate: 0, ..Path::default() }]);
        let first = request_and_answer(&mut world, &config, REQUEST, b"200 OK");
        let second = request_and_answer(&mut world, &config, REQUEST, b"200 OK");
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!((first, second), (ms(20), ms(10)), "MPTCP: {mptcp}");
    }
}

/// Under loss and reordering, all sizes: nothing is lost, doubled or out of order.
#[test]
fn data_on_syns_arrives_whole_under_loss() {
    let mut with_data = 0;
    for seed in 0..60 {
        let path = Path { loss: 100, reorder: 100, ..Path::default() };
        let mut world = World::new(seed, vec![path; 2]);
        let config = ConnectionConfig { checksum: seed % 2 == 0, ..config() };
        for (up, down) in [(10, 10), (1, 20_000), (5_000, 3), (1_420, 1), (60_000, 60_000)] {
            let (up, down) = (pattern(seed, up), pattern(seed + 1, down));
            request_and_answer(&mut world, &config, &up, &down);
        }
        with_data += world.server.counters().tcp_fast_open_passive;
    }
    assert!(with_data > 60, "{with_data}");
}
