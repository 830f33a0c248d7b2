//! Messages of the Convert protocol (RFC 8803): any octets, cut anywhere, to a converter and to its client; and messages
//! drawn, written and read again.

use crate::draw::{Draw, address};
use crate::pieces::{Pieces, done, piece};
use arbitrary::{Result, Unstructured};
use mpuser_proxy::convert::{
    Connect, Converter, Cookies, Dial, ErrorCode, Message, Mistake, TcpOption, Tlv, answer,
};
use mpuser_proxy::door::Guide as _;
use mpuser_proxy::itself::Itself;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Nothing waits, so nobody is late.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// The longest message.
const MOST: usize = 255 * 4;

/// The first octet says how the rest is cut.
pub(crate) fn run(data: &[u8]) {
    let Some((cut, octets)) = data.split_first() else { return };
    let whole = Message::parse(octets);
    read(octets, &whole);
    assert_eq!(bit_by_bit(octets, *cut), whole);
    client(octets, *cut, &whole);
    server(octets, *cut, &whole);
    // too few octets to draw from
    let _ = drawn(&mut Unstructured::new(octets));
}

type Parsed = std::result::Result<Option<(Message, usize)>, Mistake>;

/// A message is as long as its header says, and reads the same when it is written again, perhaps shorter.
fn read(octets: &[u8], parsed: &Parsed) {
    let said = octets.get(1).map_or(0, |words| usize::from(*words) * 4);
    match parsed {
        Ok(None) => assert!(octets.len() < said.max(4)),
        Ok(Some((message, length))) => {
            assert_eq!(*length, said);
            assert!(*length <= octets.len() && *length <= MOST);
            let Ok(again) = message.encode() else { panic!("it came out of a message") };
            assert!(again.len() <= *length, "{message:?}");
            assert_eq!(Message::parse(&again), Ok(Some((message.clone(), again.len()))));
        }
        Err(_) => assert!(octets.len() >= 4),
    }
}

/// As if it came in pieces, until there is a verdict.
fn bit_by_bit(octets: &[u8], mut cut: u8) -> Parsed {
    let mut have = 0;
    loop {
        let parsed = Message::parse(&octets[..have]);
        if have == octets.len() || parsed != Ok(None) {
            return parsed;
        }
        have = have.saturating_add(piece(&mut cut)).min(octets.len());
    }
}

/// The converter's answer, and not an octet of what follows it.
fn client(octets: &[u8], cut: u8, parsed: &Parsed) {
    let hear = |cut| {
        let mut stream = Pieces::new(octets, cut);
        let heard = done(answer(&mut stream, PATIENCE));
        (format!("{heard:?}"), heard.is_ok(), stream.rest().len())
    };
    let heard = hear(cut);
    assert_eq!(heard, hear(0));
    match parsed {
        Ok(Some((_, length))) => assert_eq!(octets.len() - length, heard.2),
        _ => assert!(!heard.1, "{}", heard.0),
    }
}

/// Servers that are not reached.
struct Nowhere(io::ErrorKind);

impl Dial for Nowhere {
    async fn dial(&self, _: SocketAddr) -> io::Result<TcpStream> {
        Err(self.0.into())
    }
}

/// Whatever is said to a converter is answered by one message that says why not, the same one however it is cut.
fn server(octets: &[u8], cut: u8, parsed: &Parsed) {
    let kinds = [io::ErrorKind::ConnectionRefused, io::ErrorKind::HostUnreachable];
    for (kind, cookies) in kinds.into_iter().zip([None, Some(Cookies::new([7; 16]))]) {
        let converter = Converter {
            servers: Nowhere(kind),
            cookies,
            allow: Vec::new(),
            itself: Itself { door: ([192, 0, 2, 1], 5_124).into(), own: Vec::new() },
            room: Arc::new(Semaphore::new(1)),
            patience: PATIENCE,
        };
        let told = |cut| {
            let mut near = Pieces::new(octets, cut);
            let led = done(converter.lead(&mut near, ([198, 51, 100, 1], 40_000).into()));
            assert!(led.is_err(), "no server is reached");
            one(&near.said, octets)
        };
        let code = told(cut);
        assert_eq!(code, told(0));
        let version = matches!(parsed, Err(Mistake::Version(_)));
        assert_eq!(code == Some(ErrorCode::UnsupportedVersion), version);
        if matches!(parsed, Ok(None) | Err(Mistake::Magic | Mistake::Length | Mistake::Reserved)) {
            assert_eq!(code, Some(ErrorCode::MalformedMessage));
        }
    }
}

