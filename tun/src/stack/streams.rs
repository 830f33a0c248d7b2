//! Paths that are byte streams: made through proxies, and taken in.

use super::{Carriage, Handle, Inner, Path, Stack};
use crate::carrier::{self, DialError, Dialer, HostPort, PathNote, ProxyUrl, StreamVia, Streams};
use crate::error::Error;
use mpuser_engine::addr::{FourTuple, InterfaceId, IpAddr, SocketAddr};
use mpuser_engine::config::Via;
use mpuser_engine::time::Instant;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

impl Stack {
    /// A path through a proxy that ends TCP, to a server whose stack does [`Stack::listen_streams`]. What is returned
    /// goes into [`ConnectionConfig::vias`](mpuser_engine::config::ConnectionConfig::vias) or to
    /// [`MptcpStream::add_via`](crate::MptcpStream::add_via), and its address to [`Stack::connect`] where it is the
    /// first. Nothing is opened before a connection wants it. The same proxy again is the same path.
    ///
    /// # Errors
    /// [`Error::NoRuntime`], [`Error::StackDown`]; `AlreadyExists` when the proxy is known as one that leads elsewhere.
    pub fn add_stream_via(&self, via: StreamVia) -> io::Result<Via> {
        let StreamVia { url, proxy, server, port } = via;
        let name = url.to_string();
        let dialer = Dialer::new(url, proxy, server, port);
        let own = |interface| {
            carrier::addresses(interface).into_iter().find(|own| own.is_ipv4() == proxy.is_ipv4())
        };
        self.handle.with(|inner, now| {
            let known = inner.paths.iter().zip(0_u16..).find_map(|(path, number)| {
                let streams = path.carriage.streams()?;
                (streams.dialer()?.proxy() == proxy)
                    .then(|| (Arc::clone(streams), InterfaceId(number)))
            });
            let interface = match known {
                Some((streams, interface)) if streams.dialer() == Some(&dialer) => interface,
                Some(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => inner.add_streams(now, &self.handle, name, Some(dialer))?.interface(),
            };
            Ok(Via { remote: proxy, local: own(interface) })
        })
    }

    /// What [`Stack::add_stream_via_of`] leads to: the host and port that connections of this stack are for.
    pub fn set_server(&self, server: HostPort) {
        self.handle.with(|inner, _| inner.server = Some(server));
    }

    /// As [`Stack::add_stream_via`], to the server of [`Stack::set_server`]; `proxy` is the address of the one in `url`.
    ///
    /// # Errors
    /// As there; `NotFound` when nobody said which server.
    pub fn add_stream_via_of(&self, url: ProxyUrl, proxy: SocketAddr) -> io::Result<Via> {
        let known = self.handle.with(|inner, _| inner.server.clone());
        let known = known.ok_or(io::ErrorKind::NotFound)?;
        let (port, server) = (known.port, url.server.clone().unwrap_or(known));
        self.add_stream_via(StreamVia { url, proxy, server, port })
    }

    /// Takes in streams of subflows. Listeners of this stack get them by the port they ask for; at this end their subflows
    /// have one of the addresses returned, of either family, which is for listeners that are not for all addresses.
    ///
    /// # Errors
    /// [`Error::NoRuntime`], [`Error::StackDown`], or what the listener says of its address.
    pub fn listen_streams(&self, listener: TcpListener) -> io::Result<[IpAddr; 2]> {
        let name = format!("streams {}", listener.local_addr()?);
        self.handle.with(|inner, now| {
            let streams = inner.add_streams(now, &self.handle, name, None)?;
            let shared = Arc::clone(&self.handle.0);
            let (runtime, own) = (runtime()?, carrier::addresses(streams.interface()));
            let task = runtime.spawn(carrier::accept(listener, shared, streams));
            inner.tasks.push(task.abort_handle());
            Ok(own)
        })
    }

    /// The forwarders of connections that bring none of their own.
    pub fn set_vias(&self, vias: Vec<Via>) {
        self.handle.connection().vias = vias;
    }

    /// Every connection that goes through this forwarder has its subflow come from `local`, which may be an address the
    /// stack gets only later; so have those opened from now on. As [`MptcpStream::relocate_via`](crate::MptcpStream::relocate_via).
    pub fn relocate_via(&self, remote: SocketAddr, local: IpAddr) {
        for via in self.handle.connection().vias.iter_mut().filter(|via| via.remote == remote) {
            via.local = Some(local);
        }
        self.handle.with(|inner, now| {
            let all: Vec<_> = inner.endpoint.connections().collect();
            for id in all {
                // those without this forwarder have nothing to do with it
                let _ = inner.endpoint.relocate_via(now, id, remote, local);
            }
        });
    }

    /// What is the matter with paths, from now on: a proxy that cannot be reached, a stream that broke.
    #[must_use]
    pub fn notes(&self) -> broadcast::Receiver<PathNote> {
        self.handle.with(|inner, _| inner.notes.subscribe())
    }

    /// What was last the matter with the path that leads by this proxy.
    #[must_use]
    pub fn trouble(&self, proxy: SocketAddr) -> Option<PathNote> {
        self.handle.with(|inner, _| {
            let leads = |path: &&Arc<Path>| {
                let streams = path.carriage.streams();
                streams.and_then(|streams| streams.dialer()).is_some_and(|d| d.proxy() == proxy)
            };
            let path = inner.paths.iter().find(leads)?;
            path.trouble()
        })
    }
}

fn runtime() -> Result<tokio::runtime::Handle, Error> {
    tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)
}

