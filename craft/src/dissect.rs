//! Packets taken apart into layers: the way back from octets to what could have been said.

use crate::build::Known;
use crate::layer::{Layer, Stack};
use crate::table::Kind;
use crate::value::Value;
use mpuser_engine::wire::ip::protocol;
use mpuser_engine::wire::{IpHeader, MpCapable, MpJoin, MptcpOption, WireDataSeq};
use mpuser_inspect::option::{RawOption, Signal, options, reserved};
use mpuser_inspect::v0::Option0;
use std::fmt;
use std::net::IpAddr;

/// Why octets are no TCP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DissectError {
    /// The IP header cannot be read.
    Ip(mpuser_engine::wire::Error),
    /// Another protocol than TCP.
    NotTcp(u8),
    /// The TCP header is cut short, or its length cannot be.
    Tcp,
}

impl fmt::Display for DissectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(error) => error.fmt(f),
            Self::NotTcp(number) => write!(f, "IP protocol {number}, not TCP"),
            Self::Tcp => f.write_str("the TCP header is cut short, or its length cannot be"),
        }
    }
}

impl std::error::Error for DissectError {}

/// Fields that are said however they can be filled in: who, where to, and what moves.
const KEPT: [&str; 12] =
    ["src", "dst", "ttl", "hlim", "sport", "dport", "seq", "ack", "flags", "window", "load", "H"];

/// Takes a packet apart. What a field has to be anyway (lengths, right checksums) is not said, so that building the
/// layers again gives the same octets and whatever is said is worth reading.
///
/// # Errors
/// It is no TCP packet, or the beginning of its headers is missing.
pub fn dissect(packet: &[u8]) -> Result<Stack, DissectError> {
    let ip = IpHeader::parse_beginning(packet).map_err(DissectError::Ip)?;
    if ip.protocol != protocol::TCP {
        return Err(DissectError::NotTcp(ip.protocol));
    }
    // what is behind the packet is padding of the link
    let packet = packet.get(..ip.total_len.max(ip.header_len)).unwrap_or(packet);
    let segment = packet.get(ip.header_len..).ok_or(DissectError::Tcp)?;
    let (fixed, rest) = segment.split_first_chunk::<20>().ok_or(DissectError::Tcp)?;
    let tcp_len = usize::from(fixed[12] >> 4) * 4;
    let options_len = tcp_len.checked_sub(20).ok_or(DissectError::Tcp)?;
    let (option_octets, payload) = rest.split_at_checked(options_len).ok_or(DissectError::Tcp)?;

    let network = network(packet, &ip);
    let assemble = |layers: Vec<Layer>| {
        let mut stack = Stack::from(network.clone());
        stack.push(transport(fixed));
        layers.into_iter().for_each(|layer| stack.push(layer));
        if !payload.is_empty() {
            stack.push(Layer::new(Kind::Raw).with("load", payload));
        }
        stack
    };
    let stack = assemble(option_layers(option_octets));
    let same = |stack: &Stack| stack.build(&nothing(&ip)).is_ok_and(|built| built.bytes == packet);
    // an option no layer has all bits of
    let stack = if same(&stack) || option_octets.is_empty() {
        stack
    } else {
        let raw = assemble(vec![Layer::new(Kind::Octet).with("data", option_octets)]);
        if same(&raw) { raw } else { stack }
    };
    Ok(if same(&stack) { spare(stack, same) } else { stack })
}

/// Nothing is known, so nothing but lengths, checksums and defaults is filled in.
fn nothing(ip: &IpHeader) -> Known {
    let (local, remote) = (ip.src, ip.dst);
    Known { local: (local, 0).into(), remote: (remote, 0).into(), key: None, ..Known::default() }
}

/// Takes back what need not be said: fields, and padding behind the options.
fn spare(mut stack: Stack, same: impl Fn(&Stack) -> bool) -> Stack {
    while let Some(shorter) = stack.without_last_nop().filter(&same) {
        stack = shorter;
    }
    for index in 0..stack.layers().len() {
        let Some(layer) = stack.layers().get(index) else { continue };
        // the flags of IP are nearly always the same
        let kept =
            |name: &str| KEPT.contains(&name) && !(layer.kind() == Kind::Ip && name == "flags");
        let names: Vec<&str> =
            layer.said().map(|(field, _)| field.name).filter(|name| !kept(name)).collect();
        for name in names {
            let spared = stack.without(index, name);
            if same(&spared) {
                stack = spared;
            }
        }
    }
    stack
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |two| u16::from_be_bytes(*two))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |four| u32::from_be_bytes(*four))
}

