//! What is said of whole captures.

mod common;

use common::{captures, inspect, name};

#[test]
fn dev_print() {
    for file in captures() {
        let bytes = std::fs::read(&file).unwrap();
        let (report, error) = inspect(&bytes);
        println!(
            "== {} packets {} options {} streams {} connections {} findings {}",
            name(&file),
            report.packets,
            report.mptcp_options,
            report.streams.len(),
            report.connections.len(),
            report.findings.len()
        );
        if let Some(error) = error {
            println!("   ERROR {error}");
        }
        for c in &report.connections {
            if let Some(f) = c.fallback(&report.streams) {
                println!("   fallback: {f}");
            }
        }
        for f in report.findings.iter().take(8) {
            println!("   {} {:?} s{} {}", f.packet, f.ids, f.stream, f.what);
        }
    }
}

#[test]
fn dev_decode() {
    let want = std::env::var("SHOW").unwrap_or_default();
    for file in captures() {
        if !want.is_empty() && name(&file).contains(&want) {
            for line in common::decode(&std::fs::read(&file).unwrap()) {
                println!("{line}");
            }
        }
    }
}
