//! MPTCP's options: the engine writes what it has a form for, the rest is put together here.

use super::fill::Fill;
use super::{BuildError, Known, Segment};
use crate::table::Kind;
use mpuser_engine::addr::AddressId;
use mpuser_engine::crypto::{Key, Nonce, Token};
use mpuser_engine::error::ResetReason;
use mpuser_engine::seq::{DataSeq, SubflowSeq};
use mpuser_engine::wire::mptcp::{KIND, subtype};
use mpuser_engine::wire::{
    AddAddr, CapableFlags, Checksum, Dss, DssMapping, FastClose, MpCapable, MpFail, MpJoin, MpPrio,
    MpTcpRst, MptcpOption, RemoveAddr, WireDataSeq, dss_checksum,
};
use std::net::IpAddr;

type Bytes = Result<Vec<u8>, BuildError>;

const PEER_KEY_HELP: &str = "say peer_key=0x..., the key of who receives this";

/// The octets of one option.
pub(super) fn option(fill: &mut Fill<'_>, segment: &Segment<'_>, known: &Known) -> Bytes {
    let mut bytes = match fill.kind() {
        Kind::MpCapable => capable(fill, segment, known)?,
        Kind::MpJoin => join(fill, segment, known)?,
        Kind::Dss => dss(fill, segment, known)?,
        Kind::AddAddr => add_addr(fill, known)?,
        Kind::RemoveAddr => remove_addr(fill)?,
        Kind::MpPrio => prio(fill)?,
        Kind::MpFail => fail(fill, known)?,
        Kind::MpFastclose => fastclose(fill, known)?,
        Kind::MpTcprst => tcprst(fill)?,
        _ => any(fill)?,
    };
    let kind = fill.number("kind", KIND.into())? as u8;
    let len = fill.number("len", bytes.len().min(255) as u64)? as u8;
    let own = bytes.get(2).map_or(0, |first| first >> 4);
    let subtype = fill.number("subtype", own.into())? as u8;
    if let [kind_octet, len_octet, first, ..] = bytes.as_mut_slice() {
        (*kind_octet, *len_octet) = (kind, len);
        *first = *first & 0x0f | subtype << 4;
    }
    Ok(bytes)
}

fn emit(option: &MptcpOption) -> Vec<u8> {
    let mut out = [0; 40];
    let written = option.emit(&mut out).and_then(|len| out.get(..len));
    written.unwrap_or_default().to_vec()
}

/// Bits that should be 0, at their place in the two octets behind kind and length. In DSS, the lower octet has flags,
/// and its reserved bits are the upper three.
fn reserve(fill: &mut Fill<'_>, bytes: &mut [u8]) -> Result<(), BuildError> {
    let bits = fill.number("reserved", 0)? as u16;
    let (high, low) = match fill.kind() {
        Kind::Dss => (bits >> 3, bits << 5),
        Kind::MpJoin if bytes.len() < 24 => (bits, 0),
        Kind::MpJoin | Kind::MpFail | Kind::MpFastclose => (bits >> 8, bits),
        _ => (bits, 0),
    };
    if let Some(octet) = bytes.get_mut(2) {
        *octet |= high as u8 & 0x0f;
    }
    if let Some(octet) = bytes.get_mut(3) {
        *octet |= low as u8;
    }
    Ok(())
}