fn network(packet: &[u8], ip: &IpHeader) -> Layer {
    let octet = |at: usize| packet.get(at).copied().unwrap_or_default();
    match ip.src {
        IpAddr::V4(_) => Layer::new(Kind::Ip)
            .with("src", ip.src)
            .with("dst", ip.dst)
            .with("version", octet(0) >> 4)
            .with("ihl", octet(0) & 0x0f)
            .with("tos", octet(1))
            .with("len", half(packet, 2))
            .with("id", half(packet, 4))
            .with("flags", half(packet, 6) >> 13)
            .with("frag", half(packet, 6) & 0x1fff)
            .with("ttl", octet(8))
            .with("proto", octet(9))
            .with("chksum", half(packet, 10)),
        IpAddr::V6(_) => Layer::new(Kind::Ipv6)
            .with("src", ip.src)
            .with("dst", ip.dst)
            .with("version", octet(0) >> 4)
            .with("tc", word(packet, 0) >> 20 & 0xff)
            .with("fl", word(packet, 0) & 0x000f_ffff)
            .with("plen", half(packet, 4))
            .with("nh", octet(6))
            .with("hlim", octet(7)),
    }
}

fn transport(fixed: &[u8; 20]) -> Layer {
    let control = half(fixed, 12);
    Layer::new(Kind::Tcp)
        .with("sport", half(fixed, 0))
        .with("dport", half(fixed, 2))
        .with("seq", word(fixed, 4))
        .with("ack", word(fixed, 8))
        .with("dataofs", control >> 12)
        .with("reserved", control >> 9 & 7)
        .with("flags", control & 0x01ff)
        .with("window", half(fixed, 14))
        .with("chksum", half(fixed, 16))
        .with("urgptr", half(fixed, 18))
}

fn option_layers(octets: &[u8]) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut end = 0;
    for raw in options(octets, octets.len()) {
        end = raw.at + raw.bytes.len();
        layers.push(option_layer(&raw));
    }
    // behind the end of the list
    match octets.get(end..) {
        None | Some([]) => {}
        Some(rest) => layers.push(Layer::new(Kind::Octet).with("data", rest)),
    }
    layers
}

fn option_layer(raw: &RawOption<'_>) -> Layer {
    let body = raw.body();
    if raw.fault.is_some() {
        return match raw.bytes {
            [kind, len, data @ ..] => {
                Layer::new(Kind::Opt).with("kind", *kind).with("len", *len).with("data", data)
            }
            other => Layer::new(Kind::Octet).with("data", other),
        };
    }
    if let Some(signal) = raw.signal() {
        return signal_layer(&signal, body);
    }
    match (raw.kind, body.len()) {
        (0, _) => Layer::new(Kind::Eol),
        (1, _) => Layer::new(Kind::Nop),
        (2, 2) => Layer::new(Kind::Mss).with("mss", half(body, 0)),
        (3, 1) => {
            Layer::new(Kind::WindowScale).with("shift", body.first().copied().unwrap_or_default())
        }
        (4, 0) => Layer::new(Kind::SackPermitted),
        (5, len) if len % 4 == 0 => {
            let edges: Vec<u64> = (0..len / 4).map(|i| word(body, i * 4).into()).collect();
            Layer::new(Kind::Sack).with("edges", edges.as_slice())
        }
        (8, 8) => {
            Layer::new(Kind::Timestamps).with("val", word(body, 0)).with("ecr", word(body, 4))
        }
        (34, _) => Layer::new(Kind::FastOpen).with("cookie", body),
        (kind, _) => Layer::new(Kind::Opt).with("kind", kind).with("data", body),
    }
}

/// With this field, or explicitly without.
fn maybe(layer: Layer, name: &str, value: Option<u64>) -> Layer {
    match value {
        Some(number) => layer.with(name, number),
        None => layer.with(name, Value::Absent),
    }
}

fn signal_layer(signal: &Signal, body: &[u8]) -> Layer {
    let layer = match signal {
        Signal::V1(option) => version_1(option, body),
        Signal::V0(Option0::AddAddr { id, address, port }) => {
            let layer = Layer::new(Kind::AddAddr).with("address", *address).with("id", *id);
            let version = if address.is_ipv4() { 4_u8 } else { 6 };
            maybe(layer.with("ipver", version), "port", port.map(u64::from))
        }
        Signal::V0(Option0::Prio { backup, id }) => {
            Layer::new(Kind::MpPrio).with("B", *backup).with("id", *id)
        }
        Signal::Malformed(_) => return unknown(body),
    };
    match reserved(signal, body) {
        Some((_, bits)) if layer.kind().spec().field("reserved").is_some() => {
            layer.with("reserved", bits)
        }
        _ => layer,
    }
}

/// An option without a form: its subtype, and the rest.
fn unknown(body: &[u8]) -> Layer {
    let Some((first, data)) = body.split_first() else {
        return Layer::new(Kind::Opt).with("kind", mpuser_engine::wire::mptcp::KIND);
    };
    let layer = match first >> 4 {
        15 => Layer::new(Kind::MpExperimental),
        subtype => Layer::new(Kind::Mptcp).with("subtype", subtype),
    };
    layer.with("low", first & 0x0f).with("data", data)
}

