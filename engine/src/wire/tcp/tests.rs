//! TCP headers, whole packets and their checksums.

use super::*;
use crate::wire::TcpOptions;
use crate::wire::samples::{dss, hex, packet, tcp_header, timestamps, tuple};
use proptest::prelude::*;

fn options_with(timestamps: crate::tcp::Timestamps, dss: crate::wire::Dss) -> OptionBuffer {
    let mut options = OptionBuffer::new();
    options.push_timestamps(timestamps);
    options.push_dss(&dss);
    options
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn packets_come_back(
        v6: bool, header in tcp_header(), dss in dss(), timestamps in timestamps(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let options = options_with(timestamps, dss);
        let packet = packet(v6, &header, &options, &payload);
        let ip = IpHeader::parse(&packet).unwrap();
        let tuple = tuple(v6, &header);
        prop_assert_eq!((ip.src, ip.dst), (tuple.local.ip(), tuple.remote.ip()));
        prop_assert_eq!((ip.protocol, ip.hop_limit, ip.traffic_class), (protocol::TCP, 64, 0));
        prop_assert_eq!(ip.total_len, packet.len());
        let segment = ip.payload(&packet);
        prop_assert!(verify_checksum(&ip, segment));
        let (read, len) = TcpHeader::parse(segment).unwrap();
        prop_assert_eq!(read, header);
        prop_assert_eq!(&segment[HEADER_LEN..len], options.as_slice());
        prop_assert_eq!(&segment[len..], &payload[..]);
        prop_assert_eq!(TcpOptions::parse(options.as_slice()).dss.is_some(), options.padded_len() > 12);
    }

    /// What a device makes of a partial checksum is the full one.
    #[test]
    fn a_device_can_finish_the_checksum(
        v6: bool, header in tcp_header(), payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let options = OptionBuffer::new();
        let tuple = tuple(v6, &header);
        let mut partial = Vec::new();
        let mode = ChecksumMode::PseudoHeaderOnly;
        let lengths = emit(&mut partial, &tuple, &header, &options, &payload, mode).unwrap();
        prop_assert_eq!(lengths.ip + lengths.tcp, partial.len());
        partial.extend_from_slice(&payload);
        // virtio: sum from the TCP header on, with what the field holds, and store the complement.
        let mut sum = Checksum::new();
        sum.add_bytes(&partial[lengths.ip..]);
        let field = lengths.ip + 16;
        partial[field..field + 2].copy_from_slice(&sum.finish().to_be_bytes());
        prop_assert_eq!(partial, packet(v6, &header, &options, &payload));
    }

    #[test]
    fn a_sum_known_before_gives_the_same(header in tcp_header(), payload: [u8; 33]) {
        let (mut once, mut again) = (Vec::new(), Vec::new());
        let (tuple, options) = (tuple(false, &header), OptionBuffer::new());
        emit(&mut once, &tuple, &header, &options, &payload, ChecksumMode::Full);
        let mut sum = Checksum::new();
        sum.add_bytes(&payload);
        emit_summed(&mut again, &tuple, &header, &options, payload.len(), Some(sum));
        prop_assert_eq!(once, again);
    }

    #[test]
    fn a_wrong_bit_is_noticed(v6: bool, header in tcp_header(), bit in 0..(20 + 9) * 8usize) {
        let mut packet = packet(v6, &header, &OptionBuffer::new(), b"some data");
        let ip = IpHeader::parse(&packet).unwrap();
        packet[ip.header_len + bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_checksum(&ip, ip.payload(&packet)));
    }

    #[test]
    fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok((_, len)) = TcpHeader::parse(&bytes) {
            prop_assert!((20..=60).contains(&len) && len <= bytes.len());
        }
    }
}

#[test]
fn a_known_header() {
    let segment = hex("3039 0050 00000001 00000002 5012 ffff 0000 0000");
    let (header, len) = TcpHeader::parse(&segment).unwrap();
    assert_eq!(len, 20);
    let expected = TcpHeader {
        src_port: 12345,
        dst_port: 80,
        seq: SeqNum(1),
        ack: Some(SeqNum(2)),
        flags: Flags { syn: true, ..Flags::default() },
        window: 65535,
        urgent: 0,
    };
    assert_eq!(header, expected);
    assert_eq!(header.flag_bits(), 0x12);
}

#[test]
fn each_flag_has_its_bit() {
    for bits in 0..=0xff_u8 {
        let mut segment = hex("3039 0050 00000001 00000002 5000 ffff 0000 0000");
        segment[13] = bits;
        let (header, _) = TcpHeader::parse(&segment).unwrap();
        assert_eq!(header.flag_bits(), bits);
        assert_eq!(header.ack.is_some(), bits & 0x10 != 0);
    }
}

#[test]
fn data_offset() {
    let mut segment = hex("3039 0050 00000001 00000002 5012 ffff 0000 0000");
    segment.resize(50, 0);
    for words in 0..16_u8 {
        segment[12] = words << 4;
        let result = TcpHeader::parse(&segment).map(|(_, len)| len);
        let expected = match words {
            0..5 => Err(Error::BadHeaderLength),
            5..=12 => Ok(usize::from(words) * 4),
            _ => Err(Error::Truncated),
        };
        assert_eq!(result, expected);
    }
    for len in 0..20 {
        assert_eq!(TcpHeader::parse(&segment[..len]), Err(Error::Truncated));
    }
}

#[test]
fn the_largest_packets() {
    let (header, options) = (TcpHeader::default(), OptionBuffer::new());
    let payload = std::vec![0; 65_536];
    for (v6, most) in [(false, 65_535 - 40), (true, 65_535 - 20)] {
        let mut buf = Vec::new();
        let mode = ChecksumMode::Full;
        let tuple = tuple(v6, &header);
        assert_eq!(emit(&mut buf, &tuple, &header, &options, &payload[..most + 1], mode), None);
        assert!(buf.is_empty());
        assert!(emit(&mut buf, &tuple, &header, &options, &payload[..most], mode).is_some());
        buf.extend_from_slice(&payload[..most]);
        let ip = IpHeader::parse(&buf).unwrap();
        assert!(verify_checksum(&ip, ip.payload(&buf)));
    }
}

#[test]
fn mixed_families_are_refused() {
    let header = TcpHeader::default();
    let mixed = FourTuple { remote: tuple(true, &header).remote, ..tuple(false, &header) };
    let mut buf = Vec::new();
    let options = OptionBuffer::new();
    assert_eq!(emit(&mut buf, &mixed, &header, &options, &[], ChecksumMode::Full), None);
    assert!(buf.is_empty());
}

#[test]
fn appends_behind_what_is_there() {
    let header = TcpHeader::default();
    let mut buf = Vec::from([7; 10]);
    let mode = ChecksumMode::Full;
    emit(&mut buf, &tuple(false, &header), &header, &OptionBuffer::new(), &[], mode).unwrap();
    assert_eq!(buf[..10], [7; 10]);
    assert_eq!(buf[10..], packet(false, &header, &OptionBuffer::new(), &[]));
}
