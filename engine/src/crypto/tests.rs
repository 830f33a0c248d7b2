//! RFC 8684 derivations against values computed elsewhere and seen from a live kernel.

use super::*;
use crate::rng::Rng;
use crate::wire::samples::hex;
use proptest::prelude::*;
use std::format;

const V4: &str = "192.0.2.33";
const V6: &str = "2001:db8::33";

/// One column of the table of test vectors.
struct Vector {
    keys: [u64; 2],
    tokens: [u32; 2],
    idsns: [u64; 2],
    nonces: [u32; 2],
    syn_ack: &'static str,
    third_ack: &'static str,
    /// A to B: id 1, id 2 port 8443, id 3 IPv6, id 4 IPv6 port 443; B to A: id 1, id 4.
    add_addr: [u64; 6],
}

const VECTORS: [Vector; 3] = [
    Vector {
        keys: [0x0001020304050607, 0x08090a0b0c0d0e0f],
        tokens: [0x8a851ff8, 0x34179de5],
        idsns: [0xe3db22c6785a0d45, 0x9ac0c6c29ef61a05],
        nonces: [0x11223344, 0x55667788],
        syn_ack: "8ca07a5aec5498a6",
        third_ack: "78e4d1f982df9b57a101934ddb41b72ee93f7ab3",
        add_addr: [
            0x65fc576ce7ad344c,
            0x202aeefe61e1aef6,
            0x7d7024a686645fba,
            0xcaa744a68843273b,
            0x92befdb68f9c69d1,
            0x58485021b1ae26cc,
        ],
    },
    Vector {
        keys: [0xfedcba9876543210, 0x0123456789abcdef],
        tokens: [0x18f9781b, 0x55c53f5d],
        idsns: [0x280818bf0fa7e28e, 0x570762cd38be9818],
        nonces: [0xdeadbeef, 0x00c0ffee],
        syn_ack: "f9d644237ef6145a",
        third_ack: "d1f6c8458aadde8210c77ba92e436643d502ac16",
        add_addr: [
            0x27a0131d36874661,
            0x5031de7517005526,
            0xc3c7f18df8dff195,
            0xe2f62907e0f5e318,
            0xc698d44a0bd667d5,
            0xd39b63d1cff13d9e,
        ],
    },
    Vector {
        keys: [0xffffffffffffffff, 0x0000000000000001],
        tokens: [0x12a3ae44, 0xcd266215],
        idsns: [0x57fb595bbbacf0ca, 0x19ec509083d00a50],
        nonces: [0x00000001, 0xffffffff],
        syn_ack: "f49a357873012677",
        third_ack: "b320f3957fc5fd51629c3261e92a391f846e0138",
        add_addr: [
            0xfd7abcf0d2aab4ac,
            0x9b7d13052c71f2a5,
            0x248f3b570ff004a6,
            0xf942f47c91c45c9b,
            0x7b3159096e6e965d,
            0x771dfe1b76f01f39,
        ],
    },
];

/// RFC 8684 3.1 [INI-25] [INI-26] [INI-27] [INI-28]
#[test]
fn token_and_idsn() {
    for vector in &VECTORS {
        for end in 0..2 {
            let expected =
                KeyFacts { token: Token(vector.tokens[end]), idsn: DataSeq(vector.idsns[end]) };
            assert_eq!(Key(vector.keys[end]).facts(), expected);
        }
    }
    let kernel = Key(0x1bc778d50fc752dd).facts();
    assert_eq!(kernel.token, Token(0xeebb0c6c));
    assert_eq!(kernel.idsn + 1, DataSeq(0xbd09c1b94a030663));
}

/// RFC 8684 3.2 [JOIN-5] [JOIN-8] [JOIN-11]
#[test]
fn join() {
    for vector in &VECTORS {
        let [a, b] = vector.keys.map(Key);
        let [nonce_a, nonce_b] = vector.nonces.map(Nonce);
        let by_b = join_hmac(b, a, nonce_b, nonce_a);
        assert_eq!(by_b.leftmost64()[..], hex(vector.syn_ack));
        let by_a = join_hmac(a, b, nonce_a, nonce_b);
        assert_eq!(by_a.leftmost160()[..], hex(vector.third_ack));
        assert_eq!(by_a.leftmost64()[..], by_a.leftmost160()[..8]);
    }
}

