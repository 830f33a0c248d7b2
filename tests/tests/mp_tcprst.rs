//! MP_TCPRST (RFC 8684 3.6): what a peer's RST says, and what follows from it.

use mpuser_engine::addr::SocketAddr;
use mpuser_engine::config::{Behaviour, ConnectionConfig};
use mpuser_engine::error::{PeerReset, ResetReason};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpTcpRst, MptcpOption};
use mpuser_engine::{Event, SubflowEnd};
use mpuser_tests::scripted::*;

/// A client with two addresses and a subflow from each.
fn client() -> (Script, Flow, Flow) {
    let mut script = Script::client(ConnectionConfig::default(), 2);
    let first = script.connect();
    script.advance(Duration::from_secs(1));
    let second = script.take_join();
    (script, first, second)
}

fn reset(reason: ResetReason, transient: bool) -> MptcpOption {
    MptcpOption::TcpRst(MpTcpRst { transient, reason })
}

/// When the endpoint tries again from `flow`'s address to its remote, if it does within ten minutes.
fn retried_after(script: &mut Script, flow: &Flow) -> Option<Duration> {
    let from = script.now;
    for _ in 0..6_000 {
        if let Some((again, _)) = script.next_syn() {
            assert_eq!(again.tuple.local.ip(), flow.tuple.local.ip());
            assert_eq!(again.tuple.remote, flow.tuple.remote);
            return Some(script.now.saturating_since(from));
        }
        script.advance(Duration::from_millis(100));
    }
    None
}

/// (X16) [RST-1] [RST-2] [RST-4] [RST-5] [RST-6]: reason and T are told to the application; T=1 has the path tried
/// again after a while that depends on the reason, T=0 has not.
#[test]
fn flag_t_decides_about_the_path() {
    let mut waits = Vec::new();
    for code in 0..=6 {
        for transient in [false, true] {
            let reason = ResetReason::from_code(code);
            let (mut script, _, mut second) = client();
            script.send(&mut second, seg().rst().option(reset(reason, transient)));
            let cause = SubflowEnd::ResetByPeer(Some(PeerReset { reason, transient }));
            let told =
                |e: &Event| matches!(e, Event::SubflowClosed { cause: c, .. } if *c == cause);
            assert!(script.events.iter().any(told), "{:?}", script.events);
            assert_eq!(script.endpoint.counters().mp_rst_rx, 1);
            let wait = retried_after(&mut script, &second);
            assert_eq!(wait.is_some(), transient, "{reason:?}");
            waits.extend(wait.map(|wait| (reason, wait)));
        }
    }
    let of = |reason| waits.iter().find(|w| w.0 == reason).expect("tried again").1;
    assert!(of(ResetReason::TooMuchOutstandingData) < of(ResetReason::UnacceptablePerformance));
}

/// [RST-5] [RST-6]: each retry waits longer; a RST of the attempt itself counts as well, and T=0 ends it.
#[test]
fn retries_back_off() {
    let (mut script, _, mut flow) = client();
    let option = reset(ResetReason::LackOfResources, true);
    script.send(&mut flow, seg().rst().option(option));
    let mut waits = Vec::new();
    for last in [false, false, true] {
        let from = script.now;
        let (mut again, _) = loop {
            if let Some(found) = script.next_syn() {
                break found;
            }
            script.advance(Duration::from_millis(100));
        };
        waits.push(script.now.saturating_since(from));
        let option = reset(ResetReason::LackOfResources, !last);
        script.send(&mut again, seg().rst().option(option));
        flow = again;
    }
    assert!(waits[0] < waits[1] && waits[1] < waits[2], "{waits:?}");
    assert_eq!(retried_after(&mut script, &flow), None);
}

/// A RST without MP_TCPRST says nothing about the path.
#[test]
fn a_bare_reset_has_no_reason() {
    let (mut script, _, mut second) = client();
    script.send(&mut second, seg().rst());
    let bare = SubflowEnd::ResetByPeer(None);
    let told = |e: &Event| matches!(e, Event::SubflowClosed { cause, .. } if *cause == bare);
    assert!(script.events.iter().any(told));
    assert_eq!(script.endpoint.counters().mp_rst_rx, 0);
}