fn capable(fill: &mut Fill<'_>, segment: &Segment<'_>, known: &Known) -> Bytes {
    let version = fill.number("version", known.version.into())? as u8;
    let mut flags = 0;
    for (place, letter) in ["A", "B", "C", "D", "E", "F", "G", "H"].into_iter().enumerate() {
        let auto = match letter {
            "A" => known.checksum,
            letter => letter == "H",
        };
        flags |= (fill.number(letter, auto.into())? as u8) << (7 - place);
    }
    let opening = segment.syn && !segment.ack && version != 0;
    let own = known.key.filter(|_| !opening);
    let sender = fill.optional("sender_key", own)?;
    let receiver = if segment.syn {
        fill.optional("receiver_key", None)?
    } else if fill.is_said("receiver_key") {
        fill.optional("receiver_key", known.peer_key)?
    } else {
        let help = "say receiver_key=0x..., or leave it out with receiver_key=none";
        Some(fill.required("receiver_key", known.peer_key, help)?)
    };
    let carried = segment.payload.len() as u64;
    let with_data = !segment.syn && version != 0 && carried > 0 && sender.is_some();
    let data_len = fill.optional("data_len", with_data.then_some(carried & 0xffff))?;
    let sum = data_len.filter(|_| flags & CapableFlags::CHECKSUM_REQUIRED != 0 || known.checksum);
    let sum = sum.map(|len| {
        let dsn = known.dsn(sender.unwrap_or_default(), 0);
        u64::from(data_checksum(dsn, 1, len as u16, segment.payload))
    });
    let checksum = fill.optional("checksum", sum)?.map(|sum| sum as u16);
    let flags = CapableFlags(flags);
    Ok(match (sender.map(Key), receiver.map(Key), data_len, checksum) {
        (None, None, None, None) => emit(&MptcpOption::Capable(MpCapable::Syn { version, flags })),
        (Some(sender_key), None, None, None) => {
            emit(&MptcpOption::Capable(MpCapable::SynAck { version, flags, sender_key }))
        }
        (Some(sender_key), Some(receiver_key), None, None) => {
            emit(&MptcpOption::Capable(MpCapable::Ack { version, flags, sender_key, receiver_key }))
        }
        (Some(sender_key), Some(receiver_key), Some(len), checksum) => {
            let data_len = len as u16;
            let (sender_key, receiver_key) = (sender_key, receiver_key);
            emit(&MptcpOption::Capable(MpCapable::AckData {
                version,
                flags,
                sender_key,
                receiver_key,
                data_len,
                checksum,
            }))
        }
        // no form: what is there, in order
        (sender, receiver, len, checksum) => {
            let mut bytes = vec![KIND, 0, subtype::MP_CAPABLE << 4 | version, flags.0];
            bytes.extend(sender.iter().chain(&receiver).flat_map(|key| key.0.to_be_bytes()));
            bytes.extend(len.iter().flat_map(|len| (*len as u16).to_be_bytes()));
            bytes.extend(checksum.iter().flat_map(|sum| sum.to_be_bytes()));
            bytes
        }
    })
}

/// The checksum of a mapping of `payload` (RFC 8684 3.3.1).
fn data_checksum(dsn: u64, ssn: u32, len: u16, payload: &[u8]) -> u16 {
    let mut sum = Checksum::new();
    sum.add_bytes(payload);
    dss_checksum(DataSeq(dsn), SubflowSeq(ssn), len, sum)
}

fn join(fill: &mut Fill<'_>, segment: &Segment<'_>, known: &Known) -> Bytes {
    let own = fill.input("key").or(known.key);
    let peer = fill.input("peer_key").or(known.peer_key);
    let opening = fill.is_said("token") || segment.syn && !segment.ack && !fill.is_said("hmac");
    let third = !opening && !segment.syn && !fill.is_said("address_id");
    let mut bytes = if opening {
        let token = peer.map(|key| known.facts(key).0.into());
        let help = "say token=0x..., or peer_key=0x... to compute it";
        let token = fill.required("token", token, help)? as u32;
        let (backup, address_id) =
            (fill.number("B", 0)? != 0, id(fill, "address_id", known.address_id)?);
        let nonce = Nonce(fill.number("nonce", known.nonce.into())? as u32);
        emit(&MptcpOption::Join(MpJoin::Syn { backup, address_id, token: Token(token), nonce }))
    } else if third {
        // the nonce is none of this form's fields, but the HMAC is made of it
        let nonce = fill.input("nonce").map_or(known.nonce, |nonce| nonce as u32);
        let hmac = join_hmac(fill, known, (own, peer), nonce, 20)?;
        match <[u8; 20]>::try_from(hmac.as_slice()) {
            Ok(hmac) => emit(&MptcpOption::Join(MpJoin::Ack { hmac })),
            Err(_) => [&[KIND, 0, subtype::MP_JOIN << 4, 0], hmac.as_slice()].concat(),
        }
    } else {
        let (backup, address_id) = (fill.number("B", 0)? != 0, id(fill, "address_id", 0)?);
        let nonce = fill.number("nonce", known.nonce.into())? as u32;
        let hmac = join_hmac(fill, known, (own, peer), nonce, 8)?;
        match hmac.first_chunk() {
            Some(first) if hmac.len() == 8 => {
                let (hmac, nonce) = (*first, Nonce(nonce));
                emit(&MptcpOption::Join(MpJoin::SynAck { backup, address_id, hmac, nonce }))
            }
            _ => {
                let head = [KIND, 0, subtype::MP_JOIN << 4 | u8::from(backup), address_id.0];
                [&head, hmac.as_slice(), &nonce.to_be_bytes()].concat()
            }
        }
    };
    reserve(fill, &mut bytes)?;
    Ok(bytes)
}

