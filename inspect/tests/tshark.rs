//! Our decoding of every capture beside tshark's, field by field. Every difference stands in `EXPLAINED`, or the test
//! fails.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use common::{captures, each, inspect, name};
use mpuser_inspect::option::{fields, options};
use mpuser_inspect::{Settings, Trace};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Fields of single options; tshark's have `tcp.options.mptcp.` before them.
const FIELDS: [&str; 33] = [
    "subtype",
    "version",
    "flags",
    "checksumreq.flags",
    "extensibility.flag",
    "nomoresubflows.flag",
    "sha256.flag",
    "backup.flag",
    "sendkey",
    "recvkey",
    "recvtok",
    "sendrand",
    "sendtrunchmac",
    "sendhmac",
    "addrid",
    "echo",
    "ipver",
    "ipv4",
    "ipv6",
    "port",
    "addaddrtrunchmac",
    "datafin.flag",
    "dseqn8.flag",
    "dseqnpresent.flag",
    "dataack8.flag",
    "dataackpresent.flag",
    "rawdataack",
    "rawdataseqno",
    "subflowseqno",
    "datalvllen",
    "checksum",
    "flag_T.flag",
    "rst_reason",
];
/// Of the packet.
const HEAD: [&str; 6] =
    ["frame.number", "tcp.stream", "mptcp.stream", "tcp.seq_raw", "tcp.ack_raw", "tcp.len"];

/// Differences that were looked at: part of the file's name (`*` is every file), the field, whether it is only missing
/// at tshark, and why.
const EXPLAINED: &[(&str, &str, bool, &str)] = &[
    ("*", "checksum", true, "tshark shows no checksum of a DSS"),
    ("own11", "connections", false, FIRST_KEY),
    ("own14", "connections", false, FIRST_KEY),
    (
        "m04",
        "connections",
        false,
        "the token is damaged: tshark makes another connection, we go by HMAC",
    ),
    ("m09", "*", false, "a DSS without a form: tshark reads what it can, we show its octets"),
    ("mod_tok", "connections", false, "a join for nobody: to tshark a connection of its own"),
];
const FIRST_KEY: &str = "tshark counts from the first key on, we from MP_CAPABLE on the SYN";

/// Values of one field of one packet, in the order of the options.
type Values = BTreeMap<String, Vec<String>>;

/// What one of the two says of a file.
#[derive(Default)]
struct Said {
    packets: BTreeMap<u64, Values>,
    options: usize,
    connections: usize,
    streams: usize,
}

/// Numbers as numbers, octets without separators.
fn plain(value: &str) -> String {
    let value = value.trim();
    match value.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16)) {
        Some(Ok(number)) => number.to_string(),
        _ => match value {
            "True" => "1".to_owned(),
            "False" => "0".to_owned(),
            other => other.replace(':', if other.matches(':').count() > 8 { "" } else { ":" }),
        },
    }
}

fn tshark(file: &Path) -> Option<Said> {
    let mut command = Command::new("tshark");
    command.args([
        "-n",
        "-d",
        "tcp.port==1-65535,data",
        "-Y",
        "tcp and not icmp and not icmpv6",
        "-T",
        "fields",
    ]);
    command.args([
        "-o",
        "tcp.desegment_tcp_streams:FALSE",
        "-o",
        "tcp.relative_sequence_numbers:TRUE",
    ]);
    command.args(["-E", "separator=|", "-E", "occurrence=a", "-E", "aggregator=;"]);
    for field in HEAD {
        command.args(["-e", field]);
    }
    for field in FIELDS {
        command.args(["-e", &format!("tcp.options.mptcp.{field}")]);
    }
    let output = command.arg("-r").arg(file).stderr(Stdio::null()).output().ok()?;
    let mut said = Said::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let columns: Vec<&str> = line.split('|').collect();
        let mut values = Values::new();
        for (field, column) in HEAD.iter().chain(&FIELDS).zip(&columns) {
            if !column.is_empty() {
                values.insert((*field).to_owned(), column.split(';').map(plain).collect());
            }
        }
        let number = |field: &str| -> Option<usize> { values.get(field)?.first()?.parse().ok() };
        said.options += values.get("subtype").map_or(0, Vec::len);
        said.connections = said.connections.max(number("mptcp.stream").map_or(0, |n| n + 1));
        said.streams = said.streams.max(number("tcp.stream").map_or(0, |n| n + 1));
        if let Some(frame) = number("frame.number") {
            values.remove("mptcp.stream");
            values.remove("frame.number");
            said.packets.insert(frame as u64, values);
        }
    }
    Some(said)
}

