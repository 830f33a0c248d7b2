//! The budget: layout, and what does not fit.

use super::*;
use crate::seq::SeqNum;
use crate::wire::TcpOptions;
use crate::wire::samples::{dss, hex, mptcp_option, sack_blocks, timestamps};
use proptest::collection::vec as list;
use proptest::prelude::*;
use std::vec::Vec;

const TIMESTAMPS: Timestamps = Timestamps { value: 1, echo: 2 };

fn sack(blocks: u32) -> SackBlocks {
    let mut sack = SackBlocks::new();
    (0..blocks).for_each(|i| assert!(sack.push(SeqNum(2 * i), SeqNum(2 * i + 1))));
    sack
}

#[test]
fn a_syn_as_linux_lays_it_out() {
    let mut options = OptionBuffer::new();
    assert!(options.push_mss(1460));
    assert!(options.push_sack_permitted());
    assert!(options.push_timestamps(Timestamps { value: 1, echo: 0 }));
    assert!(options.push_window_scale(7));
    assert!(options.push_mptcp(&MptcpOption::parse(&[0x01, 0x01])));
    assert_eq!(options.as_slice(), hex("020405b4 0402080a 00000001 00000000 01030307 1e040101"));
    assert_eq!(options.remaining(), 16);
}

#[test]
fn sack_permitted_alone_is_padded_in_front() {
    let mut options = OptionBuffer::new();
    assert!(options.push_sack_permitted() && options.push_window_scale(7));
    assert!(options.push_timestamps(TIMESTAMPS));
    assert_eq!(options.as_slice(), hex("01010402 01030307 0101080a 00000001 00000002"));
}

#[test]
fn options_that_end_like_sack_permitted_are_left_alone() {
    let mut options = OptionBuffer::new();
    assert!(options.push_raw(253, &[1, 1, 1, 1, 4, 2]) && options.push_timestamps(TIMESTAMPS));
    assert_eq!(options.as_slice(), hex("fd080101 01010402 0101080a 00000001 00000002"));
}

#[test]
fn timestamps_take_the_last_eight_octets_after_sack_permitted() {
    let mut options = OptionBuffer::new();
    assert!(options.push_raw(253, &[0; 26]) && options.push_sack_permitted());
    assert_eq!(options.remaining(), 8);
    assert!(options.push_timestamps(TIMESTAMPS));
    assert_eq!(options.remaining(), 0);
}

/// RFC 8684 appendix A [OPT-16]: timestamps and the largest DSS fill the header.
#[test]
fn data_segment() {
    let mut options = OptionBuffer::new();
    assert!(options.push_timestamps(TIMESTAMPS));
    let body = hex("200f e3db22c6785a0d51 bd09c1b94a030663 00000001 000b");
    let MptcpOption::Dss(dss) = MptcpOption::parse(&body) else { panic!("not a DSS") };
    assert!(options.push_dss(&dss));
    assert_eq!(options.remaining(), 0);
    assert_eq!(options.as_slice()[12..], [hex("1e1a"), body, hex("0101")].concat());
    let full = options;
    assert!(!options.push_dss(&dss) && !options.push_mss(1) && !options.push_window_scale(1));
    assert!(!options.push_sack_permitted() && !options.push_timestamps(TIMESTAMPS));
    assert!(!options.push_raw(253, &[]) && !options.push_fast_open(&FastOpenCookie::REQUEST));
    assert_eq!(options.push_sack(&sack(1)), 0);
    assert_eq!(options, full);
}

/// As many blocks as fit, the first ones (RFC 2018 4: the first is the most recent).
#[test]
fn sack_is_cut_to_what_fits() {
    for (used, fitting) in
        [(0, 4), (4, 4), (8, 3), (12, 3), (16, 2), (24, 1), (28, 1), (32, 0), (40, 0)]
    {
        let mut options = OptionBuffer::new();
        assert!(used == 0 || options.push_raw(253, &[0; 40][..used - 2]));
        assert_eq!(options.push_sack(&sack(4)), fitting, "{used}");
        let read = TcpOptions::parse(options.as_slice());
        assert_eq!(read.sack.as_slice(), &sack(4).as_slice()[..fitting]);
    }
    let mut options = OptionBuffer::new();
    assert_eq!(options.push_sack(&SackBlocks::new()), 0);
    assert!(options.as_slice().is_empty());
    assert_eq!(options.push_sack(&sack(1)), 1);
    assert_eq!(options.as_slice(), hex("0101050a 00000000 00000001"));
}

