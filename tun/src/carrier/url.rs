//! `socks5://user:pass@proxy:1080/server:9000`: a proxy as a person writes it.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// How to ask for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all: a port forward, or a proxy that leads to one server (haproxy, nginx).
    Tcp,
    /// SOCKS version 5 (RFC 1928), with a user name and a password where there are some (RFC 1929).
    Socks5,
    /// The method CONNECT of HTTP/1.1 (RFC 9110 9.3.6).
    Http,
}

impl Scheme {
    /// The word before `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Socks5 => "socks5",
            Self::Http => "http",
        }
    }
}

/// A host and a port, as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    /// 1 to 65 535.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) =
            text.rsplit_once(':').ok_or_else(|| format!("`{text}` has no port: HOST:PORT"))?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let good = match bare {
            Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
            None => {
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                !host.is_empty() && host.len() <= 255 && host.chars().all(fits)
            }
        };
        if !good {
            return Err(format!("`{host}` is neither a host name nor an address"));
        }
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| format!("`{text}` has no port from 1 to 65535"))?;
        Ok(Self { host: bare.unwrap_or(host).to_owned(), port })
    }
}

/// A proxy that ends TCP and leads to the server all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    /// What it speaks.
    pub scheme: Scheme,
    /// Where it is.
    pub proxy: HostPort,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// Where the server takes streams, where that is not the address the connection is for; never with
    /// [`Scheme::Tcp`], whose proxy knows.
    pub server: Option<HostPort>,
}

impl FromStr for ProxyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once("://").ok_or("it has no scheme, as `socks5://`")?;
        let all = [Scheme::Tcp, Scheme::Socks5, Scheme::Http];
        let scheme = all.into_iter().find(|scheme| scheme.as_str() == word);
        let scheme = scheme.ok_or_else(|| {
            format!("`{word}://` is unknown: there are tcp://, socks5:// and http://")
        })?;
        let (before, server) = match rest.split_once('/') {
            Some((before, "")) => (before, None),
            Some((before, server)) => (before, Some(server.parse()?)),
            None => (rest, None),
        };
        let (login, proxy) = match before.rsplit_once('@') {
            Some((login, proxy)) => (Some(login_of(login)?), proxy),
            None => (None, before),
        };
        if scheme == Scheme::Tcp && (login.is_some() || server.is_some()) {
            return Err("tcp:// is a plain stream: HOST:PORT and nothing else".to_owned());
        }
        Ok(Self { scheme, proxy: proxy.parse()?, login, server })
    }
}

fn login_of(text: &str) -> Result<(String, String), String> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        let word = decoded.map_err(|_| "the login is no UTF-8".to_owned())?.into_owned();
        if word.len() > 255 { Err("the login is too long".to_owned()) } else { Ok(word) }
    };
    let (user, password) = (decode(user)?, decode(password)?);
    if user.is_empty() { Err("the user name is empty".to_owned()) } else { Ok((user, password)) }
}

/// Without the password: it is shown to others.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        if let Some((user, _)) = &self.login {
            write!(f, "{user}@")?;
        }
        write!(f, "{}", self.proxy)?;
        self.server.as_ref().map_or(Ok(()), |server| write!(f, "/{server}"))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes() {
        let url: ProxyUrl = "socks5://me:p%40ss@proxy.example:1080/server:9000".parse().unwrap();
        assert_eq!(url.scheme, Scheme::Socks5);
        assert_eq!(url.proxy, HostPort { host: "proxy.example".into(), port: 1080 });
        assert_eq!(url.login, Some(("me".into(), "p@ss".into())));
        assert_eq!(url.server.as_ref().map(HostPort::to_string), Some("server:9000".into()));
        assert_eq!(url.to_string(), "socks5://me@proxy.example:1080/server:9000");
        for same in ["tcp://10.0.0.1:80", "http://[2001:db8::1]:3128", "socks5://u@h:1/[::1]:2"] {
            assert_eq!(same.parse::<ProxyUrl>().unwrap().to_string(), same);
        }
        assert_eq!("http://h:1/".parse::<ProxyUrl>().unwrap().to_string(), "http://h:1");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("10.0.0.1:80", "no scheme"),
            ("ftp://h:1", "`ftp://` is unknown"),
            ("socks5://h", "no port"),
            ("socks5://h:0", "1 to 65535"),
            ("socks5://h:99999", "1 to 65535"),
            ("socks5://:1080", "neither"),
            ("socks5://2001:db8::1:1080", "neither"),
            ("http://a b:1", "neither"),
            ("http://:p@h:1", "user name is empty"),
            ("http://h:1/server", "no port"),
            ("tcp://h:1/server:2", "nothing else"),
            ("tcp://u:p@h:1", "nothing else"),
        ] {
            let error = text.parse::<ProxyUrl>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
