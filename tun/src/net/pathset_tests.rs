use super::*;

fn plan(dest_v6: bool, gateway: Option<&str>, primary: bool) -> PathPlan {
    let local: IpAddr = if dest_v6 { "fd00::7" } else { "192.0.2.7" }.parse().unwrap();
    let subnet: Prefix = if dest_v6 { "fd83::4/126" } else { "10.83.0.4/30" }.parse().unwrap();
    PathPlan {
        egress: Egress {
            name: "wifi".into(),
            dev: "wlan0".into(),
            local,
            primary,
            gateway: gateway.map(|g| g.parse().unwrap()),
            reach: Reach::Gateway,
            backup: false,
            mtu: 1400,
        },
        tun: "mpu1".into(),
        engine: subnet.nth(2).unwrap(),
        kernel: subnet.nth(1).unwrap(),
        subnet,
        near: vec![],
        table: 8301,
        mtu: 1400,
        return_path: ReturnPath::Masquerade,
    }
}

#[test]
fn lines_for_ip() {
    let p = plan(false, Some("192.0.2.1"), true);
    assert_eq!(
        device_lines(&p),
        ["link set dev mpu1 mtu 1400 txqueuelen 4096 up", "address replace 10.83.0.5/30 dev mpu1"]
    );
    assert_eq!(
        route_lines(&p),
        [
            "route replace default via 192.0.2.1 dev wlan0 onlink table 8301",
            "route replace unreachable default metric 8192 table 8301"
        ]
    );
    assert_eq!(rule_line(&p), "rule add from 10.83.0.6/32 lookup 8301 priority 8301");
    assert_eq!(
        route_lines(&plan(false, None, true))[0],
        "route replace default dev wlan0 table 8301"
    );
    assert_eq!(
        route_lines(&plan(false, Some("fe80::1"), true))[0],
        "route replace default via inet6 fe80::1 dev wlan0 onlink table 8301"
    );
    assert_eq!(
        device_lines(&plan(true, None, true))[1],
        "address replace fd83::5/126 dev mpu1 nodad"
    );
}

/// A listener's answers to clients behind a router on the link go to that router.
#[test]
fn networks_behind_routers_on_the_link() {
    let route = |dst: &str, dev: &str, gateway: Option<&str>, table: &str| Route {
        dst: dst.parse().unwrap(),
        dev: dev.to_owned(),
        gateway: gateway.map(|g| g.parse().unwrap()),
        metric: 0,
        table: table.to_owned(),
    };
    let all = [
        route("10.83.56.0/24", "wlan0", Some("192.0.2.100"), "main"),
        route("192.0.2.0/24", "wlan0", None, "main"),
        route("0.0.0.0/0", "wlan0", Some("192.0.2.1"), "main"),
        route("10.84.0.0/16", "eth0", Some("198.51.100.1"), "main"),
        route("10.85.0.0/16", "wlan0", Some("192.0.2.2"), "8300"),
    ];
    assert_eq!(
        router_lines(&plan(false, None, true), &all),
        ["route replace 10.83.56.0/24 via 192.0.2.100 dev wlan0 onlink table 8301"]
    );
    // who named a gateway means it
    assert!(router_lines(&plan(false, Some("192.0.2.1"), true), &all).is_empty());
}

/// Where there are many destinations, those next door are not sent through the gateway.
#[test]
fn neighbours_are_reached_without_the_gateway() {
    let near = vec!["192.0.2.0/24".parse().unwrap()];
    let lines = route_lines(&PathPlan { near, ..plan(false, Some("192.0.2.1"), true) });
    assert_eq!(lines[2..], ["route replace 192.0.2.0/24 dev wlan0 table 8301"]);
}

#[test]
fn the_script_for_nft() {
    let a = plan(false, None, true);
    let b = plan(false, None, false);
    let script = nft_script("mpuser-7-0", false, &[&a, &b]);
    assert!(script.starts_with("table ip mpuser-7-0 {"), "{script}");
    assert!(script.contains("ip saddr 10.83.0.6 oifname \"wlan0\" masquerade\n"));
    assert!(script.contains("ip saddr 10.83.0.6 oifname \"wlan0\" snat to 192.0.2.7\n"));
}

#[test]
fn indices_skip_names_and_numbers() {
    let mut taken = Taken {
        names: vec!["mpu0".into(), "eth0".into()],
        numbers: vec![0, 8301, 32766],
        prefixes: vec![],
    };
    assert_eq!(free_index(&taken).unwrap(), (2, "mpu2".to_owned()));
    taken.numbers = (8300..9300).collect();
    assert_eq!(free_index(&taken).unwrap_err().kind, ErrorKind::Exhausted);
}

#[test]
fn subnets_come_from_the_pool() {
    let way = plan(false, None, true).egress;
    let (subnet, back) = free_subnet(&way, None, &["10.83.0.0/30".parse().unwrap()]).unwrap();
    assert_eq!((subnet.to_string().as_str(), back), ("10.83.0.4/30", ReturnPath::Masquerade));
    let taken = ["10.0.0.0/8".parse().unwrap()];
    assert_eq!(free_subnet(&way, None, &taken).unwrap_err().kind, ErrorKind::Exhausted);
    let local = Egress { reach: Reach::Local, ..way };
    assert_eq!(free_subnet(&local, None, &[]).unwrap().1, ReturnPath::Local);
}