/// The HMAC that is said, or the first `octets` of the right one.
fn join_hmac(
    fill: &mut Fill<'_>,
    known: &Known,
    keys: (Option<u64>, Option<u64>),
    nonce: u32,
    octets: usize,
) -> Bytes {
    let peer_nonce = fill.input("peer_nonce").map(|nonce| nonce as u32).or(known.peer_nonce);
    let right = match (keys, peer_nonce) {
        ((Some(own), Some(peer)), Some(peer_nonce)) => {
            let all = known.join_hmac(own, peer, nonce, peer_nonce);
            all.get(..octets).map(<[u8]>::to_vec)
        }
        _ => None,
    };
    let known_now = right.is_some();
    match fill.octets("hmac", right)? {
        Some(hmac) => Ok(hmac),
        None if known_now => Ok(Vec::new()),
        None => {
            let help = "say hmac=0x..., or peer_key=0x... and peer_nonce=0x... to compute it";
            Err(fill.error("hmac", "is not known", help))
        }
    }
}

fn id(fill: &mut Fill<'_>, name: &'static str, auto: u8) -> Result<AddressId, BuildError> {
    Ok(AddressId(fill.number(name, auto.into())? as u8))
}

fn dss(fill: &mut Fill<'_>, segment: &Segment<'_>, known: &Known) -> Bytes {
    let own = fill.input("key").or(known.key);
    let peer = fill.input("peer_key").or(known.peer_key);
    let acked = peer.map(|key| known.dsn(key, known.data_received));
    let data_fin = fill.number("F", 0)? != 0;
    let says_map =
        ["dsn", "ssn", "data_len", "checksum"].into_iter().any(|name| fill.is_said(name));
    let maps = says_map || !segment.payload.is_empty() || data_fin;
    let has_ack = fill.number("A", (fill.is_said("data_ack") || acked.is_some()).into())? != 0;
    let maps = fill.number("M", maps.into())? != 0;
    let long_ack = fill.number("a", has_ack.into())? != 0;
    let long_map = fill.number("m", maps.into())? != 0;
    let data_ack = if has_ack {
        Some(wire(fill.required("data_ack", acked, PEER_KEY_HELP)?, long_ack))
    } else {
        None
    };
    let mapping = if maps {
        let next = own.map(|key| known.dsn(key, known.data_sent));
        let dsn = fill.required("dsn", next, "say key=0x..., the key of who sends this")?;
        // a DATA_FIN without data has subflow sequence number 0 (RFC 8684 3.3.3 [FIN-2])
        let lone = segment.payload.is_empty();
        let ssn = if lone { 0 } else { SubflowSeq::from_offset(known.carried).0 };
        let ssn = fill.number("ssn", ssn.into())? as u32;
        let len = segment.payload.len() as u64 + u64::from(data_fin);
        let data_len = fill.number("data_len", len & 0xffff)? as u16;
        let sum = known.checksum.then(|| data_checksum(dsn, ssn, data_len, segment.payload));
        let wanted = matches!(
            fill.said("checksum"),
            Some(crate::value::Value::Auto | crate::value::Value::Bad)
        );
        let sum =
            sum.or_else(|| wanted.then(|| data_checksum(dsn, ssn, data_len, segment.payload)));
        let checksum = fill.optional("checksum", sum.map(u64::from))?.map(|sum| sum as u16);
        let (data_seq, subflow_seq) = (wire(dsn, long_map), SubflowSeq(ssn));
        Some(DssMapping { data_seq, subflow_seq, data_len, checksum })
    } else {
        None
    };
    for (name, _) in
        [("data_ack", long_ack), ("dsn", long_map)].into_iter().filter(|(_, long)| !long)
    {
        fill.narrow(name);
    }
    let mut bytes = emit(&MptcpOption::Dss(Dss { data_ack, mapping, data_fin }));
    // a and m mean nothing without A and M, and may be set all the same [OPT-11]
    if let Some(flags) = bytes.get_mut(3) {
        *flags |= u8::from(long_ack) << 1 | u8::from(long_map) << 3;
    }
    reserve(fill, &mut bytes)?;
    Ok(bytes)
}

const fn wire(number: u64, long: bool) -> WireDataSeq {
    if long { WireDataSeq::Long(number) } else { WireDataSeq::Short(number as u32) }
}

