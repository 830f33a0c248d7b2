//! What the two ends of `mpuser perf` say to each other, on the connection that is measured.
//!
//! The client begins with a line of JSON, its [`Order`]; the server answers with another, its [`Answer`]. Then whoever
//! sends does so in blocks, each with its length before it (four octets, the highest first); a length of 0 is the end of
//! its data. An end that sends nothing ends at once. When both have ended, each sends a last line, its [`Tally`].

use super::link::Link;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;

/// The version of this page.
pub(super) const VERSION: u32 = 1;
/// The largest block, octets.
pub(super) const MAX_BLOCK: u32 = 1 << 20;
/// The longest line, octets.
const MAX_LINE: usize = 64 << 10;
/// How much is read at a time.
const CHUNK: usize = 256 << 10;
/// The end of an end's data.
pub(super) const END: [u8; 4] = [0; 4];

/// What the client wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    /// [`VERSION`].
    pub(super) mpuser_perf: u32,
    /// The client sends.
    pub(super) up: bool,
    /// The server sends.
    pub(super) down: bool,
    /// How long.
    pub(super) milliseconds: Option<u64>,
    /// Or how much.
    pub(super) bytes: Option<u64>,
    /// How much at a time.
    pub(super) length: u32,
    /// How many connections the client makes for this measurement.
    pub(super) streams: u32,
    /// Whoever sends hands its octets over. Older ends do not know it.
    #[serde(default)]
    pub(super) zerocopy: bool,
}

impl Order {
    /// Why a server should not do it.
    pub(super) fn objection(&self) -> Option<String> {
        if self.mpuser_perf != VERSION {
            return Some(format!("this end speaks version {VERSION} of mpuser perf's protocol"));
        }
        if !(1..=MAX_BLOCK).contains(&self.length) {
            return Some(format!("a block has 1 to {MAX_BLOCK} octets, not {}", self.length));
        }
        let day = self.milliseconds.is_none_or(|time| (1..=86_400_000).contains(&time));
        let amounts = self.milliseconds.is_some() != self.bytes.is_some();
        let valid = day && amounts && (self.up || self.down) && self.streams > 0;
        (!valid).then(|| "the order asks for nothing, or for too much".to_owned())
    }
}

/// What the server says to an [`Order`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// [`VERSION`] of the server.
    pub(super) mpuser_perf: u32,
    /// Why not, if not.
    pub(super) error: Option<String>,
    /// The server's sockets are the kernel's.
    pub(super) kernel: bool,
}

/// What one end saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Octets of data sent.
    pub(super) sent: u64,
    /// Octets of data received.
    pub(super) received: u64,
    /// How long sending took.
    pub(super) send_seconds: f64,
    /// How long receiving took.
    pub(super) receive_seconds: f64,
    /// Segments sent again, where they are counted.
    pub(super) retransmits: Option<u64>,
}

/// Writes one line.
pub(super) async fn say(link: &Link, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    link.write_all(&line).await
}

