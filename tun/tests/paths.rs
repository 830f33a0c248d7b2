//! Several paths, faults on them, what is told about them.

mod common;

use common::{client_ip, exchange, faulty_net, net, net_with, pattern, server_addr, server_ip};
use mpuser_engine::Event;
use mpuser_tun::device::{Faults, MemoryConfig, memory_pair};
use mpuser_tun::{CaptureWriter, PathConfig, Stack};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn slow() -> MemoryConfig {
    MemoryConfig {
        rate: Some(20_000_000),
        delay: Duration::from_millis(10),
        ..MemoryConfig::default()
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_story_even_after_the_stream_is_gone() {
    let net = net(2);
    net.echo_server().await;
    let stream = net.client.connect(server_addr()).await.unwrap();
    let mut events = stream.events();
    assert!(matches!(events.recv().await, Some(Event::Established { mptcp: true, .. })));
    while !matches!(events.recv().await, Some(Event::SubflowEstablished { ids, .. }) if ids.0.0 != 0) {}
    assert!(stream.subflows().iter().any(|subflow| subflow.join));
    exchange(stream, b"done").await.unwrap();
    let mut last = None;
    while let Some((at, event)) = events.recv_timed().await {
        assert!(at <= mpuser_tun::clock::now());
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Closed(None)));
    assert_eq!(events.lagged(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_path_cut_in_the_middle_costs_no_data() {
    let net = net_with(2, &slow(), |device, _| device);
    net.echo_server().await;
    let stream = net.client.connect(server_addr()).await.unwrap();
    let data = pattern(3_000_000);
    let cut = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        net.links[0].cut();
    };
    let (answer, ()) = tokio::join!(exchange(stream, &data), cut);
    assert!(answer.unwrap() == data);
    let stats = net.client.path_stats();
    assert!(stats.iter().all(|path| path.packets_sent > 0 && path.packets_received > 0), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn loss_reordering_and_duplicates_cost_no_data() {
    let net = faulty_net(2, |seed| Faults::new(seed).loss(0.01).reorder(0.05).duplicate(0.01));
    net.echo_server().await;
    let stream = net.client.connect(server_addr()).await.unwrap();
    let data = pattern(1_000_000);
    assert!(exchange(stream, &data).await.unwrap() == data);
}

#[tokio::test(start_paused = true)]
async fn paths_come_and_go() {
    let net = net(1);
    let (mut client, mut server) = net.connection().await;
    let (a, b, _link) = memory_pair(MemoryConfig::default()).unwrap();
    net.server.add_path(PathConfig::new(b, server_ip(1))).unwrap();
    net.client.add_path(PathConfig::new(a, client_ip(1)).name("late")).unwrap();
    assert_eq!(net.client.addresses().len(), 2);
    assert_eq!(net.client.path_stats()[1].name, "late");
    client.write_all(b"x").await.unwrap();
    server.read_exact(&mut [0]).await.unwrap();
    if client.subflows().len() < 2 {
        client.add_subflow(client_ip(1), (server_ip(1), common::PORT).into()).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(client.subflows().iter().any(|subflow| subflow.join && subflow.state == "ESTAB"));
    net.client.remove_address(client_ip(0));
    client.write_all(b"over the other").await.unwrap();
    let mut received = [0; 14];
    server.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"over the other");
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_capture_shows_both_directions() {
    let net = net(1);
    net.echo_server().await;
    let (a, b, _link) = memory_pair(MemoryConfig::default()).unwrap();
    net.server.add_path(PathConfig::new(b, server_ip(5))).unwrap();
    let file = Buffer::default();
    let client = Stack::builder()
        .path(PathConfig::new(a, client_ip(5)))
        .capture(CaptureWriter::new(file.clone()))
        .build()
        .unwrap();
    let listener =
        mpuser_tun::MptcpListener::bind(&net.server, (server_ip(5), 80)).await.unwrap();
    let (stream, accepted) = tokio::join!(client.connect((server_ip(5), 80)), listener.accept());
    drop((stream.unwrap(), accepted.unwrap()));
    client.shutdown(Duration::from_secs(90)).await.unwrap();
    let bytes = file.0.lock().unwrap().clone();
    let (mut at, mut directions, mut statistics) = (0, [0; 3], 0);
    while at < bytes.len() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        match word(at) {
            6 => {
                let options = at + 28 + word(at + 20).next_multiple_of(4);
                directions[word(options + 4)] += 1;
            }
            5 => statistics += 1,
            _ => {}
        }
        at += word(at + 4);
    }
    assert_eq!((statistics, directions[0]), (1, 0));
    // At least handshake and close: two packets from the peer, three to it.
    assert!(directions[1] >= 2 && directions[2] >= 3, "{directions:?}");
}

/// The same over real time and two threads: no wake-up may be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_lose_no_wakeups() {
    let net = net(2);
    net.echo_server().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let client = net.client.clone();
        tasks.spawn(async move {
            let stream = client.connect(server_addr()).await.unwrap();
            let data = pattern(2_000_000);
            assert!(exchange(stream, &data).await.unwrap() == data);
        });
    }
    let all = async {
        while let Some(outcome) = tasks.join_next().await {
            outcome.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("stalled");
}
