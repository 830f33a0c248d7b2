//! The control socket: a Unix stream socket, one command a line, one answer a line (`ok` or `error: ...`).

use crate::shared::Shared;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;

/// The variable that names the socket.
pub const CONTROL: &str = "MPUSER_DRILL_CONTROL";

/// A control socket that is listened on; dropping it removes the path.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens at `path`, in a thread of its own, for commands to this machine. A socket that nobody listens on any
    /// more is replaced.
    ///
    /// # Errors
    ///
    /// The path is taken or cannot be made.
    pub fn listen(path: &Path, shared: &Arc<Shared>) -> io::Result<Self> {
        let stale = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
            && UnixStream::connect(path).is_err();
        if stale {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let machine = Arc::downgrade(shared);
        thread::Builder::new().name("drill-control".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), true) = (stream, machine.strong_count() > 0) else { return };
                let machine = Weak::clone(&machine);
                // Each client has a thread: one that says nothing keeps nobody else waiting.
                thread::spawn(move || serve(&stream, &machine));
            }
        })?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(stream: &UnixStream, machine: &Weak<Shared>) {
    let mut answers = stream;
    for line in BufReader::new(stream).lines() {
        let (Ok(line), Some(shared)) = (line, machine.upgrade()) else { return };
        if line.trim().is_empty() {
            continue;
        }
        let answer = match shared.with(|machine| machine.command(&line)) {
            Ok(()) => "ok\n".to_owned(),
            Err(why) => format!("error: {why}\n"),
        };
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
