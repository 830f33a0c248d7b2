//! `--convert`: led to the server by a Transport Converter (RFC 8803).

use super::first_of;
use crate::address::{self, Target};
use crate::error::{Code, Failure};
use crate::output::Printer;
use crate::session::Session;
use mpuser_proxy::convert::{self, ErrorCode, Refused, answer, ask};
use mpuser_tun::net::convert as memory;
use mpuser_tun::{ConnectOptions, MptcpStream};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a converter may take to reach the server, unless -w says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a converter is, as the user wrote it: `HOST[:PORT]`.
pub(super) fn target(text: &str) -> Result<Target, Failure> {
    address::parse_target_or(text, convert::PORT)
}

/// Connects to a converter and has it lead on to `to`. The wish goes first, with what is in `options` behind it.
pub(super) async fn through(
    session: &Session,
    converters: &[SocketAddr],
    to: SocketAddr,
    options: ConnectOptions,
    printer: &Printer,
) -> Result<(MptcpStream, SocketAddr), Failure> {
    let Some(converter) = converters.first().copied() else {
        return Err(Failure::internal("there is no converter", "no address was found"));
    };
    let mut cookie = memory::remembered(converter).unwrap_or_else(|error| {
        printer.line(&format!("note: {}: {}", error.message, error.because));
        None
    });
    // once without a cookie or with an old one, once with the one that was given then
    for last in [false, false, true] {
        let wish = ask(to, cookie.as_deref())
            .map_err(|error| Failure::internal("the converter's cookie cannot be used", error))?;
        let early_data = [&wish[..], &options.early_data].concat();
        let options = ConnectOptions { early_data, ..options.clone() };
        let (mut stream, remote) = first_of(session, converters, &options).await?;
        let refused = match answer(&mut stream, options.timeout.unwrap_or(PATIENCE)).await {
            Ok(_) => {
                printer.line(&format!("the converter {remote} leads on to {to}"));
                printer.object(&json!({
                    "schema": "mpuser.event/1", "event": "converted",
                    "converter": remote.to_string(), "to": to.to_string(),
                }));
                return Ok((stream, remote));
            }
            Err(refused) => refused,
        };
        stream.abort();
        cookie = match (&refused, refused.cookie()) {
            (_, Some(given)) if !last => Some(given.to_vec()),
            // it may have been given by a process that is gone
            (Refused::Told(ErrorCode::NotAuthorized, _), _) if cookie.is_some() && !last => None,
            _ => return Err(failure(remote, to, &refused)),
        };
        if let Err(error) = memory::remember(converter, cookie.as_deref()) {
            printer.line(&format!("note: {}: {}", error.message, error.because));
        }
    }
    Err(Failure::internal("the converter wants another cookie each time", "it took none"))
}

/// Why the converter did not lead on.
fn failure(converter: SocketAddr, to: SocketAddr, refused: &Refused) -> Failure {
    let what = format!("the converter {converter} does not lead to {to}");
    let (code, help) = match refused {
        Refused::Told(code, _) => told(*code),
        Refused::Wrong(_) | Refused::Nothing => (
            Code::Refused,
            "check the address and the port: converters listen on 5124, and speak RFC 8803",
        ),
        Refused::Cut => (Code::Refused, "check the port: what listens there may be no converter"),
        Refused::Late(_) => (Code::Timeout, "give it more time with -w, or check the port"),
        Refused::Io(_) => (Code::Lost, "--pcap FILE shows the last packets"),
    };
    Failure::new(code, what, refused, help)
}

const fn told(code: ErrorCode) -> (Code, &'static str) {
    match code {
        ErrorCode::ConnectionReset => {
            (Code::Refused, "check the port: nothing listens there, or a firewall rejects it")
        }
        ErrorCode::DestinationUnreachable => {
            (Code::Unreachable, "the converter's network knows no way there: check the address")
        }
        ErrorCode::NetworkFailure => {
            (Code::Unreachable, "the server does not answer the converter, or it has no way out")
        }
        ErrorCode::ResourceExceeded => (Code::Refused, "try again in half a minute"),
        ErrorCode::NotAuthorized => {
            (Code::Refused, "the converter's --allow names the networks it leads to")
        }
        ErrorCode::MalformedMessage => {
            (Code::Refused, "check the address of the server: converters lead to hosts only")
        }
        _ => (Code::Refused, "the converter may be of another version: ask whoever runs it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converters_as_they_are_written() {
        for (text, host, port) in [
            ("proxy.example", "proxy.example", 5_124),
            ("10.0.0.1", "10.0.0.1", 5_124),
            ("10.0.0.1:99", "10.0.0.1", 99),
            ("fd00::1", "fd00::1", 5_124),
            ("[fd00::1]:99", "fd00::1", 99),
        ] {
            assert_eq!(target(text), Ok(Target { host: host.to_owned(), port }), "{text}");
        }
        for text in ["", "a:b", "10.0.0.1:0", "10.0.0.300"] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_code_has_a_remedy() {
        let (at, to) = ("10.0.0.1:5124".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
        for code in ErrorCode::ALL {
            let failure = failure(at, to, &Refused::Told(code, vec![0]));
            assert!(failure.because.contains(&code.to_string()) && !failure.help.is_empty());
            assert!([1, 3].contains(&failure.code.exit()), "{code}");
        }
    }
}
