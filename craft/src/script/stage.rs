//! The stack under test behind a link that a script may change.

use crate::dialogue::Wire;
use bytes::Bytes;
use mpuser_engine::time::Instant;
use mpuser_sim::conform::Target;
use mpuser_sim::{Direction, Link, LinkConfig};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// A stack under test behind a link. We stand at the end where the boxes are.
pub struct Stage<'t> {
    target: &'t mut dyn Target,
    link: Link,
    ready: VecDeque<Vec<u8>>,
}

impl fmt::Debug for Stage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("link", &self.link.config()).finish_non_exhaustive()
    }
}

impl<'t> Stage<'t> {
    /// The stack behind a link that takes no time and loses nothing.
    #[must_use]
    pub fn new(target: &'t mut dyn Target) -> Option<Self> {
        let start = Instant::ZERO + target.now();
        let link = Link::new(LinkConfig::default(), 1, start).ok()?;
        Some(Self { target, link, ready: VecDeque::new() })
    }

    /// Changes the link: words `key=value`, as `mpuser link set` takes them.
    ///
    /// # Errors
    /// Which word is wrong, and what could stand there.
    pub fn set_link(&mut self, words: &str) -> Result<(), String> {
        let mut config = self.link.config();
        config.apply(words, &mut |_| Err("a script reads no other files".to_owned()))?;
        self.link.set(config)
    }

    /// The stack, for what its application does.
    pub fn target(&mut self) -> &mut dyn Target {
        self.target
    }

    fn clock(&self) -> Instant {
        Instant::ZERO + Wire::now(self)
    }

    fn flush(&mut self) {
        while let Some((direction, packet)) = self.link.poll(self.clock()) {
            match direction {
                Direction::Forward => self.target.inject(&packet),
                Direction::Backward => self.ready.push_back(packet.to_vec()),
            }
        }
    }
}

impl Wire for Stage<'_> {
    fn now(&self) -> Duration {
        self.target.now()
    }

    fn send(&mut self, packet: &[u8]) {
        self.link.push(self.clock(), Direction::Forward, Bytes::copy_from_slice(packet));
        self.flush();
    }

    fn receive(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let end = self.clock() + limit;
        loop {
            self.flush();
            if let Some(packet) = self.ready.pop_front() {
                return Some(packet);
            }
            let now = self.clock();
            let until = self.link.next().map_or(end, |next| next.max(now).min(end));
            match self.target.next_packet(until.saturating_since(now)) {
                Some(packet) => self.link.push(self.clock(), Direction::Backward, packet.into()),
                None if self.clock() >= end => {
                    self.flush();
                    return self.ready.pop_front();
                }
                None => {}
            }
        }
    }
}
