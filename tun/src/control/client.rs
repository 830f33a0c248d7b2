//! Talking to running processes.

use super::MAX_LINE;
use super::directory::{alive, control_dir};
use super::protocol::{Refusal, Reply, Request};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running process that answers.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What it does, in the words of its command line.
    pub title: String,
    /// The network namespace, as `/proc/PID/ns/net` numbers it.
    pub netns: u64,
    /// Its socket.
    pub path: PathBuf,
    /// The connection to it.
    pub client: ControlClient,
}

/// Every running process of this user's that answers, in order of their numbers. What dead ones left is removed.
///
/// # Errors
/// The directory of the sockets cannot be used.
pub fn processes() -> crate::net::Result<Vec<Process>> {
    let mut found = Vec::new();
    for (pid, path, stream) in alive(&control_dir()?) {
        let Ok(mut client) = ControlClient::over(stream) else { continue };
        // one that does not answer in time is not worth failing for
        let Ok(replies) = client.ask(&Request::Hello) else { continue };
        let hello = replies.into_iter().find_map(|reply| match reply {
            Reply::Hello { title, netns, .. } => Some((title, netns)),
            _ => None,
        });
        if let Some((title, netns)) = hello {
            found.push(Process { pid, title, netns, path, client });
        }
    }
    Ok(found)
}

/// A connection to one process.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects to a process's socket.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Self::over(UnixStream::connect(path)?)
    }

    fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks and collects all replies up to `done`.
    ///
    /// # Errors
    /// I/O errors; a refusal is one of kind `Other` whose source is the [`Refusal`].
    pub fn ask(&mut self, request: &Request) -> io::Result<Vec<Reply>> {
        self.send(request)?;
        let mut replies = Vec::new();
        loop {
            match self.next()? {
                Some(Reply::Done) => return Ok(replies),
                Some(Reply::Error(refusal)) => return Err(io::Error::other(refusal)),
                Some(reply) => replies.push(reply),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Asks for events: replies follow for as long as the process lives.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn monitor(mut self) -> io::Result<Replies> {
        self.send(&Request::Monitor)?;
        self.stream.get_ref().set_read_timeout(None)?;
        Ok(Replies(self))
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)
    }

    fn next(&mut self) -> io::Result<Option<Reply>> {
        let mut line = String::new();
        (&mut self.stream).take(MAX_LINE as u64).read_line(&mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&line).map(Some).map_err(io::Error::other)
    }
}

/// Replies without an end.
#[derive(Debug)]
pub struct Replies(ControlClient);

impl Iterator for Replies {
    type Item = Reply;

    fn next(&mut self) -> Option<Reply> {
        self.0.next().ok().flatten()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.message, self.because)
    }
}

impl std::error::Error for Refusal {}
