use super::*;
use std::vec;
use std::vec::Vec;

const MSS: u64 = 1000;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// Segment number `n` of 1000 octets.
fn segment(n: u64) -> Range<u64> {
    n * MSS..(n + 1) * MSS
}

fn segments(first: u64, end: u64) -> Range<u64> {
    first * MSS..end * MSS
}

/// A sender with a measured RTT of 100 ms.
struct Sender {
    loss: LossRecovery,
    rtt: RttEstimator,
}

impl Sender {
    fn new(sack: bool) -> Self {
        let mut rtt = RttEstimator::new(Duration::from_millis(200), Duration::from_secs(120));
        (0..20).for_each(|_| rtt.on_sample(Duration::from_millis(100)));
        Self { loss: LossRecovery::new(MSS as u32, sack, false), rtt }
    }

    /// Sends `count` new segments, one per millisecond.
    fn send(&mut self, ms: u64, count: u64) {
        for n in 0..count {
            let nxt = self.loss.nxt();
            self.loss.on_transmit(at(ms + n), nxt..nxt + MSS, false);
        }
        self.loss.rearm(at(ms + count), &self.rtt, false);
    }

    fn retransmit(&mut self, ms: u64) -> Vec<Range<u64>> {
        let mut out = vec![];
        while let Some(range) = self.loss.next_lost(MSS) {
            self.loss.on_transmit(at(ms), range.clone(), true);
            out.push(range);
        }
        self.loss.rearm(at(ms), &self.rtt, false);
        out
    }

    fn ack(&mut self, ms: u64, una: u64, sacks: &[Range<u64>]) -> AckOutcome {
        let duplicate = una * MSS == self.loss.una();
        let outcome = self.loss.on_ack(at(ms), una * MSS, sacks, &self.rtt, duplicate);
        if let Some(sample) = outcome.rtt_sample {
            self.rtt.on_sample(sample);
        }
        if outcome.spurious {
            self.rtt.reset_backoff();
        }
        self.loss.rearm(at(ms), &self.rtt, false);
        outcome
    }

    fn fire(&mut self, expected: LossTimer) -> (u64, TimeoutOutcome) {
        let (deadline, timer) = self.loss.poll_timeout().unwrap();
        assert_eq!(timer, expected);
        let outcome = self.loss.on_timeout(deadline, timer, &mut self.rtt);
        (deadline.as_millis(), outcome)
    }
}

#[test]
fn in_order_acks_measure_and_stop_the_timers() {
    let mut s = Sender::new(true);
    assert_eq!(s.loss.poll_timeout(), None);
    s.send(0, 4);
    assert_eq!((s.loss.pipe(), s.loss.bytes_outstanding()), (4000, 4000));
    let outcome = s.ack(100, 2, &[]);
    assert_eq!((outcome.newly_acked, outcome.newly_delivered, outcome.newly_lost), (2000, 2000, 0));
    assert_eq!(outcome.rtt_sample, Some(Duration::from_millis(100)), "of the older one");
    assert!(!outcome.enter_recovery && !outcome.exit_recovery && outcome.rate.is_some());
    let outcome = s.ack(110, 4, &[]);
    assert_eq!(outcome.rtt_sample, Some(Duration::from_millis(108)));
    assert_eq!(s.loss.poll_timeout(), None, "RFC 6298 5.2");
    let outcome = s.ack(120, 9, &[]);
    assert_eq!((outcome, s.loss.una()), (AckOutcome::default(), 4000), "never beyond nxt");
}

#[test]
fn one_loss_is_found_by_the_third_segment_above_it() {
    // RFC 6675 DupThresh, as long as no reordering was seen.
    let mut s = Sender::new(true);
    s.send(0, 6);
    let first = s.ack(101, 0, &[segment(1)]);
    assert_eq!((first.newly_lost, first.newly_delivered, first.enter_recovery), (0, 1000, false));
    assert_eq!(s.loss.poll_timeout().unwrap().1, LossTimer::Reordering);
    assert_eq!(s.ack(102, 0, &[segments(1, 3)]).newly_lost, 0);
    let third = s.ack(103, 0, &[segments(1, 4)]);
    assert!(third.enter_recovery && third.newly_lost == MSS && s.loss.in_fast_recovery());
    assert_eq!((s.loss.pipe(), s.loss.sacked_bytes(), s.loss.lost_bytes()), (2000, 3000, 1000));
    assert_eq!(s.retransmit(103), [segment(0)]);
    assert_eq!((s.loss.pipe(), s.loss.next_lost(MSS)), (3000, None));
    let done = s.ack(203, 6, &[]);
    assert!(done.exit_recovery && !done.spurious && !s.loss.in_recovery());
    assert_eq!(done.newly_delivered, 3000);
    assert_eq!(done.rtt_sample, None, "acknowledged together with a retransmission (Karn)");
}

