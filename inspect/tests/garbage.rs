//! Files that are no captures, or not whole, or changed: an error with its place, and always an end.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use common::{decode, inspect};
use mpuser_inspect::{Reader, read::Problem};
use proptest::prelude::*;
use std::path::Path;

fn capture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(name);
    std::fs::read(path).expect("a capture of the repository")
}

/// The same frames as pcapng, in either byte order, with the kinds of packet blocks mixed.
fn as_ng(pcap: &[u8], big: bool) -> Vec<u8> {
    let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let half = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut out = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let padded = body.len().div_ceil(4) * 4;
        let len = word(padded as u32 + 12);
        out.extend([&word(kind)[..], &len, body, &vec![0; padded - body.len()], &len].concat());
    };
    block(0x0a0d_0d0a, &[&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat());
    let network = u32::from_le_bytes(pcap[20..24].try_into().unwrap());
    // microseconds by default; the second interface counts 2^-20 s and is an hour ahead
    let first = [&half(network as u16)[..], &half(0), &word(0)].concat();
    let options = [&half(9)[..], &half(1), &[0x94, 0, 0, 0], &half(14), &half(8)].concat();
    let hour = if big { 3600_i64.to_be_bytes() } else { 3600_i64.to_le_bytes() };
    block(1, &first);
    block(1, &[&first[..], &options, &hour, &[0; 4]].concat());
    let mut at = 24;
    let mut number = 0;
    while at + 16 <= pcap.len() {
        let field = |i: usize| u32::from_le_bytes(pcap[at + i..at + i + 4].try_into().unwrap());
        let (captured, original) = (field(8), field(12));
        let data = &pcap[at + 16..at + 16 + captured as usize];
        let micros = u64::from(field(0)) * 1_000_000 + u64::from(field(4));
        let time = [word((micros >> 32) as u32), word(micros as u32)].concat();
        let sizes = [word(captured), word(original)].concat();
        match number % 3 {
            0 => block(6, &[&word(0)[..], &time, &sizes, data].concat()),
            1 => block(2, &[&half(0)[..], &half(7), &time, &sizes, data].concat()),
            _ => block(3, &[&word(original)[..], data].concat()),
        }
        block(0x0bad_0bad, b"nobody knows this block");
        at += 16 + captured as usize;
        number += 1;
    }
    out
}

#[test]
fn pcapng_in_both_byte_orders_says_the_same() {
    // whole packets: a simple block does not say how much was captured
    let pcap = capture("own10_mprst_limit.pcap");
    let strip = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .map(|l| l.split_whitespace().skip(2).collect::<Vec<_>>().join(" "))
            .collect()
    };
    let expected = strip(decode(&pcap));
    for big in [false, true] {
        assert_eq!(strip(decode(&as_ng(&pcap, big))), expected, "big endian: {big}");
    }
}

#[test]
fn pcap_in_every_byte_order_says_the_same() {
    let pcap = capture("own10_mprst_limit.pcap");
    let expected = decode(&pcap);
    let mut swapped = pcap.clone();
    swapped[..4].reverse();
    for at in [4, 6] {
        swapped[at..at + 2].reverse();
    }
    for at in [8, 12, 16, 20] {
        swapped[at..at + 4].reverse();
    }
    let mut nano = pcap.clone();
    nano[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    let mut at = 24;
    while at < pcap.len() {
        let len = u32::from_le_bytes(pcap[at + 8..at + 12].try_into().unwrap()) as usize;
        let micros = u32::from_le_bytes(pcap[at + 4..at + 8].try_into().unwrap());
        nano[at + 4..at + 8].copy_from_slice(&(micros * 1000).to_le_bytes());
        for field in 0..4 {
            swapped[at + field * 4..at + field * 4 + 4].reverse();
        }
        at += 16 + len;
    }
    assert_eq!(decode(&swapped), expected);
    assert_eq!(decode(&nano), expected);
}

/// Cut anywhere, a file gives the frames before the cut, and an error at the record that is not whole.
#[test]
fn cut_at_every_octet() {
    let small = capture("tcpdump__mptcp-fclose.pcap");
    for file in [small.clone(), as_ng(&small, false), as_ng(&small, true)] {
        let whole = decode(&file).len();
        for len in 0..file.len() {
            let mut reader = Reader::new(&file[..len]);
            let mut frames = 0;
            let error = loop {
                match reader.next_frame() {
                    Ok(Some(_)) => frames += 1,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            assert!(frames <= whole);
            match error {
                Some(error) => {
                    assert!(error.offset <= len as u64, "{error}");
                    let cut = matches!(error.problem, Problem::Cut { .. } | Problem::Empty);
                    assert!(cut, "{len}: {error}");
                    assert!(
                        matches!(reader.next_frame(), Ok(None)),
                        "there is nothing after an error"
                    );
                }
                // between two records
                None => assert!(len >= 24, "{len}"),
            }
        }
    }
}

#[test]
fn other_files_are_told_apart() {
    for (bytes, expected) in [
        (&b""[..], "the file is empty"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip"),
        (b"GET / HTTP/1.1\r\n", "not a capture"),
        (b"\xd4\xc3\xb2\xa1", "24 octets announced, 4 there"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x00\x00\x00\x00", "byte-order magic"),
    ] {
        let (_, error) = inspect(bytes);
        let text = error.expect("an error").to_string();
        assert!(text.starts_with("at byte 0: ") && text.contains(expected), "{text}");
    }
}

/// A record that claims gigabytes costs no memory: it is refused, or the file ends first.
#[test]
fn lengths_that_lie_cost_nothing() {
    let mut pcap = capture("tcpdump__mptcp-aa-echo.pcap");
    pcap[24 + 8..24 + 12].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    let text = inspect(&pcap).1.expect("an error").to_string();
    assert!(text.starts_with("at byte 24: ") && text.contains("2147483647"), "{text}");
    let mut ng = as_ng(&capture("tcpdump__mptcp-aa-echo.pcap"), false);
    ng[4..8].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    assert!(inspect(&ng).1.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any octets changed: no panic, an end, and no more frames than octets.
    #[test]
    fn changed_files_come_to_an_end(
        which in 0_usize..5,
        ng: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let names = ["tcpdump__mptcp-fclose.pcap", "own10_mprst_limit.pcap", "ptcpdump__tfo.pcap",
            "own05_addaddr6_port.pcap", "own08_fastclose.pcap"];
        let mut file = capture(names[which]);
        if ng {
            file = as_ng(&file, which % 2 == 0);
        }
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        let (report, _) = inspect(&file);
        prop_assert!(report.packets <= file.len() as u64);
        let _ = report.json();
        let _ = report.text();
        let _ = report.csv_rows();
        decode(&file);
    }

    #[test]
    fn garbage_comes_to_an_end(start in 0_usize..4, rest in prop::collection::vec(any::<u8>(), 0..600)) {
        let starts: [&[u8]; 4] = [
            b"",
            b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00",
            b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00",
            b"\xa1\xb2\x3c\x4d\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x01\x14",
        ];
        decode(&[starts[start], &rest].concat());
    }
}
