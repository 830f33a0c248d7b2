//! The server's side of a SOCKS5 conversation.

use super::wire::{self, Command, Destination, Method, Mistake, Reply, Request};
use crate::dial::{Dialler, unreachable};
use crate::door::{Guide, Led, Stream};
use crate::greeting::{Greeting, Trouble};
use crate::health::words;
use crate::itself::Itself;
use crate::report::Refusal;
use mpuser_tun::MptcpStream;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// Leads each client to the destination it names, over MPTCP.
#[derive(Debug)]
pub struct Socks5 {
    /// How destinations are reached.
    pub dialler: Dialler,
    /// Names and passwords that are welcome; with none, everybody is.
    pub users: Vec<(String, String)>,
    /// Where this server is.
    pub itself: Itself,
    /// How long a client may take to say what it wants.
    pub patience: Duration,
}

impl<N: Stream> Guide<N> for Socks5 {
    type Far = MptcpStream;

    async fn lead(&self, near: &mut N, _: SocketAddr) -> Result<Led<MptcpStream>, Refusal> {
        let mut greeting = Greeting::new(self.patience);
        let request = hear(near, &mut greeting, &self.users).await?;
        let to = request.destination.to_string();
        match self.reach(&request).await {
            Ok(far) => {
                let bound = far.local_addr().ok();
                say(near, &wire::answer(Reply::Succeeded, bound)).await?;
                Ok(Led { head: greeting.rest(), ..Led::new(far, to) })
            }
            Err((reply, because)) => {
                say(near, &wire::answer(reply, None)).await?;
                let help = "the client was told; `mpuser connect -z HOST:PORT` says more";
                Err(Refusal::new(format!("cannot connect to {to}"), because, help).told())
            }
        }
    }
}

/// What a client says up to its request, and the answers to it, for whoever is welcome: with `users`, those; everybody
/// without.
///
/// # Errors
/// Why it gets no answer to a request.
pub async fn hear<N: AsyncRead + AsyncWrite + Unpin>(
    near: &mut N,
    greeting: &mut Greeting,
    users: &[(String, String)],
) -> Result<Request, Refusal> {
    let wanted = if users.is_empty() { Method::None } else { Method::Password };
    let heard = greeting.next(near, |bytes| wire::offers(bytes, wanted)).await;
    if !heard.map_err(misunderstood)? {
        say(near, &wire::choose(Method::Unacceptable)).await?;
        let (because, help) = match wanted {
            Method::Password => {
                ("it offers no user name and password", "configure the program with the --user")
            }
            _ => ("it insists on showing who it is", "start the proxy with --user"),
        };
        return Err(Refusal::new("a client was turned away", because, help).told());
    }
    say(near, &wire::choose(wanted)).await?;
    if wanted == Method::Password {
        let said = greeting.next(near, wire::credentials).await.map_err(misunderstood)?;
        let welcome = is_welcome(users, &said);
        say(near, &wire::verdict(welcome)).await?;
        if !welcome {
            let because = "its user name or password is wrong";
            let help = "configure the program with one of the --user";
            return Err(Refusal::new("a client was turned away", because, help).told());
        }
    }
    match greeting.next(near, wire::request).await {
        Ok(request) => Ok(request),
        Err(trouble) => {
            let refusal = match &trouble {
                Trouble::Wrong(Mistake::AddressType(_)) => Some(Reply::AddressTypeNotSupported),
                Trouble::Wrong(_) => Some(Reply::GeneralFailure),
                _ => None,
            };
            if let Some(reply) = refusal {
                say(near, &wire::answer(reply, None)).await?;
            }
            Err(misunderstood(trouble))
        }
    }
}

/// Looks at every user, and at all of each: how long it takes says nothing.
fn is_welcome(users: &[(String, String)], (name, password): &(Vec<u8>, Vec<u8>)) -> bool {
    let same = |(known, secret): &(String, String)| {
        known.as_bytes().ct_eq(name) & secret.as_bytes().ct_eq(password)
    };
    let no = Choice::from(0);
    users.iter().map(same).fold(no, |found, same| found | same).into()
}

impl Socks5 {
    /// The connection asked for; else what the client is to be told, and the reason.
    async fn reach(&self, request: &Request) -> Result<MptcpStream, (Reply, String)> {
        match request.command {
            Command::Connect => {}
            Command::Bind | Command::UdpAssociate | Command::Unknown(_) => {
                let because = format!("{:?} is not served, CONNECT is", request.command);
                return Err((Reply::CommandNotSupported, because));
            }
        }
        let all = match &request.destination {
            Destination::Address(address) => vec![*address],
            Destination::Name(name, port) => {
                let found = tokio::net::lookup_host((name.as_str(), *port)).await;
                found.map_err(|error| (Reply::HostUnreachable, words(&error)))?.collect()
            }
        };
        let mut last = (Reply::HostUnreachable, "the name has no address".to_owned());
        for address in all {
            if self.itself.is(address) {
                last = (Reply::NotAllowed, "it is this proxy itself".to_owned());
                continue;
            }
            if let Some(why) = unreachable(address) {
                last = (Reply::NotAllowed, why.to_owned());
                continue;
            }
            match self.dialler.dial(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = (reply(&error), words(&error)),
            }
        }
        Err(last)
    }
}

/// What a failed connection is called in SOCKS5.
fn reply(error: &io::Error) -> Reply {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reply::ConnectionRefused,
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => Reply::HostUnreachable,
        // no path has an address of that family
        io::ErrorKind::AddrNotAvailable => Reply::NetworkUnreachable,
        _ => Reply::GeneralFailure,
    }
}

async fn say<N: AsyncWrite + Unpin>(near: &mut N, words: &[u8]) -> Result<(), Refusal> {
    near.write_all(words).await.map_err(|error| misunderstood::<Mistake>(Trouble::Io(error)))
}

fn misunderstood<E: std::fmt::Display>(trouble: Trouble<E>) -> Refusal {
    let refusal = Refusal::new(
        "a client was not understood",
        trouble.to_string(),
        "programs have to be told to use a SOCKS5 proxy: curl --socks5-hostname HOST:PORT",
    );
    // there is nothing more to say, and its connection ends in order
    if matches!(trouble, Trouble::Wrong(_) | Trouble::Cut) { refusal.told() } else { refusal }
}

#[cfg(test)]
mod tests;
