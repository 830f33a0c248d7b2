//! A converter, its clients by MPTCP through memory, its servers on the loopback under other addresses.

use super::super::client::{Refused, answer, ask};
use super::super::wire::TcpOption;
use super::*;
use crate::door::{Limits, serve};
use crate::testing::{Said, listener, stacks, until};
use mpuser_tun::{MptcpListener, MptcpStream, Stack};
use std::collections::BTreeSet;
use std::net::IpAddr;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

const AT: &str = "10.9.0.1:5124";

/// Servers by their last octet.
struct Servers {
    echo: SocketAddr,
}

impl Dial for Servers {
    async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let IpAddr::V4(ip) = to.ip() else { return Err(io::ErrorKind::NetworkUnreachable.into()) };
        match ip.octets()[3] {
            1 => TcpStream::connect(self.echo).await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            3 => Err(io::ErrorKind::HostUnreachable.into()),
            4 => Err(io::ErrorKind::TimedOut.into()),
            _ => Err(io::ErrorKind::NetworkUnreachable.into()),
        }
    }
}

struct Lab {
    client: Stack,
    said: Said,
    _far: Stack,
}

/// With room for two connections.
async fn converter(cookies: Option<Cookies>) -> Lab {
    let (client, far) = stacks();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let echo = server.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            tokio::spawn(async move {
                let (mut hear, mut say) = stream.split();
                tokio::io::copy(&mut hear, &mut say).await?;
                say.shutdown().await
            });
        }
    });
    let door: SocketAddr = AT.parse().unwrap();
    let guide = Converter {
        servers: Servers { echo },
        cookies,
        allow: vec!["192.0.2.0/24".parse().unwrap(), "10.9.0.0/16".parse().unwrap()],
        itself: Itself { door, own: vec![door.ip()] },
        room: Arc::new(Semaphore::new(2)),
        patience: Duration::from_millis(300),
    };
    let entrance = MptcpListener::bind(&far, door).await.unwrap();
    let (observer, said) = listener();
    let limits = Limits { clients: 10, idle: None };
    let never = std::future::pending();
    tokio::spawn(serve(entrance, Arc::new(guide), limits, Arc::default(), observer, never));
    Lab { client, said, _far: far }
}

impl Lab {
    /// Says this, and reads the answer.
    async fn say(&self, bytes: &[u8]) -> (MptcpStream, Result<Vec<u8>, Refused>) {
        let mut stream = self.client.connect(AT).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let outcome = answer(&mut stream, Duration::from_secs(5)).await;
        (stream, outcome)
    }

    /// Says this, and is told no; the connection then ends in order.
    async fn denied(&self, bytes: &[u8]) -> (ErrorCode, Vec<u8>) {
        let (mut stream, outcome) = self.say(bytes).await;
        let Err(Refused::Told(code, value)) = outcome else { panic!("{outcome:?}") };
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("closed in order");
        assert_eq!(rest, b"");
        (code, value)
    }
}

fn to(address: &str) -> Vec<u8> {
    ask(address.parse().unwrap(), None).unwrap()
}

#[tokio::test]
async fn a_client_is_led_on_and_its_first_words_are_heard() {
    let lab = converter(None).await;
    let (mut stream, outcome) = lab.say(&[&to("192.0.2.1:80")[..], b"early "].concat()).await;
    assert_eq!(outcome.unwrap(), b"");
    stream.write_all(b"and late").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"early and late");
    until(&lab.said, "ended 192.0.2.1:80 Finished").await;
}

