//! Packets between the probe and the stack: taken apart, and put together byte by byte, wrong ones too.

use bytes::Bytes;
use mpuser_engine::addr::{FourTuple, IpAddr, Ipv4Addr, SocketAddr};
use mpuser_engine::seq::DataSeq;
use mpuser_engine::wire::ip::protocol;
use mpuser_engine::wire::tcp::{HEADER_LEN, verify_checksum};
use mpuser_engine::wire::{
    Checksum, Dss, DssMapping, IpHeader, MptcpOption, TcpHeader, TcpOptions,
};
use std::time::Duration;

/// A packet the stack under test sent.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The stack's and the probe's address, as the stack sees them.
    pub tuple: FourTuple,
    /// When it was read.
    pub at: Duration,
    /// The TCP header.
    pub header: TcpHeader,
    /// Its options.
    pub options: TcpOptions,
    /// The MPTCP options in the order of the wire, DSS among them.
    pub mptcp: Vec<MptcpOption>,
    /// The bytes of all options.
    pub option_bytes: Vec<u8>,
    /// Its payload.
    pub payload: Bytes,
}

impl Packet {
    /// Takes a packet apart; `None` if it is no TCP, or broken.
    #[must_use]
    pub fn parse(at: Duration, packet: &[u8]) -> Option<Self> {
        let ip = IpHeader::parse(packet).ok()?;
        let segment = ip.payload(packet);
        if ip.protocol != protocol::TCP || !verify_checksum(&ip, segment) {
            return None;
        }
        let (header, len) = TcpHeader::parse(segment).ok()?;
        let bytes = segment.get(HEADER_LEN..len)?;
        let options = TcpOptions::parse(bytes);
        let mptcp = options.dss.map(MptcpOption::Dss).into_iter().chain(options.signals.iter());
        let tuple = FourTuple {
            local: SocketAddr::new(ip.src, header.src_port),
            remote: SocketAddr::new(ip.dst, header.dst_port),
        };
        let payload = Bytes::copy_from_slice(segment.get(len..)?);
        let (mptcp, option_bytes) = (mptcp.collect(), bytes.to_vec());
        Some(Self { tuple, at, header, options, mptcp, option_bytes, payload })
    }

    /// The DSS.
    #[must_use]
    pub const fn dss(&self) -> Option<Dss> {
        self.options.dss
    }

    /// The MPTCP options other than DSS.
    #[must_use]
    pub fn signals(&self) -> Vec<MptcpOption> {
        self.options.signals.iter().collect()
    }

    /// The Data ACK; of a short one, what follows zero.
    #[must_use]
    pub fn data_ack(&self) -> Option<DataSeq> {
        self.options.dss?.data_ack.map(|ack| ack.expand(DataSeq(0)))
    }

    /// The mapping.
    #[must_use]
    pub fn mapping(&self) -> Option<DssMapping> {
        self.options.dss?.mapping
    }

    /// No MPTCP option at all.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.mptcp.is_empty()
    }

    /// SYN without ACK.
    #[must_use]
    pub const fn is_syn(&self) -> bool {
        self.header.flags.syn && self.header.ack.is_none()
    }

    /// SYN with ACK.
    #[must_use]
    pub const fn is_syn_ack(&self) -> bool {
        self.header.flags.syn && self.header.ack.is_some()
    }

    /// It carries a DATA_FIN.
    #[must_use]
    pub fn is_data_fin(&self) -> bool {
        self.options.dss.is_some_and(|dss| dss.data_fin)
    }

    /// An empty segment with a DATA_FIN.
    #[must_use]
    pub fn is_lone_data_fin(&self) -> bool {
        self.payload.is_empty() && self.is_data_fin()
    }

    /// The first MPTCP option `pick` takes.
    pub fn find<T>(&self, pick: impl FnMut(&MptcpOption) -> Option<T>) -> Option<T> {
        self.mptcp.iter().find_map(pick)
    }
}

