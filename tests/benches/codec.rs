//! What it costs to read and to write the headers of a segment, beside smoltcp, etherparse and pnet_packet doing the
//! nearest thing in the same run. None of the three knows MPTCP: they step over its option (etherparse's iterator ends
//! there) and write timestamps alone. Checksums are verified and written by all. No gate: numbers depend on the machine.
//!
//! `cargo bench -p mpuser-tests --bench codec`

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that reports")]

use etherparse::{PacketBuilder, TcpOptionElement, TcpSlice};
use mpuser_engine::addr::{FourTuple, SocketAddr};
use mpuser_engine::seq::{DataSeq, SeqNum, SubflowSeq};
use mpuser_engine::tcp::{Flags, Timestamps};
use mpuser_engine::wire::tcp::{HEADER_LEN, emit, verify_checksum};
use mpuser_engine::wire::{
    CapableFlags, ChecksumMode, Dss, DssMapping, IpHeader, MpCapable, MptcpOption, OptionBuffer,
    TcpHeader, TcpOptions, WireDataSeq,
};
use mpuser_tun::clock;
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, MutableIpv4Packet};
use pnet_packet::tcp::{self, MutableTcpPacket, TcpOption, TcpPacket};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpAddress, IpProtocol, Ipv4Packet as SmolIp, Ipv4Repr, TcpControl, TcpPacket as SmolTcp,
    TcpRepr, TcpSeqNumber, TcpTimestampRepr,
};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

const FROM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TO: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const IP: usize = 20;
/// Calls of one measurement; the median of all measurements counts.
const CALLS: u32 = 20_000;
const ROUNDS: usize = 31;

/// What is done.
type Call<'a> = Box<dyn FnMut() + 'a>;