/// RFC 8803 6.2.8: every code there is, from a converter and over MPTCP, with the value the RFC asks for.
#[tokio::test]
async fn every_error_code() {
    let lab = converter(None).await;
    let mut seen = BTreeSet::new();
    let quoted = |bytes: &[u8]| [&[0], bytes].concat();
    let message = |tlv| Message(vec![tlv]).encode().unwrap();
    let option = TcpOption { kind: 30, value: vec![] };
    let wish = Connect { to: "192.0.2.1:80".parse().unwrap(), options: vec![option] };
    let (second, garbage) = (vec![2, 1, 0x22, 0x63], b"GET / HTTP/1.1\r\n\r\n".to_vec());
    let (loopback, strange) = (to("127.0.0.1:80"), message(Tlv::Unknown(77, vec![0, 0])));
    for (said, code, value) in [
        (second, ErrorCode::UnsupportedVersion, vec![1]),
        (garbage.clone(), ErrorCode::MalformedMessage, quoted(&garbage)),
        (loopback.clone(), ErrorCode::MalformedMessage, quoted(&loopback)),
        (strange.clone(), ErrorCode::UnsupportedMessage, quoted(&strange)),
        (to("198.51.100.1:80"), ErrorCode::NotAuthorized, vec![0]),
        (to(AT), ErrorCode::NotAuthorized, vec![0]),
        (message(Tlv::Connect(wish)), ErrorCode::UnsupportedTcpOption, vec![30]),
        (to("192.0.2.4:80"), ErrorCode::NetworkFailure, vec![0]),
        (to("192.0.2.2:80"), ErrorCode::ConnectionReset, vec![0]),
        (to("192.0.2.3:80"), ErrorCode::DestinationUnreachable, vec![1]),
        (to("192.0.2.9:80"), ErrorCode::DestinationUnreachable, vec![0]),
    ] {
        let (told, with) = lab.denied(&said).await;
        assert_eq!(told, code, "to {said:?}");
        assert_eq!(with[..value.len()], value, "to {said:?}");
        assert!(with[value.len()..].iter().all(|byte| *byte == 0), "padding: {with:?}");
        seen.insert(told.number());
    }
    // two are led on, the third is told that there is no room, and there is again when one has gone
    let first = lab.say(&to("192.0.2.1:80")).await;
    let second = lab.say(&to("192.0.2.1:80")).await;
    assert!(first.1.is_ok() && second.1.is_ok());
    seen.insert(lab.denied(&to("192.0.2.1:80")).await.0.number());
    drop(first);
    until(&lab.said, "ended").await;
    assert!(lab.say(&to("192.0.2.1:80")).await.1.is_ok());
    let lab = converter(Some(Cookies::new([9; 16]))).await;
    seen.insert(lab.denied(&to("192.0.2.1:80")).await.0.number());
    let all: BTreeSet<u8> = ErrorCode::ALL.into_iter().map(ErrorCode::number).collect();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn a_cookie_is_given_and_wanted() {
    let lab = converter(Some(Cookies::new([9; 16]))).await;
    let (_, outcome) = lab.say(&to("192.0.2.1:80")).await;
    let refused = outcome.unwrap_err();
    let cookie = refused.cookie().expect("a cookie");
    let again = ask("192.0.2.1:80".parse().unwrap(), Some(cookie)).unwrap();
    assert!(lab.say(&again).await.1.is_ok());
    let wrong = ask("192.0.2.1:80".parse().unwrap(), Some(&[0; 16])).unwrap();
    assert_eq!(lab.denied(&wrong).await.0, ErrorCode::NotAuthorized);
    until(&lab.said, "refused a client was told Not Authorized (32): its cookie").await;
}

/// RFC 8803 6.2.3: who asks what is supported is told, and nothing else happens.
#[tokio::test]
async fn what_is_supported_is_said() {
    let lab = converter(None).await;
    let mut stream = lab.client.connect(AT).await.unwrap();
    stream.write_all(&Message(vec![Tlv::Info]).encode().unwrap()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    let (message, length) = Message::parse(&heard).unwrap().unwrap();
    assert_eq!(message.0, [Tlv::SupportedTcpExtensions(vec![30])]);
    assert_eq!(length, heard.len());
}

/// A message that never comes to its end, by a client that leaves, and by one that waits: both are told.
#[tokio::test]
async fn messages_cut_short() {
    let lab = converter(None).await;
    let whole = to("192.0.2.1:80");
    for cut in [1, 4, 11, whole.len() - 1] {
        for leaves in [true, false] {
            let mut stream = lab.client.connect(AT).await.unwrap();
            stream.write_all(&whole[..cut]).await.unwrap();
            if leaves {
                stream.shutdown().await.unwrap();
            }
            let outcome = answer(&mut stream, Duration::from_secs(5)).await;
            let Err(Refused::Told(code, value)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(code, ErrorCode::MalformedMessage);
            assert_eq!(value[1..=cut], whole[..cut]);
        }
    }
    until(&lab.said, "refused a client was told Malformed Message (1): the client closed").await;
    until(&lab.said, "refused a client was told Malformed Message (1): the client did not").await;
}
