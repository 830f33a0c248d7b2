//! One transfer: everything out, everything back, one path cut when half has come back.

use super::payload::Payload;
use crate::error::{Code, Failure};
use crate::units;
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use mpuser_tun::MptcpStream;
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

const CHUNK: usize = 256 * 1024;
/// How often the view is drawn and the cut considered.
const TICK: Duration = Duration::from_millis(20);
/// Silence after which the demo gives up; longer than the kernel's close timeout.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Bytes each way.
    pub(crate) size: u64,
    /// What they are drawn from.
    pub(crate) seed: u64,
}

/// What stands around a transfer: the lab or the pair of engines, and the view.
pub(crate) trait Stage {
    /// The connection now; `None` where it cannot be asked (a kernel client).
    fn info(&self) -> Option<ConnectionInfo>;
    /// Cuts the path of this subflow, or one of the stage's own choice; gives the path's name.
    fn cut(&mut self, busiest: Option<&SubflowInfo>) -> Result<String, Failure>;
    /// Called about every 20 ms.
    fn tick(&mut self, progress: &Snapshot);
}

/// Where the bytes come back from. Not `AsyncRead`: the stage asks the same stream for its state meanwhile.
pub(crate) trait Source {
    /// Reads what is there; 0 is the end.
    fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = std::io::Result<usize>>;
}

impl Source for &MptcpStream {
    async fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.try_read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.readable().await?;
                }
                outcome => return outcome,
            }
        }
    }
}

/// A transfer at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Since the connection was made.
    pub(crate) elapsed: Duration,
    /// Bytes to be received.
    pub(crate) size: u64,
    /// Bytes handed to the connection.
    pub(crate) sent: u64,
    /// Bytes received.
    pub(crate) received: u64,
    /// The connection.
    pub(crate) info: Option<ConnectionInfo>,
}

/// The cut.
#[derive(Clone, Debug)]
pub(crate) struct CutRecord {
    /// Name of the path.
    pub(crate) path: String,
    /// Since the start.
    pub(crate) at: Duration,
    /// Bytes received by then.
    pub(crate) received: u64,
    /// The connection just before.
    pub(crate) before: Option<ConnectionInfo>,
}

/// What came out.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Bytes handed to the connection.
    pub(crate) sent: u64,
    /// Bytes received.
    pub(crate) received: u64,
    /// The same bytes came back.
    pub(crate) sha256_ok: bool,
    /// From the first byte out to the end of the data.
    pub(crate) time: Duration,
    /// Longest time without a received byte from the cut on.
    pub(crate) stall: Duration,
    /// The cut; `None` if it was over before.
    pub(crate) cut: Option<CutRecord>,
    /// The connection at the end of the data.
    pub(crate) info: Option<ConnectionInfo>,
}

/// Finds the longest silence from the cut on.
#[derive(Clone, Copy, Debug)]
struct GapMeter {
    last: Instant,
    armed: bool,
    longest: Duration,
}

impl GapMeter {
    const fn new(now: Instant) -> Self {
        Self { last: now, armed: false, longest: Duration::ZERO }
    }

    /// Bytes arrived. A gap that began before the cut counts whole: that is what a user sees.
    fn note(&mut self, now: Instant) {
        if self.armed {
            self.longest = self.longest.max(now.saturating_duration_since(self.last));
        }
        self.last = now;
    }
}

struct Shared {
    start: Instant,
    sent: Cell<u64>,
    received: Cell<u64>,
    gaps: RefCell<GapMeter>,
}

/// Moves `plan.size` bytes out and back over `reader` and `writer`.
pub(crate) async fn run<R, W>(
    reader: &mut R,
    writer: &mut W,
    plan: Plan,
    stage: &mut impl Stage,
) -> Result<Measured, Failure>
where
    R: Source,
    W: AsyncWrite + Unpin,
{
    let start = Instant::now();
    let shared = Shared {
        start,
        sent: Cell::new(0),
        received: Cell::new(0),
        gaps: RefCell::new(GapMeter::new(start)),
    };
    let mut cut = None;
    let both = async { tokio::try_join!(send(writer, plan, &shared), receive(reader, &shared)) };
    let watch = watch(plan, &shared, stage, &mut cut);
    let (sent, received) = tokio::select! {
        moved = both => moved?,
        failure = watch => return Err(failure),
    };
    let stall = shared.gaps.borrow().longest;
    Ok(Measured {
        sent: shared.sent.get(),
        received: shared.received.get(),
        sha256_ok: sent == received && shared.received.get() == plan.size,
        // the end of the data is the last thing received
        time: start.elapsed(),
        stall,
        cut,
        info: stage.info(),
    })
}

async fn send<W>(writer: &mut W, plan: Plan, shared: &Shared) -> Result<[u8; 32], Failure>
where
    W: AsyncWrite + Unpin,
{
    let mut payload = Payload::new(plan.seed, plan.size);
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = payload.fill(&mut buffer);
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            let taken = writer.write(rest).await.map_err(|error| lost(&error, shared))?;
            if taken == 0 {
                return Err(lost(&std::io::ErrorKind::WriteZero.into(), shared));
            }
            rest = rest.get(taken..).unwrap_or_default();
            shared.sent.set(shared.sent.get() + u64::try_from(taken).unwrap_or(0));
        }
    }
    writer.shutdown().await.map_err(|error| lost(&error, shared))?;
    Ok(payload.digest())
}

async fn receive<R>(reader: &mut R, shared: &Shared) -> Result<[u8; 32], Failure>
where
    R: Source,
{
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = reader.read(&mut buffer).await.map_err(|error| lost(&error, shared))?;
        if length == 0 {
            return Ok(hash.finalize().into());
        }
        shared.gaps.borrow_mut().note(Instant::now());
        hash.update(buffer.get(..length).unwrap_or_default());
        shared.received.set(shared.received.get() + u64::try_from(length).unwrap_or(0));
    }
}

