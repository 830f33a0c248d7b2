//! A measuring client on the kernel's sockets, to compare the engine with.

use std::io::{Read as _, Write as _};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use super::{CHUNK, Protocol, now, pattern, pattern_at, socket, socket_error};
use crate::net::{ErrorKind, NetError, Netns, Result};

const SOL_MPTCP: libc::c_int = 284;
const MPTCP_INFO: libc::c_int = 1;
/// The bit of `mptcpi_flags` for a connection that fell back.
const MPTCP_INFO_FLAG_FALLBACK: u32 = 1;

/// The start of the kernel's `struct mptcp_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct MptcpInfo {
    subflows: u8,
    add_addr_signal: u8,
    add_addr_accepted: u8,
    subflows_max: u8,
    add_addr_signal_max: u8,
    add_addr_accepted_max: u8,
    flags: u32,
    token: u32,
}

/// How long a transfer may stand still before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long joins may take.
const SETTLING: Duration = Duration::from_secs(5);

/// A pause that people notice; shorter ones are not added up.
const STALL: Duration = Duration::from_millis(50);

/// What a transfer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes of data received (and, for an echo, sent before that).
    pub bytes: u64,
    /// From the first write or read to the last byte read.
    pub elapsed: Duration,
    /// The longest time between two reads.
    pub longest_stall: Duration,
    /// The sum of the times between two reads that were longer than 50 ms.
    pub stalled: Duration,
    /// The largest number of subflows seen; 0 after a fallback to TCP.
    pub subflows: u32,
}

impl Transfer {
    /// Bits of received data per second.
    pub fn goodput(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let bits = self.bytes as f64 * 8.0;
        if seconds > 0.0 { bits / seconds } else { 0.0 }
    }
}

/// A connection of the kernel's to a peer.
#[derive(Debug)]
pub struct KernelClient {
    stream: TcpStream,
}

impl KernelClient {
    /// Connects from `ns`.
    pub fn connect(ns: &Netns, peer: SocketAddr, protocol: Protocol) -> Result<Self> {
        let connect = || -> std::io::Result<TcpStream> {
            let socket = socket(protocol, peer)?;
            socket.connect_timeout(&peer.into(), PATIENCE)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(socket.into())
        };
        let what = || format!("the kernel cannot connect to {peer}");
        let stream = ns.run(connect)?.map_err(|e| socket_error(&what(), &e))?;
        Ok(Self { stream })
    }

    /// How many subflows the connection has now; `None` if it is plain TCP.
    pub fn subflows(&self) -> Option<u32> {
        let mut info = MptcpInfo::default();
        let mut len = libc::socklen_t::try_from(mem::size_of::<MptcpInfo>()).ok()?;
        // SAFETY: info and len outlive the call, len is the size of info, and every bit pattern
        // is a valid MptcpInfo; the kernel writes at most len bytes.
        let result = unsafe {
            libc::getsockopt(
                self.stream.as_raw_fd(),
                SOL_MPTCP,
                MPTCP_INFO,
                (&raw mut info).cast(),
                &raw mut len,
            )
        };
        // The kernel counts those beside the first one.
        let whole = result == 0 && info.flags & MPTCP_INFO_FLAG_FALLBACK == 0;
        whole.then(|| u32::from(info.subflows) + 1)
    }

    /// One octet to an echo server and back, then waits for so many subflows: a kernel client joins only after an answer,
    /// and data that joins meet on its way may be misplaced by a Linux server (docs/kernel-joins.md).
    ///
    /// # Errors
    /// The exchange failed, or there are not so many after 5 s.
    pub fn settle(&self, subflows: u32) -> Result<()> {
        let exchange = || -> std::io::Result<()> {
            (&self.stream).write_all(&[0])?;
            (&self.stream).read_exact(&mut [0])
        };
        exchange().map_err(|e| socket_error("the first octet did not come back", &e))?;
        let start = now();
        while self.subflows().unwrap_or(0) < subflows {
            if now().duration_since(start) > SETTLING {
                let there = self.subflows().unwrap_or(0);
                let because = format!("there are {there} subflows instead of {subflows} after 5 s");
                let help = "`ip mptcp limits` and `ip mptcp endpoint` at both ends say what may be";
                return Err(NetError::new(ErrorKind::Socket, "too few joins", because, help));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Sends `bytes`, ends its data, and reads the same back from an echo server.
    pub fn echo(&self, bytes: u64) -> Result<Transfer> {
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| self.send(bytes));
            let received = self.receive(bytes);
            if received.is_err() {
                // Nobody reads any more, so the writer would only wait.
                let _ = self.stream.shutdown(Shutdown::Both);
            }
            let sent = sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let transfer = received?;
            sent.map(|()| transfer)
        })
    }

