//! What a client says before it is led on, piece by piece.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

/// Most bytes read before the client is led on. More than any message; what is beyond is for the far end.
const ROOM: usize = 4_096;

/// Why a greeting failed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble<E> {
    /// What was said is no such message.
    #[error("{0}")]
    Wrong(E),
    /// The client ended in the middle of it.
    #[error("the client closed the connection in the middle of its greeting")]
    Cut,
    /// It took too long.
    #[error("the client did not finish its greeting in time")]
    Late,
    /// The connection failed.
    #[error("the connection was lost in the middle of the greeting ({})", crate::health::words(.0))]
    Io(io::Error),
}

/// Bytes read from a client, and when it has to be done.
#[derive(Debug)]
pub struct Greeting {
    read: Vec<u8>,
    until: Instant,
}

impl Greeting {
    /// A greeting that has `patience` from now.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { read: Vec::new(), until: Instant::now() + patience }
    }

    /// The next message of the client: `parse` says what it is and how long, or that more is needed.
    ///
    /// # Errors
    /// What the message is not, or what kept it from coming.
    pub async fn next<S, T, E>(
        &mut self,
        stream: &mut S,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, E>,
    ) -> Result<T, Trouble<E>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            if let Some((message, length)) = parse(&self.read).map_err(Trouble::Wrong)? {
                self.read.drain(..length.min(self.read.len()));
                return Ok(message);
            }
            let room = ROOM.saturating_sub(self.read.len());
            let mut more = (&mut *stream).take(room as u64);
            let reading = more.read_buf(&mut self.read);
            match timeout_at(self.until, reading).await {
                Err(_) => return Err(Trouble::Late),
                Ok(Ok(0)) => return Err(Trouble::Cut),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Trouble::Io(error)),
            }
        }
    }

    /// What was read and is no message yet.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.read
    }

    /// What was read and belongs to no message: the far end's.
    #[must_use]
    pub fn rest(self) -> Vec<u8> {
        self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, duplex};

    /// Messages of three bytes; no byte is 9.
    fn three(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
        if bytes.contains(&9) {
            return Err("nine");
        }
        Ok(bytes.get(..3).map(|message| (message.to_vec(), 3)))
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_and_what_comes_after() {
        let (mut client, mut near) = duplex(64);
        let said = tokio::spawn(async move {
            for byte in *b"abcdefgh" {
                tokio::time::sleep(Duration::from_millis(10)).await;
                client.write_all(&[byte]).await.unwrap();
            }
            client.write_all(b"ijk").await.unwrap();
            client
        });
        let mut greeting = Greeting::new(Duration::from_secs(1));
        assert_eq!(greeting.next(&mut near, three).await.unwrap(), b"abc");
        assert_eq!(greeting.next(&mut near, three).await.unwrap(), b"def");
        let _client = said.await.unwrap();
        assert_eq!(greeting.next(&mut near, three).await.unwrap(), b"ghi");
        assert_eq!(greeting.rest(), b"jk");
    }

    #[tokio::test(start_paused = true)]
    async fn late_cut_and_wrong() {
        let (mut client, mut near) = duplex(64);
        client.write_all(b"ab").await.unwrap();
        let mut greeting = Greeting::new(Duration::from_secs(1));
        assert!(matches!(greeting.next(&mut near, three).await, Err(Trouble::Late)));
        let mut greeting = Greeting::new(Duration::from_secs(1));
        client.write_all(&[1, 9]).await.unwrap();
        assert!(matches!(greeting.next(&mut near, three).await, Err(Trouble::Wrong("nine"))));
        client.write_all(b"x").await.unwrap();
        drop(client);
        let mut greeting = Greeting::new(Duration::from_secs(1));
        assert!(matches!(greeting.next(&mut near, three).await, Err(Trouble::Cut)));
    }

    /// A parser that never has enough does not make memory grow.
    #[tokio::test]
    async fn there_is_an_end_to_patience() {
        let (mut client, mut near) = duplex(64);
        tokio::spawn(async move { while client.write_all(&[0; 64]).await.is_ok() {} });
        let mut greeting = Greeting::new(Duration::from_secs(5));
        let never = |_: &[u8]| Ok::<Option<((), usize)>, ()>(None);
        assert!(matches!(greeting.next(&mut near, never).await, Err(Trouble::Cut)));
        assert!(greeting.rest().len() <= ROOM);
    }
}