fn add_addr(fill: &mut Fill<'_>, known: &Known) -> Bytes {
    let address = fill.address("address", None)?;
    let id = id(fill, "id", known.address_id)?;
    let port = fill.optional("port", None)?.map(|port| port as u16);
    if let Some(version) = fill.optional("ipver", None)? {
        return Ok(add_addr_v0(version as u8, id, address, port));
    }
    let echo = fill.number("E", 0)? != 0;
    let keys = (fill.input("key").or(known.key), fill.input("peer_key").or(known.peer_key));
    let right = match keys {
        (Some(own), Some(peer)) if !echo || fill.is_said("hmac") => {
            Some(Known::add_addr_hmac(own, peer, id.0, address, port).to_vec())
        }
        _ => None,
    };
    if right.is_none() && !echo && !fill.is_said("hmac") {
        return Err(fill.error("hmac", "is not known", PEER_KEY_HELP));
    }
    let hmac = fill.octets("hmac", right)?;
    let (short, hmac) = match hmac {
        None => (None, None),
        Some(octets) => match <[u8; 8]>::try_from(octets.as_slice()) {
            Ok(hmac) => (None, Some(hmac)),
            Err(_) => (Some(octets), None),
        },
    };
    let mut bytes = emit(&MptcpOption::AddAddr(AddAddr { echo, id, address, port, hmac }));
    // an HMAC of another length: as it is
    bytes.extend(short.unwrap_or_default());
    reserve(fill, &mut bytes)?;
    Ok(bytes)
}

/// Version 0: no HMAC, and the version of IP beside the subtype (RFC 6824 3.4.1).
fn add_addr_v0(version: u8, id: AddressId, address: IpAddr, port: Option<u16>) -> Vec<u8> {
    let mut bytes = vec![KIND, 0, subtype::ADD_ADDR << 4 | version, id.0];
    match address {
        IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
    }
    bytes.extend(port.iter().flat_map(|port| port.to_be_bytes()));
    bytes
}

fn remove_addr(fill: &mut Fill<'_>) -> Bytes {
    let ids: Vec<AddressId> =
        fill.list("ids", vec![1])?.iter().map(|id| AddressId(*id as u8)).collect();
    let mut bytes = match RemoveAddr::from_ids(&ids) {
        Some(remove) => emit(&MptcpOption::RemoveAddr(remove)),
        // none, or more than fit
        None => {
            [vec![KIND, 0, subtype::REMOVE_ADDR << 4], ids.iter().map(|id| id.0).collect()].concat()
        }
    };
    let bits = fill.number("reserved", 0)? as u8;
    if let Some(first) = bytes.get_mut(2) {
        *first |= bits & 0x0f;
    }
    Ok(bytes)
}

fn prio(fill: &mut Fill<'_>) -> Bytes {
    let backup = fill.number("B", 1)? != 0;
    let mut bytes = emit(&MptcpOption::Prio(MpPrio { backup }));
    let id = fill.optional("id", None)?;
    let bits = fill.number("reserved", 0)? as u8;
    if let Some(first) = bytes.get_mut(2) {
        *first |= bits & 0x0f;
    }
    bytes.extend(id.map(|id| id as u8));
    Ok(bytes)
}

fn fail(fill: &mut Fill<'_>, known: &Known) -> Bytes {
    let peer = fill.input("peer_key").or(known.peer_key);
    let next = peer.map(|key| known.dsn(key, known.data_received));
    let dsn = fill.required("dsn", next, "say dsn=0x..., or peer_key=0x... to compute it")?;
    let mut bytes = emit(&MptcpOption::Fail(MpFail { data_seq: DataSeq(dsn) }));
    reserve(fill, &mut bytes)?;
    Ok(bytes)
}

fn fastclose(fill: &mut Fill<'_>, known: &Known) -> Bytes {
    let key = fill.required("receiver_key", known.peer_key, "say receiver_key=0x...")?;
    let mut bytes = emit(&MptcpOption::FastClose(FastClose { receiver_key: Key(key) }));
    reserve(fill, &mut bytes)?;
    Ok(bytes)
}

fn tcprst(fill: &mut Fill<'_>) -> Bytes {
    let reason = ResetReason::from_code(fill.number("reason", 0)? as u8);
    let mut bits = 0;
    for (letter, bit) in [("U", 8), ("V", 4), ("W", 2), ("T", 1)] {
        bits |= if fill.number(letter, 0)? != 0 { bit } else { 0 };
    }
    let mut bytes = emit(&MptcpOption::TcpRst(MpTcpRst { transient: bits & 1 != 0, reason }));
    if let Some(first) = bytes.get_mut(2) {
        *first |= bits;
    }
    Ok(bytes)
}

/// A subtype by number.
fn any(fill: &mut Fill<'_>) -> Bytes {
    // subtype 15, private use, unless MPTCP says another one
    let subtype = if fill.kind() == Kind::Mptcp { fill.input("subtype") } else { Some(15) };
    let Some(subtype) = subtype else {
        return Err(fill.error("subtype", "is not known", "say subtype="));
    };
    let low = fill.number("low", 0)? as u8;
    let data = fill.octets("data", Some(Vec::new()))?.unwrap_or_default();
    Ok([vec![KIND, 0, (subtype as u8) << 4 | low], data].concat())
}
