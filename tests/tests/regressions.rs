//! What random tests have found, frozen.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::Event;
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::config::{ConnectionConfig, UnmappedData};
use mpuser_engine::error::ConnectionError;
use mpuser_engine::time::Duration;
use mpuser_tests::interact::{draw, run_caught};
use mpuser_tests::world::{Path, Side, Transfer, World, client_address, pattern, server_address};

fn connect(paths: usize) -> (World, ConnectionId, ConnectionId) {
    connect_with(1, paths)
}

fn connect_with(seed: u64, paths: usize) -> (World, ConnectionId, ConnectionId) {
    connect_as(ConnectionConfig::default(), seed, paths)
}

fn connect_as(
    config: ConnectionConfig,
    seed: u64,
    paths: usize,
) -> (World, ConnectionId, ConnectionId) {
    let mut world = World::new(seed, vec![Path::default(); paths]);
    let listener = world.listen(config.clone());
    let client = world.connect(config);
    let accepted = world.accept_within(Duration::from_secs(5), listener);
    (world, client, accepted.expect("a clean network"))
}

fn established(world: &mut World, side: Side, id: ConnectionId) -> usize {
    let info = world.endpoint(side).info(id).expect("not released");
    info.subflows.iter().filter(|s| s.state == "ESTAB").count()
}

/// The pause before the next attempt to resume doubled for the life of the connection, until it overflowed.
/// RFC 8684 3.3.3 [FIN-9]: break before make, any number of times.
#[test]
fn a_connection_is_resumed_a_hundred_times() {
    let (mut world, client, server) = connect(1);
    for round in 0..100 {
        let info = world.server.info(server).expect("not released");
        let now = world.now;
        for subflow in info.subflows.iter().filter(|s| s.state == "ESTAB") {
            world.server.close_subflow(now, server, subflow.id).expect("it is there");
        }
        for subflows in [0, 1] {
            let done = world.run_until(Duration::from_secs(5), |w| {
                established(w, Side::Client, client) == subflows
                    && established(w, Side::Server, server) == subflows
            });
            assert!(done, "round {round}: {:#?}", world.client.info(client));
        }
    }
    let (up, down) = (pattern(1, 100_000), pattern(2, 100_000));
    let mut a = Transfer::new(Side::Client, client, up.clone());
    let mut b = Transfer::new(Side::Server, server, down.clone());
    assert!(world.run_until(Duration::from_secs(30), |w| a.pump(w) & b.pump(w)));
    assert!(a.incoming == down && b.incoming == up);
}

/// A DATA_FIN rides on ACKs, which TCP does not retransmit: with nobody at the other end it was repeated for ever.
#[test]
fn an_unanswered_data_fin_is_given_up() {
    let (mut world, _, server) = connect(1);
    world.paths[0].up = false;
    let now = world.now;
    world.client.remove_address(now, client_address(0));
    world.flush();
    world.paths[0].up = true;
    world.server.shutdown(now, server);
    world.run_for(Duration::from_secs(1_000));
    let closed = Event::Closed(Some(ConnectionError::Timeout));
    assert!(world.events_of(Side::Server).any(|event| *event == closed));
    world.server.close(world.now, server);
    world.run_for(Duration::from_secs(200));
    assert_eq!(world.server.poll_timeout(), None);
}

/// An announcement waited for its echo when the connection fell back: its timer stayed due for ever, and time stood
/// still (C19).
#[test]
fn an_announcement_does_not_outlive_mptcp() {
    // Ends that fall back where options are lost, as Linux does.
    let mut config = ConnectionConfig::default();
    config.behaviour.unmapped_data = UnmappedData::FallBack;
    let (mut world, client, server) = connect_as(config, 1, 1);
    world.add_server_address(1);
    world.tamper = Box::new(|side, _, mut packet| {
        if side == Side::Client {
            // The echo and everything else of MPTCP is overwritten with NOPs, and the checksum with what then fits.
            strip(&mut packet);
        }
        vec![packet]
    });
    let mut a = Transfer::new(Side::Client, client, pattern(1, 5_000));
    let mut b = Transfer::new(Side::Server, server, pattern(2, 5_000));
    let mut steps = 0;
    world.run_until(Duration::from_secs(300), |w| {
        steps += 1;
        assert!(steps < 10_000, "time stands still");
        a.pump(w) & b.pump(w)
    });
    assert!(a.ended && b.ended);
    world.run_for(Duration::from_secs(300));
}

