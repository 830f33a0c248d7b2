//! What is said before a connection is led on, at both sides: SOCKS5 as it is served, SOCKS5 and HTTP CONNECT as they are
//! asked for. Any octets, cut anywhere, beside a reading that knows nothing but lengths.

use crate::pieces::{Pieces, done};
use mpuser_proxy::greeting::Greeting;
use mpuser_proxy::socks5::hear;
use mpuser_tun::{HostPort, internals};
use std::time::Duration;

/// Nothing waits, so nobody is late.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Proxies as they are asked.
const URLS: [&str; 4] = ["socks5://h:1", "socks5://me:pwd@h:1", "http://h:1", "http://me:pwd@h:1"];

/// The first octet says who listens, the second how the rest is cut.
pub(crate) fn run(data: &[u8]) {
    let [who, cut, octets @ ..] = data else { return };
    match usize::from(*who) % (URLS.len() + 2) {
        0 => server(octets, *cut, &[]),
        1 => server(octets, *cut, &[("me".to_owned(), "pwd".to_owned())]),
        url => client(octets, *cut, URLS[url - 2]),
    }
}

/// What came of it, what was said, and what is left for the far end.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    outcome: Result<String, String>,
    said: Vec<u8>,
    rest: Vec<u8>,
}

fn server(octets: &[u8], cut: u8, users: &[(String, String)]) {
    let serve = |cut| {
        let mut near = Pieces::new(octets, cut);
        done(async {
            let mut greeting = Greeting::new(PATIENCE);
            let heard = hear(&mut near, &mut greeting, users).await;
            let outcome = heard.map(|request| format!("{request:?}"));
            let rest = [&greeting.rest(), near.rest()].concat();
            Heard { outcome: outcome.map_err(|why| format!("{why:?}")), said: near.said, rest }
        })
    };
    let heard = serve(cut);
    let whole = serve(0);
    assert_eq!((&heard.outcome, &heard.said), (&whole.outcome, &whole.said));
    // a method, a verdict, an answer
    assert!(heard.said.len() <= 2 + 2 + 10, "{heard:?}");
    if heard.outcome.is_ok() {
        assert_eq!(heard.rest, whole.rest);
        let length = conversation(octets, !users.is_empty());
        assert_eq!(length.and_then(|length| octets.get(length..)), Some(&heard.rest[..]));
    }
}

/// How long methods, credentials and request are.
fn conversation(octets: &[u8], login: bool) -> Option<usize> {
    let at = |place: usize| octets.get(place).map(|octet| usize::from(*octet));
    let mut length = 2 + at(1)?;
    if login {
        length += 2 + at(length + 1)?;
        length += 1 + at(length)?;
    }
    let host = match at(length + 3)? {
        1 => 4,
        3 => 1 + at(length + 4)?,
        4 => 16,
        _ => return None,
    };
    Some(length + 4 + host + 2)
}

fn client(octets: &[u8], cut: u8, url: &str) {
    let ask = |cut| {
        let Ok(url) = url.parse() else { panic!("a proxy") };
        let server = HostPort { host: "server.example".to_owned(), port: 9_000 };
        let near = Pieces::new(octets, cut);
        match done(internals::greet(url, server, near)) {
            Ok((near, rest)) => {
                let rest = [&rest, near.rest()].concat();
                Heard { outcome: Ok(String::new()), said: near.said, rest }
            }
            Err(why) => Heard { outcome: Err(why), said: Vec::new(), rest: Vec::new() },
        }
    };
    let heard = ask(cut);
    assert_eq!(heard, ask(0));
    assert!(octets.ends_with(&heard.rest) && heard.said.len() < 200);
}
