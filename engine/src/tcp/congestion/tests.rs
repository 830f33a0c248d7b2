use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const MSS: u64 = 1000;
const RTT: Duration = Duration::from_millis(100);

fn sample(now: Instant, acked: u64, cwnd: u64) -> AckSample {
    AckSample {
        now,
        newly_acked: acked,
        newly_delivered: acked,
        newly_lost: 0,
        in_flight: 0,
        in_flight_before: cwnd,
        srtt: Some(RTT),
        min_rtt: Some(RTT),
        rtt_latest: Some(RTT),
        cwnd_limited: true,
        in_recovery: false,
        rate: None,
    }
}

/// One round trip in which the whole window is acknowledged, one segment at a time.
fn round(cc: &mut dyn CongestionControl, now: &mut Instant, rtt: Duration) {
    let acks = (cc.window() / MSS).max(1);
    for _ in 0..acks {
        *now += rtt / u32::try_from(acks).unwrap();
        let ack =
            AckSample { srtt: Some(rtt), rtt_latest: Some(rtt), ..sample(*now, MSS, acks * MSS) };
        cc.on_ack(&ack, &CoupledView::NONE);
    }
}

fn loss(now: Instant, flight: u64) -> CongestionEvent {
    CongestionEvent { now, flight, pipe: 0, srtt: Some(RTT) }
}

fn reno() -> Box<dyn CongestionControl> {
    new(CongestionAlgorithm::NewReno, MSS as u32)
}

fn both() -> [Box<dyn CongestionControl>; 2] {
    [CongestionAlgorithm::NewReno, CongestionAlgorithm::Cubic].map(|a| new(a, MSS as u32))
}

#[test]
fn initial_window_follows_rfc_6928() {
    for (mss, window) in
        [(536, 5360), (1000, 10_000), (1460, 14_600), (2000, 14_600), (9000, 18_000)]
    {
        for name in CongestionAlgorithm::NAMES {
            let cc = new(CongestionAlgorithm::from_name(name).unwrap(), mss);
            assert_eq!((cc.window(), cc.name()), (window, *name));
        }
    }
}

#[test]
fn slow_start_doubles_and_only_a_used_window_grows() {
    for mut cc in both() {
        let mut now = Instant::from_millis(1);
        round(&mut *cc, &mut now, RTT);
        round(&mut *cc, &mut now, RTT);
        assert_eq!(cc.window(), 40_000, "{}", cc.name());
        let idle = AckSample { cwnd_limited: false, ..sample(now, MSS, MSS) };
        (0..100).for_each(|_| cc.on_ack(&idle, &CoupledView::NONE));
        assert_eq!(cc.window(), 40_000);
    }
}

#[test]
fn reno_adds_one_segment_per_round_trip() {
    let mut cc = reno();
    let mut now = Instant::ZERO;
    cc.on_congestion(&loss(now, 20_000), &CoupledView::NONE);
    assert_eq!(
        (cc.window(), cc.ssthresh()),
        (5000, 5000),
        "half of the window, which bounds the flight"
    );
    round(&mut *cc, &mut now, RTT);
    assert_eq!(cc.window(), 5000, "the window stands still in fast recovery");
    cc.on_recovery_exit(now);
    for n in 1..20 {
        round(&mut *cc, &mut now, RTT);
        assert_eq!(cc.window(), 5000 + n * MSS);
    }
}

#[test]
fn a_timeout_means_one_segment_and_repeated_ones_keep_the_threshold() {
    for (mut cc, ssthresh) in both().into_iter().zip([5000, 7000]) {
        cc.on_retransmission_timeout(&loss(Instant::ZERO, 10_000), &CoupledView::NONE);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, ssthresh));
        cc.on_retransmission_timeout(&loss(Instant::from_millis(1000), MSS), &CoupledView::NONE);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, ssthresh), "{}", cc.name());
        // Slow start back to the threshold, although recovery is still under way.
        let mut now = Instant::from_millis(2000);
        (0..3).for_each(|_| round(&mut *cc, &mut now, RTT));
        assert!(cc.window() >= ssthresh && cc.window() < ssthresh + 2 * MSS);
        cc.on_retransmission_timeout(&loss(now, 8000), &CoupledView::NONE);
        assert!(cc.ssthresh() < ssthresh, "progress was made: a new loss");
    }
}

