//! The way to a stream through a proxy: TCP, and the proxy's greeting. Each step has a limit, and each failure says what
//! the matter is and what may help.

use super::url::{HostPort, ProxyUrl, Scheme};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use mpuser_engine::addr::SocketAddr;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

/// Longest time for TCP and the greeting together, and for what the peer says first.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Most octets of a proxy's answer to CONNECT.
const MAX_ANSWER: usize = 8 << 10;
/// Most header fields of it.
const MAX_FIELDS: usize = 64;
/// Octets the kernel keeps unsent: what waits here cannot go another way.
const NOT_SENT: u32 = 64 << 10;
/// How long written octets may stay unacknowledged, and a quiet stream unanswered.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// What is in the way, and what may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialError {
    pub(crate) cause: String,
    pub(crate) help: &'static str,
}

impl DialError {
    pub(super) fn new(cause: impl Into<String>, help: &'static str) -> Self {
        Self { cause: cause.into(), help }
    }
}

/// Where a stream leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialer {
    pub(super) url: ProxyUrl,
    pub(super) proxy: SocketAddr,
    pub(super) server: HostPort,
    /// The port that is wanted behind the stream.
    pub(super) wanted: u16,
}

impl Dialer {
    pub(crate) const fn new(url: ProxyUrl, proxy: SocketAddr, server: HostPort, port: u16) -> Self {
        Self { url, proxy, server, wanted: port }
    }

    /// Where the proxy is.
    pub(crate) const fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    /// A stream that ends at the server's acceptor of streams, and octets of it that came with the greeting.
    pub(super) async fn dial(&self) -> Result<(TcpStream, BytesMut), DialError> {
        timeout(PATIENCE, self.dial_now()).await.unwrap_or_else(|_| {
            Err(DialError::new(
                "it does not answer within 10 s",
                "check its address, and that it can reach the server",
            ))
        })
    }

    async fn dial_now(&self) -> Result<(TcpStream, BytesMut), DialError> {
        let stream = TcpStream::connect(self.proxy).await.map_err(|error| {
            DialError::new(
                format!("no connection with {}: {}", self.proxy, words(&error)),
                "check that the proxy runs and listens there",
            )
        })?;
        tune(&stream);
        self.greet(stream).await
    }

    /// Asks the proxy for the way to the server; octets of it may have come with the answer.
    pub(super) async fn greet<S>(&self, stream: S) -> Result<(S, BytesMut), DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.url.scheme {
            Scheme::Tcp => Ok((stream, BytesMut::new())),
            Scheme::Socks5 => Ok((self.socks5(stream).await?, BytesMut::new())),
            Scheme::Http => self.connect(stream).await,
        }
    }

    async fn socks5<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<S, DialError> {
        let target = (self.server.host.as_str(), self.server.port);
        let outcome = match &self.url.login {
            None => Socks5Stream::connect_with_socket(stream, target).await,
            Some((user, password)) => {
                let (user, password) = (user.as_str(), password.as_str());
                Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
            }
        };
        outcome.map(Socks5Stream::into_inner).map_err(|error| self.socks5_error(&error))
    }

    fn socks5_error(&self, error: &tokio_socks::Error) -> DialError {
        use tokio_socks::Error;
        let help = match error {
            Error::InvalidResponseVersion | Error::InvalidReservedByte => {
                "it is no SOCKS5 proxy; is it one for http://?"
            }
            Error::Io(_) => "it ended the greeting; is it a SOCKS5 proxy?",
            Error::NoAcceptableAuthMethods | Error::PasswordAuthFailure(_) => {
                "it wants another login: socks5://USER:PASSWORD@HOST:PORT"
            }
            Error::ConnectionNotAllowedByRuleset => "its rules forbid this server",
            _ => "check that the server listens for streams (`mpuser listen --stream PORT`)",
        };
        DialError::new(format!("SOCKS5 to {}: {}", self.server, plain(error.to_string())), help)
    }

    async fn connect<S>(&self, mut stream: S) -> Result<(S, BytesMut), DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let server = &self.server;
        let login = self.url.login.as_ref().map(|(user, password)| {
            let token = BASE64_STANDARD.encode(format!("{user}:{password}"));
            format!("Proxy-Authorization: Basic {token}\r\n")
        });
        let login = login.unwrap_or_default();
        let request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n{login}\r\n");
        let ended = |error: io::Error| {
            DialError::new(
                format!("CONNECT {server}: {}", words(&error)),
                "it ended the greeting; is it an HTTP proxy?",
            )
        };
        stream.write_all(request.as_bytes()).await.map_err(ended)?;
        let mut answer = BytesMut::with_capacity(1024);
        loop {
            if stream.read_buf(&mut answer).await.map_err(ended)? == 0 {
                return Err(ended(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(len) = self.check(&answer)? {
                return Ok((stream, answer.split_off(len)));
            }
            if answer.len() > MAX_ANSWER {
                return Err(DialError::new(
                    format!("CONNECT {server}: its answer is longer than {MAX_ANSWER} octets"),
                    "it is no HTTP proxy",
                ));
            }
        }
    }

    /// How long a good answer is; `None` while it is not whole.
    fn check(&self, answer: &[u8]) -> Result<Option<usize>, DialError> {
        let what = format!("CONNECT {}", self.server);
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(answer).map_err(|error| {
            let help = "it is no HTTP proxy; is it one for socks5://?";
            DialError::new(format!("{what}: {error}"), help)
        })?;
        let httparse::Status::Complete(len) = parsed else { return Ok(None) };
        let code = response.code.unwrap_or_default();
        let help = match code {
            200..=299 => return Ok(Some(len)),
            407 => "it wants a login: http://USER:PASSWORD@HOST:PORT",
            403 | 405 => "its rules forbid this port; tinyproxy wants a `ConnectPort` line for it",
            _ => "check that the server listens for streams (`mpuser listen --stream PORT`)",
        };
        let reason: String = response.reason.unwrap_or_default().chars().take(80).collect();
        Err(DialError::new(format!("{what}: {code} {reason}").trim_end().to_owned(), help))
    }
}

/// An error without the number of the operating system.
pub(super) fn words(error: &io::Error) -> String {
    plain(error.to_string())
}

fn plain(text: String) -> String {
    text.split(" (os error").next().map(str::to_owned).unwrap_or(text)
}

/// Sets a socket up for frames: at once, with little waiting in the kernel, and with an end when nobody is there.
pub(super) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let third = DEAD_AFTER / 3;
    let keepalive = TcpKeepalive::new().with_time(third).with_interval(third).with_retries(2);
    // what a kernel does not have, the stream does without
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_notsent_lowat(NOT_SENT);
    let _ = socket.set_tcp_user_timeout(Some(DEAD_AFTER));
    let _ = socket.set_tcp_keepalive(&keepalive);
}
