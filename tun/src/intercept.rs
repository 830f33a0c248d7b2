//! Connections to anybody: what programs behind a device want to connect to, asked about one by one.

use crate::error::Error;
use crate::stack::{Conn, Handle, Holder, Phase, Stack, Waiters};
use crate::stream::MptcpStream;
use mpuser_engine::Request;
use mpuser_engine::addr::{InterfaceId, SocketAddr};
use mpuser_engine::config::ConnectionConfig;
use std::io;
use std::sync::Arc;
use std::task::Poll;

/// Takes every SYN that comes in by one path of a stack, whatever address and port it is for, and holds it until it is
/// said what becomes of it ([`mpuser_engine::Endpoint::intercept`]).
#[derive(Debug)]
pub struct Interceptor {
    handle: Arc<Handle>,
    interface: InterfaceId,
}

/// Somebody wants to connect, and waits. Dropped, it is as if nobody had heard: its SYN comes again.
#[derive(Debug)]
pub struct Incoming {
    handle: Arc<Handle>,
    request: Request,
    /// It has its answer.
    answered: bool,
}

impl Interceptor {
    /// Intercepts on a path of the stack; at most `limit` requests wait at a time, and connections have these settings.
    ///
    /// # Errors
    /// `AddrInUse` where it is done already, [`Error::StackDown`].
    pub fn start(
        stack: &Stack,
        interface: InterfaceId,
        config: ConnectionConfig,
        limit: usize,
    ) -> io::Result<Self> {
        stack.handle.with(|inner, _| {
            if inner.stopped {
                return Err(Error::StackDown);
            }
            inner.endpoint.intercept(config, interface, limit)?;
            inner.interceptors.insert(interface, Waiters::default());
            Ok(())
        })?;
        Ok(Self { handle: Arc::clone(&stack.handle), interface })
    }

    /// The next one who wants to connect. Cancel safe.
    ///
    /// # Errors
    /// [`Error::StackDown`].
    pub async fn next(&self) -> io::Result<Incoming> {
        let next = |cx: &mut std::task::Context<'_>| {
            self.handle.with(|inner, _| {
                if let Some(request) = inner.endpoint.next_request(self.interface) {
                    return Poll::Ready(Ok(request));
                }
                if inner.stopped {
                    return Poll::Ready(Err(io::Error::from(Error::StackDown)));
                }
                if let Some(waiters) = inner.interceptors.get_mut(&self.interface) {
                    waiters.add(cx, &mut inner.deferred);
                }
                Poll::Pending
            })
        };
        let request = std::future::poll_fn(next).await?;
        Ok(Incoming { handle: Arc::clone(&self.handle), request, answered: false })
    }
}

impl Drop for Interceptor {
    fn drop(&mut self) {
        self.handle.with(|inner, _| {
            inner.endpoint.stop_intercepting(self.interface);
            inner.interceptors.remove(&self.interface);
        });
    }
}

impl Incoming {
    /// Who wants to connect.
    #[must_use]
    pub const fn from(&self) -> SocketAddr {
        self.request.tuple.remote
    }

    /// To whom.
    #[must_use]
    pub const fn to(&self) -> SocketAddr {
        self.request.tuple.local
    }

    /// The sequence number of the SYN, for whoever quotes it.
    #[must_use]
    pub const fn seq(&self) -> u32 {
        self.request.seq.0
    }

    /// Answers with a SYN/ACK, as the one that was wanted; waits for the end of the handshake.
    ///
    /// # Errors
    /// `NotConnected` when the request is gone, or what became of the handshake.
    pub async fn accept(mut self) -> io::Result<MptcpStream> {
        self.answered = true;
        let stream = self.handle.with(|inner, now| {
            let tuple = self.request.tuple;
            let id = inner.endpoint.let_in(now, &tuple).ok_or(Error::NotConnected)?;
            inner.conns.insert(id, Conn::new(Phase::Connecting, Holder::Application));
            let handle = Arc::clone(&self.handle);
            Ok::<_, Error>(MptcpStream::new(handle, inner, id, Some(tuple.remote)))
        })?;
        stream.established().await?;
        Ok(stream)
    }

    /// Answers with a RST, as a closed port does.
    pub fn refuse(mut self) {
        self.answered = true;
        self.handle.with(|inner, now| inner.endpoint.refuse(now, &self.request.tuple));
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.answered {
            self.handle.with(|inner, _| inner.endpoint.ignore(&self.request.tuple));
        }
    }
}
