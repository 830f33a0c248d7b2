//! What the engine's parts cost by themselves, with criterion's statistics and its comparison with the run before:
//! `cargo bench -p mpuser-bench --bench parts [NAME]`. No gate and no peers: those are in `tests/bench`.
#![expect(clippy::expect_used, reason = "a program that reports")]

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mpuser_bench::memory::Flow as _;
use mpuser_bench::memory::mpuser::{Options, Pair};
use mpuser_engine::addr::{FourTuple, SubflowId};
use mpuser_engine::buffer::Assembler;
use mpuser_engine::config::{SCHEDULERS, SchedulerSpec};
use mpuser_engine::mptcp::scheduler;
use mpuser_engine::scheduling::{SchedulerView, SubflowSet, SubflowSnapshot};
use mpuser_engine::seq::{SeqNum, SubflowSeq};
use mpuser_engine::tcp::{Flags, Timestamps};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::tcp::{HEADER_LEN, emit};
use mpuser_engine::wire::{
    Checksum, ChecksumMode, Dss, DssMapping, IpHeader, OptionBuffer, Segments, TcpHeader,
    TcpOptions, WireDataSeq,
};
use std::hint::black_box;

/// Payload of a full segment with timestamps and a DSS, octets.
const SEGMENT: u16 = 1_428;
const IP: usize = 20;

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    for len in [20, 128, 1_448, 65_160] {
        let bytes = vec![0x5a; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_with_input(BenchmarkId::from_parameter(len), &bytes, |b, bytes| {
            b.iter(|| {
                let mut sum = Checksum::new();
                sum.add_bytes(black_box(bytes));
                sum.finish()
            });
        });
    }
    group.finish();
}

fn options() -> OptionBuffer {
    let mut options = OptionBuffer::new();
    options.push_timestamps(Timestamps { value: 7, echo: 8 });
    options.push_dss(&Dss {
        data_ack: Some(WireDataSeq::Long(1 << 40)),
        mapping: Some(DssMapping {
            data_seq: WireDataSeq::Long(1 << 41),
            subflow_seq: SubflowSeq(9),
            data_len: SEGMENT,
            checksum: None,
        }),
        data_fin: false,
    });
    options
}

/// The headers of a segment with timestamps and a DSS; the payload is summed.
fn headers(into: &mut Vec<u8>, tuple: &FourTuple, options: &OptionBuffer, payload: &[u8]) {
    let flags = Flags { psh: true, ..Flags::default() };
    let (seq, ack) = (SeqNum(1), Some(SeqNum(2)));
    let header = TcpHeader {
        src_port: 5,
        dst_port: 6,
        seq,
        ack,
        flags,
        window: 500,
        ..TcpHeader::default()
    };
    emit(into, tuple, &header, options, payload, ChecksumMode::PseudoHeaderOnly);
}

fn codec(c: &mut Criterion) {
    let address = |text: &str| text.parse().expect("an address");
    let tuple = FourTuple { local: address("10.0.0.1:5"), remote: address("10.0.0.2:6") };
    let (payload, mut buffer) = (vec![7; 44 * usize::from(SEGMENT)], Vec::with_capacity(128));
    let mut group = c.benchmark_group("codec");
    group.bench_function("options and headers written", |b| {
        b.iter(|| {
            buffer.clear();
            headers(&mut buffer, &tuple, &options(), &[]);
            black_box(buffer.len())
        });
    });
    group.bench_function("headers and options read", |b| {
        b.iter(|| {
            let ip = IpHeader::parse(black_box(&buffer)).expect("a packet");
            let segment = ip.payload(&buffer);
            let (header, len) = TcpHeader::parse(segment).expect("a segment");
            (header, TcpOptions::parse(segment.get(HEADER_LEN..len).unwrap_or_default()))
        });
    });
    group.throughput(Throughput::Elements(44));
    group.bench_function("a super-segment cut into 44", |b| {
        b.iter(|| {
            let mut segments =
                Segments::new(&buffer, &payload, Some(SEGMENT)).expect("a TCP packet");
            let mut octets = 0;
            while let Some((headers, part)) = segments.next_packet() {
                octets += black_box(headers).len() - IP + part.len();
            }
            octets
        });
    });
    group.finish();
}

fn assembler(c: &mut Criterion) {
    let mut group = c.benchmark_group("assembler");
    let piece = Bytes::from(vec![1; SEGMENT.into()]);
    for (name, stride) in [("in order", 1), ("every second first", 2), ("scattered", 37)] {
        // 64 pieces behind a hole, each once; the strides have no factor in common with 65
        let order: Vec<u64> = (0..65).map(|n| n * stride % 65).filter(|n| *n > 0).collect();
        group.throughput(Throughput::Elements(64));
        group.bench_function(name, |b| {
            b.iter_batched(
                || Assembler::new(1_024),
                |mut assembler| {
                    for place in &order {
                        assembler.insert(place * u64::from(SEGMENT), piece.clone());
                    }
                    let mut next = SEGMENT.into();
                    while let Some(piece) = assembler.pop(next) {
                        next += piece.len() as u64;
                    }
                    next
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn subflow(id: u32, srtt_ms: u64) -> SubflowSnapshot {
    let (srtt, mss) = (Duration::from_millis(srtt_ms), u64::from(SEGMENT));
    SubflowSnapshot {
        id: SubflowId(id),
        set: SubflowSet::of(SubflowId(id)),
        srtt: Some(srtt),
        min_rtt: Some(srtt),
        rttvar: srtt / 4,
        rto: srtt * 2,
        cwnd: 10 * mss,
        ssthresh: u64::MAX,
        in_flight: mss,
        write_memory: mss,
        available: 9 * mss,
        queue_room: 29 * mss,
        mss: SEGMENT.into(),
        peer_window: 1 << 20,
        pacing_rate: 20 * mss * 1_000 / srtt_ms,
        ..SubflowSnapshot::default()
    }
}

fn schedulers(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedulers");
    let subflows = [subflow(0, 10), subflow(1, 25), subflow(2, 100)];
    for doc in SCHEDULERS {
        // one that cannot do without a parameter is left out
        let Ok(spec) = SchedulerSpec::parse(doc.name) else { continue };
        let mut scheduler = scheduler::new(&spec);
        let view = SchedulerView {
            now: Instant::from_millis(5),
            subflows: &subflows,
            unsent: 1 << 20,
            window: 1 << 20,
            una: 0,
            nxt: 3 * u64::from(SEGMENT),
            window_end: 1 << 20,
            send_buffer: 1 << 20,
            queues: &(),
        };
        group.bench_function(doc.name, |b| b.iter(|| scheduler.schedule(black_box(&view))));
    }
    group.finish();
}

fn memory(c: &mut Criterion) {
    const OCTETS: u64 = 16 << 20;
    let mut group = c.benchmark_group("engine to engine in memory");
    group.throughput(Throughput::Bytes(OCTETS)).sample_size(20);
    let one = Options::default();
    let table = [
        ("MPTCP", one),
        ("MPTCP with DSS checksums", Options { dss_checksum: true, ..one }),
        ("MPTCP, two subflows", Options { subflows: 2, ..one }),
        ("TCP", Options { mptcp: false, ..one }),
    ];
    for (name, options) in table {
        let mut pair = Pair::open(&options).expect("a connection");
        group.bench_function(name, |b| b.iter(|| pair.transfer(OCTETS)));
    }
    group.finish();
}

criterion_group!(parts, checksum, codec, assembler, schedulers, memory);
criterion_main!(parts);
