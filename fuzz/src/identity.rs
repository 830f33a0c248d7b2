//! Emit and parse are each other's inverse, for values drawn from the input: options alone, and a whole packet.

use crate::draw::{Draw, address};
use arbitrary::{Result, Unstructured};
use mpuser_engine::addr::{AddressId, FourTuple, SocketAddr};
use mpuser_engine::crypto::{Key, Nonce, Token};
use mpuser_engine::error::ResetReason;
use mpuser_engine::seq::{DataSeq, SeqNum, SubflowSeq};
use mpuser_engine::tcp::{Flags, SackBlocks, Timestamps};
use mpuser_engine::wire::ip::protocol;
use mpuser_engine::wire::tcp::{HEADER_LEN, emit, verify_checksum};
use mpuser_engine::wire::{
    AddAddr, CapableFlags, ChecksumMode, Dss, DssMapping, FastClose, IpHeader, MpCapable, MpFail,
    MpJoin, MpPrio, MpTcpRst, MptcpOption, OptionBuffer, RawOption, RemoveAddr, SignalList,
    TcpHeader, TcpOptions, WireDataSeq, pretty,
};

/// Draws a packet from `data`, writes it and reads it again.
pub(crate) fn run(data: &[u8]) {
    // too few octets are no finding
    let _ = identity(&mut Unstructured::new(data));
}

fn identity(u: &mut Unstructured<'_>) -> Result<()> {
    let v6 = u.flag()?;
    let header = TcpHeader {
        src_port: u.arbitrary()?,
        dst_port: u.arbitrary()?,
        seq: SeqNum(u.arbitrary()?),
        ack: u.arbitrary::<Option<u32>>()?.map(SeqNum),
        flags: flags(u)?,
        window: u.arbitrary()?,
        urgent: u.arbitrary()?,
    };
    let (local, remote) = (address(u, v6)?, address(u, v6)?);
    let tuple = FourTuple {
        local: SocketAddr::new(local, header.src_port),
        remote: SocketAddr::new(remote, header.dst_port),
    };
    let mut buffer = OptionBuffer::new();
    let mut expected = TcpOptions::default();
    for _ in 0..u.below(6)? {
        push(u, &mut buffer, &mut expected)?;
    }
    let payload = u.octets(1_400)?;
    let mut packet = Vec::new();
    let mode = ChecksumMode::Full;
    let emitted = emit(&mut packet, &tuple, &header, &buffer, payload, mode).is_some();
    assert!(emitted, "what fits into a header can be sent");
    packet.extend_from_slice(payload);

    let Ok(ip) = IpHeader::parse(&packet) else { panic!("our own header: {packet:02x?}") };
    assert_eq!(
        (ip.src, ip.dst, ip.protocol, ip.total_len),
        (local, remote, protocol::TCP, packet.len())
    );
    let segment = ip.payload(&packet);
    assert!(verify_checksum(&ip, segment));
    let Ok((read, len)) = TcpHeader::parse(segment) else {
        panic!("our own header: {segment:02x?}")
    };
    assert_eq!(read, header);
    assert_eq!(segment[HEADER_LEN..len], *buffer.as_slice());
    assert_eq!(TcpOptions::parse(&segment[HEADER_LEN..len]), expected);
    assert_eq!(segment[len..], *payload);
    assert!(!pretty(&packet).contains('\n'));
    Ok(())
}

fn flags(u: &mut Unstructured<'_>) -> Result<Flags> {
    let [syn, fin, rst, psh, urg, ece, cwr] = [0; 7].map(|_| u.flag());
    Ok(Flags { syn: syn?, fin: fin?, rst: rst?, psh: psh?, urg: urg?, ece: ece?, cwr: cwr? })
}

/// Adds an option to the buffer and, if it fitted and nothing of its kind stands before it, to what must be read.
fn push(
    u: &mut Unstructured<'_>,
    buffer: &mut OptionBuffer,
    expected: &mut TcpOptions,
) -> Result<()> {
    match u.below(7)? {
        0 => {
            let mss = u.arbitrary()?;
            if buffer.push_mss(mss) {
                expected.mss.get_or_insert(mss);
            }
        }
        1 => {
            let shift = u.arbitrary()?;
            if buffer.push_window_scale(shift) {
                expected.window_scale.get_or_insert(shift);
            }
        }
        2 => expected.sack_permitted |= buffer.push_sack_permitted(),
        3 => {
            let stamps = Timestamps { value: u.arbitrary()?, echo: u.arbitrary()? };
            if buffer.push_timestamps(stamps) {
                expected.timestamps.get_or_insert(stamps);
            }
        }
        4 => {
            let mut blocks = SackBlocks::new();
            for _ in 0..1 + u.below(4)? {
                blocks.push(SeqNum(u.arbitrary()?), SeqNum(u.arbitrary()?));
            }
            let fitting = buffer.push_sack(&blocks);
            blocks.truncate(fitting);
            if fitting > 0 && expected.sack.is_empty() {
                expected.sack = blocks;
            }
        }
        5 => {
            let dss = dss(u)?;
            if buffer.push_dss(&dss) {
                expected.dss.get_or_insert(dss);
            }
        }
        _ => {
            let signal = signal(u)?;
            if buffer.push_mptcp(&signal) {
                keep(&mut expected.signals, &signal);
            }
        }
    }
    Ok(())
}

