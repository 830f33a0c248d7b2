//! Which sockets `mpuser ss` shows: a conjunction in the words of `ss`.

use crate::error::Failure;
use mpuser_tun::control::SocketReport;
use mpuser_tun::net::Prefix;
use std::net::{IpAddr, SocketAddr};

/// One condition.
#[derive(Clone, Debug, PartialEq)]
enum Condition {
    State(String),
    Connected,
    Listening,
    Token(String),
    /// Local (`true`) or remote end.
    End(bool, Option<Prefix>, Option<u16>),
}

/// All of them have to hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter(Vec<Condition>);

impl Filter {
    /// Understands the words; without a state in them, listeners are left out unless the flags ask for them.
    pub(super) fn parse(words: &[String], listening: bool, all: bool) -> Result<Self, Failure> {
        let (mut conditions, mut state_given) = (Vec::new(), false);
        let mut words = words.iter().flat_map(|word| word.split_whitespace());
        while let Some(word) = words.next() {
            let mut argument = || {
                let next = words.next().filter(|next| !matches!(*next, "=" | "==" | "eq"));
                next.or_else(|| words.next()).ok_or_else(|| bad(word, "something has to follow it"))
            };
            match word {
                "and" | "&&" => {}
                "state" => {
                    state_given = true;
                    conditions.extend(state(argument()?)?);
                }
                "token" => {
                    let token = argument()?.trim_start_matches("0x").to_lowercase();
                    u32::from_str_radix(&token, 16)
                        .map_err(|_| bad(&token, "a token has up to 8 hexadecimal digits"))?;
                    let token = token.trim_start_matches('0').to_owned();
                    conditions.push(Condition::Token(token));
                }
                "src" => conditions.push(end(true, argument()?)?),
                "dst" => conditions.push(end(false, argument()?)?),
                "sport" => conditions.push(Condition::End(true, None, Some(port(argument()?)?))),
                "dport" => conditions.push(Condition::End(false, None, Some(port(argument()?)?))),
                _ => return Err(bad(word, "it is none of state, src, dst, sport, dport, token")),
            }
        }
        if listening {
            conditions.push(Condition::Listening);
        } else if !all && !state_given {
            conditions.push(Condition::Connected);
        }
        Ok(Self(conditions))
    }

    /// The socket is to be shown.
    pub(super) fn wants(&self, socket: &SocketReport) -> bool {
        let listens = socket.state == "LISTEN";
        let end_fits = |end: Option<SocketAddr>, prefix: &Option<Prefix>, port: &Option<u16>| {
            end.is_some_and(|end| {
                prefix.is_none_or(|prefix| prefix.contains(end.ip()))
                    && port.is_none_or(|port| port == end.port())
            })
        };
        self.0.iter().all(|condition| match condition {
            Condition::State(state) => socket.state.eq_ignore_ascii_case(state),
            Condition::Connected => !listens,
            Condition::Listening => listens,
            Condition::Token(token) => !token.is_empty() && socket.token == *token,
            Condition::End(local, prefix, port) => {
                // any subflow's end will do: the first one may be gone
                let of = |ends: (SocketAddr, SocketAddr)| if *local { ends.0 } else { ends.1 };
                let own = if *local { socket.local } else { socket.remote };
                let mut subflows = socket.subflow.iter().map(|s| of((s.local, s.remote)));
                end_fits(own, prefix, port) || subflows.any(|end| end_fits(Some(end), prefix, port))
            }
        })
    }
}

fn bad(word: &str, because: &str) -> Failure {
    Failure::usage(
        format!("the filter does not understand {word:?}"),
        because,
        "write it like `state established dst 192.0.2.1:7000`; more with --help",
    )
}

/// The words of `ss`, and what `mpuser ss` prints itself.
fn state(word: &str) -> Result<Option<Condition>, Failure> {
    const STATES: [&str; 11] = [
        "ESTAB",
        "SYN-SENT",
        "SYN-RECV",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "CLOSED",
        "CLOSE-WAIT",
        "LAST-ACK",
        "CLOSING",
        "LISTEN",
    ];
    let upper = word.to_ascii_uppercase();
    Ok(Some(match upper.as_str() {
        "ALL" => return Ok(None),
        "CONNECTED" => Condition::Connected,
        "LISTENING" => Condition::Listening,
        "ESTABLISHED" => Condition::State("ESTAB".to_owned()),
        known if STATES.contains(&known) => Condition::State(upper),
        _ => return Err(bad(word, "it is no state of a connection")),
    }))
}

fn port(word: &str) -> Result<u16, Failure> {
    let number = word.trim_start_matches(':');
    number.parse().map_err(|_| bad(word, "a port is written `:7000`"))
}

/// `ADDR`, `ADDR/LEN`, `ADDR:PORT`, `[V6]:PORT`, `:PORT`.
fn end(local: bool, word: &str) -> Result<Condition, Failure> {
    let of = |prefix, port| Condition::End(local, prefix, port);
    if word.starts_with(':') && !word.starts_with("::") {
        return Ok(of(None, Some(port(word)?)));
    }
    if let Ok(address) = word.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(of(Some(Prefix::host(address)), None));
    }
    if let Ok(both) = word.parse::<SocketAddr>() {
        return Ok(of(Some(Prefix::host(both.ip())), Some(both.port())));
    }
    let (prefix, number) = match word.rsplit_once(':') {
        Some((prefix, number)) if !prefix.contains(':') => (prefix, Some(port(number)?)),
        _ => (word, None),
    };
    let parsed: Prefix = prefix.parse().map_err(|_| bad(word, "it is no address"))?;
    Ok(of(Some(parsed), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Result<Filter, Failure> {
        Filter::parse(&[text.to_owned()], false, false)
    }

    fn socket() -> SocketReport {
        SocketReport {
            state: "ESTAB".to_owned(),
            local: "10.0.0.1:40000".parse().ok(),
            remote: "192.0.2.1:7000".parse().ok(),
            token: "e4f8bc6a".to_owned(),
            ..SocketReport::default()
        }
    }

    #[test]
    fn each_condition_selects() {
        for (text, wanted) in [
            ("", true),
            ("state established", true),
            ("state all", true),
            ("state listening", false),
            ("state FIN-WAIT-1", false),
            ("dst 192.0.2.1", true),
            ("dst 192.0.2.0/24", true),
            ("dst 192.0.2.1:7000", true),
            ("dst 192.0.2.0/24:7001", false),
            ("dst :7000 and src 10.0.0.1", true),
            ("dport = :7000", true),
            ("sport :7000", false),
            ("src [fd00::1]:7000", false),
            ("token 0xE4F8BC6A", true),
            ("token 1", false),
        ] {
            assert_eq!(filter(text).unwrap().wants(&socket()), wanted, "{text}");
        }
        let listener = SocketReport { state: "LISTEN".to_owned(), ..SocketReport::default() };
        assert!(!filter("").unwrap().wants(&listener));
        assert!(Filter::parse(&[], true, false).unwrap().wants(&listener));
        assert!(!Filter::parse(&[], true, false).unwrap().wants(&socket()));
        assert!(Filter::parse(&[], false, true).unwrap().wants(&listener));
    }

    #[test]
    fn mistakes_are_named() {
        for text in
            ["stat established", "state", "state nowhere", "dst", "dst host", "dport :x", "token z"]
        {
            assert_eq!(filter(text).unwrap_err().code.exit(), 2, "{text}");
        }
    }
}