#[test]
fn reordering_within_a_quarter_of_the_round_trip_is_no_loss() {
    let mut s = Sender::new(true);
    s.send(0, 4);
    s.ack(101, 0, &[segment(1)]);
    let (deadline, timer) = s.loss.poll_timeout().unwrap();
    // Sent at 0; the RTT of the newest is 100 ms; the window 25 ms.
    assert_eq!((deadline, timer), (at(125), LossTimer::Reordering));
    let late = s.ack(110, 3, &[]);
    assert_eq!((late.newly_lost, s.loss.in_recovery()), (0, false));
    assert!(s.loss.rack.reordering_seen());
    // From now on three segments above a hole are no proof.
    s.send(120, 8);
    let outcome = s.ack(222, 4, &[segments(5, 10)]);
    assert_eq!((outcome.newly_lost, outcome.enter_recovery), (0, false));
}

#[test]
fn the_reordering_timer_finds_the_loss_when_no_further_ack_comes() {
    let mut s = Sender::new(true);
    s.send(0, 2);
    s.ack(101, 0, &[segment(1)]);
    let (ms, outcome) = s.fire(LossTimer::Reordering);
    assert_eq!((ms, outcome.newly_lost, outcome.enter_recovery), (125, 1000, true));
    assert_eq!(s.retransmit(125), [segment(0)]);
    assert!(s.ack(225, 2, &[]).exit_recovery);
}

#[test]
fn a_lost_retransmission_is_found_by_what_was_sent_after_it() {
    let mut s = Sender::new(true);
    s.send(0, 5);
    assert!(s.ack(104, 0, &[segments(1, 5)]).enter_recovery);
    assert_eq!(s.retransmit(104), [segment(0)]);
    s.send(105, 1);
    let outcome = s.ack(206, 0, &[segments(1, 6)]);
    assert_eq!((outcome.newly_lost, outcome.enter_recovery), (1000, false), "the same recovery");
    assert_eq!(s.retransmit(206), [segment(0)]);
    assert!(s.ack(306, 6, &[]).exit_recovery);
}

#[test]
fn a_lost_tail_is_probed_for() {
    let mut s = Sender::new(true);
    s.send(0, 4);
    s.ack(100, 1, &[]);
    // Segments 1 to 3 are lost. 2 * SRTT after the last ACK the probe goes out.
    let (ms, outcome) = s.fire(LossTimer::TailLossProbe);
    assert_eq!(ms, 300);
    assert_eq!(outcome.probe, Some(TailProbe { new_data: false, last_segment: segment(3) }));
    s.loss.on_transmit(at(ms), segment(3), true);
    s.loss.rearm(at(ms), &s.rtt, false);
    assert_eq!(
        s.loss.poll_timeout().unwrap(),
        (at(600), LossTimer::Retransmission),
        "one probe, then the RTO"
    );
    let outcome = s.ack(400, 1, &[segment(3)]);
    assert_eq!((outcome.newly_lost, outcome.enter_recovery), (2000, true), "far behind the probe");
    assert_eq!(s.retransmit(400), [segment(1), segment(2)]);
    assert!(s.ack(500, 4, &[]).exit_recovery);
}

