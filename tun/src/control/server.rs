//! The answering side: one task that accepts, one per client.

use super::answer::{Answer, answer};
use super::directory::{alive, control_dir, socket_name};
use super::protocol::{Refusal, Reply, Request};
use super::report::EventReport;
use super::{MAX_CLIENTS, MAX_LINE};
use crate::net::{NetError, NetnsId, Result};
use crate::stack::{Stack, WeakStack};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long a client may keep silent, and how long it may leave a reply unread.
const PATIENCE: Duration = Duration::from_secs(30);

/// Held while a free number is looked for and taken: other stacks of this process do that, too.
static NAMING: Mutex<()> = Mutex::new(());

/// Answers for a stack until it is dropped, which removes the socket.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    task: AbortHandle,
}

/// What every client's task knows.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) stack: WeakStack,
    pub(super) title: String,
    pub(super) netns: u64,
}

impl ControlServer {
    /// Answers for `stack` on a socket of this process in [`control_dir`](super::control_dir). `title` says what the
    /// process does, in the words of its command line. Call it inside the runtime; it does not keep the stack alive.
    ///
    /// # Errors
    /// The directory cannot be used or the socket not be made.
    pub fn start(stack: &Stack, title: impl Into<String>) -> Result<Self> {
        let dir = control_dir()?;
        // dead processes' sockets go, and this process's number may have been one's
        drop(alive(&dir));
        let pid = std::process::id();
        let naming = NAMING.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, listener) = (0..1000)
            .map(|number| dir.join(socket_name(pid, number)))
            .find(|path| !path.exists())
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrInUse))
            .and_then(|path| {
                // it gets its name once it listens and is nobody else's: see `alive`
                let hidden = path.with_extension("new");
                let _ = std::fs::remove_file(&hidden);
                let listener = UnixListener::bind(&hidden)?;
                std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
                std::fs::rename(&hidden, &path)?;
                Ok((path, listener))
            })
            .map_err(|error| NetError::io("cannot make the control socket", &error))?;
        drop(naming);
        let netns = NetnsId::current().map_or(0, |id| id.inode);
        let context = Context { stack: stack.downgrade(), title: title.into(), netns };
        let task = tokio::spawn(accept(listener, Arc::new(context))).abort_handle();
        Ok(Self { path, task })
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
        // whoever removed it before did what was to be done
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Accepts clients of this user, and of root.
async fn accept(listener: UnixListener, context: Arc<Context>) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    // SAFETY: geteuid takes nothing and cannot fail.
    let own = unsafe { libc::geteuid() };
    // dropped with this task: clients end with the server
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // out of descriptors: others may be closed soon
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while clients.try_join_next().is_some() {}
        let uid = stream.peer_cred().map(|peer| peer.uid());
        if !uid.is_ok_and(|uid| uid == own || uid == 0) {
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            turn_away(&stream);
            continue;
        };
        let context = Arc::clone(&context);
        clients.spawn(async move {
            serve(stream, &context).await;
            drop(place);
        });
    }
}

/// One line for a client there is no room for, if it fits in its buffer.
fn turn_away(stream: &UnixStream) {
    let because = format!("{MAX_CLIENTS} clients are connected");
    let refusal = Refusal::new("the control socket is busy", because, "try again when one is gone");
    let mut line = serde_json::to_vec(&Reply::Error(refusal)).unwrap_or_default();
    line.push(b'\n');
    let _ = stream.try_write(&line);
}

/// One client, from its first line to its last.
async fn serve(stream: UnixStream, context: &Context) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    // a client that closed has its answers
    while let Ok(Some(line)) = read_line(&mut reader).await {
        let request = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => request,
            Err(error) => return complain(&mut writer, &error.to_string()).await,
        };
        let outcome = match answer(context, request) {
            Answer::Replies(replies) => send_all(&mut writer, replies).await,
            Answer::Sockets(stack, ids) => {
                let replies = ids.into_iter().filter_map(|id| super::answer::socket(&stack, id));
                send_all(&mut writer, replies).await
            }
            Answer::Events(events) => return watch(reader, writer, events).await,
        };
        if outcome.is_err() {
            return;
        }
    }
}

/// The next line, without more memory than it may take. `None` at the end; an error for one that is too long, was
/// cut off, or takes too long.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = reader.take(MAX_LINE as u64);
    timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await??;
    match line.last() {
        None => Ok(None),
        // no line: what comes cannot be understood, and gets the answer of all that cannot
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Ok(Some(b"too long or cut off".to_vec())),
    }
}

async fn complain(writer: &mut OwnedWriteHalf, because: &str) {
    let refusal = Refusal::new(
        "the request was not understood",
        because,
        "send one JSON object per line, like {\"request\":\"hello\"}",
    );
    let _ = send(writer, &Reply::Error(refusal)).await;
}

async fn send_all(
    writer: &mut OwnedWriteHalf,
    replies: impl IntoIterator<Item = Reply>,
) -> std::io::Result<()> {
    for reply in replies {
        send(writer, &reply).await?;
        if matches!(reply, Reply::Error(_)) {
            return Ok(());
        }
    }
    send(writer, &Reply::Done).await
}

async fn send(writer: &mut OwnedWriteHalf, reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(PATIENCE, writer.write_all(&line)).await?
}

/// Events until the client closes or writes anything, or the stack is gone.
async fn watch(
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    mut events: broadcast::Receiver<EventReport>,
) {
    let mut byte = [0];
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = reader.read(&mut byte) => return,
        };
        let reply = match event {
            Ok(event) => Reply::Event(event),
            Err(broadcast::error::RecvError::Lagged(events)) => Reply::Missed { events },
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if send(&mut writer, &reply).await.is_err() {
            return;
        }
    }
}
