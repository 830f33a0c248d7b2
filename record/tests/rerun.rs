//! Two endpoints over wires that lose, one of them recorded: the log gives the same packets, and what is wrong with a log
//! is said.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr};
use mpuser_engine::config::{
    ConnectionConfig, EndpointConfig, FastOpen, Keepalive, PathManagerKind, SchedulerSpec,
};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{Endpoint, LocalAddress};
use mpuser_record::{Ended, Problem, Recorded, Recorder, parse};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// A file in memory that can be looked at.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn address(side: u8, path: u8) -> IpAddr {
    IpAddr::from([10, path, 0, side])
}

fn local(side: u8, path: u8) -> LocalAddress {
    LocalAddress {
        address: address(side, path),
        interface: InterfaceId(path.into()),
        mtu: 1500,
        backup: false,
        checksum_offload: false,
        max_payload: 0,
    }
}

/// Writes some of `rest`: what begins with an even octet is copied, the others are handed over.
fn write(client: &mut Recorded, now: Instant, id: ConnectionId, rest: &[u8]) -> usize {
    let outcome = if rest.first().is_none_or(|octet| octet.is_multiple_of(2)) {
        client.write(now, id, rest.get(..20_000).unwrap_or(rest))
    } else {
        client.write_bytes(now, id, &Bytes::copy_from_slice(rest))
    };
    outcome.unwrap_or_default()
}

/// A transfer of `octets` from a recorded client over two paths that lose every seventh packet.
fn transfer(config: ConnectionConfig, octets: usize, limit: u64) -> Vec<u8> {
    let file = Shared::default();
    let recorder = Recorder::new(file.clone(), limit);
    let mut client = Recorded::new(EndpointConfig::default(), [7; 32], Some(recorder));
    let mut server = Endpoint::new(EndpointConfig::default(), [8; 32]);
    let mut now = Instant::from_millis(1_000);
    for path in 0..2 {
        client.add_address(now, local(1, path));
        server.add_address(now, local(2, path));
    }
    let to = (address(2, 0), 80).into();
    let listener = server.listen(ConnectionConfig::default(), to, 8).expect("free");
    let data: Vec<u8> = (0..octets).map(|n| (n * 7 + n / 251) as u8).collect();
    let connected = client.connect_with_data(now, config, None, to, &[]);
    let (id, _) = connected.expect("an address");
    let (mut written, mut got, mut shut) = (0, Vec::new(), false);
    let mut peer: Option<ConnectionId> = None;
    let mut wire: VecDeque<(Instant, bool, InterfaceId, Bytes)> = VecDeque::new();
    let (mut headers, mut count) = (Vec::new(), 0_u32);
    for _ in 0..20_000 {
        while let Some(sent) = client.poll_transmit(now, &mut headers) {
            let packet = [headers.as_slice(), &sent.payload].concat();
            wire.push_back((now + Duration::from_millis(5), true, sent.interface, packet.into()));
        }
        while client.poll_event().is_some() {}
        while let Some(sent) = server.poll_transmit(now, &mut headers) {
            let packet = [headers.as_slice(), &sent.payload].concat();
            wire.push_back((now + Duration::from_millis(5), false, sent.interface, packet.into()));
        }
        while server.poll_event().is_some() {}
        peer = peer.or_else(|| server.accept(listener));
        if let Some(peer) = peer {
            while let Ok(piece) = server.read_chunk(now, peer, usize::MAX) {
                if piece.is_empty() {
                    server.shutdown(now, peer);
                    break;
                }
                got.extend_from_slice(&piece);
            }
        }
        written += write(&mut client, now, id, data.get(written..).unwrap_or_default());
        if written == data.len() && !shut {
            shut = true;
            client.shutdown(now, id);
        }
        let _ = client.read_chunk(now, id, 512);
        let next = wire.front().map(|packet| packet.0);
        let timers = [client.poll_timeout(), server.poll_timeout()];
        let next = timers.into_iter().fold(next, Instant::earliest);
        let Some(next) = next.filter(|at| *at < Instant::from_millis(60_000)) else { break };
        now = now.max(next);
        client.handle_timeout(now);
        server.handle_timeout(now);
        while let Some((_, forward, interface, packet)) =
            wire.front().is_some_and(|packet| packet.0 <= now).then(|| wire.pop_front()).flatten()
        {
            count += 1;
            match (count % 7, forward) {
                (0, _) => {}
                (_, true) => server.handle_packet(now, interface, packet),
                (_, false) => client.handle_packet(now, interface, packet),
            }
        }
    }
    assert!(got == data, "{} of {} octets", got.len(), data.len());
    drop(client);
    file.0.lock().expect("nobody panics").clone()
}