#[test]
fn undo_gives_back_window_and_threshold() {
    for mut cc in both() {
        let mut now = Instant::from_millis(1);
        (0..3).for_each(|_| round(&mut *cc, &mut now, RTT));
        let before = (cc.window(), cc.ssthresh());
        cc.on_congestion(&loss(now, 80_000), &CoupledView::NONE);
        assert!(cc.window() < before.0);
        cc.undo();
        assert_eq!((cc.window(), cc.ssthresh()), before);
        cc.on_retransmission_timeout(&loss(now, 80_000), &CoupledView::NONE);
        cc.on_retransmission_timeout(&loss(now + RTT, 1000), &CoupledView::NONE);
        cc.undo();
        assert_eq!((cc.window(), cc.ssthresh()), before, "{}", cc.name());
        cc.undo();
        assert_eq!((cc.window(), cc.ssthresh()), before, "once");
    }
}

#[test]
fn a_pause_longer_than_the_rto_restarts_from_the_initial_window() {
    for mut cc in both() {
        let mut now = Instant::from_millis(1);
        (0..3).for_each(|_| round(&mut *cc, &mut now, RTT));
        cc.on_congestion(&loss(now, 80_000), &CoupledView::NONE);
        cc.on_recovery_exit(now);
        let window = cc.window();
        cc.on_idle_restart(RTT, RTT * 3);
        assert_eq!(cc.window(), window);
        cc.on_idle_restart(RTT * 4, RTT * 3);
        assert_eq!((cc.window(), cc.ssthresh()), (10_000, window));
        cc.set_mss(500);
        assert_eq!(cc.window(), 5000);
    }
}

/// A window's worth of ACKs close together at the end of the round: the pipe is far from full.
fn burst(cc: &mut dyn CongestionControl, now: &mut Instant, rtt: Duration) {
    let acks = (cc.window() / MSS).max(1);
    *now += rtt;
    for n in 0..acks {
        let at = *now + Duration::from_micros(10 * n);
        let ack =
            AckSample { srtt: Some(rtt), rtt_latest: Some(rtt), ..sample(at, MSS, acks * MSS) };
        cc.on_ack(&ack, &CoupledView::NONE);
    }
}

#[test]
fn an_ack_train_of_half_the_rtt_ends_slow_start() {
    let mut cc = Cubic::new(MSS as u32);
    let mut now = Instant::from_millis(1);
    (0..3).for_each(|_| burst(&mut cc, &mut now, RTT));
    assert_eq!((cc.window(), cc.ssthresh()), (80_000, u64::MAX));
    // 80 ACKs over 100 ms: 1.25 ms apart, and the RTT has not risen at all.
    round(&mut cc, &mut now, RTT);
    assert!(cc.ssthresh() < 140_000, "{cc:?}");
}

/// A pause in the middle of a round hides nothing: what follows is as long a train.
#[test]
fn a_train_begins_anew_after_a_pause() {
    let mut cc = Cubic::new(MSS as u32);
    let mut now = Instant::from_millis(1);
    (0..4).for_each(|_| burst(&mut cc, &mut now, RTT));
    assert_eq!((cc.window(), cc.ssthresh()), (160_000, u64::MAX));
    now += RTT;
    for n in 0..120 {
        // 20 ACKs, 5 ms without any, then one a millisecond
        now += Duration::from_millis(if n == 20 { 5 } else { 1 });
        let ack =
            AckSample { srtt: Some(RTT), rtt_latest: Some(RTT), ..sample(now, MSS, 160 * MSS) };
        cc.on_ack(&ack, &CoupledView::NONE);
    }
    // half an RTT after the pause
    let grown = 160_000 + 20 * MSS + 51 * MSS;
    assert!((grown - 3 * MSS..=grown + 3 * MSS).contains(&cc.ssthresh()), "{cc:?}");
}

