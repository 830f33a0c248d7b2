//! Where to: `host:port`, `[v6]:port`, `host port`.

use crate::error::{Code, Failure};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

const FORMS: &str = "write HOST:PORT, [IPV6]:PORT or HOST PORT, for example `192.168.56.101:7000`";

/// A peer as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name or literal address, without brackets.
    pub(crate) host: String,
    /// 1 to 65 535.
    pub(crate) port: u16,
}

/// Reads one or two words as a peer.
pub(crate) fn parse_target(words: &[String]) -> Result<Target, Failure> {
    let (host, port) = match words {
        [host, port] => (unbracket(host), port.as_str()),
        [word] => split_port(word)?,
        _ => return Err(bad(&words.join(" "), "one address is expected")),
    };
    let shown = words.join(" ");
    if host.is_empty() {
        return Err(bad(&shown, "it has no host"));
    }
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'))
    {
        return Err(bad(&shown, &format!("`{host}` is neither a host name nor an address")));
    }
    // four numbers that are no IPv4 address would otherwise be asked of the name server
    let numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if (numeric || host.contains(':')) && host.parse::<IpAddr>().is_err() {
        return Err(bad(&shown, &format!("`{host}` is no IP address")));
    }
    Ok(Target { host: host.to_owned(), port: parse_port(&shown, port)? })
}

/// Reads `HOST[:PORT]`; a bare host or address has this port.
pub(crate) fn parse_target_or(text: &str, port: u16) -> Result<Target, Failure> {
    let bare = text.parse().map_or_else(|_| !text.contains(':'), |_: IpAddr| true);
    let words = if bare { vec![text.to_owned(), port.to_string()] } else { vec![text.to_owned()] };
    parse_target(&words)
}

/// Reads `[ADDR:]PORT`; no address means every address.
pub(crate) fn parse_listen(word: &str) -> Result<(Option<IpAddr>, u16), Failure> {
    if word.parse::<u32>().is_ok() || !word.contains(':') {
        return Ok((None, parse_port(word, word)?));
    }
    let (host, port) = split_port(word)?;
    let port = parse_port(word, port)?;
    if host.is_empty() || host == "*" {
        return Ok((None, port));
    }
    match host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => Ok((None, port)),
        Ok(address) => Ok((Some(address), port)),
        Err(_) => Err(bad(word, &format!("`{host}` is no IP address"))),
    }
}

fn split_port(word: &str) -> Result<(&str, &str), Failure> {
    if let Some(rest) = word.strip_prefix('[') {
        let (host, tail) =
            rest.split_once(']').ok_or_else(|| bad(word, "the bracket is not closed"))?;
        let port = tail.strip_prefix(':').ok_or_else(|| bad(word, "it has no port"))?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(bad(word, &format!("`{host}` is no IPv6 address")));
        }
        return Ok((host, port));
    }
    let (host, port) = word.rsplit_once(':').ok_or_else(|| bad(word, "it has no port"))?;
    if host.contains(':') {
        return Err(bad(word, "an IPv6 address needs brackets before the port"));
    }
    Ok((host, port))
}

fn unbracket(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

fn parse_port(shown: &str, port: &str) -> Result<u16, Failure> {
    match port.parse::<u16>() {
        Ok(0) => Err(bad(shown, "port 0 cannot be used")),
        Ok(port) if !shown.is_empty() => Ok(port),
        _ => Err(bad(shown, &format!("`{port}` is no port; ports are 1 to 65535"))),
    }
}

fn bad(shown: &str, why: &str) -> Failure {
    Failure::usage(format!("`{shown}` is not an address"), why, FORMS)
}

/// The addresses of the peer. Names go to the system's resolver, which may block.
pub(crate) fn resolve(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return usable(address, target).map(|address| vec![address]);
    }
    let unknown = |why: String| {
        let help = "check the spelling, or give the IP address";
        Failure::new(Code::Unreachable, format!("cannot find the host {}", target.host), why, help)
    };
    let found = (target.host.as_str(), target.port).to_socket_addrs();
    let found: Vec<_> =
        found.map_err(|error| unknown(crate::error::plain_words(&error)))?.collect();
    if found.is_empty() { Err(unknown("the name has no address".to_owned())) } else { Ok(found) }
}

/// The first address of the peer.
pub(crate) fn resolve_first(target: &Target) -> Result<SocketAddr, Failure> {
    let first = resolve(target)?.into_iter().next();
    first.ok_or_else(|| Failure::internal("there is no address", "the name gave none"))
}

fn usable(address: IpAddr, target: &Target) -> Result<SocketAddr, Failure> {
    let why = match address {
        a if a.is_unspecified() => "the unspecified address names no host",
        a if a.is_multicast() => "TCP cannot be spoken to a group",
        IpAddr::V4(a) if a.is_broadcast() => "TCP cannot be spoken to a broadcast address",
        _ => return Ok(SocketAddr::new(address, target.port)),
    };
    Err(Failure::usage(format!("cannot connect to {address}"), why, FORMS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(words: &[&str]) -> Result<Target, Failure> {
        parse_target(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn targets() {
        for (words, host, port) in [
            (&["192.168.56.101:7000"][..], "192.168.56.101", 7000),
            (&["192.168.56.101", "7000"], "192.168.56.101", 7000),
            (&["[fd00::1]:80"], "fd00::1", 80),
            (&["fd00::1", "80"], "fd00::1", 80),
            (&["[fd00::1]", "80"], "fd00::1", 80),
            (&["host-a.example_b:65535"], "host-a.example_b", 65_535),
        ] {
            assert_eq!(target(words), Ok(Target { host: host.to_owned(), port }), "{words:?}");
        }
        for words in [
            &["192.168.56.101"][..],
            &["192.168.56.300:7000"],
            &["1.2.3:7000"],
            &["h:0"],
            &["h:65536"],
            &["h:"],
            &[":7000"],
            &["h:-1"],
            &["fd00::1:80"],
            &["[fd00::1"],
            &["[fd00::1]80"],
            &["[h]:80"],
            &["a b:80"],
            &["h", "http"],
            &["", ""],
            &["h/x:80"],
        ] {
            let failure = target(words).unwrap_err();
            assert_eq!(failure.code.exit(), 2, "{words:?}");
            assert!(!failure.because.is_empty());
        }
    }

    #[test]
    fn listen_addresses() {
        assert_eq!(parse_listen("7000"), Ok((None, 7000)));
        assert_eq!(parse_listen(":7000"), Ok((None, 7000)));
        assert_eq!(parse_listen("0.0.0.0:7000"), Ok((None, 7000)));
        assert_eq!(parse_listen("[::]:7000"), Ok((None, 7000)));
        assert_eq!(parse_listen("10.0.0.1:1"), Ok((Some([10, 0, 0, 1].into()), 1)));
        for word in ["", "0", "70000", "x:1", "10.0.0.1", "[::1:1", "10.0.0.1:"] {
            assert!(parse_listen(word).is_err(), "{word}");
        }
    }

    #[test]
    fn unusable_addresses_are_refused_before_any_packet() {
        for host in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
            let target = Target { host: host.to_owned(), port: 1 };
            assert_eq!(resolve(&target).unwrap_err().code, Code::Usage, "{host}");
        }
    }
}
