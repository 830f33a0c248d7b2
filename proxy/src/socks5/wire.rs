//! Messages of SOCKS5 as bytes. Parsers say `None` when more bytes are needed; none takes more than 513.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const VERSION: u8 = 5;
/// Of the sub-negotiation of RFC 1929.
const USER_VERSION: u8 = 1;

/// A message, and how many bytes it takes; `None` if there is more to come.
type Parsed<T> = Result<Option<(T, usize)>, Mistake>;

/// What a message is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The first byte names another version or protocol.
    #[error("{}", version_words(*.0))]
    Version(u8),
    /// The user name comes in another form than that of RFC 1929.
    #[error("version {0} of user name and password is not known")]
    UserVersion(u8),
    /// A destination that is neither an address nor a name.
    #[error("address type {0} is neither IPv4, IPv6 nor a name")]
    AddressType(u8),
    /// A name that is no text, or none.
    #[error("the name of the destination cannot be read")]
    Name,
}

fn version_words(version: u8) -> String {
    match version {
        4 => "the client speaks SOCKS4, and this is SOCKS5".to_owned(),
        b'A'..=b'Z' => "the client seems to speak HTTP, and this is SOCKS5".to_owned(),
        22 => "the client seems to speak TLS, and this is SOCKS5".to_owned(),
        other => format!("the first byte is {other}, and SOCKS5 begins with 5"),
    }
}

/// Ways for clients to show who they are (RFC 1928 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    None = 0,
    /// User name and password (RFC 1929).
    Password = 2,
    /// Nothing the client offered.
    Unacceptable = 0xff,
}

/// The client's first message: whether it offers `wanted`.
pub(super) fn offers(bytes: &[u8], wanted: Method) -> Parsed<bool> {
    let Some((&version, rest)) = bytes.split_first() else { return Ok(None) };
    if version != VERSION {
        return Err(Mistake::Version(version));
    }
    let Some((methods, length)) = counted(rest) else { return Ok(None) };
    Ok(Some((methods.contains(&(wanted as u8)), 1 + length)))
}

/// The answer to it.
pub(super) const fn choose(method: Method) -> [u8; 2] {
    [VERSION, method as u8]
}

/// User name and password as the client gave them.
pub(super) type Credentials = (Vec<u8>, Vec<u8>);

/// User name and password (RFC 1929 section 2).
pub(super) fn credentials(bytes: &[u8]) -> Parsed<Credentials> {
    let Some((&version, rest)) = bytes.split_first() else { return Ok(None) };
    if version != USER_VERSION {
        return Err(Mistake::UserVersion(version));
    }
    let Some((name, first)) = counted(rest) else { return Ok(None) };
    let Some((password, second)) = rest.get(first..).and_then(counted) else { return Ok(None) };
    Ok(Some(((name.to_vec(), password.to_vec()), 1 + first + second)))
}

