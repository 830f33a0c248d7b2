//! A stack: an engine, its devices, and the tasks that keep them going.

mod capture;
mod conn;
mod inner;
mod path;
mod pm;
mod streams;
mod view;

pub(crate) use conn::{Conn, Holder, Phase, SharedLog, Waiters};
pub(crate) use inner::Inner;
pub use path::PathStats;
pub(crate) use path::{Carriage, Path};
pub use view::Multipath;
pub(crate) use view::WeakStack;

use crate::device::Device;
use crate::error::Error;
use crate::stream::MptcpStream;
use crate::{clock, driver};
use capture::Capture;
use mpuser_capture::CaptureWriter;
use mpuser_engine::LocalAddress;
use mpuser_engine::addr::{InterfaceId, IpAddr, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::counters::Counters;
use mpuser_engine::error::ConnectError;
use mpuser_engine::time::{Duration, Instant};
use mpuser_record::{Recorded, Recorder};
use std::io::{self, Read};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWriteExt as _;
use tokio::net::ToSocketAddrs;
use tokio::sync::Notify;

/// How long the FINs of subflows may take once their connections are over.
const LAST_FINS: Duration = Duration::from_secs(1);

/// A device and the addresses that live behind it.
#[derive(Debug)]
pub struct PathConfig {
    device: Box<dyn Device>,
    addresses: Vec<IpAddr>,
    name: Option<String>,
    outlet: Option<String>,
    backup: bool,
    mtu: Option<u16>,
}

impl PathConfig {
    /// A path over `device` with this end's `address`.
    pub fn new(device: impl Device + 'static, address: IpAddr) -> Self {
        Self::boxed(Box::new(device), address)
    }

    /// As [`PathConfig::new`], for a device chosen at run time.
    #[must_use]
    pub fn boxed(device: Box<dyn Device>, address: IpAddr) -> Self {
        Self {
            device,
            addresses: vec![address],
            name: None,
            outlet: None,
            backup: false,
            mtu: None,
        }
    }

    /// Adds an address, for instance one of the other family.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// The path's name in statistics and captures. Default: the device's.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The interface of the machine the path leaves by, where the device is a TUN. Default: the device itself.
    #[must_use]
    pub fn outlet(mut self, interface: impl Into<String>) -> Self {
        self.outlet = Some(interface.into());
        self
    }

    /// Asks peers to use subflows from here as backup only. Default false.
    #[must_use]
    pub fn backup(mut self, backup: bool) -> Self {
        self.backup = backup;
        self
    }

    /// Largest IP packet, bytes. Default: the device's.
    #[must_use]
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = Some(mtu);
        self
    }
}

/// Makes a [`Stack`].
#[derive(Debug, Default)]
pub struct StackBuilder {
    paths: Vec<PathConfig>,
    endpoint: EndpointConfig,
    connection: ConnectionConfig,
    capture: Option<CaptureWriter>,
    recorder: Option<Recorder>,
    seed: Option<[u8; 32]>,
    streams_only: bool,
}

impl StackBuilder {
    /// Adds a path. The first one is where connections start unless they say otherwise.
    #[must_use]
    pub fn path(mut self, path: PathConfig) -> Self {
        self.paths.push(path);
        self
    }

    /// Makes a stack although it has no path: it gets streams ([`Stack::add_stream_via`], [`Stack::listen_streams`]),
    /// which need no device and no privileges.
    #[must_use]
    pub fn streams_only(mut self) -> Self {
        self.streams_only = true;
        self
    }

    /// Settings of the endpoint.
    #[must_use]
    pub fn endpoint(mut self, config: EndpointConfig) -> Self {
        self.endpoint = config;
        self
    }

    /// Settings of connections and listeners that bring none of their own.
    #[must_use]
    pub fn connection(mut self, config: ConnectionConfig) -> Self {
        self.connection = config;
        self
    }

