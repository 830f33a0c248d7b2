//! Inputs for tests: hex strings, and strategies for every kind of option.

use super::*;
use crate::addr::{AddressId, FourTuple, IpAddr, SocketAddr};
use crate::crypto::{Key, Nonce, Token};
use crate::error::ResetReason;
use crate::seq::{DataSeq, SeqNum, SubflowSeq};
use crate::tcp::{Flags, SackBlocks, Timestamps};
use proptest::collection::vec as list;
use proptest::option;
use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// Bytes from hex digits; blanks do not count.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// `option` is written as `bytes`, read from them, and printed as `text`.
pub(crate) fn check_option(option: MptcpOption, bytes: &str, text: &str) {
    let bytes = hex(bytes);
    assert_eq!(emitted(&option), bytes);
    assert_eq!(usize::from(bytes[1]), bytes.len());
    assert_eq!(MptcpOption::parse(&bytes[2..]), option);
    assert_eq!(option.to_string(), text);
    for room in 0..bytes.len() {
        assert_eq!(option.emit(&mut [0; 40][..room]), None);
    }
}

/// The bytes of an option.
pub(crate) fn emitted(option: &MptcpOption) -> Vec<u8> {
    let mut out = [0xaa; 60];
    let len = option.emit(&mut out).unwrap();
    assert_eq!(len, option.wire_len());
    assert!(out[len..].iter().all(|byte| *byte == 0xaa), "wrote beyond its length");
    out[..len].to_vec()
}

fn wire_data_seq() -> impl Strategy<Value = WireDataSeq> {
    prop_oneof![any::<u32>().prop_map(WireDataSeq::Short), any::<u64>().prop_map(WireDataSeq::Long)]
}

pub(crate) fn dss() -> impl Strategy<Value = Dss> {
    let mapping = (wire_data_seq(), any::<u32>(), any::<u16>(), any::<Option<u16>>()).prop_map(
        |(seq, ssn, len, csum)| DssMapping {
            data_seq: seq,
            subflow_seq: SubflowSeq(ssn),
            data_len: len,
            checksum: csum,
        },
    );
    (option::of(wire_data_seq()), option::of(mapping), any::<bool>())
        .prop_map(|(data_ack, mapping, data_fin)| Dss { data_ack, mapping, data_fin })
}

fn capable() -> impl Strategy<Value = MpCapable> {
    let numbers =
        (0..16u8, any::<u8>(), any::<u64>(), any::<u64>(), any::<u16>(), any::<Option<u16>>());
    (0..4, numbers).prop_map(|(shape, (version, flags, sender, receiver, data_len, checksum))| {
        let (flags, sender_key, receiver_key) = (CapableFlags(flags), Key(sender), Key(receiver));
        match shape {
            0 => MpCapable::Syn { version, flags },
            1 => MpCapable::SynAck { version, flags, sender_key },
            2 => MpCapable::Ack { version, flags, sender_key, receiver_key },
            _ => {
                MpCapable::AckData { version, flags, sender_key, receiver_key, data_len, checksum }
            }
        }
    })
}

fn join() -> impl Strategy<Value = MpJoin> {
    let head = (any::<bool>(), any::<u8>().prop_map(AddressId), any::<u32>().prop_map(Nonce));
    prop_oneof![
        (head.clone(), any::<u32>()).prop_map(|((backup, address_id, nonce), token)| {
            MpJoin::Syn { backup, address_id, token: Token(token), nonce }
        }),
        (head, any::<[u8; 8]>()).prop_map(|((backup, address_id, nonce), hmac)| {
            MpJoin::SynAck { backup, address_id, hmac, nonce }
        }),
        any::<[u8; 20]>().prop_map(|hmac| MpJoin::Ack { hmac }),
    ]
}

fn add_addr() -> impl Strategy<Value = AddAddr> {
    (any::<u8>(), any::<IpAddr>(), any::<Option<u16>>(), any::<Option<[u8; 8]>>()).prop_map(
        |(id, address, port, hmac)| AddAddr {
            echo: hmac.is_none(),
            id: AddressId(id),
            address,
            port,
            hmac,
        },
    )
}

