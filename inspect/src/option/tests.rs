use super::*;

fn one(bytes: &[u8]) -> RawOption<'_> {
    options(bytes, bytes.len()).next().expect("an option")
}

/// Every subtype at every length with every flag octet: a form or none, never a panic, and all octets kept.
#[test]
fn every_subtype_at_every_length() {
    let mut forms = std::collections::BTreeMap::<u8, std::collections::BTreeSet<usize>>::new();
    for first in 0..=255_u8 {
        for second in 0..=255_u8 {
            for len in 4..=40_usize {
                let mut bytes = vec![0x55; len];
                bytes[..4].copy_from_slice(&[30, len as u8, first, second]);
                let raw = one(&bytes);
                if second % 85 == 0 {
                    assert_eq!(fields(&raw)["raw"], hex(&bytes));
                }
                if !matches!(raw.signal(), Some(Signal::Malformed(_))) {
                    forms.entry(first >> 4).or_default().insert(len);
                }
            }
        }
    }
    let lengths = |number: u8| forms[&number].iter().copied().collect::<Vec<_>>();
    assert_eq!(lengths(0), [4, 12, 20, 22, 24]);
    assert_eq!(lengths(1), [12, 16, 24]);
    assert_eq!(lengths(2), [4, 8, 12, 14, 16, 18, 20, 22, 24, 26, 28]);
    assert_eq!(lengths(3), [8, 10, 16, 18, 20, 22, 28, 30]);
    assert_eq!(lengths(4), (4..=40).collect::<Vec<_>>());
    assert_eq!(lengths(5), [4]);
    assert_eq!(lengths(6), [12]);
    assert_eq!(lengths(7), [12]);
    assert_eq!(lengths(8), [4]);
    assert!((9..16).all(|number| !forms.contains_key(&number)));
}

/// RFC 6824: addresses with the version of IP and without HMAC, priorities with an address.
#[test]
fn forms_of_version_0() {
    let raw = [30, 10, 0x34, 7, 10, 0, 0, 1, 0x1f, 0x90];
    let all = fields(&one(&raw));
    assert_eq!((&all["ipver"], &all["addrid"], &all["port"]), (&json!(4), &json!(7), &json!(8080)));
    assert_eq!(all["ipv4"], "10.0.0.1");
    let all = fields(&one(&[30, 4, 0x51, 3]));
    assert_eq!((&all["backup.flag"], &all["addrid"]), (&json!(1), &json!(3)));
    // the key of version 0 is on the SYN, in the form of version 1's SYN/ACK
    let all = fields(&one(&[30, 12, 0x00, 0x81, 0, 0, 0, 0, 0, 0, 0, 9]));
    assert_eq!(
        (&all["version"], &all["sendkey"], &all["sha1.flag"]),
        (&json!(0), &json!(9), &json!(1))
    );
}

/// RFC 8684 3.2 [OPT-8] [OPT-9], 3.3 [OPT-10], 3.4.1 [OPT-12], 3.6 [OPT-14]
#[test]
fn reserved_bits_are_shown() {
    for (bytes, bits) in [
        (&[30, 12, 0x1e, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], Some(0x0e)),
        (&[30, 4, 0x2f, 0xe0], Some(0x7f)),
        (&[30, 4, 0x20, 0x00], None),
        (&[30, 8, 0x3f, 1, 10, 0, 0, 1], Some(0x0e)),
        (&[30, 4, 0x8f, 1], Some(0x0e)),
        (&[30, 3, 0x5f], Some(0x0e)),
    ] {
        let raw = one(bytes);
        let found = reserved(&raw.signal().unwrap(), raw.body()).map(|(_, bits)| bits);
        assert_eq!(found, bits, "{bytes:?}");
    }
}

#[test]
fn lengths_that_lie() {
    let fault = |bytes: &[u8], len: usize| options(bytes, len).last().and_then(|raw| raw.fault);
    assert_eq!(fault(&[1, 1, 30, 0, 5, 5], 6), Some(Fault::TooShort(0)));
    assert_eq!(fault(&[1, 1, 30, 1], 4), Some(Fault::TooShort(1)));
    assert_eq!(fault(&[30, 12, 0, 0], 4), Some(Fault::PastEnd { says: 12, left: 4 }));
    assert_eq!(fault(&[1, 1, 1, 30], 4), Some(Fault::PastEnd { says: 0, left: 1 }));
    assert_eq!(fault(&[30, 12, 0, 0], 12), Some(Fault::NotCaptured));
    assert_eq!(fault(&[30], 12), Some(Fault::NotCaptured));
    assert_eq!(fault(&[0, 30, 0, 0], 4), None);
    assert_eq!(options(&[0, 30, 0, 0], 4).count(), 1, "nothing behind the end");
    assert_eq!(options(&[], 0).count(), 0);
}