    /// Writes every packet to a capture.
    #[must_use]
    pub fn capture(mut self, writer: CaptureWriter) -> Self {
        self.capture = Some(writer);
        self
    }

    /// Writes down what the engine is given and what it sends, so that it can be done again exactly
    /// ([`mpuser_record::rerun`]). The log holds keys and data.
    #[must_use]
    pub fn record(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Feeds keys, nonces, ports and secrets. Default: from the operating system; anything else is for tests.
    #[must_use]
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the stack and starts serving its devices on the current tokio runtime.
    ///
    /// # Errors
    /// [`Error::NoPath`], [`Error::NoRuntime`], or what the operating system says about a descriptor.
    pub fn build(self) -> io::Result<Stack> {
        if self.paths.is_empty() && !self.streams_only {
            return Err(Error::NoPath.into());
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::NoRuntime.into());
        }
        let seed = match self.seed {
            Some(seed) => seed,
            None => system_seed()?,
        };
        let endpoint = Recorded::new(self.endpoint, seed, self.recorder);
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner::new(endpoint, self.capture.map(Capture::new))),
            timer: Notify::new(),
            connection: Mutex::new(self.connection),
        });
        // Made before the paths: if one of them fails, dropping the stack ends the tasks of the others.
        let stack = Stack { handle: Arc::new(Handle(Arc::clone(&shared))) };
        let timer = tokio::spawn(driver::timers(shared)).abort_handle();
        stack.handle.with(|inner, _| inner.tasks.push(timer));
        for path in self.paths {
            stack.add_path(path)?;
        }
        Ok(stack)
    }
}

/// 32 random bytes from the operating system.
///
/// # Errors
/// When it has no such device.
pub fn system_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// The engine under its lock, and what wakes the timer task.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    pub(crate) timer: Notify,
    connection: Mutex<ConnectionConfig>,
}

impl Shared {
    /// Settings of connections and listeners that bring none of their own.
    pub(crate) fn connection(&self) -> std::sync::MutexGuard<'_, ConnectionConfig> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` under the lock, then sends and delivers what came of it. Every touch of the engine goes through here.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Inner, Instant) -> R) -> R {
        // The engine is left in a defined state by every call; a panic in between is a bug reported elsewhere.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: engine time must not go backwards.
        let now = clock::now();
        let outcome = f(&mut inner, now);
        inner.pump(now);
        let deadline = inner.endpoint.poll_timeout();
        let earlier = match (deadline, inner.armed) {
            (Some(deadline), Some(armed)) => deadline < armed,
            (deadline, None) => deadline.is_some(),
            // Later or gone: the timer task wakes once in vain, which is cheaper than waking it now.
            (None, Some(_)) => false,
        };
        if earlier {
            inner.armed = deadline;
        }
        let notify = earlier || inner.more_to_send;
        let mut deferred = std::mem::take(&mut inner.deferred);
        drop(inner);
        if notify {
            self.timer.notify_one();
        }
        deferred.run();
        outcome
    }

    /// When the timer task has to wake; noted, so that only an earlier deadline disturbs it. `Some(now)` or earlier
    /// means at once.
    pub(crate) fn arm(&self) -> Option<Instant> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.armed =
            if inner.more_to_send { Some(Instant::ZERO) } else { inner.endpoint.poll_timeout() };
        inner.armed
    }
}

/// What the application holds on to: when the last one is gone, the stack ends with its last connection.
#[derive(Debug)]
pub(crate) struct Handle(Arc<Shared>);

impl Deref for Handle {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.with(|inner, _| (inner.released, inner.ending) = (true, true));
    }
}

