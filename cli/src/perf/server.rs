//! The server's end: it does what clients order, one task for each connection.

use super::args::Perf;
use super::flow::{Flow, Job};
use super::link::Link;
use super::meter::{Directions, Meter, Names};
use super::wire::{Answer, Order, Reader, Tally, VERSION, say};
use crate::connect::interrupted;
use crate::error::{Code, Failure, plain_words};
use crate::follow::Search;
use crate::listen::{announce, bind_address, listen_failure};
use crate::output::{self, Printer};
use crate::session::{Session, Setup, connection_config};
use crate::{runtime, signals};
use mpuser_tun::MptcpListener;
use mpuser_tun::lab::peer::{Protocol, kernel_listener};
use mpuser_tun::net;
use serde_json::json;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most connections at once.
const MOST: usize = 256;

/// Listens and serves.
pub(super) fn run(args: &Perf, printer: Printer) -> Result<ExitCode, Failure> {
    runtime::block_on(async {
        let mut stop = signals::listen()?;
        if args.kernel {
            let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            let bind = SocketAddr::new(args.bind.unwrap_or(any), args.port);
            let listener = kernel_listener(bind, Protocol::Mptcp);
            let listener = listener.map_err(|error| listen_failure(bind, &error))?;
            printer.line(&format!("listening on {bind} with the kernel's sockets"));
            let server = Server { args, printer, bind, names: Names::new() };
            return server.serve(Listener::Kernel(listener), &mut stop).await;
        }
        let ways = net::ways_in(args.bind, &args.transport.path)?;
        let mut setup = Setup::from_flags(&args.transport, format!("perf -s -p {}", args.port))?;
        setup.follow = Some(setup.wishes(Search::In(args.bind), &args.transport));
        let session = Session::over(&ways, setup, None, &printer)?;
        let bind = bind_address(&session, args.bind, args.port)?;
        let config = connection_config(&args.transport);
        let listener = MptcpListener::bind_with(&session.stack, bind, config, MOST).await;
        let listener = listener.map_err(|error| listen_failure(bind, &error))?;
        announce(&session, bind, &printer)?;
        let server = Server { args, printer, bind, names: super::names(Some(&session)) };
        let outcome = server.serve(Listener::Ours(listener), &mut stop).await;
        let closed = tokio::select! {
            closed = session.close() => closed,
            Some(code) = stop.recv() => Err(interrupted(code)),
        };
        let code = outcome?;
        closed.map(|()| code)
    })
}

enum Listener {
    Ours(MptcpListener),
    Kernel(TcpListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Link, SocketAddr)> {
        match self {
            Self::Ours(listener) => {
                listener.accept().await.map(|(stream, peer)| (Link::Ours(stream), peer))
            }
            Self::Kernel(listener) => {
                listener.accept().await.map(|(stream, peer)| (Link::Kernel(stream), peer))
            }
        }
    }
}

struct Server<'a> {
    args: &'a Perf,
    printer: Printer,
    bind: SocketAddr,
    names: Names,
}

impl Server<'_> {
    async fn serve(
        &self,
        listener: Listener,
        stop: &mut mpsc::Receiver<Code>,
    ) -> Result<ExitCode, Failure> {
        let mut clients = JoinSet::new();
        let (mut number, mut left) = (0, None);
        loop {
            tokio::select! {
                accepted = listener.accept(), if clients.len() < MOST => {
                    let (link, peer) = accepted.map_err(|error| listen_failure(self.bind, &error))?;
                    number += 1;
                    let client = Client {
                        number,
                        peer,
                        printer: self.printer,
                        pause: self.args.interval,
                        names: self.names.clone(),
                        kernel: self.args.kernel,
                    };
                    clients.spawn(client.served(link));
                }
                Some(streams) = clients.join_next() => {
                    // a client with several connections is one client
                    let streams = streams.unwrap_or(1);
                    let left = left.get_or_insert(streams);
                    *left = left.saturating_sub(1);
                    if self.args.one_off && *left == 0 {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                Some(code) = stop.recv() => return Ok(ExitCode::from(code.exit())),
            }
        }
    }
}

/// One connection.
struct Client {
    number: u32,
    peer: SocketAddr,
    printer: Printer,
    pause: Duration,
    names: Names,
    kernel: bool,
}

impl Client {
    /// Serves it; how many connections its client makes.
    async fn served(self, link: Link) -> u32 {
        let mut streams = 1;
        if let Err(error) = self.serve(link, &mut streams).await {
            let why = match error.kind() {
                io::ErrorKind::InvalidData => "it does not speak mpuser perf's protocol".to_owned(),
                _ => plain_words(&error),
            };
            self.printer.line(&format!("[{:3}] {}: {why}", self.number, self.peer));
        }
        streams
    }

    fn say(&self, line: &str) {
        if !self.printer.is_mute() {
            output::stdout(&format!("{line}\n"));
        }
    }

    async fn serve(&self, link: Link, streams: &mut u32) -> io::Result<()> {
        let flow = Arc::new(Flow::new(self.number, link));
        let link = &flow.link;
        let mut reader = Reader::new();
        let order: Order =
            timeout(PATIENCE, reader.line(link)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        *streams = order.streams.max(1);
        let error = order.objection();
        let refused = error.is_some();
        say(link, &Answer { mpuser_perf: VERSION, error, kernel: self.kernel }).await?;
        if refused {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.say(&format!("[{:3}] accepted connection from {}", self.number, self.peer));
        let directions = Directions { sends: order.down, receives: order.up };
        let mut meter = Meter::new(directions, self.names.clone());
        let start = Instant::now();
        let pause = if self.pause.is_zero() { Duration::MAX } else { self.pause };
        let mut ticks = interval_at(start + pause.min(Duration::from_secs(86_400)), pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let transfer = Arc::clone(&flow).transfer(Job::of(&order, false), reader);
        tokio::pin!(transfer);
        let (own, _) = loop {
            tokio::select! {
                tallies = &mut transfer => break tallies?,
                _ = ticks.tick() => {
                    let interval = meter.look(start.elapsed(), [flow.as_ref()]);
                    meter.lines(&interval).iter().for_each(|line| self.say(line));
                }
            }
        };
        self.report(&own);
        Ok(())
    }

    fn report(&self, own: &Tally) {
        for (bytes, seconds, word) in [
            (own.sent, own.send_seconds, "sender"),
            (own.received, own.receive_seconds, "receiver"),
        ] {
            if bytes == 0 {
                continue;
            }
            let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            let (amount, rate) = (super::figures::bytes(bytes), super::figures::rate(bytes, time));
            self.say(&format!(
                "[{:3}]   0.00-{seconds:<6.2} sec  {amount:<11}  {rate:<14}  {word}",
                self.number
            ));
            self.printer_object(bytes, seconds, word);
        }
    }

    fn printer_object(&self, bytes: u64, seconds: f64, word: &str) {
        if self.printer.json {
            let peer = self.peer.to_string();
            let object = json!({
                "schema": "mpuser.perf.server/1", "socket": self.number, "peer": peer,
                "role": word, "bytes": bytes, "seconds": seconds,
            });
            output::stdout(&format!("{object}\n"));
        }
    }
}
