//! Coupled algorithms against the exact values of their formulas, against Reno, and against each other.

use super::window::{Own, Policy};
use super::*;
use crate::config::CongestionAlgorithm as Algorithm;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const MSS: u64 = 1000;

/// A path: window in segments, RTT in milliseconds.
type PathValues = (u64, u64);

fn own((window, rtt): PathValues) -> Own {
    Own { cwnd: window * MSS, srtt: Duration::from_millis(rtt), mss: MSS }
}

fn sibling((window, rtt): PathValues) -> SiblingView {
    let rtt = Duration::from_millis(rtt);
    SiblingView {
        cwnd: window * MSS,
        ssthresh: window * MSS,
        srtt: rtt,
        min_rtt: rtt,
        mss: MSS as u32,
        ..SiblingView::default()
    }
}

fn others(paths: &[PathValues], index: usize) -> Vec<SiblingView> {
    let mut all: Vec<_> = paths.iter().map(|p| sibling(*p)).collect();
    all.remove(index);
    all
}

/// Segments an ACK of one segment adds on the path at `index`.
fn increase(policy: &impl Policy, paths: &[PathValues], index: usize) -> f64 {
    policy.gain(&own(paths[index]), &others(paths, index)) / paths[index].0 as f64
}

/// Octets (thousandths of a segment) a loss takes from the path at `index`.
fn decrease(policy: &impl Policy, paths: &[PathValues], index: usize) -> u64 {
    let own = own(paths[index]);
    own.cwnd - policy.remaining(&own, &others(paths, index))
}

#[track_caller]
fn assert_ratio(value: f64, (numerator, denominator): (i64, i64)) {
    let exact = numerator as f64 / denominator as f64;
    assert!((value - exact).abs() < 1e-15, "{value} is not {numerator}/{denominator}");
}

#[test]
fn lia_vectors_of_rfc_6356() {
    for (paths, expected) in [
        (&[(10, 100), (10, 100)][..], (1, 40)),
        (&[(10, 100); 4], (1, 160)),
        (&[(10, 50), (30, 50)], (3, 160)),
        (&[(10, 100)], (1, 10)),
        (&[(7, 33)], (1, 7)),
    ] {
        for index in 0..paths.len() {
            assert_ratio(increase(&lia::Lia, paths, index), expected);
        }
    }
    // The minimum binds where the path alone would grow faster than TCP: a = 10/21 of w_total there.
    let paths = [(1, 10), (100, 1000)];
    assert_ratio(increase(&lia::Lia, &paths, 1), (1, 100));
    assert_eq!(decrease(&lia::Lia, &[(10, 100), (30, 100)], 1), 15_000);
}

/// OLIA on the paths with these intervals between losses, in octets.
fn olia_increases(paths: &[PathValues], intervals: &[u64]) -> Vec<f64> {
    let controllers: Vec<_> = intervals
        .iter()
        .map(|l| {
            let mut controller = olia::Olia::default();
            controller.on_delivered(*l);
            controller
        })
        .collect();
    let mut views: Vec<_> = paths.iter().map(|p| sibling(*p)).collect();
    views.iter_mut().zip(&controllers).for_each(|(view, c)| c.tell(view));
    (0..paths.len())
        .map(|index| {
            let mut others = views.clone();
            others.remove(index);
            controllers[index].gain(&own(paths[index]), &others) / paths[index].0 as f64
        })
        .collect()
}

#[test]
fn olia_vectors_of_the_draft() {
    for (paths, intervals, expected) in [
        ([(10, 100), (10, 100)], [50_000, 50_000], [(1, 40), (1, 40)]),
        ([(10, 100), (30, 100)], [60_000, 30_000], [(9, 160), (1, 480)]),
        ([(10, 100), (30, 100)], [30_000, 60_000], [(1, 160), (3, 160)]),
    ] {
        for (value, expected) in olia_increases(&paths, &intervals).into_iter().zip(expected) {
            assert_ratio(value, expected);
        }
    }
    // The best path is the one of the best l / r^2: a quarter of the RTT makes up for a tenth of l.
    let [near, far] = olia_increases(&[(10, 50), (30, 200)], &[30_000, 300_000])[..] else {
        panic!("two paths");
    };
    assert!(near > 1.0 / 40.0 && far < 0.0, "{near} {far}");
    assert_eq!(decrease(&olia::Olia::default(), &[(10, 100), (30, 100)], 1), 15_000);
}

#[test]
fn olia_remembers_the_interval_between_losses() {
    let interval = |olia: &olia::Olia| {
        let mut view = SiblingView::default();
        olia.tell(&mut view);
        view.loss_interval
    };
    let mut olia = olia::Olia::default();
    olia.on_delivered(5000);
    olia.on_loss();
    assert_eq!(interval(&olia), 5000, "between the last two");
    olia.on_delivered(2000);
    assert_eq!(interval(&olia), 5000);
    olia.on_delivered(4000);
    assert_eq!(interval(&olia), 6000, "since the last");
    olia.on_loss();
    olia.on_loss();
    assert_eq!(interval(&olia), 6000, "a second loss without progress is the same one");
}

