//! A connection that is measured: our stack's, or the kernel's.

use bytes::Bytes;
use mpuser_engine::ConnectionInfo;
use mpuser_tun::MptcpStream;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// One of the two, read and written by several tasks at once.
#[derive(Debug)]
pub(super) enum Link {
    /// Our stack's.
    Ours(MptcpStream),
    /// The kernel's, MPTCP or not.
    Kernel(TcpStream),
}

impl Link {
    /// Reads what there is; 0 is the end.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let outcome = match self {
                Self::Ours(stream) => stream.try_read(buffer),
                Self::Kernel(stream) => stream.try_read(buffer),
            };
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self {
                    Self::Ours(stream) => stream.readable().await?,
                    Self::Kernel(stream) => stream.readable().await?,
                },
                outcome => return outcome,
            }
        }
    }

    /// Writes everything.
    pub(super) async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let outcome = match self {
                Self::Ours(stream) => stream.try_write(data),
                Self::Kernel(stream) => stream.try_write(data),
            };
            match outcome {
                Ok(written) => data = data.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self {
                    Self::Ours(stream) => stream.writable().await?,
                    Self::Kernel(stream) => stream.writable().await?,
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The same without a copy, where the connection is our stack's.
    pub(super) async fn hand_over(&self, mut data: Bytes) -> io::Result<()> {
        let Self::Ours(stream) = self else { return self.write_all(&data).await };
        while !data.is_empty() {
            match stream.try_write_bytes(&mut data) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stream.writable().await?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The state of our stack's connection.
    pub(super) fn info(&self) -> Option<ConnectionInfo> {
        match self {
            Self::Ours(stream) => stream.info(),
            Self::Kernel(_) => None,
        }
    }

    /// Both addresses, this end's first.
    pub(super) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Ours(stream) => stream.local_addr().ok().zip(stream.peer_addr().ok()),
            Self::Kernel(stream) => stream.local_addr().ok().zip(stream.peer_addr().ok()),
        }
    }
}
