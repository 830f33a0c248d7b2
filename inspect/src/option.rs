//! TCP options as they stand, and MPTCP's in every form of both versions, without loss.

use crate::v0;
use mpuser_engine::wire::{
    Dss, MpCapable, MpJoin, MptcpOption, WireDataSeq, mptcp::KIND, mptcp::subtype,
};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// What is wrong with an option's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says less than 2.
    TooShort(u8),
    /// It reaches behind the options.
    PastEnd {
        /// What it says.
        says: u8,
        /// Octets that are there.
        left: usize,
    },
    /// The capture ends within it.
    NotCaptured,
}

/// One TCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// Octets from the first option.
    pub at: usize,
    /// Kind.
    pub kind: u8,
    /// All its octets, kind and length included; with a fault, all that are left.
    pub bytes: &'a [u8],
    /// What is wrong with its length. Then it is the last.
    pub fault: Option<Fault>,
}

impl<'a> RawOption<'a> {
    /// What follows kind and length.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(2..).unwrap_or_default()
    }

    /// MPTCP's, whole.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        (self.kind == KIND && self.fault.is_none()).then(|| Signal::parse(self.body()))
    }
}

/// The options of a segment, in order.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    captured: &'a [u8],
    /// How long they are on the wire.
    len: usize,
    at: usize,
}

/// Walks over `captured`, of `len` octets on the wire.
#[must_use]
pub const fn options(captured: &[u8], len: usize) -> Options<'_> {
    Options { captured, len, at: 0 }
}

impl<'a> Iterator for Options<'a> {
    type Item = RawOption<'a>;

    fn next(&mut self) -> Option<RawOption<'a>> {
        let at = self.at;
        let rest = self.captured.get(at..)?;
        let kind = *rest.first()?;
        let left = self.len.saturating_sub(at);
        let mut take = |len: usize, fault: Option<Fault>| {
            self.at = if fault.is_none() { at + len } else { usize::MAX };
            let bytes = rest.get(..len).unwrap_or(rest);
            Some(RawOption { at, kind, bytes, fault })
        };
        match kind {
            0 => {
                // nothing behind the end counts
                self.at = usize::MAX;
                Some(RawOption { at, kind, bytes: rest.get(..1)?, fault: None })
            }
            1 => take(1, None),
            _ => match rest.get(1).copied() {
                None if left > 1 => take(rest.len(), Some(Fault::NotCaptured)),
                None => take(rest.len(), Some(Fault::PastEnd { says: 0, left })),
                Some(says @ 0..=1) => take(rest.len(), Some(Fault::TooShort(says))),
                Some(says) if usize::from(says) > left => {
                    take(rest.len(), Some(Fault::PastEnd { says, left }))
                }
                Some(says) if usize::from(says) > rest.len() => {
                    take(rest.len(), Some(Fault::NotCaptured))
                }
                Some(says) => take(says.into(), None),
            },
        }
    }
}

/// An MPTCP option of any version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A form of version 1; most of version 0's are the same.
    V1(MptcpOption),
    /// A form only version 0 has.
    V0(v0::Option0),
    /// No form: the subtype, if there is one.
    Malformed(Option<u8>),
}

impl Signal {
    /// Reads what follows kind and length.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        match MptcpOption::parse(body) {
            MptcpOption::Unknown(raw) => match v0::Option0::parse(body) {
                Some(option) => Self::V0(option),
                None => Self::Malformed(raw.subtype()),
            },
            option => Self::V1(option),
        }
    }
}

/// The name of a subtype.
#[must_use]
pub const fn subtype_name(number: u8) -> &'static str {
    match number {
        subtype::MP_CAPABLE => "MP_CAPABLE",
        subtype::MP_JOIN => "MP_JOIN",
        subtype::DSS => "DSS",
        subtype::ADD_ADDR => "ADD_ADDR",
        subtype::REMOVE_ADDR => "REMOVE_ADDR",
        subtype::MP_PRIO => "MP_PRIO",
        subtype::MP_FAIL => "MP_FAIL",
        subtype::MP_FASTCLOSE => "MP_FASTCLOSE",
        subtype::MP_TCPRST => "MP_TCPRST",
        _ => "unassigned",
    }
}