    /// Ends its data and reads `bytes` from a source.
    pub fn download(&self, bytes: u64) -> Result<Transfer> {
        self.finish()?;
        self.receive(bytes)
    }

    fn finish(&self) -> Result<()> {
        let done = self.stream.shutdown(Shutdown::Write);
        done.map_err(|e| socket_error("the kernel cannot end its data", &e))
    }

    fn send(&self, bytes: u64) -> Result<()> {
        let pattern = pattern();
        let mut position = 0;
        while position < bytes {
            let chunk = pattern_at(&pattern, position, bytes - position);
            let done = (&self.stream).write_all(chunk);
            done.map_err(|e| socket_error(&format!("sending stopped at byte {position}"), &e))?;
            position += chunk.len() as u64;
        }
        self.finish()
    }

    fn receive(&self, bytes: u64) -> Result<Transfer> {
        let pattern = pattern();
        let mut buffer = vec![0; CHUNK];
        let mut gaps = Gaps::new(now());
        let (mut position, mut subflows) = (0u64, self.subflows().unwrap_or(0));
        let start = gaps.last;
        loop {
            let n = match (&self.stream).read(&mut buffer) {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    let what = format!("receiving stopped at byte {position}");
                    return Err(socket_error(&what, &e));
                }
            };
            if n == 0 {
                break;
            }
            gaps.read_at(now());
            let wanted = pattern_at(&pattern, position, n as u64);
            if buffer.get(..n) != Some(wanted) {
                return Err(wrong(format!("wrong data between byte {position} and {n} later")));
            }
            position += n as u64;
            subflows = subflows.max(self.subflows().unwrap_or(0));
        }
        if position != bytes {
            return Err(wrong(format!("the data ended after {position} of {bytes} bytes")));
        }
        let Gaps { last, longest, stalled } = gaps;
        let elapsed = last.duration_since(start);
        Ok(Transfer { bytes, elapsed, longest_stall: longest, stalled, subflows })
    }
}

fn wrong(because: String) -> NetError {
    let help = "a Linux server can do that when a subflow joins in the middle (docs/kernel-joins.md), or the peer is not the server it should be";
    NetError::new(ErrorKind::Socket, "the transfer is not intact", because, help)
}

/// The times between reads.
struct Gaps {
    last: Instant,
    longest: Duration,
    stalled: Duration,
}

impl Gaps {
    const fn new(start: Instant) -> Self {
        Self { last: start, longest: Duration::ZERO, stalled: Duration::ZERO }
    }

    fn read_at(&mut self, at: Instant) {
        let gap = at.saturating_duration_since(self.last);
        self.longest = self.longest.max(gap);
        if gap > STALL {
            self.stalled += gap;
        }
        self.last = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::peer::PERIOD;

    #[test]
    fn the_pattern_goes_on_over_chunks() {
        let p = pattern();
        let mut whole = Vec::new();
        while whole.len() < 3 * CHUNK {
            let len = 1 + whole.len() % 999;
            whole.extend_from_slice(pattern_at(&p, whole.len() as u64, len as u64));
        }
        assert!(whole.iter().enumerate().all(|(i, b)| usize::from(*b) == i % PERIOD));
        assert_eq!(pattern_at(&p, 0, u64::MAX).len(), CHUNK);
    }

    #[test]
    fn gaps_and_goodput() {
        let start = now();
        let mut gaps = Gaps::new(start);
        for ms in [10, 20, 120, 125] {
            gaps.read_at(start + Duration::from_millis(ms));
        }
        assert_eq!(gaps.longest, Duration::from_millis(100));
        assert_eq!(gaps.stalled, Duration::from_millis(100));
        let t = Transfer {
            bytes: 1_000_000,
            elapsed: Duration::from_secs(2),
            longest_stall: Duration::ZERO,
            stalled: Duration::ZERO,
            subflows: 1,
        };
        assert!((t.goodput() - 4e6).abs() < 1.0);
    }
}
