//! `--via`: forwarders that lead to the server, one subflow through each.

use crate::address::{self, Target};
use crate::error::Failure;
use mpuser_tun::{HostPort, ProxyUrl, StreamVia};
use std::net::SocketAddr;

/// One `--via`, as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// The server itself, without a forwarder.
    Direct,
    /// `HOST[:PORT]`; without a port, the server's.
    At(String),
    /// A proxy that ends TCP: the subflow is a stream through it.
    Stream(ProxyUrl),
}

/// Reads one; what the host is is found out later.
pub(crate) fn parse(text: &str) -> Result<Via, String> {
    match text {
        "" => Err("write HOST[:PORT], a URL, or `direct`".to_owned()),
        "direct" => Ok(Via::Direct),
        url if url.contains("://") => Ok(Via::Stream(url.parse()?)),
        host => Ok(Via::At(host.to_owned())),
    }
}

/// One way to the server, found out.
#[derive(Clone, Debug)]
pub(crate) enum Hop {
    /// Packets go to this address.
    Packets(SocketAddr),
    /// A stream goes through a proxy.
    Stream(StreamVia),
}

impl Hop {
    /// Where it goes first.
    pub(crate) const fn remote(&self) -> SocketAddr {
        match self {
            Self::Packets(remote) => *remote,
            Self::Stream(via) => via.proxy,
        }
    }
}

/// Packets are to leave this machine, so its addresses have to be known and paths made.
pub(crate) fn need_paths(vias: &[Via]) -> bool {
    vias.is_empty() || vias.iter().any(|via| !matches!(via, Via::Stream(_)))
}

/// Where the subflows go, in order, for `target` at the address `server`; each forwarder once.
pub(crate) fn resolve(
    vias: &[Via],
    target: &Target,
    server: Option<SocketAddr>,
) -> Result<Vec<Hop>, Failure> {
    let mut all: Vec<Hop> = Vec::new();
    for via in vias {
        let hop = match (via, server) {
            (Via::Direct, Some(server)) => Hop::Packets(server),
            (Via::Direct, None) => continue,
            (Via::At(text), _) => Hop::Packets(forwarder(text, target.port)?),
            (Via::Stream(url), _) => Hop::Stream(stream(url, target)?),
        };
        if all.iter().any(|known| known.remote() == hop.remote()) {
            return Err(Failure::usage(
                format!("{} is named twice", hop.remote()),
                "one subflow goes through each forwarder",
                "leave one --via out, or give it another port",
            ));
        }
        all.push(hop);
    }
    Ok(all)
}

/// The address of a proxy.
pub(crate) fn proxy_address(url: &ProxyUrl) -> Result<SocketAddr, Failure> {
    let HostPort { host, port } = url.proxy.clone();
    address::resolve_first(&Target { host, port })
}

fn stream(url: &ProxyUrl, target: &Target) -> Result<StreamVia, Failure> {
    let known = HostPort { host: target.host.clone(), port: target.port };
    let server = url.server.clone().unwrap_or(known);
    Ok(StreamVia { url: url.clone(), proxy: proxy_address(url)?, server, port: target.port })
}

fn forwarder(text: &str, port: u16) -> Result<SocketAddr, Failure> {
    address::resolve_first(&address::parse_target_or(text, port)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { host: "192.0.2.1".to_owned(), port: 7000 }
    }

    fn resolved(vias: &[Via]) -> Result<Vec<Hop>, Failure> {
        resolve(vias, &target(), Some("192.0.2.1:7000".parse().unwrap()))
    }

    #[test]
    fn ports_and_direct_come_from_the_server() {
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
        let found: Vec<_> = resolved(&vias).unwrap().iter().map(Hop::remote).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_proxy_leads_to_the_target_unless_it_says_where() {
        let all = ["tcp://10.0.0.1:80", "socks5://10.0.0.2:1080", "http://10.0.0.3:3128/b:9000"];
        let vias: Vec<Via> = all.iter().map(|text| parse(text).unwrap()).collect();
        assert!(!need_paths(&vias) && need_paths(&[]));
        let servers = resolved(&vias).unwrap().into_iter().map(|hop| match hop {
            Hop::Stream(via) => (via.server.to_string(), via.port),
            Hop::Packets(_) => (String::new(), 0),
        });
        let own = ("192.0.2.1:7000".to_owned(), 7000);
        let wanted = [own.clone(), own, ("b:9000".to_owned(), 7000)];
        assert_eq!(servers.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(parse("").is_err());
        assert!(parse("ftp://10.0.0.1:21").unwrap_err().contains("socks5://"));
        for bad in ["10.0.0.1:0", "10.0.0.1:99999", "10.0.0.300", ":7000"] {
            assert!(resolved(&[parse(bad).unwrap()]).is_err(), "{bad}");
        }
        let twice = [Via::Direct, Via::At("192.0.2.1".to_owned())];
        assert!(resolved(&twice).is_err());
    }
}
