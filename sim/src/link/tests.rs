use super::*;
use mpuser_engine::time::Duration;
use proptest::prelude::*;

fn link(text: &str) -> Link {
    Link::new(text.parse().unwrap(), 1, Instant::ZERO).unwrap()
}

fn numbered(number: u32, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

/// Everything that comes out, with its time in microseconds.
fn drain(link: &mut Link) -> Vec<(u64, Direction, u32)> {
    let mut out = Vec::new();
    while let Some(now) = link.next() {
        while let Some((direction, packet)) = link.poll(now) {
            let number = u32::from_be_bytes(*packet.first_chunk().unwrap());
            out.push((now.as_micros(), direction, number));
        }
    }
    out
}

fn forward(link: &mut Link, packets: u32, every: Duration) -> Vec<(u64, u32)> {
    let mut out = Vec::new();
    for number in 0..packets {
        let now = Instant::ZERO + every * number;
        while let Some(at) = link.next().filter(|at| *at <= now) {
            while let Some((_, packet)) = link.poll(at) {
                out.push((at.as_micros(), u32::from_be_bytes(*packet.first_chunk().unwrap())));
            }
        }
        link.push(now, Direction::Forward, numbered(number, 1250));
    }
    out.extend(drain(link).into_iter().map(|(at, _, number)| (at, number)));
    out
}

#[test]
fn rate_and_delay_are_exact_and_per_direction() {
    let mut link = link("rate=10mbit fwd.delay=10ms back.delay=3ms");
    for number in 0..3 {
        link.push(Instant::ZERO, Direction::Forward, numbered(number, 1250));
    }
    link.push(Instant::ZERO, Direction::Backward, numbered(9, 1250));
    use Direction::{Backward, Forward};
    let expected =
        [(4_000, Backward, 9), (11_000, Forward, 0), (12_000, Forward, 1), (13_000, Forward, 2)];
    assert_eq!(drain(&mut link), expected);
    assert_eq!(link.counters(Forward).delivered_bytes, 3_750);
}

#[test]
fn jitter_keeps_the_order_and_reordering_does_not() {
    for shape in ["uniform", "normal", "pareto"] {
        let mut link = link(&format!("delay=5ms jitter=3ms:{shape}"));
        let seen = forward(&mut link, 1_000, Duration::from_micros(200));
        assert_eq!(seen.len(), 1_000);
        assert!(seen.is_sorted(), "{shape}");
    }
    let mut link = link("delay=5ms reorder=5%:8");
    let seen = forward(&mut link, 5_000, Duration::from_micros(200));
    let late = seen.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
    assert!((150..350).contains(&late), "{late}");
    let farthest = seen.iter().enumerate().map(|(at, (_, n))| at.abs_diff(*n as usize)).max();
    assert!(farthest <= Some(9), "{farthest:?}");
    assert_eq!(seen.len(), 5_000);
}

#[test]
fn faults_are_counted_by_reason() {
    let mut link = link("loss=10% duplicate=10% corrupt=10%");
    let seen = forward(&mut link, 10_000, Duration::from_micros(10)).len() as u64;
    let counted = *link.counters(Direction::Forward);
    assert_eq!(counted.received - counted.dropped() + counted.duplicated, seen);
    for count in [counted.lost, counted.duplicated, counted.corrupted] {
        assert!((800..1_200).contains(&count), "{counted:?}");
    }
    assert_eq!(counted.dropped(), counted.lost);
}

#[test]
fn a_full_queue_drops_and_a_cut_link_lets_nothing_out() {
    let mut link = link("rate=1mbit queue=5p");
    for number in 0..20 {
        link.push(Instant::ZERO, Direction::Forward, numbered(number, 1250));
    }
    assert_eq!(link.counters(Direction::Forward).queue_full, 14);
    link.lane_mut(Direction::Forward).up = false;
    assert_eq!(drain(&mut link), []);
    assert_eq!(link.counters(Direction::Forward).down, 6);
}

#[test]
fn outages_come_and_go() {
    let mut link = link("down=10ms-20ms@50ms");
    let seen = forward(&mut link, 100, Duration::from_millis(1));
    assert_eq!(seen.len(), 80);
    assert!(seen.iter().all(|(at, _)| !(10..20).contains(&(at / 1_000 % 50))));
}

#[test]
fn a_packet_too_big_is_told_of() {
    let mut small = link("fwd.mtu=1000");
    small.push(
        Instant::ZERO,
        Direction::Forward,
        crate::packet::tests::made(false, 1, &[], &[0; 1_200]),
    );
    let (direction, _) = small.poll(Instant::ZERO).unwrap();
    assert_eq!(direction, Direction::Backward);
    let mut hole = link("mtu=1000:drop");
    hole.push(
        Instant::ZERO,
        Direction::Forward,
        crate::packet::tests::made(false, 1, &[], &[0; 1_200]),
    );
    assert!(hole.poll(Instant::ZERO).is_none() && hole.next().is_none());
    assert_eq!(hole.counters(Direction::Forward).too_big, 1);
}

#[test]
fn a_trace_sets_the_pace() {
    let mut config = LinkConfig::default();
    config.apply("trace=file", &mut |_| Ok("1\n2\n3\n4\n".to_owned())).unwrap();
    let mut link = Link::new(config, 1, Instant::ZERO).unwrap();
    for number in 0..8 {
        link.push(Instant::ZERO, Direction::Forward, numbered(number, 1504));
    }
    let times: Vec<u64> = drain(&mut link).iter().map(|(at, ..)| at / 1_000).collect();
    assert_eq!(times, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_seed_repeats_a_run() {
    let run = |seed| {
        let text = "rate=20mbit delay=10ms jitter=2ms loss=1% reorder=1% duplicate=1% corrupt=1%";
        let mut link = Link::new(text.parse().unwrap(), seed, Instant::ZERO).unwrap();
        forward(&mut link, 2_000, Duration::from_micros(300))
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn settings_change_while_packets_fly() {
    let mut link = link("rate=1mbit delay=10ms");
    for number in 0..100 {
        link.push(Instant::ZERO, Direction::Forward, numbered(number, 1250));
    }
    let mut config = link.config();
    config.apply("rate=none delay=0", &mut |_| Err(String::new())).unwrap();
    link.set(config).unwrap();
    let seen = drain(&mut link);
    assert_eq!(seen.len(), 100);
    assert_eq!(seen.last().map(|last| last.0), Some(10_000), "the one on the wire keeps its rate");
}

#[test]
fn texts_are_read_and_shown() {
    for text in [
        "",
        "rate=20mbit delay=10ms jitter=2ms:uniform loss=1% reorder=1%:4",
        "rate=1mbit jitter=1ms:pareto loss=ge:1%,20%,100%,0% queue=50ms",
        "queue=100p aqm=codel:5ms,100ms mtu=1400:drop",
        "delay=1ms fwd.rate=20mbit back.rate=1mbit back.loss=1%",
        "duplicate=1% corrupt=0.1% queue=65536 state=down down=1s-2s,3s-4s@10s",
        "delay=1ms box=strip-mptcp:syn box=duplicate",
    ] {
        let config: LinkConfig = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(config.to_string(), text);
        assert_eq!(config.to_string().parse(), Ok(config));
    }
    let mut config: LinkConfig = "delay=1ms box=duplicate".parse().unwrap();
    config.apply("loss=1% box=none", &mut |_| Err(String::new())).unwrap();
    assert_eq!(config.to_string(), "delay=1ms loss=1%");
}

#[test]
fn mistakes_are_named() {
    for (text, part) in [
        ("delay", "no key=value"),
        ("speed=1mbit", "no such key"),
        ("rate=fast", "rate: \"fast\" is no rate"),
        ("loss=ge:1%", "TO_BAD"),
        ("trace=x", "no file"),
        ("jitter=1ms:cauchy", "distributions"),
        ("mtu=20", "whole number from 68"),
        ("aqm=red", "none of droptail"),
        ("down=4s-2s", "ends before"),
        ("box=teapot", "teapot"),
        ("queue=long", "length of a queue"),
        ("state=maybe", "neither up nor down"),
    ] {
        let error = text.parse::<LinkConfig>().unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

proptest! {
    /// Whatever a link is asked to do, every packet is accounted for and it comes to rest.
    #[test]
    fn every_packet_is_accounted_for(
        loss in 0u32..30, duplicate in 0u32..30, reorder in 0u32..30, rate in 1u32..50,
        queue in 1u32..50, sizes in prop::collection::vec(20usize..1500, 1..200), seed: u64,
    ) {
        let text = format!(
            "loss={loss}% duplicate={duplicate}% reorder={reorder}%:9 rate={rate}mbit queue={queue}p delay=1ms"
        );
        let mut link = Link::new(text.parse().unwrap(), seed, Instant::ZERO).unwrap();
        for (index, size) in sizes.iter().enumerate() {
            link.push(Instant::from_micros(index as u64 * 100), Direction::Backward, numbered(0, *size));
        }
        let seen = drain(&mut link).len() as u64;
        let counted = link.counters(Direction::Backward);
        prop_assert_eq!(seen, counted.delivered);
        prop_assert_eq!(counted.received + counted.duplicated, counted.dropped() + seen);
        prop_assert_eq!(link.backlog(Direction::Backward), (0, 0));
    }
}
