//! A Transport Converter: MPTCP from the client, the kernel's TCP to the server.

use super::cookie::Cookies;
use super::request::{self, Denial, Request};
use super::wire::{Connect, ErrorCode, Message, Mistake, Tlv};
use crate::door::{Guide, Led, Stream};
use crate::greeting::{Greeting, Trouble};
use crate::health::{dial, words};
use crate::itself::Itself;
use crate::report::Refusal;
use mpuser_tun::net::Prefix;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

/// The extension clients come for: Multipath TCP.
const SUPPORTED: u8 = 30;
/// Seconds a client should wait before it tries again, where the RFC asks for a number: the default, 30 at least.
const LATER: u8 = 0;
/// The only version (RFC 8803 6.2.8).
const VERSIONS: u8 = 1;

/// Reaches servers.
pub trait Dial: Send + Sync {
    /// A connection by the kernel's TCP.
    fn dial(
        &self,
        to: SocketAddr,
    ) -> impl Future<Output = io::Result<tokio::net::TcpStream>> + Send;
}

/// By the routing table of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// How long a server may take to answer.
    pub patience: Duration,
}

impl Dial for Kernel {
    async fn dial(&self, to: SocketAddr) -> io::Result<tokio::net::TcpStream> {
        dial(to, self.patience).await
    }
}

/// Leads clients to the server they name in a Connect TLV.
#[derive(Debug)]
pub struct Converter<D> {
    /// How servers are reached.
    pub servers: D,
    /// Clients have to show a cookie; none is asked for without.
    pub cookies: Option<Cookies>,
    /// Networks clients may be led to; anywhere if there are none.
    pub allow: Vec<Prefix>,
    /// Where this converter is.
    pub itself: Itself,
    /// Connections that are still to be had. Who comes when there is none is told so, where others would wait.
    pub room: Arc<Semaphore>,
    /// How long a client may take to say what it wants.
    pub patience: Duration,
}

impl<N: Stream, D: Dial> Guide<N> for Converter<D> {
    type Far = tokio::net::TcpStream;

    async fn lead(&self, near: &mut N, peer: SocketAddr) -> Result<Led<Self::Far>, Refusal> {
        let mut greeting = Greeting::new(self.patience);
        let parsed = greeting.next(near, |bytes| {
            let parsed = Message::parse(bytes)?;
            // as it came, for errors that quote it
            Ok(parsed.map(|(message, length)| {
                ((message, bytes.get(..length).unwrap_or_default().to_vec()), length)
            }))
        });
        let outcome = match parsed.await {
            Ok((message, bytes)) => self.serve(message, &bytes, peer).await,
            Err(trouble) => Err(misread(&trouble, greeting.pending())),
        };
        match outcome {
            Ok(Served::There(to, far, place)) => {
                // the kernel keeps the options of the server's SYN/ACK to itself, so none are listed
                say(near, &message(Tlv::ExtendedTcpHeader(Vec::new()))).await?;
                let lease: Option<Box<dyn Send>> = Some(Box::new(place));
                Ok(Led { head: greeting.rest(), lease, ..Led::new(far, to.to_string()) })
            }
            Ok(Served::Told(tlv)) => {
                say(near, &message(tlv)).await?;
                let because = "it asked which TCP extensions are supported";
                Err(Refusal::new("a client was answered", because, "there is nothing to be done")
                    .told())
            }
            Err(denial) => {
                say(near, &Message::error(denial.code, denial.value)).await?;
                let what = format!("a client was told {}", denial.code);
                Err(Refusal::new(what, denial.because, help(denial.code)).told())
            }
        }
    }
}

/// What came of a request.
enum Served {
    There(SocketAddr, tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit),
    Told(Tlv),
}

