//! The client's end: it says what is measured, and prints it.

use super::args::Perf;
use super::flow::{Flow, Job};
use super::link::Link;
use super::meter::{Directions, Interval, Meter};
use super::picture;
use super::report::{self, Outcome};
use super::schedule::{self, At};
use super::wire::{Answer, Order, Reader, Tally, VERSION, say};
use crate::address;
use crate::connect::interrupted;
use crate::error::{Code, Failure, plain_words};
use crate::output::{self, Printer};
use crate::session::{Session, connect_failure};
use crate::{runtime, signals};
use mpuser_tun::lab::peer::{Protocol, kernel_connection};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a measurement takes unless told otherwise: iperf3's.
const TIME: Duration = Duration::from_secs(10);
/// How long the server may take to answer an order.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures and prints.
pub(super) fn run(args: &Perf, host: &str, printer: Printer) -> Result<ExitCode, Failure> {
    let plan = schedule::parse(&args.at)?;
    if let Some(why) = order(args).objection() {
        return Err(Failure::usage("this cannot be measured", why, "-t takes 1ms to 24h"));
    }
    if let Some(path) = &args.svg {
        if args.interval.is_zero() {
            let why = "a picture has a point for each interval, and -i is 0";
            return Err(Failure::usage("there would be nothing to draw", why, "leave -i out"));
        }
        picture::writable(path)?;
    }
    let target = address::parse_target(&[host.to_owned(), args.port.to_string()])?;
    let remotes = address::resolve(&target)?;
    runtime::block_on(async {
        let mut stop = signals::listen()?;
        if args.kernel {
            let remote = remotes.first().copied();
            let remote = remote.ok_or_else(|| Failure::internal("there is no address", "none"))?;
            return Client { args, remote, session: None, printer }.run(plan, &mut stop).await;
        }
        let title = format!("perf -c {host}");
        let (session, remote) = Session::open(&args.transport, &remotes, &[], title, &printer)?;
        let client = Client { args, remote, session: Some(&session), printer };
        let outcome = client.run(plan, &mut stop).await;
        let closed = tokio::select! {
            closed = session.close() => closed,
            Some(code) = stop.recv() => Err(interrupted(code)),
        };
        let code = outcome?;
        closed.map(|()| code)
    })
}

/// What is asked of the server.
fn order(args: &Perf) -> Order {
    let Perf { reverse, bidir, length, parallel, bytes, time, zerocopy, .. } = *args;
    let time = time.unwrap_or(TIME);
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    Order {
        mpuser_perf: VERSION,
        up: !reverse,
        down: reverse || bidir,
        milliseconds: bytes.is_none().then_some(milliseconds),
        bytes,
        length,
        streams: parallel,
        zerocopy,
    }
}

struct Client<'a> {
    args: &'a Perf,
    remote: SocketAddr,
    /// Our stack; the kernel's sockets without.
    session: Option<&'a Session>,
    printer: Printer,
}