/// MP_FASTCLOSE was repeated after RTOs that had been backed off to minutes: a connection given up because its path was
/// dead stayed for a quarter of an hour. RFC 8684 3.5 [FC-5] [FC-8].
#[test]
fn an_abort_on_a_dead_path_is_soon_forgotten() {
    let (mut world, _, server) = connect(1);
    world.paths[0].up = false;
    let now = world.now;
    assert_eq!(world.server.write(now, server, &[1; 1_449]), Ok(1_449));
    world.run_for(Duration::from_secs(300));
    world.server.abort(world.now, server);
    world.server.close(world.now, server);
    world.run_for(Duration::from_secs(61));
    assert!(world.server.info(server).is_none(), "{:#?}", world.server.info(server));
}

/// A client that hears nothing of its DATA_FIN goes on as plain TCP, and its FIN is plain. The server closed its only
/// subflow for that, and what Nagle's algorithm had held back was never sent: the end came an octet too early.
/// RFC 8684 3.7 [FB-6]. `faults_are_survived`: seed 2047130475656249888, one path, `Cut(0)`, `Write(Server, 14201)`,
/// `Shutdown(Client)`, `Advance` 921, 483, 286, 476, 736, 269.
#[test]
fn a_fin_does_not_overtake_data_after_an_unnoticed_fallback() {
    let (mut world, client, server) = connect_with(2_047_130_475_656_249_888 >> 1, 1);
    let down = pattern(1, 14_201);
    world.paths[0].up = false;
    let now = world.now;
    assert_eq!(world.server.write(now, server, &down), Ok(down.len()));
    world.flush();
    world.client.shutdown(now, client);
    world.flush();
    world.run_for(Duration::from_millis(921 + 483 + 286 + 476 + 736 + 269));
    world.paths[0].up = true;
    let mut a = Transfer::new(Side::Client, client, Vec::new());
    let mut b = Transfer::new(Side::Server, server, Vec::new());
    assert!(world.run_until(Duration::from_secs(300), |w| a.pump(w) & b.pump(w)));
    assert!(a.incoming == down, "{} octets of {}", a.incoming.len(), down.len());
    assert!(a.ended && b.ended && b.incoming.is_empty());
    for id in [client, server] {
        let side = if id == client { Side::Client } else { Side::Server };
        let mptcp = world.endpoint(side).info(id).is_some_and(|info| info.mptcp);
        assert!(!mptcp, "both are plain TCP");
    }
}

/// What came out of order, or waited for the rest of a mapping with a checksum, opened the window a second time when
/// it became readable: a reader that sleeps was sent more and more. RFC 8684 3.3.4 [RCV-1].
#[test]
fn a_sleeping_reader_is_sent_its_buffer_and_no_more() {
    for (checksum, paths) in [(true, 1), (false, 3), (true, 3)] {
        let receive_buffer = 20_000;
        let config = ConnectionConfig { checksum, receive_buffer, ..ConnectionConfig::default() };
        let (mut world, client, server) = connect_as(config, 3, paths);
        for (nth, path) in world.paths.iter_mut().enumerate() {
            path.delay = Duration::from_millis(5 + 20 * nth as u64);
        }
        world.run_for(Duration::from_secs(1));
        let mut sender = Transfer::new(Side::Client, client, pattern(1, 400_000));
        for _ in 0..200 {
            sender.pump(&mut world);
            world.run_for(Duration::from_millis(50));
        }
        let queued = world.server.info(server).expect("not released").recv_queue;
        assert!(queued <= receive_buffer as u64, "{queued} octets, {paths} paths");
        let mut reader = Transfer::new(Side::Server, server, Vec::new());
        let done = world.run_until(Duration::from_secs(60), |w| sender.pump(w) & reader.pump(w));
        assert!(done && reader.incoming == pattern(1, 400_000));
    }
}

