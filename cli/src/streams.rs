//! Subflows in byte streams, as the commands set them up: `--via URL` and `--stream PORT`.

use crate::address;
use crate::error::{Code, Failure, plain_words};
use crate::output::Printer;
use crate::via::Hop;
use mpuser_engine::config::Via;
use mpuser_tun::{PathNote, Stack, StreamVia};
use serde_json::json;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

/// A way to the peer, and what the stack makes of it.
#[derive(Clone, Debug)]
pub(crate) enum Lead {
    /// Packets to this address, by the way of this number.
    Way(SocketAddr, usize),
    /// A stream through a proxy.
    Stream(StreamVia),
}

impl Lead {
    /// Where it goes first.
    pub(crate) const fn remote(&self) -> SocketAddr {
        match self {
            Self::Way(remote, _) => *remote,
            Self::Stream(via) => via.proxy,
        }
    }
}

/// Where packets go; streams find their way themselves.
pub(crate) fn packets(hops: &[Hop]) -> Vec<SocketAddr> {
    let packets = hops.iter().filter(|hop| matches!(hop, Hop::Packets(_)));
    packets.map(Hop::remote).collect()
}

/// The forwarders of a stack's connections; `local` is this end's address on a way.
pub(crate) fn lead(
    stack: &Stack,
    leads: Vec<Lead>,
    local: impl Fn(usize) -> Option<IpAddr>,
) -> Result<(), Failure> {
    let via = |lead| match lead {
        Lead::Way(remote, way) => Ok(Via { remote, local: local(way) }),
        Lead::Stream(via) => stack.add_stream_via(via),
    };
    let vias = leads.into_iter().map(via).collect::<Result<Vec<_>, _>>();
    stack.set_vias(vias.map_err(|error| crate::session::stack_failure(&error))?);
    Ok(())
}

/// Where streams are taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// The address of the machine.
    pub(crate) at: SocketAddr,
    /// The addresses that subflows in them have at this end, one of each family.
    pub(crate) own: [IpAddr; 2],
}

/// Takes in streams on `[ADDR:]PORT`.
pub(crate) async fn listen(stack: &Stack, word: &str) -> Result<Taken, Failure> {
    let (address, port) = address::parse_listen(word)?;
    // both families, where the machine has both
    let any = || std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    let every = || if any() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let at = SocketAddr::new(address.unwrap_or_else(every), port);
    let failed = |error: std::io::Error| {
        let what = format!("cannot take streams on {at}");
        match error.kind() {
            ErrorKind::AddrInUse => Failure::new(
                Code::InUse,
                what,
                "another program listens there",
                "choose another port",
            ),
            _ => Failure::new(
                Code::Setup,
                what,
                plain_words(&error),
                "give an address of this machine and a port that this user may listen on",
            ),
        }
    };
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    let own = stack.listen_streams(listener).map_err(failed)?;
    Ok(Taken { at, own })
}

/// Tells what is the matter with streams, as long as it lives.
#[derive(Debug)]
pub(crate) struct Notes(AbortHandle);

impl Drop for Notes {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Notes {
    /// From now on. Who takes streams in is told of strangers only if he asks for more.
    pub(crate) fn start(stack: &Stack, client: bool, printer: Printer) -> Self {
        let mut notes = stack.notes();
        let task = tokio::spawn(async move {
            loop {
                match notes.recv().await {
                    Ok(note) => tell(&note, client, printer),
                    // who is behind has missed some, and hears the next
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self(task.abort_handle())
    }
}

fn tell(note: &PathNote, client: bool, printer: Printer) {
    let PathNote { path, cause, help } = note;
    let line = format!("note: {path}: {cause}; {help}");
    if client {
        printer.line(&line)
    } else {
        printer.detail(&line)
    }
    printer.object(&json!({
        "schema": "mpuser.event/1", "event": "path_note", "path": path, "cause": cause, "help": help,
    }));
}

/// What is the matter with the proxy at `remote`, as the reason why there is no connection.
pub(crate) fn failure(stack: &Stack, remote: SocketAddr) -> Option<Failure> {
    let PathNote { path, cause, help } = stack.trouble(remote)?;
    Some(Failure::new(Code::Unreachable, format!("cannot connect through {path}"), cause, help))
}
