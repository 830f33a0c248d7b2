//! Subflows in byte streams, in virtual time: two endpoints, streams between them that are frames, a rate and a delay each.

mod carried {
    pub(crate) mod net;
}

use carried::net::{CLIENT, Net, SERVER, WINDOW_OF_TIME};
use mpuser_engine::tcp::{CARRIER_CREDIT, CARRIER_KEEPALIVE, CARRIER_SEGMENT};
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

fn ended(net: &Net, side: usize) -> Vec<SubflowEnd> {
    let cause = |e: &Event| match e {
        Event::SubflowClosed { cause, .. } => Some(*cause),
        _ => None,
    };
    net.events(side).iter().filter_map(cause).collect()
}

fn established(net: &Net) -> usize {
    net.info(CLIENT).subflows.iter().filter(|s| s.state == "ESTAB").count()
}

/// How long after the last word of a peer its stream is given up.
fn patience() -> Duration {
    CARRIER_KEEPALIVE.idle + CARRIER_KEEPALIVE.interval.saturating_mul(CARRIER_KEEPALIVE.probes)
}

/// A connection on which nobody says anything for an hour: octets pass in both directions often enough for proxies that
/// count idle time, few of them, and nothing ends.
#[test]
fn an_idle_stream_is_kept_alive() {
    let mut net = Net::new(&[(50 * MBIT, 20)]);
    net.transfer(&data(1_000));
    net.run(Duration::from_secs(3_600));
    assert_eq!(ended(&net, CLIENT), []);
    assert_eq!(ended(&net, SERVER), []);
    let hour = 3_600 / CARRIER_KEEPALIVE.idle.as_secs() as usize;
    for side in [CLIENT, SERVER] {
        let frames = &net.frames[side];
        let gap = frames.windows(2).map(|two| two[1].saturating_since(two[0])).max();
        let most = CARRIER_KEEPALIVE.idle + Duration::from_millis(100);
        assert!(gap.is_some_and(|gap| gap <= most), "{gap:?}");
        // a question and an answer in each interval
        assert!(frames.len() < 2 * hour + 20, "{}", frames.len());
    }
    assert_eq!(net.info(CLIENT).subflows[0].bytes_retrans, 0);
}

/// A proxy takes octets and passes none on, without a word, while nobody has anything to say: both ends give the stream up
/// in time, the other stream stays, and a new one is made through the proxy once it is back.
#[test]
fn a_proxy_that_vanished_is_noticed_on_an_idle_connection() {
    let mut net = Net::new(&[(50 * MBIT, 10), (50 * MBIT, 10)]);
    net.transfer(&data(1_000));
    net.run(Duration::from_secs(5));
    assert_eq!(established(&net), 2);
    let gone = net.now();
    net.pause(0, gone, gone + Duration::from_secs(300));
    net.run(patience() - Duration::from_secs(11));
    assert_eq!((ended(&net, CLIENT), ended(&net, SERVER)), (vec![], vec![]), "too early");
    net.run(Duration::from_secs(12));
    for side in [CLIENT, SERVER] {
        assert_eq!(ended(&net, side), [SubflowEnd::Timeout]);
    }
    assert_eq!(established(&net), 1);
    net.run(Duration::from_secs(400));
    assert_eq!(established(&net), 2, "{:?}", net.events(CLIENT));
}

/// The only proxy takes data and passes none on: the stream is given up although its next hop still answers, and what was
/// on it arrives by the next one.
#[test]
fn data_in_a_stream_that_vanished_comes_by_the_next_one() {
    let mut net = Net::new(&[(50 * MBIT, 10)]);
    net.transfer(&data(1_000));
    let gone = net.now();
    net.pause(0, gone, gone + patience() + Duration::from_secs(5));
    net.run(Duration::from_secs(1));
    let sent = data(100_000);
    assert_eq!(net.write_some(&sent), sent.len());
    net.run(patience() + Duration::from_secs(2));
    assert_eq!(ended(&net, CLIENT), [SubflowEnd::Timeout]);
    net.run(Duration::from_secs(60));
    assert!(net.read_some() == sent, "{:?}", net.events(CLIENT));
    assert_eq!(established(&net), 1);
}

/// A stream that says nothing for less than that is left as it is.
#[test]
fn silence_that_ends_in_time_ends_nothing() {
    let mut net = Net::new(&[(50 * MBIT, 10)]);
    net.transfer(&data(1_000));
    let gone = net.now();
    net.pause(0, gone, gone + patience() - Duration::from_secs(11));
    net.run(Duration::from_secs(120));
    assert_eq!((ended(&net, CLIENT), ended(&net, SERVER)), (vec![], vec![]));
    let sent = data(100_000);
    assert_eq!(net.write_some(&sent), sent.len());
    net.run(Duration::from_secs(1));
    assert!(net.read_some() == sent);
}

/// The answer to the first octets is held up, and says nothing of the rate of what follows.
#[test]
fn a_pause_behind_the_first_octets_slows_nothing_down() {
    for pause in [100, 1_000, 7_000] {
        let mut net = Net::new(&[(50 * MBIT, 10)]);
        net.transfer(&data(1_000));
        let gone = net.now();
        net.pause(0, gone, gone + Duration::from_millis(pause));
        net.run(Duration::from_secs(8));
        let sent = data(100_000);
        assert_eq!(net.write_some(&sent), sent.len());
        net.run(Duration::from_millis(300));
        let got = net.read_some();
        assert!(got == sent, "{pause} ms: {} octets, {:?}", got.len(), net.info(CLIENT));
    }
}
