//! Subflows in byte streams, in virtual time: two endpoints, streams between them that are frames, a rate and a delay each.

mod carried {
    pub(crate) mod net;
}

use carried::net::{CLIENT, Net, SERVER, WINDOW_OF_TIME};
use mpuser_engine::tcp::{CARRIER_CREDIT, CARRIER_SEGMENT};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::frame::MAX_PAYLOAD;
use mpuser_engine::{Event, SubflowEnd};

const MBIT: u64 = 125_000;

fn data(len: usize) -> Vec<u8> {
    (0..len as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).take(len).collect()
}

/// Everything arrives, and no octet goes twice.
#[test]
fn a_stream_carries_a_connection_and_nothing_is_sent_again() {
    let mut net = Net::new(&[(50 * MBIT, 20)]);
    let sent = data(8 << 20);
    let took = net.transfer(&sent);
    let info = net.info(CLIENT);
    assert_eq!(info.subflows[0].bytes_retrans, 0);
    let ideal = Duration::from_nanos(sent.len() as u64 * 1_000_000_000 / (50 * MBIT));
    // the start takes some round trips of 40 ms
    assert!(took < ideal + Duration::from_millis(300), "{took:?}, at best {ideal:?}");
}

/// A stream that says nothing for seconds: nothing is sent again, nothing is lost, and it goes on as if nothing had been.
#[test]
fn a_pause_of_the_stream_leads_to_no_retransmission() {
    let mut net = Net::new(&[(50 * MBIT, 20)]);
    net.pause(0, Duration::from_millis(150), Duration::from_secs(7));
    net.transfer(&data(2 << 20));
    assert_eq!(net.info(CLIENT).subflows[0].bytes_retrans, 0);
    assert_eq!(net.info(SERVER).subflows[0].bytes_retrans, 0);
    assert_eq!(net.syns, 1, "a SYN goes out once");
}

/// A stream that takes long to be made, longer than any SYN timer: there is one SYN in it, and it has MP_CAPABLE.
#[test]
fn a_slow_dial_is_not_answered_by_more_syns() {
    let mut net = Net::new(&[(50 * MBIT, 20)]);
    net.pause(0, Duration::ZERO, Duration::from_secs(9));
    net.transfer(&data(10_000));
    assert_eq!(net.syns, 1);
    assert!(net.mptcp(CLIENT));
}

/// What waits outside of the engine is never more than the credit and one segment, and what is under way between the two
/// ends stays near what the path holds.
#[test]
fn credit_and_window_bound_what_waits() {
    let mut net = Net::new(&[(10 * MBIT, 20)]);
    net.transfer(&data(4 << 20));
    let segment = MAX_PAYLOAD as u64 + u64::from(CARRIER_SEGMENT);
    let most = u64::from(CARRIER_CREDIT) + segment;
    assert!(net.most_waiting <= most, "{} of {most}", net.most_waiting);
    // 10 Mbit/s and 40 ms: 50 kB
    let info = net.info(CLIENT);
    assert!(info.subflows[0].srtt < Duration::from_millis(200), "{:?}", info.subflows[0].srtt);
}

/// Two streams are worth nearly the sum of both.
#[test]
fn two_streams_add_up() {
    for (rates, name) in [([50, 50], "alike"), ([50, 20], "unlike")] {
        let mut net = Net::new(&rates.map(|rate| (rate * MBIT, 10)));
        let sent = data(10 << 20);
        let took = net.transfer(&sent);
        let both: u64 = rates.iter().sum::<u64>() * MBIT;
        let ideal = sent.len() as f64 / both as f64;
        let share = ideal / took.as_secs_f64();
        assert!(share > 0.85, "{name}: {share:.2} of the sum");
    }
}

/// The end of a stream is the end of its subflow: at once the other one carries what was on it, and the application
/// waits no longer than that takes.
#[test]
fn what_a_dead_stream_carried_goes_another_way_at_once() {
    let mut net = Net::new(&[(50 * MBIT, 10), (50 * MBIT, 10)]);
    net.kill(0, Duration::from_millis(600));
    net.transfer(&data(10 << 20));
    assert!(net.longest_pause < Duration::from_millis(100), "{:?}", net.longest_pause);
    let lost = |e: &Event| matches!(e, Event::SubflowClosed { cause: SubflowEnd::CarrierLost, .. });
    for side in [CLIENT, SERVER] {
        assert_eq!(
            net.events(side).iter().filter(|e| lost(e)).count(),
            1,
            "{:?}",
            net.events(side)
        );
    }
}

/// A proxy that comes back is used again, after a while.
#[test]
fn a_dead_stream_is_tried_again() {
    let mut net = Net::new(&[(50 * MBIT, 10), (50 * MBIT, 10)]);
    net.kill(1, Duration::from_millis(300));
    net.transfer(&data(14 << 20));
    let joined = |e: &Event| matches!(e, Event::SubflowEstablished { .. });
    assert!(
        net.events(CLIENT).iter().filter(|e| joined(e)).count() >= 3,
        "{:?}",
        net.events(CLIENT)
    );
}

/// The only stream ends in the middle: the next one, made after a while, resumes the connection.
#[test]
fn the_only_stream_dies_and_the_next_one_resumes() {
    let mut net = Net::new(&[(50 * MBIT, 10)]);
    net.kill(0, Duration::from_millis(300));
    net.transfer(&data(4 << 20));
    assert!(net.longest_pause < Duration::from_secs(2), "{:?}", net.longest_pause);
    assert_eq!(net.info(CLIENT).subflows.iter().filter(|s| s.state == "ESTAB").count(), 1);
}

/// A path that is silent, not dead: the other one takes over long before anybody gives up.
#[test]
fn a_silent_stream_is_left_alone() {
    let mut net = Net::new(&[(50 * MBIT, 10), (50 * MBIT, 10)]);
    net.pause(0, Duration::from_millis(500), Duration::from_secs(60));
    let took = net.transfer(&data(8 << 20));
    assert!(took < WINDOW_OF_TIME, "{took:?}");
    assert!(net.longest_pause < Duration::from_millis(400), "{:?}", net.longest_pause);
    assert_eq!(net.info(CLIENT).subflows.iter().map(|s| s.bytes_retrans).sum::<u64>(), 0);
}

/// The first stream cannot be made: the attempt ends at once.
#[test]
fn a_dial_that_fails_is_the_end_of_the_attempt() {
    let mut net = Net::new(&[(50 * MBIT, 10)]);
    net.refuse_dials = true;
    net.connect();
    net.run(Duration::from_millis(100));
    let closed = |e: &Event| matches!(e, Event::Closed(Some(_)));
    assert!(net.events(CLIENT).iter().any(closed), "{:?}", net.events(CLIENT));
}
