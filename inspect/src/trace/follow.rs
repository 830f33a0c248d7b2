//! The octets of one connection, in order, as they become complete.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// So many octets may wait for those before them.
const MOST_WAITING: usize = 64 << 20;

/// What is to be followed, and where it goes.
pub struct Follow {
    connection: usize,
    side: usize,
    out: Box<dyn Write>,
    next: i64,
    waiting: BTreeMap<i64, Vec<u8>>,
    held: usize,
    /// Octets written.
    pub written: u64,
    /// Octets given up because too much waited.
    pub lost: u64,
    failed: Option<io::Error>,
}

impl Follow {
    /// What side `side` of connection `connection` sends goes to `out`.
    #[must_use]
    pub fn new(connection: usize, side: usize, out: Box<dyn Write>) -> Self {
        Self {
            connection,
            side,
            out,
            next: 1,
            waiting: BTreeMap::new(),
            held: 0,
            written: 0,
            lost: 0,
            failed: None,
        }
    }

    /// Data on the SYN comes before everything else.
    pub(super) fn ahead(&mut self, connection: usize, bytes: &[u8]) {
        if (connection, 0) == (self.connection, self.side) && self.written == 0 {
            self.write(bytes);
        }
    }

    /// Octets from relative data sequence number `dsn` on.
    pub(super) fn octets(&mut self, connection: usize, side: usize, dsn: i64, bytes: &[u8]) {
        if (connection, side) != (self.connection, self.side) || bytes.is_empty() {
            return;
        }
        if self.held + bytes.len() > MOST_WAITING {
            self.lost += bytes.len() as u64;
            return;
        }
        let there = self.waiting.get(&dsn).is_some_and(|old| old.len() >= bytes.len());
        if !there {
            self.held += bytes.len();
            if let Some(old) = self.waiting.insert(dsn, bytes.to_vec()) {
                self.held -= old.len();
            }
        }
        while let Some((start, _)) = self.waiting.first_key_value() {
            if *start > self.next {
                break;
            }
            let skip = usize::try_from(self.next - start).unwrap_or(usize::MAX);
            let Some((_, bytes)) = self.waiting.pop_first().map(|entry| (skip, entry.1)) else {
                break;
            };
            self.held -= bytes.len();
            let fresh = bytes.get(skip..).unwrap_or_default();
            self.next += fresh.len() as i64;
            self.write(fresh);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            match self.out.write_all(bytes) {
                Ok(()) => self.written += bytes.len() as u64,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Writes out what is left in buffers.
    ///
    /// # Errors
    /// The first error of writing, if there was one.
    pub fn finish(mut self) -> io::Result<FollowEnd> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.out.flush()?;
        let waiting = self.waiting.values().map(|bytes| bytes.len() as u64).sum();
        Ok(FollowEnd { written: self.written, missing_at: self.next, waiting, lost: self.lost })
    }
}

/// How far it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowEnd {
    /// Octets written.
    pub written: u64,
    /// The first octet that is not in the capture, counted from 1.
    pub missing_at: i64,
    /// Octets behind a hole.
    pub waiting: u64,
    /// Octets given up.
    pub lost: u64,
}
