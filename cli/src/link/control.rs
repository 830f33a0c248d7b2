//! Orders to a running link: a Unix socket per link (mode 0600), one JSON object per line each way.
//!
//! Not the socket that `ss` and `stats` ask: a link has no connections, counters of a stack or endpoints, and would stand in
//! their lists as a process with nothing in it.

use super::spec::check_name;
use crate::error::{Code, Failure};
use mpuser_tun::net::state_dir;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{DirBuilder, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as ClientStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// Longest line, bytes.
const MAX_LINE: u64 = 64 * 1024;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a link can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// Say what you are like and what you have done.
    Show,
    /// Change.
    Set {
        /// Words as of `mpuser link up`.
        words: String,
    },
    /// End.
    Down,
}

/// What a link answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Its state.
    Link(Value),
    /// It cannot do that.
    Refused(String),
}

/// An order and where its answer goes.
pub(crate) type Ordered = (Order, oneshot::Sender<Answer>);

fn directory() -> Result<PathBuf, Failure> {
    let directory = state_dir()?.join("links");
    let made = DirBuilder::new().mode(0o700).create(&directory);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Failure::io(format!("cannot make {}", directory.display()), &error))
        }
        _ => Ok(directory),
    }
}

fn socket_of(name: &str) -> Result<PathBuf, Failure> {
    let help = "`mpuser link show` lists the links";
    check_name(name).map_err(|because| Failure::usage("there is no such link", because, help))?;
    Ok(directory()?.join(format!("{name}.sock")))
}

/// A link's socket; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Door(PathBuf);

impl Drop for Door {
    fn drop(&mut self) {
        // whoever removed it before did what was to be done
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens for orders to the link `name`.
pub(crate) fn open(name: &str) -> Result<(Door, mpsc::Receiver<Ordered>), Failure> {
    let path = socket_of(name)?;
    if ClientStream::connect(&path).is_ok() {
        return Err(Failure::new(
            Code::InUse,
            format!("there is a link called {name} already"),
            "a running process answers for it",
            format!("choose another --name, or: mpuser link down {name}"),
        ));
    }
    let failed = |error: std::io::Error| Failure::io("cannot make the control socket", &error);
    // it gets its name when it is listened on and nobody else's
    let hidden = path.with_extension("new");
    let _ = std::fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden).map_err(failed)?;
    std::fs::set_permissions(&hidden, Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&hidden, &path).map_err(failed)?;
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // one after the other: nobody has more than one thing to say
            if tokio::time::timeout(PATIENCE, serve(stream, &sender))
                .await
                .is_ok_and(|end| end.is_none())
            {
                return;
            }
        }
    });
    Ok((Door(path), receiver))
}

/// One client; `None` when the link is gone.
async fn serve(stream: UnixStream, link: &mpsc::Sender<Ordered>) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = tokio::io::BufReader::new(reader).take(MAX_LINE);
    let mut line = String::new();
    if reader.read_line(&mut line).await.is_err() {
        return Some(());
    }
    let answer = match serde_json::from_str::<Order>(&line) {
        Ok(order) => {
            let (sender, receiver) = oneshot::channel();
            link.send((order, sender)).await.ok()?;
            receiver.await.ok()?
        }
        Err(error) => Answer::Refused(error.to_string()),
    };
    let mut text = serde_json::to_string(&answer).unwrap_or_default();
    text.push('\n');
    let _ = writer.write_all(text.as_bytes()).await;
    Some(())
}

/// Gives an order to the link `name`; its state after that.
pub(crate) fn order(name: &str, order: &Order) -> Result<Value, Failure> {
    let path = socket_of(name)?;
    ask(&path, order)
        .map_err(|error| {
            Failure::new(
                Code::Setup,
                format!("there is no link called {name}"),
                crate::error::plain_words(&error),
                "`mpuser link show` lists the links; `mpuser link up` makes one",
            )
        })?
        .map_err(|because| {
            Failure::usage(
                format!("the link {name} cannot be changed so"),
                because,
                "`mpuser link up --help` lists what can be said of a link",
            )
        })
}

fn ask(path: &Path, order: &Order) -> std::io::Result<Result<Value, String>> {
    let mut stream = ClientStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_string(order)?;
    text.push('\n');
    stream.write_all(text.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).take(MAX_LINE).read_line(&mut line)?;
    Ok(match serde_json::from_str(&line)? {
        Answer::Link(state) => Ok(state),
        Answer::Refused(because) => Err(because),
    })
}

/// The names of all links that answer, sorted; sockets nobody listens on are removed.
pub(crate) fn names() -> Result<Vec<String>, Failure> {
    let directory = directory()?;
    let entries = std::fs::read_dir(&directory)
        .map_err(|error| Failure::io(format!("cannot read {}", directory.display()), &error))?;
    let mut names = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|n| n.strip_suffix(".sock"));
        let Some(name) = name else { continue };
        match ClientStream::connect(&path) {
            Ok(_) => names.push(name.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                // somebody else may have removed it by now
                let _ = std::fs::remove_file(&path);
            }
            Err(_) => {}
        }
    }
    names.sort();
    Ok(names)
}