/// Every legal option except a DSS.
pub(crate) fn signal() -> impl Strategy<Value = MptcpOption> {
    prop_oneof![
        capable().prop_map(MptcpOption::Capable),
        join().prop_map(MptcpOption::Join),
        add_addr().prop_map(MptcpOption::AddAddr),
        list(any::<u8>().prop_map(AddressId), 1..=37)
            .prop_map(|ids| MptcpOption::RemoveAddr(RemoveAddr::from_ids(&ids).unwrap())),
        any::<bool>().prop_map(|backup| MptcpOption::Prio(MpPrio { backup })),
        any::<u64>().prop_map(|seq| MptcpOption::Fail(MpFail { data_seq: DataSeq(seq) })),
        any::<u64>().prop_map(|key| MptcpOption::FastClose(FastClose { receiver_key: Key(key) })),
        (any::<bool>(), any::<u8>()).prop_map(|(transient, code)| {
            MptcpOption::TcpRst(MpTcpRst { transient, reason: ResetReason::from_code(code) })
        }),
        // Unassigned subtypes, and an MP_PRIO of version 0.
        (9..16u8, list(any::<u8>(), 0..=37)).prop_map(|(subtype, rest)| {
            MptcpOption::Unknown(RawOption::new(&[&[subtype << 4][..], &rest].concat()))
        }),
        Just(MptcpOption::Unknown(RawOption::new(&[]))),
        any::<u8>().prop_map(|id| MptcpOption::Unknown(RawOption::new(&[0x51, id]))),
    ]
}

/// Every legal option.
pub(crate) fn mptcp_option() -> impl Strategy<Value = MptcpOption> {
    prop_oneof![dss().prop_map(MptcpOption::Dss), signal()]
}

pub(crate) fn timestamps() -> impl Strategy<Value = Timestamps> {
    any::<(u32, u32)>().prop_map(|(value, echo)| Timestamps { value, echo })
}

pub(crate) fn sack_blocks(most: usize) -> impl Strategy<Value = SackBlocks> {
    list(any::<(u32, u32)>(), 1..=most).prop_map(|blocks| {
        let mut sack = SackBlocks::new();
        blocks.iter().for_each(|(start, end)| assert!(sack.push(SeqNum(*start), SeqNum(*end))));
        sack
    })
}

pub(crate) fn tcp_header() -> impl Strategy<Value = TcpHeader> {
    let ports_and_numbers = (any::<u16>(), any::<u16>(), any::<u32>(), any::<Option<u32>>());
    let flags = any::<[bool; 7]>().prop_map(|[syn, fin, rst, psh, urg, ece, cwr]| Flags {
        syn,
        fin,
        rst,
        psh,
        urg,
        ece,
        cwr,
    });
    (ports_and_numbers, flags, any::<u16>(), any::<u16>()).prop_map(
        |((src_port, dst_port, seq, ack), flags, window, urgent)| TcpHeader {
            src_port,
            dst_port,
            seq: SeqNum(seq),
            ack: ack.map(SeqNum),
            flags,
            window,
            urgent,
        },
    )
}

/// Addresses of one family; the ports are those of `header`.
pub(crate) fn tuple(v6: bool, header: &TcpHeader) -> FourTuple {
    let (local, remote): (IpAddr, IpAddr) = if v6 {
        ("2001:db8::1".parse().unwrap(), "2001:db8:ffff::abcd".parse().unwrap())
    } else {
        ("192.0.2.1".parse().unwrap(), "198.51.100.254".parse().unwrap())
    };
    FourTuple {
        local: SocketAddr::new(local, header.src_port),
        remote: SocketAddr::new(remote, header.dst_port),
    }
}

/// A whole packet.
pub(crate) fn packet(
    v6: bool,
    header: &TcpHeader,
    options: &OptionBuffer,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = Vec::new();
    tcp::emit(&mut packet, &tuple(v6, header), header, options, payload, ChecksumMode::Full)
        .unwrap();
    packet.extend_from_slice(payload);
    packet
}
