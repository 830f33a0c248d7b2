//! Streams that come in. Whoever connects has shown nothing yet: each gets a short time and one of few places until it
//! has said its preface and its second frame, the answer to what the engine answered to the first.

use super::dial::{DialError, PATIENCE, tune};
use super::lane::{broken, lied};
use super::{Streams, addresses};
use crate::stack::Shared;
use mpuser_engine::addr::{FourTuple, SocketAddr};
use mpuser_engine::wire::frame::{Answer, Decoder, PREFACE_LEN, Preface};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Streams at once that have not proved themselves.
const MAX_UNPROVED: usize = 128;
/// Pause after a failure to accept: the process may be out of descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// Takes streams in until the stack stops.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>, streams: Arc<Streams>) {
    let places = Arc::new(Semaphore::new(MAX_UNPROVED));
    // those that have not said their preface end with this task; the others have some last words
    let mut greetings = JoinSet::new();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        while greetings.try_join_next().is_some() {}
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let busy = Preface { answer: Answer::Busy, port: peer.port().max(1) };
            let _ = stream.try_write(&busy.emit());
            streams.refuse(&shared, peer, &DialError::new("no place is left", "it may try again"));
            continue;
        };
        tune(&stream);
        let (shared, streams) = (Arc::clone(&shared), Arc::clone(&streams));
        greetings.spawn(async move {
            if let Err(error) = greet(stream, peer, &shared, &streams, place).await {
                streams.refuse(&shared, peer, &error);
            }
        });
    }
}

/// The client's preface and the answer; the rest has a task of its own.
async fn greet(
    mut stream: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    streams: &Arc<Streams>,
    place: OwnedSemaphorePermit,
) -> Result<(), DialError> {
    let mut decoder = Decoder::default();
    let preface = timeout(PATIENCE, preface(&mut stream, &mut decoder)).await;
    let preface = preface.unwrap_or_else(|_| {
        Err(DialError::new("it says nothing", "only mpuser may connect here"))
    })?;
    stream.write_all(&preface.emit()).await.map_err(|error| broken(&error))?;
    let family = addresses(streams.interface);
    let own = family.into_iter().find(|own| own.is_ipv4() == peer.is_ipv4());
    let run = own.and_then(|own| {
        let tuple = FourTuple { local: SocketAddr::new(own, preface.port), remote: peer };
        streams.run(Arc::clone(shared), tuple, Some(place))
    });
    let run =
        run.ok_or_else(|| DialError::new("its stream is there already", "it may try again"))?;
    streams.runtime.spawn(run.accepted(stream, decoder));
    Ok(())
}

/// Reads no more than the preface: the rest is for the engine.
async fn preface(stream: &mut TcpStream, decoder: &mut Decoder) -> Result<Preface, DialError> {
    loop {
        if let Some(preface) = decoder.preface().map_err(|error| lied(&error))? {
            return Ok(Preface { answer: Answer::Welcome, ..preface });
        }
        let missing = PREFACE_LEN.saturating_sub(decoder.buffer().len()) as u64;
        let read = stream.take(missing).read_buf(decoder.buffer()).await;
        let read = read.map_err(|error| broken(&error))?;
        if read == 0 {
            return Err(DialError::new("it ended in its preface", "only mpuser may connect here"));
        }
    }
}

impl Streams {
    /// Somebody was turned away.
    fn refuse(&self, shared: &Shared, peer: SocketAddr, error: &DialError) {
        shared.with(|inner, _| inner.refused_stream(self, peer, error));
    }
}
