//! Who may use whom: crates, and the modules of the engine.

use crate::repository::{Source, report, root, rust_files, split, test_only, without_tests};
use std::collections::BTreeSet;
use std::fs;

/// A module of the engine and what it may use besides itself.
struct Layer {
    module: &'static str,
    may_use: &'static [&'static str],
    /// Single items from above or beside; they should move down one day.
    exceptions: &'static [&'static str],
}

const fn layer(module: &'static str, may_use: &'static [&'static str]) -> Layer {
    Layer { module, may_use, exceptions: &[] }
}

/// The vocabulary, layer 0. It has arrows among its own, listed below.
const L0: [&str; 10] =
    ["addr", "config", "counters", "error", "event", "rng", "scheduling", "seq", "time", "window"];

/// From the bottom to the top; ARCHITECTURE.md draws it.
const LAYERS: [Layer; 19] = [
    layer("addr", &[]),
    layer("counters", &[]),
    layer("rng", &[]),
    layer("seq", &[]),
    layer("time", &[]),
    layer("window", &[]),
    layer("error", &[]),
    layer("scheduling", &["addr", "time"]),
    layer("config", &["addr", "scheduling", "time"]),
    layer("event", &["addr", "error"]),
    layer("grammar", &["addr", "config"]),
    layer("settings", &["config", "time"]),
    // not there unless a test asks for a broken engine
    layer("mutations", &["seq"]),
    layer("buffer", &[]),
    layer("crypto", &["addr", "rng", "seq"]),
    Layer {
        module: "wire",
        may_use: &L0,
        // values that stand on the wire, made where they mean something
        exceptions: &[
            "crypto::Key",
            "crypto::Nonce",
            "crypto::Token",
            "tcp::FastOpenCookie",
            "tcp::Flags",
            "tcp::SackBlocks",
            "tcp::Timestamps",
        ],
    },
    layer(
        "tcp",
        &["addr", "buffer", "config", "counters", "error", "rng", "seq", "time", "window"],
    ),
    // schedulers see a snapshot and nothing else
    layer("mptcp::scheduler", &["addr", "config", "scheduling", "time"]),
    Layer {
        module: "mptcp",
        may_use: &[
            "addr",
            "config",
            "counters",
            "error",
            "event",
            "rng",
            "scheduling",
            "seq",
            "time",
            "mutations",
            "window", // L0
            "buffer",
            "crypto",
            "wire",
            "tcp",
        ],
        // values the endpoint hands out and the connection fills in
        exceptions: &[
            "endpoint::ConnectionInfo",
            "endpoint::FastOpenUse",
            "endpoint::ReceiveStats",
            "endpoint::SubflowInfo",
            "endpoint::Transmit",
        ],
    },
];

/// Every path that starts at the root of the crate, like `tcp::Flags`, groups taken apart.
fn crate_paths(file: &Source, code: &str) -> Vec<String> {
    let own = module_path(&file.path);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        paths_at(&code[at + "crate::".len()..], "", &mut found);
    }
    let supers = "super::".len();
    for (at, _) in code.match_indices("super::") {
        let count = code.as_bytes()[at..].chunks(supers).take_while(|c| *c == b"super::").count();
        if code[..at].ends_with("super::") || count < own.len() {
            continue;
        }
        paths_at(&code[at + count * supers..], "", &mut found);
    }
    found
}

/// The paths in `rest`, which is `a::b`, `a::{b, c::d}` or `{a, b}` and then anything.
fn paths_at(rest: &str, prefix: &str, found: &mut Vec<String>) {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        let mut depth = 0;
        let mut item = 0;
        for (at, byte) in group.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b',' | b'}' if depth == 0 => {
                    paths_at(&group[item..at], prefix, found);
                    item = at + 1;
                    if byte == b'}' {
                        return;
                    }
                }
                b'}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    if name.is_empty() {
        return;
    }
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    match rest.strip_prefix("::") {
        Some(rest) if !rest.starts_with('<') => paths_at(rest, &path, found),
        _ => found.push(path),
    }
}

/// `engine/src/tcp/send.rs` is `["tcp", "send"]`.
fn module_path(path: &str) -> Vec<&str> {
    let inner = path.trim_start_matches("engine/src/").trim_end_matches(".rs");
    let mut parts: Vec<&str> = inner.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts
}

