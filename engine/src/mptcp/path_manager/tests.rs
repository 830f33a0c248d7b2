use super::*;
use crate::error::SubflowError;
use std::vec::Vec;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn first() -> FourTuple {
    FourTuple {
        local: SocketAddr::new(ip(1), 40_000),
        remote: SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 7_000),
    }
}

fn endpoint(address: IpAddr) -> LocalEndpoint {
    let IpAddr::V4(v4) = address else { panic!("IPv4 only") };
    let id = AddressId(v4.octets()[3]);
    let flags = EndpointFlags { subflow: true, ..EndpointFlags::default() };
    LocalEndpoint { address, id, port: None, flags, implicit: true, presence: Presence::Here }
}

/// An announcement; without a port, that of the first subflow. True when it is news.
fn announce(pm: &mut PathManager, id: u8, address: IpAddr, port: Option<u16>) -> bool {
    let now = Instant::from_millis(1_000);
    pm.on_announced(now, AddressId(id), address, port.unwrap_or(7_000)) == Verdict::News
}

fn joins(pm: &mut PathManager, locals: &[IpAddr]) -> Vec<(IpAddr, SocketAddr)> {
    let config = ConnectionConfig::default();
    let locals: Vec<_> = locals.iter().map(|address| endpoint(*address)).collect();
    let now = Instant::from_millis(1_000);
    let mut existing = Vec::from([first()]);
    let mut out = Vec::new();
    while let Some(t) = pm.next_join(now, &config, Limits::default(), &locals, &existing) {
        existing.push(FourTuple { local: SocketAddr::new(t.local, 1), remote: t.remote });
        out.push((t.local, t.remote));
        assert!(out.len() < 20, "a target was named twice");
    }
    out
}

#[test]
fn three_addresses_on_both_sides_make_three_subflows() {
    let mut pm = PathManager::new(first(), true, &[]);
    pm.start(Instant::ZERO, None, Some(u16::MAX));
    assert!(announce(&mut pm, 1, IpAddr::from([192, 0, 2, 2]), None));
    assert!(announce(&mut pm, 2, IpAddr::from([192, 0, 2, 3]), None));
    let made = joins(&mut pm, &[ip(1), ip(2), ip(3)]);
    assert_eq!(made.len(), 2);
    assert_eq!(made[0], (ip(2), SocketAddr::from(([192, 0, 2, 2], 7_000))));
    assert_eq!(made[1], (ip(3), SocketAddr::from(([192, 0, 2, 3], 7_000))));
}

/// RFC 8684 3.9.2 [HEU-7]: they wait first.
#[test]
fn unpaired_local_addresses_join_the_first_remote_after_the_grace() {
    let mut pm = PathManager::new(first(), true, &[]);
    pm.start(Instant::ZERO, None, Some(u16::MAX));
    let locals = [ip(1), ip(2), ip(3)];
    assert!(joins(&mut pm, &locals).is_empty());
    pm.on_timeout(Instant::ZERO + MAX_GRACE);
    assert_eq!(joins(&mut pm, &locals).len(), 2);
}

/// [HEU-7]: the wait is random, and between one and a half and three round-trip times.
#[test]
fn the_grace_is_random_within_bounds() {
    let wait = |rtt: u64, random: u16| {
        let mut pm = PathManager::new(first(), true, &[]);
        pm.start(Instant::ZERO, Some(Duration::from_millis(rtt)), Some(random));
        pm.grace_until.expect("a wait").as_millis()
    };
    assert_eq!([0, u16::MAX / 2, u16::MAX].map(|random| wait(20, random)), [30, 44, 60]);
    assert_eq!([0, u16::MAX].map(|random| wait(1, random)), [10, 10]);
    assert_eq!([0, u16::MAX].map(|random| wait(1_000, random)), [125, 250]);
}

/// A peer sends one announcement at a time (K28): after one, the next gets its time, but not for ever.
#[test]
fn an_announcement_renews_the_grace_within_bounds() {
    let mut pm = PathManager::new(first(), true, &[]);
    pm.start(Instant::ZERO, None, Some(0));
    let mut now = Instant::ZERO;
    for number in 1..=9u8 {
        let address = IpAddr::from([192, 0, 2, number]);
        pm.on_announced(now, AddressId(number), address, 443);
        let until = pm.grace_until.expect("a wait");
        assert_eq!(until, (now + NEXT_GRACE).min(Instant::ZERO + MAX_GRACE), "{number}");
        now = until - Duration::from_millis(10);
    }
    assert!(now > Instant::ZERO + Duration::from_millis(200));
}

#[test]
fn a_single_local_address_reaches_every_announced_one() {
    let mut pm = PathManager::new(first(), true, &[]);
    announce(&mut pm, 1, IpAddr::from([192, 0, 2, 2]), Some(443));
    assert_eq!(joins(&mut pm, &[ip(1)]), [(ip(1), SocketAddr::from(([192, 0, 2, 2], 443)))]);
}

/// RFC 8684 3.1 [INI-20]: flag C forbids joins to the first address and port, not to others.
#[test]
fn flag_c_is_obeyed() {
    let mut pm = PathManager::new(first(), true, &[]);
    pm.set_deny_join_initial(true);
    assert!(joins(&mut pm, &[ip(1), ip(2)]).is_empty());
    announce(&mut pm, 4, IpAddr::from([192, 0, 2, 9]), None);
    assert_eq!(joins(&mut pm, &[ip(1), ip(2)]).len(), 1);
}