#[test]
fn raw_options() {
    let mut options = OptionBuffer::new();
    assert!(!options.push_raw(0, &[]) && !options.push_raw(1, &[]));
    assert!(!options.push_raw(253, &[0; 39]));
    assert!(options.push_raw(253, &[9]));
    assert_eq!(options.as_slice(), hex("fd030901"));
    assert!(!options.push_raw(253, &[0; 300]));
}

/// One call of the buffer.
#[derive(Clone, Debug)]
enum Push {
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Timestamps(Timestamps),
    Mptcp(MptcpOption),
    Dss(Dss),
    Sack(SackBlocks),
    Raw(u8, Vec<u8>),
}

fn push() -> impl Strategy<Value = Push> {
    prop_oneof![
        any::<u16>().prop_map(Push::Mss),
        any::<u8>().prop_map(Push::WindowScale),
        Just(Push::SackPermitted),
        timestamps().prop_map(Push::Timestamps),
        mptcp_option().prop_map(Push::Mptcp),
        dss().prop_map(Push::Dss),
        sack_blocks(4).prop_map(Push::Sack),
        (35..=255u8, list(any::<u8>(), 0..=40)).prop_map(|(kind, data)| Push::Raw(kind, data)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is pushed: what was accepted is read back in order, nothing else is, and it never overflows.
    #[test]
    fn what_fits_is_there(pushes in list(push(), 0..10)) {
        let mut options = OptionBuffer::new();
        let mut expected = Vec::new();
        for push in &pushes {
            let before = options;
            let accepted = match push {
                Push::Mss(mss) => options.push_mss(*mss).then_some(TcpOption::MaximumSegmentSize(*mss)),
                Push::WindowScale(shift) => {
                    options.push_window_scale(*shift).then_some(TcpOption::WindowScale(*shift))
                }
                Push::SackPermitted => options.push_sack_permitted().then_some(TcpOption::SackPermitted),
                Push::Timestamps(t) => options.push_timestamps(*t).then_some(TcpOption::Timestamps(*t)),
                Push::Mptcp(option) => options.push_mptcp(option).then_some(TcpOption::Mptcp(*option)),
                Push::Dss(dss) => options.push_dss(dss).then_some(TcpOption::Mptcp(MptcpOption::Dss(*dss))),
                Push::Sack(sack) => {
                    let mut fitted = SackBlocks::new();
                    let count = options.push_sack(sack);
                    for (start, end) in &sack.as_slice()[..count] {
                        fitted.push(*start, *end);
                    }
                    (count > 0).then_some(TcpOption::Sack(fitted))
                }
                Push::Raw(kind, data) => {
                    options.push_raw(*kind, data).then_some(TcpOption::Unknown { kind: *kind, data })
                }
            };
            if accepted.is_none() {
                prop_assert_eq!(options.bytes, before.bytes);
                prop_assert_eq!(options.len, before.len);
            }
            expected.extend(accepted);
            prop_assert!(options.as_slice().len() <= 40 && options.as_slice().len().is_multiple_of(4));
            prop_assert_eq!(options.as_slice().len() + options.remaining(), 40);
        }
        let read: Vec<_> = crate::wire::TcpOptionIter::new(options.as_slice())
            .map(|option| option.unwrap())
            .filter(|option| *option != TcpOption::NoOperation)
            .collect();
        prop_assert_eq!(read, expected);
        let mut sum = crate::wire::Checksum::new();
        sum.add_bytes(options.as_slice());
        prop_assert_eq!(options.sum(), sum.partial());
    }
}
