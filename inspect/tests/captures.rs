//! Whole captures: the facts an independent script has counted, no false alarms, and damage found where it was done.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use common::damage::{Damage, damaged};
use common::{captures, each, inspect, name};
use mpuser_inspect::Report;
use mpuser_inspect::option::options;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Reports on captures of real stacks that were looked at: part of the file's name, the requirement, and why it is so.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (
        "ksft_119_userspace_pm_create_id_0",
        "JOIN-4",
        "the path manager in user space opens a subflow with ID 0 from another address than the first one's",
    ),
    ("tcpdump__mptcp-dss-oobr", "OPT-1", "made to show a DSS that is too short"),
    ("DPI-MPTCP__mod_tok", "JOIN-1", "made to show a token that was changed"),
    (
        "DPI-MPTCP__mp_capable",
        "OPT-9",
        "the Linux of version 0 sets the lowest of the twelve bits where the third packet repeats B",
    ),
    ("_mp_fail_", "DSS-9", "an octet was changed on the way, which is why MP_FAIL was sent"),
];

/// Facts that differ from the script's: part of the file's name, which fact, and why.
const OTHER_FACTS: &[(&str, &str, &str)] = &[
    (
        "mptcp-issue59__pppoe_addaddr",
        "*",
        "the script does not look into PPPoE; the segment is there, with DSS and ADD_ADDR",
    ),
    ("m04_join_token", "max_subflows", "the token is damaged; we find the connection by HMAC"),
    ("m04_join_token", "HMACs of joins", "likewise"),
];

fn facts() -> BTreeMap<String, Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let beside = common::beside(&root);
    let mut all = BTreeMap::new();
    for file in [root.join("pcaps/facts.jsonl"), beside.join("facts.jsonl")] {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        for line in text.lines() {
            let fact: Value = serde_json::from_str(line).expect("an object");
            all.insert(fact["file"].as_str().expect("a name").to_owned(), fact);
        }
    }
    all
}

/// The same facts out of our report.
fn counted(bytes: &[u8], report: &Report) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    let mut capable = 0;
    each(bytes, |packet| {
        let mut all = options(packet.options, packet.options_len);
        capable += u64::from(all.any(|raw| raw.kind == 30 && raw.fault.is_none()));
    });
    counts.insert("tcp", report.packets);
    counts.insert("mptcp_pkts", capable);
    counts.insert("tcp_streams", report.streams.len() as u64);
    let known = report.connections.iter().filter(|c| c.flags.iter().any(Option::is_some));
    counts.insert("conns", known.clone().count() as u64);
    counts.insert("conns_both_keys", known.clone().filter(|c| c.keys().is_some()).count() as u64);
    let most = known.clone().map(|c| c.subflows.len()).max().unwrap_or_default();
    counts.insert("max_subflows", most as u64);
    counts
}

#[test]
fn facts_are_those_of_an_independent_count() {
    let facts = facts();
    let mut differences = Vec::new();
    let mut compared = 0;
    for file in captures() {
        let name = name(&file);
        let Some(fact) = facts.get(&name) else { continue };
        let bytes = std::fs::read(&file).expect("a capture");
        let (report, error) = inspect(&bytes);
        assert!(error.is_none(), "{name}: {error:?}");
        let explained = |what: &str| {
            OTHER_FACTS
                .iter()
                .any(|(part, of, _)| name.contains(part) && (*of == what || *of == "*"))
        };
        let mut same = |what: &str, ours: u64, theirs: u64| {
            compared += 1;
            if ours != theirs && !explained(what) {
                differences.push(format!("{name}: {what}: ours {ours}, counted {theirs}"));
            }
        };
        for (what, ours) in counted(&bytes, &report) {
            same(what, ours, fact[what].as_u64().unwrap_or_default());
        }
        for (number, ours) in report.subtypes.iter().enumerate() {
            same("sub", *ours, fact["sub"][number.to_string()].as_u64().unwrap_or_default());
        }
        let check = |what: &str| fact["checks"][what].as_u64().unwrap_or_default();
        let joins = check("SYN/ACK HMAC ok") + check("ACK HMAC ok");
        let ours: u64 = report.streams.iter().map(|s| u64::from(s.hmacs.0)).sum();
        same("HMACs of joins", ours, joins);
        let sides = || report.connections.iter().flat_map(|c| &c.sides);
        same("HMACs of ADD_ADDR", sides().map(|s| s.hmacs.0).sum(), check("ADD_ADDR HMAC ok"));
        let sums = fact["dss"]["csum bad"].as_u64().unwrap_or_default();
        same("wrong DSS checksums", sides().map(|s| s.checksums.1).sum(), sums);
    }
    for difference in &differences {
        println!("{difference}");
    }
    println!("{compared} facts of {} captures", facts.len());
    assert!(differences.is_empty(), "{} differences", differences.len());
}