#[test]
fn hystart_leaves_slow_start_when_the_delay_rises_and_not_before() {
    let mut cc = Cubic::new(MSS as u32);
    let mut now = Instant::from_millis(1);
    let round = burst;
    (0..3).for_each(|_| round(&mut cc, &mut now, RTT));
    assert_eq!((cc.window(), cc.ssthresh()), (80_000, u64::MAX));
    // Up by more than an eighth, capped at 16 ms: conservative slow start, a quarter of the growth.
    let queued = RTT + Duration::from_millis(20);
    round(&mut cc, &mut now, queued);
    let window = cc.window();
    assert!((100_000..120_000).contains(&window), "{window}");
    // The queue was a passing one: slow start goes on.
    round(&mut cc, &mut now, RTT);
    assert!(cc.window() > window * 17 / 10, "{}", cc.window());
    // It stays: five rounds later congestion avoidance begins.
    (0..6).for_each(|_| round(&mut cc, &mut now, queued));
    assert!(cc.ssthresh() <= cc.window(), "{cc:?}");
}

/// RFC 9438 4.2 to 4.4 in floating point, per ACK, in segments and seconds.
struct FloatCubic {
    cwnd: f64,
    w_max: f64,
    start: f64,
    epoch: f64,
    k: f64,
    estimate: f64,
    prior: f64,
}

impl FloatCubic {
    fn after_loss(cwnd: f64, w_max_before: f64, now: f64) -> Self {
        let w_max = if cwnd < w_max_before { cwnd * 0.85 } else { cwnd };
        let start = cwnd * 0.7;
        let k = ((w_max - start).max(0.0) / 0.4).cbrt();
        Self {
            cwnd: start,
            w_max: w_max.max(start),
            start: now,
            epoch: start,
            k,
            estimate: start,
            prior: cwnd,
        }
    }

    fn curve(&self, t: f64) -> f64 {
        0.4 * (t - self.k).powi(3) + self.w_max
    }

    fn ack(&mut self, now: f64, rtt: f64) {
        let t = now - self.start;
        let alpha = if self.estimate < self.prior { 3.0 * 0.3 / 1.7 } else { 1.0 };
        self.estimate += alpha / self.cwnd;
        if self.curve(t) < self.estimate {
            self.cwnd = self.cwnd.max(self.estimate);
        } else {
            let target = self.curve(t + rtt).clamp(self.cwnd, 1.5 * self.cwnd);
            self.cwnd += (target - self.cwnd) / self.cwnd;
        }
        assert!(self.epoch <= self.cwnd);
    }
}

/// A window of `segments` segments reached in slow start.
fn cubic_at(segments: u64, now: Instant) -> Cubic {
    let mut cc = Cubic::new(MSS as u32);
    let grow = segments * MSS - cc.window();
    cc.on_ack(&sample(now, grow, grow), &CoupledView::NONE);
    assert_eq!(cc.window(), segments * MSS);
    cc
}

#[test]
fn cubic_follows_the_curve_of_rfc_9438() {
    // (window at the loss, RTT in ms): Reno-friendly for small and short, concave and convex for long and fat.
    for (segments, rtt_ms) in [(20, 10), (100, 100), (1000, 100), (500, 300), (50, 50)] {
        let rtt = Duration::from_millis(rtt_ms);
        let mut now = Instant::from_millis(1000);
        let mut cc = cubic_at(segments, now);
        cc.on_congestion(&loss(now, segments * MSS), &CoupledView::NONE);
        cc.on_recovery_exit(now);
        let mut model: Option<FloatCubic> = None;
        for n in 0..150 {
            let acks = cc.window() / MSS;
            for _ in 0..acks {
                now += rtt / u32::try_from(acks).unwrap();
                let seconds = now.as_nanos() as f64 / 1e9;
                cc.on_ack(
                    &AckSample { srtt: Some(rtt), ..sample(now, MSS, acks * MSS) },
                    &CoupledView::NONE,
                );
                let model = model
                    .get_or_insert_with(|| FloatCubic::after_loss(segments as f64, 0.0, seconds));
                model.ack(seconds, rtt.as_secs_f64());
            }
            let want = model.as_ref().map_or(0.0, |m| m.cwnd) * MSS as f64;
            let error = (cc.window() as f64 - want).abs() / want;
            assert!(
                error < 0.002,
                "round {n} of {segments}/{rtt_ms}: {} against {want}",
                cc.window()
            );
        }
    }
}

