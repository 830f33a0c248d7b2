//! One line for a packet, in tcpdump's spirit, and one object.

use crate::option::{RawOption, Signal, fault_text, fields, hex, options, reserved, subtype_name};
use crate::packet::{ACK, ChecksumState, Content, FIN, PSH, Packet, RST, SYN, URG};
use crate::read::{Frame, LinkError};
use crate::trace::Placed;
use mpuser_engine::wire::mptcp::KIND;
use mpuser_engine::wire::{FastOpenCookie, MptcpOption};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The time since the first packet, as tcpdump's `-ttttt`; with six or nine digits as the capture has.
fn time_text(time: Option<i64>, first: Option<i64>) -> String {
    let (Some(time), Some(first)) = (time, first) else { return "-".to_owned() };
    let since = time.saturating_sub(first);
    let sign = if since < 0 { "-" } else { "" };
    let since = since.unsigned_abs();
    let (seconds, rest) = (since / 1_000_000_000, since % 1_000_000_000);
    if rest % 1000 == 0 {
        format!("{sign}{seconds}.{:06}", rest / 1000)
    } else {
        format!("{sign}{seconds}.{rest:09}")
    }
}

/// The flags in tcpdump's letters.
#[must_use]
pub fn flag_letters(flags: u16) -> String {
    let all = [(FIN, 'F'), (SYN, 'S'), (RST, 'R'), (PSH, 'P'), (ACK, '.'), (URG, 'U')];
    let more = [(0x40, 'E'), (0x80, 'W'), (0x100, 'e')];
    let set = all.into_iter().chain(more).filter(|(bit, _)| flags & bit != 0);
    let text: String = set.map(|(_, letter)| letter).collect();
    if text.is_empty() { "none".to_owned() } else { text }
}

/// One line for a TCP segment. `first` is the time of the first packet of the file.
#[must_use]
pub fn line(packet: &Packet<'_>, placed: &Placed, first: Option<i64>) -> String {
    let mut text = format!("{:>5} {} ", packet.number, time_text(packet.time, first));
    match placed.connection {
        Some(connection) => {
            let _ = write!(text, "{connection}.{} ", placed.stream);
        }
        None => {
            let _ = write!(text, "-.{} ", placed.stream);
        }
    }
    let _ = write!(text, "{} > {}: [{}]", packet.src, packet.dst, flag_letters(packet.flags));
    let len = i64::from(packet.seq_len());
    if len > 0 {
        let _ = write!(text, " seq {}:{}", placed.seq, placed.seq + len);
    } else {
        let _ = write!(text, " seq {}", placed.seq);
    }
    if packet.has(ACK) {
        let _ = write!(text, " ack {}", placed.ack);
    }
    let _ = write!(text, " win {}", packet.window);
    if packet.has(URG) {
        let _ = write!(text, " urg {}", packet.urgent);
    }
    let all: Vec<String> =
        options(packet.options, packet.options_len).map(|raw| option_text(&raw, placed)).collect();
    if !all.is_empty() {
        let _ = write!(text, " [{}]", all.join(", "));
    }
    let _ = write!(text, " len {}", packet.payload_len);
    if packet.payload.len() < packet.payload_len as usize {
        let _ = write!(text, " ({} captured)", packet.payload.len());
    }
    if packet.options.len() < packet.options_len {
        text.push_str(" [options not captured whole]");
    }
    if packet.checksum == ChecksumState::Bad {
        text.push_str(" [bad TCP checksum]");
    }
    text
}

/// One option.
fn option_text(raw: &RawOption<'_>, placed: &Placed) -> String {
    if raw.fault.is_some() {
        let name = if raw.kind == KIND { "mptcp" } else { "option" };
        return format!(
            "{name} kind {} at {}: BAD {} ({})",
            raw.kind,
            raw.at,
            fault_text(raw),
            hex(raw.bytes)
        );
    }
    match raw.signal() {
        Some(signal) => signal_text(raw, &signal, placed),
        None => plain_text(raw),
    }
}

fn signal_text(raw: &RawOption<'_>, signal: &Signal, placed: &Placed) -> String {
    let mut text = String::from("mptcp ");
    match signal {
        Signal::V1(MptcpOption::Dss(dss)) => {
            let _ = write!(text, "{dss}");
            if let Some(dsn) = placed.dsn {
                let _ = write!(text, " = dsn {dsn}");
                if let Some(mapping) = dss.mapping.filter(|m| m.data_len > 0) {
                    let _ = write!(text, ":{}", dsn + i64::from(mapping.data_len));
                }
            }
            if let Some(ack) = placed.data_ack {
                let _ = write!(text, " dack {ack}");
            }
        }
        // keys are what a capture is read for; the engine itself never prints them
        Signal::V1(MptcpOption::Capable(_) | MptcpOption::FastClose(_)) => {
            let all = fields(raw);
            let number = |name: &str| all.get(name).and_then(Value::as_u64);
            let name = raw.body().first().map_or("", |first| subtype_name(first >> 4));
            text.push_str(if name == "MP_CAPABLE" { "capable" } else { "fast-close" });
            if let (Some(version), Some(flags)) = (number("version"), number("flags")) {
                let _ = write!(text, " v{version} flags {flags:#04x}");
            }
            for (name, field) in [("key", "sendkey"), ("peer-key", "recvkey")] {
                if let Some(key) = number(field) {
                    let _ = write!(text, " {name} {key:#018x}");
                }
            }
            if let Some(len) = number("datalvllen") {
                let _ = write!(text, " len {len}");
            }
            if let Some(checksum) = number("checksum") {
                let _ = write!(text, " csum {checksum:#06x}");
            }
        }
        Signal::V1(option) => {
            let _ = write!(text, "{option}");
        }
        Signal::V0(option) => {
            let _ = write!(text, "{option}");
        }
        Signal::Malformed(_) => {
            let _ = write!(text, "at {}: BAD {} ({})", raw.at, fault_text(raw), hex(raw.bytes));
        }
    }
    if let Some((what, bits)) = reserved(signal, raw.body()) {
        let _ = write!(text, " (reserved, {what}: {bits:#x})");
    }
    text
}

