use super::*;
use crate::config::{Behaviour, FastOpen, PathManagerKind};
use crate::time::Duration;
use std::string::ToString;
use std::vec::Vec;

#[test]
fn names_lead_to_one_setting_each() {
    let mut names: Vec<&str> = Vec::new();
    for setting in SETTINGS {
        names.push(setting.short_name());
        names.extend(setting.aliases);
        assert_eq!(find(setting.name).map(|found| found.name), Some(setting.name));
        assert_eq!(find(setting.short_name()).map(|found| found.name), Some(setting.name));
        assert!(!setting.doc.is_empty());
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert_eq!(find("net/mptcp/enabled").map(|s| s.name), Some("net.mptcp.enabled"));
    assert_eq!(find("net.mptcp.mptcp_enabled").map(|s| s.name), Some("net.mptcp.enabled"));
    assert!(find("enabld").is_none());
}

/// Defaults are those of the sysctls of Linux 6.18, but for what `config` gives reasons for.
#[test]
fn defaults_are_the_kernels() {
    let settings = Settings::default();
    for (name, value) in [
        ("enabled", "1"),
        ("checksum_enabled", "0"),
        ("add_addr_timeout", "120"),
        ("close_timeout", "60"),
        ("stale_loss_cnt", "4"),
        ("syn_retrans_before_tcp_fallback", "2"),
        ("blackhole_timeout", "3600"),
        ("allow_join_initial_addr_port", "1"),
        ("path_manager", "kernel"),
        ("pm_type", "0"),
        ("tcp_syn_retries", "6"),
        ("tcp_retries2", "15"),
        ("tcp_moderate_rcvbuf", "1"),
    ] {
        let setting = find(name).expect(name);
        assert_eq!(setting.get(&settings), value, "{name}");
    }
}

/// What is read can be set, and is the same then.
#[test]
fn values_go_round() {
    for setting in SETTINGS.iter().filter(|setting| setting.kind != Kind::ReadOnly) {
        let mut settings = Settings::default();
        let before = setting.get(&settings);
        assert!(setting.set(&mut settings, &before).is_ok(), "{}", setting.name);
        assert_eq!(setting.get(&settings), before);
        let other = match setting.kind {
            Kind::Switch | Kind::Number(0, 1..=2) if before == "1" => "0",
            Kind::Switch => "on",
            Kind::Number(..) => "1",
            Kind::Seconds(_) => "77",
            Kind::Sizes => "1 2000 3000",
            Kind::Word(words) => words.last().expect("a word"),
            Kind::ReadOnly => "",
        };
        let outcome = setting.set(&mut settings, other);
        assert!(outcome.is_ok(), "{} = {other}", setting.name);
        assert_ne!(setting.get(&settings), before, "{}", setting.name);
    }
}

#[test]
fn values_reach_the_configuration() {
    let mut settings = Settings::default();
    for assignment in [
        "mptcp_checksum=1",
        "mptcp_syn_retries = 5",
        "net.mptcp.close_timeout=30s",
        "mptcp_path_manager=ndiffports=3",
        "mptcp_scheduler=roundrobin",
        "mptcp_debug=1",
        "mptcp_enabled=2",
        "blackhole_timeout=0",
        "tcp_rmem=4096 20000 300000",
        "tcp_wmem = 4096\t16384 4194304",
        "tcp_moderate_rcvbuf=0",
    ] {
        assert!(settings.assign(assignment).is_ok(), "{assignment}");
    }
    let connection = &settings.connection;
    assert!(connection.checksum && connection.mptcp && settings.debug);
    assert_eq!(connection.syn_retrans_before_tcp_fallback, 5);
    assert_eq!(connection.close_timeout, Duration::from_secs(30));
    assert_eq!(connection.path_manager, PathManagerKind::Ndiffports(3));
    assert_eq!(connection.scheduler.name(), "rr");
    assert_eq!(settings.endpoint.blackhole_timeout, Duration::ZERO);
    assert_eq!((connection.initial_receive_buffer, connection.receive_buffer), (20_000, 300_000));
    assert_eq!((connection.initial_send_buffer, connection.send_buffer), (16_384, 4 << 20));
    assert!(!connection.moderate_receive_buffer);
    assert!(settings.assign("pm_type=1").is_ok());
    assert_eq!(settings.connection.path_manager, PathManagerKind::Default);
}

#[test]
fn mistakes_are_named() {
    for (assignment, why) in [
        ("enabled", "\"enabled\" is not written NAME=VALUE"),
        ("enabld=1", "there is no setting \"enabld\""),
        ("checksum_enabled=2", "net.mptcp.checksum_enabled cannot be \"2\": it must be 1 or 0"),
        (
            "close_timeout=-1",
            "net.mptcp.close_timeout cannot be \"-1\": it must be seconds, 0 to 86400",
        ),
        ("pm_type=2", "net.mptcp.pm_type cannot be \"2\": it must be a number from 0 to 1"),
        (
            "mptcp_path_manager=mesh",
            "net.mptcp.path_manager cannot be \"mesh\": it must be one of kernel, userspace, default, fullmesh, \
             ndiffports, ndiffports=N, binder",
        ),
        (
            "tcp_congestion_control=vegas",
            "net.ipv4.tcp_congestion_control cannot be \"vegas\": it must be one of cubic, reno, lia, olia, balia, \
             wvegas, ewtcp, coupled, bbr",
        ),
        (
            "tcp_rmem=1 2",
            "net.ipv4.tcp_rmem cannot be \"1 2\": it must be three sizes in bytes: MIN DEFAULT MAX",
        ),
        (
            "tcp_wmem=1 3 2",
            "net.ipv4.tcp_wmem cannot be \"1 3 2\": MIN <= DEFAULT <= MAX <= 1 GiB must hold",
        ),
        ("available_schedulers=x", "net.mptcp.available_schedulers can only be read"),
    ] {
        let error = Settings::default().assign(assignment).expect_err(assignment);
        assert_eq!(error.to_string(), why);
    }
}

#[test]
fn the_bits_of_tcp_fastopen_and_the_profile() {
    let mut settings = Settings::default();
    for (bits, shown, mode) in [
        ("0", "0", FastOpen::Off),
        ("1", "3", FastOpen::Cookie),
        ("3", "3", FastOpen::Cookie),
        ("4", "0", FastOpen::Off),
        ("5", "519", FastOpen::WithoutCookie),
        ("519", "519", FastOpen::WithoutCookie),
    ] {
        settings.set("tcp_fastopen", bits).expect("a number of the range");
        assert_eq!(settings.connection.fast_open, mode, "{bits}");
        assert_eq!(find("tcp_fastopen").expect("it is there").get(&settings), shown);
    }
    // what else was set stays
    settings.set("profile", "linux").expect("a profile");
    assert_eq!(settings.connection.behaviour, Behaviour::linux());
    assert_eq!(settings.connection.fast_open, FastOpen::WithoutCookie);
    settings.set("profile", "rfc").expect("a profile");
    settings.set("tcp_fastopen", "0").expect("a number");
    let all = |settings: &Settings| SETTINGS.iter().map(|s| s.get(settings)).collect::<Vec<_>>();
    assert_eq!(all(&settings), all(&Settings::default()));
}
