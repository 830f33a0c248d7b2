//! What it costs to read and to write headers, to sum octets, and to derive keys. All in one core's cache.

use crate::case::{Ask, Case, Contender, Settings, Watch};
use hmac::{Hmac, KeyInit, Mac};
use mpuser_engine::addr::{FourTuple, IpAddr, Ipv4Addr, SocketAddr};
use mpuser_engine::crypto::{Key, Nonce, join_hmac};
use mpuser_engine::seq::{DataSeq, SeqNum, SubflowSeq};
use mpuser_engine::tcp::{Flags, Timestamps};
use mpuser_engine::wire::checksum::Checksum;
use mpuser_engine::wire::tcp::{HEADER_LEN, emit_summed};
use mpuser_engine::wire::{
    CapableFlags, Dss, DssMapping, MpCapable, MptcpOption, OptionBuffer, TcpHeader, TcpOptions,
    WireDataSeq,
};
use mpuser_tun::clock;
use sha2::{Digest, Sha256};
use smoltcp::phy::{Checksum as SmolChecksum, ChecksumCapabilities};
use smoltcp::wire::{
    IpAddress, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr, checksum,
};
use std::hint::black_box;

const FROM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TO: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Octets of an IPv4 header.
const IP: usize = 20;
/// Payload of a full segment with timestamps.
const FULL: usize = 1_448;

/// P10 to P13.
pub(super) const CASES: &[Case] = &[
    nanoseconds("P10", "options of a SYN read: mpuser / smoltcp", 0.65, |_| Ok(read(true))),
    nanoseconds("P10", "timestamps and DSS read: mpuser / smoltcp", 0.65, |_| Ok(read(false))),
    nanoseconds("P11", "headers with DSS written: mpuser / smoltcp without", 0.25, |_| Ok(write())),
    Case {
        id: "P12",
        what: "checksum of 1448 octets: mpuser / smoltcp",
        unit: "GB/s",
        ask: Ask::RatioAtLeast(1.6),
        watch: Watch::Throughout,
        prepare: |_| Ok(sums()),
    },
    nanoseconds("P13", "key to token and IDSN / bare SHA-256", 1.05, |_| Ok(tokens())),
    nanoseconds("P13", "HMAC of a join / bare HMAC", 1.05, |_| Ok(hmacs())),
];

const fn nanoseconds(
    id: &'static str,
    what: &'static str,
    ask: f64,
    prepare: crate::case::Prepare,
) -> Case {
    let (unit, ask, watch) = ("ns", Ask::RatioAtMost(ask), Watch::Throughout);
    Case { id, what, unit, ask, watch, prepare }
}

/// Nanoseconds of a call.
fn timed(name: &str, mut call: impl FnMut() + 'static) -> Contender {
    Contender::new(name, move |settings: &Settings| Ok(time(settings, &mut call)))
}

/// The quickest of some batches: whoever interrupts one makes it slower, nothing makes it quicker.
fn time(settings: &Settings, call: &mut impl FnMut()) -> f64 {
    let (batches, calls) = if settings.quick { (10, 5_000) } else { (40, 20_000) };
    let batch = |_| {
        let start = clock::now();
        (0..calls).for_each(|_| call());
        clock::now().saturating_since(start).as_nanos() as f64 / f64::from(calls)
    };
    (0..batches).map(batch).fold(f64::INFINITY, f64::min)
}