/// [RST-6] [FIN-9]: T=0 on the only subflow: no attempt to resume over that path, and the timeout ends it.
#[test]
fn a_barred_path_is_not_resumed() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    let mut flow = script.connect();
    let option = reset(ResetReason::AdministrativelyProhibited, false);
    script.send(&mut flow, seg().rst().option(option));
    assert!(script.next_syn().is_none());
    script.advance(Duration::from_secs(61));
    assert!(script.next_syn().is_none());
    assert!(script.events.iter().any(|e| matches!(e, Event::Closed(Some(_)))));
}

/// [OPT-14] [OPT-15] [RST-1]: an MP_TCPRST without RST is nothing.
#[test]
fn mp_tcprst_without_rst_is_ignored() {
    let (mut script, mut first, _) = client();
    script.send(&mut first, seg().option(reset(ResetReason::Unspecified, false)));
    assert_eq!(script.established().len(), 2);
    assert_eq!(script.endpoint.counters().mp_rst_rx, 0);
}

/// [DACK-12] [DACK-13]: where asked for, a subflow that stays stale beside others is reset, reason 5, T set.
#[test]
fn a_subflow_that_stays_stale_may_be_reset() {
    for after in [None, Some(3)] {
        let behaviour = Behaviour { reset_stale_after: after, ..Behaviour::rfc() };
        let config = ConnectionConfig { behaviour, ..Default::default() };
        let mut script = Script::server(config);
        let mut flows = [script.serve(), script.joined(1)];
        script.write(&[1; 5_000]);
        let silent = (0..2).find(|i| !script.all(&mut flows[*i]).is_empty()).expect("data");
        let mut rsts = Vec::new();
        for _ in 0..100 {
            script.advance(Duration::from_millis(100));
            rsts.extend(script.all(&mut flows[silent]).into_iter().filter(|p| p.header.flags.rst));
            if script.all(&mut flows[1 - silent]).iter().any(|p| !p.payload.is_empty()) {
                let dss = script.ack(5_000);
                script.send(&mut flows[1 - silent], seg().dss(dss));
            }
        }
        let signals: Vec<_> = rsts.iter().map(Packet::signals).collect();
        let expected = reset(ResetReason::UnacceptablePerformance, true);
        assert_eq!(signals, if after.is_some() { vec![vec![expected]] } else { vec![] });
    }
}

/// (K31): with Linux' patience a subflow is stale after `stale_loss_cnt` timeouts and not before.
#[test]
fn staleness_can_wait_for_timeouts() {
    let stale_after = |behaviour, stale_loss_cnt| {
        let config = ConnectionConfig { behaviour, stale_loss_cnt, ..Default::default() };
        let mut script = Script::server(config);
        let mut flows = [script.serve(), script.joined(1)];
        script.write(b"data");
        let silent = (0..2).find(|i| !script.all(&mut flows[*i]).is_empty()).expect("data");
        let mut retransmitted = 0;
        while script.endpoint.counters().subflow_stale == 0 {
            script.advance(Duration::from_millis(10));
            retransmitted += script.all(&mut flows[silent]).len();
        }
        retransmitted
    };
    assert_eq!(stale_after(Behaviour::rfc(), 4), 0, "long before a timeout");
    let patient = Behaviour { early_suspicion: false, ..Behaviour::rfc() };
    assert!(stale_after(patient, 2) < stale_after(patient, 4));
}

/// [INI-20]: the address a peer's RST came from says nothing about others of that peer.
#[test]
fn other_paths_are_not_concerned() {
    let (mut script, _, mut second) = client();
    let option = reset(ResetReason::AdministrativelyProhibited, false);
    script.send(&mut second, seg().rst().option(option));
    let remote = SocketAddr::new(peer_address(3), PORT);
    let local = engine_address(1);
    assert!(script.endpoint.open_subflow(script.now, script.id, local, remote).is_ok());
}
