//! Two stacks joined by links in memory.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test helper: failing here is failing the test")]

use mpuser_tun::device::{Device, Faults, Faulty, MemoryConfig, MemoryLink, memory_pair};
use mpuser_tun::{MptcpListener, MptcpStream, PathConfig, Stack};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) const PORT: u16 = 7000;

/// A client, a server, and the links between them.
pub(crate) struct Net {
    pub(crate) client: Stack,
    pub(crate) server: Stack,
    pub(crate) links: Vec<MemoryLink>,
}

pub(crate) fn client_ip(path: usize) -> IpAddr {
    Ipv4Addr::new(10, 9, path as u8, 2).into()
}

pub(crate) fn server_ip(path: usize) -> IpAddr {
    Ipv4Addr::new(10, 9, path as u8, 1).into()
}

pub(crate) fn server_addr() -> SocketAddr {
    (server_ip(0), PORT).into()
}

/// `paths` links alike; `wrap` may put something around each of the client's devices.
pub(crate) fn net_with<D: Device + 'static>(
    paths: usize,
    config: &MemoryConfig,
    wrap: impl Fn(mpuser_tun::device::MemoryDevice, usize) -> D,
) -> Net {
    let (mut client, mut server) = (Stack::builder().seed([1; 32]), Stack::builder().seed([2; 32]));
    let mut links = Vec::new();
    for path in 0..paths {
        let (a, b, link) = memory_pair(config.clone()).unwrap();
        let ours = PathConfig::new(wrap(a, path), client_ip(path));
        client = client.path(ours.outlet(format!("mem{path}")));
        server = server.path(PathConfig::new(b, server_ip(path)));
        links.push(link);
    }
    Net { client: client.build().unwrap(), server: server.build().unwrap(), links }
}

pub(crate) fn net(paths: usize) -> Net {
    net_with(paths, &MemoryConfig::default(), |device, _| device)
}

/// As [`net`], with faults in both directions.
pub(crate) fn faulty_net(paths: usize, faults: impl Fn(u64) -> Faults) -> Net {
    net_with(paths, &MemoryConfig::default(), |device, path| {
        Faulty::new(device, faults(path as u64 * 2), faults(path as u64 * 2 + 1))
    })
}

impl Net {
    pub(crate) async fn listen(&self) -> MptcpListener {
        MptcpListener::bind(&self.server, server_addr()).await.unwrap()
    }

    /// A connection, both ends.
    pub(crate) async fn connection(&self) -> (MptcpStream, MptcpStream) {
        let listener = self.listen().await;
        let (client, server) =
            tokio::join!(self.client.connect(server_addr()), async { listener.accept().await });
        (client.unwrap(), server.unwrap().0)
    }

    /// A server that sends everything back until the end.
    pub(crate) async fn echo_server(&self) {
        let listener = self.listen().await;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
    }
}

/// Bytes that show where they belong.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// Sends `data` and its end, and returns what comes back.
pub(crate) async fn exchange(stream: MptcpStream, data: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut read, mut write) = stream.into_split();
    let mut answer = Vec::new();
    let send = async {
        write.write_all(data).await?;
        write.shutdown().await
    };
    let (sent, received) = tokio::join!(send, read.read_to_end(&mut answer));
    sent?;
    received?;
    Ok(answer)
}

/// A byte each way over a connection that goes on, so that both ends know it is there.
pub(crate) async fn exchange_on(one: &MptcpStream, other: &MptcpStream) {
    for (from, to) in [(one, other), (other, one)] {
        from.writable().await.unwrap();
        assert_eq!(from.try_write(b"x").unwrap(), 1);
        loop {
            to.readable().await.unwrap();
            match to.try_read(&mut [0; 8]) {
                Ok(length) => break assert_eq!(length, 1),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    }
}