/// The answer to it.
pub(super) const fn verdict(welcome: bool) -> [u8; 2] {
    [USER_VERSION, !welcome as u8]
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A connection.
    Connect,
    /// A port to be connected to.
    Bind,
    /// A relay for datagrams.
    UdpAssociate,
    /// Something no RFC knows.
    Unknown(u8),
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An address.
    Address(SocketAddr),
    /// A name, to be looked up here, and a port.
    Name(String, u16),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A request (RFC 1928 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub command: Command,
    /// Where to.
    pub destination: Destination,
}

/// The client's request.
pub(super) fn request(bytes: &[u8]) -> Parsed<Request> {
    if let Some(&version) = bytes.first().filter(|version| **version != VERSION) {
        return Err(Mistake::Version(version));
    }
    let Some((&[_, command, _, kind], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let command = match command {
        1 => Command::Connect,
        2 => Command::Bind,
        3 => Command::UdpAssociate,
        other => Command::Unknown(other),
    };
    let Some((host, length)) = host(kind, rest)? else { return Ok(None) };
    let Some(&[high, low]) = rest.get(length..).and_then(<[u8]>::first_chunk) else {
        return Ok(None);
    };
    let port = u16::from_be_bytes([high, low]);
    let destination = match host {
        Host::Address(ip) => Destination::Address(SocketAddr::new(ip, port)),
        Host::Name(name) => Destination::Name(name, port),
    };
    Ok(Some((Request { command, destination }, 4 + length + 2)))
}

enum Host {
    Address(IpAddr),
    Name(String),
}

fn host(kind: u8, bytes: &[u8]) -> Parsed<Host> {
    Ok(match kind {
        1 => bytes
            .first_chunk::<4>()
            .map(|octets| (Host::Address(Ipv4Addr::from(*octets).into()), octets.len())),
        4 => bytes
            .first_chunk::<16>()
            .map(|octets| (Host::Address(Ipv6Addr::from(*octets).into()), octets.len())),
        3 => match counted(bytes) {
            Some((name, length)) => {
                let name = std::str::from_utf8(name).map_err(|_| Mistake::Name)?;
                if name.is_empty() || name.contains(|c: char| c.is_control() || c.is_whitespace()) {
                    return Err(Mistake::Name);
                }
                Some((Host::Name(name.to_owned()), length))
            }
            None => None,
        },
        other => return Err(Mistake::AddressType(other)),
    })
}

/// Bytes behind a byte that says how many, and the length of both.
fn counted(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (&count, rest) = bytes.split_first()?;
    let count = usize::from(count);
    rest.get(..count).map(|value| (value, 1 + count))
}

/// How a request went (RFC 1928 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection is there.
    Succeeded = 0,
    /// Something else.
    GeneralFailure = 1,
    /// It is forbidden here.
    NotAllowed = 2,
    /// No way leads there.
    NetworkUnreachable = 3,
    /// Nobody answers, or nobody knows the name.
    HostUnreachable = 4,
    /// Nobody listens.
    ConnectionRefused = 5,
    /// Anything but CONNECT.
    CommandNotSupported = 7,
    /// Neither an address nor a name.
    AddressTypeNotSupported = 8,
}

/// The answer to a request; `bound` is this end's address of the connection.
pub(super) fn answer(reply: Reply, bound: Option<SocketAddr>) -> Vec<u8> {
    let bound = bound.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
    let mut bytes = vec![VERSION, reply as u8, 0];
    match bound.ip() {
        IpAddr::V4(ip) => {
            bytes.push(1);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(4);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(bound.port().to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_of_the_rfc() {
        assert_eq!(offers(&[5, 2, 0, 2, 9], Method::Password), Ok(Some((true, 4))));
        assert_eq!(offers(&[5, 1, 0], Method::Password), Ok(Some((false, 3))));
        let said = [1, 2, b'm', b'e', 3, b'p', b'w', b'd'];
        assert_eq!(credentials(&said), Ok(Some(((b"me".to_vec(), b"pwd".to_vec()), 8))));
        let name = b"\x05\x01\x00\x03\x0bexample.org\x01\xbb";
        let (request, length) = request(name).unwrap().unwrap();
        assert_eq!((request.destination.to_string().as_str(), length), ("example.org:443", 18));
        let bound = "[2001:db8::1]:80".parse().unwrap();
        assert_eq!(answer(Reply::Succeeded, Some(bound)).len(), 22);
        assert_eq!(answer(Reply::HostUnreachable, None), [5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(offers(b"GET / HTTP/1.1", Method::None), Err(Mistake::Version(b'G')));
        assert!(Mistake::Version(b'C').to_string().contains("HTTP"));
        assert!(Mistake::Version(4).to_string().contains("SOCKS4"));
        assert_eq!(credentials(&[5, 0]), Err(Mistake::UserVersion(5)));
        assert_eq!(request(&[5, 1, 0, 2, 0, 0]), Err(Mistake::AddressType(2)));
        for name in [&b"\x05\x01\x00\x03\x00\x00\x50"[..], b"\x05\x01\x00\x03\x02\xff\xfe\x00\x50"]
        {
            assert_eq!(request(name), Err(Mistake::Name));
        }
        assert_eq!(request(b"\x05\x01\x00\x03\x03a b\x00\x50"), Err(Mistake::Name));
    }

    fn destination() -> impl Strategy<Value = Destination> {
        prop_oneof![
            (any::<[u8; 4]>(), any::<u16>()).prop_map(|at| Destination::Address(at.into())),
            (any::<[u8; 16]>(), any::<u16>()).prop_map(|at| Destination::Address(at.into())),
            ("[a-z0-9.-]{1,255}", any::<u16>()).prop_map(|(n, p)| Destination::Name(n, p)),
        ]
    }

    fn written(command: u8, destination: &Destination) -> Vec<u8> {
        let mut bytes = match destination {
            Destination::Address(address) => answer(Reply::Succeeded, Some(*address)),
            Destination::Name(name, port) => {
                let mut bytes = vec![5, 0, 0, 3, u8::try_from(name.len()).unwrap()];
                bytes.extend(name.bytes());
                bytes.extend(port.to_be_bytes());
                bytes
            }
        };
        bytes[1] = command;
        bytes
    }

    proptest! {
        /// Cut anywhere a request is not yet one; whole, with anything behind it, it is itself.
        #[test]
        fn requests_come_in_pieces(
            destination in destination(),
            command in any::<u8>(),
            behind in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let whole = written(command, &destination);
            for cut in 0..whole.len() {
                prop_assert_eq!(request(&whole[..cut]), Ok(None));
            }
            let (read, length) = request(&[&whole[..], &behind].concat()).unwrap().unwrap();
            prop_assert_eq!((read.destination, length), (destination, whole.len()));
        }

        /// Whatever is said: an answer, within what was said, and within the room a greeting has.
        #[test]
        fn anything_may_be_said(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for head in [[5, 1, 0, 3], [5, 255, 0, 1], [1, 255, 0, 0]] {
                let bytes = [&head[..], &bytes].concat();
                let lengths = [
                    offers(&bytes, Method::None).map(|parsed| parsed.map(|(_, length)| length)),
                    credentials(&bytes).map(|parsed| parsed.map(|(_, length)| length)),
                    request(&bytes).map(|parsed| parsed.map(|(_, length)| length)),
                ];
                for length in lengths.into_iter().flatten().flatten() {
                    prop_assert!(length <= bytes.len() && length <= 513);
                }
            }
        }
    }
}
