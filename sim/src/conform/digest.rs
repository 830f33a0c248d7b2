//! What was seen, in few words that two stacks can be compared by.

use super::data_level::HandMade as _;
use super::packet::Packet;
use super::probe::Probe;
use mpuser_engine::seq::DataSeq;
use mpuser_engine::wire::{Dss, MpCapable, MptcpOption};

/// The words for one packet: what it means, not what it weighs. Empty for an ACK without a signal.
#[must_use]
pub fn words(probe: &Probe<'_>, packet: &Packet) -> String {
    let mut words: Vec<String> = Vec::new();
    let flags = packet.header.flags;
    match (flags.syn, packet.header.ack.is_some()) {
        (true, true) => words.push("SYN/ACK".into()),
        (true, false) => words.push("SYN".into()),
        _ => {}
    }
    if flags.rst {
        words.push("RST".into());
    }
    if flags.fin {
        words.push("FIN".into());
    }
    let data = packet.payload.len();
    let dss = packet.dss();
    let covered = dss.is_some_and(|dss| dss.mapping.is_some());
    if data > 0 && !covered {
        words.push("data".into());
    }
    if let Some(dss) = dss {
        words.extend(mapping_words(probe, &dss, data));
    }
    words.extend(packet.mptcp.iter().filter_map(|option| signal_words(probe, option)));
    words.join(" ")
}

fn mapping_words(probe: &Probe<'_>, dss: &Dss, data: usize) -> Option<String> {
    let mapping = dss.mapping?;
    let start = probe.own_offset(mapping.data_seq.expand(probe.own_dsn(0)));
    if mapping.data_len == 0 {
        return Some(format!("infinite map at {start}"));
    }
    Some(match (data > 0, dss.data_fin) {
        (true, false) => "data".to_owned(),
        (true, true) => "data DATA_FIN".to_owned(),
        (false, true) => format!("DATA_FIN at {start}"),
        (false, false) => "map without data".to_owned(),
    })
}

fn signal_words(probe: &Probe<'_>, option: &MptcpOption) -> Option<String> {
    Some(match option {
        MptcpOption::Dss(_) => return None,
        MptcpOption::Capable(capable) => capable_words(capable),
        MptcpOption::Join(join) => format!("MP_JOIN len {}", join.wire_len()),
        MptcpOption::AddAddr(add) if add.echo => {
            format!("echo id {} len {}", add.id.0, add.wire_len())
        }
        MptcpOption::AddAddr(add) => format!("ADD_ADDR len {}", add.wire_len()),
        MptcpOption::RemoveAddr(_) => "REMOVE_ADDR".to_owned(),
        MptcpOption::Prio(prio) => format!("MP_PRIO {}", u8::from(prio.backup)),
        MptcpOption::Fail(fail) => format!("MP_FAIL at {}", probe.offset_of(fail.data_seq)),
        MptcpOption::FastClose(close) => {
            let right = if probe.is_own_key(close.receiver_key) { "" } else { " with a wrong key" };
            format!("FASTCLOSE{right}")
        }
        MptcpOption::TcpRst(rst) => format!("reason {}", rst.reason.code()),
        MptcpOption::Unknown(raw) => format!("unknown option len {}", raw.wire_len()),
    })
}

/// MP_CAPABLE: length, version unless 1, flags unless H alone.
fn capable_words(capable: &MpCapable) -> String {
    let mut text = format!("MP_CAPABLE len {}", capable.wire_len());
    if capable.version() != 1 {
        text.push_str(&format!(" v{}", capable.version()));
    }
    let bits = capable.flags().0;
    for (bit, letter) in [(0x80, 'A'), (0x40, 'B'), (0x20, 'C'), (0x01, 'H')] {
        if bits & bit != 0 {
            text.push_str(if text.contains("flags") { "" } else { " flags " });
            text.push(letter);
        }
    }
    text
}

impl Probe<'_> {
    /// What these packets say, in order; repetitions and ACKs without a signal are left out. `nothing` when no packet
    /// is there, `ACK` when none says anything.
    #[must_use]
    pub fn digest(&self, packets: &[Packet]) -> String {
        let mut all: Vec<String> = Vec::new();
        for packet in packets {
            let words = words(self, packet);
            if !words.is_empty() && all.last() != Some(&words) {
                all.push(words);
            }
        }
        match (packets.is_empty(), all.is_empty()) {
            (true, _) => "nothing".to_owned(),
            (false, true) => "ACK".to_owned(),
            (false, false) => all.join(", "),
        }
    }

    /// The largest Data ACK among these packets, as an offset of the probe's stream.
    #[must_use]
    pub fn data_acked(&self, packets: &[Packet]) -> Option<i64> {
        packets.iter().filter_map(|packet| self.data_ack(packet)).max()
    }

    /// The Data ACK of a packet, as an offset of the probe's stream.
    #[must_use]
    pub fn data_ack(&self, packet: &Packet) -> Option<i64> {
        let ack = packet.dss()?.data_ack?;
        Some(self.offset_of(ack.expand(self.dsn(0))))
    }

    /// Where in the probe's stream a DSN stands.
    #[must_use]
    pub fn offset_of(&self, seq: DataSeq) -> i64 {
        seq.since(self.dsn(0))
    }

    /// Where in the stack's stream a DSN stands.
    #[must_use]
    pub fn own_offset(&self, seq: DataSeq) -> i64 {
        seq.since(self.own_dsn(0))
    }
}

/// Bytes in few words: themselves if short and readable, else their number and whether they are the probe's pattern.
#[must_use]
pub fn bytes_words(data: &[u8]) -> String {
    let readable = data.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    if data.is_empty() {
        "no bytes".to_owned()
    } else if readable && data.len() <= 16 {
        format!("'{}'", String::from_utf8_lossy(data))
    } else {
        let state = if *data == pattern(data.len()) { "intact" } else { "not the pattern" };
        format!("{} bytes {state}", data.len())
    }
}

/// Test data: byte `i` is `i % 251`, so that no shift goes unnoticed.
#[must_use]
pub fn pattern(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}