impl<D: Dial> Converter<D> {
    async fn serve(
        &self,
        message: Message,
        bytes: &[u8],
        peer: SocketAddr,
    ) -> Result<Served, Denial> {
        let (request, cookie) = request::read(message, bytes)?;
        if let Some(cookies) = &self.cookies {
            show(cookies, cookie.as_deref(), peer)?;
        }
        match request {
            Request::Info => Ok(Served::Told(Tlv::SupportedTcpExtensions(vec![SUPPORTED]))),
            Request::Connect(connect) => self.connect(&connect, bytes).await,
        }
    }

    async fn connect(&self, connect: &Connect, bytes: &[u8]) -> Result<Served, Denial> {
        let to = connect.to;
        if self.itself.is(to) {
            return Err(request::itself(to));
        }
        request::check(connect, &self.allow, bytes)?;
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let because = "there are as many connections as may be (--max-conns)";
            Denial::new(ErrorCode::ResourceExceeded, vec![LATER], because)
        })?;
        match self.servers.dial(to).await {
            Ok(far) => Ok(Served::There(to, far, place)),
            Err(error) => Err(unreached(to, &error)),
        }
    }
}

/// Without a cookie the client is given one; a wrong one is no mistake but an attempt.
fn show(cookies: &Cookies, cookie: Option<&[u8]>, peer: SocketAddr) -> Result<(), Denial> {
    match cookie {
        Some(cookie) if cookies.is_good(peer.ip(), cookie) => Ok(()),
        Some(_) => {
            let because = "its cookie is not the one it was given";
            Err(Denial::new(ErrorCode::NotAuthorized, vec![0], because))
        }
        None => {
            let value = [&[0][..], &cookies.of(peer.ip())].concat();
            let because = "it showed no cookie, and was given one";
            Err(Denial::new(ErrorCode::MissingCookie, value, because))
        }
    }
}

/// What could not be read as a message. `bytes` are what there is of it.
fn misread(trouble: &Trouble<Mistake>, bytes: &[u8]) -> Denial {
    let because = trouble.to_string();
    match trouble {
        Trouble::Wrong(Mistake::Version(_)) => {
            Denial::new(ErrorCode::UnsupportedVersion, vec![VERSIONS], because)
        }
        _ => Denial::quoting(ErrorCode::MalformedMessage, bytes, because),
    }
}

/// Why a server was not reached (RFC 8803 6.2.8): what the network said is passed on, the rest is this side's failure.
fn unreached(to: SocketAddr, error: &io::Error) -> Denial {
    let because = format!("cannot connect to {to}: {}", words(error));
    let denial = |code, value| Denial::new(code, vec![value], because.clone());
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
            denial(ErrorCode::ConnectionReset, 0)
        }
        // codes of ICMP's "destination unreachable": net, host
        io::ErrorKind::NetworkUnreachable => denial(ErrorCode::DestinationUnreachable, 0),
        io::ErrorKind::HostUnreachable => denial(ErrorCode::DestinationUnreachable, 1),
        _ => denial(ErrorCode::NetworkFailure, LATER),
    }
}

const fn help(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UnsupportedVersion
        | ErrorCode::MalformedMessage
        | ErrorCode::UnsupportedMessage => {
            "clients have to speak RFC 8803: mpuser connect --convert"
        }
        ErrorCode::MissingCookie => "it will come again with it",
        ErrorCode::NotAuthorized => "--allow names the networks clients may be led to",
        ErrorCode::ResourceExceeded => "--max-conns is the limit",
        _ => "check that this machine reaches the server",
    }
}

fn message(tlv: Tlv) -> Vec<u8> {
    // a TLV of a word or two fits
    Message(vec![tlv]).encode().unwrap_or_default()
}

async fn say<N: Stream>(near: &mut N, bytes: &[u8]) -> Result<(), Refusal> {
    near.write_all(bytes).await.map_err(|error| {
        let help = "it may come again";
        Refusal::new("a client went away before it was answered", words(&error), help)
    })
}

#[cfg(test)]
mod tests;
