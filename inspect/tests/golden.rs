//! What `decode` prints of captures in the repository, to the letter. `MPUSER_BLESS=1` writes it anew.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use std::path::Path;

#[test]
fn lines_are_as_they_were() {
    let pcaps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    let golden = pcaps.join("golden");
    let mut seen = 0;
    for entry in std::fs::read_dir(&golden).expect("pcaps/golden").flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bytes =
            std::fs::read(pcaps.join(&name)).unwrap_or_else(|_| panic!("{name} has no capture"));
        let text = common::decode(&bytes).join("\n") + "\n";
        if std::env::var_os("MPUSER_BLESS").is_some() {
            std::fs::write(&path, &text).expect("written");
        }
        let before = std::fs::read_to_string(&path).expect("a text");
        for (number, (a, b)) in text.lines().zip(before.lines()).enumerate() {
            assert_eq!(a, b, "{name}, line {}", number + 1);
        }
        assert_eq!(text.lines().count(), before.lines().count(), "{name}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen} texts");
}

/// Every capture of the repository is in TESTLIST with origin, licence and purpose, and nothing else is.
#[test]
fn the_list_is_complete() {
    let pcaps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    let list = std::fs::read_to_string(pcaps.join("TESTLIST")).expect("pcaps/TESTLIST");
    let mut listed: Vec<String> = Vec::new();
    for line in list.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns.len(), 4, "name, origin, licence, purpose: {line}");
        assert!(columns.iter().all(|column| !column.trim().is_empty()), "{line}");
        listed.push(columns[0].to_owned());
    }
    let mut there: Vec<String> = std::fs::read_dir(&pcaps)
        .expect("pcaps")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".pcap") || name.ends_with(".pcapng"))
        .collect();
    listed.sort();
    there.sort();
    assert_eq!(listed, there);
}
