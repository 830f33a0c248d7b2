//! One connection's data, in one or both directions.

use super::link::Link;
use super::wire::{END, Order, Reader, Tally, say};
use bytes::Bytes;
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// A connection and what has gone over it.
#[derive(Debug)]
pub(super) struct Flow {
    /// What it is called in the lines.
    pub(super) number: u32,
    /// The connection.
    pub(super) link: Link,
    sent: AtomicU64,
    received: AtomicU64,
}

/// What one end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// It sends so much, in blocks of this length.
    pub(super) send: Option<(Amount, u32)>,
    /// It hands them over.
    pub(super) zerocopy: bool,
    /// It is sent something.
    pub(super) receive: bool,
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// For so long.
    Time(Duration),
    /// So many octets.
    Bytes(u64),
}

impl Job {
    /// The part of an order that falls to the client, or to the server.
    pub(super) fn of(order: &Order, client: bool) -> Self {
        let amount = match (order.bytes, order.milliseconds) {
            (Some(bytes), _) => Amount::Bytes(bytes),
            (None, time) => Amount::Time(Duration::from_millis(time.unwrap_or_default())),
        };
        let (sends, receive) = if client { (order.up, order.down) } else { (order.down, order.up) };
        let send = sends.then_some((amount, order.length));
        Self { send, zerocopy: order.zerocopy, receive }
    }
}

/// A connection at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Octets of data sent and received.
    pub(super) total: (u64, u64),
    /// Segments sent again.
    pub(super) retransmits: Option<u64>,
    /// Its subflows, where it is ours.
    pub(super) subflows: Vec<SubflowInfo>,
}

impl Flow {
    pub(super) const fn new(number: u32, link: Link) -> Self {
        Self { number, link, sent: AtomicU64::new(0), received: AtomicU64::new(0) }
    }

    /// What has gone over it up to now. What waits in our stack's send buffer is not sent yet.
    pub(super) fn sample(&self) -> Sample {
        let (sent, received) = (self.sent.load(Relaxed), self.received.load(Relaxed));
        match self.link.info() {
            None => Sample { total: (sent, received), ..Sample::default() },
            Some(info) => Sample {
                // with what belongs to the protocol it can be more than there is data
                total: (info.bytes_sent.min(sent), received),
                retransmits: Some(retransmits(&info)),
                subflows: info.subflows,
            },
        }
    }

    /// Does the job, and tells each other what it was: this end's tally and the other's.
    pub(super) async fn transfer(
        self: Arc<Self>,
        job: Job,
        mut reader: Reader,
    ) -> io::Result<(Tally, Tally)> {
        let start = Instant::now();
        let sending = async {
            if let Some((amount, length)) = job.send {
                self.send(amount, length, job.zerocopy, start).await?;
            }
            let time = start.elapsed();
            self.link.write_all(&END).await.map(|()| time)
        };
        let receiving = async {
            let count = |piece| {
                self.received.fetch_add(piece, Relaxed);
            };
            reader.blocks(&self.link, count).await?;
            Ok(start.elapsed())
        };
        let (send_time, receive_time) = tokio::try_join!(sending, receiving)?;
        let own = Tally {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            send_seconds: send_time.as_secs_f64(),
            receive_seconds: receive_time.as_secs_f64(),
            retransmits: self.link.info().map(|info| retransmits(&info)),
        };
        say(&self.link, &own).await?;
        let theirs = reader.line(&self.link).await?;
        Ok((own, theirs))
    }

    async fn send(
        &self,
        amount: Amount,
        length: u32,
        zerocopy: bool,
        start: Instant,
    ) -> io::Result<()> {
        let mut block = block(length);
        let left = |amount| match amount {
            Amount::Time(time) => {
                if start.elapsed() < time {
                    u64::from(length)
                } else {
                    0
                }
            }
            Amount::Bytes(bytes) => bytes.saturating_sub(self.sent.load(Relaxed)),
        };
        loop {
            let now = u32::try_from(left(amount)).unwrap_or(u32::MAX).min(length);
            if now == 0 {
                return Ok(());
            }
            if now < length {
                // the last one
                block = self::block(now);
            }
            if zerocopy {
                self.link.hand_over(block.clone()).await?;
            } else {
                self.link.write_all(&block).await?;
            }
            self.sent.fetch_add(u64::from(now), Relaxed);
        }
    }
}

/// A block with `length` octets of data.
fn block(length: u32) -> Bytes {
    let data = (0..length).map(|number| number.to_le_bytes()[0]);
    length.to_be_bytes().into_iter().chain(data).collect()
}

/// Segments sent again, on all subflows.
fn retransmits(info: &ConnectionInfo) -> u64 {
    let of = |subflow: &SubflowInfo| subflow.bytes_retrans.div_ceil(u64::from(subflow.mss).max(1));
    info.subflows.iter().map(of).sum()
}
