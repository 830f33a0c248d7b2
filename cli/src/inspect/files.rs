//! Captures opened, read with a progress bar, merged; key logs.

use crate::error::{Code, Failure};
use crate::output::Printer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mpuser_inspect::{Frame, ReadError, Reader, Settings};
use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::{Path, PathBuf};

/// Smaller files are read before anybody looks.
const WORTH_A_BAR: u64 = 8 << 20;

/// A capture being read.
pub(super) struct Capture {
    /// As messages call it.
    pub(super) name: String,
    reader: Reader<Box<dyn Read>>,
    bar: Option<ProgressBar>,
}

impl Capture {
    /// Opens `path`; `-` is stdin.
    pub(super) fn open(path: &Path, printer: Printer) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            let reader = Reader::new(Box::new(std::io::stdin().lock()) as Box<dyn Read>);
            return Ok(Self { name: "stdin".to_owned(), reader, bar: None });
        }
        let name = path.display().to_string();
        let failed = |error| Failure::io(format!("{name} cannot be read"), &error);
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let wanted = size > WORTH_A_BAR && !printer.is_mute() && std::io::stderr().is_terminal();
        let bar = wanted.then(|| {
            let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{wide_bar} {percent} %  {eta} left");
            style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
        });
        Ok(Self { reader: Reader::new(Box::new(file) as Box<dyn Read>), name, bar })
    }

    /// The next frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, Failure> {
        if let Some(bar) = &self.bar {
            bar.set_position(self.reader.position());
        }
        let Self { name, reader, bar } = self;
        match reader.next_frame() {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => {
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                Ok(None)
            }
            Err(error) => {
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                Err(malformed(name, &error))
            }
        }
    }
}

fn malformed(name: &str, error: &ReadError) -> Failure {
    Failure::new(
        Code::Malformed,
        format!("{name} cannot be read to its end"),
        error,
        "what comes before that octet has been read; the rest of the file is lost or is no capture",
    )
}

/// Calls `then` for every frame of the files: in the order of their times, numbered anew, if there are several.
pub(super) fn each(
    captures: &mut [Capture],
    mut then: impl FnMut(&Frame<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if let [one] = captures {
        while let Some(frame) = one.next()? {
            then(&frame)?;
        }
        return Ok(());
    }
    let mut heads = Vec::new();
    for capture in captures.iter_mut() {
        heads.push(capture.next()?.map(|frame| Head::of(&frame)));
    }
    let mut number = 0;
    loop {
        let earliest = heads.iter().enumerate().filter_map(|(index, head)| {
            head.as_ref().map(|head| (head.time.unwrap_or(i64::MIN), index))
        });
        let Some((_, index)) = earliest.min() else { return Ok(()) };
        let next = match captures.get_mut(index) {
            Some(capture) => capture.next()?.map(|frame| Head::of(&frame)),
            None => None,
        };
        let Some(slot) = heads.get_mut(index) else { return Ok(()) };
        if let Some(head) = std::mem::replace(slot, next) {
            number += 1;
            then(&head.frame(number))?;
        }
    }
}

/// A frame that waits for its turn.
struct Head {
    offset: u64,
    time: Option<i64>,
    link: u32,
    interface: u32,
    wire_len: usize,
    data: Vec<u8>,
}

impl Head {
    fn of(frame: &Frame<'_>) -> Self {
        Self {
            offset: frame.offset,
            time: frame.time,
            link: frame.link,
            interface: frame.interface,
            wire_len: frame.wire_len,
            data: frame.data.to_vec(),
        }
    }

    fn frame(&self, number: u64) -> Frame<'_> {
        Frame {
            number,
            offset: self.offset,
            time: self.time,
            link: self.link,
            interface: self.interface,
            wire_len: self.wire_len,
            data: &self.data,
        }
    }
}

/// What a key log says.
pub(super) fn settings(keylog: Option<&PathBuf>) -> Result<Settings, Failure> {
    let Some(path) = keylog else { return Ok(Settings::default()) };
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::io(format!("the key log {name} cannot be read"), &error))?;
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (None, ..) => {}
            (Some(word), ..) if word.starts_with('#') => {}
            (Some("MPTCP_KEYS"), Some(a), Some(b), None) => match (key(a), key(b)) {
                (Some(a), Some(b)) => keys.push((a, b)),
                _ => return Err(no_key_line(&name.to_string(), number)),
            },
            _ => return Err(no_key_line(&name.to_string(), number)),
        }
    }
    Ok(Settings { keys })
}

fn key(word: &str) -> Option<u64> {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

fn no_key_line(name: &str, number: u32) -> Failure {
    Failure::new(
        Code::Malformed,
        format!("line {number} of the key log {name} is not understood"),
        "a line is `MPTCP_KEYS`, the opener's key and the other end's, 16 hex digits each",
        "see `mpuser inspect --help`",
    )
}