#[test]
fn a_single_segment_waits_for_the_delayed_ack() {
    // RFC 8985 7.2, and never later than the RTO.
    let mut s = Sender::new(true);
    s.rtt = RttEstimator::new(Duration::from_millis(900), Duration::from_secs(120));
    (0..20).for_each(|_| s.rtt.on_sample(Duration::from_millis(100)));
    s.send(0, 1);
    assert_eq!(s.loss.poll_timeout().unwrap(), (at(400), LossTimer::TailLossProbe));
    s.rtt = RttEstimator::new(Duration::from_millis(200), Duration::from_secs(120));
    s.rtt.on_sample(Duration::from_millis(100));
    s.loss.rearm(at(1), &s.rtt, true);
    let (ms, outcome) = s.fire(LossTimer::TailLossProbe);
    assert_eq!((ms, outcome.probe.unwrap().new_data), (300, true));
}

#[test]
fn what_became_of_a_probe() {
    // RFC 8985 7.4: (ACK, blocks) after a retransmitted probe was acknowledged -> the window must shrink.
    let cases: [(&str, u64, &[Range<u64>], bool); 3] = [
        ("D-SACK: the original had arrived", 2, &[segment(1)], false),
        ("plain duplicate ACK, from a peer without D-SACK", 2, &[], false),
        ("an ACK beyond: the probe repaired a loss", 3, &[], true),
    ];
    for (name, una, sacks, repaired) in cases {
        let mut s = Sender::new(true);
        s.send(0, 2);
        let (ms, _) = s.fire(LossTimer::TailLossProbe);
        s.loss.on_transmit(at(ms), segment(1), true);
        assert!(!s.ack(ms + 100, 2, &[]).tail_loss_repaired);
        s.send(ms + 110, 1);
        let outcome = s.ack(ms + 210, una, sacks);
        assert_eq!(
            (outcome.tail_loss_repaired, outcome.enter_recovery),
            (repaired, false),
            "{name}"
        );
        assert!(!s.ack(ms + 220, 3, &[]).tail_loss_repaired, "once: {name}");
        assert_eq!(s.loss.rack.reo_wnd_mult(), 0, "{name}");
    }
}

#[test]
fn after_a_timeout_everything_is_sent_again_and_the_timer_backs_off() {
    let mut s = Sender::new(false);
    s.send(0, 4);
    let rto = s.rtt.rto();
    assert_eq!(rto, Duration::from_millis(300));
    let (ms, outcome) = s.fire(LossTimer::Retransmission);
    assert_eq!((ms, outcome.retransmission_timeout, outcome.newly_lost), (300, true, 4000));
    assert_eq!((s.loss.pipe(), s.rtt.rto(), s.loss.in_fast_recovery()), (0, rto * 2, false));
    s.loss.on_transmit(at(ms), segment(0), true);
    s.loss.rearm(at(ms), &s.rtt, false);
    let (ms, _) = s.fire(LossTimer::Retransmission);
    assert_eq!((ms, s.rtt.backoff_count(), s.loss.next_lost(10_000)), (900, 2, Some(0..4000)));
    s.retransmit(ms);
    let outcome = s.ack(1000, 2, &[]);
    assert_eq!((outcome.exit_recovery, outcome.rtt_sample, outcome.spurious), (false, None, false));
    assert!(s.ack(1001, 4, &[]).exit_recovery && s.loss.poll_timeout().is_none());
}

#[test]
fn a_timeout_proves_spurious_by_its_timestamp() {
    // Eifel, RFC 3522 3.2.
    for (echo, spurious) in [(3, true), (350, false)] {
        let mut s = Sender::new(true);
        s.send(0, 4);
        s.loss.tlp.request(); // the probe is out of the way
        s.loss.on_transmit(at(4), segment(3), true);
        s.loss.rearm(at(5), &s.rtt, false);
        let (ms, _) = s.fire(LossTimer::Retransmission);
        s.loss.on_transmit(at(ms), segment(0), true);
        s.loss.on_timestamp_echo(at(echo));
        let outcome = s.ack(ms + 20, 1, &[]);
        assert_eq!((outcome.spurious, s.loss.in_recovery()), (spurious, !spurious));
        assert_eq!(s.loss.lost_bytes(), if spurious { 0 } else { 3000 });
        assert_eq!(s.rtt.backoff_count(), u32::from(!spurious));
    }
}

