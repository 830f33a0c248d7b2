use super::*;

fn only(key: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
    move |k| (k == key).then(|| value.to_owned())
}

#[test]
fn every_check_reports_once_and_serialises() {
    let all = doctor();
    let mut names: Vec<_> = all.iter().map(|f| f.check).collect();
    for name in ["tun", "net-admin", "user-namespaces", "ip", "nft", "ip-forward", "conntrack"] {
        assert!(names.contains(&name), "{name}");
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    let json = serde_json::to_value(&all).unwrap();
    assert!(json[0]["level"].is_string());
}

#[test]
fn capability_from_status() {
    let level = |caps: &str| capability(&format!("Name:\tx\nCapEff:\t{caps}\n")).level;
    assert_eq!(level("000001ffffffffff"), Level::Ok);
    assert_eq!(level("0000000000001000"), Level::Ok);
    assert_eq!(level("0000000000000000"), Level::Fail);
    assert_eq!(capability("").level, Level::Fail);
}

#[test]
fn switches_of_user_namespaces() {
    assert_eq!(user_namespaces(false, |_| None).level, Level::Ok);
    for (key, value) in [
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ] {
        let f = user_namespaces(false, only(key, value));
        assert_eq!(f.level, Level::Warn, "{key}");
        assert!(f.fix.unwrap().contains(&key.replace('/', ".")));
    }
}

#[test]
fn sysctls() {
    assert_eq!(mptcp(only("net/mptcp/enabled", "0")).level, Level::Warn);
    assert_eq!(mptcp(only("net/mptcp/enabled", "1")).level, Level::Ok);
    assert_eq!(forwarding(|_| None).level, Level::Fail);
    let full = |k: &str| Some(if k.ends_with("count") { "95" } else { "100" }.to_owned());
    assert_eq!(conntrack(full).level, Level::Warn);
    assert_eq!(conntrack(|_| None).level, Level::Ok);
}

#[test]
fn a_dropping_forward_chain_is_found() {
    let json = r#"{"nftables":[{"metainfo":{}},
      {"chain":{"family":"ip","table":"filter","name":"INPUT","hook":"input","policy":"drop"}},
      {"chain":{"family":"ip","table":"filter","name":"FORWARD","hook":"forward","policy":"drop"}}]}"#;
    assert_eq!(dropping_chain(json).as_deref(), Some("ip filter FORWARD"));
    assert_eq!(dropping_chain(r#"{"nftables":[]}"#), None);
    assert_eq!(dropping_chain("x"), None);
}

#[test]
fn preflight_says_what_is_wrong() {
    let all = preflight("127.0.0.1".parse().unwrap(), &[]);
    assert_eq!((all[0].check, all[0].level), ("route", Level::Fail));
    let way = Egress {
        name: "a".into(),
        dev: "eth0".into(),
        local: "10.1.0.7".parse().unwrap(),
        primary: true,
        gateway: None,
        reach: Reach::Connected,
        backup: false,
        mtu: 1500,
    };
    let twice = preflight("10.1.0.9".parse().unwrap(), &[way.clone(), way]);
    let share = twice.iter().find(|f| f.check == "physical-paths").unwrap();
    assert!(share.detail.starts_with("2 subflows, 1 physical"), "{}", share.detail);
}
