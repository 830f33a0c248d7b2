//! Properties of all MPTCP options together.

use super::*;
use crate::wire::samples::{emitted, mptcp_option};
use proptest::prelude::*;
use std::string::ToString;
use std::vec;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_emitted_is_read_back(option in mptcp_option()) {
        let bytes = emitted(&option);
        prop_assert_eq!(&bytes[..2], &[KIND, bytes.len() as u8]);
        prop_assert_eq!(MptcpOption::parse(&bytes[2..]), option);
    }

    #[test]
    fn any_body_can_be_read_printed_and_written(body in prop::collection::vec(any::<u8>(), 0..=38)) {
        check_total(&body);
    }
}

/// Reads, prints, writes and reads again: a second reading changes nothing, and only reserved bits may differ
/// between what came in and what goes out: they are zero in all that is sent ([OPT-8] [OPT-9] [OPT-10] [OPT-12]
/// [OPT-14]) and no reason to reject ([OPT-13] [OPT-15]).
fn check_total(body: &[u8]) {
    let option = MptcpOption::parse(body);
    let bytes = emitted(&option);
    assert_eq!(bytes.len(), body.len() + 2);
    assert_eq!(MptcpOption::parse(&bytes[2..]), option);
    assert!(!option.to_string().contains('\n'));
    let mut canonical = body.to_vec();
    clear_reserved(&option, &mut canonical);
    assert_eq!(bytes[2..], canonical, "{option}");
}

/// Zeroes the bits that mean nothing, from the table of the RFC and apart from the codec.
fn clear_reserved(option: &MptcpOption, body: &mut [u8]) {
    let (low_nibble, second) = match option {
        MptcpOption::Capable(_) => (0x0f, 0xff),
        MptcpOption::Join(MpJoin::Ack { .. }) => (0x00, 0x00),
        MptcpOption::Join(_) | MptcpOption::AddAddr(_) | MptcpOption::TcpRst(_) => (0x01, 0xff),
        MptcpOption::Dss(_) => {
            let (ack, map) = (body[1] & 0x01 != 0, body[1] & 0x04 != 0);
            (0x00, 0x15 | if ack { 0x02 } else { 0 } | if map { 0x08 } else { 0 })
        }
        MptcpOption::RemoveAddr(_) => (0x00, 0xff),
        MptcpOption::Prio(_) => (0x01, 0xff),
        MptcpOption::Fail(_) | MptcpOption::FastClose(_) => (0x00, 0x00),
        MptcpOption::Unknown(_) => (0x0f, 0xff),
    };
    for (slot, mask) in body.iter_mut().zip([0xf0 | low_nibble, second]) {
        *slot &= mask;
    }
}

#[test]
fn every_two_byte_prefix_at_every_length() {
    for first in 0..=0xff_u8 {
        for second in 0..=0xff_u8 {
            for len in 0..=38 {
                let mut body = vec![0x5a; len];
                [first, second].into_iter().zip(&mut body).for_each(|(byte, slot)| *slot = byte);
                let option = MptcpOption::parse(&body);
                let mut out = [0; 40];
                assert_eq!(option.emit(&mut out), Some(len + 2));
                clear_reserved(&option, &mut body);
                assert_eq!(out[2..len + 2], body, "{first:#04x} {second:#04x}");
            }
        }
    }
}

/// The lengths of the RFC, by subtype: everything else is kept as unknown.
#[test]
fn legal_lengths() {
    for subtype in 0..16_u8 {
        for low in 0..16_u8 {
            for len in 3..=40_usize {
                let body = vec![subtype << 4 | low; len - 2];
                let echo = low & 1 == 1;
                let legal = match subtype {
                    0 => matches!(len, 4 | 12 | 20 | 22 | 24),
                    1 => matches!(len, 12 | 16 | 24),
                    2 => continue, // see the test in dss.rs
                    3 if echo => matches!(len, 8 | 10 | 20 | 22),
                    3 => matches!(len, 16 | 18 | 28 | 30),
                    4 => len >= 4,
                    5 => len == 3,
                    6 | 7 => len == 12,
                    8 => len == 4,
                    _ => false,
                };
                let unknown = matches!(MptcpOption::parse(&body), MptcpOption::Unknown(_));
                assert_eq!(unknown, !legal, "subtype {subtype} low {low:#x} length {len}");
            }
        }
    }
}

#[test]
fn an_impossibly_long_body_is_cut() {
    let option = MptcpOption::parse(&[0x40; 200]);
    assert_eq!(option, MptcpOption::Unknown(RawOption::new(&[0x40; 38])));
}

/// What the data path keeps per segment.
#[test]
fn options_stay_small() {
    assert!(size_of::<MptcpOption>() <= 56, "{}", size_of::<MptcpOption>());
    assert!(size_of::<Dss>() <= 56, "{}", size_of::<Dss>());
}
