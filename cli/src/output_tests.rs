use super::*;
use mpuser_engine::addr::{AddressId, FourTuple, SubflowId};
use mpuser_engine::error::{ConnectionError, FallbackReason, PeerReset, ResetReason};
use mpuser_engine::scheduling::SchedulerInfo;

pub(crate) fn subflow(id: u32, sent: u64, received: u64) -> SubflowInfo {
    let octet = u8::try_from(id).unwrap() + 56;
    SubflowInfo {
        id: SubflowId(id),
        tuple: FourTuple {
            local: ([10, 83, octet, 1], 40_000).into(),
            remote: ([10, 83, octet, 2], 7000).into(),
        },
        ids: (AddressId(0), AddressId(0)),
        state: "ESTAB",
        join: id > 0,
        backup: false,
        stale: false,
        bytes_sent: sent,
        bytes_received: received,
        bytes_retrans: 0,
        srtt: Duration::from_micros(1500),
        rto: Duration::from_millis(200),
        cwnd: 14_480,
        ssthresh: u64::MAX,
        in_flight: 0,
        idle_resets: 0,
        pacing_rate: 0,
        mss: 1448,
    }
}

pub(crate) fn info() -> ConnectionInfo {
    ConnectionInfo {
        mptcp: true,
        fallback: None,
        error: None,
        client: true,
        token: (0x55c5_3f5d, 0x1),
        csum_enabled: false,
        add_addr_signal: 0,
        add_addr_accepted: 0,
        state: "ESTABLISHED",
        write_seq: 1,
        snd_una: 1,
        rcv_nxt: 1,
        bytes_sent: 4 << 20,
        bytes_received: 1 << 20,
        bytes_acked: 4 << 20,
        bytes_retrans: 0,
        recv_queue: 0,
        subflows_max: 8,
        scheduler: SchedulerInfo { name: "minrtt".to_owned(), ..SchedulerInfo::default() },
        subflows: vec![subflow(0, 3 << 20, 1 << 20), subflow(1, 1 << 20, 0)],
    }
}

#[test]
fn the_first_line() {
    let mut info = info();
    info.subflows.truncate(1);
    assert_eq!(
        connected_line("connected", "192.168.56.101:7000", &info),
        "connected 192.168.56.101:7000 MPTCPv1 token 55c53f5d (1 subflow)"
    );
    info.mptcp = false;
    info.fallback = Some(FallbackReason::SynWithoutCapable);
    assert_eq!(
        connected_line("accepted", "[::1]:7000", &info),
        "accepted [::1]:7000 plain TCP (the client did not ask for MPTCP)"
    );
}

#[test]
fn the_summary_has_two_lines_and_a_third_if_something_was_unusual() {
    let mut info = info();
    let lines = summary(Duration::from_secs(2), &info);
    assert_eq!(
        lines,
        [
            "closed after 2.00 s: sent 4.0 MiB (16.8 Mbit/s), received 1.0 MiB (4.2 Mbit/s)",
            "subflows, share sent/received: 0 10.83.56.1 75.0/100.0 %, 1 10.83.57.1 25.0/0.0 %",
        ]
    );
    info.bytes_retrans = 1 << 20;
    info.error = Some(ConnectionError::Reset);
    let lines = summary(Duration::from_secs(2), &info);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].ends_with("; connection reset by the peer"));
    assert_eq!(lines[2], "reinjected 1.0 MiB (25.0 %)");
}

#[test]
fn the_report_keeps_large_numbers_as_strings() {
    let report =
        ConnectionReport::new("mpuser.connect/1", "h:1".into(), Duration::from_secs(2), &info());
    let value = serde_json::to_value(report).unwrap();
    assert_eq!(value["schema"], "mpuser.connect/1");
    assert_eq!(value["token"], "55c53f5d");
    assert_eq!(value["fallback"], Value::Null);
    assert_eq!(value["subflows"][0]["share_sent"], 0.75);
    assert_eq!(value["subflows"][1]["srtt_us"], 1500);
}

#[test]
fn events_have_a_line_and_an_object() {
    let tuple = subflow(1, 0, 0).tuple;
    let up = Event::SubflowEstablished {
        subflow: SubflowId(1),
        tuple,
        ids: (AddressId(2), AddressId(3)),
        backup: false,
    };
    let (tint, line) = event_line(&up, 0).unwrap();
    assert_eq!(tint, Tint::Good);
    assert_eq!(line, "subflow 1 up: 10.83.57.1:40000 > 10.83.57.2:7000 (ids 2/3)");
    let (reason, transient) = (ResetReason::UnacceptablePerformance, true);
    let cause = SubflowEnd::ResetByPeer(Some(PeerReset { reason, transient }));
    let closed = Event::SubflowClosed { subflow: SubflowId(1), tuple, cause };
    assert!(event_line(&closed, 0).unwrap().1.contains("unacceptable performance"));
    let object = event_object(Duration::from_millis(1500), &closed).unwrap();
    assert_eq!(object["schema"], "mpuser.event/1");
    assert_eq!(object["seconds"], 1.5);
    assert_eq!(event_line(&Event::Readable, 2), None);
    assert_eq!(event_object(Duration::ZERO, &Event::Readable), None);
}
