//! A device with a link model and its middleboxes in front of it: boxes between our end and a real kernel.

use bytes::{Bytes, BytesMut};
use mpuser_engine::time::Instant;
use mpuser_sim::{Direction, Link};
use mpuser_tun::device::{Device, Received, segments};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct State {
    link: Link,
    /// Came through, on its way to our end.
    ready: VecDeque<Bytes>,
}

/// A device behind a [`Link`]: what our end sends goes forward.
#[derive(Debug)]
pub struct Boxed<D> {
    inner: D,
    state: Mutex<State>,
}

impl<D: Device> Boxed<D> {
    /// Puts `link` in front of `inner`.
    pub fn new(inner: D, link: Link) -> Self {
        Self { inner, state: Mutex::new(State { link, ready: VecDeque::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on what has come through.
    fn flush(&self, now: Instant, state: &mut State) {
        while let Some((direction, packet)) = state.link.poll(now) {
            match direction {
                // a packet the device does not take is a loss like any other
                Direction::Forward => drop(self.inner.send(now, &packet, &[], None)),
                Direction::Backward => state.ready.push_back(packet),
            }
        }
    }
}

impl<D: Device> Device for Boxed<D> {
    fn recv(&self, now: Instant, arena: &mut BytesMut) -> io::Result<Received> {
        let mut state = self.lock();
        loop {
            self.flush(now, &mut state);
            if let Some(packet) = state.ready.pop_front() {
                return Ok(Received::plain(packet));
            }
            let received = self.inner.recv(now, arena)?;
            state.link.push(now, Direction::Backward, received.packet);
        }
    }

    fn send(
        &self,
        now: Instant,
        headers: &[u8],
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        let push = |headers: &[u8], payload: &[u8]| {
            state.link.push(now, Direction::Forward, [headers, payload].concat().into());
            Ok(())
        };
        segments(headers, payload, segment_size, push)?;
        self.flush(now, &mut state);
        Ok(())
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn mtu(&self) -> u16 {
        self.inner.mtu()
    }

    fn offload(&self) -> bool {
        false
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let state = self.lock();
        let link = Instant::earliest(state.link.next(), self.inner.poll_timeout());
        if state.ready.is_empty() { link } else { Some(Instant::ZERO) }
    }

    fn handle_timeout(&self, now: Instant) {
        self.flush(now, &mut self.lock());
        self.inner.handle_timeout(now);
    }
}
