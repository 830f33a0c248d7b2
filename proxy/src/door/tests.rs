//! The door before kernel servers on the loopback, without MPTCP: balance, fail-over, limits, ends.

use super::*;
use crate::balanced::Balanced;
use crate::health::{Check, watch as check};
use crate::pool::{Balance, Pool, Server};
use crate::report::Totals;
use std::sync::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server that greets with its number and sends back what it hears.
async fn server(number: u8) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(answer(listener, number)))
}

async fn answer(listener: TcpListener, number: u8) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            stream.write_all(&[number]).await?;
            let (mut hear, mut say) = stream.split();
            tokio::io::copy(&mut hear, &mut say).await?;
            say.shutdown().await
        });
    }
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

struct Door {
    address: SocketAddr,
    pool: Arc<Pool>,
    counters: Arc<Counters>,
    said: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

impl Door {
    async fn open(servers: &[SocketAddr], balance: Balance, limits: Limits) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let observer: Observer = Arc::new(move |event| {
            let line = match event {
                Event::Connected { to, .. } => format!("connected {to}"),
                Event::Ended { end, .. } => format!("ended {end:?}"),
                Event::Refused { refusal, .. } => format!("refused {refusal}"),
                Event::Full { clients } => format!("full {clients}"),
                Event::Server { server, down } => format!("{server} {}", down.unwrap_or("up")),
                Event::Passed { server, .. } => format!("passed {server}"),
                Event::Blocked { error } => format!("blocked {error}"),
            };
            heard.lock().unwrap().push(line);
        });
        let named =
            servers.iter().zip('a'..).map(|(at, name)| Server::new(vec![*at], name.to_string()));
        let pool = Arc::new(Pool::new(named.collect(), balance, 2, Arc::clone(&observer)));
        let patience = Duration::from_secs(5);
        let guide = Arc::new(Balanced { pool: Arc::clone(&pool), patience });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counters = Arc::<Counters>::default();
        let (stop, stopped) = oneshot::channel();
        let ending = async move { drop(stopped.await) };
        let task =
            tokio::spawn(serve(listener, guide, limits, Arc::clone(&counters), observer, ending));
        Self { address, pool, counters, said, stop: Some(stop), task }
    }

    /// A client with its greeting heard.
    async fn enter(&self) -> (TcpStream, u8) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let number = stream.read_u8().await.unwrap();
        (stream, number)
    }

    async fn until(&self, line: &str) {
        for _ in 0..500 {
            if self.said.lock().unwrap().iter().any(|said| said.starts_with(line)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {line}: {:?}", self.said.lock().unwrap());
    }

    async fn close(&mut self) -> Totals {
        drop(self.stop.take());
        (&mut self.task).await.unwrap().unwrap();
        self.counters.totals()
    }
}

const LIMITS: Limits = Limits { clients: 100, idle: None };

#[tokio::test]
async fn clients_are_shared_out_and_every_byte_comes_back() {
    let mut servers = Vec::new();
    for number in 0..3 {
        servers.push(server(number).await.0);
    }
    let mut door = Door::open(&servers, Balance::RoundRobin, LIMITS).await;
    let mut seen = [0; 3];
    let data = vec![0xa5; 300_000];
    for _ in 0..6 {
        let (stream, number) = door.enter().await;
        seen[usize::from(number)] += 1;
        let (mut hear, mut say) = stream.into_split();
        let mut back = Vec::new();
        let sending = async {
            say.write_all(&data).await.unwrap();
            // the half close reaches the server, and its answer is still heard
            say.shutdown().await.unwrap();
        };
        let (_, heard) = tokio::join!(sending, hear.read_to_end(&mut back));
        heard.unwrap();
        assert!(back == data);
    }
    assert_eq!(seen, [2; 3]);
    let totals = door.close().await;
    let bytes = 6 * 300_000;
    assert_eq!((totals.accepted, totals.connected, totals.finished), (6, 6, 6), "{totals:?}");
    assert_eq!((totals.bytes_up, totals.bytes_down), (bytes, bytes + 6));
}

/// A server that is gone costs nobody anything, and is asked again when it is back.
#[tokio::test]
async fn a_dead_server_is_passed_by() {
    let dead = nobody().await;
    let (alive, _) = server(7).await;
    let mut door = Door::open(&[dead, alive], Balance::RoundRobin, LIMITS).await;
    for _ in 0..6 {
        let (mut stream, number) = door.enter().await;
        assert_eq!(number, 7);
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }
    door.until("a connection refused").await;
    let passed = door.said.lock().unwrap().iter().filter(|line| *line == "passed a").count();
    assert_eq!(passed, 2, "down after two, and nobody went there again");
    let listener = TcpListener::bind(dead).await.unwrap();
    tokio::spawn(answer(listener, 1));
    let every = Duration::from_millis(20);
    let checking = tokio::spawn(check(Arc::clone(&door.pool), Check { every, patience: every }));
    door.until("a up").await;
    let numbers = [door.enter().await.1, door.enter().await.1];
    assert!(numbers.contains(&1) && numbers.contains(&7), "{numbers:?}");
    checking.abort();
    assert_eq!(door.close().await.refused, 0);
}

#[tokio::test]
async fn checks_find_a_dead_server_before_any_client_does() {
    let (alive, _) = server(7).await;
    let dead = nobody().await;
    let door = Door::open(&[dead, alive], Balance::RoundRobin, LIMITS).await;
    let every = Duration::from_millis(10);
    let checking = tokio::spawn(check(Arc::clone(&door.pool), Check { every, patience: every }));
    door.until("a connection refused").await;
    for _ in 0..4 {
        assert_eq!(door.enter().await.1, 7);
    }
    assert!(!door.said.lock().unwrap().iter().any(|line| line.starts_with("passed")));
    checking.abort();
}

#[tokio::test]
async fn with_no_server_a_client_is_reset() {
    let mut door = Door::open(&[nobody().await], Balance::LeastConnections, LIMITS).await;
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    door.until("refused no server answers: a: connection refused").await;
    assert_eq!(door.close().await.refused, 1);
}

#[tokio::test]
async fn one_too_many_waits() {
    let (alive, _) = server(1).await;
    let limits = Limits { clients: 2, idle: None };
    let mut door = Door::open(&[alive], Balance::RoundRobin, limits).await;
    let (one, _) = door.enter().await;
    let (_two, _) = door.enter().await;
    door.until("full 2").await;
    let mut three = TcpStream::connect(door.address).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), three.read_u8()).await;
    assert!(early.is_err(), "served before there was room");
    drop(one);
    assert_eq!(three.read_u8().await.unwrap(), 1);
    assert_eq!(door.close().await.peak, 2);
}

#[tokio::test]
async fn idle_clients_and_a_closed_door_are_told_by_a_reset() {
    let (alive, _) = server(1).await;
    let limits = Limits { clients: 9, idle: Some(Duration::from_millis(40)) };
    let door = Door::open(&[alive], Balance::RoundRobin, limits).await;
    let (mut idle, _) = door.enter().await;
    assert_eq!(idle.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    door.until("ended Idle").await;
    let mut door = Door::open(&[alive], Balance::RoundRobin, LIMITS).await;
    let (mut under_way, _) = door.enter().await;
    let totals = door.close().await;
    assert_eq!(under_way.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!((totals.stopped, totals.finished), (1, 0), "{totals:?}");
    let report = door.pool.servers()[0].report();
    assert_eq!((report.active, report.connections), (0, 1));
}