fn ours(bytes: &[u8]) -> Said {
    let mut said = Said::default();
    let mut trace = Trace::new(Settings::default());
    each(bytes, |packet| {
        let placed = trace.push(packet);
        let mut values = Values::new();
        values.insert("tcp.stream".to_owned(), vec![placed.stream.to_string()]);
        values.insert("tcp.seq_raw".to_owned(), vec![packet.seq.to_string()]);
        values.insert("tcp.ack_raw".to_owned(), vec![packet.ack.to_string()]);
        values.insert("tcp.len".to_owned(), vec![packet.payload_len.to_string()]);
        for raw in options(packet.options, packet.options_len)
            .filter(|raw| raw.kind == 30 && raw.fault.is_none())
        {
            said.options += 1;
            let mut all = fields(&raw);
            let subtype = all.get("subtype").and_then(serde_json::Value::as_u64);
            if matches!(subtype, Some(5 | 8)) || subtype == Some(1) && raw.bytes.len() < 24 {
                // the whole first octet, in tshark's words
                all.insert("flags".to_owned(), raw.body()[0].into());
            }
            for field in FIELDS {
                let Some(value) = all.get(field) else { continue };
                let list = match value {
                    serde_json::Value::Array(all) => all.clone(),
                    one => vec![one.clone()],
                };
                let text = list.iter().map(|v| plain(&v.to_string().replace('"', "")));
                values.entry(field.to_owned()).or_default().extend(text);
            }
        }
        said.packets.insert(packet.number, values);
    });
    let report = trace.finish();
    said.streams = report.streams.len();
    said.connections = report.connections.len();
    said
}

fn explained(file: &str, field: &str, missing: bool) -> Option<&'static str> {
    let fits = |(part, of, only, _): &&(&str, &str, bool, &str)| {
        (*part == "*" || file.contains(part)) && (*of == field || *of == "*") && (missing || !only)
    };
    EXPLAINED.iter().find(fits).map(|(_, _, _, why)| *why)
}

/// A line of the table, and what is not explained.
fn compare(file: &Path, theirs: &Said) -> (String, Vec<String>) {
    let name = name(file);
    let bytes = std::fs::read(file).expect("a capture");
    let ours = ours(&bytes);
    let (mut differences, mut reasons) = (Vec::new(), BTreeMap::<&str, usize>::new());
    let mut values = 0;
    let mut differ =
        |field: &str, missing: bool, text: String| match explained(&name, field, missing) {
            Some(why) => *reasons.entry(why).or_default() += 1,
            None => differences.push(format!("{name} {text}")),
        };
    for (number, theirs) in &theirs.packets {
        let Some(ours) = ours.packets.get(number) else {
            differ("packet", false, format!("packet {number}: only tshark sees TCP"));
            continue;
        };
        let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for field in names {
            values += 1;
            let (a, b) = (ours.get(field), theirs.get(field));
            if a != b {
                differ(
                    field,
                    b.is_none(),
                    format!("packet {number} {field}: ours {a:?}, tshark {b:?}"),
                );
            }
        }
    }
    for number in ours.packets.keys().filter(|number| !theirs.packets.contains_key(number)) {
        differ("packet", false, format!("packet {number}: only we see TCP"));
    }
    for (what, a, b) in [
        ("connections", ours.connections, theirs.connections),
        ("streams", ours.streams, theirs.streams),
        ("options", ours.options, theirs.options),
    ] {
        if a != b {
            differ(what, false, format!("{what}: ours {a}, tshark {b}"));
        }
    }
    let (report, _) = inspect(&bytes);
    let joined: usize = report.connections.iter().map(|c| c.subflows.len()).sum();
    let equal = match (differences.is_empty(), reasons.is_empty()) {
        (true, true) => "yes".to_owned(),
        (true, false) => {
            format!("but for: {}", reasons.keys().copied().collect::<Vec<_>>().join("; "))
        }
        _ => "NO".to_owned(),
    };
    let row = format!(
        "{name:<60} {:>7} {:>7} {:>5} {joined:>5} {values:>8} {equal}",
        ours.packets.len(),
        ours.options,
        ours.connections,
    );
    (row, differences)
}

#[test]
fn fields_are_those_of_tshark() {
    if Command::new("tshark")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        assert!(std::env::var_os("CI").is_none(), "tshark is missing");
        eprintln!("SKIPPED: fields_are_those_of_tshark: tshark is not installed");
        return;
    }
    let files = captures();
    // two at a time: most of tshark's time is its start
    let half = files.len().div_ceil(2).max(1);
    let results: Vec<(String, Vec<String>)> = std::thread::scope(|scope| {
        let work = |part: &[PathBuf]| -> Vec<_> {
            part.iter().map(|file| compare(file, &tshark(file).expect("tshark runs"))).collect()
        };
        let parts: Vec<_> =
            files.chunks(half).map(|part| scope.spawn(move || work(part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    });
    println!(
        "{:<60} {:>7} {:>7} {:>5} {:>5} {:>8} ours = tshark",
        "capture", "packets", "options", "conns", "subfl", "values"
    );
    for (row, _) in &results {
        println!("{row}");
    }
    let differences: Vec<&String> =
        results.iter().flat_map(|(_, differences)| differences).collect();
    for difference in differences.iter().take(60) {
        println!("{difference}");
    }
    assert!(differences.is_empty(), "{} differences without an explanation", differences.len());
}
