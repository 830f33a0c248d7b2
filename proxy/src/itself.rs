//! A door that would lead to itself.

use std::net::{IpAddr, SocketAddr};

/// Where a front door is.
#[derive(Clone, Debug)]
pub struct Itself {
    /// What it listens on.
    pub door: SocketAddr,
    /// Addresses of this machine it can be reached by.
    pub own: Vec<IpAddr>,
}

impl Itself {
    /// A client led there comes in again by this door, and so on for ever.
    #[must_use]
    pub fn is(&self, to: SocketAddr) -> bool {
        let (door, ip) = (self.door.ip().to_canonical(), to.ip().to_canonical());
        let owned = |ip: IpAddr| self.own.contains(&ip);
        let all = door.is_unspecified();
        let same = ip == door || (owned(ip) && (all || owned(door))) || (all && ip.is_loopback());
        to.port() == self.door.port() && same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_door_itself() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let own = vec![[10, 0, 0, 1].into(), [10, 83, 0, 2].into()];
        let local = Itself { door: at("127.0.0.1:80"), own: own.clone() };
        assert!(local.is(at("127.0.0.1:80")) && local.is(at("[::ffff:127.0.0.1]:80")));
        assert!(!local.is(at("127.0.0.1:81")) && !local.is(at("10.0.0.1:80")));
        let all = Itself { door: at("0.0.0.0:80"), own: own.clone() };
        assert!(all.is(at("10.0.0.1:80")) && all.is(at("127.0.0.1:80")));
        assert!(!all.is(at("10.0.0.2:80")));
        // the interface's address and the engine's behind it are one door
        let one = Itself { door: at("10.83.0.2:80"), own };
        assert!(one.is(at("10.0.0.1:80")));
    }
}
