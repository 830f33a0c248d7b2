//! The edge of the endpoint: segments no honest peer sends, addresses nobody has, clocks that jump, tables that fill.

use bytes::Bytes;
use mpuser_engine::addr::{FourTuple, InterfaceId, IpAddr, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::error::ConnectionError;
use mpuser_engine::seq::SeqNum;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::tcp::{ChecksumMode, emit};
use mpuser_engine::wire::{OptionBuffer, TcpHeader};
use mpuser_engine::{Event, tcp::Flags};
use mpuser_tests::scripted::*;

fn server() -> Script {
    Script::server(ConnectionConfig::default())
}

fn flow_from(remote: SocketAddr) -> Flow {
    Flow::new(SocketAddr::new(engine_address(0), PORT), remote)
}

fn peer(port: u16) -> Flow {
    flow_from(SocketAddr::new(peer_address(0), port))
}

/// A plain connection, accepted.
fn plain(script: &mut Script, port: u16) -> Flow {
    let mut flow = peer(port);
    script.send(&mut flow, seg().syn().no_ack());
    script.next(&mut flow);
    script.send(&mut flow, seg());
    script.accept();
    flow
}

/// T23: SYNs from nowhere, from everybody, from this very host. Nothing is answered, the listener lives.
#[test]
fn addresses_nobody_has_are_not_answered() {
    let mut script = server();
    let own = SocketAddr::new(engine_address(0), PORT);
    let nobody = ["0.0.0.0:9", "255.255.255.255:9", "224.0.0.1:9", "239.1.2.3:9"];
    let nobody = nobody.map(|text| text.parse().expect("an address"));
    for remote in nobody.into_iter().chain([own]) {
        let mut flow = flow_from(remote);
        script.send(&mut flow, seg().syn().no_ack());
        script.send(&mut flow, seg());
        script.assert_silent();
    }
    assert_eq!(script.endpoint.counters().ip_in_errors, 10);
    assert_eq!(script.endpoint.connection_count(), 0);
    plain(&mut script, 40_000);
}

/// T21: flags that make no sense, data on a SYN, to a listener and to a port without one.
#[test]
fn senseless_flags_do_no_harm() {
    for port in [PORT, 81] {
        let mut script = server();
        for bits in 0..64_u8 {
            let bit = |n: u8| bits & (1 << n) != 0;
            let remote = SocketAddr::new(peer_address(0), 20_000 + u16::from(bits));
            let mut flow = Flow::new(SocketAddr::new(engine_address(0), port), remote);
            let mut segment = seg().data(if bit(5) { b"data" } else { b"" });
            for (n, add) in [Seg::syn as fn(Seg) -> Seg, Seg::fin, Seg::rst, Seg::no_ack]
                .into_iter()
                .enumerate()
            {
                if bit(n as u8) {
                    segment = add(segment);
                }
            }
            script.send(&mut flow, segment);
            for packet in script.all(&mut flow) {
                let header = packet.header;
                let syn_ack =
                    header.flags.syn && header.ack.is_some() && bit(0) && !bit(2) && bit(3);
                assert!(syn_ack || header.flags.rst, "{bits:06b}: {packet:?}");
                assert!(!bit(2), "a RST is never answered");
            }
        }
        if port == PORT {
            plain(&mut script, 40_000);
        }
    }
}

/// T22: the third packet acknowledges something else: a RST of that number, and the handshake goes on (RFC 9293
/// 3.10.7.4). A SYN/ACK out of nowhere is refused.
#[test]
fn a_wrong_third_packet_is_refused_and_the_right_one_taken() {
    let mut script = server();
    let mut flow = peer(40_000);
    script.send(&mut flow, seg().syn().no_ack());
    script.next(&mut flow);
    for wrong in [1, 77, u64::from(u32::MAX)] {
        script.send(&mut flow, seg().acking(wrong as i64));
        let answer = script.next(&mut flow);
        assert!(answer.header.flags.rst, "{answer:?}");
        assert_eq!(answer.header.seq, SeqNum(flow.irs.wrapping_add(1).wrapping_add(wrong as u32)));
    }
    script.send(&mut flow, seg());
    script.accept();
    let mut other = peer(40_001);
    script.send(&mut other, seg().syn());
    assert!(script.next(&mut other).header.flags.rst);
}

/// T08: sequence numbers that wrap at once, in the peer's half.
#[test]
fn sequence_numbers_may_wrap_at_once() {
    for iss in [u32::MAX, u32::MAX - 2, 0, 1 << 31, (1 << 31) - 2] {
        let mut script = server();
        let mut flow = peer(40_000);
        flow.iss = iss;
        script.send(&mut flow, seg().syn().no_ack());
        script.next(&mut flow);
        script.send(&mut flow, seg().data(b"hello "));
        script.accept();
        script.send(&mut flow, seg().data(b"world").fin());
        assert_eq!(script.read(), b"hello world", "{iss:#x}");
        assert!(script.at_end());
    }
}

/// T09 T10: any MSS, any window scale: segments stay within what the path takes, and there is always progress.
#[test]
fn any_mss_and_window_scale_is_survived() {
    for mss in [0, 1, 48, 536, 1_460, u16::MAX] {
        for scale in [0, 14, 15, 255] {
            let mut script = server();
            let mut flow = peer(40_000);
            script.send(&mut flow, seg().syn().no_ack().mss(mss).scale(scale));
            script.next(&mut flow);
            script.send(&mut flow, seg().window(u16::MAX));
            script.accept();
            script.write(&[7; 4_000]);
            let most = usize::from(mss.clamp(88, 1_460));
            let mut got = 0;
            for _ in 0..200 {
                let packets = script.all(&mut flow);
                assert!(packets.iter().all(|p| p.payload.len() <= most), "{mss} {scale}");
                got = flow.seen;
                script.send(&mut flow, seg());
            }
            assert_eq!(got, 4_000, "{mss} {scale}");
        }
    }
}

/// An ICMP error of a router, about a segment of the endpoint with this sequence number.
fn unreachable(flow: &Flow, code: u8, seq: u32) -> Bytes {
    let FourTuple { local, remote } = flow.tuple;
    let header = TcpHeader {
        src_port: local.port(),
        dst_port: remote.port(),
        seq: SeqNum(seq),
        ack: None,
        flags: Flags::default(),
        window: 0,
        urgent: 0,
    };
    let mut quoted = Vec::new();
    emit(&mut quoted, &flow.tuple, &header, &OptionBuffer::new(), &[], ChecksumMode::Full);
    let mut message = vec![3, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&quoted[..28]);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let (IpAddr::V4(to), len) = (local.ip(), (20 + message.len()) as u8) else {
        return Bytes::new();
    };
    let mut packet = vec![0x45, 0, 0, len, 0, 0, 0, 0, 64, 1, 0, 0, 203, 0, 113, 1];
    packet.extend_from_slice(&to.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&message);
    Bytes::from(packet)
}

/// The Internet checksum (RFC 1071), the naive way.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// T26 (RFC 5927): every "unreachable" is soft once the handshake is done; before that the right number ends the
/// attempt, and a wrong one is a forgery.
#[test]
fn icmp_errors_end_attempts_only() {
    let mut script = server();
    let mut flow = plain(&mut script, 40_000);
    script.write(b"hello");
    script.next(&mut flow);
    for code in 0..16 {
        let packet = unreachable(&flow, code, flow.irs.wrapping_add(1));
        script.endpoint.handle_packet(script.now, InterfaceId(0), packet);
    }
    script.pump();
    assert_eq!(script.info().subflows[0].state, "ESTAB");

    let mut script = Script::client(ConnectionConfig::default(), 1);
    let (flow, _) = script.next_syn().expect("a SYN");
    for (seq, ended) in [(flow.irs.wrapping_add(9), false), (flow.irs, true)] {
        let packet = unreachable(&flow, 1, seq);
        script.endpoint.handle_packet(script.now, InterfaceId(0), packet);
        script.pump();
        let closed = Event::Closed(Some(ConnectionError::Unreachable));
        assert_eq!(script.events.contains(&closed), ended);
    }
}

/// T29: the machine slept for 8 hours, with data in flight. One packet, not a storm, and the transfer goes on.
#[test]
fn a_clock_that_jumps_makes_no_storm() {
    let mut script = server();
    let mut flow = script.serve();
    script.write(&[1; 20_000]);
    let first = script.all(&mut flow);
    assert!(first.len() > 5);
    script.now += Duration::from_secs(8 * 3_600);
    let now = script.now;
    script.endpoint.handle_timeout(now);
    let after = script.all(&mut flow);
    assert!((1..=2).contains(&after.len()), "{}", after.len());
    let seen = flow.seen;
    let dss = script.ack(seen);
    script.send(&mut flow, seg().dss(dss));
    script.advance(Duration::from_secs(1));
    assert!(script.all(&mut flow).iter().all(|p| flow.offset(p) >= seen));
    assert_eq!(script.info().error, None);
}

/// R14: connections in TIME-WAIT are bounded; the oldest goes first, without a word.
#[test]
fn time_wait_is_bounded() {
    let endpoint = EndpointConfig { max_time_wait: 4, ..EndpointConfig::default() };
    let mut script = Script::server_with(endpoint, ConnectionConfig::default());
    let mut flows = Vec::new();
    for port in 0..10 {
        let mut flow = plain(&mut script, 40_000 + port);
        script.close();
        assert!(script.next(&mut flow).header.flags.fin);
        script.send(&mut flow, seg().fin());
        script.forget_emitted();
        flows.push(flow);
        assert!(script.endpoint.connection_count() <= 4);
    }
    assert_eq!(script.endpoint.counters().tcp_time_wait_overflow, 6);
    // The youngest still answers a repeated FIN; the oldest is forgotten.
    for (flow, rst) in [(9, false), (0, true)] {
        let flow = &mut flows[flow];
        let end = flow.nxt - 1;
        script.send(flow, seg().fin().at(end as i64));
        assert_eq!(script.next(flow).header.flags.rst, rst);
    }
    script.advance(Duration::from_secs(61));
    assert_eq!(script.endpoint.connection_count(), 0);
}
