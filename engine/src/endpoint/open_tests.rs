use super::*;
use crate::addr::InterfaceId;
use crate::config::EndpointConfig;
use crate::error::FallbackReason;
use crate::time::Instant;
use std::collections::BTreeSet;

fn endpoint(seed: u8) -> Endpoint {
    let mut endpoint = Endpoint::new(EndpointConfig::default(), [seed; 32]);
    let local = LocalAddress {
        address: IpAddr::from([10, 0, 0, 1]),
        interface: InterfaceId(0),
        mtu: 1_500,
        backup: false,
        checksum_offload: false,
        max_payload: 0,
    };
    endpoint.add_address(Instant::ZERO, local);
    endpoint
}

fn connect(endpoint: &mut Endpoint) -> ConnectionId {
    let remote = SocketAddr::from(([192, 0, 2, 1], 80));
    let config = ConnectionConfig::default();
    endpoint.connect(Instant::ZERO, config, None, remote).expect("an address")
}

/// H22 [INI-8] [INI-9]: a token in use is not used again; another key is drawn. When none is found the connection is
/// plain TCP [INI-11].
#[test]
fn a_token_in_use_is_not_used_again() {
    // What this seed draws, one after the other, taken from a twin.
    let draws: Vec<Key> = {
        let mut twin = endpoint(7);
        let remote = SocketAddr::from(([192, 0, 2, 1], 80));
        twin.free_tuple(IpAddr::from([10, 0, 0, 1]), remote, None).expect("free");
        (0..KEY_DRAWS).map(|_| Key::random(&mut twin.rng)).collect()
    };
    for taken in 0..=KEY_DRAWS {
        let mut endpoint = endpoint(7);
        for key in &draws[..taken] {
            endpoint.tokens.insert(key.facts().token, ConnectionId(99));
        }
        let id = connect(&mut endpoint);
        let info = endpoint.info(id).expect("known");
        if taken < KEY_DRAWS {
            assert_eq!(info.token.0, draws[taken].facts().token.0, "{taken}");
            assert_eq!(info.fallback, None);
        } else {
            assert_eq!(info.fallback, Some(FallbackReason::NoUniqueToken));
            assert_eq!(endpoint.counters().mp_fallback_token_init, 1);
        }
    }
}

/// T07 [OPT-7]: initial sequence numbers of 100 000 connections: spread over all values, and none twice but by chance.
#[test]
fn initial_sequence_numbers_are_spread() {
    let endpoint = endpoint(3);
    let mut seen = BTreeSet::new();
    let mut buckets = [0_u32; 64];
    for n in 0..100_000_u32 {
        let remote = SocketAddr::from(([10, 9, (n >> 8) as u8, n as u8], 1 + (n >> 16) as u16));
        let tuple = FourTuple { local: SocketAddr::from(([10, 0, 0, 1], 80)), remote };
        let isn = endpoint.secrets.isn(Instant::from_micros(u64::from(n) * 10), &tuple).0;
        seen.insert(isn);
        buckets[(isn >> 26) as usize] += 1;
    }
    assert!(seen.len() > 99_990, "{}", seen.len());
    assert!(buckets.iter().all(|count| (1_300..1_850).contains(count)), "{buckets:?}");
}
