use super::*;
use crate::addr::InterfaceId;

fn local(last: u8) -> LocalAddress {
    LocalAddress {
        address: IpAddr::from([10, 0, 0, last]),
        interface: InterfaceId(0),
        mtu: 1_500,
        backup: false,
        checksum_offload: false,
        max_payload: 0,
    }
}

#[test]
fn adding_again_changes_settings() {
    let mut addresses = Addresses::default();
    addresses.add(local(1));
    let changed = LocalAddress { mtu: 1_280, ..local(1) };
    addresses.add(changed);
    assert_eq!(addresses.as_slice(), [changed]);
    assert_eq!(addresses.get(local(1).address), Some(changed));
    addresses.remove(local(1).address);
    assert_eq!(addresses.get(local(1).address), None);
}

#[test]
fn the_first_address_of_a_family_is_the_default() {
    let mut addresses = Addresses::default();
    let six: IpAddr = "2001:db8::1".parse().expect("an address");
    addresses.add(LocalAddress { address: six, ..local(0) });
    addresses.add(local(1));
    addresses.add(local(2));
    assert_eq!(addresses.first_for(IpAddr::from([1, 1, 1, 1]), |_| true), Some(local(1)));
    assert_eq!(addresses.first_for(six, |_| true).map(|l| l.address), Some(six));
    assert_eq!(addresses.as_slice().len(), 3);
}
