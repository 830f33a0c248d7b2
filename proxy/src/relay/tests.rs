use super::*;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;

/// A relay between two pipes; what is outside of it.
fn relayed(
    limits: Limits,
    room: usize,
) -> (DuplexStream, DuplexStream, JoinHandle<(End, u64, u64)>) {
    let (client, mut near) = duplex(room);
    let (server, mut far) = duplex(room);
    let task = tokio::spawn(async move {
        let moved = Moved::default();
        let end = relay(&mut near, &mut far, Vec::new(), limits, &moved).await;
        (end, moved.up(), moved.down())
    });
    (client, server, task)
}

/// Each direction is closed by itself, and the other one goes on for as long as it has something to say.
#[tokio::test]
async fn half_closes_are_kept() {
    for server_first in [false, true] {
        let (client, server, task) = relayed(Limits::default(), 64);
        let (mut first, mut second) =
            if server_first { (server, client) } else { (client, server) };
        first.write_all(b"question").await.unwrap();
        first.shutdown().await.unwrap();
        let mut heard = Vec::new();
        second.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        // long after the end of the other direction, and more than the pipes hold
        let answer = vec![7; 300_000];
        let (written, read) = tokio::join!(
            async {
                second.write_all(&answer).await?;
                second.shutdown().await
            },
            async {
                let mut heard = Vec::new();
                first.read_to_end(&mut heard).await.map(|_| heard)
            }
        );
        written.unwrap();
        assert!(read.unwrap() == answer);
        let (end, up, down) = task.await.unwrap();
        assert!(matches!(end, End::Finished), "{end:?}");
        let counts = if server_first { (300_000, 8) } else { (8, 300_000) };
        assert_eq!((up, down), counts);
    }
}

/// A writer that keeps what it is given until it is told to let go.
#[derive(Default)]
struct Hoarder {
    held: Vec<u8>,
    given: Vec<u8>,
    stubborn: u8,
    closed: bool,
    input: std::collections::VecDeque<Vec<u8>>,
}

impl AsyncRead for Hoarder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(data) = self.input.pop_front() {
            buf.put_slice(&data);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Hoarder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.held.extend_from_slice(data);
        self.stubborn = 3;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stubborn > 0 {
            self.stubborn -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let held = std::mem::take(&mut self.held);
        self.given.extend(held);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        assert!(self.held.is_empty(), "closed before everything was flushed");
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn nothing_waits_in_a_writers_buffer() {
    let mut near = Hoarder { input: [b"a".to_vec(), b"b".to_vec()].into(), ..Hoarder::default() };
    let mut far = Hoarder::default();
    let end =
        relay(&mut near, &mut far, b"head ".to_vec(), Limits::default(), &Moved::default()).await;
    assert!(matches!(end, End::Finished) && far.closed && near.closed, "{end:?}");
    assert_eq!(far.given, b"head ab");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_and_a_byte_does_not() {
    let limits = Limits { idle: Some(Duration::from_secs(10)) };
    let (mut client, mut server, task) = relayed(limits, 64);
    let start = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(8)).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
    }
    assert!(!task.is_finished());
    let (end, up, _) = task.await.unwrap();
    assert!(matches!(end, End::Idle) && up == 5, "{end:?}");
    let quiet = start.elapsed().saturating_sub(Duration::from_secs(40));
    assert!(quiet >= Duration::from_secs(10) && quiet <= Duration::from_secs(13), "{quiet:?}");
}

/// Who never reads does not make the relay take in more and more.
#[tokio::test(start_paused = true)]
async fn a_reader_that_sleeps_stops_its_writer() {
    let limits = Limits { idle: Some(Duration::from_secs(60)) };
    let (mut client, _server, task) = relayed(limits, 1_000);
    let mut taken = 0;
    let writing = async {
        loop {
            taken += client.write(&[0; 1_000]).await.unwrap();
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), writing).await;
    assert!(taken <= BUFFER + 2_000, "{taken} bytes taken");
    assert!(matches!(task.await.unwrap().0, End::Idle));
}

/// A server that answers and goes away while the client still talks: the answer comes through.
#[tokio::test]
async fn an_answer_survives_a_refused_upload() {
    let (client, mut server, task) = relayed(Limits::default(), 64);
    let (mut hear, mut say) = tokio::io::split(client);
    let talking = tokio::spawn(async move {
        let mut said = 0;
        while say.write_all(&[1; 100]).await.is_ok() {
            said += 100;
        }
        said
    });
    server.write_all(b"no, thank you").await.unwrap();
    // both directions at once, as a reset would
    drop(server);
    let mut heard = Vec::new();
    hear.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"no, thank you");
    let (end, ..) = task.await.unwrap();
    assert!(matches!(end, End::Lost(Side::Far, _)), "{end:?}");
    talking.abort();
}

/// Connections of the kernel's: a reset on one side is a reset on the other one, never an orderly end.
#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset() {
    let doors = [tcp_pair().await, tcp_pair().await];
    let [(mut client, near), (server, far)] = doors;
    let never = std::future::pending();
    let task = tokio::spawn(async move {
        join(near, far, Vec::new(), Limits::default(), &Moved::default(), never).await
    });
    client.write_all(b"hello").await.unwrap();
    let mut server = server;
    let mut word = [0; 5];
    server.read_exact(&mut word).await.unwrap();
    server.abort();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(task.await.unwrap(), End::Lost(Side::Far, _)));
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the pieces and the room: every byte arrives, in order, and is counted.
    #[test]
    fn every_byte_arrives(
        up in proptest::collection::vec(0_usize..1_500, 0..8),
        down in proptest::collection::vec(0_usize..1_500, 0..8),
        room in 8_usize..3_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (client, server, task) = relayed(Limits::default(), room);
            let (heard_back, heard) = tokio::join!(talk(client, &up, 1), talk(server, &down, 2));
            assert_eq!(heard, pattern(&up, 1));
            assert_eq!(heard_back, pattern(&down, 2));
            let (end, moved_up, moved_down) = task.await.unwrap();
            assert!(matches!(end, End::Finished));
            let sum = |sizes: &[usize]| sizes.iter().sum::<usize>() as u64;
            assert_eq!((moved_up, moved_down), (sum(&up), sum(&down)));
        });
    }
}

fn pattern(sizes: &[usize], salt: usize) -> Vec<u8> {
    (0..sizes.iter().sum()).map(|at: usize| (at * 7 + at / 251 + salt) as u8).collect()
}

/// Says its piece, hears the other's.
async fn talk(stream: DuplexStream, sizes: &[usize], salt: usize) -> Vec<u8> {
    let (mut hear, mut say) = tokio::io::split(stream);
    let all = pattern(sizes, salt);
    let saying = async {
        let mut rest = &all[..];
        for size in sizes {
            let (piece, after) = rest.split_at(*size);
            say.write_all(piece).await.unwrap();
            rest = after;
        }
        say.shutdown().await.unwrap();
    };
    let hearing = async {
        let mut heard = Vec::new();
        hear.read_to_end(&mut heard).await.map(|_| heard)
    };
    tokio::join!(saying, hearing).1.unwrap()
}