/// A REMOVE_ADDR that no subflow could carry stood before an announcement whose time had come: time stood still.
#[test]
fn a_withdrawal_without_a_subflow_does_not_stop_time() {
    let (mut world, _, _) = connect(1);
    world.run_for(Duration::from_secs(1));
    world.add_server_address(1);
    world.paths[0].up = false;
    world.flush();
    let now = world.now;
    world.server.remove_address(now, server_address(0));
    let mut steps = 0;
    world.run_until(Duration::from_secs(30), |_| {
        steps += 1;
        assert!(steps < 1_000, "time stands still");
        false
    });
}

/// The endpoint of a plain TCP connection was deleted: its FIN told the peer that the data was over.
#[test]
fn deleting_an_endpoint_does_not_end_plain_tcp() {
    let config = ConnectionConfig { mptcp: false, ..ConnectionConfig::default() };
    let (mut world, client, server) = connect_as(config, 1, 1);
    let now = world.now;
    let ids: Vec<_> = world.client.endpoints().iter().filter_map(|one| one.id).collect();
    for id in ids {
        world.client.delete_endpoint(now, id).expect("it is there");
    }
    let mut a = Transfer::new(Side::Client, client, pattern(1, 50_000));
    let mut b = Transfer::new(Side::Server, server, pattern(2, 50_000));
    assert!(world.run_until(Duration::from_secs(30), |w| a.pump(w) & b.pump(w)));
    assert!(a.incoming == pattern(2, 50_000) && b.incoming == pattern(1, 50_000));
}

/// A server that had not heard of the third packet answered a stray segment with an empty DSS. To the client that was the
/// confirmation: the keys were not said again, and the server fell back alone. RFC 8684 3.1 [INI-16].
#[test]
fn a_challenge_before_the_keys_confirms_nothing() {
    let mut world = World::new(1, vec![Path::default()]);
    let listener = world.listen(ConnectionConfig::default());
    let mut count = 0;
    let stray = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let kept = std::rc::Rc::clone(&stray);
    world.tamper = Box::new(move |side, _, packet| {
        count += usize::from(side == Side::Client);
        // the third packet gets lost
        if side == Side::Client && count == 2 {
            kept.replace(packet);
            return vec![];
        }
        vec![packet]
    });
    let client = world.connect(ConnectionConfig::default());
    world.run_for(Duration::from_millis(50));
    let lost = bytes::Bytes::from(stray.take());
    let mut segment = mpuser_sim::packet::TcpPacket::parse(&lost).expect("the third packet");
    segment.seq += 1 << 30;
    segment.options.clear();
    world.inject(Side::Server, 0, segment.emit().to_vec());
    world.run_for(Duration::from_millis(50));
    let now = world.now;
    world.client.shutdown(now, client);
    let accepted = world.accept_within(Duration::from_secs(30), listener);
    let server = accepted.expect("it is established in the end");
    world.run_for(Duration::from_secs(2));
    assert!(world.server.info(server).is_some_and(|info| info.mptcp), "the server fell back");
}

/// The only subflow had said its FIN and waited for that of a peer that was gone: the connection, with data to send,
/// waited with it for ever. RFC 8684 3.3.3 [FIN-9].
#[test]
fn a_subflow_that_waits_for_a_fin_keeps_no_connection_alive() {
    let (mut world, client, server) = connect(1);
    world.run_for(Duration::from_secs(1));
    // the client's FIN and RST get lost
    world.tamper = Box::new(|side, _, packet| {
        let ends = packet.get(33).is_some_and(|flags| flags & 0b101 != 0);
        if side == Side::Client && ends { vec![] } else { vec![packet] }
    });
    let now = world.now;
    let info = world.server.info(server).expect("not released");
    let first = info.subflows.first().expect("there is one").id;
    world.server.close_subflow(now, server, first).expect("it is there");
    let state = |w: &World| w.server.info(server).map(|info| info.subflows[0].state);
    let waiting = world.run_until(Duration::from_secs(2), |w| state(w) == Some("FIN-WAIT-2"));
    assert!(waiting, "{:?}", state(&world));
    let now = world.now;
    world.client.remove_address(now, client_address(0));
    assert_eq!(world.server.write(now, server, &[1; 5_000]), Ok(5_000));
    world.run_for(Duration::from_secs(200));
    let closed = Event::Closed(Some(ConnectionError::Timeout));
    assert!(world.events_of(Side::Server).any(|event| *event == closed), "{client:?}");
}

