//! A TUN device as one end of something that moves packets itself: perhaps in another namespace, up, with addresses.

use super::{ErrorKind, NetError, Netns, PRIVILEGE_HELP, Result, ip};
use crate::device::{Device as _, PlainTun};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What is to be made: `DEV[@NETNS][,ADDRESS/LENGTH]...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunEnd {
    /// The interface's name.
    pub dev: String,
    /// The named namespace it goes into; `None` is the calling thread's.
    pub netns: Option<String>,
    /// Its addresses, each with the length of its network's prefix.
    pub addresses: Vec<(IpAddr, u8)>,
}

fn usage(text: &str, because: impl Into<String>) -> NetError {
    NetError::new(
        ErrorKind::Usage,
        format!("{text:?} is no end of a link"),
        because,
        "write DEV[@NETNS][,ADDRESS/LENGTH]..., for example wan0@client,10.7.0.1/24",
    )
}

impl FromStr for TunEnd {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        let (dev, netns) = match first.split_once('@') {
            Some((dev, netns)) => (dev, Some(netns.to_owned())),
            None => (first, None),
        };
        if dev.is_empty() || netns.as_ref().is_some_and(String::is_empty) {
            return Err(usage(text, "the device or the namespace has no name"));
        }
        let addresses: Result<Vec<_>> = parts
            .map(|part| {
                let parsed = part.split_once('/').and_then(|(address, len)| {
                    let (address, len) = (address.parse::<IpAddr>().ok()?, len.parse().ok()?);
                    let max = if address.is_ipv4() { 32 } else { 128 };
                    (len <= max).then_some((address, len))
                });
                parsed.ok_or_else(|| usage(text, format!("{part:?} is no address with a length")))
            })
            .collect();
        Ok(Self { dev: dev.to_owned(), netns, addresses: addresses? })
    }
}

/// The text it is read from.
impl fmt::Display for TunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.dev)?;
        if let Some(netns) = &self.netns {
            write!(f, "@{netns}")?;
        }
        self.addresses.iter().try_for_each(|(address, len)| write!(f, ",{address}/{len}"))
    }
}

impl TunEnd {
    /// Makes the device, or attaches to a persistent one, gives it its addresses and brings it up. It goes with what
    /// is returned, unless it is persistent.
    ///
    /// # Errors
    /// The namespace is unknown, a privilege is missing, or the kernel refuses.
    pub fn open(&self, mtu: Option<u16>) -> Result<PlainTun> {
        match &self.netns {
            Some(name) => Netns::named(name)?.run(|| self.open_here(mtu))?,
            None => self.open_here(mtu),
        }
    }

    fn open_here(&self, mtu: Option<u16>) -> Result<PlainTun> {
        let device = PlainTun::open(&self.dev).map_err(|error| {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let kind = if denied { ErrorKind::Permission } else { ErrorKind::Command };
            let what = format!("cannot make the device {}", self.dev);
            NetError::new(kind, what, error.to_string(), PRIVILEGE_HELP)
        })?;
        let dev = device.name();
        for (address, len) in &self.addresses {
            let mut words =
                vec!["address".to_owned(), "replace".into(), format!("{address}/{len}")];
            words.extend(["dev".into(), dev.to_owned()]);
            if address.is_ipv6() {
                // nobody else is on this link who could have the address
                words.push("nodad".into());
            }
            ip(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        if let Some(mtu) = mtu {
            ip(&["link", "set", dev, "mtu", &mtu.to_string()])?;
        }
        ip(&["link", "set", dev, "up"])?;
        // looked up while this thread is in the device's namespace
        let _ = device.mtu();
        Ok(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_and_shown() {
        for text in ["wan0", "wan0@client", "wan0@client,10.7.0.1/24,2001:db8::1/64"] {
            assert_eq!(text.parse::<TunEnd>().unwrap().to_string(), text);
        }
        for text in ["", "@x", "wan0@", "wan0,10.7.0.1", "wan0,10.7.0.1/33", "wan0,x/24"] {
            assert_eq!(text.parse::<TunEnd>().unwrap_err().kind, ErrorKind::Usage, "{text}");
        }
    }
}