/// How [`Stack::connect_with`] connects.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The address the first subflow leaves from. Default: the first of the remote's family.
    pub local: Option<IpAddr>,
    /// Settings of the connection. Default: those of the stack.
    pub config: Option<ConnectionConfig>,
    /// Longest time for the handshake with one address. Default: as long as SYNs are retransmitted.
    pub timeout: Option<Duration>,
    /// What is written before anything else; as much as possible of it goes with the SYN where
    /// [`ConnectionConfig::fast_open`] allows it (RFC 7413). It may reach the application twice, and an address that
    /// fails has perhaps seen it.
    pub early_data: Vec<u8>,
}

/// All connections over a set of paths. Clones are the same stack; streams and listeners keep it alive.
///
/// When the last handle is dropped, connections still close in the background as long as the runtime lives; to
/// wait for them, use [`Stack::shutdown`].
#[derive(Clone, Debug)]
pub struct Stack {
    pub(crate) handle: Arc<Handle>,
}

impl Stack {
    /// A stack without paths yet.
    #[must_use]
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }

    /// Adds a path while the stack runs: connections may open subflows from it. Must be called inside the runtime.
    ///
    /// # Errors
    /// [`Error::NoRuntime`], [`Error::StackDown`], or what the operating system says about the descriptor.
    pub fn add_path(&self, config: PathConfig) -> io::Result<InterfaceId> {
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|_| io::Error::from(Error::NoRuntime))?;
        let device: Arc<dyn Device> = Arc::from(config.device);
        let mtu = config.mtu.unwrap_or_else(|| device.mtu());
        let name = config.name.unwrap_or_else(|| device.name().to_owned());
        let outlet = config.outlet.unwrap_or_else(|| device.name().to_owned());
        let addresses = config.addresses.iter().map(|address| (*address, config.backup)).collect();
        let descriptor = driver::register(device.fd())?;
        let carriage = Carriage::Device(Arc::clone(&device));
        let path = Arc::new(Path::new((name, outlet), carriage, mtu, addresses));
        self.handle.with(|inner, now| {
            let interface = inner.add_path(now, Arc::clone(&path))?;
            let shared = Arc::clone(&self.handle.0);
            let task = runtime.spawn(driver::receive(shared, path, device, interface, descriptor));
            inner.tasks.push(task.abort_handle());
            Ok(interface)
        })
    }

    /// Withdraws an address: its subflows are closed, and peers are told (REMOVE_ADDR).
    pub fn remove_address(&self, address: IpAddr) {
        self.handle.with(|inner, now| inner.endpoint.remove_address(now, address));
    }

    /// Gives an address that was withdrawn back to a path.
    ///
    /// # Errors
    /// `NotFound` if there is no such path.
    pub fn add_address(
        &self,
        interface: InterfaceId,
        address: IpAddr,
        backup: bool,
    ) -> io::Result<()> {
        self.handle.with(|inner, now| {
            let Some(path) = inner.paths.get(usize::from(interface.0)) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            let local = path.local(interface, address, backup);
            inner.endpoint.add_address(now, local);
            Ok(())
        })
    }

    /// The addresses of this end.
    #[must_use]
    pub fn addresses(&self) -> Vec<LocalAddress> {
        self.handle.with(|inner, _| inner.endpoint.addresses().to_vec())
    }

    /// Connects like tokio's `TcpStream::connect`: to a `SocketAddr`, or `"host:port"`, trying each address the name
    /// has. Cancel safe: a dropped attempt is closed.
    ///
    /// # Errors
    /// That of the last address tried.
    pub async fn connect(&self, remote: impl ToSocketAddrs) -> io::Result<MptcpStream> {
        self.connect_with(remote, ConnectOptions::default()).await
    }

    /// As [`Stack::connect`], with options.
    ///
    /// # Errors
    /// That of the last address tried.
    pub async fn connect_with(
        &self,
        remote: impl ToSocketAddrs,
        options: ConnectOptions,
    ) -> io::Result<MptcpStream> {
        let mut last: io::Error = Error::Connect(ConnectError::InvalidRemote).into();
        for remote in tokio::net::lookup_host(remote).await? {
            match self.connect_one(remote, &options).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_one(
        &self,
        remote: SocketAddr,
        options: &ConnectOptions,
    ) -> io::Result<MptcpStream> {
        let config = options.config.clone().unwrap_or_else(|| self.handle.connection().clone());
        let (mut stream, taken) = self.handle.with(|inner, now| {
            if inner.stopped {
                return Err(Error::StackDown);
            }
            let (local, data) = (options.local, &options.early_data);
            let (id, taken) = inner.endpoint.connect_with_data(now, config, local, remote, data)?;
            inner.conns.insert(id, Conn::new(Phase::Connecting, Holder::Application));
            let stream = MptcpStream::new(Arc::clone(&self.handle), inner, id, Some(remote));
            Ok((stream, taken))
        })?;
        match options.timeout {
            None => stream.established().await?,
            Some(limit) => match tokio::time::timeout(limit, stream.established()).await {
                Ok(outcome) => outcome?,
                Err(_) => {
                    stream.abort();
                    return Err(Error::ConnectTimeout.into());
                }
            },
        }
        // what the send buffer had no room for
        stream.write_all(options.early_data.get(taken..).unwrap_or_default()).await?;
        Ok(stream)
    }

    /// What the engine counted since the stack was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.handle.with(|inner, _| inner.endpoint.counters().clone())
    }

    /// What went over each path, in the order the paths were added.
    #[must_use]
    pub fn path_stats(&self) -> Vec<PathStats> {
        self.handle.with(|inner, _| inner.paths.iter().map(|path| path.stats()).collect())
    }

    /// The error that ended the capture, if one did.
    #[must_use]
    pub fn capture_error(&self) -> Option<io::ErrorKind> {
        self.handle.with(|inner, _| inner.capture.as_ref()?.writer.error().map(io::Error::kind))
    }

    /// The error that ended the log of [`StackBuilder::record`], if one did.
    #[must_use]
    pub fn record_error(&self) -> Option<io::ErrorKind> {
        self.handle.with(|inner, _| inner.endpoint.recorder()?.error().map(io::Error::kind))
    }

    /// Waits until all connections are closed, then ends the stack: tasks stop and the capture is completed.
    /// Streams have to be dropped for their connections to close. Connections still open after `limit` are aborted.
    ///
    /// The FINs of their subflows get a second more, or less if they are done before: a dead path never is.
    ///
    /// # Errors
    /// [`Error::ShutdownTimeout`] if there were such.
    pub async fn shutdown(self, limit: Duration) -> io::Result<()> {
        self.handle.with(|inner, _| inner.ending = true);
        let closed = self.wait_until(|inner| inner.conns.is_empty());
        let in_time = tokio::time::timeout(limit, closed).await.is_ok();
        if in_time {
            let over = self.wait_until(Inner::is_over);
            let _ = tokio::time::timeout(LAST_FINS.min(limit), over).await;
        }
        let aborted = self.handle.with(|inner, now| {
            let left: Vec<_> = inner.conns.keys().copied().collect();
            left.iter().for_each(|id| inner.abort(now, *id));
            inner.close_streams();
            left.len()
        });
        // the last frames: what comes after them is the end of the stream
        let written = self.wait_until(Inner::streams_are_silent);
        let _ = tokio::time::timeout(LAST_FINS, written).await;
        self.handle.with(|inner, _| inner.stop());
        if in_time { Ok(()) } else { Err(Error::ShutdownTimeout(aborted).into()) }
    }

    /// Waits for a state that is looked for when a connection ends.
    async fn wait_until(&self, done: impl Fn(&Inner) -> bool) {
        let look = |cx: &mut Context<'_>| {
            self.handle.with(|inner, _| {
                if inner.stopped || done(inner) {
                    return Poll::Ready(());
                }
                inner.idle.add(cx, &mut inner.deferred);
                Poll::Pending
            })
        };
        std::future::poll_fn(look).await;
    }
}
