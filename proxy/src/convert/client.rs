//! The client's side: what is said first, and what comes back.

use super::wire::{Connect, ErrorCode, Message, Mistake, Tlv, TooLong};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// Why a converter did not lead on.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It said why; the value is the code's.
    #[error("it answered: {0}")]
    Told(ErrorCode, Vec<u8>),
    /// What it said is no answer of a converter.
    #[error("what it answers is not of the Convert protocol: {0}")]
    Wrong(Mistake),
    /// It answered with a message without an answer.
    #[error("its answer says neither yes nor no")]
    Nothing,
    /// It ended the connection before it had answered.
    #[error("it ended the connection before it had answered")]
    Cut,
    /// It did not answer in time.
    #[error("it did not answer within {0:?}")]
    Late(Duration),
    /// The connection failed.
    #[error("the connection was lost ({})", crate::health::words(.0))]
    Io(io::Error),
}

/// What is said first: lead me to `to`. Data for the server may follow at once.
///
/// # Errors
/// The cookie is longer than any converter gives.
pub fn ask(to: SocketAddr, cookie: Option<&[u8]>) -> Result<Vec<u8>, TooLong> {
    let cookie = cookie.map(|cookie| Tlv::Cookie(cookie.to_vec()));
    let connect = Tlv::Connect(Connect { to, options: Vec::new() });
    // RFC 8803 6.2.7: it has to be looked at before anything else
    Message(cookie.into_iter().chain([connect]).collect()).encode()
}

/// Reads the converter's answer and not a byte of what comes after it; the options of the server's SYN/ACK.
///
/// # Errors
/// Why there is no connection with the server.
pub async fn answer<S: AsyncRead + Unpin>(
    stream: &mut S,
    patience: Duration,
) -> Result<Vec<u8>, Refused> {
    let reading = timeout(patience, read(stream));
    let message = reading.await.map_err(|_| Refused::Late(patience))??;
    let mut there = None;
    for tlv in message.0 {
        match tlv {
            Tlv::Error(code, value) => return Err(Refused::Told(code, value)),
            Tlv::ExtendedTcpHeader(options) => there = Some(options),
            // what is not known need not be
            _ => {}
        }
    }
    there.ok_or(Refused::Nothing)
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Message, Refused> {
    let mut bytes = Vec::new();
    // the header says how long the message is
    let mut wanted = 4;
    loop {
        let have = bytes.len();
        bytes.resize(wanted, 0);
        let rest = bytes.get_mut(have..).unwrap_or_default();
        stream.read_exact(rest).await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Refused::Cut,
            _ => Refused::Io(error),
        })?;
        match Message::parse(&bytes).map_err(Refused::Wrong)? {
            Some((message, _)) => return Ok(message),
            None => wanted = bytes.get(1).map_or(0, |words| usize::from(*words) * 4).max(wanted),
        }
    }
}

impl Refused {
    /// The cookie to come again with, if that is what was missing (RFC 8803 6.2.8).
    #[must_use]
    pub fn cookie(&self) -> Option<&[u8]> {
        match self {
            Self::Told(ErrorCode::MissingCookie, value) => {
                value.get(1..).filter(|cookie| !cookie.is_empty())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, duplex};

    async fn heard(bytes: &[u8]) -> (Result<Vec<u8>, Refused>, Vec<u8>) {
        let (mut near, mut far) = duplex(4_096);
        far.write_all(bytes).await.unwrap();
        drop(far);
        let outcome = answer(&mut near, Duration::from_secs(1)).await;
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        (outcome, rest)
    }

    fn message(tlvs: Vec<Tlv>) -> Vec<u8> {
        Message(tlvs).encode().unwrap()
    }

    #[tokio::test]
    async fn what_comes_after_the_answer_is_the_servers() {
        let yes =
            message(vec![Tlv::Unknown(99, vec![1, 2]), Tlv::ExtendedTcpHeader(vec![4, 2, 0, 0])]);
        let (outcome, rest) = heard(&[&yes[..], b"220 hello"].concat()).await;
        assert_eq!(outcome.unwrap(), [4, 2, 0, 0]);
        assert_eq!(rest, b"220 hello");
    }

    #[tokio::test]
    async fn answers_that_are_no() {
        let cookie = Message::error(ErrorCode::MissingCookie, vec![0, 1, 2, 3, 4]);
        let refused = heard(&cookie).await.0.unwrap_err();
        assert_eq!(refused.cookie(), Some(&[1, 2, 3, 4][..]));
        let refused =
            heard(&Message::error(ErrorCode::NotAuthorized, vec![0])).await.0.unwrap_err();
        assert!(refused.cookie().is_none() && refused.to_string().contains("Not Authorized (32)"));
        assert!(matches!(heard(b"HTTP/1.1 400").await.0, Err(Refused::Wrong(Mistake::Magic))));
        assert!(matches!(heard(&message(vec![])).await.0, Err(Refused::Nothing)));
        let yes = message(vec![Tlv::ExtendedTcpHeader(vec![])]);
        for cut in 0..yes.len() {
            assert!(matches!(heard(&yes[..cut]).await.0, Err(Refused::Cut)), "{cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_converter_that_is_none_is_not_waited_for() {
        let (mut near, _far) = duplex(64);
        let outcome = answer(&mut near, Duration::from_secs(3)).await;
        assert!(matches!(outcome, Err(Refused::Late(_))));
    }

    #[test]
    fn the_cookie_comes_first() {
        let bytes = ask("192.0.2.1:443".parse().unwrap(), Some(&[7; 16])).unwrap();
        assert_eq!(bytes.len(), 4 + 20 + 20);
        let kinds: Vec<u8> =
            Message::parse(&bytes).unwrap().unwrap().0.0.iter().map(Tlv::kind).collect();
        assert_eq!(kinds, [22, 10]);
        assert!(ask("192.0.2.1:443".parse().unwrap(), Some(&[7; 1_020])).is_err());
    }
}