/// The one TLV of the one message; the code, if it is an error. What is quoted was said.
fn one(said: &[u8], octets: &[u8]) -> Option<ErrorCode> {
    let Ok(Some((Message(mut all), length))) = Message::parse(said) else {
        panic!("no message: {said:?}")
    };
    assert_eq!((length, all.len()), (said.len(), 1));
    let Some(Tlv::Error(code, value)) = all.pop() else { return None };
    if matches!(code, ErrorCode::MalformedMessage | ErrorCode::UnsupportedMessage) {
        let quoted = value.get(1..).unwrap_or_default();
        let same = quoted.iter().zip(octets).take_while(|(a, b)| a == b).count();
        // what is beyond it fills the last word
        assert!(quoted[same..].iter().all(|octet| *octet == 0) && quoted.len() < same + MOST);
    }
    Some(code)
}

/// A message as a program would make it, written and read again.
fn drawn(u: &mut Unstructured<'_>) -> Result<()> {
    let mut all = Vec::new();
    for _ in 0..u.below(8)? {
        all.push(tlv(u)?);
    }
    let words: usize = 1 + all.iter().map(words).sum::<usize>();
    let message = Message(all);
    match message.encode() {
        Ok(octets) => {
            assert_eq!(octets.len(), words * 4);
            assert_eq!(Message::parse(&octets), Ok(Some((message, octets.len()))));
        }
        Err(_) => assert!(words > 255, "{words} words: {message:?}"),
    }
    Ok(())
}

/// The length of a TLV, which begins with type and length.
fn words(tlv: &Tlv) -> usize {
    let octets = match tlv {
        Tlv::Info => 4,
        Tlv::Connect(connect) => {
            20 + connect.options.iter().map(|option| 2 + option.value.len()).sum::<usize>()
        }
        Tlv::ExtendedTcpHeader(value) | Tlv::SupportedTcpExtensions(value) | Tlv::Cookie(value) => {
            4 + value.len()
        }
        Tlv::Error(_, value) => 3 + value.len(),
        Tlv::Unknown(_, value) => 2 + value.len(),
    };
    octets.div_ceil(4)
}

fn tlv(u: &mut Unstructured<'_>) -> Result<Tlv> {
    let kind = u.below(8)?;
    // `first` octets, and whole words
    let mut value = |first: usize| -> Result<Vec<u8>> {
        let mut octets = u.octets(253)?.to_vec();
        octets.resize(first + octets.len().saturating_sub(first).div_ceil(4) * 4, 0);
        Ok(octets)
    };
    Ok(match kind {
        0 => Tlv::Info,
        1 => Tlv::ExtendedTcpHeader(value(0)?),
        2 => Tlv::SupportedTcpExtensions(value(0)?.into_iter().filter(|k| *k != 0).collect()),
        3 => Tlv::Cookie(value(0)?),
        4 => {
            let value = value(1)?;
            let number: u8 = u.arbitrary()?;
            let known = ErrorCode::ALL.into_iter().find(|code| code.number() == number);
            Tlv::Error(known.unwrap_or(ErrorCode::Other(number)), value)
        }
        5 => {
            let value = value(2)?;
            let known = [0, 1, 10, 20, 21, 22, 30];
            let number: u8 = u.arbitrary()?;
            Tlv::Unknown(if known.contains(&number) { 200 } else { number }, value)
        }
        _ => Tlv::Connect(connect(u)?),
    })
}

fn connect(u: &mut Unstructured<'_>) -> Result<Connect> {
    let v6 = u.flag()?;
    let to = SocketAddr::new(address(u, v6)?.to_canonical(), u.arbitrary()?);
    let mut options = Vec::new();
    for _ in 0..u.below(4)? {
        let kind = u.arbitrary::<u8>()?.max(2);
        options.push(TcpOption { kind, value: u.octets(253)?.to_vec() });
    }
    Ok(Connect { to, options })
}