#[test]
fn a_log_gives_the_same_packets() {
    // every setting that has a form of its own in the log
    let config = ConnectionConfig {
        checksum: true,
        scheduler: SchedulerSpec::parse("redundant").expect("known"),
        path_manager: PathManagerKind::Fullmesh,
        fast_open: FastOpen::Cookie,
        ..ConnectionConfig::default()
    };
    let mut keepalive = ConnectionConfig::default();
    keepalive.tcp.keepalive = Some(Keepalive {
        idle: Duration::from_secs(7),
        interval: Duration::from_millis(1_500),
        probes: 3,
    });
    for config in [ConnectionConfig::default(), config, keepalive] {
        let log = transfer(config, 400_000, u64::MAX);
        let outcome = parse(&log).expect("a log");
        assert_eq!(outcome.difference, None);
        assert_eq!(outcome.ended, Ended::Whole);
        assert!(outcome.sent > 200 && outcome.received > 100 && outcome.calls > 5, "{outcome:?}");
        assert_eq!(parse(&log).expect("a log"), outcome);
    }
}

#[test]
fn another_packet_is_a_difference() {
    let log = transfer(ConnectionConfig::default(), 50_000, u64::MAX);
    let text = String::from_utf8(log).expect("text");
    // data that was written is other data
    let at = text.find("\"op\":\"write\"").expect("a write");
    let data = at + text[at..].find("\"data\":\"").expect("its data") + 8;
    let mut other = text.clone().into_bytes();
    other[data] = if other[data] == b'0' { b'1' } else { b'0' };
    let found = parse(&other).expect("a log").difference.expect("another packet");
    assert!(found.what == "packet" || found.what == "payload", "{found}");
    // a packet that never came
    let one = text.lines().position(|line| line.contains("\"op\":\"packet\"")).expect("one");
    let lines = text.lines().enumerate().filter(|(n, _)| *n != one).map(|(_, line)| line);
    let without = lines.collect::<Vec<_>>().join("\n");
    assert!(parse(without.as_bytes()).expect("a log").difference.is_some());
    // another seed
    let seeded = text.replacen("0707", "0807", 1);
    assert!(parse(seeded.as_bytes()).expect("a log").difference.is_some());
}

#[test]
fn a_limit_ends_a_log_and_it_says_so() {
    let log = transfer(ConnectionConfig::default(), 200_000, 100_000);
    assert!(log.len() < 101_000, "{}", log.len());
    let outcome = parse(&log).expect("a log");
    assert_eq!((outcome.ended, outcome.difference), (Ended::Full, None));
}

#[test]
fn what_is_wrong_with_a_log_is_said() {
    let log = transfer(ConnectionConfig::default(), 20_000, u64::MAX);
    let text = String::from_utf8(log.clone()).expect("text");
    let problem = |text: &str| parse(text.as_bytes()).expect_err("no log");
    assert!(matches!(problem("").problem, Problem::Empty));
    assert!(matches!(problem("hello\n").problem, Problem::Json(_)));
    let newer = text.replacen("\"mpuser_record\":1", "\"mpuser_record\":2", 1);
    assert!(matches!(problem(&newer).problem, Problem::Format(2)));
    let broken = text.replacen("\"op\":\"idle\"", "\"op\":\"idol\"", 1);
    let found = problem(&broken);
    assert!(found.line > 1 && matches!(found.problem, Problem::Json(_)), "{found}");
    assert!(matches!(problem(&(text.clone() + &text)).problem, Problem::Json(_)));
    // cut at every place: done as far as it goes, or the line is named
    for end in (0..log.len()).step_by(log.len() / 300) {
        match parse(&log[..end]) {
            Ok(outcome) => assert_eq!((outcome.ended, outcome.difference), (Ended::Cut, None)),
            Err(error) => assert!(error.line >= 1),
        }
    }
    // any octet another one: an error or an outcome
    let mut state = 1_u32;
    for _ in 0..200 {
        let mut bad = log.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = state as usize % bad.len();
            bad[at] = (state >> 24) as u8;
        }
        let _ = parse(&bad);
    }
}
