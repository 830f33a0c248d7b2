//! TCP options one by one and as the engine's summary.

use super::*;
use crate::wire::samples::{dss, emitted, hex, mptcp_option, sack_blocks, signal, timestamps};
use crate::wire::{SignalList, TcpOptions};
use proptest::collection::vec as list;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

fn all(bytes: &[u8]) -> Vec<Result<TcpOption<'_>, Error>> {
    TcpOptionIter::new(bytes).collect()
}

/// The bytes of any legal option.
fn option_bytes() -> impl Strategy<Value = Vec<u8>> {
    let with_len = |kind: u8, body: Vec<u8>| {
        let mut bytes = Vec::from([kind, body.len() as u8 + 2]);
        bytes.extend(body);
        bytes
    };
    prop_oneof![
        Just(Vec::from([kind::NO_OPERATION])),
        any::<[u8; 2]>().prop_map(move |mss| with_len(2, mss.into())),
        any::<u8>().prop_map(move |shift| with_len(3, Vec::from([shift]))),
        Just(Vec::from([4, 2])),
        (0..=4usize, any::<[u8; 32]>())
            .prop_map(move |(n, bytes)| with_len(5, bytes[..8 * n].into())),
        any::<[u8; 8]>().prop_map(move |numbers| with_len(8, numbers.into())),
        list(any::<u8>(), 0..=16).prop_map(move |cookie| with_len(34, cookie)),
        mptcp_option().prop_map(|option| emitted(&option)),
        (2..=255u8, list(any::<u8>(), 0..=38)).prop_map(move |(kind, data)| {
            // Of kind 30 only what the option's own tests call canonical comes back unchanged.
            with_len(if kind == kind::MPTCP { 31 } else { kind }, data)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn legal_bytes_come_back_unchanged(options in list(option_bytes(), 0..12)) {
        let bytes = options.concat();
        let mut again = Vec::new();
        for option in TcpOptionIter::new(&bytes) {
            let option = option.unwrap();
            let mut out = [0; 64];
            let len = option.emit(&mut out).unwrap();
            prop_assert_eq!(len, option.wire_len());
            prop_assert_eq!(option.emit(&mut [0; 64][..len - 1]), None);
            again.extend_from_slice(&out[..len]);
            let _ = option.to_string();
        }
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn values_come_back_unchanged(
        mss: u16, shift: u8, sack in sack_blocks(4), timestamps in timestamps(),
        cookie in list(any::<u8>(), 0..=8), option in mptcp_option(),
    ) {
        let doubled = cookie.repeat(2);
        let cookie = if doubled.len() < 4 { &[][..] } else { &doubled };
        for option in [
            TcpOption::EndOfList,
            TcpOption::NoOperation,
            TcpOption::MaximumSegmentSize(mss),
            TcpOption::WindowScale(shift),
            TcpOption::SackPermitted,
            TcpOption::Sack(sack),
            TcpOption::Timestamps(timestamps),
            TcpOption::FastOpen(cookie),
            TcpOption::Mptcp(option),
            TcpOption::Unknown { kind: 253, data: cookie },
        ] {
            let mut out = [0; 40];
            let len = option.emit(&mut out).unwrap();
            prop_assert_eq!(all(&out[..len]), [Ok(option)]);
        }
    }

    /// The summary says what going through the options one by one says, on any bytes.
    #[test]
    fn the_summary_agrees_with_the_iterator(bytes in prop_oneof![
        list(any::<u8>(), 0..=40),
        list(option_bytes(), 0..8).prop_map(|options| options.concat()),
        (list(option_bytes(), 0..4), list(0..40u8, 0..12), any::<bool>()).prop_map(|(options, tail, start)| {
            let start = if start { hex("0101080a 00000001 00000002") } else { Vec::new() };
            [start, options.concat(), tail].concat()
        }),
    ]) {
        prop_assert_eq!(TcpOptions::parse(&bytes), slow_summary(&bytes));
    }

    #[test]
    fn the_common_segment(timestamps in timestamps(), dss in dss(), signal in signal()) {
        let mut bytes = hex("0101080a");
        bytes.extend(timestamps.value.to_be_bytes());
        bytes.extend(timestamps.echo.to_be_bytes());
        bytes.extend(emitted(&MptcpOption::Dss(dss)));
        bytes.extend([1, 1]);
        bytes.extend(emitted(&signal));
        let mut expected =
            TcpOptions { timestamps: Some(timestamps), dss: Some(dss), ..TcpOptions::default() };
        expected.signals.push(&signal);
        prop_assert_eq!(TcpOptions::parse(&bytes), expected);
    }
}

/// [`TcpOptions::parse`] in the plain way.
fn slow_summary(bytes: &[u8]) -> TcpOptions {
    let mut summary = TcpOptions::default();
    for option in TcpOptionIter::new(bytes) {
        match option {
            Ok(TcpOption::MaximumSegmentSize(mss)) => summary.mss = summary.mss.or(Some(mss)),
            Ok(TcpOption::WindowScale(shift)) => {
                summary.window_scale = summary.window_scale.or(Some(shift));
            }
            Ok(TcpOption::SackPermitted) => summary.sack_permitted = true,
            Ok(TcpOption::Sack(sack)) if summary.sack.is_empty() => summary.sack = sack,
            Ok(TcpOption::Timestamps(t)) => summary.timestamps = summary.timestamps.or(Some(t)),
            Ok(TcpOption::FastOpen(cookie)) => {
                summary.fast_open = summary.fast_open.or(FastOpenCookie::new(cookie));
            }
            Ok(TcpOption::Mptcp(MptcpOption::Dss(dss))) => summary.dss = summary.dss.or(Some(dss)),
            Ok(TcpOption::Mptcp(signal)) => {
                summary.signals.push(&signal);
            }
            Ok(_) => {}
            Err(_) => summary.malformed = true,
        }
    }
    summary
}

#[test]
fn a_linux_syn() {
    let bytes = hex("020405b4 0402080a 00000001 00000000 01030307 1e040101");
    let texts: Vec<_> =
        TcpOptionIter::new(&bytes).map(|option| option.unwrap().to_string()).collect();
    let expected =
        ["mss 1460", "sackOK", "TS val 1 ecr 0", "nop", "wscale 7", "mptcp capable v1 [H]"];
    assert_eq!(texts, expected);
    let summary = TcpOptions::parse(&bytes);
    assert_eq!(
        (summary.mss, summary.window_scale, summary.sack_permitted),
        (Some(1460), Some(7), true)
    );
    assert_eq!(summary.signals.iter().count(), 1);
    assert!(!summary.malformed);
}

#[test]
fn broken_options_are_located() {
    let nop = Ok(TcpOption::NoOperation);
    for (bytes, error) in [
        ("01 05", Error::OptionOverrun { offset: 1 }),
        ("01 0500", Error::BadOptionLength { offset: 1 }),
        ("01 0501 0101", Error::BadOptionLength { offset: 1 }),
        ("01 1e0c2003 e3db22c6785a0d", Error::OptionOverrun { offset: 1 }),
        ("01 feff 00", Error::OptionOverrun { offset: 1 }),
    ] {
        let bytes = hex(bytes);
        assert_eq!(all(&bytes), [nop, Err(error)]);
        let expected = TcpOptions { malformed: true, ..TcpOptions::default() };
        assert_eq!(TcpOptions::parse(&bytes), expected);
    }
}

/// What stands before a broken option counts, what stands after it does not; as in the kernel.
#[test]
fn options_before_a_broken_one_are_valid() {
    let summary = TcpOptions::parse(&hex("020405b4 0500 03030a"));
    assert_eq!((summary.mss, summary.window_scale, summary.malformed), (Some(1460), None, true));
}

#[test]
fn nothing_follows_the_end_of_the_list() {
    let bytes = hex("020405b4 00 0402 ff");
    assert_eq!(all(&bytes), [Ok(TcpOption::MaximumSegmentSize(1460)), Ok(TcpOption::EndOfList)]);
    assert_eq!(TcpOptions::parse(&bytes), TcpOptions { mss: Some(1460), ..TcpOptions::default() });
}

#[test]
fn known_kinds_of_wrong_length_are_unknown() {
    for bytes in [
        "020305",
        "02050505 05",
        "0302",
        "030405 05",
        "040300",
        "0502",
        "05060000 0000",
        "0809 00000000000000",
        "2203 aa",
        "2207 0102030405",
        "2214 000102030405060708090a0b0c0d0e0f1011",
    ] {
        let bytes = hex(bytes);
        let (kind, data) = (bytes[0], &bytes[2..]);
        assert_eq!(all(&bytes), [Ok(TcpOption::Unknown { kind, data })]);
        assert_eq!(TcpOptions::parse(&bytes), TcpOptions::default());
    }
    // Five SACK blocks fit into no TCP header.
    assert!(parse_sack(&[0; 40]).is_none());
}

/// RFC 8684 6 [OPT-17]: the first of two DSS counts.
#[test]
fn duplicates_do_not_replace() {
    let bytes = hex("1e082001 00000001 1e082001 00000002 0101 020405b4 02040218");
    let summary = TcpOptions::parse(&bytes);
    assert_eq!(summary.dss.and_then(|dss| dss.data_ack), Some(crate::wire::DataAck::Short(1)));
    assert_eq!(summary.mss, Some(1460));
    assert!(summary.signals.is_empty());
}

#[test]
fn a_broken_dss_is_a_signal() {
    let summary = TcpOptions::parse(&hex("1e062001 0000"));
    assert_eq!(summary.dss, None);
    let raw = MptcpOption::Unknown(crate::wire::RawOption::new(&hex("2001 0000")));
    assert_eq!(summary.signals.iter().collect::<Vec<_>>(), [raw]);
}

#[test]
fn all_signals_of_a_segment_are_kept() {
    let bytes = hex("1e0351").repeat(13);
    let summary = TcpOptions::parse(&bytes);
    assert_eq!(summary.signals.iter().count(), 13);
    assert!(!summary.malformed && !summary.signals.is_empty());
    // More than a TCP header can hold.
    let summary = TcpOptions::parse(&hex("1e0351").repeat(20));
    assert_eq!(summary.signals.iter().count(), 13);
    let mut full = summary.signals;
    assert!(!full.push(&MptcpOption::parse(&[0x50])));
    assert_eq!(full, summary.signals);
    assert!(SignalList::new().is_empty());
}

#[test]
fn cookies() {
    for len in 0..20 {
        let legal = len == 0 || (4..=16).contains(&len) && len % 2 == 0;
        let cookie = FastOpenCookie::new(&[7; 20][..len]);
        assert_eq!(cookie.is_some(), legal, "{len}");
        assert!(cookie.is_none_or(|cookie| cookie.as_slice() == &[7; 20][..len]));
    }
    assert!(FastOpenCookie::REQUEST.is_request());
    assert_eq!(TcpOption::FastOpen(&[]).to_string(), "tfo cookiereq");
    assert_eq!(TcpOption::FastOpen(&[1, 2, 3, 4]).to_string(), "tfo cookie 01020304");
}

#[test]
fn options_without_length_or_too_long_are_not_written() {
    for kind in [kind::END_OF_LIST, kind::NO_OPERATION] {
        assert_eq!(TcpOption::Unknown { kind, data: &[1] }.emit(&mut [0; 40]), None);
    }
    assert_eq!(TcpOption::Unknown { kind: 77, data: &[0; 254] }.emit(&mut [0; 300]), None);
}
