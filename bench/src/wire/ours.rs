//! mpuser over the hop, on tokio's current thread.

use super::kernel::{App, Meter, Transfer, Way};
use super::pattern::{CHUNK, Pattern};
use super::place::{Cpu, Hop, server};
use crate::passing::Passing;
use mpuser_engine::config::ConnectionConfig;
use mpuser_tun::lab::peer::Protocol;
use mpuser_tun::{MptcpStream, PathConfig, Stack};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How often the sending end looks whether the kernel has everything.
const LOOK: Duration = Duration::from_millis(1);
/// How long subflows may take to open.
const JOINS: Duration = Duration::from_secs(5);

/// Runs `work` with a stack over the hop, as a task of its own like those of a server or a client: the runtime's first
/// one costs a look at the poller every time it is woken.
///
/// # Errors
/// The stack cannot be made, or what the work says.
pub fn with_stack<R, F>(
    hop: Hop,
    config: ConnectionConfig,
    work: impl FnOnce(Stack) -> F,
) -> io::Result<R>
where
    R: Send + 'static,
    F: Future<Output = io::Result<R>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut builder = Stack::builder().connection(config);
        for (device, address) in hop.devices {
            builder = builder.path(PathConfig::new(device, IpAddr::V4(address)));
        }
        tokio::spawn(work(builder.build()?)).await.map_err(io::Error::other)?
    })
}

/// Connects to the kernel's application.
///
/// # Errors
/// As [`Stack::connect`], or the connection fell back to plain TCP.
pub async fn connect(stack: &Stack, server: SocketAddrV4) -> io::Result<MptcpStream> {
    let stream = stack.connect(SocketAddr::V4(server)).await?;
    if stream.is_mptcp() { Ok(stream) } else { Err(io::Error::other("fell back to plain TCP")) }
}

/// Waits until there are `count` subflows.
async fn joined(stream: &MptcpStream, count: usize) -> io::Result<()> {
    let established = || {
        let subflows = stream.subflows();
        subflows.iter().filter(|subflow| subflow.state == "ESTAB").count()
    };
    let all_there = async {
        while established() < count {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(JOINS, all_there)
        .await
        .map_err(|_| io::Error::other(format!("{} of {count} subflows came up", established())))
}

/// Moves `bytes` octets over the hop, on a subflow for each of its devices.
///
/// # Errors
/// The connection failed, or the octets are wrong.
pub fn transfer(hop: Hop, way: Way, bytes: u64) -> io::Result<Transfer> {
    pass(hop, way, bytes, Passing::Copied)
}

/// The same, with [`Passing::Shared`].
///
/// # Errors
/// As there.
pub fn transfer_shared(hop: Hop, way: Way, bytes: u64) -> io::Result<Transfer> {
    pass(hop, way, bytes, Passing::Shared)
}

fn pass(hop: Hop, way: Way, bytes: u64, passing: Passing) -> io::Result<Transfer> {
    let subflows = hop.devices.len();
    let app = App::start(Protocol::Mptcp, server(), way, bytes)?;
    with_stack(hop, ConnectionConfig::default(), async move |stack| {
        let mut stream = connect(&stack, server()).await?;
        let job = Job { way, bytes, subflows, passing };
        exchange(&mut stream, app, job, Meter::default()).await
    })
}

/// What is to be moved, and how.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Who sends.
    pub way: Way,
    /// Octets.
    pub bytes: u64,
    /// Subflows there are to be before the first octets but one are sent.
    pub subflows: usize,
    /// How they come and go.
    pub passing: Passing,
}

/// Moves octets between a connection and the kernel's application at its other end.
///
/// # Errors
/// As [`transfer`].
pub async fn exchange(
    stream: &mut MptcpStream,
    app: App,
    job: Job,
    meter: Meter,
) -> io::Result<Transfer> {
    let before = Cpu::of_thread();
    match job.way {
        Way::Up => {
            let first = send(stream, 0, 1).await?;
            joined(stream, job.subflows).await?;
            match job.passing {
                Passing::Copied => send(stream, first, job.bytes).await?,
                Passing::Shared => send_shared(stream, first, job.bytes).await?,
            };
            while !app.is_done() {
                tokio::time::sleep(LOOK).await;
            }
            let cpu = Cpu::of_thread().since(before);
            Ok(Transfer { cpu, ..app.join()? })
        }
        Way::Down => {
            let transfer = match job.passing {
                Passing::Copied => receive(stream, job.bytes, meter, before).await?,
                Passing::Shared => receive_shared(stream, job.bytes, meter, before).await?,
            };
            app.join()?;
            Ok(transfer)
        }
    }
}

/// Sends the octets from `position` to `end`; where it has come to.
async fn send(stream: &mut MptcpStream, mut position: u64, end: u64) -> io::Result<u64> {
    let pattern = Pattern::default();
    while position < end {
        position += stream.write(pattern.rest_of_chunk(position, end - position)).await? as u64;
    }
    Ok(position)
}

/// The same, handed over.
async fn send_shared(stream: &mut MptcpStream, mut position: u64, end: u64) -> io::Result<u64> {
    let pattern = Pattern::default();
    while position < end {
        let mut rest = pattern.shared_rest_of_chunk(position, end - position);
        position += stream.write_bytes(&mut rest).await? as u64;
    }
    Ok(position)
}

async fn receive(
    stream: &mut MptcpStream,
    bytes: u64,
    mut meter: Meter,
    before: Cpu,
) -> io::Result<Transfer> {
    let mut buffer = vec![0; CHUNK];
    while meter.bytes() < bytes {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        meter.take(buffer.get(..count).unwrap_or_default())?;
    }
    Ok(meter.finish(before))
}

async fn receive_shared(
    stream: &mut MptcpStream,
    bytes: u64,
    mut meter: Meter,
    before: Cpu,
) -> io::Result<Transfer> {
    while meter.bytes() < bytes {
        let chunk = stream.read_chunk(CHUNK).await?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        meter.take(&chunk)?;
    }
    Ok(meter.finish(before))
}