/// A subflow joined while the reader slept, and was told a closed window. Then the other one became a backup: nothing ever
/// told that the window was open again, and with nothing to send nobody asked. RFC 8684 3.3.5 [SND-4].
#[test]
fn a_window_closed_on_one_subflow_is_asked_for() {
    for lose_update in [false, true] {
        let config = ConnectionConfig { receive_buffer: 10_000, ..ConnectionConfig::default() };
        let mut world = World::new(2, vec![Path::default(); 2]);
        world.paths[1].up = false;
        let listener = world.listen(config.clone());
        let client = world.connect(config);
        let accepted = world.accept_within(Duration::from_secs(5), listener);
        let server = accepted.expect("a clean network");
        let mut sender = Transfer::new(Side::Client, client, pattern(1, 60_000));
        for _ in 0..20 {
            sender.pump(&mut world);
            world.run_for(Duration::from_millis(50));
        }
        world.paths[1].up = true;
        world.run_for(Duration::from_secs(20));
        assert_eq!(established(&mut world, Side::Client, client), 2);
        let info = world.client.info(client).expect("not released");
        let first = info.subflows.first().expect("there are two").id;
        let now = world.now;
        world.client.set_backup(now, client, first, true).expect("it is there");
        world.run_for(Duration::from_secs(1));
        world.paths[1].up = !lose_update;
        let mut reader = Transfer::new(Side::Server, server, Vec::new());
        reader.pump(&mut world);
        world.flush();
        world.run_for(Duration::from_millis(100));
        world.paths[1].up = true;
        let done = world.run_until(Duration::from_secs(60), |w| sender.pump(w) & reader.pump(w));
        assert!(done, "{lose_update}: {:#?}", world.client.info(client));
    }
}

fn keeps_its_promises(seed: u64) {
    let violation = run_caught(&draw(seed), false).err().map(|v| (v.at, v.what));
    assert!(violation.is_none(), "seed {seed}: {violation:?}");
}

/// A peer that had fallen back sent a plain FIN while a join was pending: this end's FIN in return, before the rest of
/// the data, was a clean end to it (RFC 8684 3.7 [FB-7]).
#[test]
fn a_pending_join_does_not_hide_the_end_of_mptcp() {
    keeps_its_promises(77_807);
}

/// What a scheduler had set aside waited for ever for a window that had been told on another subflow [SND-4].
#[test]
fn what_was_set_aside_asks_for_the_window() {
    keeps_its_promises(4_683);
}

/// An end that resets every subflow at its first data was joined once a second for ever [FIN-9].
#[test]
fn resuming_without_progress_comes_to_an_end() {
    keeps_its_promises(2_126);
    keeps_its_promises(19_018);
}

/// Takes the MPTCP options out of an IPv4 packet; each pair of octets it changes is taken out of the checksum.
fn strip(packet: &mut [u8]) {
    let start = usize::from(packet[0] & 15) * 4;
    let end = start + usize::from(packet[start + 12] >> 4) * 4;
    let before = sum(&packet[start + 20..end]);
    let mut at = start + 20;
    while at + 1 < end && packet[at] != 0 {
        let len = if packet[at] == 1 { 1 } else { usize::from(packet[at + 1]).max(2) };
        if packet[at] == 30 {
            packet[at..at + len].fill(1);
        }
        at += len;
    }
    let after = sum(&packet[start + 20..end]);
    // RFC 1624: HC' = ~(~HC + ~m + m').
    let old = sum(&packet[start + 16..start + 18]);
    let new = !fold(u32::from(!old) + u32::from(!before) + u32::from(after));
    packet[start + 16..start + 18].copy_from_slice(&new.to_be_bytes());
}

fn sum(bytes: &[u8]) -> u16 {
    fold(bytes.chunks(2).map(|b| u32::from(b[0]) << 8 | u32::from(b[1])).sum())
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
