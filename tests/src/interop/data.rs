//! Data that is the same for everybody, its hash, and ways to move it.

use mpuser_engine::rng::Rng;
use mpuser_tun::MptcpStream;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long a transfer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long subflows may take.
const JOINING: Duration = Duration::from_secs(5);

/// Bytes and their hash.
#[derive(Clone, Debug)]
pub struct Data {
    /// The seed they are made from.
    pub seed: u64,
    /// They.
    pub bytes: Vec<u8>,
    /// Their hash.
    pub sha256: String,
}

impl Data {
    /// The bytes of this seed.
    #[must_use]
    pub fn new(size: usize, seed: u64) -> Self {
        let mut whole = [0; 32];
        whole[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = Rng::from_seed(whole);
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            bytes.extend_from_slice(&rng.next_u64().to_le_bytes());
        }
        bytes.truncate(size);
        let sha256 = sha256(&bytes);
        Self { seed, bytes, sha256 }
    }
}

/// The hash of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Waits until the connection has this many subflows in state ESTABLISHED.
///
/// # Panics
/// After five seconds.
pub async fn established(stream: &MptcpStream, wanted: usize) {
    let count = || stream.subflows().iter().filter(|s| s.state == "ESTAB").count();
    let mut events = stream.events();
    let waiting = async {
        while count() < wanted {
            // The event may come a moment before the state it announces is complete.
            let _ = tokio::time::timeout(Duration::from_millis(10), events.recv()).await;
        }
    };
    if tokio::time::timeout(JOINING, waiting).await.is_err() {
        panic!("no {wanted} subflows within {JOINING:?}: {:#?}", stream.info());
    }
}

/// The value, or a panic with the state of the connection.
fn checked<T>(
    stream: &MptcpStream,
    what: &str,
    outcome: Result<std::io::Result<T>, tokio::time::error::Elapsed>,
) -> T {
    match outcome {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => panic!("{what}: {error}\n{:#?}", stream.info()),
        Err(_) => panic!("{what}: not within {PATIENCE:?}\n{:#?}", stream.info()),
    }
}

/// Writes all and ends this direction.
pub async fn send_all(stream: &mut MptcpStream, data: &[u8]) {
    let work = async {
        stream.write_all(data).await?;
        stream.shutdown().await
    };
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    checked(stream, "sending", outcome);
}

/// Reads to the end; how many bytes there were, and their hash. They go on `into`, and `told` is called with how many
/// have come.
pub(super) async fn drain(
    mut from: impl AsyncRead + Unpin,
    mut into: impl AsyncWrite + Unpin,
    mut told: impl FnMut(usize),
) -> std::io::Result<(usize, String)> {
    let (mut total, mut digest, mut buffer) = (0, Sha256::new(), vec![0; 256 << 10]);
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok((total, hex(&digest.finalize()))),
            count => {
                total += count;
                digest.update(&buffer[..count]);
                into.write_all(&buffer[..count]).await?;
                told(total);
            }
        }
    }
}

async fn read_all(from: impl AsyncRead + Unpin) -> std::io::Result<(usize, String)> {
    drain(from, tokio::io::sink(), |_| ()).await
}

/// Reads to the end; how many bytes there were, and their hash.
pub async fn receive(stream: &mut MptcpStream) -> (usize, String) {
    let outcome = tokio::time::timeout(PATIENCE, read_all(&mut *stream)).await;
    checked(stream, "receiving", outcome)
}

/// Sends all and its end; the answer as text.
pub async fn upload(stream: &mut MptcpStream, data: &[u8]) -> String {
    send_all(stream, data).await;
    let mut answer = String::new();
    let outcome = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    checked(stream, "reading the answer", outcome);
    answer
}

/// Sends all and its end while reading to the peer's end; how many bytes came, and their hash.
pub async fn exchange(stream: &mut MptcpStream, data: &[u8]) -> (usize, String) {
    let (read, mut write) = stream.split();
    let send = async {
        write.write_all(data).await?;
        write.shutdown().await
    };
    let work = async { tokio::try_join!(send, read_all(read)) };
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    checked(stream, "exchanging", outcome).1
}
