//! The layout octet by octet, and every way in which a stream can be cut or lie.

use super::*;
use crate::tcp::Flags;
use proptest::prelude::*;
use std::vec;

/// As docs/framing.md shows it.
const PREFACE: &[u8] = &[0x6d, 0x70, 0x75, 0x73, 0x01, 0x00, 0x1b, 0x58];
/// As docs/framing.md shows it: PSH and ACK, one NOP-padded word of options, two octets.
const FRAME: &[u8] = &[
    0x00, 0x02, 0x01, 0x18, // payload 2, options 1 word, PSH ACK
    0x00, 0x00, 0x03, 0xe8, // seq 1000
    0x00, 0x00, 0x07, 0xd0, // ack 2000
    0x01, 0x00, 0x00, 0x00, // window 256, zero
    0x01, 0x03, 0x03, 0x07, // NOP, window scale 7
    0x68, 0x69, // "hi"
];

fn tuple() -> FourTuple {
    FourTuple { local: ([198, 18, 0, 1], 40_000).into(), remote: ([192, 0, 2, 1], 1080).into() }
}

fn decoder(bytes: &[u8]) -> Decoder {
    Decoder { buffer: bytes.into() }
}

fn frame() -> Frame {
    let mut options = OptionBuffer::new();
    assert!(options.push_window_scale(7));
    let flags = Flags { psh: true, ..Flags::default() };
    let (seq, ack) = (SeqNum(1000), Some(SeqNum(2000)));
    let header = TcpHeader { seq, ack, flags, window: 256, ..TcpHeader::default() };
    Frame { header, options, payload: Bytes::from_static(b"hi") }
}

#[test]
fn the_layout_is_that_of_the_document() {
    let preface = Preface { answer: Answer::Welcome, port: 7000 };
    assert_eq!(preface.emit(), PREFACE);
    assert_eq!(decoder(PREFACE).preface(), Ok(Some(preface)));
    assert_eq!(decoder(FRAME).frame(), Ok(Some(frame())));
    let packet = frame().packet(&tuple()).expect("one family");
    let (headers, payload) = packet.split_at(packet.len() - 2);
    let (from, mut head) = Frame::head_of(headers, payload.len()).expect("a packet");
    assert_eq!((from.local, from.remote), (tuple().remote, tuple().local));
    head.extend_from_slice(payload);
    assert_eq!(head, FRAME);
}

#[test]
fn what_is_no_preface_is_found_at_its_first_octet() {
    assert_eq!(decoder(b"H").preface(), Err(FrameError::NotOurs));
    assert_eq!(decoder(b"mpu").preface(), Ok(None));
    assert_eq!(decoder(b"mpuz").preface(), Err(FrameError::NotOurs));
    let with = |at: usize, value: u8| {
        let mut bytes = PREFACE.to_vec();
        bytes[at] = value;
        decoder(&bytes).preface()
    };
    assert_eq!(with(4, 2), Err(FrameError::Version(2)));
    assert_eq!(with(5, 9), Err(FrameError::Answer(9)));
    assert_eq!(with(5, 1), Ok(Some(Preface { answer: Answer::Busy, port: 7000 })));
    assert_eq!(decoder(b"mpus\x01\0\0\0").preface(), Err(FrameError::Port));
}

#[test]
fn lies_about_lengths_end_the_stream_before_anything_is_waited_for() {
    let with = |at: usize, value: u8| {
        let mut bytes = FRAME[..HEAD_LEN].to_vec();
        bytes[at] = value;
        decoder(&bytes).frame()
    };
    assert_eq!(with(0, 0x40), Err(FrameError::PayloadLength(0x4002)));
    assert_eq!(with(2, 11), Err(FrameError::OptionsLength(11)));
    assert_eq!(with(3, 0x38), Err(FrameError::Flags(0x38)));
    assert_eq!(with(15, 1), Err(FrameError::Reserved(1)));
    let mut longest = FRAME[..HEAD_LEN].to_vec();
    longest[..3].copy_from_slice(&[0x40, 0, 10]);
    assert_eq!(decoder(&longest).frame(), Ok(None));
    longest.resize(HEAD_LEN + MAX_OPTIONS + MAX_PAYLOAD, 1);
    let whole = decoder(&longest).frame().unwrap().expect("whole");
    assert_eq!(whole.payload.len(), MAX_PAYLOAD);
}

fn frames() -> impl Strategy<Value = Frame> {
    let numbers = (any::<u32>(), any::<Option<u32>>(), any::<u16>(), 0_u8..16);
    let body = (0_usize..=10, prop::collection::vec(any::<u8>(), 0..300));
    (numbers, body, any::<u8>()).prop_map(|((seq, ack, window, bits), (words, payload), fill)| {
        let ack = ack.map(SeqNum);
        let mut header = TcpHeader::of_bits(bits, SeqNum(seq), SeqNum(0), window);
        header.ack = ack;
        let options = OptionBuffer::from_octets(&vec![fill; words * 4]).expect("ten words");
        Frame { header, options, payload: payload.into() }
    })
}

fn octets(frame: &Frame) -> Vec<u8> {
    let packet = frame.packet(&tuple()).expect("one family");
    let (headers, payload) = packet.split_at(packet.len() - frame.payload.len());
    let (_, mut octets) = Frame::head_of(headers, payload.len()).expect("a packet");
    octets.extend_from_slice(payload);
    octets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn frames_survive_any_cut(
        all in prop::collection::vec(frames(), 0..8),
        cuts in prop::collection::vec(1_usize..400, 1..60),
    ) {
        let stream: Vec<u8> = all.iter().flat_map(octets).collect();
        let (mut decoder, mut found, mut rest) = (Decoder::default(), Vec::new(), &stream[..]);
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            decoder.buffer().extend_from_slice(piece);
            rest = after;
            while let Some(frame) = decoder.frame().unwrap() {
                found.push(frame);
            }
            prop_assert!(decoder.buffer().len() < HEAD_LEN + MAX_OPTIONS + MAX_PAYLOAD);
        }
        prop_assert_eq!(found, all);
        prop_assert!(decoder.buffer().is_empty());
    }

    #[test]
    fn packets_of_frames_are_good_packets(frame in frames()) {
        let packet = frame.packet(&tuple()).expect("one family");
        let ip = IpHeader::parse(&packet).unwrap();
        prop_assert!(tcp::verify_checksum(&ip, ip.payload(&packet)));
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), len in 0_usize..100_000) {
        let _ = decoder(&bytes).preface();
        let mut decoder = decoder(&bytes);
        while let Ok(Some(frame)) = decoder.frame() {
            let _ = frame.packet(&tuple());
        }
        let _ = Frame::head_of(&bytes, len);
    }
}
