//! Streams and listeners behave as tokio's do. Paused time: what waits for a timer does not wait.

mod common;

use bytes::Bytes;
use common::{PORT, client_ip, exchange, net, pattern, server_addr, server_ip};
use mpuser_tun::{ConnectOptions, Error, MptcpListener, MptcpStream, Stack};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn the_types_cross_threads() {
    fn is<T: Send + Sync + Unpin>() {}
    is::<MptcpStream>();
    is::<MptcpListener>();
    is::<Stack>();
    is::<mpuser_tun::OwnedReadHalf>();
    is::<mpuser_tun::OwnedWriteHalf>();
    is::<mpuser_tun::Events>();
}

#[test]
fn a_stack_needs_a_runtime_and_a_path() {
    let (device, _other, _) = mpuser_tun::device::memory_pair(Default::default()).unwrap();
    let path = mpuser_tun::PathConfig::new(device, client_ip(0));
    let error = Stack::builder().path(path).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(Stack::builder().build().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn echo_of_several_sizes() {
    let net = net(1);
    net.echo_server().await;
    for size in [0, 1, 1000, 1460, 70_000, 3_000_000] {
        let stream = net.client.connect(server_addr()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), server_addr());
        assert_eq!(stream.local_addr().unwrap().ip(), client_ip(0));
        assert!(stream.is_mptcp() && stream.fallback_reason().is_none());
        let data = pattern(size);
        assert!(exchange(stream, &data).await.unwrap() == data, "{size} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn half_close_leaves_the_other_direction_open() {
    let net = net(1);
    let (mut client, mut server) = net.connection().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut question = String::new();
    server.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    tokio::time::sleep(Duration::from_secs(5)).await;
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

#[tokio::test(start_paused = true)]
async fn halves_work_apart_and_together() {
    let net = net(1);
    let (mut client, server) = net.connection().await;
    let (mut read, mut write) = server.into_split();
    let task = tokio::spawn(async move {
        let mut byte = [0];
        read.read_exact(&mut byte).await.unwrap();
        write.write_all(&byte).await.unwrap();
        read.reunite(write).unwrap()
    });
    let (mut read, mut write) = client.split();
    let mut byte = [0];
    let (sent, received) = tokio::join!(write.write_all(b"!"), read.read_exact(&mut byte));
    sent.unwrap();
    received.unwrap();
    assert_eq!(&byte, b"!");
    let mut server = task.await.unwrap();

    // A dropped write half ends its direction only.
    let (mut read, write) = client.into_split();
    drop(write);
    assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0);
    server.write_all(b"still").await.unwrap();
    let mut still = [0; 5];
    read.read_exact(&mut still).await.unwrap();
    net.echo_server().await;
    let (_, stranger) = net.client.connect(server_addr()).await.unwrap().into_split();
    assert!(read.reunite(stranger).is_err());
}

#[tokio::test(start_paused = true)]
async fn octets_are_handed_over_and_come_as_they_came() {
    let net = net(2);
    let (client, mut server) = net.connection().await;
    let data = Bytes::from(pattern(3_000_000));
    let (mut read, mut write) = client.into_split();
    let mut rest = data.clone();
    let sending = async {
        // pieces of all sizes, those too small to be kept as well
        for len in [1, 100, 5_000, 70_000, 4_096, 4_095].into_iter().cycle() {
            let mut piece = rest.split_to(len.min(rest.len()));
            while !piece.is_empty() {
                let left = piece.len();
                let taken = write.write_bytes(&mut piece).await.unwrap();
                assert_eq!(piece.len(), left - taken);
            }
            if rest.is_empty() {
                return write.shutdown().await.unwrap();
            }
        }
    };
    let receiving = async {
        let mut received = Vec::new();
        loop {
            let chunk = server.read_chunk(1_000).await.unwrap();
            if chunk.is_empty() {
                return received;
            }
            assert!(chunk.len() <= 1_000);
            received.extend_from_slice(&chunk);
        }
    };
    let ((), received) = tokio::join!(sending, receiving);
    assert!(received == data);
    let error = write.write_bytes(&mut data.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");

    // nothing to take is no octet taken, nothing to read is not the end
    assert_eq!(server.try_write_bytes(&mut Bytes::new()).unwrap(), 0);
    assert!(read.read_chunk(0).await.unwrap().is_empty());
    assert_eq!(read.as_ref().try_read_chunk(9).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(server.try_write_bytes(&mut Bytes::from_static(b"end")).unwrap(), 3);
    assert_eq!(read.read_chunk(2).await.unwrap(), "en");
    assert_eq!(read.as_ref().try_read_chunk(9).unwrap(), "d");
    drop(server);
    assert!(read.read_chunk(9).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_connections_at_once() {
    let net = net(2);
    net.echo_server().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..100 {
        let client = net.client.clone();
        tasks.spawn(async move {
            let stream = client.connect(server_addr()).await.unwrap();
            let data = pattern(10_000 + n);
            assert!(exchange(stream, &data).await.unwrap() == data);
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_listening_is_connection_refused() {
    let net = net(1);
    let error = net.client.connect((server_ip(0), 9)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let ours = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    assert!(matches!(ours, Some(Error::Connection(_))));
    // No address of that family here.
    let error = net.client.connect("[fd00::1]:7000").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[tokio::test(start_paused = true)]
async fn silence_is_timed_out() {
    let net = net(1);
    let _listener = net.listen().await;
    net.links[0].cut();
    let options = ConnectOptions { timeout: Some(Duration::from_secs(3)), ..Default::default() };
    let error = net.client.connect_with(server_addr(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // Without a limit, the engine gives up after its SYN retransmissions.
    let error = net.client.connect(server_addr()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // An attempt given up leaves nothing behind.
    net.links[0].restore();
    let attempt = net.client.connect((server_ip(0), 9));
    drop(attempt);
    net.client.clone().shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_closes_and_delivers_what_was_written() {
    let net = net(1);
    let (mut client, mut server) = net.connection().await;
    let data = pattern(500_000);
    client.write_all(&data).await.unwrap();
    drop(client);
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap();
    assert!(received == data);
    drop(server);
    let (client, server) = tokio::join!(
        net.client.shutdown(Duration::from_secs(30)),
        net.server.shutdown(Duration::from_secs(30))
    );
    client.unwrap();
    server.unwrap();
}

#[tokio::test(start_paused = true)]
async fn abort_is_a_reset_for_the_peer() {
    let net = net(1);
    let (client, mut server) = net.connection().await;
    let before = client.info().unwrap();
    client.abort();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = server.write(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(client.try_read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    // What is known about a connection stays known.
    assert_eq!(client.info().unwrap().token, before.token);
    assert_eq!(client.subflows().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn readiness_and_tries() {
    let net = net(1);
    let (client, server) = net.connection().await;
    assert_eq!(server.try_read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let idle = tokio::time::timeout(Duration::from_secs(1), server.readable()).await;
    assert!(idle.is_err(), "nothing has arrived");
    // Two tasks wait; both are woken.
    let (a, b, sent) = tokio::join!(server.readable(), server.readable(), async {
        client.writable().await.unwrap();
        client.try_write(b"ping")
    });
    a.unwrap();
    b.unwrap();
    assert_eq!(sent.unwrap(), 4);
    let mut data = [0; 10];
    assert_eq!(server.try_read(&mut data).unwrap(), 4);

    // Until nothing more is taken; then there is room again once the peer has read.
    let mut total = 0;
    let mut full = 0;
    while full < 3 {
        match client.try_write(&[7; 100_000]) {
            Ok(count) => (total, full) = (total + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                full += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    let (mut server, _keep) = server.into_split();
    let mut rest = vec![0; total];
    let (writable, read) = tokio::join!(client.writable(), server.read_exact(&mut rest));
    writable.unwrap();
    read.unwrap();
    assert!(rest.iter().all(|byte| *byte == 7));
}

#[tokio::test(start_paused = true)]
async fn listeners_have_addresses_and_keep_them() {
    let net = net(1);
    let first = net.listen().await;
    assert_eq!(first.local_addr().unwrap(), server_addr());
    let error = MptcpListener::bind(&net.server, server_addr()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let free = MptcpListener::bind(&net.server, (server_ip(0), 0)).await.unwrap();
    let address = free.local_addr().unwrap();
    assert_ne!(address.port(), 0);
    let (client, server) = tokio::join!(net.client.connect(address), free.accept());
    assert_eq!(server.unwrap().1, client.unwrap().local_addr().unwrap());
    drop(first);
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let any = MptcpListener::bind(&net.server, any).await.unwrap();
    let (client, server) = tokio::join!(net.client.connect("10.9.0.1:7000"), any.accept());
    client.unwrap();
    server.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_nobody_accepts_end_with_the_listener() {
    let net = net(1);
    let listener = net.listen().await;
    let mut client = net.client.connect(server_addr()).await.unwrap();
    drop(listener);
    let error = client.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    net.server.shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_aborts_what_stays_open() {
    let net = net(1);
    let (mut client, mut server) = net.connection().await;
    let handle = net.server.clone();
    let error = net.server.shutdown(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(server.read(&mut [0; 1]).await.is_err());
    assert_eq!(handle.connect(server_addr()).await.unwrap_err().kind(), ErrorKind::NotConnected);
    let error = MptcpListener::bind(&handle, server_addr()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

/// Without its last ACKs the peer would send its FINs again and again.
#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_the_fins() {
    let net = net(3);
    let (mut client, mut server) = net.connection().await;
    client.write_all(b"x").await.unwrap();
    client.shutdown().await.unwrap();
    server.read_to_end(&mut Vec::new()).await.unwrap();
    drop((client, server));
    net.client.shutdown(Duration::from_secs(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let counters = net.server.counters();
    assert_eq!((counters.tcp_retrans_segs, counters.tcp_out_rsts), (0, 0), "{counters:#?}");
}

#[test]
fn a_stream_outlives_its_runtime_without_hanging() {
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let runtime = build();
    let (mut client, _server) = runtime.block_on(async { net(1).connection().await });
    drop(runtime);
    let error = build().block_on(async { client.read(&mut [0; 1]).await.unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