#[test]
fn cubic_comes_back_to_its_plateau_after_k_seconds() {
    // K = cbrt(W_max (1 - beta) / C) = cbrt(1000 * 0.3 / 0.4) = 9.09 s.
    let mut now = Instant::from_millis(1000);
    let mut cc = cubic_at(1000, now);
    cc.on_congestion(&loss(now, 1_000_000), &CoupledView::NONE);
    assert_eq!(cc.window(), 700_000);
    cc.on_recovery_exit(now);
    let start = now;
    let mut windows = Vec::new();
    while now.saturating_since(start) < Duration::from_secs(9) {
        round(&mut cc, &mut now, RTT);
        windows.push(cc.window());
    }
    assert!((990_000..=1_000_000).contains(&cc.window()), "{}", cc.window());
    assert!(windows[10] - windows[0] > windows[80] - windows[70], "concave: fast first");
    // Fast convergence: a loss below the old plateau lowers the next one.
    cc.on_congestion(&loss(now, cc.window()), &CoupledView::NONE);
    assert_eq!(
        cc.ssthresh(),
        windows[windows.len() - 1] / 10 * 7 + windows[windows.len() - 1] % 10 * 7 / 10
    );
}

#[test]
fn time_without_use_of_the_window_does_not_count() {
    let mut now = Instant::from_millis(1000);
    let mut cc = cubic_at(1000, now);
    cc.on_congestion(&loss(now, 1_000_000), &CoupledView::NONE);
    cc.on_recovery_exit(now);
    round(&mut cc, &mut now, RTT);
    let window = cc.window();
    for _ in 0..100 {
        now += RTT;
        cc.on_ack(&AckSample { cwnd_limited: false, ..sample(now, MSS, MSS) }, &CoupledView::NONE);
    }
    round(&mut cc, &mut now, RTT);
    let grown = cc.window() - window;
    assert!(grown < 15_000, "no burst after ten quiet seconds: {grown}");
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Ack(u64, u64, bool),
    Congestion,
    Timeout,
    Exit,
    Undo,
    Idle,
    Mss(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0u64..1 << 40, 0u64..10_000, any::<bool>()).prop_map(|(a, ms, l)| Event::Ack(a, ms, l)),
        2 => (0u64..100_000, 0u64..100, any::<bool>()).prop_map(|(a, ms, l)| Event::Ack(a, ms, l)),
        1 => Just(Event::Congestion),
        1 => Just(Event::Timeout),
        1 => Just(Event::Exit),
        1 => Just(Event::Undo),
        1 => Just(Event::Idle),
        1 => any::<u32>().prop_map(Event::Mss),
    ];
    prop::collection::vec(event, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_window_never_vanishes_and_nothing_overflows(events in events(), mss: u32) {
        for algorithm in [CongestionAlgorithm::NewReno, CongestionAlgorithm::Cubic] {
            let mut cc = new(algorithm, mss);
            let mut now = Instant::ZERO;
            for event in &events {
                match *event {
                    Event::Ack(acked, ms, cwnd_limited) => {
                        now += Duration::from_millis(ms);
                        let ack = AckSample { cwnd_limited, ..sample(now, acked, acked) };
                        let before = cc.window();
                        cc.on_ack(&ack, &CoupledView::NONE);
                        prop_assert!(cc.window() >= before);
                    }
                    Event::Congestion => cc.on_congestion(&loss(now, cc.window()), &CoupledView::NONE),
                    Event::Timeout => cc.on_retransmission_timeout(&loss(now, cc.window()), &CoupledView::NONE),
                    Event::Exit => cc.on_recovery_exit(now),
                    Event::Undo => cc.undo(),
                    Event::Idle => cc.on_idle_restart(RTT * 10, RTT),
                    Event::Mss(mss) => cc.set_mss(mss),
                }
                prop_assert!(cc.window() >= 1 && cc.ssthresh() >= 2);
            }
        }
    }
}
