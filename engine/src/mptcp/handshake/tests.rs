//! Tables: every version, every flag byte, every form; the test vectors of joins.

use super::*;
use crate::addr::AddressId;
use crate::wire::mptcp::RawOption;

const KEY_A: Key = Key(0x0001_0203_0405_0607);
const KEY_B: Key = Key(0x0809_0a0b_0c0d_0e0f);

fn signals(options: &[MptcpOption]) -> SignalList {
    let mut list = SignalList::new();
    for option in options {
        assert!(list.push(option));
    }
    list
}

fn forms(version: u8, flags: CapableFlags) -> [MpCapable; 5] {
    let (sender_key, receiver_key) = (KEY_A, KEY_B);
    let data = |checksum| MpCapable::AckData {
        version,
        flags,
        sender_key,
        receiver_key,
        data_len: 9,
        checksum,
    };
    [
        MpCapable::Syn { version, flags },
        MpCapable::SynAck { version, flags, sender_key },
        MpCapable::Ack { version, flags, sender_key, receiver_key },
        data(None),
        data(Some(7)),
    ]
}

/// [INI-2] [INI-6] [INI-19] [INI-22] [INI-23] [INI-24] [INI-32] (K1) (K2) (K3): all 16 versions, all 256 flag
/// bytes, all five forms, read as each of the three packets.
#[test]
fn every_version_flag_byte_and_form() {
    for version in 0..16 {
        for byte in 0..=255 {
            let flags = CapableFlags(byte);
            for (index, form) in forms(version, flags).into_iter().enumerate() {
                let list = signals(&[MptcpOption::Capable(form)]);
                let a = byte & 0x80 != 0;
                let c = byte & 0x20 != 0;
                let only_h = byte & 0x5f == 0x01;

                let offered = index == 0 && version >= 1 && byte & 0x41 == 0x01;
                let expected = Offer { checksum: a, deny_join_initial: c };
                assert_eq!(on_syn(&list, true).ok(), offered.then_some(expected), "{form:?}");

                for own in [false, true] {
                    let answered = index == 1 && version == 1 && only_h;
                    let expected =
                        Agreement { remote_key: KEY_A, checksum: own || a, deny_join_initial: c };
                    assert_eq!(
                        on_syn_ack(&list, own).ok(),
                        answered.then_some(expected),
                        "{form:?}"
                    );

                    let third = index >= 2 && version == 1 && only_h;
                    let offer = Offer { checksum: false, deny_join_initial: true };
                    let expected = Agreement {
                        remote_key: KEY_A,
                        checksum: own || a || index == 4,
                        deny_join_initial: true,
                    };
                    let found = on_third_packet(&list, KEY_B, offer, own);
                    assert_eq!(found.ok(), third.then_some(expected), "{form:?}");
                    assert!(on_third_packet(&list, KEY_A, offer, own).is_err(), "not our key");
                }
            }
        }
    }
}

/// Nothing, other options, and options of impossible lengths are no MP_CAPABLE.
#[test]
fn what_is_no_mp_capable() {
    let join = MptcpOption::Join(MpJoin::Ack { hmac: [0; 20] });
    let long = MptcpOption::Unknown(RawOption::new(&[0x01, 0x01, 0, 0, 0]));
    let offer = Offer { checksum: false, deny_join_initial: false };
    for list in [signals(&[]), signals(&[join]), signals(&[long])] {
        assert_eq!(on_syn(&list, true), Err(FallbackReason::SynWithoutCapable));
        assert_eq!(on_syn_ack(&list, false), Err(FallbackReason::SynAckWithoutCapable));
        let third = on_third_packet(&list, KEY_B, offer, false);
        assert_eq!(third, Err(FallbackReason::AckWithoutCapable));
    }
    // A duplicate is harmless: the first counts (K3).
    let [syn, ..] = forms(1, CapableFlags::new(false, false));
    let twice = signals(&[MptcpOption::Capable(syn), MptcpOption::Capable(syn)]);
    assert!(on_syn(&twice, true).is_ok());
}