/// Octets in hex, without anything between.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reserved bits that are not zero: what they are, and their value.
#[must_use]
pub fn reserved(signal: &Signal, body: &[u8]) -> Option<(&'static str, u16)> {
    let first = body.first().copied().unwrap_or_default();
    let second = body.get(1).copied().unwrap_or_default();
    let (name, bits) = match signal {
        Signal::V1(MptcpOption::Join(MpJoin::Ack { .. })) => {
            // RFC 8684 3.2 [OPT-9]
            ("the twelve bits of MP_JOIN", u16::from(first & 0x0f) << 8 | u16::from(second))
        }
        // [OPT-8]
        Signal::V1(MptcpOption::Join(_)) => ("the three bits beside B", u16::from(first & 0x0e)),
        Signal::V1(MptcpOption::Dss(_)) => {
            // [OPT-10]
            ("the seven bits of DSS", u16::from(first & 0x0f) << 3 | u16::from(second >> 5))
        }
        // [OPT-12]
        Signal::V1(MptcpOption::AddAddr(_)) => ("the three bits beside E", u16::from(first & 0x0e)),
        // [OPT-14]
        Signal::V1(MptcpOption::TcpRst(_)) => ("U, V and W", u16::from(first & 0x0e)),
        Signal::V1(MptcpOption::Prio(_)) | Signal::V0(v0::Option0::Prio { .. }) => {
            ("the three bits beside B", u16::from(first & 0x0e))
        }
        Signal::V1(MptcpOption::RemoveAddr(_)) => ("the four bits", u16::from(first & 0x0f)),
        Signal::V1(MptcpOption::Fail(_) | MptcpOption::FastClose(_)) => {
            ("the twelve bits", u16::from(first & 0x0f) << 8 | u16::from(second))
        }
        _ => return None,
    };
    (bits != 0).then_some((name, bits))
}

/// Every field of an MPTCP option, under Wireshark's names (`tcp.options.mptcp.` left out) where it has one.
#[must_use]
pub fn fields(raw: &RawOption<'_>) -> Map<String, Value> {
    let mut all = Map::new();
    let body = raw.body();
    let mut put = |name: &str, value: Value| {
        all.insert(name.to_owned(), value);
    };
    put("raw", json!(hex(raw.bytes)));
    put("offset", json!(raw.at));
    if let Some(length) = raw.bytes.get(1) {
        put("length", json!(length));
    }
    let Some(signal) = raw.signal() else {
        put("malformed", json!(fault_text(raw)));
        return all;
    };
    let first = body.first().copied().unwrap_or_default();
    if !body.is_empty() {
        put("subtype", json!(first >> 4));
        put("name", json!(subtype_name(first >> 4)));
    }
    match signal {
        Signal::V1(option) => version_1(&option, body, &mut put),
        Signal::V0(option) => option.fields(&mut put),
        Signal::Malformed(_) => put("malformed", json!("no form of this subtype has this length")),
    }
    if let Some((what, bits)) = reserved(&signal, body) {
        put("reserved", json!(bits));
        put("reserved_what", json!(what));
    }
    all
}

fn version_1(option: &MptcpOption, body: &[u8], put: &mut impl FnMut(&str, Value)) {
    let first = body.first().copied().unwrap_or_default();
    match option {
        MptcpOption::Capable(capable) => capable_fields(capable, put),
        MptcpOption::Join(join) => join_fields(join, put),
        MptcpOption::Dss(dss) => dss_fields(dss, body, put),
        MptcpOption::AddAddr(add) => {
            put("echo", json!(u8::from(add.echo)));
            put("addrid", json!(add.id.0));
            let name = if add.address.is_ipv4() { "ipv4" } else { "ipv6" };
            put(name, json!(add.address.to_string()));
            if let Some(port) = add.port {
                put("port", json!(port));
            }
            if let Some(hmac) = add.hmac {
                put("addaddrtrunchmac", json!(format!("0x{}", hex(&hmac))));
            }
        }
        MptcpOption::RemoveAddr(remove) => {
            put("addrid", json!(remove.ids().iter().map(|id| id.0).collect::<Vec<_>>()));
        }
        MptcpOption::Prio(prio) => put("backup.flag", json!(u8::from(prio.backup))),
        MptcpOption::Fail(fail) => put("rawdataseqno", json!(fail.data_seq.0)),
        MptcpOption::FastClose(close) => put("recvkey", json!(close.receiver_key.0)),
        MptcpOption::TcpRst(rst) => {
            for (name, bit) in [("flag_U", 8), ("flag_V", 4), ("flag_W", 2), ("flag_T", 1)] {
                put(&format!("{name}.flag"), json!(u8::from(first & bit != 0)));
            }
            put("rst_reason", json!(rst.reason.code()));
        }
        MptcpOption::Unknown(_) => {}
    }
}