fn version_1(option: &MptcpOption, body: &[u8]) -> Layer {
    match option {
        MptcpOption::Capable(capable) => self::capable(capable),
        MptcpOption::Join(join) => self::join(join),
        MptcpOption::Dss(dss) => {
            let flags = body.get(1).copied().unwrap_or_default();
            let layer = Layer::new(Kind::Dss)
                .with("F", flags >> 4 & 1)
                .with("m", flags >> 3 & 1)
                .with("M", flags >> 2 & 1)
                .with("a", flags >> 1 & 1)
                .with("A", flags & 1);
            let layer = match dss.data_ack {
                Some(ack) => layer.with("data_ack", number(ack)),
                None => layer,
            };
            let Some(mapping) = dss.mapping else { return layer };
            let layer = layer
                .with("dsn", number(mapping.data_seq))
                .with("ssn", mapping.subflow_seq.0)
                .with("data_len", mapping.data_len);
            maybe(layer, "checksum", mapping.checksum.map(u64::from))
        }
        MptcpOption::AddAddr(add) => {
            let layer = Layer::new(Kind::AddAddr)
                .with("address", add.address)
                .with("id", add.id.0)
                .with("E", add.echo);
            let layer = maybe(layer, "port", add.port.map(u64::from));
            match add.hmac {
                Some(hmac) => layer.with("hmac", hmac.as_slice()),
                None => layer.with("hmac", Value::Absent),
            }
        }
        MptcpOption::RemoveAddr(remove) => {
            let ids: Vec<u64> = remove.ids().iter().map(|id| id.0.into()).collect();
            Layer::new(Kind::RemoveAddr).with("ids", ids.as_slice())
        }
        MptcpOption::Prio(prio) => Layer::new(Kind::MpPrio).with("B", prio.backup),
        MptcpOption::Fail(fail) => Layer::new(Kind::MpFail).with("dsn", fail.data_seq.0),
        MptcpOption::FastClose(close) => {
            Layer::new(Kind::MpFastclose).with("receiver_key", close.receiver_key.0)
        }
        MptcpOption::TcpRst(rst) => {
            let first = body.first().copied().unwrap_or_default();
            let bits = [("U", 3), ("V", 2), ("W", 1), ("T", 0)];
            let layer = Layer::new(Kind::MpTcprst).with("reason", rst.reason.code());
            bits.into_iter().fold(layer, |layer, (name, bit)| layer.with(name, first >> bit & 1))
        }
        MptcpOption::Unknown(_) => unknown(body),
    }
}

fn capable(capable: &MpCapable) -> Layer {
    let (sender, receiver, len, sum) = match *capable {
        MpCapable::Syn { .. } => (None, None, None, None),
        MpCapable::SynAck { sender_key, .. } => (Some(sender_key.0), None, None, None),
        MpCapable::Ack { sender_key, receiver_key, .. } => {
            (Some(sender_key.0), Some(receiver_key.0), None, None)
        }
        MpCapable::AckData { sender_key, receiver_key, data_len, checksum, .. } => {
            let sum = checksum.map(u64::from);
            (Some(sender_key.0), Some(receiver_key.0), Some(data_len.into()), sum)
        }
    };
    let flags = capable.flags().0;
    let letters = ["A", "B", "C", "D", "E", "F", "G", "H"];
    let layer = Layer::new(Kind::MpCapable).with("version", capable.version());
    let layer = letters
        .into_iter()
        .enumerate()
        .fold(layer, |layer, (place, name)| layer.with(name, flags >> (7 - place) & 1));
    let layer = maybe(maybe(layer, "sender_key", sender), "receiver_key", receiver);
    maybe(maybe(layer, "data_len", len), "checksum", sum)
}

fn join(join: &MpJoin) -> Layer {
    let layer = Layer::new(Kind::MpJoin);
    match *join {
        MpJoin::Syn { backup, address_id, token, nonce } => layer
            .with("B", backup)
            .with("address_id", address_id.0)
            .with("token", token.0)
            .with("nonce", nonce.0),
        MpJoin::SynAck { backup, address_id, hmac, nonce } => layer
            .with("B", backup)
            .with("address_id", address_id.0)
            .with("hmac", hmac.as_slice())
            .with("nonce", nonce.0),
        MpJoin::Ack { hmac } => layer.with("hmac", hmac.as_slice()),
    }
}

const fn number(seq: WireDataSeq) -> u64 {
    match seq {
        WireDataSeq::Short(low) => low as u64,
        WireDataSeq::Long(all) => all,
    }
}
