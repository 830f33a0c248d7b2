//! Cookies: what a client has to show so that it is known to be where its packets say it is (RFC 8803 section 6.2.7).

use siphasher::sip128::{Hasher128 as _, SipHasher24};
use std::hash::Hasher as _;
use std::net::IpAddr;
use subtle::ConstantTimeEq as _;

/// Makes cookies from addresses and a secret; nothing is kept of any client.
pub struct Cookies {
    secret: [u8; 16],
}

impl Cookies {
    /// With a secret of this process's own. Cookies of another process are worth nothing here.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    /// The cookie of clients at an address.
    #[must_use]
    pub fn of(&self, client: IpAddr) -> Vec<u8> {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        match client.to_canonical() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.finish128().as_bytes().to_vec()
    }

    /// Whether a client at an address was given this one.
    #[must_use]
    pub fn is_good(&self, client: IpAddr, cookie: &[u8]) -> bool {
        self.of(client).ct_eq(cookie).into()
    }
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the secret is nobody's business
        f.write_str("Cookies")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_one_address_and_one_secret() {
        let (one, other) = (Cookies::new([1; 16]), Cookies::new([2; 16]));
        let client: IpAddr = [192, 0, 2, 1].into();
        let cookie = one.of(client);
        assert_eq!(cookie.len(), 16);
        assert!(
            one.is_good(client, &cookie)
                && one.is_good("::ffff:192.0.2.1".parse().unwrap(), &cookie)
        );
        assert!(!one.is_good([192, 0, 2, 2].into(), &cookie) && !other.is_good(client, &cookie));
        assert!(!one.is_good(client, &cookie[..15]) && !one.is_good(client, &[]));
        assert!(!format!("{one:?}").contains('1'));
    }
}
