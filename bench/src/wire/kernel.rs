//! The kernel's application: the other end of every hop, on a thread and a core of its own.

use super::pattern::{CHUNK, Check, Pattern};
use super::place::{Cpu, KERNEL_CORE, pin};
use mpuser_engine::time::Instant;
use mpuser_tun::clock;
use mpuser_tun::lab::peer::Protocol;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddrV4;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Which way data goes, seen from the stack under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The stack sends.
    Up,
    /// The kernel sends.
    Down,
}

/// How long a socket may stand still before the transfer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const IPPROTO_MPTCP: i32 = 262;

/// What went through one end.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// Octets of data.
    pub bytes: u64,
    /// From the first octet that was received to the last.
    pub elapsed: Duration,
    /// Processor time of the end that measured.
    pub cpu: Cpu,
    /// Silences.
    pub gaps: Gaps,
}

impl Transfer {
    /// Gbit/s of data.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn gbps(&self) -> f64 {
        self.bytes as f64 * 8e-9 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Nanoseconds of the program's own processor time for every octet.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn user_ns_per_byte(&self) -> f64 {
        self.cpu.user.as_secs_f64() * 1e9 / self.bytes.max(1) as f64
    }
}

/// A silence that people notice; shorter ones are not added up.
const NOTICED: Duration = Duration::from_millis(50);

/// Times in which nothing was received.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    /// The longest.
    pub longest: Duration,
    /// The sum of those over 50 ms.
    pub noticed: Duration,
    /// When each of those began, and how long it was.
    pub each: Vec<(Instant, Duration)>,
}

impl Gaps {
    fn add(&mut self, from: Instant, gap: Duration) {
        self.longest = self.longest.max(gap);
        if gap > NOTICED {
            self.noticed += gap;
            self.each.push((from, gap));
        }
    }
}

/// A meter for the receiving end.
#[derive(Debug, Default)]
pub struct Meter {
    check: Check,
    /// What was received before this many octets is not measured.
    start: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    gaps: Gaps,
    progress: Arc<AtomicU64>,
}

impl Meter {
    /// A meter that starts after `start` octets. After one, at least: a sender may have that one ahead, which opens the
    /// door to further subflows, and go on when they are there.
    #[must_use]
    pub fn from(start: u64, progress: Arc<AtomicU64>) -> Self {
        Self { start, progress, ..Self::default() }
    }

    /// Takes in what was read.
    ///
    /// # Errors
    /// It is not what belongs there.
    pub fn take(&mut self, read: &[u8]) -> io::Result<()> {
        let before = self.bytes();
        self.check.take(read)?;
        self.progress.store(self.bytes(), Ordering::Relaxed);
        let now = clock::now();
        if let (Some(last), true) = (self.last, before > self.start) {
            self.gaps.add(last, now.saturating_since(last));
        }
        if before > self.start {
            self.first.get_or_insert(now);
        }
        self.last = Some(now);
        Ok(())
    }

    /// Octets so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.check.position()
    }

    /// The transfer, now that it is over.
    #[must_use]
    pub fn finish(&self, before: Cpu) -> Transfer {
        let elapsed =
            self.first.map_or(Duration::ZERO, |first| clock::now().saturating_since(first));
        let (bytes, cpu) = (self.bytes() - self.start, Cpu::of_thread().since(before));
        Transfer { bytes, elapsed, cpu, gaps: self.gaps.clone() }
    }
}

/// A socket of the kernel's with cubic: the machine's default may be bbr, whose pacing is another subject.
///
/// # Errors
/// As the system calls say.
pub fn socket(protocol: Protocol) -> io::Result<Socket> {
    let number = if protocol == Protocol::Mptcp { IPPROTO_MPTCP } else { 6 };
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(number.into()))?;
    socket.set_tcp_congestion(b"cubic")?;
    Ok(socket)
}

/// A listener in the namespace of the calling thread.
///
/// # Errors
/// As the system calls say.
pub fn listen(protocol: Protocol, at: SocketAddrV4) -> io::Result<Socket> {
    let listener = socket(protocol)?;
    listener.set_reuse_address(true)?;
    // with one address of several the kernel resets joins to the others
    listener.bind(&SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, at.port()).into())?;
    listener.listen(1024)?;
    Ok(listener)
}