fn capable_fields(capable: &MpCapable, put: &mut impl FnMut(&str, Value)) {
    let (version, flags) = match *capable {
        MpCapable::Syn { version, flags }
        | MpCapable::SynAck { version, flags, .. }
        | MpCapable::Ack { version, flags, .. }
        | MpCapable::AckData { version, flags, .. } => (version, flags.0),
    };
    put("version", json!(version));
    put("flags", json!(flags));
    put("checksumreq.flags", json!(flags >> 7));
    put("extensibility.flag", json!(flags >> 6 & 1));
    if version != 0 {
        put("nomoresubflows.flag", json!(flags >> 5 & 1));
    }
    // H is HMAC-SHA1 in version 0
    put(if version == 0 { "sha1.flag" } else { "sha256.flag" }, json!(flags & 1));
    match capable {
        MpCapable::Syn { .. } => {}
        MpCapable::SynAck { sender_key, .. } => put("sendkey", json!(sender_key.0)),
        MpCapable::Ack { sender_key, receiver_key, .. }
        | MpCapable::AckData { sender_key, receiver_key, .. } => {
            put("sendkey", json!(sender_key.0));
            put("recvkey", json!(receiver_key.0));
        }
    }
    if let MpCapable::AckData { data_len, checksum, .. } = capable {
        put("datalvllen", json!(data_len));
        if let Some(checksum) = checksum {
            put("checksum", json!(checksum));
        }
    }
}

fn join_fields(join: &MpJoin, put: &mut impl FnMut(&str, Value)) {
    match *join {
        MpJoin::Syn { backup, address_id, token, nonce } => {
            put("backup.flag", json!(u8::from(backup)));
            put("addrid", json!(address_id.0));
            put("recvtok", json!(token.0));
            put("sendrand", json!(nonce.0));
        }
        MpJoin::SynAck { backup, address_id, hmac, nonce } => {
            put("backup.flag", json!(u8::from(backup)));
            put("addrid", json!(address_id.0));
            put("sendtrunchmac", json!(u64::from_be_bytes(hmac)));
            put("sendrand", json!(nonce.0));
        }
        MpJoin::Ack { hmac } => put("sendhmac", json!(hex(&hmac))),
    }
}

fn dss_fields(dss: &Dss, body: &[u8], put: &mut impl FnMut(&str, Value)) {
    let flags = body.get(1).copied().unwrap_or_default() & 0x1f;
    put("flags", json!(flags));
    for (name, bit) in [
        ("datafin.flag", 0x10),
        ("dseqn8.flag", 0x08),
        ("dseqnpresent.flag", 0x04),
        ("dataack8.flag", 0x02),
        ("dataackpresent.flag", 0x01),
    ] {
        put(name, json!(u8::from(flags & bit != 0)));
    }
    if let Some(ack) = dss.data_ack {
        put("rawdataack", json!(number(ack)));
    }
    if let Some(mapping) = dss.mapping {
        put("rawdataseqno", json!(number(mapping.data_seq)));
        put("subflowseqno", json!(mapping.subflow_seq.0));
        put("datalvllen", json!(mapping.data_len));
        if let Some(checksum) = mapping.checksum {
            put("checksum", json!(checksum));
        }
    }
}

/// The octets as a number, whichever width they have.
const fn number(seq: WireDataSeq) -> u64 {
    match seq {
        WireDataSeq::Short(low) => low as u64,
        WireDataSeq::Long(all) => all,
    }
}

/// What is wrong with an option, in words.
#[must_use]
pub fn fault_text(raw: &RawOption<'_>) -> String {
    match raw.fault {
        Some(Fault::TooShort(says)) => format!("length {says}, less than kind and length take"),
        Some(Fault::PastEnd { says, left }) => format!("length {says}, but {left} octets are left"),
        Some(Fault::NotCaptured) => "not captured whole".to_owned(),
        None => match raw.body().first() {
            Some(first) => format!(
                "{} of {} octets, which no form has",
                subtype_name(first >> 4),
                raw.bytes.len()
            ),
            None => "no subtype".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