fn keep(signals: &mut SignalList, signal: &MptcpOption) {
    assert!(signals.push(signal), "what fits into a header fits into the list");
}

fn data_seq(u: &mut Unstructured<'_>) -> Result<WireDataSeq> {
    Ok(if u.flag()? {
        WireDataSeq::Long(u.arbitrary()?)
    } else {
        WireDataSeq::Short(u.arbitrary()?)
    })
}

fn dss(u: &mut Unstructured<'_>) -> Result<Dss> {
    let data_ack = if u.flag()? { Some(data_seq(u)?) } else { None };
    let mapping = if u.flag()? {
        Some(DssMapping {
            data_seq: data_seq(u)?,
            subflow_seq: SubflowSeq(u.arbitrary()?),
            data_len: u.arbitrary()?,
            checksum: u.arbitrary()?,
        })
    } else {
        None
    };
    Ok(Dss { data_ack, mapping, data_fin: u.flag()? })
}

fn capable(u: &mut Unstructured<'_>) -> Result<MpCapable> {
    let version = u.below(16)? as u8;
    let flags = CapableFlags(u.arbitrary()?);
    let form = u.below(4)?;
    if form == 0 {
        return Ok(MpCapable::Syn { version, flags });
    }
    let sender_key = Key(u.arbitrary()?);
    if form == 1 {
        return Ok(MpCapable::SynAck { version, flags, sender_key });
    }
    let receiver_key = Key(u.arbitrary()?);
    if form == 2 {
        return Ok(MpCapable::Ack { version, flags, sender_key, receiver_key });
    }
    let (data_len, checksum) = (u.arbitrary()?, u.arbitrary()?);
    Ok(MpCapable::AckData { version, flags, sender_key, receiver_key, data_len, checksum })
}

fn join(u: &mut Unstructured<'_>) -> Result<MpJoin> {
    let form = u.below(3)?;
    if form == 0 {
        return Ok(MpJoin::Ack { hmac: u.arbitrary()? });
    }
    let (backup, address_id) = (u.flag()?, AddressId(u.arbitrary()?));
    let nonce = Nonce(u.arbitrary()?);
    Ok(match form {
        1 => MpJoin::Syn { backup, address_id, token: Token(u.arbitrary()?), nonce },
        _ => MpJoin::SynAck { backup, address_id, hmac: u.arbitrary()?, nonce },
    })
}

/// An option other than DSS, every form of it.
fn signal(u: &mut Unstructured<'_>) -> Result<MptcpOption> {
    Ok(match u.below(9)? {
        0 => MptcpOption::Capable(capable(u)?),
        1 => MptcpOption::Join(join(u)?),
        2 => {
            let v6 = u.flag()?;
            let hmac: Option<[u8; 8]> = u.arbitrary()?;
            let (id, address) = (AddressId(u.arbitrary()?), address(u, v6)?);
            MptcpOption::AddAddr(AddAddr {
                echo: hmac.is_none(),
                id,
                address,
                port: u.arbitrary()?,
                hmac,
            })
        }
        3 => {
            let ids: Vec<AddressId> = u.octets(36)?.iter().map(|id| AddressId(*id)).collect();
            match RemoveAddr::from_ids(&ids) {
                Some(remove) => MptcpOption::RemoveAddr(remove),
                None => MptcpOption::Unknown(RawOption::new(&[0x40])),
            }
        }
        4 => MptcpOption::Prio(MpPrio { backup: u.flag()? }),
        5 => MptcpOption::Fail(MpFail { data_seq: DataSeq(u.arbitrary()?) }),
        6 => MptcpOption::FastClose(FastClose { receiver_key: Key(u.arbitrary()?) }),
        7 => {
            let reason = ResetReason::from_code(u.arbitrary()?);
            MptcpOption::TcpRst(MpTcpRst { transient: u.flag()?, reason })
        }
        _ => {
            let rest = u.octets(36)?;
            let first = (9 + u.below(7)? as u8) << 4;
            MptcpOption::Unknown(RawOption::new(&[&[first][..], rest].concat()))
        }
    })
}