/// The next connection, if one comes within `limit`.
///
/// # Errors
/// As the system calls say.
pub fn accept(listener: &Socket, limit: Duration) -> io::Result<Option<Socket>> {
    // the kernel does not hold a listener of MPTCP to SO_RCVTIMEO
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    if poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], limit)? == 0 {
        return Ok(None);
    }
    let (socket, _) = listener.accept()?;
    socket.set_tcp_congestion(b"cubic")?;
    Ok(Some(socket))
}

/// Sends the octets from `position` to `end`; where it has come to.
///
/// # Errors
/// As the system calls say.
pub fn send(mut socket: &Socket, mut position: u64, end: u64) -> io::Result<u64> {
    let pattern = Pattern::default();
    while position < end {
        position += socket.write(pattern.rest_of_chunk(position, end - position))? as u64;
    }
    Ok(position)
}

/// Receives `bytes` octets.
///
/// # Errors
/// As the system calls say, or the octets are wrong.
pub fn receive(mut socket: &Socket, bytes: u64, mut meter: Meter) -> io::Result<Transfer> {
    let (mut buffer, before) = (vec![0; CHUNK], Cpu::of_thread());
    while meter.bytes() < bytes {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            let at = meter.bytes();
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the end at {at}")));
        }
        meter.take(buffer.get(..count).unwrap_or_default())?;
    }
    Ok(meter.finish(before))
}

/// An application of the kernel's that takes one connection, and resets it when it is joined or dropped.
#[derive(Debug)]
pub struct App {
    thread: JoinHandle<io::Result<Transfer>>,
    done: Arc<AtomicBool>,
    /// Keeps the connection.
    hold: mpsc::Sender<()>,
}

impl App {
    /// Listens at `at` in the namespace of the calling thread, to send or receive `bytes` octets.
    ///
    /// # Errors
    /// As the system calls say.
    pub fn start(protocol: Protocol, at: SocketAddrV4, way: Way, bytes: u64) -> io::Result<Self> {
        Self::metered(protocol, at, way, bytes, Meter::default())
    }

    /// As [`App::start`], with another meter where it receives.
    ///
    /// # Errors
    /// As the system calls say.
    pub fn metered(
        protocol: Protocol,
        at: SocketAddrV4,
        way: Way,
        bytes: u64,
        meter: Meter,
    ) -> io::Result<Self> {
        Self::run(protocol, at, move |socket| match way {
            Way::Up => receive(socket, bytes, meter),
            Way::Down => {
                let before = Cpu::of_thread();
                send(socket, 0, bytes)?;
                let cpu = Cpu::of_thread().since(before);
                Ok(Transfer { bytes, cpu, ..Transfer::default() })
            }
        })
    }

    /// Listens at `at`, and gives the first connection to `serve` on a thread on [`KERNEL_CORE`].
    ///
    /// # Errors
    /// As the system calls say.
    pub fn run(
        protocol: Protocol,
        at: SocketAddrV4,
        serve: impl FnOnce(&Socket) -> io::Result<Transfer> + Send + 'static,
    ) -> io::Result<Self> {
        let listener = listen(protocol, at)?;
        let done = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&done);
        let (hold, held) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("kernel-app".to_owned()).spawn(move || {
                pin(KERNEL_CORE)?;
                let Some(socket) = accept(&listener, PATIENCE)? else {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody connects"));
                };
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                let outcome = serve(&socket);
                theirs.store(true, Ordering::Release);
                // what was sent is perhaps still on its way
                let _ = held.recv_timeout(PATIENCE);
                socket.set_linger(Some(Duration::ZERO))?;
                outcome
            })?;
        Ok(Self { thread, done, hold })
    }

    /// Whether it has sent or received everything, or failed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) || self.thread.is_finished()
    }

    /// Waits for its end: what went through it.
    ///
    /// # Errors
    /// What failed.
    pub fn join(self) -> io::Result<Transfer> {
        drop(self.hold);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
