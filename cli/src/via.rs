//! `--via`: forwarders that lead to the server, one subflow through each.

use crate::address;
use crate::error::Failure;
use std::net::SocketAddr;

/// One `--via`, as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// The server itself, without a forwarder.
    Direct,
    /// `HOST[:PORT]`; without a port, the server's.
    At(String),
}

/// Reads one; what the host is is found out later.
pub(crate) fn parse(text: &str) -> Result<Via, String> {
    if text.contains("://") {
        let scheme = text.split("://").next().unwrap_or_default();
        return Err(format!(
            "{scheme}:// would be a proxy that ends TCP, and its options with it; name one that forwards packets, HOST[:PORT]"
        ));
    }
    match text {
        "" => Err("write HOST[:PORT], or `direct`".to_owned()),
        "direct" => Ok(Via::Direct),
        host => Ok(Via::At(host.to_owned())),
    }
}

/// Where the subflows go, in order, for a server at `target`; each forwarder once.
pub(crate) fn resolve(vias: &[Via], target: &[SocketAddr]) -> Result<Vec<SocketAddr>, Failure> {
    let Some(server) = target.first() else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for via in vias {
        let remote = match via {
            Via::Direct => *server,
            Via::At(text) => forwarder(text, server.port())?,
        };
        if all.contains(&remote) {
            return Err(Failure::usage(
                format!("{remote} is named twice"),
                "one subflow goes through each forwarder",
                "leave one --via out, or give it another port",
            ));
        }
        all.push(remote);
    }
    Ok(all)
}

fn forwarder(text: &str, port: u16) -> Result<SocketAddr, Failure> {
    let bare = text.parse().map_or_else(|_| !text.contains(':'), |_: std::net::IpAddr| true);
    let words = if bare { vec![text.to_owned(), port.to_string()] } else { vec![text.to_owned()] };
    address::resolve_first(&address::parse_target(&words)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_direct_come_from_the_server() {
        let server: SocketAddr = "192.0.2.1:7000".parse().unwrap();
        let all = ["10.0.0.1", "10.0.0.2:8000", "direct", "2001:db8::1", "[2001:db8::2]:9000"];
        let vias: Vec<Via> = all.iter().map(|text| parse(text).unwrap()).collect();
        let wanted = [
            "10.0.0.1:7000",
            "10.0.0.2:8000",
            "192.0.2.1:7000",
            "[2001:db8::1]:7000",
            "[2001:db8::2]:9000",
        ];
        let wanted: Vec<SocketAddr> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(resolve(&vias, &[server]).unwrap(), wanted);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let server: SocketAddr = "192.0.2.1:7000".parse().unwrap();
        assert!(parse("").is_err());
        assert!(parse("socks5://10.0.0.1:1080").unwrap_err().contains("ends TCP"));
        for bad in ["10.0.0.1:0", "10.0.0.1:99999", "10.0.0.300", ":7000"] {
            assert!(resolve(&[parse(bad).unwrap()], &[server]).is_err(), "{bad}");
        }
        let twice = [Via::Direct, Via::At("192.0.2.1".to_owned())];
        assert!(resolve(&twice, &[server]).is_err());
    }
}