#[test]
fn a_timeout_proves_spurious_when_what_was_not_sent_again_arrives() {
    // In the spirit of RFC 5682. Without SACK it could as well be a hole that was filled.
    for sack in [true, false] {
        let mut s = Sender::new(sack);
        s.send(0, 6);
        let outcome = s.loss.on_timeout(at(300), LossTimer::Retransmission, &mut s.rtt);
        assert_eq!(outcome.newly_lost, 6000);
        s.loss.on_transmit(at(300), segment(0), true);
        let outcome = s.ack(320, 2, &[]);
        assert_eq!((outcome.spurious, s.loss.in_recovery()), (sack, !sack));
        assert_eq!(s.loss.lost_bytes(), if sack { 0 } else { 4000 });
    }
}

#[test]
fn dsacks_for_all_retransmissions_prove_a_recovery_needless_and_widen_the_window() {
    // RFC 2883 4, RFC 8985 6.2 step 4
    let mut s = Sender::new(true);
    s.send(0, 8);
    assert!(s.ack(105, 0, &[segments(2, 6)]).enter_recovery);
    assert_eq!(s.retransmit(105), [segment(0), segment(1)]);
    let done = s.ack(120, 8, &[]);
    assert!(done.exit_recovery && !done.spurious, "no timestamps: nothing proves it yet");
    assert!(!s.ack(205, 8, &[segment(0)]).spurious);
    assert!(s.ack(206, 8, &[segment(1)]).spurious);
    assert_eq!(s.loss.rack.reo_wnd_mult(), 2, "each of them, nothing being in flight in between");
}

#[test]
fn a_dsack_inside_another_block_is_one() {
    assert_eq!(duplicate_block(&[5..6, 4..8], 2), Some(&(5..6)));
    assert_eq!(duplicate_block(&[1..2, 4..8], 2), Some(&(1..2)));
    assert_eq!(duplicate_block(&[4..8, 10..12], 2), None);
    assert_eq!(duplicate_block(&[], 2), None);
}

#[test]
fn a_recovery_overtaken_by_the_originals_is_spurious() {
    let mut s = Sender::new(true);
    s.send(0, 5);
    assert!(s.ack(104, 0, &[segments(1, 5)]).enter_recovery);
    let outcome = s.ack(105, 5, &[]);
    assert!(outcome.spurious && !outcome.exit_recovery && !s.loss.in_recovery());
}

#[test]
fn new_reno_repairs_one_hole_per_partial_ack() {
    // RFC 6582 3.2. Segments 0, 3 and 5 of ten are lost.
    let mut s = Sender::new(false);
    s.send(0, 10);
    assert!(!s.ack(101, 0, &[]).enter_recovery && !s.ack(102, 0, &[]).enter_recovery);
    assert_eq!(s.loss.pipe(), 8000, "two segments have left (RFC 3042)");
    let third = s.ack(104, 0, &[]);
    assert!(third.enter_recovery && third.newly_lost == MSS && third.newly_delivered == MSS);
    assert_eq!(s.retransmit(104), [segment(0)]);
    (106..110).for_each(|ms| assert_eq!(s.ack(ms, 0, &[]).newly_lost, 0));
    assert_eq!(s.loss.pipe(), 3000, "two lost ones and the retransmission");
    let partial = s.ack(204, 3, &[]);
    assert_eq!(
        (partial.newly_lost, partial.newly_delivered, partial.exit_recovery),
        (1000, 1000, false)
    );
    assert_eq!(s.retransmit(204), [segment(3)]);
    let partial = s.ack(304, 5, &[]);
    assert_eq!((partial.newly_lost, s.retransmit(304)), (1000, vec![segment(5)]));
    let full = s.ack(404, 10, &[]);
    assert!(full.exit_recovery && !full.spurious && s.loss.pipe() == 0);
    // Duplicates of what was acknowledged start nothing.
    s.send(410, 4);
    (411..415).for_each(|ms| assert!(!s.ack(ms, 10, &[]).enter_recovery));
}

#[test]
fn a_signal_of_the_layer_above_is_no_duplicate_ack() {
    // RFC 8684 3, 4 [OPT-2]
    let mut s = Sender::new(false);
    s.send(0, 10);
    for ms in 101..110 {
        let outcome = s.loss.on_ack(at(ms), 0, &[], &s.rtt, false);
        assert_eq!(outcome, AckOutcome::default());
    }
    assert_eq!(s.loss.pipe(), 10_000);
}