/// Nanoseconds of each call. They take turns, so that the machine's moods hit all alike.
fn measure(calls: &mut [(&str, Call<'_>)]) -> Vec<f64> {
    let mut times = vec![Vec::new(); calls.len()];
    for _ in 0..ROUNDS {
        for ((_, call), times) in calls.iter_mut().zip(&mut times) {
            let start = clock::now();
            (0..CALLS).for_each(|_| call());
            let took = clock::now().saturating_since(start).as_nanos();
            times.push(took as f64 / f64::from(CALLS));
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    };
    times.into_iter().map(median).collect()
}

/// A line of the table: the first of `calls` is ours.
fn compare(what: &str, mut calls: Vec<(&str, Call<'_>)>) {
    let times = measure(&mut calls);
    let mut line = format!("{what:<46}");
    for ((name, _), time) in calls.iter().zip(&times) {
        let ratio = times[0] / time;
        let beside = if *name == "ours" { String::new() } else { format!(" ({ratio:.2})") };
        line += &format!("{:>18}", format!("{time:.1}{beside}"));
    }
    println!("{line}");
}

fn header(syn: bool) -> TcpHeader {
    TcpHeader {
        src_port: 40_000,
        dst_port: 80,
        seq: SeqNum(0x1234_5678),
        ack: (!syn).then_some(SeqNum(0x8765_4321)),
        flags: Flags { syn, psh: !syn, ..Flags::default() },
        window: 65_000,
        urgent: 0,
    }
}

fn stamps() -> Timestamps {
    Timestamps { value: black_box(0x0102_0304), echo: black_box(0x0506_0708) }
}

fn tuple() -> FourTuple {
    let at = |address, port| SocketAddr::new(IpAddr::V4(address), port);
    FourTuple { local: at(FROM, 40_000), remote: at(TO, 80) }
}

/// The options of a SYN with MP_CAPABLE.
fn syn_options() -> OptionBuffer {
    let mut options = OptionBuffer::new();
    options.push_mss(1_460);
    options.push_sack_permitted();
    options.push_timestamps(stamps());
    options.push_window_scale(7);
    let flags = CapableFlags::new(false, false);
    options.push_mptcp(&MptcpOption::Capable(MpCapable::Syn { version: 1, flags }));
    options
}

/// The options of data: timestamps, and a DSS with a Data ACK and a mapping of 64 bits each.
fn data_options() -> OptionBuffer {
    let long = |seq: u64| WireDataSeq::from(DataSeq(black_box(seq)));
    let subflow_seq = SubflowSeq(black_box(77));
    let mapping =
        DssMapping { data_seq: long(1 << 40), subflow_seq, data_len: 1_400, checksum: None };
    let mut options = OptionBuffer::new();
    options.push_timestamps(stamps());
    options.push_dss(&Dss {
        data_ack: Some(long(2 << 40)),
        mapping: Some(mapping),
        data_fin: false,
    });
    options
}

fn packet(syn: bool, options: &OptionBuffer, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    emit(&mut packet, &tuple(), &header(syn), options, payload, ChecksumMode::Full).unwrap();
    packet.extend_from_slice(payload);
    packet
}

/// Header, checksum and options.
fn parse(what: &str, packet: &[u8]) {
    let segment = &packet[IP..];
    let ip = IpHeader::parse(packet).unwrap();
    let (src, dst) = (IpAddress::from(FROM), IpAddress::from(TO));
    let caps = ChecksumCapabilities::default();
    compare(
        what,
        vec![
            (
                "ours",
                Box::new(|| {
                    let segment = black_box(segment);
                    assert!(verify_checksum(&ip, segment));
                    let (header, len) = TcpHeader::parse(segment).unwrap();
                    black_box((header, TcpOptions::parse(&segment[HEADER_LEN..len])));
                }),
            ),
            (
                "smoltcp",
                Box::new(|| {
                    let packet = SmolTcp::new_checked(black_box(segment)).unwrap();
                    black_box(TcpRepr::parse(&packet, &src, &dst, &caps).unwrap());
                }),
            ),
            (
                "etherparse",
                Box::new(|| {
                    let slice = TcpSlice::from_slice(black_box(segment)).unwrap();
                    let sum = slice.calc_checksum_ipv4(FROM.octets(), TO.octets()).unwrap();
                    assert_eq!(sum, slice.checksum());
                    black_box((
                        slice.sequence_number(),
                        slice.options_iterator().filter_map(Result::ok).count(),
                    ));
                }),
            ),
            (
                "pnet_packet",
                Box::new(|| {
                    let packet = TcpPacket::new(black_box(segment)).unwrap();
                    assert_eq!(tcp::ipv4_checksum(&packet, &FROM, &TO), packet.get_checksum());
                    black_box((packet.get_sequence(), packet.get_options_iter().count()));
                }),
            ),
        ],
    );
}

/// IP header, TCP header, options and checksum, for this payload.
fn write(what: &str, syn: bool, payload: &[u8]) {
    let (tuple, header) = (tuple(), header(syn));
    let caps = ChecksumCapabilities::default();
    let (src, dst) = (IpAddress::from(FROM), IpAddress::from(TO));
    let mut ours = Vec::with_capacity(2_000);
    let (mut smol, mut ether, mut pnet) =
        (vec![0; 2_000], Vec::with_capacity(2_000), vec![0; 2_000]);
    compare(
        what,
        vec![
            (
                "ours",
                Box::new(move || {
                    ours.clear();
                    let options = if syn { syn_options() } else { data_options() };
                    let payload = black_box(payload);
                    emit(&mut ours, &tuple, &header, &options, payload, ChecksumMode::Full)
                        .unwrap();
                    black_box(&ours);
                }),
            ),
            (
                "smoltcp",
                Box::new(move || {
                    let segment = smol_repr(syn, black_box(payload));
                    let payload_len = segment.buffer_len();
                    let next_header = IpProtocol::Tcp;
                    let ip = Ipv4Repr {
                        src_addr: FROM,
                        dst_addr: TO,
                        next_header,
                        payload_len,
                        hop_limit: 64,
                    };
                    ip.emit(&mut SmolIp::new_unchecked(&mut smol), &caps);
                    let mut packet = SmolTcp::new_unchecked(&mut smol[IP..IP + payload_len]);
                    segment.emit(&mut packet, &src, &dst, &caps);
                    black_box(&smol);
                }),
            ),
            (
                "etherparse",
                Box::new(move || {
                    ether.clear();
                    let options = ether_options(syn);
                    let step = PacketBuilder::ipv4(FROM.octets(), TO.octets(), 64);
                    let step = step.tcp(40_000, 80, black_box(0x1234_5678), 65_000);
                    let step = if syn { step.syn() } else { step.psh().ack(0x8765_4321) };
                    step.options(&options).unwrap().write(&mut ether, black_box(payload)).unwrap();
                    black_box(&ether);
                }),
            ),
            (
                "pnet_packet",
                Box::new(move || {
                    pnet_write(&mut pnet, syn, black_box(payload));
                    black_box(&pnet);
                }),
            ),
        ],
    );
}

fn smol_repr(syn: bool, payload: &[u8]) -> TcpRepr<'_> {
    TcpRepr {
        src_port: 40_000,
        dst_port: 80,
        control: if syn { TcpControl::Syn } else { TcpControl::Psh },
        seq_number: TcpSeqNumber(black_box(0x1234_5678)),
        ack_number: (!syn).then_some(TcpSeqNumber(0x0765_4321)),
        window_len: 65_000,
        window_scale: syn.then_some(7),
        max_seg_size: syn.then_some(1_460),
        sack_permitted: syn,
        sack_ranges: [None; 3],
        timestamp: Some(TcpTimestampRepr::new(stamps().value, stamps().echo)),
        payload,
    }
}

fn ether_options(syn: bool) -> Vec<TcpOptionElement> {
    use TcpOptionElement as O;
    let stamps = O::Timestamp(stamps().value, stamps().echo);
    if !syn {
        return vec![O::Noop, O::Noop, stamps];
    }
    let sack = O::SelectiveAcknowledgementPermitted;
    vec![O::MaximumSegmentSize(1_460), sack, stamps, O::Noop, O::WindowScale(7)]
}

fn pnet_write(buffer: &mut [u8], syn: bool, payload: &[u8]) {
    let stamps = TcpOption::timestamp(stamps().value, stamps().echo);
    let options = if syn {
        vec![
            TcpOption::mss(1_460),
            TcpOption::sack_perm(),
            stamps,
            TcpOption::nop(),
            TcpOption::wscale(7),
        ]
    } else {
        vec![TcpOption::nop(), TcpOption::nop(), stamps]
    };
    let header = if syn { 40 } else { 32 };
    let total = IP + header + payload.len();
    let (ip_bytes, tcp_bytes) = buffer.split_at_mut(IP);
    let mut ip = MutableIpv4Packet::new(ip_bytes).unwrap();
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(total as u16);
    ip.set_ttl(64);
    ip.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
    ip.set_source(FROM);
    ip.set_destination(TO);
    ip.set_checksum(ipv4::checksum(&ip.to_immutable()));
    let mut segment = MutableTcpPacket::new(&mut tcp_bytes[..header + payload.len()]).unwrap();
    segment.set_source(40_000);
    segment.set_destination(80);
    segment.set_sequence(black_box(0x1234_5678));
    segment.set_acknowledgement(0x8765_4321);
    segment.set_data_offset((header / 4) as u8);
    segment.set_flags(if syn {
        tcp::TcpFlags::SYN
    } else {
        tcp::TcpFlags::PSH | tcp::TcpFlags::ACK
    });
    segment.set_window(65_000);
    segment.set_options(&options);
    segment.set_payload(payload);
    segment.set_checksum(0);
    segment.set_checksum(tcp::ipv4_checksum(&segment.to_immutable(), &FROM, &TO));
}

fn main() {
    let payload = [0x5a; 1_400];
    let syn = packet(true, &syn_options(), &[]);
    let empty = packet(false, &data_options(), &[]);
    let full = packet(false, &data_options(), &payload);
    println!("ns a call, in brackets ours / theirs; medians of {ROUNDS} rounds");
    println!("{:<46}{:>18}{:>18}{:>18}{:>18}", "", "ours", "smoltcp", "etherparse", "pnet_packet");
    parse("read: SYN with MP_CAPABLE", &syn);
    parse("read: timestamps + DSS", &empty);
    parse("read: timestamps + DSS, 1400 octets of data", &full);
    write("write: SYN (ours with MP_CAPABLE)", true, &[]);
    write("write: timestamps (ours + DSS)", false, &[]);
    write("write: the same, 1400 octets of data", false, &payload);
    options(&syn, &full);
}

/// The codec's part alone.
fn options(syn: &[u8], data: &[u8]) {
    let of = |packet: &[u8]| -> Vec<u8> {
        let (_, len) = TcpHeader::parse(&packet[IP..]).unwrap();
        packet[IP + HEADER_LEN..IP + len].to_vec()
    };
    let (syn, data) = (of(syn), of(data));
    compare(
        "options alone, read: SYN",
        vec![(
            "ours",
            Box::new(|| {
                black_box(TcpOptions::parse(black_box(&syn)));
            }),
        )],
    );
    compare(
        "options alone, read: timestamps + DSS",
        vec![(
            "ours",
            Box::new(|| {
                black_box(TcpOptions::parse(black_box(&data)));
            }),
        )],
    );
    compare(
        "options alone, write: SYN",
        vec![(
            "ours",
            Box::new(|| {
                black_box(syn_options());
            }),
        )],
    );
    compare(
        "options alone, write: timestamps + DSS",
        vec![(
            "ours",
            Box::new(|| {
                black_box(data_options());
            }),
        )],
    );
}
