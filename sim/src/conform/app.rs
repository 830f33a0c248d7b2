//! The application on top of the stack under test, as a case watches it.

use super::digest::bytes_words;
use super::probe::{Probe, QUIET};
use super::target::AppError;
use std::time::Duration;

/// Bytes of one read.
const CHUNK: usize = 1 << 16;

/// What the application has read until it would have to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// `Ok(true)`: the end of data; `Ok(false)`: more may come; else the error.
    pub end: Result<bool, AppError>,
}

impl Heard {
    /// In few words.
    #[must_use]
    pub fn words(&self) -> String {
        let end = match self.end {
            Ok(true) => ", EOF",
            Ok(false) => "",
            Err(error) => return format!("{}, {}", bytes_words(&self.bytes), error.word()),
        };
        format!("{}{end}", bytes_words(&self.bytes))
    }
}

impl Probe<'_> {
    /// The application reads until it would have to wait, now.
    pub fn read_now(&mut self) -> Heard {
        let mut bytes = Vec::new();
        loop {
            match self.target.read(CHUNK) {
                Ok(piece) if piece.is_empty() => return Heard { bytes, end: Ok(true) },
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(AppError::WouldBlock) => return Heard { bytes, end: Ok(false) },
                Err(error) => return Heard { bytes, end: Err(error) },
            }
        }
    }

    /// The application reads until nothing more comes.
    pub fn read(&mut self) -> Heard {
        let mut all = Heard { bytes: Vec::new(), end: Ok(false) };
        let mut quiet = 0;
        while quiet < 2 {
            let more = self.read_now();
            quiet = if more.bytes.is_empty() { quiet + 1 } else { 0 };
            all.bytes.extend_from_slice(&more.bytes);
            all.end = more.end;
            if all.end != Ok(false) {
                break;
            }
            self.pass(QUIET / 2);
        }
        all
    }

    /// Notes what the application reads.
    pub fn note_app(&mut self) {
        let words = self.read().words();
        self.note(format!("app: {words}"));
    }

    /// The application writes all of this, as far as it fits.
    pub fn write(&mut self, data: &[u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            match self.target.write(rest) {
                Ok(0) | Err(_) => break,
                Ok(taken) => done += taken,
            }
        }
        done
    }

    /// What a read says when there is no data to be had.
    pub fn note_app_state(&mut self) {
        let words = match self.target.read(CHUNK) {
            Ok(piece) if piece.is_empty() => "EOF",
            Ok(_) => "data",
            Err(AppError::WouldBlock) => "open",
            Err(error) => error.word(),
        };
        self.note(format!("app: {words}"));
    }

    /// Reads until this many bytes have come or `limit` has passed.
    pub fn read_all(&mut self, wanted: usize, limit: Duration) -> Heard {
        let end = self.target.now() + limit;
        let mut all = self.read_now();
        while all.bytes.len() < wanted && all.end == Ok(false) && self.target.now() < end {
            self.pass(Duration::from_millis(10));
            let more = self.read_now();
            all.bytes.extend_from_slice(&more.bytes);
            all.end = more.end;
        }
        all
    }

    /// A counter, under the kernel's name without its section.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.target.counters().get(name).copied().unwrap_or(0)
    }

    /// Notes a counter.
    pub fn note_counter(&mut self, name: &str) {
        let value = self.counter(name);
        self.note(format!("{name} {value}"));
    }
}
