use super::*;

fn sysctl_step(old: &str) -> Step {
    Step::Sysctl { key: "net/ipv4/ip_forward".into(), old: old.into(), new: "1".into() }
}

fn text() -> String {
    let header = Header {
        schema: SCHEMA.into(),
        pid: 7,
        start_time: 9,
        netns: NetnsId { inode: 5, cookie: Some(6) },
    };
    let steps = [
        Step::Reserve { index: 3, tun: "mpu3".into(), subnet: "10.83.0.0/30".parse().unwrap() },
        sysctl_step("0"),
        Step::Address { dev: "mpu3".into(), address: "10.83.0.1/30".into() },
        Step::Rule { from: "10.83.0.2".parse().unwrap(), table: 8303 },
        Step::Table { v6: false, table: 8303 },
        Step::Nat { v6: true, table: "mpuser-7-0".into() },
    ];
    let mut out = serde_json::to_string(&header).unwrap();
    for s in &steps {
        out.push('\n');
        out.push_str(&serde_json::to_string(s).unwrap());
    }
    out
}

#[test]
fn a_journal_reads_back_and_a_torn_line_is_not_a_change() {
    let text = text();
    let (header, steps) = parse(&text).unwrap();
    assert_eq!((header.pid, header.netns.cookie, steps.len()), (7, Some(6), 6));
    assert_eq!(steps[1], sysctl_step("0"));
    // Cut anywhere: never a panic, never more steps than whole lines.
    for cut in 0..text.len() {
        let part = &text[..cut];
        if let Some((_, steps)) = parse(part) {
            assert!(steps.len() <= part.matches('\n').count());
        }
    }
    assert!(parse("").is_none());
    assert!(parse(&text.replace(SCHEMA, "mpuser.paths/9")).is_none());
}

#[test]
fn the_original_value_is_the_first_one() {
    let steps = [sysctl_step("0"), sysctl_step("1")];
    assert_eq!(original_value(&steps, "net/ipv4/ip_forward"), Some("0"));
    assert_eq!(original_value(&steps, "net/ipv4/other"), None);
}

#[test]
fn a_sysctl_somebody_needs_or_changed_is_left_alone() {
    // The key does not exist, so an attempt to write it would be an error.
    let step = Step::Sysctl { key: "net/no-such-key".into(), old: "0".into(), new: "1".into() };
    assert_eq!(undo_steps(std::slice::from_ref(&step), std::slice::from_ref(&step)), Ok(()));
    assert_eq!(undo_steps(&[step], &[]), Ok(()), "gone is not an error");
}

#[test]
fn a_reused_inode_does_not_keep_a_namespace_in_use() {
    let here = NetnsId::current().unwrap();
    assert!(in_use(&here));
    assert!(!in_use(&NetnsId { inode: 1, ..here }));
    // Linux 5.14 has cookies; before, the inode has to do.
    if here.cookie.is_some() {
        assert!(!in_use(&NetnsId { cookie: Some(u64::MAX), ..here }));
    }
}

#[test]
fn what_cannot_be_taken_back_is_told_and_kept() {
    let dir = std::env::temp_dir().join(format!("mpuser-journal-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let header =
        Header { schema: SCHEMA.into(), pid: 7, start_time: 9, netns: NetnsId::current().unwrap() };
    let refused = Step::Address { dev: "lo".into(), address: "no address".into() };
    for (name, step) in [
        ("a", &refused),
        ("b", &Step::Sysctl { key: "net/no-such-key".into(), old: "0".into(), new: "1".into() }),
    ] {
        let lines = [serde_json::to_string(&header).unwrap(), serde_json::to_string(step).unwrap()];
        std::fs::write(dir.join(format!("{name}.journal")), lines.join("\n")).unwrap();
    }
    let lock = StateLock::of(dir.clone()).unwrap();
    let recovered = recover(&lock).unwrap();
    assert_eq!((recovered.done.len(), recovered.left.len()), (1, 1), "{recovered:?}");
    assert!(recovered.left[0].in_a_line().contains("no address"), "{recovered:?}");
    assert!(dir.join("a.journal").exists() && !dir.join("b.journal").exists());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn start_time_is_known() {
    assert!(start_time().unwrap() > 0);
}
