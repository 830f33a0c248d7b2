//! What a client asks of a converter, and whether it may be asked.

use super::wire::{Connect, ErrorCode, Message, Tlv};
use crate::dial::unreachable;
use mpuser_tun::net::Prefix;
use std::net::{IpAddr, SocketAddr};

/// TCP options the kernel puts on its SYNs by itself: MSS, window scale, SACK permitted, timestamps.
const OWN: [u8; 4] = [2, 3, 4, 8];

/// A request that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Which TCP extensions are there?
    Info,
    /// A connection.
    Connect(Connect),
}

/// What the client is told, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) code: ErrorCode,
    pub(super) value: Vec<u8>,
    pub(super) because: String,
}

impl Denial {
    pub(super) fn new(code: ErrorCode, value: Vec<u8>, because: impl Into<String>) -> Self {
        Self { code, value, because: because.into() }
    }

    /// With the message in question, which begins a word later (RFC 8803 figure 17).
    pub(super) fn quoting(code: ErrorCode, message: &[u8], because: impl Into<String>) -> Self {
        Self::new(code, [&[0], message].concat(), because)
    }
}

/// The request in a message, and the cookie shown with it; `bytes` is the message as it came.
pub(super) fn read(message: Message, bytes: &[u8]) -> Result<(Request, Option<Vec<u8>>), Denial> {
    let (mut request, mut cookie) = (None, None);
    for tlv in message.0 {
        let twice = match tlv {
            Tlv::Info => request.replace(Request::Info).is_some(),
            Tlv::Connect(connect) => request.replace(Request::Connect(connect)).is_some(),
            Tlv::Cookie(value) => cookie.replace(value).is_some(),
            other => {
                let because = format!("a TLV of type {} is not for a converter", other.kind());
                return Err(Denial::quoting(ErrorCode::UnsupportedMessage, bytes, because));
            }
        };
        if twice {
            let because = "it asks for more than one thing";
            return Err(Denial::quoting(ErrorCode::MalformedMessage, bytes, because));
        }
    }
    match request {
        Some(request) => Ok((request, cookie)),
        None => Err(Denial::quoting(ErrorCode::MalformedMessage, bytes, "it asks for nothing")),
    }
}

/// Whether clients may be led there. `bytes` is the message as it came.
pub(super) fn check(connect: &Connect, allow: &[Prefix], bytes: &[u8]) -> Result<(), Denial> {
    let to = connect.to;
    if let Some(why) = unreachable(to) {
        return Err(Denial::quoting(ErrorCode::MalformedMessage, bytes, format!("{to}: {why}")));
    }
    if !allow.is_empty() && !allowed(to.ip(), allow) {
        let because = format!("{to} is in none of the networks of --allow");
        return Err(Denial::new(ErrorCode::NotAuthorized, vec![0], because));
    }
    // without a value the kernel takes its own; none of its options can be given another one
    let refused = |kind: u8, value: &[u8]| !OWN.contains(&kind) || !value.is_empty();
    let options = connect.options.iter().filter(|option| refused(option.kind, &option.value));
    let kinds: Vec<u8> = options.map(|option| option.kind).collect();
    if kinds.is_empty() {
        return Ok(());
    }
    let because = format!("TCP options of kind {kinds:?} cannot be put on the SYN to {to}");
    Err(Denial::new(ErrorCode::UnsupportedTcpOption, kinds, because))
}

fn allowed(ip: IpAddr, allow: &[Prefix]) -> bool {
    allow.iter().any(|prefix| prefix.contains(ip))
}

/// A destination that is this converter itself.
pub(super) fn itself(to: SocketAddr) -> Denial {
    Denial::new(ErrorCode::NotAuthorized, vec![0], format!("{to} is this converter itself"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::wire::TcpOption;

    fn connect(to: &str) -> Connect {
        Connect { to: to.parse().unwrap(), options: Vec::new() }
    }

    fn code(tlvs: Vec<Tlv>) -> Result<Request, ErrorCode> {
        let message = Message(tlvs);
        let bytes = message.encode().unwrap();
        let outcome = read(message, &bytes);
        outcome.map(|(request, _)| request).map_err(|denial| {
            assert_eq!(denial.value[1..], bytes, "the message is quoted");
            denial.code
        })
    }

    #[test]
    fn one_thing_is_asked_for() {
        let wish = || Tlv::Connect(connect("192.0.2.1:80"));
        let cookie = || Tlv::Cookie(vec![1; 16]);
        assert_eq!(code(vec![cookie(), wish()]), Ok(Request::Connect(connect("192.0.2.1:80"))));
        assert_eq!(code(vec![Tlv::Info]), Ok(Request::Info));
        for twice in [vec![wish(), wish()], vec![Tlv::Info, wish()], vec![cookie(), cookie()]] {
            assert_eq!(code(twice), Err(ErrorCode::MalformedMessage));
        }
        assert_eq!(code(vec![]), Err(ErrorCode::MalformedMessage));
        assert_eq!(code(vec![cookie()]), Err(ErrorCode::MalformedMessage));
        for other in [
            Tlv::ExtendedTcpHeader(vec![]),
            Tlv::SupportedTcpExtensions(vec![30]),
            Tlv::Error(ErrorCode::NetworkFailure, vec![0]),
            Tlv::Unknown(200, vec![0, 0]),
        ] {
            assert_eq!(code(vec![wish(), other]), Err(ErrorCode::UnsupportedMessage));
        }
    }

    #[test]
    fn not_everywhere_and_not_with_everything() {
        let allow: Vec<Prefix> = ["192.0.2.0/24".parse().unwrap()].into();
        let code = |to: &str, allow: &[Prefix]| check(&connect(to), allow, &[]).map_err(|d| d.code);
        assert_eq!(code("192.0.2.1:80", &allow), Ok(()));
        assert_eq!(code("198.51.100.1:80", &allow), Err(ErrorCode::NotAuthorized));
        assert_eq!(code("198.51.100.1:80", &[]), Ok(()));
        for nobody in
            ["127.0.0.1:80", "224.0.0.1:80", "255.255.255.255:80", "0.0.0.0:80", "192.0.2.1:0"]
        {
            assert_eq!(code(nobody, &[]), Err(ErrorCode::MalformedMessage), "{nobody}");
        }
        let with = |kind, value| {
            let options = vec![TcpOption { kind: 4, value: vec![] }, TcpOption { kind, value }];
            check(&Connect { options, ..connect("192.0.2.1:80") }, &[], &[])
        };
        assert_eq!(with(8, vec![]), Ok(()));
        assert_eq!(with(8, vec![0; 8]).unwrap_err().value, [8]);
        let denial = with(30, vec![]).unwrap_err();
        assert_eq!((denial.code, denial.value), (ErrorCode::UnsupportedTcpOption, vec![30]));
    }
}
