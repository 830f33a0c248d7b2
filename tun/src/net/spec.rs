//! What a person writes after `--path`.

use std::net::IpAddr;
use std::str::FromStr;

use super::error::{ErrorKind, NetError, Result};

/// One `--path`: `[NAME=]DEV[,local=ADDR][,gw=ADDR][,backup]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSpec {
    /// The name the path has in every output; the interface's if none was given.
    pub name: String,
    /// The interface the path leaves by.
    pub dev: String,
    /// The source address to leave with, when the interface has several.
    pub local: Option<IpAddr>,
    /// The gateway, when the routing table does not know it.
    pub gateway: Option<IpAddr>,
    /// Whether the subflow is a backup (the B bit, RFC 8684 3.2).
    pub backup: bool,
}

const FORM: &str =
    "write it like `wifi=wlan0,local=192.0.2.7,gw=192.0.2.1,backup`, or just `wlan0`";

/// The longest name of an interface the kernel takes (IFNAMSIZ less the final zero).
const MAX_DEV: usize = 15;

fn usage(spec: &str, because: impl Into<String>) -> NetError {
    NetError::new(ErrorKind::Usage, format!("cannot use the path {spec:?}"), because, FORM)
}

fn check_dev(spec: &str, dev: &str) -> Result<()> {
    let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control() || c == '"';
    if dev.is_empty() {
        return Err(usage(spec, "the name of the interface is missing"));
    }
    if dev.len() > MAX_DEV || dev.chars().any(bad) || dev == "." || dev == ".." {
        return Err(usage(spec, format!("{dev:?} cannot be the name of an interface")));
    }
    Ok(())
}

fn parse_address(spec: &str, key: &str, value: &str) -> Result<IpAddr> {
    value.parse().map_err(|_| usage(spec, format!("{key}={value:?} is not an IP address")))
}

impl FromStr for PathSpec {
    type Err = NetError;

    fn from_str(spec: &str) -> Result<Self> {
        let mut fields = spec.split(',');
        let first = fields.next().unwrap_or_default();
        let (name, dev) = first.split_once('=').unwrap_or((first, first));
        check_dev(spec, dev)?;
        if name.is_empty() {
            return Err(usage(spec, "the name before `=` is empty"));
        }
        let mut path = Self {
            name: name.to_owned(),
            dev: dev.to_owned(),
            local: None,
            gateway: None,
            backup: false,
        };
        for field in fields {
            let twice = || usage(spec, format!("{field:?} is there a second time"));
            match field.split_once('=') {
                Some((key @ "local", v)) => {
                    let old = path.local.replace(parse_address(spec, key, v)?);
                    old.map_or(Ok(()), |_| Err(twice()))?;
                }
                Some((key @ ("gw" | "gateway"), v)) => {
                    let old = path.gateway.replace(parse_address(spec, key, v)?);
                    old.map_or(Ok(()), |_| Err(twice()))?;
                }
                None if field == "backup" => path.backup = true,
                _ => {
                    return Err(usage(spec, format!("{field:?} is none of local=, gw=, backup")));
                }
            }
        }
        if let (Some(l), Some(g)) = (path.local, path.gateway)
            && l.is_ipv4() != g.is_ipv4()
        {
            return Err(usage(spec, format!("{l} and {g} are of different families")));
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_specs() {
        let p: PathSpec = "wifi=wlan0,local=192.0.2.7,gw=192.0.2.1,backup".parse().unwrap();
        assert_eq!((p.name.as_str(), p.dev.as_str(), p.backup), ("wifi", "wlan0", true));
        assert_eq!(p.local, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(p.gateway, Some("192.0.2.1".parse().unwrap()));
        let p: PathSpec = "eth1".parse().unwrap();
        assert_eq!((p.name.as_str(), p.dev.as_str(), p.backup), ("eth1", "eth1", false));
    }

    #[test]
    fn bad_specs_say_why() {
        for (spec, why) in [
            ("", "missing"),
            ("wifi=", "missing"),
            ("=eth0", "empty"),
            ("eth0,", "none of"),
            ("eth0,lokal=1.2.3.4", "none of"),
            ("eth0,local=1.2.3", "not an IP address"),
            ("eth0,local=1.2.3.4,local=1.2.3.4", "second time"),
            ("eth0,local=1.2.3.4,gw=fd00::1", "families"),
            ("eth0 up", "cannot be the name"),
            ("averyveryverylongname", "cannot be the name"),
            ("../eth0", "cannot be the name"),
        ] {
            let e = spec.parse::<PathSpec>().unwrap_err();
            assert_eq!(e.kind, ErrorKind::Usage);
            assert!(e.because.contains(why), "{spec}: {e}");
        }
    }
}
