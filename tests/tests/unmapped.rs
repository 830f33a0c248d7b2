//! Octets without a mapping (RFC 8684 3.3.1, 3.7): held, released, sent again, given up.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::Event;
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::error::{ConnectionError, ResetReason};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpTcpRst, MptcpOption};
use mpuser_tests::scripted::*;

/// Both forms: without and with checksums.
const FORMS: [bool; 2] = [false, true];

fn server(checksum: bool) -> (Script, Flow) {
    let mut script = Script::server(ConnectionConfig { checksum, ..ConnectionConfig::default() });
    let flow = script.serve();
    script.checksum = checksum;
    (script, flow)
}

/// A RST with reason 6, and nothing else.
fn assert_given_up(packets: &[Packet]) {
    let reason = ResetReason::MiddleboxInterference;
    let rst = MptcpOption::TcpRst(MpTcpRst { transient: false, reason });
    let last = packets.last().expect("a RST");
    assert!(last.header.flags.rst, "{packets:#?}");
    assert_eq!(last.signals(), [rst]);
}

/// Nothing is waited for any more, and the subflow stays.
fn assert_left_alone(script: &mut Script, flow: &mut Flow) {
    script.advance(Duration::from_secs(60));
    let packets = script.all(flow);
    assert!(packets.iter().all(|p| !p.header.flags.rst), "{packets:#?}");
    assert!(script.info().mptcp);
}

/// [DSS-12] [DSS-13]: acknowledged by TCP and not at data level; the mapping that comes later makes them data, wherever
/// it ends.
#[test]
fn a_late_mapping_releases_what_is_held() {
    for checksum in FORMS {
        let (mut script, mut flow) = server(checksum);
        let late = script.map(&flow, 0, b"held and more", 0);
        script.send(&mut flow, seg().data(b"held "));
        script.send(&mut flow, seg().data(b"and "));
        script.advance(Duration::from_millis(100));
        let packets = script.all(&mut flow);
        let last = packets.last().expect("an ACK");
        let acked = last.header.ack.map(|ack| ack.0.wrapping_sub(flow.iss.wrapping_add(1)));
        assert_eq!(acked, Some(9), "by TCP");
        assert_eq!(last.data_ack(), Some(script.dsn(0)));
        assert_eq!(script.read(), b"");
        script.send(&mut flow, seg().dss(late));
        script.send(&mut flow, seg().data(b"more"));
        assert_eq!(script.read(), b"held and more");
        script.all(&mut flow);
        assert_left_alone(&mut script, &mut flow);
    }
}

/// The Data ACK does not wait for the next segment with data.
#[test]
fn a_late_mapping_is_acknowledged_at_once() {
    let (mut script, mut flow) = server(false);
    let late = script.map(&flow, 0, b"held", 0);
    script.send(&mut flow, seg().data(b"held"));
    script.all(&mut flow);
    script.send(&mut flow, seg().dss(late));
    assert_eq!(script.next(&mut flow).data_ack(), Some(script.dsn(4)));
    assert_eq!(script.read(), b"held");
}

/// (K30): the peer sends them again under a new mapping. They are delivered once, and nothing is waited for.
#[test]
fn octets_sent_again_are_delivered_once() {
    for checksum in FORMS {
        let (mut script, mut flow) = server(checksum);
        script.send(&mut flow, seg().data(b"again"));
        let dss = script.map(&flow, 0, b"again", 0);
        script.send(&mut flow, seg().data(b"again").dss(dss));
        let dss = script.map(&flow, 5, b" and on", 0);
        script.send(&mut flow, seg().data(b" and on").dss(dss));
        assert_eq!(script.read(), b"again and on");
        script.all(&mut flow);
        assert_left_alone(&mut script, &mut flow);
    }
}

/// [FB-7] [FB-8] [DSS-14]: no mapping comes in time, on the only subflow or on one of two. The connection stays.
#[test]
fn the_wait_for_a_mapping_ends() {
    for victim in 0..3 {
        let (mut script, first) = server(false);
        let mut flow = match victim {
            0 => first,
            1 => {
                script.joined(1);
                first
            }
            _ => script.joined(1),
        };
        script.send(&mut flow, seg().data(b"unmapped"));
        script.advance(Duration::from_millis(1_900));
        let packets = script.all(&mut flow);
        assert!(packets.iter().all(|p| !p.header.flags.rst), "too early");
        script.advance(Duration::from_secs(10));
        assert_given_up(&script.all(&mut flow));
        assert_eq!(script.read(), b"");
        assert!(script.info().mptcp && script.info().error.is_none());
        assert_eq!(script.endpoint.counters().dss_no_match_tcp, 1);
    }
}

/// [DSS-14]: nor does it wait for more than 128 KiB of them.
#[test]
fn a_window_of_unmapped_octets_is_enough() {
    let (mut script, mut flow) = server(false);
    let chunk = [b'x'; 1_024];
    for _ in 0..128 {
        script.send(&mut flow, seg().data(&chunk));
    }
    let packets = script.all(&mut flow);
    assert!(packets.iter().all(|p| !p.header.flags.rst), "too early");
    script.send(&mut flow, seg().data(b"x"));
    assert_given_up(&script.all(&mut flow));
    assert_eq!(script.read(), b"");
}

/// Mappings in between: the subflow works, whatever is lost on the way.
#[test]
fn unmapped_octets_among_mapped_ones_are_no_reason_to_end() {
    let (mut script, mut flow) = server(false);
    let chunk = [b'x'; 1_024];
    for at in 0..400 {
        script.send(&mut flow, seg().data(&chunk));
        let dss = script.map(&flow, at, b"d", 0);
        script.send(&mut flow, seg().data(b"d").dss(dss));
        script.all(&mut flow);
    }
    assert_eq!(script.read(), [b'd'; 400]);
    assert_left_alone(&mut script, &mut flow);
}

/// Behind the end of the data nothing is waited for, and held octets never make an end.
#[test]
fn held_octets_and_the_end() {
    let (mut script, mut flow) = server(false);
    script.send(&mut flow, seg().data(b"junk"));
    let dss = script.data_fin(0, 0);
    script.send(&mut flow, seg().dss(dss));
    script.send(&mut flow, seg().data(b"junk"));
    assert_eq!(script.read(), b"");
    assert!(script.at_end());
    script.all(&mut flow);
    script.advance(Duration::from_secs(60));
    assert!(script.all(&mut flow).iter().all(|p| !p.header.flags.rst));

    let (mut script, mut flow) = server(false);
    script.send(&mut flow, seg().data(b"held").fin());
    assert_eq!(script.read(), b"");
    assert!(!script.at_end());
    script.advance(Duration::from_secs(200));
    assert!(script.events.contains(&Event::Closed(Some(ConnectionError::Timeout))));
}
