//! Bytes in both directions at once, and something that happens in their middle.

use super::super::data::drain;
use super::cell::{Cell, Condition, LARGE};
use mpuser_tun::MptcpStream;
use mpuser_tun::lab::Lab;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

/// The link of the first subflow.
const FIRST: &str = "eth1";
/// Half a period of flapping.
const HALF_PERIOD: Duration = Duration::from_millis(500);
/// How long a cell's transfer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far the transfer is: bytes that arrived here, and whether what is to happen has happened.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    arrived: watch::Sender<usize>,
    trouble: watch::Sender<bool>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { arrived: watch::Sender::new(0), trouble: watch::Sender::new(false) }
    }

    /// So many bytes have arrived.
    fn is_at(&self, bytes: usize) {
        self.arrived.send_replace(bytes);
    }

    /// Waits until this many bytes have arrived.
    async fn arrived(&self, bytes: usize) {
        let _ = self.arrived.subscribe().wait_for(|now| *now >= bytes).await;
    }

    /// Waits until what is to happen has happened.
    pub(super) async fn trouble(&self) {
        let _ = self.trouble.subscribe().wait_for(|done| *done).await;
    }
}

/// Where the sender stops and waits: half of the data. `None`: it does not.
pub(super) fn gate(cell: &Cell) -> Option<usize> {
    (cell.size < LARGE).then_some(cell.size / 2)
}

/// Changes the lab without holding up the stack's thread.
async fn cut(lab: &Lab, cut: bool) {
    let lab = lab.clone();
    let work = move || lab.cut(FIRST, cut).unwrap_or_else(|e| panic!("{e}"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| panic!("{e}"));
}

/// What happens on the way, while `work` goes on; the link is whole again afterwards unless it was cut for good.
pub(super) async fn with_trouble<T>(
    cell: &Cell,
    lab: &Lab,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> T {
    let trouble = async {
        let large_flap = cell.condition == Condition::Flap && cell.size >= LARGE;
        progress.arrived(if large_flap { 0 } else { cell.size / 2 }).await;
        match cell.condition {
            Condition::Clean | Condition::Loss | Condition::Reorder => {
                progress.trouble.send_replace(true);
            }
            Condition::Cut => {
                cut(lab, true).await;
                progress.trouble.send_replace(true);
            }
            Condition::Flap => {
                let mut clock = tokio::time::interval(HALF_PERIOD);
                for down in [true, false].into_iter().cycle() {
                    clock.tick().await;
                    cut(lab, down).await;
                    progress.trouble.send_replace(true);
                }
            }
        }
        std::future::pending().await
    };
    let done = tokio::select! {
        done = tokio::time::timeout(PATIENCE, work) => done,
        never = trouble => never,
    };
    if cell.condition == Condition::Flap {
        cut(lab, false).await;
    }
    done.unwrap_or_else(|_| panic!("{cell}: not done within {PATIENCE:?}"))
}

/// As a client: sends the bytes, ends its data, and reads the echo; how much came, and its hash.
pub(super) async fn send_and_receive(
    stream: &mut MptcpStream,
    bytes: &[u8],
    gate: Option<usize>,
    progress: &Progress,
) -> io::Result<(usize, String)> {
    let (read, mut write) = stream.split();
    let send = async {
        let (first, rest) = bytes.split_at(gate.unwrap_or(bytes.len()));
        write.write_all(first).await?;
        if gate.is_some() {
            progress.trouble().await;
            write.write_all(rest).await?;
        }
        write.shutdown().await
    };
    let (received, ()) =
        tokio::try_join!(drain(read, tokio::io::sink(), |bytes| progress.is_at(bytes)), send)?;
    Ok(received)
}

/// As a server: sends back what comes, to its end; how much came, and its hash.
pub(super) async fn echo(
    stream: &mut MptcpStream,
    progress: &Progress,
) -> io::Result<(usize, String)> {
    let (read, mut write) = stream.split();
    let received = drain(read, &mut write, |bytes| progress.is_at(bytes)).await?;
    write.shutdown().await?;
    Ok(received)
}