#[test]
fn balia_vectors_of_the_draft() {
    let equal = [(10, 100), (10, 100)];
    assert_ratio(increase(&balia::Balia, &equal, 0), (1, 40));
    assert_eq!(decrease(&balia::Balia, &equal, 0), 5000);
    let unequal = [(10, 50), (30, 50)];
    assert_ratio(increase(&balia::Balia, &unequal, 0), (7, 400));
    assert_ratio(increase(&balia::Balia, &unequal, 1), (3, 160));
    assert_eq!(decrease(&balia::Balia, &unequal, 0), 7500, "alpha = 3, but no more than 3/4");
    assert_eq!(decrease(&balia::Balia, &unequal, 1), 15_000);
    assert_eq!(decrease(&balia::Balia, &[(8, 50), (10, 50)], 0), 5000, "alpha = 5/4");
}

#[test]
fn ewtcp_and_coupled_vectors() {
    let paths = [(10, 100), (30, 50)];
    assert_ratio(increase(&ewtcp::Ewtcp, &paths, 0), (1, 40));
    assert_ratio(increase(&ewtcp::Ewtcp, &paths, 1), (1, 120));
    assert_eq!(decrease(&ewtcp::Ewtcp, &paths, 1), 15_000);
    for index in 0..2 {
        assert_ratio(increase(&coupled::Coupled, &paths, index), (1, 40));
    }
    assert_eq!(decrease(&coupled::Coupled, &paths, 1), 2_0000, "half of the total window");
    assert_eq!(decrease(&coupled::Coupled, &paths, 0), 9000, "down to one segment");
    assert_eq!(decrease(&coupled::Coupled, &[(10, 100)], 0), 5000);
}

#[test]
fn increases_add_up_over_acks_and_bytes() {
    // 40 ACKs of one segment or 10 of four: one segment more, on two equal paths of ten.
    let view = [sibling((10, 100))];
    let coupled = CoupledView { others: &view };
    for (acks, octets) in [(40, MSS), (10, 4 * MSS), (1, 40 * MSS)] {
        let mut cc = new(Algorithm::Lia, MSS as u32);
        enter_avoidance(&mut *cc, 10 * MSS);
        for n in 1..=acks {
            assert_eq!(cc.window(), 10 * MSS, "before ACK {n} of {acks}");
            cc.on_ack(&ack(Instant::ZERO, octets), &coupled);
        }
        assert_eq!(cc.window(), 11 * MSS, "{acks} ACKs of {octets}");
    }
}

fn ack(now: Instant, octets: u64) -> AckSample {
    let rtt = Some(Duration::from_millis(100));
    AckSample {
        now,
        newly_acked: octets,
        newly_delivered: octets,
        newly_lost: 0,
        in_flight: 0,
        in_flight_before: octets,
        srtt: rtt,
        min_rtt: rtt,
        rtt_latest: rtt,
        cwnd_limited: true,
        in_recovery: false,
        rate: None,
    }
}

/// Congestion avoidance with this window, in whole segments: slow start to twice as much, and a loss.
fn enter_avoidance(cc: &mut dyn CongestionControl, window: u64) {
    cc.on_ack(&ack(Instant::ZERO, 2 * window - cc.window()), &CoupledView::NONE);
    let srtt = Some(Duration::from_millis(100));
    cc.on_congestion(
        &CongestionEvent { now: Instant::ZERO, flight: 2 * window, pipe: 0, srtt },
        &CoupledView::NONE,
    );
    cc.on_recovery_exit(Instant::ZERO);
    assert_eq!((cc.window(), cc.ssthresh()), (window, window));
}

/// Those that are Reno when there is nothing to couple with.
const LIKE_RENO: [Algorithm; 5] =
    [Algorithm::Lia, Algorithm::Olia, Algorithm::Balia, Algorithm::Ewtcp, Algorithm::Coupled];

#[derive(Clone, Copy, Debug)]
enum Step {
    Ack(u64, bool),
    Loss,
    Timeout,
    Exit,
    Undo,
    Idle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (1..20_000u64, prop::bool::weighted(0.9)).prop_map(|(a, l)| Step::Ack(a, l)),
        2 => Just(Step::Loss),
        1 => Just(Step::Timeout),
        2 => Just(Step::Exit),
        1 => Just(Step::Undo),
        1 => Just(Step::Idle),
    ];
    prop::collection::vec(step, 0..300)
}