/// [INI-18] [INI-21]: what this end sends.
#[test]
fn own_flags_are_h_and_perhaps_a() {
    assert_eq!((CapableFlags::new(false, false).0, CapableFlags::new(true, false).0), (0x01, 0x81));
}

/// [JOIN-11]: test vector V1, both halves; any other bit of the HMAC, any other nonce or key fails.
#[test]
fn joins_are_proved_by_their_hmac() {
    let (nonce_a, nonce_b) = (Nonce(0x1122_3344), Nonce(0x5566_7788));
    let hmac = 0x8ca0_7a5a_ec54_98a6u64.to_be_bytes();
    let answer = |hmac, nonce| {
        let (backup, address_id) = (true, AddressId(3));
        signals(&[MptcpOption::Join(MpJoin::SynAck { backup, address_id, hmac, nonce })])
    };
    let good = on_join_syn_ack(&answer(hmac, nonce_b), KEY_A, KEY_B, nonce_a);
    assert_eq!(good, Ok((nonce_b, AddressId(3), true)));
    for bit in 0..64 {
        let mut wrong = hmac;
        wrong[bit / 8] ^= 1 << (bit % 8);
        let found = on_join_syn_ack(&answer(wrong, nonce_b), KEY_A, KEY_B, nonce_a);
        assert_eq!(found, Err(JoinFailure::BadHmac));
    }
    for (own, peer, own_nonce, peer_nonce) in [
        (KEY_B, KEY_A, nonce_a, nonce_b),
        (KEY_A, KEY_B, nonce_b, nonce_b),
        (KEY_A, KEY_B, nonce_a, nonce_a),
    ] {
        let found = on_join_syn_ack(&answer(hmac, peer_nonce), own, peer, own_nonce);
        assert_eq!(found, Err(JoinFailure::BadHmac));
    }

    let hmac = [
        0x78, 0xe4, 0xd1, 0xf9, 0x82, 0xdf, 0x9b, 0x57, 0xa1, 0x01, 0x93, 0x4d, 0xdb, 0x41, 0xb7,
        0x2e, 0xe9, 0x3f, 0x7a, 0xb3,
    ];
    let third = |hmac| signals(&[MptcpOption::Join(MpJoin::Ack { hmac })]);
    assert_eq!(on_join_ack(&third(hmac), KEY_B, KEY_A, nonce_b, nonce_a), Ok(()));
    for bit in 0..160 {
        let mut wrong = hmac;
        wrong[bit / 8] ^= 1 << (bit % 8);
        let found = on_join_ack(&third(wrong), KEY_B, KEY_A, nonce_b, nonce_a);
        assert_eq!(found, Err(JoinFailure::BadHmac));
    }
}

/// [JOIN-14] [JOIN-15] [JOIN-16]: the option is missing, or of the wrong form for this packet.
#[test]
fn joins_without_the_right_form_fail() {
    let (hmac, nonce) = ([0; 8], Nonce(1));
    let (backup, address_id) = (false, AddressId(0));
    let syn = MpJoin::Syn { backup, address_id, token: crate::crypto::Token(1), nonce };
    let syn_ack = MpJoin::SynAck { backup, address_id, hmac, nonce };
    let ack = MpJoin::Ack { hmac: [0; 20] };
    let [capable, ..] = forms(1, CapableFlags::new(false, false));
    for option in [MptcpOption::Join(syn), MptcpOption::Join(ack), MptcpOption::Capable(capable)] {
        let found = on_join_syn_ack(&signals(&[option]), KEY_A, KEY_B, nonce);
        assert_eq!(found, Err(JoinFailure::NoOption));
    }
    for option in
        [MptcpOption::Join(syn), MptcpOption::Join(syn_ack), MptcpOption::Capable(capable)]
    {
        let found = on_join_ack(&signals(&[option]), KEY_A, KEY_B, nonce, nonce);
        assert_eq!(found, Err(JoinFailure::NoOption));
    }
}
