//! The table beside what `ss -Mni` and `ss -tni` print for the same values.

use super::*;
use crate::args::{Cli, Command};
use clap::Parser as _;

fn args(words: &[&str]) -> Ss {
    let words = ["mpuser", "ss"].iter().chain(words);
    match Cli::try_parse_from(words).expect("a good line").command {
        Command::Ss(args) => args,
        other => panic!("{other:?}"),
    }
}

fn row() -> Row {
    let subflow = SubflowReport {
        id: 0,
        state: "ESTAB".to_owned(),
        local: "10.77.1.1:55414".parse().unwrap(),
        remote: "10.77.1.2:7000".parse().unwrap(),
        path: "e1".to_owned(),
        local_id: 0,
        remote_id: 0,
        join: false,
        backup: false,
        stale: false,
        rto: 204.0,
        rtt: 0.079,
        mss: 1448,
        cwnd: 19,
        ssthresh: Some(136),
        bytes_in_flight: 0,
        bytes_sent: 9000,
        bytes_retrans: 0,
        bytes_received: 9000,
    };
    let join = SubflowReport {
        id: 1,
        local: "10.77.2.1:39815".parse().unwrap(),
        path: "e2".to_owned(),
        local_id: 3,
        join: true,
        backup: true,
        stale: true,
        ssthresh: None,
        rtt: 0.0,
        bytes_sent: 0,
        bytes_received: 0,
        ..subflow.clone()
    };
    Row {
        pid: 7,
        socket: SocketReport {
            state: "ESTAB".to_owned(),
            local: Some(subflow.local),
            remote: Some(subflow.remote),
            mptcp: true,
            client: true,
            subflows: 1,
            subflows_max: 4,
            subflows_total: 2,
            token: "e4f8bc6a".to_owned(),
            remote_token: "eef8661e".to_owned(),
            write_seq: "7282e5606517e0ba".to_owned(),
            snd_una: "7282e5606517e0ba".to_owned(),
            rcv_nxt: "36cc3834a2958509".to_owned(),
            bytes_sent: 9000,
            subflow: vec![subflow, join],
            ..SocketReport::default()
        },
    }
}

#[test]
fn the_table_is_that_of_ss() {
    let text = table(&[row()], &args(&["-Mni"]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "State     Recv-Q Send-Q Local Address:Port Peer Address:Port",
            "ESTAB     0      0         10.77.1.1:55414    10.77.1.2:7000",
            "\t subflows:1 subflows_max:4 remote_key token:e4f8bc6a remote_token:eef8661e \
             write_seq:7282e5606517e0ba snd_una:7282e5606517e0ba rcv_nxt:36cc3834a2958509 \
             bytes_sent:9000 subflows_total:2",
            "  0 ESTAB 0      0         10.77.1.1:55414    10.77.1.2:7000 e1",
            "\t rto:204 rtt:0.079 mss:1448 cwnd:19 ssthresh:136 bytes_sent:9000 bytes_received:9000 \
             tcp-ulp-mptcp flags:Mmec token:eef8661e(id:0)/e4f8bc6a(id:0)",
            "  1 ESTAB 0      0         10.77.2.1:39815    10.77.1.2:7000 e2 backup stale",
            "\t rto:204 mss:1448 cwnd:19 tcp-ulp-mptcp flags:Jjbec \
             token:eef8661e(id:0)/e4f8bc6a(id:3)",
        ]
    );
}

#[test]
fn plain_tcp_says_so() {
    let mut row = row();
    row.socket.mptcp = false;
    row.socket.fallback = Some("syn_ack_without_capable".to_owned());
    let text = table(&[row], &args(&["-ip"]));
    assert!(text.contains("fallback fallback_reason:syn_ack_without_capable"), "{text}");
    assert!(!text.contains("token:") && text.contains("pid=7"), "{text}");
}

#[test]
fn json_has_the_same_keys() {
    let object = object(&[row()]);
    assert_eq!(object["sockets"][0]["pid"], 7);
    assert_eq!(object["sockets"][0]["token"], "e4f8bc6a");
    assert_eq!(object["sockets"][0]["subflow"][1]["local_id"], 3);
}
