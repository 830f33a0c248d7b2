use super::*;

const MISSING: u64 = 1_000_000;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// Reached, heard at (ms), after so many octets; its patience is 15 ms.
fn subflow(reached: u64, heard: u64, octets: u64) -> Deliveries {
    Deliveries { reached, octets, heard: at(heard), patience: Duration::from_millis(15) }
}

/// What becomes of it at `now` when the hole is there since 100 ms.
fn verdict(now: u64, subflows: &[Deliveries]) -> Verdict {
    judge(at(now), at(100), MISSING, subflows.iter().copied().enumerate())
}

/// Others brought what comes behind, so it is this one's.
#[test]
fn who_brought_nothing_from_behind_the_hole_owes_it() {
    let subflows = [
        subflow(MISSING + 5_000, 120, 1 << 20),
        subflow(MISSING, 101, 1 << 20),
        subflow(MISSING + 900, 121, 1 << 20),
    ];
    assert_eq!(verdict(115, &subflows), Verdict::Unclear(at(116)));
    assert_eq!(verdict(116, &subflows), Verdict::Overdue(1));
}

/// Since the hole, if it was quiet before: nothing was owed.
#[test]
fn silence_before_the_hole_means_nothing() {
    let subflows = [subflow(MISSING + 1, 110, 1 << 20), subflow(5_000, 20, 1 << 20)];
    assert_eq!(verdict(114, &subflows), Verdict::Unclear(at(115)));
    assert_eq!(verdict(115, &subflows), Verdict::Overdue(1));
}

/// While one that may owe it is heard of, it may be that one's to repair.
#[test]
fn nobody_is_blamed_while_another_may_owe_it() {
    let subflows = [
        subflow(MISSING + 1, 130, 1 << 20),
        subflow(MISSING - 7, 100, 1 << 20),
        subflow(MISSING - 9, 129, 1 << 20),
    ];
    assert_eq!(verdict(130, &subflows), Verdict::Unclear(at(144)));
    assert_eq!(verdict(144, &subflows), Verdict::Overdue(2), "it was heard of last");
}

#[test]
fn nobody_is_blamed_without_a_witness_or_an_acquaintance() {
    let silent = subflow(MISSING, 100, 1 << 20);
    assert_eq!(verdict(500, &[silent, silent]), Verdict::Unclear(at(504)), "nobody passed it");
    let young = subflow(MISSING, 100, ACQUAINTED - 1);
    let witness = subflow(MISSING + 1, 400, 1 << 20);
    assert_eq!(verdict(500, &[witness, young]), Verdict::Unclear(at(504)), "its first data");
    assert_eq!(verdict(500, &[]), Verdict::Unclear(at(504)));
}

/// Others are heard of after the first look and it is not: a machine that slept would have read both by then.
#[test]
fn the_second_look_decides() {
    let silent = subflow(MISSING, 99, 1 << 20);
    let list = |witness| [subflow(MISSING + 1, witness, 1 << 20), silent].into_iter().enumerate();
    let mut watch = Watch::default();
    watch.on_hole(at(100));
    assert_eq!(watch.poll_timeout(), Some(at(104)));
    assert_eq!(watch.look(at(104), (MISSING, false), list(104)), None);
    assert_eq!(watch.poll_timeout(), Some(at(115)));
    // it slept until then
    assert_eq!(watch.look(at(140), (MISSING, false), list(104)), None);
    assert_eq!(watch.poll_timeout(), Some(at(144)));
    watch.on_hole(at(141));
    assert_eq!(watch.look(at(144), (MISSING, false), list(104)), None, "both are silent");
    let mut closed = watch;
    assert_eq!(closed.look(at(148), (MISSING, true), list(104)), None);
    assert_eq!(closed.look(at(164), (MISSING, true), list(104)), Some(1), "the window is used up");
    assert_eq!(watch.look(at(148), (MISSING, false), list(147)), Some(1));
    assert_eq!(
        watch.look(at(152), (MISSING, false), list(150)),
        None,
        "the next one gets its time"
    );
    watch.end();
    assert_eq!(watch.poll_timeout(), None);
}

#[test]
fn data_in_order_make_another_hole() {
    let subflows = [subflow(MISSING + 1, 110, 1 << 20), subflow(MISSING, 99, 1 << 20)];
    let list = || subflows.iter().copied().enumerate();
    let mut watch = Watch::default();
    watch.on_hole(at(100));
    watch.on_progress(at(114));
    assert_eq!(watch.look(at(115), (MISSING, false), list()), None);
    assert_eq!(watch.poll_timeout(), Some(at(129)));
}

/// One that may wait for a window gets a second; the hole after it is another one's, who gets no more than its own time.
#[test]
fn patience_with_one_is_none_with_another() {
    let patient = Deliveries { patience: HELD_UP, ..subflow(MISSING, 99, 1 << 20) };
    let mut watch = Watch::default();
    watch.on_hole(at(100));
    let first =
        [patient, subflow(MISSING + 9_000, 103, 1 << 20), subflow(MISSING + 1, 103, 1 << 20)];
    assert_eq!(watch.look(at(104), (MISSING, false), first.into_iter().enumerate()), None);
    // the data came at 110, and what the third was given since does not
    watch.on_progress(at(110));
    let mut left = None;
    while let Some(now) = watch.poll_timeout().filter(|now| *now < at(150) && left.is_none()) {
        let heard = now.as_millis();
        let back = Deliveries { reached: MISSING + 20_000, heard: at(heard), ..patient };
        let second =
            [back, subflow(MISSING + 9_000, heard, 1 << 20), subflow(MISSING + 1, 103, 1 << 20)];
        left = watch.look(now, (MISSING + 1, false), second.into_iter().enumerate());
    }
    assert_eq!(left, Some(2));
}

#[test]
fn patience_doubles_and_has_an_end() {
    let ms = Duration::from_millis;
    let patience = |rtt, left| Rhythm::default().patience(rtt, (at(0), 1 << 20), left);
    assert_eq!((patience(ms(20), 0), patience(ms(40), 0)), (ms(22) + ms(1) / 2, ms(45)));
    assert_eq!((patience(ms(40), 3), patience(ms(40), 6)), (ms(360), ms(2880)));
    assert_eq!(patience(ms(40), u32::MAX), ms(2880));
    assert_eq!(patience(ms(1), 0), BUSY, "machines are busy");
}

/// It may have to wait for a window, of which it need not have heard.
#[test]
fn who_was_told_of_no_window_has_time() {
    let patience = |window| Rhythm::default().patience(Duration::ZERO, (at(0), window), 0);
    assert_eq!((patience(65_535), patience(65_536)), (HELD_UP, BUSY));
}

/// 64 KiB that came at once, then 16 KiB each 10 ms: the next packet may have 64 KiB.
#[test]
fn a_slow_path_may_have_a_long_packet_under_way() {
    let mut rhythm = Rhythm::default();
    for _ in 0..8 {
        rhythm.on_data(at(100), SUPER_SEGMENT / 8);
    }
    assert_eq!(rhythm.longest_packet(at(100)), Duration::ZERO);
    for time in [110, 120] {
        rhythm.on_data(at(time), SUPER_SEGMENT / 4);
    }
    assert_eq!(rhythm.longest_packet(at(120)), Duration::from_millis(40));
    for time in [130, 140] {
        rhythm.on_data(at(time), SUPER_SEGMENT / 4);
    }
    assert_eq!(rhythm.longest_packet(at(140)), Duration::from_millis(40));
    rhythm.on_data(at(1_000), 1);
    assert_eq!(rhythm.longest_packet(at(1_000)), Duration::from_millis(40), "a pause says nothing");
}
