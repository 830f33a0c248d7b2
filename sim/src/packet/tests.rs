use super::*;
use mpuser_engine::addr::FourTuple;
use mpuser_engine::tcp::Flags;
use mpuser_engine::wire::{ChecksumMode, OptionBuffer, TcpHeader, tcp};
use proptest::prelude::*;

/// A packet as the engine makes it.
pub(crate) fn made(v6: bool, seq: u32, options: &[(u8, Vec<u8>)], payload: &[u8]) -> Bytes {
    let ends =
        if v6 { ("[2001:db8::1]:5", "[2001:db8::2]:80") } else { ("10.0.0.1:5", "10.0.0.2:80") };
    let tuple = FourTuple { local: ends.0.parse().unwrap(), remote: ends.1.parse().unwrap() };
    let header = TcpHeader {
        src_port: 5,
        dst_port: 80,
        seq: SeqNum(seq),
        ack: Some(SeqNum(9)),
        flags: Flags { psh: true, ..Flags::default() },
        window: 77,
        urgent: 0,
    };
    let mut buffer = OptionBuffer::new();
    for (kind, data) in options {
        buffer.push_raw(*kind, data);
    }
    let mut bytes = Vec::new();
    tcp::emit(&mut bytes, &tuple, &header, &buffer, payload, ChecksumMode::Full).unwrap();
    bytes.extend_from_slice(payload);
    Bytes::from(bytes)
}

proptest! {
    #[test]
    fn untouched_packets_keep_every_byte(
        v6: bool,
        seq: u32,
        options in prop::collection::vec((2u8..60, prop::collection::vec(any::<u8>(), 0..12)), 0..3),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let packet = made(v6, seq, &options, &payload);
        let parsed = TcpPacket::parse(&packet).unwrap();
        prop_assert_eq!(parsed.emit(), packet);
    }

    #[test]
    fn changed_packets_are_right_again(v6: bool, payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut packet = TcpPacket::parse(&made(v6, 1, &[(30, vec![0x21, 1, 2])], &payload)).unwrap();
        packet.src.set_port(9);
        packet.seq = SeqNum(u32::MAX);
        packet.payload = Bytes::from(vec![3; payload.len() + 1]);
        prop_assert!(packet.has_mptcp());
        prop_assert!(packet.blank_options(|o| o.mptcp_subtype() == Some(2)));
        let again = TcpPacket::parse(&packet.emit()).unwrap();
        prop_assert!(!again.has_mptcp());
        prop_assert_eq!((again.src, again.seq, &again.payload), (packet.src, packet.seq, &packet.payload));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), flip in 0usize..400) {
        let _ = TcpPacket::parse(&Bytes::from(bytes.clone()));
        let mut packet = made(false, 1, &[(30, vec![0; 10])], &bytes).to_vec();
        let at = flip % packet.len();
        packet[at] ^= 1;
        if let Some(parsed) = TcpPacket::parse(&Bytes::from(packet)) {
            let _ = parsed.emit();
        }
    }
}
