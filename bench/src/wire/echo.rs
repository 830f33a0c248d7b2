//! Echoes of 32 octets: how long the way there and back takes, and what it costs the end behind the TUN device.

use super::bare::End;
use super::kernel::{App, Transfer};
use super::place::{Cpu, Hop, server};
use super::{ours, place};
use bytes::BytesMut;
use mpuser_engine::config::ConnectionConfig;
use mpuser_tun::clock;
use mpuser_tun::device::{Device as _, register};
use mpuser_tun::lab::peer::Protocol;
use socket2::Socket;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Octets of a question.
const QUESTION: usize = 32;
/// How long the bare echo stays awake before it sleeps, and how often it looks at the device between two at everything
/// else: as `tun/src/driver.rs` does.
const AWAKE: Duration = Duration::from_micros(50);
const LOOKS: usize = 4;
/// The port of the bare echo.
const PORT: u16 = 7;
const IP: usize = 20;

/// What echoes took.
#[derive(Clone, Copy, Debug)]
pub struct Echoes {
    /// The median of the times from question to answer.
    pub median: Duration,
    /// Processor time of the echoing end for each, kernel included.
    pub cpu: Duration,
}

impl Echoes {
    fn of(mut times: Vec<Duration>, cpu: Cpu) -> Self {
        times.sort_unstable();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        Self { median, cpu: cpu.total() / count }
    }
}

/// Asks `count` times and notes how long each answer took.
fn ask(
    count: usize,
    mut exchange: impl FnMut(&mut [u8; QUESTION]) -> io::Result<()>,
) -> io::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let question = [number as u8; QUESTION];
        let mut room = question;
        let start = clock::now();
        exchange(&mut room)?;
        times.push(clock::now().saturating_since(start));
        if room != question {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another echo than asked for"));
        }
    }
    Ok(times)
}

/// The kernel's application asks over its connection.
fn asking(count: usize) -> io::Result<(App, mpsc::Receiver<Vec<Duration>>)> {
    let (answers, times) = mpsc::channel();
    let app = App::run(Protocol::Mptcp, server(), move |mut socket: &Socket| {
        socket.set_tcp_nodelay(true)?;
        let all = ask(count, |room| {
            socket.write_all(room)?;
            socket.read_exact(room)
        })?;
        // nobody listens any more only if the other end has failed
        let _ = answers.send(all);
        Ok(Transfer::default())
    })?;
    Ok((app, times))
}

fn collect(app: App, times: &mpsc::Receiver<Vec<Duration>>, cpu: Cpu) -> io::Result<Echoes> {
    app.join()?;
    let times = times.recv().map_err(|_| io::Error::other("no echoes"))?;
    Ok(Echoes::of(times, cpu))
}

/// mpuser echoes.
///
/// # Errors
/// The connection failed.
pub fn ours(hop: Hop, count: usize) -> io::Result<Echoes> {
    let (app, times) = asking(count)?;
    ours::with_stack(hop, ConnectionConfig::default(), async move |stack| {
        let mut stream = ours::connect(&stack, server()).await?;
        let before = Cpu::of_thread();
        let mut room = [0; QUESTION];
        for _ in 0..count {
            stream.read_exact(&mut room).await?;
            stream.write_all(&room).await?;
        }
        // the last answer is out already: whoever writes, sends
        let cpu = Cpu::of_thread().since(before);
        while !app.is_done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        collect(app, &times, cpu)
    })
}

/// The end without a stack echoes, MPTCP towards the same application of the kernel's. It is awake for as long as mpuser
/// before it sleeps.
///
/// # Errors
/// As [`super::bare::transfer`].
pub fn bare_mptcp(hop: Hop, count: usize) -> io::Result<Echoes> {
    let (app, times) = asking(count)?;
    let mut end = End::connect(hop)?;
    let before = Cpu::of_thread();
    let mut answered = 0;
    let mut last = clock::now();
    while answered < count {
        let mut question = Vec::new();
        let got = end.receive(|payload| {
            question.extend_from_slice(payload);
            Ok(())
        })?;
        match got {
            None if answered > 0 && clock::now().saturating_since(last) < AWAKE => {}
            None => end.wait()?,
            Some(0) => {}
            Some(_) => {
                end.send_data(&question)?;
                answered += 1;
                last = clock::now();
            }
        }
    }
    let cpu = Cpu::of_thread().since(before);
    while !app.is_done() {
        end.wait()?;
        while end.receive(|_| Ok(()))?.is_some() {}
    }
    collect(app, &times, cpu)
}

/// The packet goes back as it came, addresses and ports exchanged: UDP over the same device in the same runtime. It
/// looks at the device before it sleeps for as long as mpuser does.
///
/// # Errors
/// What the device says.
pub fn bare(hop: Hop, count: usize) -> io::Result<Echoes> {
    bare_after(hop, count, AWAKE)
}

/// As [`bare`], but it sleeps at once.
///
/// # Errors
/// As there.
pub fn bare_asleep(hop: Hop, count: usize) -> io::Result<Echoes> {
    bare_after(hop, count, Duration::ZERO)
}

/// As [`bare`], awake for so long before a sleep.
fn bare_after(hop: Hop, count: usize, awake: Duration) -> io::Result<Echoes> {
    let (device, local) = hop.single()?;
    let (answers, times) = mpsc::channel();
    let thread = std::thread::spawn(move || -> io::Result<()> {
        place::pin(place::KERNEL_CORE)?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((local, PORT))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let all = ask(count, |room| {
            socket.send(room)?;
            socket.recv(room).map(drop)
        })?;
        let _ = answers.send(all);
        Ok(())
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let before = Cpu::of_thread();
    runtime.block_on(async {
        let descriptor = register(device.fd())?;
        let (mut arena, mut answered) = (BytesMut::new(), 0);
        while answered < count && !thread.is_finished() {
            let mut guard = descriptor.readable().await?;
            let mut last = clock::now();
            // mpuser, too, sleeps at once where nothing was answered yet
            let limit = if answered > 0 { awake } else { Duration::ZERO };
            loop {
                for _ in 0..if limit.is_zero() { 1 } else { LOOKS } {
                    while let Ok(received) = device.recv(clock::now(), &mut arena) {
                        let mut packet = received.packet.to_vec();
                        if turn_round(&mut packet).is_some() {
                            device.send(clock::now(), &packet, &[], None)?;
                            answered += 1;
                        }
                        last = clock::now();
                    }
                }
                if answered >= count || clock::now().saturating_since(last) >= limit {
                    break;
                }
                tokio::task::yield_now().await;
            }
            guard.clear_ready();
        }
        Ok::<_, io::Error>(())
    })?;
    let cpu = Cpu::of_thread().since(before);
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let times = times.recv().map_err(|_| io::Error::other("no echoes"))?;
    Ok(Echoes::of(times, cpu))
}

/// Makes a UDP packet an answer to itself. `None` if it is none.
fn turn_round(packet: &mut [u8]) -> Option<()> {
    if packet.first()? != &0x45 || packet.get(9)? != &17 {
        return None;
    }
    packet.get_mut(12..IP)?.rotate_left(4);
    packet.get_mut(IP..IP + 4)?.rotate_left(2);
    // none: with offload the one that came is not complete
    packet.get_mut(IP + 6..IP + 8)?.fill(0);
    Some(())
}
