use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn address(last: u16) -> IpAddr {
    IpAddr::from([10, 0, (last >> 8) as u8, last as u8])
}

fn hours(n: u64) -> Instant {
    Instant::ZERO + HOUR * n as u32
}

/// C21 [HEU-10]: an hour, two, four ... up to 64; one success and it begins anew. Others are not concerned.
#[test]
fn a_blackhole_is_avoided_for_longer_each_time() {
    let mut known = Destinations::new(8, HOUR);
    let (bad, good) = (address(1), address(2));
    let mut now = Instant::ZERO;
    for expected in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
        known.learn(now, bad, Lesson::Blackhole);
        let end = now + HOUR * expected;
        assert!(known.is_blackholed(end - Duration::from_millis(1), bad), "{expected}");
        assert!(!known.is_blackholed(end, bad), "{expected}");
        assert!(!known.is_blackholed(now, good));
        now = end;
    }
    known.learn(now, bad, Lesson::Reached);
    known.learn(now, bad, Lesson::Blackhole);
    assert!(!known.is_blackholed(now + HOUR, bad));
}

/// A timeout of 0 switches the memory off.
#[test]
fn it_can_be_switched_off() {
    let mut known = Destinations::new(8, Duration::ZERO);
    known.learn(hours(1), address(1), Lesson::Blackhole);
    assert!(!known.is_blackholed(hours(1), address(1)));
    let mut none = Destinations::new(0, HOUR);
    none.learn(hours(1), address(1), Lesson::Blackhole);
    assert!(!none.is_blackholed(hours(1), address(1)));
}

/// The table is bounded; the one used longest ago goes first.
#[test]
fn memory_is_bounded() {
    let mut known = Destinations::new(16, HOUR);
    for last in 0..1_000 {
        known.learn(Instant::ZERO, address(0), Lesson::Blackhole);
        known.learn(Instant::ZERO, address(last), Lesson::Blackhole);
        assert!(known.table.len() <= 16);
    }
    assert!(known.is_blackholed(Instant::ZERO, address(0)), "used all the time");
    assert!(known.is_blackholed(Instant::ZERO, address(999)));
    assert!(!known.is_blackholed(Instant::ZERO, address(1)));
}
