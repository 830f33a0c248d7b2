//! A program's TCP connections, each passed on as one of our stack's.

use super::packet::{self, Why};
use crate::dial::Dialler;
use crate::relay::{self, End, Limits, Moved};
use mpuser_tun::device::{Device as _, PlainTun};
use mpuser_tun::{Incoming, Interceptor, MptcpStream, clock};
use smoltcp::wire::IpProtocol;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What became of a connection.
#[derive(Debug)]
pub enum Report {
    /// It is there; `mptcp` where it is spoken at the other end.
    Opened {
        /// To whom.
        to: SocketAddr,
        /// The other end speaks MPTCP.
        mptcp: bool,
    },
    /// It could not be opened.
    Failed {
        /// To whom.
        to: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// It is over.
    Closed {
        /// To whom.
        to: SocketAddr,
        /// Bytes the program sent.
        up: u64,
        /// Bytes the program received.
        down: u64,
        /// Subflows there have been; 0 where it was plain TCP.
        subflows: usize,
        /// How it ended, if not in order.
        lost: Option<String>,
    },
}

/// Takes a program's connections and passes them on.
#[derive(Debug)]
pub struct Streams {
    pub(super) interceptor: Interceptor,
    pub(super) dialler: Dialler,
    /// To tell the program what cannot be reached.
    pub(super) device: Arc<PlainTun>,
    pub(super) near: [IpAddr; 2],
    pub(super) name_server: Option<SocketAddr>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
}

impl Streams {
    pub(super) async fn serve(&self) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let incoming = self.interceptor.next().await?;
            while connections.try_join_next().is_some() {}
            let reports = self.reports.clone();
            if self.near.contains(&incoming.to().ip()) {
                match self.name_server.filter(|_| incoming.to().port() == 53) {
                    Some(server) => drop(connections.spawn(ask(incoming, server))),
                    None => incoming.refuse(),
                }
                continue;
            }
            let (dialler, device, near) =
                (self.dialler.clone(), Arc::clone(&self.device), self.near);
            connections.spawn(async move {
                let to = incoming.to();
                let far = match dialler.dial(to).await {
                    Ok(far) => far,
                    Err(error) => {
                        turn_away(incoming, &device, near, &error);
                        let _ = reports.send(Report::Failed { to, error });
                        return;
                    }
                };
                pass_on(incoming, far, &reports).await;
            });
        }
    }
}

/// A connection that is there at the far end.
async fn pass_on(incoming: Incoming, far: MptcpStream, reports: &mpsc::UnboundedSender<Report>) {
    let to = incoming.to();
    let mut far = far;
    let near = match incoming.accept().await {
        Ok(near) => near,
        // the program has given up meanwhile
        Err(_) => return far.abort(),
    };
    // nobody may listen to reports
    let _ = reports.send(Report::Opened { to, mptcp: far.is_mptcp() });
    let mut near = near;
    let moved = Moved::default();
    let end = relay::relay(&mut near, &mut far, Limits::default(), &moved).await;
    let info = far.info();
    let subflows = info.filter(|info| info.mptcp).map_or(0, |info| info.subflows.len());
    let lost = match end {
        End::Finished => None,
        End::Idle => Some("idle for too long".to_owned()),
        End::Lost(side, error) => Some(format!("the {} failed: {error}", side.as_str())),
    };
    if lost.is_some() {
        near.abort();
        far.abort();
    }
    let (up, down) = (moved.up(), moved.down());
    let _ = reports.send(Report::Closed { to, up, down, subflows, lost });
}

/// A question to the machine's own name server, which is on the loopback device and nowhere else.
async fn ask(incoming: Incoming, server: SocketAddr) {
    match TcpStream::connect(server).await {
        Ok(far) => {
            if let Ok(near) = incoming.accept().await {
                relay::join(near, far, Limits::default(), &Moved::default()).await;
            }
        }
        Err(_) => incoming.refuse(),
    }
}

/// The program's `connect` fails as the far one did. One that timed out stays without an answer: the program has a limit
/// of its own.
fn turn_away(incoming: Incoming, device: &PlainTun, near: [IpAddr; 2], error: &io::Error) {
    use io::ErrorKind as Kind;
    let why = match error.kind() {
        Kind::ConnectionRefused | Kind::ConnectionReset => return incoming.refuse(),
        Kind::HostUnreachable => Why::Host,
        Kind::AddrNotAvailable | Kind::InvalidInput | Kind::NetworkUnreachable => Why::Net,
        _ => return,
    };
    let (from, to) = (incoming.from(), incoming.to());
    let mut quoted = [0; 20];
    for (place, octet) in quoted.iter_mut().zip(
        [from.port().to_be_bytes(), to.port().to_be_bytes()]
            .concat()
            .into_iter()
            .chain(incoming.seq().to_be_bytes()),
    ) {
        *place = octet;
    }
    let ends = (from.ip(), to.ip());
    if let Some(news) = packet::unreachable(near, ends, IpProtocol::Tcp, &quoted, why) {
        // a device that takes nothing loses it, and the program asks again
        let _ = device.send(clock::now(), &news, &[], None);
    }
}