impl Inner {
    /// Takes a path in, with its addresses.
    pub(super) fn add_path(&mut self, now: Instant, path: Arc<Path>) -> io::Result<InterfaceId> {
        if self.stopped {
            return Err(Error::StackDown.into());
        }
        let number = self.next_path()?;
        if let Some(capture) = &mut self.capture {
            capture.interfaces.push(capture.writer.add_interface(&path.name));
        }
        self.paths.push(path);
        self.settle_path(now, number);
        Ok(number)
    }

    fn next_path(&self) -> io::Result<InterfaceId> {
        let number = u16::try_from(self.paths.len());
        number.map(InterfaceId).map_err(|_| io::ErrorKind::QuotaExceeded.into())
    }

    fn add_streams(
        &mut self,
        now: Instant,
        handle: &Handle,
        name: String,
        dialer: Option<Dialer>,
    ) -> io::Result<Arc<Streams>> {
        let number = self.next_path()?;
        let shared = Arc::downgrade(&handle.0);
        let streams = Arc::new(Streams::new(name.clone(), number, shared, runtime()?, dialer));
        // before it has addresses
        self.endpoint.set_carrier(number);
        let addresses = carrier::addresses(number).into_iter().map(|own: IpAddr| (own, false));
        let carriage = Carriage::Streams(Arc::clone(&streams));
        let path = Path::new((name, String::new()), carriage, carrier::MTU, addresses.collect());
        self.add_path(now, Arc::new(path))?;
        Ok(streams)
    }

    fn streams(&self) -> impl Iterator<Item = &Arc<Streams>> {
        self.paths.iter().filter_map(|path| path.carriage.streams())
    }

    pub(crate) fn count_received(&self, interface: InterfaceId, octets: usize) {
        if let Some(path) = self.paths.get(usize::from(interface.0)) {
            path.count_received(octets);
        }
    }

    /// A subflow is over: its stream ends.
    pub(super) fn close_stream(&self, tuple: &FourTuple) {
        self.streams().for_each(|streams| streams.close(tuple));
    }

    /// Every stream ends, once what waits is written.
    pub(super) fn close_streams(&self) {
        self.streams().for_each(|streams| streams.close_all());
    }

    /// No stream is under way.
    pub(super) fn streams_are_silent(&self) -> bool {
        self.streams().all(|streams| streams.is_silent())
    }

    /// A stream ended, or was never there.
    pub(crate) fn carrier_ended(
        &mut self,
        now: Instant,
        streams: &Streams,
        tuple: &FourTuple,
        trouble: Option<&DialError>,
    ) {
        if self.stopped {
            return;
        }
        if let Some(trouble) = trouble {
            self.trouble(streams, trouble);
        }
        self.endpoint.carrier_ended(now, tuple);
        if self.ending {
            self.idle.wake(&mut self.deferred);
        }
    }

    /// Somebody who wanted to bring a stream was turned away.
    pub(crate) fn refused_stream(&self, streams: &Streams, peer: SocketAddr, trouble: &DialError) {
        if let Some(path) = self.paths.get(usize::from(streams.interface().0)) {
            path.count_refused();
        }
        self.note(streams, &format!("{peer}: {}", trouble.cause), trouble.help);
    }

    /// Something is the matter with a stream.
    pub(crate) fn trouble(&self, streams: &Streams, trouble: &DialError) {
        self.note(streams, &trouble.cause, trouble.help);
    }

    fn note(&self, streams: &Streams, cause: &str, help: &str) {
        let Some(path) = self.paths.get(usize::from(streams.interface().0)) else { return };
        let (cause, help) = (cause.to_owned(), help.to_owned());
        let note = PathNote { path: path.name.clone(), cause, help };
        if path.set_trouble(&note) {
            // nobody has to listen
            let _ = self.notes.send(note);
        }
    }
}
