//! Subflows in byte streams, over loopback: no device, no privileges.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

use mpuser_tun::{HostPort, MptcpListener, MptcpStream, Stack, StreamVia};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const PORT: u16 = 7000;

/// A server that echoes, and where it takes streams.
async fn server() -> (Stack, SocketAddr, JoinHandle<()>) {
    let stack = Stack::builder().streams_only().build().expect("a stack");
    let streams = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = streams.local_addr().expect("bound");
    stack.listen_streams(streams).expect("a path");
    let listener = MptcpListener::bind(&stack, ("0.0.0.0", PORT)).await.expect("a listener");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    (stack, at, task)
}

/// A way to `server` through what listens at `proxy`.
fn via(scheme: &str, proxy: SocketAddr, server: SocketAddr) -> StreamVia {
    let url = format!("{scheme}://{proxy}").parse().expect("a proxy");
    let server = HostPort { host: server.ip().to_string(), port: server.port() };
    StreamVia { url, proxy, server, port: PORT }
}

/// A plain port forward that can be told to die.
async fn forward(to: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        let mut all = tokio::task::JoinSet::new();
        while let Ok((mut from, _)) = listener.accept().await {
            all.spawn(async move {
                if let Ok(mut to) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    (at, task)
}

fn data(len: usize) -> Vec<u8> {
    (0..len as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).take(len).collect()
}

/// All of it there and back.
async fn echo(stream: &mut MptcpStream, sent: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = stream.split();
    let mut back = Vec::new();
    let write = async {
        writer.write_all(sent).await.expect("it is written");
        writer.shutdown().await.expect("it ends");
    };
    let (_, read) = tokio::join!(write, reader.read_to_end(&mut back));
    read.expect("it comes back");
    back
}

/// Waits until the connection has so many subflows.
async fn until(stream: &MptcpStream, subflows: usize) {
    let there = async {
        loop {
            let info = stream.info().expect("it lives");
            if info.subflows.iter().filter(|s| s.state == "ESTAB").count() == subflows {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(5), there).await;
    assert!(found.is_ok(), "never {subflows} subflows: {:#?}", stream.info());
}

async fn client(vias: Vec<StreamVia>) -> (Stack, SocketAddr) {
    let stack = Stack::builder().streams_only().build().expect("a stack");
    let vias: Vec<_> = vias.into_iter().map(|v| stack.add_stream_via(v).expect("a path")).collect();
    let first = vias.first().expect("one at least").remote;
    stack.set_vias(vias);
    (stack, first)
}

#[tokio::test]
async fn one_stream_carries_a_connection() {
    let (server, at, _task) = server().await;
    let (stack, first) = client(vec![via("tcp", at, at)]).await;
    let mut stream = stack.connect(first).await.expect("connected");
    assert!(stream.is_mptcp());
    let sent = data(4 << 20);
    assert!(echo(&mut stream, &sent).await == sent);
    let info = stream.info().expect("the last one");
    assert_eq!(info.subflows.iter().map(|s| s.bytes_retrans).sum::<u64>(), 0);
    drop(stream);
    stack.shutdown(Duration::from_secs(2)).await.expect("it closes");
    server.shutdown(Duration::from_secs(2)).await.expect("it closes");
}

#[tokio::test]
async fn two_proxies_are_one_connection_and_one_may_die() {
    let (_server, at, _task) = server().await;
    let (one, first_task) = forward(at).await;
    let (two, _second_task) = forward(at).await;
    let (stack, first) = client(vec![via("tcp", one, at), via("tcp", two, at)]).await;
    let mut stream = stack.connect(first).await.expect("connected");
    until(&stream, 2).await;
    let sent = data(16 << 20);
    let dying = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        first_task.abort();
    };
    let (back, ()) = tokio::join!(echo(&mut stream, &sent), dying);
    assert!(back == sent, "{} of {} octets", back.len(), sent.len());
    drop(stream);
    stack.shutdown(Duration::from_secs(2)).await.expect("it closes");
}