#[test]
fn join_with_a_live_kernel() {
    let (ours, kernel) = (Key(0x0001020304050607), Key(0x1bc778d50fc752dd));
    let (nonce, kernel_nonce) = (Nonce(0xbfb127b8), Nonce(0xa431534c));
    let its = join_hmac(kernel, ours, kernel_nonce, nonce);
    assert!(verify(&its.leftmost64(), &hex("803b9a71bac327e5")));
    let mine = join_hmac(ours, kernel, nonce, kernel_nonce);
    assert!(verify(&mine.leftmost160(), &hex("a54aebb37c11d2bcb27a15b82beba5d3656c8727")));
}

/// The kernel's own test: its keys and messages are ASCII although they look like hexadecimal numbers.
#[test]
fn hmac_of_the_kernels_tests() {
    let ascii = |text: &[u8; 8]| Key(u64::from_be_bytes(*text));
    let hmac = join_hmac(
        ascii(b"0b0b0b0b"),
        ascii(b"0b0b0b0b"),
        Nonce(u32::from_be_bytes(*b"4869")),
        Nonce(u32::from_be_bytes(*b"2054")),
    );
    assert_eq!(hmac.leftmost64()[..4], [0x83, 0x85, 0xe2, 0x4f]);
}

/// RFC 8684 3.4.1 [ADDR-9]
#[test]
fn add_addr() {
    for vector in &VECTORS {
        let [a, b] = vector.keys.map(Key);
        let cases = [
            (a, b, 1, V4, None),
            (a, b, 2, V4, Some(8443)),
            (a, b, 3, V6, None),
            (a, b, 4, V6, Some(443)),
            (b, a, 1, V4, None),
            (b, a, 4, V6, Some(443)),
        ];
        for ((own, peer, id, address, port), expected) in cases.into_iter().zip(vector.add_addr) {
            let hmac = add_addr_hmac(own, peer, AddressId(id), address.parse().unwrap(), port);
            assert_eq!(u64::from_be_bytes(hmac), expected, "id {id} {address}");
        }
    }
}

#[test]
fn add_addr_of_a_live_kernel() {
    for (key, id, address, port, expected) in [
        (0xe52b38269a672af5, 1, "10.8.0.1", None, 0x63fd455f80912140),
        (0x8c2a4ef4d4a2f138, 2, "10.8.0.1", Some(8443), 0xe243ebc1e295ab6d),
        (0x76ddd65e220949e8, 3, V6, None, 0x79bfff424f30a8d8),
        (0xac58b16fe3ac8d88, 4, V6, Some(443), 0xbfd8967772be3e49_u64),
    ] {
        let (own, peer) = (Key(key), Key(0x0001020304050607));
        let hmac = add_addr_hmac(own, peer, AddressId(id), address.parse().unwrap(), port);
        assert_eq!(u64::from_be_bytes(hmac), expected, "id {id}");
    }
}

#[test]
fn secrets_are_not_printed() {
    assert_eq!(format!("{:?}", Key(0x0001020304050607)), "Key(..)");
    let hmac = join_hmac(Key(1), Key(2), Nonce(3), Nonce(4));
    assert_eq!(format!("{hmac:?}"), "JoinHmac(..)");
    assert_eq!(format!("{} {:?}", Token(0x1f), Nonce(0x1f)), "0x0000001f nonce:0x0000001f");
}

#[test]
fn random_keys_differ_and_repeat_with_the_seed() {
    let mut rng = Rng::from_seed([1; 32]);
    let (first, second) = (Key::random(&mut rng), Key::random(&mut rng));
    assert!(first != second && first != Key(0) && second != Key(0));
    let mut again = Rng::from_seed([1; 32]);
    assert_eq!(first, Key::random(&mut again));
    assert_ne!(Nonce::random(&mut rng), Nonce::random(&mut rng));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn verify_is_equality(a in prop::collection::vec(0..2u8, 0..5), b in prop::collection::vec(0..2u8, 0..5)) {
        prop_assert_eq!(verify(&a, &b), a == b);
    }
}
