//! Backup subflows: B on joins, MP_PRIO in both directions, and what schedulers make of it (RFC 8684 3.3.8).

use mpuser_engine::Event;
use mpuser_engine::addr::{AddressId, SubflowId};
use mpuser_engine::config::{ConnectionConfig, EndpointFlags, SchedulerSpec};
use mpuser_engine::error::SubflowError;
use mpuser_engine::wire::{MpPrio, MptcpOption, RawOption};
use mpuser_tests::scripted::*;

fn prio(backup: bool) -> MptcpOption {
    MptcpOption::Prio(MpPrio { backup })
}

/// A server with two subflows.
fn server(scheduler: &str) -> (Script, Flow, Flow) {
    let Some(scheduler) = SchedulerSpec::named(scheduler) else { unreachable!("{scheduler}") };
    let mut script =
        Script::server(ConnectionConfig { scheduler, nagle: false, ..ConnectionConfig::default() });
    let first = script.serve();
    let mut second = script.joined(1);
    script.all(&mut second);
    (script, first, second)
}

fn carried(packets: &[Packet]) -> usize {
    packets.iter().map(|p| p.payload.len()).sum()
}

/// [PRIO-1] [PRIO-2], A22: after B=1 data goes elsewhere, after B=0 it may come back; with every scheduler.
#[test]
fn a_backup_gets_nothing_while_another_is_usable() {
    for scheduler in ["minrtt", "rr"] {
        let (mut script, mut first, mut second) = server(scheduler);
        script.send(&mut first, seg().option(prio(true)));
        let told = Event::SubflowPriority { subflow: SubflowId(0), backup: true };
        assert!(script.events.contains(&told));
        // More than one congestion window: what does not fit waits, and does not spill over.
        script.write(&[7; 100_000]);
        assert_eq!(carried(&script.all(&mut first)), 0);
        assert!(carried(&script.all(&mut second)) > 10_000);
        script.send(&mut first, seg().option(prio(false)));
        assert!(carried(&script.all(&mut first)) > 0);
        assert_eq!(script.endpoint.counters().mp_prio_rx, 2);
    }
}

/// [PRIO-3] (K33): each subflow for itself. The option arrives on the second and says nothing of the first.
#[test]
fn only_the_subflow_it_came_on_changes() {
    let (mut script, mut first, mut second) = server("rr");
    script.send(&mut second, seg().option(prio(true)));
    let backups: Vec<_> = script.info().subflows.iter().map(|s| s.backup).collect();
    assert_eq!(backups, [false, true]);
    script.write(&[7; 5_000]);
    assert_eq!(carried(&script.all(&mut second)), 0);
    assert_eq!(carried(&script.all(&mut first)), 5_000);
}

/// A24: backups only: they are used.
#[test]
fn all_backup_means_all_are_used() {
    let (mut script, mut first, mut second) = server("rr");
    script.send(&mut first, seg().option(prio(true)));
    script.send(&mut second, seg().option(prio(true)));
    script.write(&[7; 5_000]);
    assert_eq!(carried(&script.all(&mut first)) + carried(&script.all(&mut second)), 5_000);
}

/// [PRIO-1]: the regular one dies, the backup takes over at once, what was in flight included.
#[test]
fn a_backup_takes_over() {
    let (mut script, mut first, mut second) = server("minrtt");
    script.send(&mut second, seg().option(prio(true)));
    script.write(&[7; 3_000]);
    assert_eq!(carried(&script.all(&mut first)), 3_000);
    script.send(&mut first, seg().rst());
    assert_eq!(carried(&script.all(&mut second)), 3_000);
}

/// [PRIO-1]: reinjected data, too, goes to a regular subflow where there is one, though the backup be faster.
#[test]
fn reinjection_prefers_regular_subflows() {
    let (mut script, mut first, mut second) = server("minrtt");
    let mut third = script.joined(2);
    script.all(&mut third);
    script.send(&mut second, seg().option(prio(true)));
    script.send(&mut third, seg().option(prio(true)));
    script.write(&[7; 3_000]);
    assert_eq!(carried(&script.all(&mut first)), 3_000);
    script.send(&mut third, seg().option(prio(false)));
    script.send(&mut first, seg().rst());
    assert_eq!(carried(&script.all(&mut second)), 0);
    assert_eq!(carried(&script.all(&mut third)), 3_000);
}

/// A23 [SEC-6]: the form of version 0, which names an address, is ignored.
#[test]
fn the_form_of_version_0_is_ignored() {
    let (mut script, mut first, _) = server("minrtt");
    let v0 = MptcpOption::Unknown(RawOption::new(&[0x51, 0x01]));
    script.send(&mut first, seg().option(v0));
    assert!(script.info().subflows.iter().all(|s| !s.backup));
    assert_eq!(script.endpoint.counters().mp_prio_rx, 0);
}

/// [PRIO-3]: said on the subflow it is about, once, and obeyed here as well.
#[test]
fn set_backup_is_told_on_the_subflow_itself() {
    let (mut script, mut first, mut second) = server("minrtt");
    let id = script.info().subflows[1].id;
    let connection = script.id;
    script.endpoint.set_backup(script.now, connection, id, true).expect("known");
    script.pump();
    let told = script.all(&mut second);
    assert_eq!(told.iter().flat_map(Packet::signals).collect::<Vec<_>>(), [prio(true)]);
    assert!(told[0].payload.is_empty() && told[0].data_ack().is_some(), "beside a Data ACK");
    assert!(script.all(&mut first).is_empty());
    assert_eq!(script.endpoint.counters().mp_prio_tx, 1);
    script.write(&[7; 3_000]);
    assert_eq!(carried(&script.all(&mut second)), 0);
    assert_eq!(carried(&script.all(&mut first)), 3_000);
    let unknown = script.endpoint.set_backup(script.now, connection, SubflowId(9), true);
    assert_eq!(unknown, Err(SubflowError::NotFound));
}

/// `ip mptcp endpoint change id N backup` changes the subflows there are; new ones say B in their SYN [JOIN-1].
#[test]
fn the_flag_of_an_endpoint_changes_its_subflows() {
    let mut script = Script::client(ConnectionConfig::default(), 2);
    let (mut first, mut second) = script.connect_twice();
    script.all(&mut first);
    script.all(&mut second);
    let backup = EndpointFlags { subflow: true, backup: true, ..EndpointFlags::default() };
    script.endpoint.change_endpoint(script.now, AddressId(2), backup).expect("known");
    script.pump();
    let told: Vec<_> = script.all(&mut second).iter().flat_map(Packet::signals).collect();
    assert_eq!(told, [prio(true)]);
    assert!(script.all(&mut first).is_empty());
}
