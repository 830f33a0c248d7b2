//! A front door: clients come in, each is led to its far end, and the two are joined.

use crate::relay::{self, Abort, Moved, join};
use crate::report::{Counters, Event, Observer, Refusal};
use mpuser_tun::{MptcpListener, MptcpStream};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long clients under way may take to be aborted when the door closes.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long to wait when the operating system gives no further connection: too many open files, mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection, of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Abort + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Abort + Send + Unpin + 'static> Stream for S {}

/// Where clients come in.
pub trait Entrance: Send + Sync {
    /// What a client is.
    type Near: Stream;

    /// The next client. Cancel safe.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Near, SocketAddr)>> + Send;

    /// No client will ever come in again.
    fn is_over(&self, error: &io::Error) -> bool;
}

impl Entrance for TcpListener {
    type Near = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        // what is passed on was gathered by whoever wrote it
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }

    fn is_over(&self, _: &io::Error) -> bool {
        false
    }
}

impl Entrance for MptcpListener {
    type Near = MptcpStream;

    async fn accept(&self) -> io::Result<(MptcpStream, SocketAddr)> {
        Self::accept(self).await
    }

    fn is_over(&self, _: &io::Error) -> bool {
        // its stack is
        true
    }
}

/// Finds the far end of a client's connection.
pub trait Guide<N>: Send + Sync {
    /// What is at the far end.
    type Far: Stream;

    /// Leads a client on. What is read from it and not meant for the guide goes into [`Led::head`]. Must come to an end
    /// although the client says nothing.
    fn lead(
        &self,
        near: &mut N,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Led<Self::Far>, Refusal>> + Send;
}

/// The far end of a client's connection.
pub struct Led<F> {
    /// The connection.
    pub far: F,
    /// Its name in reports.
    pub to: String,
    /// What the client said already and the far end is to hear first.
    pub head: Vec<u8>,
    /// Given back when the connection ends.
    pub lease: Option<Box<dyn Send>>,
}

impl<F> Led<F> {
    /// Led to `far`, whose name is `to`.
    pub fn new(far: F, to: impl Into<String>) -> Self {
        Self { far, to: to.into(), head: Vec::new(), lease: None }
    }
}

/// What a front door allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Clients at once; further ones wait in the listener's queue.
    pub clients: usize,
    /// A connection ends after this long without a byte either way.
    pub idle: Option<Duration>,
}

/// Serves clients until `stop`, or until none can come in any more; connections under way are then aborted.
///
/// # Errors
/// That of the entrance, when it is over.
pub async fn serve<E, G>(
    entrance: E,
    guide: Arc<G>,
    limits: Limits,
    counters: Arc<Counters>,
    observer: Observer,
    stop: impl Future<Output = ()>,
) -> io::Result<()>
where
    E: Entrance,
    G: Guide<E::Near> + 'static,
{
    let places = Arc::new(Semaphore::new(limits.clients));
    let (closing, closed) = watch::channel(());
    let mut clients = JoinSet::new();
    let taking = async {
        loop {
            let place = place(&places, limits.clients, &observer).await;
            let (near, peer) = match entrance.accept().await {
                Ok(client) => client,
                Err(error) if entrance.is_over(&error) => return Err(error),
                Err(error) => {
                    observer(&Event::Blocked { error: &error });
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let number = counters.came((limits.clients - places.available_permits()) as u64);
            let client = Client {
                number,
                peer,
                idle: limits.idle,
                guide: Arc::clone(&guide),
                counters: Arc::clone(&counters),
                observer: Arc::clone(&observer),
                closed: closed.clone(),
            };
            clients.spawn(async move {
                client.serve(near).await;
                drop(place);
            });
            while clients.try_join_next().is_some() {}
        }
    };
    let outcome = tokio::select! {
        outcome = taking => outcome,
        () = stop => Ok(()),
    };
    // nobody is left to be told if there are no clients
    let _ = closing.send(());
    let all = async { while clients.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, all).await;
    outcome
}

/// Room for one more client.
async fn place(
    places: &Arc<Semaphore>,
    clients: usize,
    observer: &Observer,
) -> Option<OwnedSemaphorePermit> {
    if places.available_permits() == 0 {
        observer(&Event::Full { clients });
    }
    // it is never closed
    Arc::clone(places).acquire_owned().await.ok()
}

/// One client and what serves it.
struct Client<G> {
    number: u64,
    peer: SocketAddr,
    idle: Option<Duration>,
    guide: Arc<G>,
    counters: Arc<Counters>,
    observer: Observer,
    closed: watch::Receiver<()>,
}

impl<G> Client<G> {
    async fn serve<N: Stream>(&self, mut near: N)
    where
        G: Guide<N>,
    {
        let (client, peer) = (self.number, self.peer);
        let led = tokio::select! {
            led = self.guide.lead(&mut near, peer) => led,
            () = self.closing() => return near.abort(),
        };
        let led = match led {
            Ok(led) => led,
            Err(refusal) => {
                self.counters.refused.fetch_add(1, Relaxed);
                (self.observer)(&Event::Refused { client, peer, refusal: &refusal });
                return part(near, &refusal).await;
            }
        };
        self.counters.connected.fetch_add(1, Relaxed);
        let to = led.to.as_str();
        (self.observer)(&Event::Connected { client, peer, to });
        let (moved, start) = (Moved::default(), Instant::now());
        let limits = relay::Limits { idle: self.idle };
        let end = join(near, led.far, led.head, limits, &moved, self.closing()).await;
        self.counters.ended(&end, &moved);
        let time = start.elapsed();
        (self.observer)(&Event::Ended { client, peer, to, end: &end, moved: &moved, time });
    }

    async fn closing(&self) {
        let mut closed = self.closed.clone();
        // the sender is gone only when the door is
        let _ = closed.changed().await;
    }
}

/// Lets a client go that is led nowhere.
async fn part<N: Stream>(mut near: N, refusal: &Refusal) {
    if !refusal.told {
        return near.abort();
    }
    let _ = near.shutdown().await;
    relay::linger(&mut near).await;
}

#[cfg(test)]
mod tests;
