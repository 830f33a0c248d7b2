use super::*;
use crate::door::{Limits, serve};
use crate::testing::{ECHO, Said, echo, listener, until};
use mpuser_tun::Stack;
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

/// A proxy on the loopback in front of an echo that only MPTCP leads to.
struct Proxy {
    address: SocketAddr,
    said: Said,
    far: Stack,
}

async fn proxy(users: &[(&str, &str)]) -> Proxy {
    let (dialler, far) = echo().await;
    let entrance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = entrance.local_addr().unwrap();
    let users = users.iter().map(|(name, secret)| ((*name).to_owned(), (*secret).to_owned()));
    let own = vec![[10, 9, 0, 2].into(), [127, 0, 0, 1].into()];
    let guide = Socks5 {
        dialler,
        users: users.collect(),
        itself: Itself { door: SocketAddr::new([0; 4].into(), address.port()), own },
        patience: Duration::from_millis(300),
    };
    let (observer, said) = listener();
    let limits = Limits { clients: 10, idle: None };
    let never = std::future::pending();
    tokio::spawn(serve(entrance, Arc::new(guide), limits, Arc::default(), observer, never));
    Proxy { address, said, far }
}

impl Proxy {
    /// Says each piece after the answer to the one before has come, which it has to be.
    async fn talk(&self, pieces: &[(&[u8], &[u8])]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        for (say, hear) in pieces {
            stream.write_all(say).await.unwrap();
            let mut heard = vec![0; hear.len()];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, *hear, "to {say:?}");
        }
        stream
    }

    /// The answer to a request to an address, its first four bytes.
    async fn asked(&self, request: &[u8]) -> (TcpStream, [u8; 4]) {
        let mut stream = self.talk(&[(&[5, 1, 0], &[5, 0]), (request, &[])]).await;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        (stream, answer)
    }
}

/// Nothing but the end comes.
async fn ends(mut stream: TcpStream) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("closed in order, not reset");
}

fn to(ip: [u8; 4], port: u16) -> Vec<u8> {
    [&[5, 1, 0, 1][..], &ip, &port.to_be_bytes()].concat()
}

#[tokio::test]
async fn a_program_is_led_to_what_it_names() {
    let proxy = proxy(&[]).await;
    let names = [to([10, 9, 0, 1], 7), b"\x05\x01\x00\x03\x0810.9.0.1\x00\x07".to_vec()];
    for request in names {
        // and does not wait for the answer before it says the first word
        let (mut stream, answer) = proxy.asked(&[&request[..], b"early "].concat()).await;
        assert_eq!(answer, [5, 0, 0, 1]);
        let mut bound = [0; 6];
        stream.read_exact(&mut bound).await.unwrap();
        assert_eq!(bound[..4], [10, 9, 0, 2], "this end's address of the connection");
        stream.write_all(b"and late").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"early and late");
    }
    until(&proxy.said, &format!("ended {ECHO} Finished")).await;
    drop(proxy.far);
}

#[tokio::test]
async fn who_is_not_known_is_not_let_in() {
    let proxy = proxy(&[("me", "secret"), ("you", "too")]).await;
    let hello: (&[u8], &[u8]) = (&[5, 2, 0, 2], &[5, 2]);
    let good = proxy.talk(&[hello, (b"\x01\x03you\x03too", &[1, 0])]).await;
    drop(good);
    for bad in [&b"\x01\x02me\x03too"[..], b"\x01\x02me\x00", b"\x01\x00\x06secret"] {
        ends(proxy.talk(&[hello, (bad, &[1, 1])]).await).await;
    }
    ends(proxy.talk(&[(&[5, 1, 0], &[5, 0xff])]).await).await;
    until(&proxy.said, "refused a client was turned away: its user name or password").await;
    until(&proxy.said, "refused a client was turned away: it offers no user name").await;
}

#[tokio::test]
async fn each_failure_has_its_reply() {
    let proxy = proxy(&[]).await;
    let own = proxy.address.port();
    let name = |name: &str| {
        [b"\x05\x01\x00\x03", &[name.len() as u8][..], name.as_bytes(), &[0, 80]].concat()
    };
    for (request, reply, because) in [
        (to([10, 9, 0, 1], 8), 5, "refused"),
        (to([127, 0, 0, 1], 80), 2, "loopback"),
        (to([10, 9, 0, 2], own), 2, "this proxy itself"),
        (to([127, 0, 0, 1], own), 2, "this proxy itself"),
        (to([224, 0, 0, 1], 80), 2, "group"),
        (to([10, 9, 0, 1], 0), 2, "port 0"),
        (b"\x05\x02\x00\x01\x0a\x09\x00\x01\x00\x07".to_vec(), 7, "Bind"),
        (b"\x05\x03\x00\x01\x0a\x09\x00\x01\x00\x07".to_vec(), 7, "UdpAssociate"),
        (b"\x05\x09\x00\x01\x0a\x09\x00\x01\x00\x07".to_vec(), 7, "Unknown(9)"),
        (b"\x05\x01\x00\x02\x0a\x09\x00\x01\x00\x07".to_vec(), 8, "address type 2"),
        (name("no.such.name.invalid"), 4, ""),
        // no path of this family
        ([&[5, 1, 0, 4][..], &[0x20; 16], &[0, 80]].concat(), 3, "address"),
    ] {
        let (stream, answer) = proxy.asked(&request).await;
        assert_eq!(answer, [5, reply, 0, 1], "{request:?}");
        ends(stream).await;
        let mut said = proxy.said.lock().unwrap();
        let line = said.pop().expect("it is said before the end");
        assert!(line.contains(because), "{line}");
    }
}

/// Not SOCKS5, cut in the middle, or asleep: said, and gone within the time.
#[tokio::test]
async fn greetings_that_are_none() {
    let proxy = proxy(&[]).await;
    ends(proxy.talk(&[(b"GET / HTTP/1.1\r\n\r\n", &[])]).await).await;
    until(&proxy.said, "refused a client was not understood: the client seems to speak HTTP").await;
    ends(proxy.talk(&[(&[4, 1, 0, 80, 10, 9, 0, 1, 0], &[])]).await).await;
    until(&proxy.said, "refused a client was not understood: the client speaks SOCKS4").await;
    let mut cut = proxy.talk(&[(&[5, 1, 0], &[5, 0]), (&[5, 1, 0, 1, 10], &[])]).await;
    cut.shutdown().await.unwrap();
    ends(cut).await;
    until(&proxy.said, "refused a client was not understood: the client closed").await;
    let mut asleep = proxy.talk(&[(&[5], &[])]).await;
    assert!(asleep.read_u8().await.is_err());
    until(&proxy.said, "refused a client was not understood: the client did not finish").await;
}