/// Draws, cuts, and gives up if nothing moves. Ends only with a failure.
async fn watch(
    plan: Plan,
    shared: &Shared,
    stage: &mut impl Stage,
    cut: &mut Option<CutRecord>,
) -> Failure {
    let mut ticks = tokio::time::interval(TICK);
    let mut moved = (0, shared.start);
    loop {
        let now = ticks.tick().await;
        let received = shared.received.get();
        let info = stage.info();
        if cut.is_none() && received >= plan.size / 2 && received < plan.size {
            // the gap that began before the cut counts, so arm first
            shared.gaps.borrow_mut().armed = true;
            let at = shared.start.elapsed();
            match stage.cut(info.as_ref().and_then(busiest)) {
                Ok(path) => *cut = Some(CutRecord { path, at, received, before: info.clone() }),
                Err(failure) => return failure,
            }
        }
        stage.tick(&Snapshot {
            elapsed: shared.start.elapsed(),
            size: plan.size,
            sent: shared.sent.get(),
            received,
            info,
        });
        let total = received + shared.sent.get();
        if total != moved.0 {
            moved = (total, now);
        } else if now.saturating_duration_since(moved.1) > PATIENCE {
            return silent(shared);
        }
    }
}

/// The live subflow that carried most.
pub(crate) fn busiest(info: &ConnectionInfo) -> Option<&SubflowInfo> {
    let live = info.subflows.iter().filter(|subflow| subflow.state == "ESTAB");
    live.max_by_key(|subflow| subflow.bytes_sent.saturating_add(subflow.bytes_received))
}

fn lost(error: &std::io::Error, shared: &Shared) -> Failure {
    Failure::new(
        Code::Lost,
        format!(
            "the demo's connection ended after {} came back",
            units::size(shared.received.get())
        ),
        crate::error::plain_words(error),
        "keep the capture file: it shows the last packets",
    )
}

fn silent(shared: &Shared) -> Failure {
    let received = units::size(shared.received.get());
    Failure::new(
        Code::Timeout,
        format!("the demo's connection stands still after {received}"),
        format!("nothing moved either way for {}", units::time(PATIENCE)),
        "keep the capture file: it shows the last packets",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncRead, AsyncReadExt as _};

    struct Plain<R>(R);

    impl<R: AsyncRead + Unpin> Source for Plain<R> {
        async fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer).await
        }
    }

    #[derive(Default)]
    struct Bare {
        cuts: usize,
        ticks: usize,
    }

    impl Stage for Bare {
        fn info(&self) -> Option<ConnectionInfo> {
            None
        }
        fn cut(&mut self, busiest: Option<&SubflowInfo>) -> Result<String, Failure> {
            assert!(busiest.is_none());
            self.cuts += 1;
            Ok("eth1".to_owned())
        }
        fn tick(&mut self, progress: &Snapshot) {
            assert!(progress.received <= progress.sent);
            self.ticks += 1;
        }
    }

    async fn through(spoil: bool, pause: Option<Duration>) -> (Result<Measured, Failure>, Bare) {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let echo = async move {
            let mut buffer = vec![0; 16 * 1024];
            let mut echoed = 0;
            loop {
                let length = far.read(&mut buffer).await.unwrap();
                if length == 0 {
                    break;
                }
                if spoil && echoed == 0 {
                    buffer[0] ^= 1;
                }
                let half = 512 * 1024;
                if echoed < half && echoed + length >= half {
                    tokio::time::sleep(pause.unwrap_or_default()).await;
                }
                echoed += length;
                far.write_all(&buffer[..length]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (reader, mut writer) = tokio::io::split(near);
        let mut reader = Plain(reader);
        let mut stage = Bare::default();
        let plan = Plan { size: 1 << 20, seed: 3 };
        let (result, ()) = tokio::join!(
            async {
                let r = run(&mut reader, &mut writer, plan, &mut stage).await;
                drop((reader, writer));
                r
            },
            echo
        );
        (result, stage)
    }

    #[tokio::test(start_paused = true)]
    async fn everything_comes_back_and_the_cut_happens_once() {
        let (result, stage) = through(false, None).await;
        let measured = result.unwrap();
        assert_eq!((measured.sent, measured.received), (1 << 20, 1 << 20));
        assert!(measured.sha256_ok);
        assert_eq!(stage.cuts, 1);
        assert!(stage.ticks > 1);
        let cut = measured.cut.unwrap();
        assert_eq!(cut.path, "eth1");
        assert!(cut.received >= 512 * 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn one_wrong_bit_is_seen() {
        assert!(!through(true, None).await.0.unwrap().sha256_ok);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_given_up() {
        let (result, _) = {
            // the far end never answers
            let (near, far) = tokio::io::duplex(1024);
            let (reader, mut writer) = tokio::io::split(near);
            let mut reader = Plain(reader);
            let mut stage = Bare::default();
            let plan = Plan { size: 1 << 20, seed: 3 };
            let result = run(&mut reader, &mut writer, plan, &mut stage).await;
            drop(far);
            (result, stage)
        };
        assert_eq!(result.unwrap_err().code, Code::Timeout);
    }

    #[test]
    fn only_gaps_from_the_cut_on_count() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut gaps = GapMeter::new(start);
        gaps.note(at(500));
        gaps.armed = true;
        gaps.note(at(700));
        gaps.note(at(710));
        assert_eq!(gaps.longest, Duration::from_millis(200));
    }
}
