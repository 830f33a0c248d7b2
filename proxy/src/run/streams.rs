//! A program's TCP connections, each passed on as one of our stack's.

use super::Wishes;
use super::packet::{self, Why};
use crate::dial::Dialler;
use crate::relay::{self, End, Limits, Moved};
use mpuser_tun::device::{Device as _, PlainTun};
use mpuser_tun::{Incoming, Interceptor, MptcpStream, clock};
use smoltcp::wire::IpProtocol;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long the far end may take to acknowledge the last bytes, and how often to look.
const SETTLE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// What became of a connection, mostly.
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
    /// There were too many echo requests at once: the oldest ones get no answer.
    EchoesGivenUp {
        /// How many so far; told when it is a power of two.
        given_up: u64,
    },
}

/// Takes a program's connections and passes them on.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) interceptor: Interceptor,
    pub(super) dialler: Dialler,
    /// To tell the program what cannot be reached.
    pub(super) device: Arc<PlainTun>,
    pub(super) near: [IpAddr; 2],
    pub(super) wishes: Wishes,
    /// How many connections are under way.
    pub(super) active: watch::Sender<usize>,
    pub(super) reports: mpsc::Sender<Report>,
}

/// One of the connections under way.
#[derive(Debug)]
struct Active(watch::Sender<usize>);

impl Active {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Streams {
    /// Takes connections for as long as it is polled; those that were taken go on without it.
    pub(super) async fn serve(&self) -> io::Result<()> {
        loop {
            let incoming = self.interceptor.next().await?;
            if self.near.contains(&incoming.to().ip()) {
                match self.wishes.name_server.filter(|_| incoming.to().port() == 53) {
                    Some(server) => drop(tokio::spawn(ask(incoming, server))),
                    None => incoming.refuse(),
                }
                continue;
            }
            let one = One {
                dialler: self.dialler.clone(),
                device: Arc::clone(&self.device),
                near: self.near,
                wishes: self.wishes,
                active: self.active.clone(),
                reports: self.reports.clone(),
            };
            tokio::spawn(one.serve(incoming));
        }
    }
}

/// What one connection needs.
struct One {
    dialler: Dialler,
    device: Arc<PlainTun>,
    near: [IpAddr; 2],
    wishes: Wishes,
    active: watch::Sender<usize>,
    reports: mpsc::Sender<Report>,
}

impl One {
    async fn serve(self, incoming: Incoming) {
        let to = incoming.to();
        match self.dialler.dial(to).await {
            Ok(far) => self.pass_on(incoming, far).await,
            Err(error) => {
                turn_away(incoming, &self.device, self.near, &error);
                self.report(Report::Failed { to, error });
            }
        }
    }

    /// A connection that is there at the far end.
    async fn pass_on(&self, incoming: Incoming, mut far: MptcpStream) {
        let to = incoming.to();
        let _active = Active::new(&self.active);
        let mut near = match incoming.accept().await {
            Ok(near) => near,
            // the program has given up meanwhile
            Err(_) => return far.abort(),
        };
        self.report(Report::Opened { to, mptcp: far.is_mptcp() });
        let moved = Moved::default();
        let end = relay::relay(&mut near, &mut far, Vec::new(), self.wishes.limits, &moved).await;
        let lost = match end {
            End::Finished => None,
            End::Idle => Some("idle for too long".to_owned()),
            End::Stopped => Some("stopped".to_owned()),
            End::Lost(side, error) => Some(format!("the {} failed: {error}", side.as_str())),
        };
        if lost.is_some() {
            near.abort();
            far.abort();
        } else {
            settle(&far).await;
        }
        let info = far.info().filter(|info| info.mptcp);
        let subflows = info.map_or(0, |info| info.subflows.len());
        let (up, down) = (moved.up(), moved.down());
        self.report(Report::Closed { to, up, down, subflows, lost });
    }

    /// Nobody may listen, or too slowly: no connection waits for that.
    fn report(&self, report: Report) {
        let _ = self.reports.try_send(report);
    }
}

/// Waits until the far end has everything: the program may have ended, and with it what keeps us going.
async fn settle(far: &MptcpStream) {
    let over = |state| matches!(state, "TIME-WAIT" | "CLOSED");
    let done = async {
        while far.info().is_some_and(|info| info.error.is_none() && !over(info.state)) {
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = timeout(SETTLE, done).await;
}

/// A question to the machine's own name server, which is on the loopback device and nowhere else.
async fn ask(incoming: Incoming, server: SocketAddr) {
    match TcpStream::connect(server).await {
        Ok(far) => {
            if let Ok(near) = incoming.accept().await {
                let (moved, never) = (Moved::default(), std::future::pending());
                relay::join(near, far, Vec::new(), Limits::default(), &moved, never).await;
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
        // plain TCP where that is not wanted (Unsupported) is a closed port
        Kind::ConnectionRefused | Kind::ConnectionReset | Kind::Unsupported => {
            return incoming.refuse();
        }
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