fn header(syn: bool) -> TcpHeader {
    TcpHeader {
        src_port: 40_000,
        dst_port: 80,
        seq: SeqNum(black_box(0x1234_5678)),
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

/// MSS, SACK-permitted, timestamps, window scale and MP_CAPABLE.
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

/// Timestamps, and a DSS with a Data ACK and a mapping of 64 bits each.
fn data_options() -> OptionBuffer {
    let long = |seq: u64| WireDataSeq::from(DataSeq(black_box(seq)));
    let subflow_seq = SubflowSeq(black_box(77));
    let mapping =
        DssMapping { data_seq: long(1 << 40), subflow_seq, data_len: 1_400, checksum: None };
    let dss = Dss { data_ack: Some(long(2 << 40)), mapping: Some(mapping), data_fin: false };
    let mut options = OptionBuffer::new();
    options.push_timestamps(stamps());
    options.push_dss(&dss);
    options
}

/// TCP header and options of a segment with full payload, or of a SYN. No checksum: P12 has that.
fn read(syn: bool) -> Vec<Contender> {
    let options = if syn { syn_options() } else { data_options() };
    let payload = if syn { 0 } else { 1_400 };
    let mut packet = Vec::new();
    // cannot fail: one family, and short
    let _ = emit_summed(&mut packet, &tuple(), &header(syn), &options, payload, None);
    packet.resize(packet.len() + payload, 0x5a);
    let segment = packet.split_off(IP);
    let same = segment.clone();
    let ours = move || {
        let segment = black_box(&segment[..]);
        if let Ok((header, len)) = TcpHeader::parse(segment) {
            let options = segment.get(HEADER_LEN..len).map(TcpOptions::parse);
            black_box((&header, &options));
        }
    };
    let (from, to) = (IpAddress::from(FROM), IpAddress::from(TO));
    let mut caps = ChecksumCapabilities::default();
    caps.tcp = SmolChecksum::None;
    let theirs = move || {
        if let Ok(packet) = TcpPacket::new_checked(black_box(&same[..])) {
            let _ = black_box(TcpRepr::parse(&packet, &from, &to, &caps));
        }
    };
    vec![timed("mpuser", ours), timed("smoltcp", theirs)]
}

/// Headers alone; ours with that of IP. The checksum is left to a device.
fn write() -> Vec<Contender> {
    let mut buffer = Vec::with_capacity(256);
    let tuple = tuple();
    let ours = move || {
        buffer.clear();
        let options = data_options();
        let header = black_box(header(false));
        let lengths = emit_summed(&mut buffer, &tuple, &header, &options, 1_400, None);
        black_box((&buffer, lengths));
    };
    let (from, to) = (IpAddress::from(FROM), IpAddress::from(TO));
    let mut caps = ChecksumCapabilities::default();
    caps.tcp = SmolChecksum::None;
    let mut bytes = vec![0; 256];
    let theirs = move || {
        let repr = TcpRepr {
            src_port: 40_000,
            dst_port: 80,
            control: TcpControl::Psh,
            seq_number: TcpSeqNumber(black_box(0x1234_5678)),
            ack_number: Some(TcpSeqNumber(0x0765_4321)),
            window_len: 65_000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: Some(TcpTimestampRepr::new(stamps().value, stamps().echo)),
            payload: &[],
        };
        // as a stack has it: nothing of it is known when this is compiled
        let repr = black_box(repr);
        let len = repr.buffer_len();
        let mut packet = TcpPacket::new_unchecked(bytes.get_mut(..len).unwrap_or_default());
        repr.emit(&mut packet, &from, &to, &caps);
        black_box(&bytes);
    };
    vec![timed("mpuser", ours), timed("smoltcp", theirs)]
}

fn sums() -> Vec<Contender> {
    let payload = || -> Vec<u8> { (0..FULL).map(|octet| (octet * 7 % 251) as u8).collect() };
    let (here, there) = (payload(), payload());
    let mut ours = move || {
        let mut sum = Checksum::new();
        sum.add_bytes(black_box(&here));
        black_box(sum.finish());
    };
    let mut theirs = move || {
        black_box(checksum::data(black_box(&there)));
    };
    let rate = |time: f64| Ok(FULL as f64 / time);
    vec![
        Contender::new("mpuser", move |settings: &Settings| rate(time(settings, &mut ours))),
        Contender::new("smoltcp", move |settings: &Settings| rate(time(settings, &mut theirs))),
    ]
}

fn tokens() -> Vec<Contender> {
    let ours = || {
        black_box(black_box(Key(0x1234_5678_9abc_def0)).facts());
    };
    let bare = || {
        black_box(Sha256::digest(black_box(0x1234_5678_9abc_def0_u64.to_be_bytes())));
    };
    vec![timed("mpuser", ours), timed("SHA-256", bare)]
}

fn hmacs() -> Vec<Contender> {
    let ours = || {
        let keys = black_box((Key(1), Key(2), Nonce(3), Nonce(4)));
        black_box(join_hmac(keys.0, keys.1, keys.2, keys.3).leftmost160());
    };
    let bare = || {
        // a key of any length is a key
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(black_box(&[7; 16])) {
            mac.update(black_box(&[9; 8]));
            black_box(mac.finalize().into_bytes());
        }
    };
    vec![timed("mpuser", ours), timed("HMAC", bare)]
}
