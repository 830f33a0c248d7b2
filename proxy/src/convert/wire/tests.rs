use super::*;
use proptest::prelude::*;

/// A message as RFC 8803 draws it, octet by octet.
#[test]
fn connect_as_it_is_drawn() {
    let connect = Connect { to: "192.0.2.1:443".parse().unwrap(), options: Vec::new() };
    let bytes = Message(vec![Tlv::Connect(connect)]).encode().unwrap();
    let mut drawn = vec![1, 6, 0x22, 0x63, 10, 5, 0x01, 0xbb];
    drawn.extend([0; 10]);
    drawn.extend([0xff, 0xff, 192, 0, 2, 1]);
    assert_eq!(bytes, drawn);
    let info = Message(vec![Tlv::Info]).encode().unwrap();
    assert_eq!(info, [1, 2, 0x22, 0x63, 1, 1, 0, 0]);
    let kinds = Message(vec![Tlv::SupportedTcpExtensions(vec![30, 34, 8])]).encode().unwrap();
    assert_eq!(kinds[4..], [21, 2, 0, 0, 30, 34, 8, 0]);
    assert_eq!(
        Message::error(ErrorCode::MissingCookie, vec![0, 9, 9, 9, 9])[4..],
        [30, 2, 3, 0, 9, 9, 9, 9]
    );
}

#[test]
fn mistakes_are_named() {
    let parse = |bytes: &[u8]| Message::parse(bytes).unwrap_err();
    assert_eq!(parse(b"GET / HTTP/1.1"), Mistake::Magic);
    assert_eq!(parse(&[2, 1, 0x22, 0x63]), Mistake::Version(2));
    assert_eq!(parse(&[1, 0, 0x22, 0x63]), Mistake::Length);
    // TLVs of no words, of more words than there are, and of fewer than their type has
    assert_eq!(parse(&[1, 2, 0x22, 0x63, 22, 0, 0, 0]), Mistake::Length);
    assert_eq!(parse(&[1, 2, 0x22, 0x63, 22, 2, 0, 0]), Mistake::Length);
    assert_eq!(parse(&[1, 2, 0x22, 0x63, 10, 1, 0, 80]), Mistake::Length);
    assert_eq!(parse(&[1, 3, 0x22, 0x63, 1, 2, 0, 0, 0, 0, 0, 0]), Mistake::Length);
    assert_eq!(parse(&[1, 2, 0x22, 0x63, 0, 1, 0, 0]), Mistake::Reserved);
}

#[test]
fn an_error_quotes_no_more_than_fits() {
    let bytes = Message::error(ErrorCode::MalformedMessage, vec![7; 5_000]);
    assert_eq!(bytes.len(), 1_020);
    let (message, length) = Message::parse(&bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    assert!(
        matches!(&message.0[..], [Tlv::Error(ErrorCode::MalformedMessage, v)] if v.len() == 1_013)
    );
    assert_eq!(Message(vec![Tlv::Cookie(vec![0; 1_020])]).encode(), Err(TooLong));
}

#[test]
fn codes_have_the_numbers_of_the_registry() {
    let numbers = ErrorCode::ALL.map(ErrorCode::number);
    assert_eq!(numbers, [0, 1, 2, 3, 32, 33, 64, 65, 96, 97]);
    for number in 0..=255 {
        assert_eq!(ErrorCode::from_number(number).number(), number);
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

fn words(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<[u8; 4]>(), 0..most).prop_map(|words| words.concat())
}

fn to() -> impl Strategy<Value = SocketAddr> {
    let v6 = any::<([u8; 16], u16)>()
        .prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip).to_canonical(), port));
    prop_oneof![any::<([u8; 4], u16)>().prop_map(SocketAddr::from), v6]
}

fn option() -> impl Strategy<Value = TcpOption> {
    (2_u8.., bytes(10)).prop_map(|(kind, value)| TcpOption { kind, value })
}

fn tlv() -> impl Strategy<Value = Tlv> {
    let options = proptest::collection::vec(option(), 0..4);
    let known = |kind: &u8| ![0, 1, 10, 20, 21, 22, 30].contains(kind);
    prop_oneof![
        Just(Tlv::Info),
        (to(), options).prop_map(|(to, options)| Tlv::Connect(Connect { to, options })),
        words(8).prop_map(Tlv::ExtendedTcpHeader),
        proptest::collection::vec(1_u8.., 0..9).prop_map(Tlv::SupportedTcpExtensions),
        words(8).prop_map(Tlv::Cookie),
        (any::<u8>(), any::<u8>(), words(8)).prop_map(|(code, first, rest)| {
            Tlv::Error(ErrorCode::from_number(code), [vec![first], rest].concat())
        }),
        (any::<u8>().prop_filter("unknown", known), any::<[u8; 2]>(), words(8))
            .prop_map(|(kind, first, rest)| Tlv::Unknown(kind, [first.to_vec(), rest].concat())),
    ]
}

proptest! {
    /// What is written is read, with anything behind it; cut anywhere, it is not yet a message.
    #[test]
    fn there_and_back(tlvs in proptest::collection::vec(tlv(), 0..6), behind in bytes(20)) {
        let message = Message(tlvs);
        let whole = message.encode().unwrap();
        for cut in 0..whole.len() {
            prop_assert_eq!(Message::parse(&whole[..cut]), Ok(None));
        }
        let read = Message::parse(&[&whole[..], &behind].concat()).unwrap().unwrap();
        prop_assert_eq!(read, (message, whole.len()));
    }

    /// A message with any one byte changed, lengths above all: read or refused, never beyond its end, and what is read
    /// can be written again.
    #[test]
    fn lies_about_lengths(tlvs in proptest::collection::vec(tlv(), 1..6), at in any::<usize>(), byte in any::<u8>()) {
        let mut whole = Message(tlvs).encode().unwrap();
        let at = at % whole.len();
        whole[at] = byte;
        if let Ok(Some((message, length))) = Message::parse(&whole) {
            prop_assert!(length <= whole.len() && length == usize::from(whole[1]) * WORD);
            let again = message.encode().unwrap();
            prop_assert_eq!(Message::parse(&again).unwrap().unwrap().0, message);
        }
    }

    /// Anything behind a good header.
    #[test]
    fn anything_may_be_said(length in any::<u8>(), rest in bytes(1_100)) {
        let said = [&[1, length, 0x22, 0x63][..], &rest].concat();
        if let Ok(Some((_, used))) = Message::parse(&said) {
            prop_assert!(used <= said.len() && used <= 1_020);
        }
    }
}
