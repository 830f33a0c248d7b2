//! Which name server a program finds, where that of the machine is on its loopback device.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The port of name servers.
pub(super) const DNS: u16 = 53;

/// What a program reads instead of the machine's `resolv.conf`, and the name server that stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// The text.
    pub text: String,
    /// The machine's own.
    pub server: SocketAddr,
}

/// What has to be put in the place of the machine's `resolv.conf`, if anything: a name server on the loopback device
/// becomes `near`. Without any, the one on the loopback device is meant (resolv.conf(5)).
#[must_use]
pub fn replace(resolv_conf: &str, near: IpAddr) -> Option<Resolver> {
    let words = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().as_deref() == Some("nameserver")).then(|| words.next()).flatten()
    };
    let servers = || resolv_conf.lines().filter_map(words).filter_map(|word| word.parse().ok());
    let local = servers().find(IpAddr::is_loopback);
    let server = match (local, servers().next()) {
        (Some(local), _) => local,
        (None, Some(_)) => return None,
        (None, None) => IpAddr::from([127, 0, 0, 1]),
    };
    let mut text = String::new();
    let mut named = false;
    for line in resolv_conf.lines() {
        let address = words(line).and_then(|word| word.parse::<IpAddr>().ok());
        match address {
            Some(address) if address.is_loopback() => {
                if !named {
                    // writing to a String cannot fail
                    let _ = writeln!(text, "nameserver {near}");
                }
                named = true;
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    if !named {
        let _ = writeln!(text, "nameserver {near}");
    }
    Some(Resolver { text, server: SocketAddr::new(server, DNS) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 18, 0, 1));

    #[test]
    fn a_name_server_elsewhere_stays() {
        assert_eq!(replace("search a.example\nnameserver 192.0.2.53\n", NEAR), None);
        assert_eq!(replace("nameserver 2001:db8::53", NEAR), None);
    }

    #[test]
    fn one_on_the_loopback_device_is_replaced() {
        let found =
            replace("# stub\nnameserver 127.0.0.53\noptions edns0 trust-ad\n", NEAR).unwrap();
        assert_eq!(found.text, "# stub\nnameserver 198.18.0.1\noptions edns0 trust-ad\n");
        assert_eq!(found.server, "127.0.0.53:53".parse().unwrap());
        // two of them are one; another one stays
        let text = "nameserver ::1\nnameserver 127.0.0.1\nnameserver 192.0.2.53\n";
        let found = replace(text, NEAR).unwrap();
        assert_eq!(found.text, "nameserver 198.18.0.1\nnameserver 192.0.2.53\n");
        assert_eq!(found.server, "[::1]:53".parse().unwrap());
    }

    #[test]
    fn none_means_the_loopback_device() {
        for text in ["", "search example.org\n", "nameserver\n", "nameserver bogus\n"] {
            let found = replace(text, NEAR).unwrap();
            assert!(found.text.ends_with("nameserver 198.18.0.1\n"), "{text:?}");
            assert_eq!(found.server, "127.0.0.1:53".parse().unwrap());
        }
    }
}