/// RFC 8684 3.4.1 [ADDR-13] [ADDR-15] [ADDR-16].
#[test]
fn announcements_are_tried_once_until_refreshed_with_another_port() {
    let mut pm = PathManager::new(first(), true, &[]);
    let address = IpAddr::from([192, 0, 2, 2]);
    assert!(announce(&mut pm, 1, address, Some(1)));
    assert_eq!(joins(&mut pm, &[ip(1)]).len(), 1);
    assert!(!announce(&mut pm, 1, address, Some(1)), "a repeat is no news");
    assert!(!announce(&mut pm, 1, ip(77), None), "an identifier keeps its address");
    assert!(announce(&mut pm, 1, address, Some(2)));
    assert_eq!(joins(&mut pm, &[ip(1)]).len(), 1);
}

#[test]
fn memory_for_announcements_is_bounded() {
    let mut pm = PathManager::new(first(), true, &[]);
    let kept = (0..=255u8).filter(|id| announce(&mut pm, *id, ip(*id), None)).count();
    assert_eq!(kept, 8);
}

/// Each forwarder is tried at once, then after 1, 2, 4 ... 60 s; a subflow through it ends that, and begins it anew.
#[test]
fn forwarders_are_tried_again_with_patience() {
    let remote = |last| SocketAddr::new(IpAddr::from([192, 0, 2, last]), 7_000);
    let via = |last| Via { remote: remote(last), local: None };
    let from = |last| SocketAddr::new(ip(last), 40_000);
    let mut pm = PathManager::new(first(), true, &[via(1), via(2)]);
    assert_eq!(pm.add_via(Via { local: Some(ip(2)), ..via(3) }), Ok(()));
    assert_eq!(pm.add_via(via(2)), Err(SubflowError::AlreadyOpen));
    let locals = [endpoint(ip(1)), endpoint(ip(2))];
    let config =
        ConnectionConfig { path_manager: PathManagerKind::Default, ..ConnectionConfig::default() };
    let next = |pm: &mut PathManager, now, existing: &[FourTuple]| {
        pm.next_join(now, &config, Limits::default(), &locals, existing)
            .map(|t| (t.local, t.remote))
    };
    let mut now = Instant::ZERO;
    let mut existing = Vec::from([first()]);
    assert_eq!(next(&mut pm, now, &existing), Some((ip(1), remote(2))), "the first one is in use");
    existing.push(FourTuple { local: first().local, remote: remote(2) });
    assert_eq!(next(&mut pm, now, &existing), Some((ip(2), remote(3))));
    assert_eq!(pm.on_joined(&existing[1]), None);
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert_eq!(next(&mut pm, now, &existing), None);
        let at = pm.poll_timeout().expect("the third one is to be tried again");
        waits.push(at.saturating_since(now).as_secs());
        now = at;
        assert_eq!(next(&mut pm, now, &existing), Some((ip(2), remote(3))));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(pm.on_joined(&FourTuple { local: from(2), remote: remote(3) }), None);
    existing.pop();
    assert_eq!(next(&mut pm, now, &existing), Some((ip(1), remote(2))), "long enough ago");
    assert!(pm.remove_via(remote(3)) && !pm.remove_via(remote(3)));
    assert_eq!(next(&mut pm, now + Duration::from_secs(90), &existing), Some((ip(1), remote(2))));
}

/// A forwarder is reached from another address from now on: the old subflow stays until the new one is there, however
/// often that fails, and a subflow from elsewhere ends nothing.
#[test]
fn a_forwarder_is_moved_make_before_break() {
    let remote = |last| SocketAddr::new(IpAddr::from([192, 0, 2, last]), 7_000);
    let tuple =
        |local, to| FourTuple { local: SocketAddr::new(ip(local), 40_000), remote: remote(to) };
    let vias = [1, 2].map(|last| Via { remote: remote(last), local: Some(ip(1)) });
    let mut pm = PathManager::new(first(), true, &vias);
    let locals = [endpoint(ip(1)), endpoint(ip(2))];
    let config =
        ConnectionConfig { path_manager: PathManagerKind::Default, ..ConnectionConfig::default() };
    let next = |pm: &mut PathManager, now, existing: &[FourTuple]| {
        pm.next_join(now, &config, Limits::default(), &locals, existing)
            .map(|t| (t.local, t.remote))
    };
    let (now, later) = (Instant::ZERO, Instant::ZERO + Duration::from_secs(2));
    let mut existing = Vec::from([first(), tuple(1, 2)]);
    assert_eq!(next(&mut pm, now, &existing), None);
    assert!(!pm.relocate_via(remote(9), ip(2), None), "no forwarder");
    assert!(pm.relocate_via(remote(2), ip(2), Some(ip(1))));
    assert_eq!(next(&mut pm, now, &existing), Some((ip(2), remote(2))));
    assert_eq!(next(&mut pm, now, &existing), None, "not at once again");
    assert!(pm.relocate_via(remote(2), ip(2), Some(ip(1))), "said twice");
    assert_eq!(next(&mut pm, now, &existing), None, "which changes nothing");
    assert_eq!(next(&mut pm, later, &existing), Some((ip(2), remote(2))), "it failed");
    existing.push(tuple(2, 2));
    assert_eq!(next(&mut pm, later, &existing), None, "under way");
    assert_eq!(pm.on_joined(&tuple(3, 2)), None, "another one");
    assert_eq!(pm.on_joined(&tuple(2, 2)), Some(ip(1)));
    assert_eq!(pm.on_joined(&tuple(2, 2)), None, "once");
    assert_eq!(next(&mut pm, later, &[first(), tuple(2, 2)]), None);
}