fn under(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The sources of the engine that are not tests, with their code.
fn engine_sources() -> Vec<(Source, String)> {
    let mut files = rust_files();
    let tests = test_only(&files);
    files.retain(|f| f.path.starts_with("engine/src/") && !tests.contains(&f.path));
    let with_code = files.into_iter().map(|file| {
        let code = split(without_tests(&file.text)).0;
        (file, code)
    });
    with_code.collect()
}

#[test]
fn arrows_go_down() {
    let (mut complaints, mut used) = (Vec::new(), BTreeSet::new());
    for (file, code) in engine_sources() {
        let own = module_path(&file.path).join("::");
        if own == "lib" || under(&own, "endpoint") {
            continue;
        }
        let Some(layer) = LAYERS.iter().find(|layer| under(&own, layer.module)) else {
            complaints.push(format!("{}: in no layer", file.path));
            continue;
        };
        for path in crate_paths(&file, &code) {
            let allowed = under(&path, layer.module)
                || layer.may_use.iter().any(|module| under(&path, module));
            let exception = layer.exceptions.iter().find(|item| under(&path, item));
            used.extend(exception.map(|item| (layer.module, *item)));
            if !allowed && exception.is_none() {
                complaints.push(format!("{}: {} may not use {path}", file.path, layer.module));
            }
        }
    }
    let all =
        LAYERS.iter().flat_map(|layer| layer.exceptions.iter().map(|item| (layer.module, *item)));
    let unused = all.filter(|item| !used.contains(item));
    complaints.extend(unused.map(|(m, item)| format!("{m} no longer needs the exception {item}")));
    report(&complaints);
}

/// The connection coordinates its parts; no part knows it.
#[test]
fn parts_do_not_know_the_connection() {
    let mut complaints = Vec::new();
    for (file, code) in engine_sources() {
        let own = module_path(&file.path).join("::");
        if !under(&own, "mptcp") || own == "mptcp" || under(&own, "mptcp::connection") {
            continue;
        }
        if crate_paths(&file, &code).iter().any(|path| under(path, "mptcp::connection"))
            || code.contains("super::connection")
        {
            complaints.push(format!("{}: uses the connection", file.path));
        }
    }
    report(&complaints);
}

#[test]
fn paths_are_found() {
    let file = Source { path: "engine/src/tcp/send.rs".into(), text: String::new() };
    let code = "use crate::{seq::SeqNum, wire::{self, mptcp::Dss}}; x: crate::tcp::Flags::SYN; \
                use super::plan::P; use super::super::mptcp::Q; pub(crate) fn f() {}";
    let found = crate_paths(&file, code);
    let expected = ["seq::SeqNum", "wire::self", "wire::mptcp::Dss", "tcp::Flags::SYN", "mptcp::Q"];
    assert_eq!(found, expected);
    assert_eq!(module_path("engine/src/mptcp/connection/mod.rs"), ["mptcp", "connection"]);
    assert!(under("tcp::Flags", "tcp") && !under("tcpdump", "tcp"));
}

/// Names in a section of a Cargo.toml.
fn dependencies(manifest: &str, section: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == section;
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            names.insert(line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
        }
    }
    names
}

fn manifest(of: &str) -> String {
    fs::read_to_string(root().join(of).join("Cargo.toml")).expect("a manifest")
}

#[test]
fn crates_depend_downwards() {
    for (member, below) in [
        ("vector", &[][..]),
        ("engine", &["mpuser-vector"]),
        ("capture", &["mpuser-engine"]),
        ("record", &["mpuser-engine"]),
        ("inspect", &["mpuser-engine"]),
        ("replay", &["mpuser-engine", "mpuser-inspect"]),
        ("sim", &["mpuser-capture", "mpuser-engine"]),
        ("craft", &["mpuser-engine", "mpuser-inspect", "mpuser-sim"]),
        ("tun", &["mpuser-capture", "mpuser-engine", "mpuser-record"]),
        ("proxy", &["mpuser-engine", "mpuser-tun"]),
        (
            "cli",
            &[
                "mpuser-craft",
                "mpuser-engine",
                "mpuser-inspect",
                "mpuser-proxy",
                "mpuser-record",
                "mpuser-replay",
                "mpuser-sim",
                "mpuser-tun",
            ],
        ),
    ] {
        let manifest = manifest(member);
        for section in ["[dependencies]", "[dev-dependencies]"] {
            for name in dependencies(&manifest, section).iter().filter(|n| n.starts_with("mpuser"))
            {
                assert!(below.contains(&name.as_str()), "{member} depends on {name}");
            }
        }
    }
}

/// The engine has no `std` to do I/O with, and nobody below it has.
#[test]
fn the_engine_does_no_io() {
    let lib = fs::read_to_string(root().join("engine/src/lib.rs")).expect("the engine");
    assert!(lib.contains("\n#![no_std]\n") && lib.contains("\n#![forbid(unsafe_code)]\n"));
    let known = ["bytes", "hmac", "libm", "mpuser-vector", "rand", "sha2", "siphasher", "subtle"];
    let found = dependencies(&manifest("engine"), "[dependencies]");
    assert_eq!(found, known.map(str::to_owned).into(), "a new dependency of the engine");
    let workspace = manifest(".");
    for name in known {
        if name == "mpuser-vector" {
            let lib = fs::read_to_string(root().join("vector/src/lib.rs")).expect("vector");
            assert!(lib.contains("\n#![no_std]\n"));
            continue;
        }
        let line = workspace.lines().find(|line| line.starts_with(&format!("{name} = ")));
        assert!(line.is_some_and(|l| l.contains("default-features = false")), "{name}: no_std");
    }
    for (file, code) in engine_sources() {
        let std = code.replace("extern crate std;", "").contains("std::");
        assert!(!std, "{}: names std", file.path);
    }
}