/// A link's octets, as lines and blocks: one for the life of the link, for it may have read ahead.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    /// What was read and not used stands between the two.
    used: usize,
    filled: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; CHUNK], used: 0, filled: 0 }
    }

    fn ready(&self) -> &[u8] {
        self.buffer.get(self.used..self.filled).unwrap_or_default()
    }

    /// Reads more behind what is there; the end of the stream is an error everywhere in this protocol.
    async fn more(&mut self, link: &Link) -> io::Result<()> {
        self.buffer.copy_within(self.used..self.filled, 0);
        (self.used, self.filled) = (0, self.filled - self.used);
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match link.read(room).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }

    /// One line.
    pub(super) async fn line<T: DeserializeOwned>(&mut self, link: &Link) -> io::Result<T> {
        loop {
            let ready = self.ready();
            if let Some(end) = ready.iter().take(MAX_LINE).position(|byte| *byte == b'\n') {
                let parsed = serde_json::from_slice(ready.get(..end).unwrap_or_default());
                self.used += end + 1;
                return Ok(parsed?);
            }
            // nothing of this protocol begins otherwise: no need to wait for the end of it
            let foreign = ready.first().is_some_and(|byte| *byte != b'{');
            if foreign || ready.len() >= MAX_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.more(link).await?;
        }
    }

    /// Reads blocks up to the end of the data; says of each piece how long it is.
    pub(super) async fn blocks(
        &mut self,
        link: &Link,
        mut seen: impl FnMut(u64),
    ) -> io::Result<()> {
        loop {
            while self.ready().len() < END.len() {
                self.more(link).await?;
            }
            let header = self.ready().first_chunk().copied().unwrap_or(END);
            self.used += END.len();
            let length = u32::from_be_bytes(header);
            if length > MAX_BLOCK {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let Some(mut left) = usize::try_from(length).ok().filter(|length| *length > 0) else {
                return Ok(());
            };
            while left > 0 {
                if self.ready().is_empty() {
                    self.more(link).await?;
                }
                let piece = left.min(self.ready().len());
                self.used += piece;
                left -= piece;
                seen(u64::try_from(piece).unwrap_or(0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    fn order() -> Order {
        let (milliseconds, bytes) = (Some(1_000), None);
        let (up, down) = (true, false);
        let (mpuser_perf, length, streams, zerocopy) = (VERSION, 1, 1, false);
        Order { mpuser_perf, up, down, milliseconds, bytes, length, streams, zerocopy }
    }

    /// What a reader makes of octets that come in pieces of `piece`.
    async fn read(octets: &[u8], piece: usize) -> (io::Result<Order>, io::Result<u64>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut out = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let link = Link::Kernel(listener.accept().await.unwrap().0);
        let octets = octets.to_vec();
        tokio::spawn(async move {
            for part in octets.chunks(piece) {
                out.write_all(part).await.unwrap();
            }
        });
        let mut reader = Reader::new();
        let line = reader.line::<Order>(&link).await;
        let mut total = 0;
        let blocks = match line {
            Ok(_) => reader.blocks(&link, |piece| total += piece).await,
            Err(_) => Ok(()),
        };
        (line, blocks.map(|()| total))
    }

    #[tokio::test]
    async fn lines_and_blocks_in_any_pieces() {
        let mut octets = serde_json::to_vec(&order()).unwrap();
        octets.push(b'\n');
        for block in [&b"abc"[..], &[7; 70_000], b"x"] {
            octets.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
            octets.extend(block);
        }
        octets.extend(END);
        for piece in [1_000, 7, 200_000] {
            let (line, total) = read(&octets, piece).await;
            assert_eq!((line.unwrap(), total.unwrap()), (order(), 70_004));
        }
    }

    #[tokio::test]
    async fn what_is_not_this_protocol_is_an_error() {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        // the beginning of an iperf3 client, an endless line, a wrong type, half a line
        let endless = [b"{\"".to_vec(), vec![b'a'; MAX_LINE + 1]].concat();
        for (octets, kind) in [
            (&b"k7mwpzcq2r4tsdvx6yabnhjfl5g3eiouqrst\0"[..], InvalidData),
            (&endless, InvalidData),
            (b"{\"mpuser_perf\":\"one\"}\n", InvalidData),
            (b"{\"mpuser", UnexpectedEof),
        ] {
            assert_eq!(read(octets, 50_000).await.0.unwrap_err().kind(), kind);
        }
        let mut line = serde_json::to_vec(&order()).unwrap();
        line.push(b'\n');
        for (behind, kind) in [
            // a length that lies, and an end in the middle of a block
            (&[0xff, 0xff, 0xff, 0xff, 1][..], InvalidData),
            (&[0, 0, 0, 9, 1, 2], UnexpectedEof),
            (&[0, 0], UnexpectedEof),
        ] {
            let outcome = read(&[&line, behind].concat(), 50_000).await.1;
            assert_eq!(outcome.unwrap_err().kind(), kind, "{behind:?}");
        }
    }

    #[test]
    fn orders_are_checked() {
        assert_eq!(order().objection(), None);
        for bad in [
            Order { mpuser_perf: 2, ..order() },
            Order { length: 0, ..order() },
            Order { length: MAX_BLOCK + 1, ..order() },
            Order { up: false, ..order() },
            Order { milliseconds: None, ..order() },
            Order { bytes: Some(1), ..order() },
            Order { milliseconds: Some(u64::MAX), ..order() },
            Order { streams: 0, ..order() },
        ] {
            assert!(bad.objection().is_some(), "{bad:?}");
        }
    }
}