/// Options of TCP itself.
fn plain_text(raw: &RawOption<'_>) -> String {
    let body = raw.body();
    let half =
        |at: usize| body.get(at..).and_then(|b| b.first_chunk()).map(|b| u16::from_be_bytes(*b));
    let word =
        |at: usize| body.get(at..).and_then(|b| b.first_chunk()).map(|b| u32::from_be_bytes(*b));
    match (raw.kind, body.len()) {
        (0, _) => "eol".to_owned(),
        (1, _) => "nop".to_owned(),
        (2, 2) => format!("mss {}", half(0).unwrap_or_default()),
        (3, 1) => format!("wscale {}", body.first().copied().unwrap_or_default()),
        (4, 0) => "sackOK".to_owned(),
        (5, len) if len > 0 && len % 8 == 0 => {
            let blocks = (0..len / 8).map(|i| {
                format!(
                    "{}:{}",
                    word(i * 8).unwrap_or_default(),
                    word(i * 8 + 4).unwrap_or_default()
                )
            });
            format!("sack {}", blocks.collect::<Vec<_>>().join(" "))
        }
        (8, 8) => {
            format!("TS val {} ecr {}", word(0).unwrap_or_default(), word(4).unwrap_or_default())
        }
        (34, 0) => "tfo cookiereq".to_owned(),
        (34, _) if FastOpenCookie::new(body).is_some() => format!("tfo cookie {}", hex(body)),
        (kind, _) => format!("opt-{kind} {}", hex(body)),
    }
}

/// A line for a frame that holds no TCP segment.
#[must_use]
pub fn other_line(frame: &Frame<'_>, content: &Content<'_>, first: Option<i64>) -> String {
    let head = format!("{:>5} {} ", frame.number, time_text(frame.time, first));
    let what = match content {
        Content::Tcp(_) => "TCP".to_owned(),
        Content::Fragment { src, dst, offset } => {
            format!(
                "{src} > {dst}: a fragment, from octet {offset} on; fragments are not put together"
            )
        }
        Content::NotTcp(protocol) => format!("IP protocol {protocol}"),
        Content::NotIp(kind) => format!("ethertype {kind:#06x}"),
        Content::Link(LinkError::Short) => "the frame ends within its link layer".to_owned(),
        Content::Link(error) => error.to_string(),
        Content::Malformed { at, what } => format!("BAD at octet {at} of the frame: {what}"),
    };
    head + &what
}

/// One object for a TCP segment.
#[must_use]
pub fn object(packet: &Packet<'_>, placed: &Placed) -> Value {
    let (mut mptcp, mut tcp) = (Vec::new(), Vec::new());
    for raw in options(packet.options, packet.options_len) {
        if raw.kind == KIND {
            mptcp.push(Value::Object(fields(&raw)));
        } else {
            let mut option = Map::new();
            option.insert("kind".to_owned(), json!(raw.kind));
            option.insert("offset".to_owned(), json!(raw.at));
            option.insert("raw".to_owned(), json!(hex(raw.bytes)));
            if raw.fault.is_some() {
                option.insert("malformed".to_owned(), json!(fault_text(&raw)));
            } else {
                option.insert("text".to_owned(), json!(plain_text(&raw)));
            }
            tcp.push(Value::Object(option));
        }
    }
    json!({
        "packet": packet.number,
        "time_ns": packet.time,
        "stream": placed.stream,
        "connection": placed.connection,
        "from": placed.from,
        "src": packet.src.ip().to_string(),
        "sport": packet.src.port(),
        "dst": packet.dst.ip().to_string(),
        "dport": packet.dst.port(),
        "flags": flag_letters(packet.flags),
        "flags_raw": packet.flags,
        "seq": placed.seq,
        "seq_raw": packet.seq,
        "ack": packet.has(ACK).then_some(placed.ack),
        "ack_raw": packet.ack,
        "window": packet.window,
        "urgent": packet.urgent,
        "len": packet.payload_len,
        "captured": packet.payload.len(),
        "checksum": match packet.checksum {
            ChecksumState::Good => "good",
            ChecksumState::Bad => "bad",
            ChecksumState::Unfilled => "unfilled",
            ChecksumState::Unknown => "unknown",
        },
        "dsn": placed.dsn,
        "data_ack": placed.data_ack,
        "options": tcp,
        "mptcp": mptcp,
        "options_offset": packet.options_at,
        "options_missing": packet.options_len - packet.options.len().min(packet.options_len),
    })
}

/// One object for a frame that holds no TCP segment.
#[must_use]
pub fn other_object(frame: &Frame<'_>, content: &Content<'_>) -> Value {
    let what = other_line(frame, content, None);
    let what = what.split_once(" - ").map_or(what.as_str(), |(_, rest)| rest);
    json!({
        "packet": frame.number,
        "time_ns": frame.time,
        "not_tcp": what,
        "len": frame.wire_len,
        "captured": frame.data.len(),
    })
}
