//! Lines written as they come.

use crate::digest::{Digest, payload};
use crate::entry::{Entry, FORMAT, Header, Line, Octets};
use mpuser_engine::config::EndpointConfig;
use mpuser_engine::time::Instant;
use std::fmt;
use std::io::{self, BufWriter, Write};

/// Gathered before it is written.
const BUFFER: usize = 64 << 10;

/// Writes a log. A failing file never hurts a connection: the first error is kept, and nothing more is written.
pub struct Recorder {
    out: BufWriter<Box<dyn Write + Send>>,
    /// Octets that may still be written.
    room: u64,
    full: bool,
    finished: bool,
    packets: u64,
    digest: Digest,
    last: Instant,
    error: Option<io::Error>,
}

impl Recorder {
    /// A log of at most about `limit` octets; what happens after is not in it, and it says so.
    pub fn new(out: impl Write + Send + 'static, limit: u64) -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER, Box::new(out)),
            room: limit,
            full: false,
            finished: false,
            packets: 0,
            digest: Digest::default(),
            last: Instant::ZERO,
            error: None,
        }
    }

    /// The error that ended the log, if one did.
    #[must_use]
    pub const fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// The limit was reached.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Writes the last line; nothing is written after. Done on drop as well.
    pub fn finish(&mut self) {
        if !self.finished {
            let (packets, digest) = (self.packets, self.digest.text());
            self.write(&Line { t: self.last.as_nanos(), entry: Entry::End { packets, digest } });
            self.finished = true;
            if self.error.is_none() {
                self.error = self.out.flush().err();
            }
        }
    }

    pub(crate) fn header(&mut self, config: &EndpointConfig, seed: [u8; 32]) {
        self.write(&Header {
            mpuser_record: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Octets(seed.to_vec()),
            config: config.clone(),
        });
    }

    pub(crate) fn note(&mut self, now: Instant, entry: Entry) {
        self.last = now;
        if !self.full && !self.finished {
            self.write(&Line { t: now.as_nanos(), entry });
        }
    }

    /// A call without a time of its own.
    pub(crate) fn note_again(&mut self, entry: Entry) {
        self.note(self.last, entry);
    }

    pub(crate) fn sent(&mut self, now: Instant, interface: u16, headers: &[u8], data: &[u8]) {
        if self.full || self.finished {
            return;
        }
        self.packets += 1;
        self.digest.packet(interface, headers, data);
        let headers = Octets(headers.to_vec());
        self.note(now, Entry::Sent { interface, headers, payload: data.len(), sum: payload(data) });
    }

    fn write(&mut self, line: &impl serde::Serialize) {
        if self.error.is_some() {
            return;
        }
        match serde_json::to_vec(line) {
            Ok(mut text) => {
                text.push(b'\n');
                let len = text.len() as u64;
                if !self.full && len > self.room {
                    self.full = true;
                    text = format!("{{\"t\":{},\"op\":\"full\"}}\n", self.last.as_nanos()).into();
                }
                self.room = self.room.saturating_sub(len);
                self.error = self.out.write_all(&text).err();
            }
            Err(error) => self.error = Some(error.into()),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("full", &self.full).finish_non_exhaustive()
    }
}
