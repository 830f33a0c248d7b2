//! `mpuser listen`: netcat's listen, echo and discard.

use crate::address;
use crate::args::{Listen, Transport};
use crate::connect::{converse, finish, interrupted, narrate, part, refuse_plain, wishes};
use crate::error::{Code, Failure, plain_words};
use crate::follow::Search;
use crate::output::{Printer, connected_line};
use crate::relay::{End, Limits, reflect};
use crate::session::{Session, Setup, connection_config};
use crate::streams::Taken;
use crate::{runtime, signals};
use mpuser_engine::error::ListenError;
use mpuser_engine::time::Instant as EngineInstant;
use mpuser_tun::net::{self, PathPlan, ReturnPath};
use mpuser_tun::{Error, MptcpListener, MptcpStream, clock};
use serde_json::json;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

const SCHEMA: &str = "mpuser.listen/1";

/// Listens, serves, reports.
pub(crate) fn run(args: Listen, printer: Printer) -> Result<ExitCode, Failure> {
    let (address, port) = address::parse_listen(&args.address)?;
    check(&args, address, port)?;
    runtime::block_on(async {
        let mut stop = signals::listen()?;
        let ways = if args.streams_only {
            Vec::new()
        } else {
            net::ways_in(address, &args.transport.path)?
        };
        let mut setup = Setup::from_flags(&args.transport, format!("listen {}", args.address))?;
        if !args.streams_only {
            setup.follow = Some(setup.wishes(Search::In(address), &args.transport));
        }
        let mut session = Session::over(&ways, setup, None, &printer)?;
        let bind = match (&args.stream, address) {
            // streams come to addresses of their own, of both families
            (Some(_), None) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
            _ => bind_address(&session, address, port)?,
        };
        let args = Arc::new(args);
        let (transport, most) = (&args.transport, most_clients(&args));
        let mut listeners = vec![listener(&session, transport, bind, most).await?];
        let streams = match &args.stream {
            Some(word) => Some(session.listen_streams(word, &printer).await?),
            None => None,
        };
        if let (Some(Taken { own, .. }), Some(_)) = (streams, address) {
            for own in own {
                let own = SocketAddr::new(own, port);
                listeners.push(listener(&session, transport, own, most).await?);
            }
        }
        if !session.plans().is_empty() {
            announce(&session, bind, &printer)?;
        }
        if let Some(Taken { at, .. }) = streams {
            announce_streams(at, port, &printer);
        }
        let outcome = serve(&listeners, &args, bind, printer, &mut stop).await;
        let closed = tokio::select! {
            closed = session.close() => closed,
            Some(code) = stop.recv() => Err(interrupted(code)),
        };
        let code = outcome?;
        closed.map(|()| code)
    })
}

/// Says where clients can reach the listener, and lets them in where addresses are translated.
pub(crate) fn announce(
    session: &Session,
    bind: SocketAddr,
    printer: &Printer,
) -> Result<(), Failure> {
    let port = bind.port();
    session.let_in(port)?;
    let wanted = |plan: &&PathPlan| bind.ip().is_unspecified() || bind.ip() == plan.engine;
    let plans: Vec<_> = session.plans().iter().filter(wanted).collect();
    let shown: Vec<String> = plans
        .iter()
        .map(|plan| format!("{} ({})", SocketAddr::new(reachable(plan), port), plan.egress.name))
        .collect();
    printer.line(&format!("listening on {}", shown.join(", ")));
    let list: Vec<_> = plans
        .iter()
        .map(|plan| {
            let address = SocketAddr::new(reachable(plan), port).to_string();
            json!({ "address": address, "path": plan.egress.name })
        })
        .collect();
    printer.object(&json!({ "schema": "mpuser.event/1", "event": "listening", "addresses": list }));
    Ok(())
}

/// Says where streams are taken.
fn announce_streams(at: SocketAddr, port: u16, printer: &Printer) {
    printer.line(&format!("listening on {at} (streams for port {port})"));
    let list = [json!({ "address": at.to_string(), "path": "streams" })];
    printer.object(&json!({ "schema": "mpuser.event/1", "event": "listening", "addresses": list }));
}

/// What clients use: behind a translation the interface's own address.
const fn reachable(plan: &PathPlan) -> IpAddr {
    match plan.return_path {
        ReturnPath::Masquerade => plan.egress.local,
        ReturnPath::Routed | ReturnPath::Local => plan.engine,
    }
}

/// With streams alone there is no address of this machine to listen on but theirs.
fn check(args: &Listen, address: Option<IpAddr>, port: u16) -> Result<(), Failure> {
    let Some(address) = address.filter(|_| args.streams_only) else { return Ok(()) };
    Err(Failure::usage(
        format!("cannot listen on {address} for nothing but streams"),
        "connections in streams have no address of this machine",
        format!("write {port}; --stream ADDR:PORT is where streams are taken"),
    ))
}

