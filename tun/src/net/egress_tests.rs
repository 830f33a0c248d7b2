use super::*;
use crate::net::inventory::Address;

fn addr(ip: &str, prefix_len: u8) -> Address {
    Address { ip: ip.parse().unwrap(), prefix_len, usable: true }
}

fn dev(name: &str, addresses: Vec<Address>) -> Interface {
    Interface { name: name.into(), up: true, loopback: false, tun: false, mtu: 1500, addresses }
}

fn route(dst: &str, dev: &str, gateway: Option<&str>, metric: u32, table: &str) -> Route {
    Route {
        dst: dst.parse().unwrap(),
        dev: dev.into(),
        gateway: gateway.map(|g| g.parse().unwrap()),
        metric,
        table: table.into(),
    }
}

fn machine() -> (Vec<Interface>, Vec<Route>) {
    let mut lo = dev("lo", vec![]);
    lo.loopback = true;
    let mut down = dev("down", vec![addr("10.5.0.1", 24)]);
    down.up = false;
    let mut tun = dev("mpu0", vec![addr("10.83.0.1", 30)]);
    tun.tun = true;
    let devs = vec![
        lo,
        dev("wlan0", vec![addr("192.0.2.7", 24), addr("198.51.100.7", 24)]),
        dev("eth0", vec![addr("10.1.0.7", 24)]),
        dev("docker0", vec![addr("172.17.0.1", 16)]),
        dev("v6only", vec![addr("fd00::7", 64)]),
        down,
        tun,
    ];
    let routes = vec![
        route("0.0.0.0/0", "wlan0", Some("192.0.2.1"), 600, "main"),
        route("0.0.0.0/0", "eth0", Some("10.1.0.254"), 200, "77"),
        route("0.0.0.0/0", "eth0", Some("10.1.0.1"), 100, "main"),
        route("172.17.0.0/16", "docker0", None, 0, "main"),
        route("0.0.0.0/0", "down", Some("10.5.0.2"), 0, "main"),
    ];
    (devs, routes)
}

fn shown(ways: &[Egress]) -> Vec<String> {
    ways.iter().map(|e| format!("{} {} {:?} {:?}", e.dev, e.local, e.gateway, e.reach)).collect()
}

#[test]
fn ways_to_the_internet() {
    let (devs, routes) = machine();
    let ways = discover_in("203.0.113.9".parse().unwrap(), &devs, &routes, false);
    assert_eq!(
        shown(&ways),
        ["wlan0 192.0.2.7 Some(192.0.2.1) Gateway", "eth0 10.1.0.7 Some(10.1.0.1) Gateway"]
    );
    assert_eq!(physical_paths(&ways), 2);
}

#[test]
fn in_a_lab_an_interface_without_a_route_counts() {
    let (devs, routes) = machine();
    let ways = discover_in("172.17.0.9".parse().unwrap(), &devs, &routes, true);
    let reach: Vec<_> = ways.iter().map(|e| (e.dev.as_str(), e.reach)).collect();
    assert_eq!(
        reach,
        [("wlan0", Reach::Gateway), ("eth0", Reach::Gateway), ("docker0", Reach::Connected)]
    );
    let ways = discover_in("192.168.56.101".parse().unwrap(), &devs[..3], &[], true);
    assert_eq!(ways.iter().filter(|e| e.reach == Reach::Assumed).count(), 2);
    assert!(discover_in("192.168.56.101".parse().unwrap(), &devs, &[], false).is_empty());
}

#[test]
fn own_addresses_and_the_loopback() {
    let (devs, routes) = machine();
    let ways = discover_in("10.1.0.7".parse().unwrap(), &devs, &routes, false);
    assert_eq!(shown(&ways), ["eth0 10.1.0.7 None Local"]);
    assert!(discover_in("127.0.0.1".parse().unwrap(), &devs, &routes, true).is_empty());
    assert!(discover_in("::1".parse().unwrap(), &devs, &[], true).is_empty());
}

#[test]
fn specs_are_checked_against_the_machine() {
    let (devs, routes) = machine();
    let dest = "203.0.113.9".parse().unwrap();
    let one = |s: &str| resolve_one(dest, &s.parse().unwrap(), &devs, &routes);
    let way = one("slow=wlan0,local=198.51.100.7,gw=198.51.100.1,backup").unwrap();
    assert_eq!(way.name, "slow");
    assert!(way.backup && !way.primary);
    assert_eq!(way.gateway, Some("198.51.100.1".parse().unwrap()));
    let way = one("docker0").unwrap();
    assert_eq!(way.reach, Reach::Assumed, "named by the person, so it is tried");
    for (spec, why) in [
        ("eth9", "there is no interface eth9"),
        ("down", "down or has no carrier"),
        ("v6only", "no usable IPv4 address"),
        ("eth0,local=192.0.2.7", "is not an IPv4 address of eth0"),
        ("eth0,gw=fd00::1", "is not IPv4"),
    ] {
        let e = one(spec).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Usage);
        assert!(e.because.contains(why), "{e}");
    }
}

/// Destinations nobody knows yet: what has a route to anywhere comes first.
#[test]
fn ways_to_anywhere() {
    let (devs, routes) = machine();
    let shown = shown(&out(&devs, [&routes, &[]], &[]).unwrap());
    assert_eq!(
        shown,
        [
            "wlan0 192.0.2.7 Some(192.0.2.1) Gateway",
            "eth0 10.1.0.7 Some(10.1.0.1) Gateway",
            "docker0 172.17.0.1 None Assumed",
            "v6only fd00::7 None Assumed",
        ]
    );
    let both = [dev("eth0", vec![addr("10.1.0.7", 24), addr("fd00::7", 64)])];
    let specs: Vec<PathSpec> = ["eth0", "lan=eth0"].iter().map(|s| s.parse().unwrap()).collect();
    let ways = out(&both, [&routes, &[]], &specs[..1]).unwrap();
    let names: Vec<&str> = ways.iter().map(|way| way.name.as_str()).collect();
    assert_eq!(names, ["eth0", "eth0-v6"], "each has a name of its own");
    assert_eq!(out(&both, [&routes, &[]], &specs[1..]).unwrap()[0].name, "lan");
    let missing = ["wlan9".parse().unwrap()];
    assert_eq!(out(&both, [&routes, &[]], &missing).unwrap_err().kind, ErrorKind::Usage);
    assert_eq!(out(&[], [&[], &[]], &[]).unwrap_err().kind, ErrorKind::NoRoute);
}
