//! MPTCP connections to anywhere, over all paths of this machine.

use mpuser_tun::net::{self, Egress};
use mpuser_tun::{ConnectOptions, MptcpStream, Stack};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::ToSocketAddrs;

/// How long one address may take to answer, unless said otherwise: three SYNs.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Opens connections of one stack to many destinations. Clones are the same one.
///
/// The first subflow leaves by the interface the routing table names for the destination, the others join from the
/// stack's other addresses.
#[derive(Clone, Debug)]
pub struct Dialler {
    stack: Stack,
    options: ConnectOptions,
    require_mptcp: bool,
}

impl Dialler {
    /// Connections of `stack` with its own settings.
    #[must_use]
    pub fn new(stack: Stack) -> Self {
        let options = ConnectOptions { timeout: Some(PATIENCE), ..ConnectOptions::default() };
        Self { stack, options, require_mptcp: false }
    }

    /// Gives each address of a destination this long to answer.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// Takes plain TCP for a failure.
    #[must_use]
    pub const fn require_mptcp(mut self, require: bool) -> Self {
        self.require_mptcp = require;
        self
    }

    /// The stack, for its counters and its settings.
    #[must_use]
    pub const fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Connects to the first address of `remote` that answers. A destination without MPTCP gets plain TCP, unless that
    /// is not wanted.
    ///
    /// # Errors
    /// That of the last address tried; [`io::ErrorKind::InvalidInput`] for one that cannot be reached through a TUN
    /// device: a loopback address, a group, nobody.
    pub async fn dial(&self, remote: impl ToSocketAddrs) -> io::Result<MptcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for remote in tokio::net::lookup_host(remote).await? {
            match self.dial_one(remote).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_one(&self, remote: SocketAddr) -> io::Result<MptcpStream> {
        if let Some(why) = unreachable(remote) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let local = self.local(remote.ip()).await;
        let options = ConnectOptions { local, ..self.options.clone() };
        let stream = self.stack.connect_with(remote, options).await?;
        if self.require_mptcp && !stream.is_mptcp() {
            stream.abort();
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the server speaks no MPTCP"));
        }
        Ok(stream)
    }

    /// The address to begin from; the stack's first one where the routing table names none.
    async fn local(&self, remote: IpAddr) -> Option<IpAddr> {
        let own: Vec<IpAddr> = self.stack.addresses().iter().map(|local| local.address).collect();
        let candidates: Vec<(IpAddr, String)> = own
            .into_iter()
            .filter(|address| address.is_ipv4() == remote.is_ipv4())
            .filter_map(|address| Some((address, self.stack.path_of(address)?.1)))
            .collect();
        if candidates.len() < 2 {
            return None;
        }
        // asks `ip`, which takes milliseconds
        let ways = tokio::task::spawn_blocking(move || net::discover(remote)).await.ok()?.ok()?;
        best(&ways, &candidates)
    }
}

/// Of addresses with the interfaces they leave by, the one by the best way there is one by.
fn best(ways: &[Egress], candidates: &[(IpAddr, String)]) -> Option<IpAddr> {
    let rank = |way: &&Egress| match way.reach {
        net::Reach::Connected => 0,
        net::Reach::Gateway => 1,
        net::Reach::Assumed => 2,
        // nothing leaves by any interface, so each is as good as the other
        net::Reach::Local => 3,
    };
    let by = |way: &Egress| candidates.iter().find(|(_, dev)| *dev == way.dev);
    let mut ways: Vec<&Egress> = ways.iter().collect();
    ways.sort_by_key(rank);
    ways.into_iter().find_map(by).map(|(address, _)| *address)
}

/// Why nobody can be reached there through a TUN device.
#[must_use]
pub fn unreachable(remote: SocketAddr) -> Option<&'static str> {
    match remote.ip().to_canonical() {
        _ if remote.port() == 0 => Some("port 0 cannot be used"),
        ip if ip.is_loopback() => {
            // the kernel drops packets to it on a TUN device, and it is somebody else's to begin with
            Some("a loopback address leads nowhere from here")
        }
        ip if ip.is_unspecified() => Some("the unspecified address names no host"),
        ip if ip.is_multicast() => Some("TCP cannot be spoken to a group"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("TCP cannot be spoken to a broadcast address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpuser_tun::net::Reach;

    fn way(dev: &str, reach: Reach) -> Egress {
        Egress {
            name: dev.into(),
            dev: dev.into(),
            local: [192, 0, 2, 1].into(),
            primary: true,
            gateway: None,
            reach,
            backup: false,
            mtu: 1_500,
        }
    }

    #[test]
    fn the_nearest_way_is_taken_first() {
        let address = |n: u8| IpAddr::from([10, 83, 0, n]);
        let candidates = [(address(2), "eth0".to_owned()), (address(6), "eth1".to_owned())];
        let both = [way("eth0", Reach::Gateway), way("eth1", Reach::Connected)];
        assert_eq!(best(&both, &candidates), Some(address(6)));
        let same = [way("eth0", Reach::Gateway), way("eth1", Reach::Gateway)];
        assert_eq!(best(&same, &candidates), Some(address(2)));
        // an interface without a path of the stack's
        assert_eq!(best(&[way("docker0", Reach::Connected)], &candidates), None);
    }

    #[test]
    fn nobody_is_dialled_where_nobody_can_be() {
        let no = ["127.0.0.1:1", "[::1]:1", "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1"];
        for text in no.into_iter().chain(["10.0.0.1:0", "[::ffff:127.0.0.1]:80"]) {
            assert!(unreachable(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in ["192.0.2.1:80", "[2001:db8::1]:80"] {
            assert!(unreachable(text.parse().unwrap()).is_none(), "{text}");
        }
    }
}