/// The engine's address for what the user wrote: an engine's, or that of the interface in front of it.
pub(crate) fn bind_address(
    session: &Session,
    address: Option<IpAddr>,
    port: u16,
) -> Result<SocketAddr, Failure> {
    let plans = session.plans();
    let Some(wanted) = address else {
        let v6 = plans.iter().all(|plan| plan.engine.is_ipv6());
        let any = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        return Ok(SocketAddr::new(any, port));
    };
    let plan = plans.iter().find(|plan| plan.engine == wanted || plan.egress.local == wanted);
    plan.map(|plan| SocketAddr::new(plan.engine, port)).ok_or_else(|| {
        let there: Vec<String> = plans.iter().map(|plan| reachable(plan).to_string()).collect();
        Failure::usage(
            format!("cannot listen on {wanted}"),
            format!("it is no address of a path; there are {}", there.join(", ")),
            "leave the address out to listen on all of them",
        )
    })
}

/// The most clients at once, and the most that may wait.
fn most_clients(args: &Listen) -> usize {
    usize::try_from(args.max_conns).unwrap_or(usize::MAX)
}

/// A listener of the stack's, with at most so many connections that wait.
pub(crate) async fn listener(
    session: &Session,
    transport: &Transport,
    bind: SocketAddr,
    most: usize,
) -> Result<MptcpListener, Failure> {
    let config = connection_config(transport);
    let listener = MptcpListener::bind_with(&session.stack, bind, config, most).await;
    listener.map_err(|error| listen_failure(bind, &error))
}

/// The next client of any listener.
async fn accept(listeners: &[MptcpListener]) -> io::Result<(MptcpStream, SocketAddr)> {
    poll_fn(|cx| {
        let next = listeners.iter().map(|listener| listener.poll_accept(cx)).find(Poll::is_ready);
        next.unwrap_or(Poll::Pending)
    })
    .await
}

async fn serve(
    listeners: &[MptcpListener],
    args: &Arc<Listen>,
    bind: SocketAddr,
    printer: Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<ExitCode, Failure> {
    let places = Arc::new(Semaphore::new(most_clients(args)));
    // dropped at the end: connections under way then close in order
    let mut tasks = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, accept(listeners).await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            Some(code) = stop.recv() => return Ok(ExitCode::from(code.exit())),
        };
        let (stream, peer) = accepted.map_err(|error| listen_failure(bind, &error))?;
        if args.keep && (args.echo || args.discard) {
            let args = Arc::clone(args);
            tasks.spawn(async move {
                let _place = place;
                complain(client(stream, peer, &args, printer, None).await, peer, printer);
            });
            while tasks.try_join_next().is_some() {}
            continue;
        }
        let outcome = client(stream, peer, args, printer, Some(&mut *stop)).await;
        match outcome {
            Ok(code) if args.keep && code == ExitCode::SUCCESS => {}
            Err(failure) if args.keep => complain(Err(failure), peer, printer),
            outcome => return outcome,
        }
    }
}

/// One client from its greeting to its summary. Without `stop`, a signal is for whoever runs the listener.
async fn client(
    stream: MptcpStream,
    peer: SocketAddr,
    args: &Listen,
    printer: Printer,
    stop: Option<&mut mpsc::Receiver<Code>>,
) -> Result<ExitCode, Failure> {
    let (start, since) = (Instant::now(), clock::now());
    if let Some(info) = stream.info() {
        printer.line(&connected_line("accepted", &peer.to_string(), &info));
        printer.connected(&peer.to_string(), &info);
    }
    if args.transport.require_mptcp && !stream.is_mptcp() {
        return Err(refuse_plain(&stream, peer));
    }
    let (_keep_open, mut never) = mpsc::channel(1);
    let stop = stop.unwrap_or(&mut never);
    let (end, stream) = if args.echo || args.discard {
        mirror(stream, args, since, &printer, stop).await
    } else {
        let (input, transport) = (tokio::io::stdin(), &args.transport);
        let wishes = wishes(args.stdio, transport);
        converse(stream, input, wishes, transport, since, &printer, stop).await?
    };
    let time = start.elapsed();
    let (end, info) = part(stream, end, stop).await;
    finish(SCHEMA, peer, time, info.as_ref(), &end, &printer)
}

/// Echo or discard.
async fn mirror(
    stream: MptcpStream,
    args: &Listen,
    since: EngineInstant,
    printer: &Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> (End, MptcpStream) {
    let mut stream = stream;
    let events = stream.events();
    let end = {
        let (mut reader, mut writer) = stream.split();
        let limits = Limits { echo: args.echo, idle: args.transport.idle_timeout };
        tokio::select! {
            end = reflect(&mut reader, &mut writer, limits) => end,
            Some(code) = stop.recv() => End::Closed(code),
            () = narrate(events, since, false, printer) => End::Finished,
        }
    };
    (end, stream)
}

/// One line for a client that failed, while the listener goes on.
fn complain(outcome: Result<ExitCode, Failure>, peer: SocketAddr, printer: Printer) {
    if let Err(failure) = outcome {
        printer.line(&format!("{peer}: {}: {}", failure.what, failure.because));
        printer.object(&failure.object());
    }
}

/// Why there is no listener.
pub(crate) fn listen_failure(bind: SocketAddr, error: &std::io::Error) -> Failure {
    let what = format!("cannot listen on {bind}");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::Listen(error @ ListenError::AddressInUse)) => {
            Failure::new(Code::InUse, what, error, "choose another port")
        }
        Some(Error::Listen(error)) => Failure::usage(what, error, "choose a port from 1 to 65535"),
        _ => Failure::new(Code::Setup, what, plain_words(error), "`mpuser doctor` may know more"),
    }
}
