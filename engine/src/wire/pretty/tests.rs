//! Lines for people.

use super::*;
use crate::seq::SeqNum;
use crate::tcp::{Flags, Timestamps};
use crate::wire::samples::{hex, packet};
use crate::wire::{MptcpOption, OptionBuffer};
use proptest::prelude::*;

fn syn() -> TcpHeader {
    TcpHeader {
        src_port: 40_000,
        dst_port: 443,
        seq: SeqNum(1),
        flags: Flags { syn: true, ..Flags::default() },
        window: 65_535,
        ..TcpHeader::default()
    }
}

#[test]
fn a_syn() {
    let mut options = OptionBuffer::new();
    options.push_mss(1460);
    options.push_sack_permitted();
    options.push_timestamps(Timestamps { value: 1, echo: 0 });
    options.push_window_scale(7);
    options.push_mptcp(&MptcpOption::parse(&[0x01, 0x01]));
    assert_eq!(
        pretty(&packet(false, &syn(), &options, b"")),
        "IP 192.0.2.1:40000 > 198.51.100.254:443: Flags [S], seq 1, win 65535, options [mss 1460,sackOK,\
         TS val 1 ecr 0,nop,wscale 7,mptcp capable v1 [H]], length 0"
    );
}

#[test]
fn data() {
    let header =
        TcpHeader { ack: Some(SeqNum(9)), flags: Flags { psh: true, ..Flags::default() }, ..syn() };
    let mut options = OptionBuffer::new();
    let dss = hex("200f e3db22c6785a0d51 bd09c1b94a030663 00000001 000b");
    options.push_mptcp(&MptcpOption::parse(&dss));
    assert_eq!(
        pretty(&packet(true, &header, &options, b"hello mptcp")),
        "IP6 [2001:db8::1]:40000 > [2001:db8:ffff::abcd]:443: Flags [P.], seq 1:12, ack 9, win 65535, \
         options [mptcp dss ack 0xe3db22c6785a0d51 seq 0xbd09c1b94a030663 subseq 1 len 11,nop,nop], \
         length 11"
    );
}

#[test]
fn no_flags_urgent_pointer_and_broken_options() {
    let header = TcpHeader { flags: Flags::default(), ..syn() };
    let line = pretty(&packet(false, &header, &OptionBuffer::new(), b""));
    assert!(line.ends_with("Flags [none], seq 1, win 65535, length 0"), "{line}");

    let flags = Flags { urg: true, ..Flags::default() };
    let mut options = OptionBuffer::new();
    options.push_raw(253, &[]);
    let mut bytes = packet(false, &TcpHeader { flags, urgent: 5, ..syn() }, &options, b"");
    bytes[41] = 0;
    let line = pretty(&bytes);
    let expected = "win 65535, urg 5, options [malformed: TCP option at offset 0 has a length below 2], length 0";
    assert!(line.ends_with(expected), "{line}");
}

#[test]
fn what_is_no_tcp() {
    assert_eq!(pretty(&[]), "IP malformed: the packet is cut short, length 0");
    let mut bytes = packet(true, &syn(), &OptionBuffer::new(), b"");
    bytes[6] = 17;
    assert_eq!(pretty(&bytes), "IP6 2001:db8::1 > 2001:db8:ffff::abcd: protocol 17, length 20");
    bytes[6] = protocol::ICMPV6;
    assert_eq!(
        pretty(&bytes),
        "IP6 2001:db8::1 > 2001:db8:ffff::abcd: ICMP (not an ICMP error about a TCP segment), length 20"
    );
    bytes[6] = protocol::TCP;
    bytes[40 + 12] = 0x40;
    assert_eq!(
        pretty(&bytes),
        "IP6 2001:db8::1 > 2001:db8:ffff::abcd: TCP malformed: impossible header length, length 20"
    );
}

#[test]
fn a_capture_with_a_length_limit() {
    let whole = packet(false, &syn(), &OptionBuffer::new(), &[0; 100]);
    let line = pretty(&whole);
    assert!(line.ends_with("seq 1:101, win 65535, length 100"), "{line}");
    assert_eq!(pretty(&whole[..60]), std::format!("{line} [80 octets missing]"));
    let line = pretty(&whole[..30]);
    let expected = "TCP malformed: the packet is cut short, length 10 [110 octets missing]";
    assert!(line.ends_with(expected), "{line}");
}

/// What an HMAC proves must not be learnt from a log.
#[test]
fn keys_are_not_shown() {
    let mut options = OptionBuffer::new();
    options.push_mptcp(&MptcpOption::parse(&hex("0101 0001020304050607 1bc778d50fc752dd")));
    let line = pretty(&packet(false, &syn(), &options, b""));
    assert!(line.contains("sender token 0x8a851ff8 receiver token 0xeebb0c6c"), "{line}");
    assert!(!line.contains("01020304") && !line.contains("1bc778d5"), "{line}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn anything_gives_one_line(
        v6: bool, garbage in prop::collection::vec(any::<u8>(), 0..100), from in 0..60usize, keep in 0..120usize,
    ) {
        let mut bytes = packet(v6, &syn(), &OptionBuffer::new(), &garbage);
        for (slot, byte) in bytes.iter_mut().skip(from).zip(&garbage) {
            *slot = *byte;
        }
        bytes.truncate(keep);
        for input in [&bytes, &garbage] {
            let line = pretty(input);
            prop_assert!(!line.is_empty() && !line.contains('\n'));
        }
    }
}