fn take(cc: &mut dyn CongestionControl, step: Step, coupled: &CoupledView<'_>) {
    let now = Instant::ZERO;
    let srtt = Some(Duration::from_millis(100));
    let event = CongestionEvent { now, flight: cc.window(), pipe: 0, srtt };
    match step {
        Step::Ack(octets, cwnd_limited) => {
            cc.on_ack(&AckSample { cwnd_limited, ..ack(now, octets) }, coupled);
        }
        Step::Loss => cc.on_congestion(&event, coupled),
        Step::Timeout => cc.on_retransmission_timeout(&event, coupled),
        Step::Exit => cc.on_recovery_exit(now),
        Step::Undo => cc.undo(),
        Step::Idle => cc.on_idle_restart(Duration::from_secs(2), Duration::from_secs(1)),
    }
}

fn siblings() -> impl Strategy<Value = Vec<SiblingView>> {
    let view = (1..500u64, 1..1_000_000u64, 0..10_000_000u64, any::<bool>(), 0..10_000_000u64);
    let view = view.prop_map(|(window, micros, loss_interval, slow, rate)| SiblingView {
        srtt: Duration::from_micros(micros),
        ssthresh: if slow { u64::MAX } else { window * MSS },
        loss_interval,
        equilibrium_rate: rate,
        ..sibling((window, 1))
    });
    prop::collection::vec(view, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn alone_each_is_reno_to_the_octet(steps in steps(), mss in 100u32..9000) {
        let mut reno = new(Algorithm::NewReno, mss);
        let mut all = LIKE_RENO.map(|a| new(a, mss));
        for step in steps {
            take(&mut *reno, step, &CoupledView::NONE);
            for cc in &mut all {
                take(&mut **cc, step, &CoupledView::NONE);
                prop_assert_eq!((cc.window(), cc.ssthresh()), (reno.window(), reno.ssthresh()), "{}", cc.name());
            }
        }
    }

    #[test]
    fn the_window_stays_between_one_segment_and_slow_start(steps in steps(), others in siblings()) {
        let coupled = CoupledView { others: &others };
        for algorithm in LIKE_RENO.into_iter().chain([Algorithm::Wvegas]) {
            let mut cc = new(algorithm, MSS as u32);
            for step in &steps {
                let (before, threshold) = (cc.window(), cc.ssthresh());
                take(&mut *cc, *step, &coupled);
                let least = if matches!(step, Step::Timeout) || before < 2 * MSS || algorithm == Algorithm::Coupled {
                    MSS
                } else {
                    2 * MSS
                };
                prop_assert!(cc.window() >= least, "{} {step:?}: {}", cc.name(), cc.window());
                prop_assert!(cc.ssthresh() >= least.min(2 * MSS));
                if let Step::Ack(octets, limited) = *step {
                    // the threshold's part of a segment is due where slow start ends
                    let part = if before < threshold { MSS } else { 0 };
                    let most = if limited { octets.max(MSS) + part } else { 0 };
                    prop_assert!(cc.window() <= before + most, "{} {step:?}", cc.name());
                }
            }
        }
    }

    #[test]
    fn lia_is_nowhere_more_aggressive_than_reno(window in 1..500u64, rtt in 1..2000u64, others in siblings()) {
        let gain = lia::Lia.gain(&own((window, rtt)), &others);
        prop_assert!(gain > 0.0 && gain <= 1.0, "{gain}");
    }

    #[test]
    fn gains_are_finite_and_bounded(window in 1..500u64, rtt in 0..2000u64, others in siblings()) {
        let own = own((window, rtt));
        for gain in [
            olia::Olia::default().gain(&own, &others),
            balia::Balia.gain(&own, &others),
            ewtcp::Ewtcp.gain(&own, &others),
            coupled::Coupled.gain(&own, &others),
        ] {
            prop_assert!((-0.5..=1.5).contains(&gain), "{gain}");
        }
    }

    /// RFC 6356 goal 2: on a shared bottleneck n equal paths are one TCP.
    #[test]
    fn equal_paths_together_grow_as_one(n in 1..8usize, window in 2..200u64, rtt in 1..1000u64) {
        let paths = vec![(window, rtt); n];
        let total = (n as u64 * window) as f64;
        let per_ack = [
            increase(&lia::Lia, &paths, 0),
            increase(&balia::Balia, &paths, 0),
            olia_increases(&paths, &vec![50_000; n])[0],
        ];
        for increase in per_ack {
            // The ACKs of one round trip: 1/n of a segment in all. A loss takes w_total / 2n, 1/n of TCP's, too, so
            // the total window is that of one TCP.
            let per_round = increase * total;
            prop_assert!((per_round - 1.0 / n as f64).abs() < 1e-9, "{per_round}");
        }
        prop_assert!((increase(&coupled::Coupled, &paths, 0) * total - 1.0).abs() < 1e-9);
    }
}
