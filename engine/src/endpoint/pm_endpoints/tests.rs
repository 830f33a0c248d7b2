use super::*;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn wanted(last: u8, id: Option<u8>, words: &[&str]) -> PmEndpoint {
    let has = |word| words.contains(&word);
    let flags = EndpointFlags {
        signal: has("signal"),
        subflow: has("subflow"),
        backup: has("backup"),
        fullmesh: has("fullmesh"),
    };
    PmEndpoint { address: ip(last), id: id.map(AddressId), port: None, flags }
}

fn add(table: &mut PmEndpoints, wanted: &PmEndpoint) -> Result<AddressId, PmError> {
    table.add(wanted, Presence::Elsewhere).map(|(id, _)| id)
}

/// [ADDR-2] [JOIN-4]: one identifier, one address; 0 is never given out.
#[test]
fn identifiers_are_unique_and_never_0() {
    let mut table = PmEndpoints::default();
    assert!(table.on_address(ip(1), false, true), "it appeared");
    assert!(!table.on_address(ip(1), true, true), "a change of settings");
    table.on_address(ip(2), false, true);
    let ids: Vec<_> = table.as_slice().iter().map(|e| (e.address, e.id.0)).collect();
    assert_eq!(ids, [(ip(1), 1), (ip(2), 2)]);
    // [ADDR-17]: not reused at once.
    assert_eq!(table.on_address_gone(ip(2)), [AddressId(2)]);
    table.on_address(ip(2), false, true);
    assert_eq!(table.of_address(ip(2)).map(|e| e.id), Some(AddressId(3)));
    assert_eq!(add(&mut table, &wanted(9, Some(0), &[])), Err(PmError::InvalidId));
    assert_eq!(add(&mut table, &wanted(9, Some(3), &[])), Err(PmError::IdInUse));
}

/// The numbers go around; those in use are left out, and there are 255 of them.
#[test]
fn identifiers_in_use_are_not_given_out_again() {
    let mut table = PmEndpoints::default();
    table.on_address(ip(1), false, true);
    for _ in 0..600 {
        table.on_address(ip(2), false, true);
        let ids = table.on_address_gone(ip(2));
        assert!(ids.len() == 1 && ids[0].0 > 1);
    }
    for last in 2..=255 {
        assert!(add(&mut table, &wanted(last, None, &["signal"])).is_ok(), "{last}");
    }
    let one_more = PmEndpoint { address: IpAddr::from([10, 0, 1, 1]), ..wanted(1, None, &[]) };
    assert_eq!(add(&mut table, &one_more), Err(PmError::TooMany));
}

/// An explicit endpoint takes the place of the one that stood in for it, and its number unless it asks for another.
#[test]
fn an_explicit_endpoint_replaces_an_implicit_one() {
    let mut table = PmEndpoints::default();
    table.on_address(ip(1), false, true);
    table.on_address(ip(2), false, true);
    assert_eq!(table.add(&wanted(1, None, &["signal"]), Presence::Here), Ok((AddressId(1), None)));
    let explicit = wanted(2, Some(77), &["subflow", "backup"]);
    let replaced = Some(AddressId(2));
    assert_eq!(table.add(&explicit, Presence::Here), Ok((AddressId(77), replaced)));
    assert_eq!(table.configured().len(), 2);
    assert_eq!(table.add(&explicit, Presence::Here), Err(PmError::AddressInUse));
    // An explicit one outlives its address.
    assert_eq!(table.on_address_gone(ip(2)), [AddressId(77)]);
    assert_eq!(table.get(AddressId(77)).map(|e| e.presence), Some(Presence::Gone));
    assert!(table.on_address(ip(2), false, true), "it is back");
    assert_eq!(table.configured().last(), Some(&explicit));
}

#[test]
fn impossible_combinations_are_refused() {
    let mut table = PmEndpoints::default();
    let port = |words: &[&str]| PmEndpoint { port: Some(80), ..wanted(1, None, words) };
    for (endpoint, error) in [
        (wanted(1, None, &["signal", "fullmesh"]), PmError::SignalWithFullmesh),
        (port(&["subflow"]), PmError::PortWithoutSignal),
        (port(&["signal", "subflow"]), PmError::PortWithoutSignal),
        (PmEndpoint { port: Some(0), ..port(&["signal"]) }, PmError::InvalidAddress),
        (PmEndpoint { address: [0; 4].into(), ..wanted(1, None, &[]) }, PmError::InvalidAddress),
        (PmEndpoint { address: [224; 4].into(), ..wanted(1, None, &[]) }, PmError::InvalidAddress),
    ] {
        assert_eq!(add(&mut table, &endpoint), Err(error), "{endpoint:?}");
    }
    // One address may be announced with several ports.
    assert_eq!(add(&mut table, &port(&["signal"])), Ok(AddressId(1)));
    let other = PmEndpoint { port: Some(81), ..port(&["signal"]) };
    assert_eq!(add(&mut table, &other), Ok(AddressId(2)));
    assert_eq!(add(&mut table, &port(&["signal"])), Err(PmError::AddressInUse));
    assert_eq!(table.of_port(ip(1), 81).map(|e| e.id), Some(AddressId(2)));
    let flags = wanted(1, None, &["subflow"]).flags;
    assert_eq!(table.change(AddressId(1), flags), Err(PmError::PortWithoutSignal));
    assert_eq!(table.change(AddressId(9), flags), Err(PmError::NotFound));
    assert_eq!(table.remove(AddressId(9)), Err(PmError::NotFound));
}