impl Client<'_> {
    async fn run(
        &self,
        plan: Vec<At>,
        stop: &mut mpsc::Receiver<Code>,
    ) -> Result<ExitCode, Failure> {
        let order = order(self.args);
        let flows = tokio::select! {
            flows = self.open() => flows?,
            Some(code) = stop.recv() => return Err(interrupted(code)),
        };
        let (readers, kernel) = self.begin(&flows, &order).await?;
        let flows = flows.into_iter().zip(readers).collect();
        let outcome = self.measure(flows, &order, plan, kernel, stop).await?;
        if self.printer.json {
            output::stdout(&(outcome.object(self.args, self.remote).to_string() + "\n"));
        } else {
            outcome.lines().iter().for_each(|line| self.say(line));
        }
        if let Some(path) = &self.args.svg {
            picture::write(path, &outcome.picture(self.remote)?)?;
        }
        outcome.verdict(self.remote)
    }

    /// A line of the table, which is what this command is for.
    fn say(&self, line: &str) {
        if !self.printer.is_mute() {
            output::stdout(&format!("{line}\n"));
        }
    }

    /// All connections.
    async fn open(&self) -> Result<Vec<Arc<Flow>>, Failure> {
        self.say(&format!("Connecting to host {}, port {}", self.remote.ip(), self.remote.port()));
        let mut flows = Vec::new();
        for number in 1..=self.args.parallel {
            let link = self.connect().await?;
            if let Some((local, remote)) = link.addresses() {
                self.say(&format!(
                    "[{number:3}] local {} port {} connected to {} port {}{}",
                    local.ip(),
                    local.port(),
                    remote.ip(),
                    remote.port(),
                    speaks(&link),
                ));
            }
            flows.push(Arc::new(Flow::new(number, link)));
        }
        Ok(flows)
    }

    async fn connect(&self) -> Result<Link, Failure> {
        let failed = |error: io::Error| connect_failure(self.remote, &error);
        let Some(session) = self.session else {
            let stream = kernel_connection(self.remote, Protocol::Mptcp).await.map_err(failed)?;
            return Ok(Link::Kernel(stream));
        };
        let stream = session.stack.connect(self.remote).await.map_err(failed)?;
        if self.args.transport.require_mptcp && !stream.is_mptcp() {
            return Err(crate::connect::refuse_plain(&stream, self.remote));
        }
        Ok(Link::Ours(stream))
    }

    /// Says on every connection what is wanted; what reads the connections, and whether the server's sockets are its
    /// kernel's.
    async fn begin(
        &self,
        flows: &[Arc<Flow>],
        order: &Order,
    ) -> Result<(Vec<Reader>, bool), Failure> {
        let (mut readers, mut kernel) = (Vec::new(), false);
        for flow in flows {
            let mut reader = Reader::new();
            let asked = async {
                say(&flow.link, order).await?;
                reader.line::<Answer>(&flow.link).await
            };
            let answer = match timeout(PATIENCE, asked).await {
                Ok(answer) => answer.map_err(|error| self.foreign(&plain_words(&error)))?,
                Err(_) => return Err(self.foreign("it did not answer within 10 s")),
            };
            if let Some(error) = answer.error {
                let help = "the same version of mpuser at both ends understands the same orders";
                return Err(Failure::new(Code::Refused, "the server will not do it", error, help));
            }
            kernel = answer.kernel;
            readers.push(reader);
        }
        Ok((readers, kernel))
    }

    fn foreign(&self, why: &str) -> Failure {
        Failure::new(
            Code::Refused,
            format!("{} is no server of mpuser perf", self.remote),
            format!("its answer to the order is none: {why}"),
            "start `mpuser perf -s` there; iperf3's own server wants `mpuser run -- iperf3 -c HOST`",
        )
    }

    async fn measure(
        &self,
        links: Vec<(Arc<Flow>, Reader)>,
        order: &Order,
        plan: Vec<At>,
        kernel: bool,
        stop: &mut mpsc::Receiver<Code>,
    ) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let mut running = JoinSet::new();
        let mut flows = Vec::new();
        for (index, (flow, reader)) in links.into_iter().enumerate() {
            let (job, theirs) = (Job::of(order, true), Arc::clone(&flow));
            running.spawn(async move { (index, theirs.transfer(job, reader).await) });
            flows.push(flow);
        }
        let directions = Directions { sends: order.up, receives: order.down };
        let mut meter = Meter::new(directions, super::names(self.session));
        let mut outcome = Outcome::new(directions, flows, kernel);
        let mut plan = plan.into_iter().peekable();
        let pause = self.args.interval;
        let mut next = (!pause.is_zero()).then(|| start + pause);
        while outcome.ended() < outcome.flows.len() {
            let due = plan.peek().map(|at| start + at.time);
            tokio::select! {
                Some(done) = running.join_next() => outcome.over(done)?,
                () = at(due) => self.obey(plan.next(), start.elapsed(), &mut outcome),
                () = at(next) => {
                    let interval = meter.look(start.elapsed(), outcome.flows.iter().map(Arc::as_ref));
                    self.print(&mut meter, &mut outcome, interval);
                    next = next.map(|at| at + pause);
                }
                Some(code) = stop.recv() => {
                    outcome.stopped = Some(code);
                    break;
                }
            }
        }
        let interval = meter.look(start.elapsed(), outcome.flows.iter().map(Arc::as_ref));
        // what is left of the last one, if it is worth a line
        if !pause.is_zero() && interval.to.saturating_sub(interval.from) > pause / 10 {
            self.print(&mut meter, &mut outcome, interval);
        } else if outcome.intervals.is_empty() {
            outcome.intervals.extend(self.args.svg.is_some().then_some(interval));
        }
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    }

    fn print(&self, meter: &mut Meter, outcome: &mut Outcome, interval: Interval) {
        if !self.printer.json {
            meter.lines(&interval).iter().for_each(|line| self.say(line));
        }
        if self.printer.json || self.args.svg.is_some() {
            outcome.intervals.push(interval);
        }
    }

    /// One of `--at`, on every connection.
    fn obey(&self, at: Option<At>, now: Duration, outcome: &mut Outcome) {
        let (Some(At { order, .. }), Some(session)) = (at, self.session) else { return };
        let flows = outcome.flows.iter();
        let refusals = flows.filter_map(|flow| {
            let done = order.obey(&flow.link, session.plans(), self.remote);
            done.err().map(|why| format!("[{:3}] {why}", flow.number))
        });
        let refusals: Vec<String> = refusals.collect();
        let verdict = if refusals.is_empty() { "done".to_owned() } else { refusals.join("; ") };
        self.say(&format!("{:6.2} sec: {order}: {verdict}", now.as_secs_f64()));
        outcome.orders.push(report::Obeyed { at: now, order: order.to_string(), refusals });
    }
}

/// At this time; without one, never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What is spoken, where that is known.
fn speaks(link: &Link) -> &'static str {
    match link.info() {
        Some(info) if info.mptcp => ", MPTCP",
        Some(_) => ", plain TCP",
        None => ", by the kernel",
    }
}

/// The tallies of both ends.
pub(super) type Tallies = (Tally, Tally);
