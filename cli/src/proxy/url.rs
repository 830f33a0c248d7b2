//! Where a front door listens, as the user writes it.

use crate::address;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A front door's address and what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// `mptcp://`: this process's own stack; no address is every address of it.
    Mptcp(Option<IpAddr>, u16),
    /// `socks5://`: a socket of the kernel's.
    Socks5(SocketAddr),
}

/// Reads `mptcp://[ADDR]:PORT` or `socks5://[ADDR]:PORT`.
pub(crate) fn parse_listen(text: &str) -> Result<Listen, String> {
    let forms = "write mptcp://[ADDR]:PORT or socks5://[ADDR]:PORT";
    let (scheme, rest) = text.split_once("://").ok_or(forms)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    match scheme {
        "mptcp" => {
            let (address, port) = address::parse_listen(rest).map_err(|bad| bad.because)?;
            Ok(Listen::Mptcp(address, port))
        }
        "socks5" => parse_local(rest).map(Listen::Socks5),
        other => Err(format!("{other}:// is not known here; {forms}")),
    }
}

/// Reads `[ADDR:]PORT`; without an address it is for this machine only.
pub(crate) fn parse_local(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix(':').unwrap_or(text);
    let address = match bare.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
        Err(_) => text.parse(),
    };
    match address {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err("write PORT, ADDR:PORT or [IPV6]:PORT; ports are 1 to 65535".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_as_they_are_written() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (text, listen) in [
            ("mptcp://:7000", Listen::Mptcp(None, 7000)),
            ("mptcp://0.0.0.0:7000/", Listen::Mptcp(None, 7000)),
            ("mptcp://10.0.0.1:80", Listen::Mptcp(Some([10, 0, 0, 1].into()), 80)),
            ("socks5://:1080", Listen::Socks5(at("127.0.0.1:1080"))),
            ("socks5://[::1]:1080", Listen::Socks5(at("[::1]:1080"))),
            ("socks5://0.0.0.0:1080", Listen::Socks5(at("0.0.0.0:1080"))),
        ] {
            assert_eq!(parse_listen(text), Ok(listen), "{text}");
        }
        for text in
            ["", "7000", "mptcp://", "mptcp://h:1", "http://:80", "socks5://x:1", "socks5://"]
        {
            assert!(parse_listen(text).is_err(), "{text}");
        }
        assert_eq!(parse_local("8080"), Ok(at("127.0.0.1:8080")));
        for text in ["0", "65536", "h:1", "1.2.3.4", ""] {
            assert!(parse_local(text).is_err(), "{text}");
        }
    }
}
