//! Each line against what `ip mptcp` of iproute2 6.1 says of it.

use super::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

fn added(line: &str) -> NewEndpoint<'_> {
    match parse_line(line) {
        Ok(Command::Endpoint(EndpointCommand::Add(new))) => new,
        other => panic!("{line}: {other:?}"),
    }
}

fn refused(line: &str) -> String {
    parse_line(line).expect_err(line).to_string()
}

#[test]
fn endpoints_are_added() {
    let new = added("endpoint add 192.0.2.1 id 1 signal");
    assert_eq!((new.address, new.id), (IpAddr::from([192, 0, 2, 1]), Some(AddressId(1))));
    assert_eq!((new.port, new.dev), (None, None));
    assert!(new.flags.signal && !new.flags.subflow);
    let new = added("endp a dev e2 backup 10.77.2.1 fullmesh id 7");
    assert_eq!((new.dev, new.id), (Some("e2"), Some(AddressId(7))));
    assert!(new.flags.backup && new.flags.fullmesh && !new.flags.signal);
    assert_eq!(added("endpoint add fd00::7 port 8000 signal").port, Some(8000));
    assert_eq!(added("endpoint add fd00::7 port 0 signal").port, None);
    assert_eq!(added("endpoint add 10.0.0.1").flags, EndpointFlags::default());
    // the last address and id count, as with ip
    let new = added("endpoint add 10.0.0.3 10.0.0.4 id 3 id 4 signal");
    assert_eq!((new.address, new.id), (IpAddr::from([10, 0, 0, 4]), Some(AddressId(4))));
    assert_eq!(added("e a ::ffff:10.1.1.1").address, IpAddr::from([10, 1, 1, 1]));
}

#[test]
fn mistakes_are_named_in_ips_words() {
    for (line, why) in [
        ("", "command line is not complete"),
        ("endpont", "command \"endpont\" is unknown"),
        ("endpoint frob", "command \"frob\" is unknown"),
        ("endpoint add", "argument \"ADDRESS\" is required"),
        ("endpoint add 10.0.0.1 sub", "argument \"sub\" is wrong: any valid address is expected"),
        (
            "endpoint add 10.0.0.1 signal fullmesh",
            "argument \"fullmesh\" is wrong: flags mustn't have both signal and fullmesh",
        ),
        (
            "endpoint add 10.0.0.1 port 4 subflow",
            "argument \"port\" is wrong: flags must have signal when using port",
        ),
        ("endpoint add 10.0.0.1 port 70000 signal", "argument \"70000\" is wrong: expected port"),
        ("endpoint add 10.0.0.1 id 256", "argument \"256\" is wrong: invalid ID"),
        (
            "endpoint add 10.0.0.1 id 0",
            "argument \"ID\" is wrong: 0 is the address of the first subflow",
        ),
        ("endpoint add 10.0.0.1 nobackup", "argument \"nobackup\" is wrong: it is for change only"),
        ("endpoint add 10.0.0.1 dev", "command line is not complete"),
        ("endpoint del 10.0.0.1", "argument \"ID\" is required"),
        (
            "endpoint del id 0",
            "argument \"ID\" is wrong: address is needed for deleting id 0 address",
        ),
        (
            "endpoint del id 1 10.0.0.1",
            "argument \"ADDRESS\" is wrong: invalid for non-zero id address",
        ),
        (
            "endpoint change id 7 signal",
            "argument \"signal\" is wrong: invalid flags, backup and fullmesh only",
        ),
        ("endpoint change fullmesh", "argument \"ID\" is required"),
        ("endpoint change id 7", "argument \"CHANGE-OPT\" is required"),
        (
            "endpoint change id 7 backup nobackup",
            "argument \"nobackup\" is wrong: its opposite was given, too",
        ),
        ("limits set foo 3", "argument \"foo\" is wrong: unknown limit"),
        ("limits set subflows x", "argument \"x\" is wrong: invalid subflows"),
        ("limits set subflows 9", "argument \"9\" is wrong: limit greater than maximum (8)"),
        ("limits set subflows 1 add_addr_accepted", "command line is not complete"),
        ("limits frob", "command \"frob\" is unknown"),
    ] {
        assert_eq!(refused(line), why, "{line}");
    }
}

