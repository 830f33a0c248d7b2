//! Several servers for one purpose: which is next, and which are up.

use crate::health;
use crate::report::{Event, Observer};
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpStream;

/// How servers are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest connections; among equals, one after the other.
    LeastConnections,
}

/// A server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens: the addresses of its name, any of which will do.
    addresses: Vec<SocketAddr>,
    /// What it is called in reports.
    pub name: String,
    /// Which address answered last.
    answering: AtomicUsize,
    down: AtomicBool,
    /// Failures in a row.
    failures: AtomicU32,
    active: AtomicUsize,
    served: AtomicU64,
    failed: AtomicU64,
}

impl Server {
    /// Up until it fails.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>, name: impl Into<String>) -> Self {
        Self {
            addresses,
            name: name.into(),
            answering: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            active: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Where it listens: the addresses of its name.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connects to the first of its addresses that answers, by the kernel's TCP. The one that answered last comes first;
    /// each may take as long as `patience`.
    ///
    /// # Errors
    /// That of the last address tried.
    pub async fn dial(&self, patience: Duration) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let first = self.answering.load(Relaxed);
        let count = self.addresses.len();
        for (number, address) in self.addresses.iter().enumerate().cycle().skip(first).take(count) {
            match health::dial(*address, patience).await {
                Ok(stream) => {
                    self.answering.store(number, Relaxed);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Not known to be down.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.down.load(Relaxed)
    }

    /// What is known of it.
    #[must_use]
    pub fn report(&self) -> ServerReport {
        ServerReport {
            server: self.name.clone(),
            up: self.is_up(),
            active: self.active.load(Relaxed),
            connections: self.served.load(Relaxed),
            failures: self.failed.load(Relaxed),
        }
    }
}

/// A server's counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerReport {
    /// Its name.
    pub server: String,
    /// Whether it is up, as far as known.
    pub up: bool,
    /// Connections now.
    pub active: usize,
    /// Connections it took, those of health checks not among them.
    pub connections: u64,
    /// Clients' connections it did not take.
    pub failures: u64,
}

/// A connection counted at its server for as long as this lives.
#[derive(Debug)]
pub struct Lease(Arc<Server>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

/// Servers and how one is chosen.
pub struct Pool {
    servers: Vec<Arc<Server>>,
    balance: Balance,
    /// Failures in a row that make a server one that is down.
    fall: u32,
    next: AtomicUsize,
    observer: Observer,
}

impl Pool {
    /// A pool of `servers`; one is down after `fall` failures in a row, be they of clients or of checks.
    #[must_use]
    pub fn new(servers: Vec<Server>, balance: Balance, fall: u32, observer: Observer) -> Self {
        let servers = servers.into_iter().map(Arc::new).collect();
        Self { servers, balance, fall: fall.max(1), next: AtomicUsize::new(0), observer }
    }

    /// All servers, in the order they were named in.
    #[must_use]
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// The servers in the order to try them in for one client: those that are up as the balance says, then those that
    /// are down, because one of them may be back.
    #[must_use]
    pub fn order(&self) -> Vec<Arc<Server>> {
        let count = self.servers.len().max(1);
        let first = self.next.fetch_add(1, Relaxed) % count;
        let mut order: Vec<_> =
            self.servers.iter().cycle().skip(first).take(self.servers.len()).cloned().collect();
        if self.balance == Balance::LeastConnections {
            // stable: equals stay in their order
            order.sort_by_key(|server| server.active.load(Relaxed));
        }
        order.sort_by_key(|server| !server.is_up());
        order
    }

    /// Counts a client's connection from now on, so that others see it while it is being made.
    #[must_use]
    pub fn lease(&self, server: &Arc<Server>) -> Lease {
        server.active.fetch_add(1, Relaxed);
        Lease(Arc::clone(server))
    }

    /// A client's connection was taken.
    pub fn took(&self, server: &Server) {
        server.served.fetch_add(1, Relaxed);
        self.answered(server);
    }

    /// A client's connection was not taken.
    pub fn refused(&self, server: &Server, why: &str) {
        server.failed.fetch_add(1, Relaxed);
        (self.observer)(&Event::Passed { server: &server.name, why });
        self.silent(server, why);
    }

    /// The server answered: it is up.
    pub fn answered(&self, server: &Server) {
        server.failures.store(0, Relaxed);
        if server.down.swap(false, Relaxed) {
            (self.observer)(&Event::Server { server: &server.name, down: None });
        }
    }

    /// The server did not answer: after some times in a row it is down.
    pub fn silent(&self, server: &Server, why: &str) {
        let failures = server.failures.fetch_add(1, Relaxed).saturating_add(1);
        if failures >= self.fall && !server.down.swap(true, Relaxed) {
            (self.observer)(&Event::Server { server: &server.name, down: Some(why) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    fn pool(count: u16, balance: Balance) -> (Pool, Arc<Mutex<Vec<String>>>) {
        let servers =
            (0..count).map(|n| Server::new(vec![([10, 0, 0, 1], 80 + n).into()], format!("s{n}")));
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let observer: Observer = Arc::new(move |event| {
            if let Event::Server { server, down } = event {
                heard.lock().unwrap().push(format!("{server} {}", down.unwrap_or("up")));
            }
        });
        (Pool::new(servers.collect(), balance, 3, observer), said)
    }

    fn first(pool: &Pool) -> Arc<Server> {
        Arc::clone(&pool.order()[0])
    }

    /// One address of a name is dead, the other one alive: the server is up, and the living one is remembered.
    #[tokio::test]
    async fn each_address_of_a_name() {
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = gone.local_addr().unwrap();
        drop(gone);
        let alive = tokio::net::TcpListener::bind("[::1]:0").await;
        let alive = match alive {
            Ok(listener) => listener,
            // no IPv6 here
            Err(_) => tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap(),
        };
        let living = alive.local_addr().unwrap();
        let server = Server::new(vec![dead, living], "both");
        let patience = Duration::from_secs(5);
        for _ in 0..2 {
            let stream = server.dial(patience).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), living);
            assert_eq!(server.answering.load(Relaxed), 1);
        }
        drop(alive);
        let error = server.dial(patience).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
        // the other one came back
        let _back = tokio::net::TcpListener::bind(dead).await.unwrap();
        assert_eq!(server.dial(patience).await.unwrap().peer_addr().unwrap(), dead);
        let none = Server::new(Vec::new(), "none");
        assert_eq!(none.dial(patience).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn one_after_the_other() {
        let (pool, _) = pool(3, Balance::RoundRobin);
        let names: Vec<String> = (0..6).map(|_| first(&pool).name.clone()).collect();
        assert_eq!(names, ["s0", "s1", "s2", "s0", "s1", "s2"]);
        assert_eq!(pool.order().len(), 3, "the others are there to be tried next");
    }

    #[test]
    fn the_least_busy_first() {
        let (pool, _) = pool(3, Balance::LeastConnections);
        let mut leases: BTreeMap<String, Vec<Lease>> = BTreeMap::new();
        let take = |leases: &mut BTreeMap<String, Vec<Lease>>| {
            let server = first(&pool);
            leases.entry(server.name.clone()).or_default().push(pool.lease(&server));
            server.name.clone()
        };
        for _ in 0..9 {
            take(&mut leases);
        }
        assert!(leases.values().all(|held| held.len() == 3), "even while all stay: {leases:?}");
        // two leave the same one: it gets the next two
        leases.get_mut("s1").unwrap().truncate(1);
        assert_eq!([take(&mut leases), take(&mut leases)], ["s1", "s1"]);
        drop(leases);
        assert!(pool.servers().iter().all(|server| server.report().active == 0));
    }

    #[test]
    fn three_failures_in_a_row_and_one_success() {
        let (pool, said) = pool(2, Balance::RoundRobin);
        let server = Arc::clone(&pool.servers()[0]);
        pool.silent(&server, "no answer");
        pool.refused(&server, "no answer");
        pool.answered(&server);
        pool.silent(&server, "no answer");
        pool.silent(&server, "no answer");
        assert!(server.is_up(), "not in a row");
        pool.silent(&server, "refused");
        pool.silent(&server, "refused");
        assert!(!server.is_up());
        for _ in 0..4 {
            let order = pool.order();
            assert_eq!([&*order[0].name, &*order[1].name], ["s1", "s0"], "last, but still there");
        }
        pool.took(&server);
        assert!(server.is_up());
        assert_eq!(*said.lock().unwrap(), ["s0 refused", "s0 up"], "said once each");
        let report = server.report();
        assert_eq!((report.connections, report.failures, report.active), (1, 1, 0));
    }
}
