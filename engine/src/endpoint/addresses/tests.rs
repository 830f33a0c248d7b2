use super::*;
use crate::addr::InterfaceId;

fn local(last: u8) -> LocalAddress {
    LocalAddress {
        address: IpAddr::from([10, 0, 0, last]),
        interface: InterfaceId(0),
        mtu: 1_500,
        backup: false,
        checksum_offload: false,
    }
}

/// [ADDR-2] [JOIN-4]: one identifier, one address; 0 is never given out.
#[test]
fn identifiers_are_unique_and_never_0() {
    let mut addresses = Addresses::default();
    let first = addresses.add(local(1));
    assert_eq!(first, AddressId(1));
    assert_eq!(addresses.add(local(2)), AddressId(2));
    let changed = LocalAddress { mtu: 1_280, ..local(1) };
    assert_eq!(addresses.add(changed), first, "a change of settings keeps it");
    assert_eq!(addresses.get(local(1).address), Some((changed, first)));
    // [ADDR-17]: not reused at once.
    addresses.remove(local(2).address);
    assert_eq!(addresses.add(local(2)), AddressId(3));
    assert_eq!(addresses.get(local(9).address), None);
}

/// The numbers go around; those in use are left out.
#[test]
fn identifiers_in_use_are_not_given_out_again() {
    let mut addresses = Addresses::default();
    let kept = addresses.add(local(1));
    for _ in 0..600 {
        let id = addresses.add(local(2));
        assert!(id != kept && id != AddressId(0));
        addresses.remove(local(2).address);
    }
}

#[test]
fn the_first_address_of_a_family_is_the_default() {
    let mut addresses = Addresses::default();
    let six: IpAddr = "2001:db8::1".parse().expect("an address");
    addresses.add(LocalAddress { address: six, ..local(0) });
    addresses.add(local(1));
    addresses.add(local(2));
    assert_eq!(addresses.first_for(IpAddr::from([1, 1, 1, 1])), Some(local(1)));
    assert_eq!(addresses.first_for(six).map(|l| l.address), Some(six));
    assert_eq!(addresses.as_slice().len(), 3);
}