#[test]
fn endpoints_are_deleted_changed_and_shown() {
    use EndpointCommand::{Change, Delete, Flush, Show};
    let first = IpAddr::from([10, 0, 0, 1]);
    let id = AddressId;
    let by_id = |id| Selector { id: Some(id), ..Selector::default() };
    let by_address = Selector { address: Some(first), ..Selector::default() };
    let backup = |on| FlagsChange { backup: Some(on), fullmesh: None };
    let both = FlagsChange { backup: Some(false), fullmesh: Some(false) };
    for (line, meant) in [
        ("endpoint del id 3", Delete { id: id(3), address: None }),
        ("endpoint delete id 0 10.0.0.1", Delete { id: id(0), address: Some(first) }),
        ("endpoint change id 7 backup", Change { which: by_id(id(7)), change: backup(true) }),
        ("endpoint change 10.0.0.1 nobackup", Change { which: by_address, change: backup(false) }),
        ("e c nofullmesh nobackup id 7", Change { which: by_id(id(7)), change: both }),
        ("endpoint", Show(None)),
        ("endpoint show id 9", Show(Some(id(9)))),
        ("endpoint flush", Flush),
    ] {
        assert_eq!(parse_line(line), Ok(Command::Endpoint(meant)), "{line}");
    }
    let flags = EndpointFlags { subflow: true, backup: true, ..EndpointFlags::default() };
    assert!(!backup(false).apply(flags).backup && backup(false).apply(flags).subflow);
}

#[test]
fn limits_are_set() {
    let set = |subflows, add_addr_accepted| {
        Ok(Command::Limits(LimitsCommand::Set { subflows, add_addr_accepted }))
    };
    assert_eq!(parse_line("limits set subflows 8 add_addr_accepted 8"), set(Some(8), Some(8)));
    assert_eq!(parse_line("limits set add_addr_accepted 0"), set(None, Some(0)));
    assert_eq!(parse_line("limits set"), set(None, None));
    assert_eq!(parse_line("limits"), Ok(Command::Limits(LimitsCommand::Show)));
    assert_eq!(parse_line("li sh"), Ok(Command::Limits(LimitsCommand::Show)));
    assert_eq!(parse_line("monitor"), Ok(Command::Monitor));
}

#[test]
fn endpoints_are_shown_as_ip_shows_them() {
    let flags = EndpointFlags { signal: true, ..EndpointFlags::default() };
    let address = IpAddr::from([10, 77, 2, 2]);
    let shown = ShownEndpoint { address, port: Some(8000), id: AddressId(1), flags, dev: None };
    assert_eq!(shown.to_string(), "10.77.2.2 port 8000 id 1 signal");
    let flags =
        EndpointFlags { subflow: true, backup: true, fullmesh: true, ..EndpointFlags::default() };
    let shown = ShownEndpoint { port: None, flags, dev: Some("e2"), ..shown };
    assert_eq!(shown.to_string(), "10.77.2.2 id 1 subflow backup fullmesh dev e2");
}

proptest! {
    /// What is shown is understood again as the same endpoint.
    #[test]
    fn shown_endpoints_can_be_added(
        octets: [u8; 4], id in 1u8.., port in 1u16.., signal: bool, subflow: bool, backup: bool, full: bool, dev: bool,
    ) {
        let flags = EndpointFlags { signal, subflow, backup, fullmesh: full && !signal };
        let dev = dev.then_some("e2");
        let (address, port) = (IpAddr::from(octets), signal.then_some(port));
        let id = AddressId(id);
        let line = std::format!("endpoint add {}", ShownEndpoint { address, port, id, flags, dev });
        prop_assert_eq!(added(&line), NewEndpoint { address, dev, id: Some(id), port, flags });
    }

    /// Any line gets an answer.
    #[test]
    fn nothing_panics(words in prop::collection::vec("endpoint|add|change|id|port|signal|[0-9.]{0,6}|limits|set|\\PC{0,5}", 0..8)) {
        let words: Vec<String> = words;
        let _ = parse(words.iter().map(String::as_str));
    }
}