/// IP packet with this TCP header, options (padded to a multiple of four) and payload; addresses in the direction of
/// the wire. Checksums are right.
#[must_use]
pub fn build(
    from: SocketAddr,
    to: SocketAddr,
    header: &TcpHeader,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::with_capacity(HEADER_LEN + 40 + payload.len());
    let options_len = options.len().min(40).next_multiple_of(4);
    segment.extend_from_slice(&from.port().to_be_bytes());
    segment.extend_from_slice(&to.port().to_be_bytes());
    segment.extend_from_slice(&header.seq.0.to_be_bytes());
    segment.extend_from_slice(&header.ack.unwrap_or_default().0.to_be_bytes());
    let words = (HEADER_LEN + options_len) / 4;
    segment.extend_from_slice(&[(words as u8) << 4, header.flag_bits()]);
    segment.extend_from_slice(&header.window.to_be_bytes());
    segment.extend_from_slice(&[0, 0]);
    segment.extend_from_slice(&header.urgent.to_be_bytes());
    segment.extend_from_slice(options);
    segment.resize(HEADER_LEN + options_len, 1);
    segment.extend_from_slice(payload);
    let mut packet = ip_header(from.ip(), to.ip(), segment.len());
    packet.extend_from_slice(&segment);
    fix_checksums(&mut packet);
    packet
}

fn ip_header(from: IpAddr, to: IpAddr, payload: usize) -> Vec<u8> {
    let mut header = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend_from_slice(&[0x45, 0]);
            header.extend_from_slice(&((payload + 20) as u16).to_be_bytes());
            header.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol::TCP, 0, 0]);
            header.extend_from_slice(&from.octets());
            header.extend_from_slice(&to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.extend_from_slice(&[0x60, 0, 0, 0]);
            header.extend_from_slice(&(payload as u16).to_be_bytes());
            header.extend_from_slice(&[protocol::TCP, 64]);
            header.extend_from_slice(&from.octets());
            header.extend_from_slice(&to.octets());
        }
        _ => {}
    }
    header
}

/// An ICMP error of this type, code and second word (the MTU) from `router` about a packet of the stack's.
#[must_use]
pub fn icmp_error(router: Ipv4Addr, kind: u8, code: u8, word: u32, about: &Packet) -> Vec<u8> {
    let header = TcpHeader { window: 0, ..about.header };
    let quoted = build(about.tuple.local, about.tuple.remote, &header, &[], &[]);
    let mut message = vec![kind, code, 0, 0];
    message.extend_from_slice(&word.to_be_bytes());
    message.extend_from_slice(&quoted);
    let mut sum = Checksum::new();
    sum.add_bytes(&message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let mut packet = ip_header(router.into(), about.tuple.local.ip(), message.len());
    if let [_, _, _, _, _, _, _, _, _, number, ..] = packet.as_mut_slice() {
        *number = protocol::ICMP;
    }
    let mut sum = Checksum::new();
    sum.add_bytes(&packet);
    packet[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    packet.extend_from_slice(&message);
    packet
}

/// Puts right what a change of bytes made wrong: the IPv4 header's checksum and TCP's. Leaves alone what it cannot
/// read.
pub fn fix_checksums(packet: &mut [u8]) {
    let v4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let ip_len = if v4 { usize::from(packet.first().map_or(0, |b| b & 15)) * 4 } else { 40 };
    if packet.len() < ip_len + HEADER_LEN || ip_len < 20 {
        return;
    }
    let mut sum = Checksum::new();
    if v4 {
        let (header, _) = packet.split_at_mut(ip_len);
        header[10..12].fill(0);
        let mut ip_sum = Checksum::new();
        ip_sum.add_bytes(header);
        header[10..12].copy_from_slice(&ip_sum.finish().to_be_bytes());
        sum.add_bytes(&header[12..20]);
    } else {
        sum.add_bytes(&packet[8..40]);
    }
    let (_, segment) = packet.split_at_mut(ip_len);
    sum.add_u16(u16::from(protocol::TCP));
    sum.add_u16(segment.len() as u16);
    segment[16..18].fill(0);
    sum.add_bytes(segment);
    segment[16..18].copy_from_slice(&sum.finish().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpuser_engine::seq::SeqNum;

    #[test]
    fn what_is_built_is_read_back() {
        for (from, to) in [("10.0.0.1:5", "10.0.0.2:6"), ("[fd00::1]:5", "[fd00::2]:6")] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let header = TcpHeader { seq: SeqNum(7), window: 9, ..TcpHeader::default() };
            let packet = build(from, to, &header, &[1, 1, 30, 3, 0x51], b"abc");
            let read = Packet::parse(Duration::ZERO, &packet).unwrap();
            assert_eq!((read.tuple.local, read.tuple.remote), (from, to));
            assert_eq!((read.header.seq, &read.payload[..]), (SeqNum(7), &b"abc"[..]));
            assert!(matches!(read.mptcp[..], [MptcpOption::Prio(_)]));
        }
    }
}
