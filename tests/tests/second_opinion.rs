//! pnet_packet reads what the codec writes, and writes what the codec reads: fixed headers, checksums and the place of
//! options. Not the options themselves: its iterator makes up some where a length is 0 or 1.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::addr::{FourTuple, SocketAddr};
use mpuser_engine::seq::{DataSeq, SeqNum, SubflowSeq};
use mpuser_engine::tcp::{Flags, Timestamps};
use mpuser_engine::wire::mptcp::{Dss, DssMapping, WireDataSeq};
use mpuser_engine::wire::tcp::{emit, verify_checksum};
use mpuser_engine::wire::{ChecksumMode, IpHeader, OptionBuffer, TcpHeader, TcpOptions};
use pnet_packet::Packet;
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, Ipv4Packet, MutableIpv4Packet};
use pnet_packet::tcp::{self, MutableTcpPacket, TcpPacket};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

fn tuple(local: (u32, u16), remote: (u32, u16)) -> FourTuple {
    let at =
        |(address, port): (u32, u16)| SocketAddr::new(IpAddr::from(address.to_be_bytes()), port);
    FourTuple { local: at(local), remote: at(remote) }
}

fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

prop_compose! {
    fn header()(src_port: u16, dst_port: u16, seq: u32, ack: Option<u32>, window: u16,
                syn: bool, fin: bool, rst: bool, psh: bool) -> TcpHeader {
        TcpHeader {
            src_port,
            dst_port,
            seq: SeqNum(seq),
            ack: ack.map(SeqNum),
            flags: Flags { syn, fin, rst, psh, ..Flags::default() },
            window,
            urgent: 0,
        }
    }
}

proptest! {
    #[test]
    fn it_reads_what_we_write(
        header in header(),
        local: u32,
        remote: u32,
        stamps: Option<(u32, u32)>,
        dsn: Option<u64>,
        payload in prop::collection::vec(any::<u8>(), 0..1_400),
    ) {
        let tuple = tuple((local, header.src_port), (remote, header.dst_port));
        let mut options = OptionBuffer::new();
        if let Some((value, echo)) = stamps {
            options.push_timestamps(Timestamps { value, echo });
        }
        if let Some(dsn) = dsn {
            let data_seq = WireDataSeq::from(DataSeq(dsn));
            let mapping = DssMapping { data_seq, subflow_seq: SubflowSeq(7), data_len: 9, checksum: None };
            options.push_dss(&Dss { data_ack: None, mapping: Some(mapping), data_fin: false });
        }
        let mut packet = Vec::new();
        emit(&mut packet, &tuple, &header, &options, &payload, ChecksumMode::Full).expect("it fits");
        packet.extend_from_slice(&payload);

        let ip = Ipv4Packet::new(&packet).expect("a header");
        prop_assert_eq!((ip.get_version(), usize::from(ip.get_total_length())), (4, packet.len()));
        prop_assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
        prop_assert_eq!((ip.get_source(), ip.get_destination()),
            (v4(tuple.local.ip()), v4(tuple.remote.ip())));
        let segment = TcpPacket::new(ip.payload()).expect("a header");
        prop_assert_eq!((segment.get_source(), segment.get_destination()), (header.src_port, header.dst_port));
        prop_assert_eq!(segment.get_sequence(), header.seq.0);
        prop_assert_eq!(segment.get_acknowledgement(), header.ack.map_or(0, |ack| ack.0));
        prop_assert_eq!(segment.get_window(), header.window);
        prop_assert_eq!(segment.get_flags(), header.flag_bits());
        prop_assert_eq!(segment.get_options_raw(), options.as_slice());
        prop_assert_eq!(segment.payload(), payload.as_slice());
        let sum = tcp::ipv4_checksum(&segment, &ip.get_source(), &ip.get_destination());
        prop_assert_eq!(segment.get_checksum(), sum);
    }

    #[test]
    fn we_read_what_it_writes(
        header in header(),
        local: u32,
        remote: u32,
        payload in prop::collection::vec(any::<u8>(), 0..1_400),
        damage: Option<(usize, u8)>,
    ) {
        let tuple = tuple((local, header.src_port), (remote, header.dst_port));
        let mut packet = vec![0; 40 + payload.len()];
        write(&mut packet, &tuple, &header, &payload);
        let ip = IpHeader::parse(&packet).expect("a whole packet");
        prop_assert_eq!((ip.src, ip.dst, ip.total_len), (tuple.local.ip(), tuple.remote.ip(), packet.len()));
        let bytes = ip.payload(&packet);
        prop_assert!(verify_checksum(&ip, bytes));
        let (read, length) = TcpHeader::parse(bytes).expect("a whole header");
        prop_assert_eq!((read, length), (header, 20));
        prop_assert!(!TcpOptions::parse(&bytes[20..length]).malformed);
        // One octet of the segment changed is one checksum that is wrong.
        if let Some((at, mask)) = damage.filter(|(_, mask)| *mask != 0) {
            let mut broken = bytes.to_vec();
            let at = at % broken.len();
            broken[at] ^= mask;
            prop_assert!(!verify_checksum(&ip, &broken));
        }
    }
}

/// A segment without options, made by pnet alone.
fn write(packet: &mut [u8], tuple: &FourTuple, header: &TcpHeader, payload: &[u8]) {
    let (source, destination) = (v4(tuple.local.ip()), v4(tuple.remote.ip()));
    let length = u16::try_from(packet.len()).expect("short");
    let (ip_bytes, tcp_bytes) = packet.split_at_mut(20);
    let mut ip = MutableIpv4Packet::new(ip_bytes).expect("20 octets");
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(length);
    ip.set_ttl(64);
    ip.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
    ip.set_source(source);
    ip.set_destination(destination);
    let sum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(sum);
    let mut tcp = MutableTcpPacket::new(tcp_bytes).expect("20 octets");
    tcp.set_source(header.src_port);
    tcp.set_destination(header.dst_port);
    tcp.set_sequence(header.seq.0);
    tcp.set_acknowledgement(header.ack.map_or(0, |ack| ack.0));
    tcp.set_data_offset(5);
    tcp.set_flags(header.flag_bits());
    tcp.set_window(header.window);
    tcp.set_payload(payload);
    let sum = tcp::ipv4_checksum(&tcp.to_immutable(), &source, &destination);
    tcp.set_checksum(sum);
}