#[test]
fn nothing_is_reported_that_is_not_so() {
    let mut wrong = Vec::new();
    for file in captures() {
        let name = name(&file);
        // damaged on purpose: see below
        if name.starts_with('m') && name[1..3].parse::<u8>().is_ok() {
            continue;
        }
        let (report, _) = inspect(&std::fs::read(&file).expect("a capture"));
        for finding in &report.findings {
            let why = EXPLAINED
                .iter()
                .find(|(part, id, _)| name.contains(part) && finding.ids.contains(id));
            match why {
                Some((_, _, why)) => {
                    println!("{name} packet {}: {} ({why})", finding.packet, finding.what)
                }
                None => wrong.push(format!("{name} {finding:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The copies with one damage each that lie beside the repository: the packet, and a requirement that must be named.
#[test]
fn damaged_copies_are_found_out() {
    let known: [(&str, u64, &str); 10] = [
        ("m01_dsn_plus1", 26, "DSS-4"),
        ("m02_ssn_plus1000", 26, "DSS-4"),
        ("m04_join_token", 6, "JOIN-1"),
        ("m05_synack_hmac", 8, "JOIN-12"),
        ("m07_echoed_key", 3, "INI-12"),
        ("m09_dss_len_short", 26, "OPT-1"),
        ("m11_H_clear", 1, "INI-22"),
        ("m13_tcp_csum", 26, "RFC9293-3.1"),
        ("m14_optlen0", 26, "OPT-1"),
        ("m18_fastclose_key", 58, "FC-1"),
    ];
    for file in captures() {
        let name = name(&file);
        let Some((_, packet, id)) = known.iter().find(|(part, _, _)| name.starts_with(part)) else {
            continue;
        };
        let (report, _) = inspect(&std::fs::read(&file).expect("a capture"));
        let first = report.findings.first().unwrap_or_else(|| panic!("{name}: nothing found"));
        println!("{name:<24} packet {packet} {}: {}", first.ids.join(" "), first.what);
        assert!(
            report.findings.iter().any(|f| f.packet == *packet && f.ids.contains(id)),
            "{name}"
        );
    }
}

/// Damage done here, in captures without a finding.
#[test]
fn damage_is_found_where_it_was_done() {
    let mut missed = Vec::new();
    for damage in Damage::ALL {
        let (bytes, packet) = damaged(damage);
        let (report, _) = inspect(&bytes);
        let hit = report.findings.iter().find(|f| f.packet == packet && f.ids.contains(&damage.id));
        match hit {
            Some(hit) => println!(
                "{:<28} {:<24} packet {:>3} [{}] {}",
                damage.name,
                damage.file,
                hit.packet,
                hit.ids.join(" "),
                hit.what
            ),
            None => missed.push(format!("{}: {:?}", damage.name, report.findings)),
        }
        // and nowhere else
        let elsewhere: Vec<_> = report.findings.iter().filter(|f| f.packet != packet).collect();
        if !elsewhere.is_empty() {
            missed.push(format!("{}: elsewhere {elsewhere:?}", damage.name));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
