//! Our reading of every capture beside scapy's: header fields, kinds and octets of all options, payload. scapy has no
//! MPTCP layer, so it takes option kind 30 as octets, and so do we here. Every difference stands in `EXPLAINED`, or the
//! test fails.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use common::{captures, each, name};
use mpuser_inspect::Packet;
use mpuser_inspect::option::options;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Part of the file's name, the field, and why we differ.
const EXPLAINED: &[(&str, &str, &str)] = &[(
    "m14",
    "options",
    "an option of length 0: scapy goes on behind its length, we stop as the kernel does",
)];

/// Segments by their number in the file, fields by name.
type Segments = BTreeMap<u64, Value>;

/// A Python that has scapy: the one in the path, or the one Debian's package is for.
fn python() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let mut command = Command::new(python);
        command.args(["-c", "import scapy.layers.inet"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    })
}

/// What scapy says of these files.
fn theirs(python: &str, files: &[PathBuf]) -> Vec<Segments> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scapy_dump.py");
    let output = Command::new(python).arg(script).args(files).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let mut said = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut value: Value = serde_json::from_str(line).expect("a line of JSON");
        let fields = value.as_object_mut().expect("an object");
        if fields.contains_key("file") {
            said.push(Segments::new());
            continue;
        }
        let number = fields.remove("number").and_then(|n| n.as_u64()).expect("a number");
        said.last_mut().expect("a file").insert(number, value);
    }
    assert_eq!(said.len(), files.len());
    said
}

fn ours(file: &Path) -> Segments {
    let bytes = std::fs::read(file).expect("a capture");
    let mut said = Segments::new();
    each(&bytes, |packet| {
        said.insert(packet.number, fields(packet));
    });
    said
}

fn fields(packet: &Packet<'_>) -> Value {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let all: Vec<Value> = options(packet.options, packet.options_len)
        .map(|option| json!([option.kind, hex(option.body())]))
        .collect();
    json!({
        "src": packet.src.ip().to_string(),
        "dst": packet.dst.ip().to_string(),
        "sport": packet.src.port(),
        "dport": packet.dst.port(),
        "seq": packet.seq,
        "ack": packet.ack,
        "flags": packet.flags,
        "window": packet.window,
        "urgent": packet.urgent,
        "options": all,
        "payload": [packet.payload.len(), crc(packet.payload)],
    })
}

/// CRC-32 as in zlib.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    let table: Vec<u32> = (0..256).map(|n| (0..8).fold(n, |crc, _| step(crc))).collect();
    !bytes.iter().fold(!0, |crc, byte| table[(crc as u8 ^ byte) as usize] ^ crc >> 8)
}

/// A line of the table, and what is not explained.
fn compare(file: &Path, ours: &Segments, theirs: &Segments) -> (String, Vec<String>) {
    let name = name(file);
    let (mut differences, mut reasons) = (Vec::new(), BTreeMap::<&str, usize>::new());
    let mut values = 0;
    let mut differ = |field: &str, text: String| {
        let known = EXPLAINED.iter().find(|(part, of, _)| name.contains(part) && *of == field);
        match known {
            Some((.., why)) => *reasons.entry(why).or_default() += 1,
            None => differences.push(format!("{name} {text}")),
        }
    };
    for (number, theirs) in theirs {
        let Some(ours) = ours.get(number) else {
            differ("segment", format!("packet {number}: only scapy sees TCP"));
            continue;
        };
        for (field, value) in theirs.as_object().into_iter().flatten() {
            values += 1;
            if ours.get(field) != Some(value) {
                differ(
                    field,
                    format!("packet {number} {field}: ours {}, scapy {value}", ours[field]),
                );
            }
        }
    }
    for number in ours.keys().filter(|number| !theirs.contains_key(number)) {
        differ("segment", format!("packet {number}: only we see TCP"));
    }
    let equal = match (differences.is_empty(), reasons.is_empty()) {
        (true, true) => "yes".to_owned(),
        (true, false) => {
            format!("but for: {}", reasons.keys().copied().collect::<Vec<_>>().join("; "))
        }
        _ => "NO".to_owned(),
    };
    (format!("{name:<60} {:>8} {values:>8} {equal}", ours.len()), differences)
}

#[test]
fn octets_are_those_of_scapy() {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "scapy is missing");
        eprintln!("SKIPPED: octets_are_those_of_scapy: scapy is not installed (python3-scapy)");
        return;
    };
    let files = captures();
    let half = files.len().div_ceil(2).max(1);
    let results: Vec<(String, Vec<String>)> = std::thread::scope(|scope| {
        let work = |part: &[PathBuf]| -> Vec<_> {
            let theirs = theirs(python, part);
            part.iter()
                .zip(&theirs)
                .map(|(file, theirs)| compare(file, &ours(file), theirs))
                .collect()
        };
        let parts: Vec<_> =
            files.chunks(half).map(|part| scope.spawn(move || work(part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    });
    println!("{:<60} {:>8} {:>8} ours = scapy", "capture", "segments", "values");
    for (row, _) in &results {
        println!("{row}");
    }
    let differences: Vec<&String> = results.iter().flat_map(|(_, found)| found).collect();
    for difference in differences.iter().take(60) {
        println!("{difference}");
    }
    assert!(differences.is_empty(), "{} differences without an explanation", differences.len());
}
