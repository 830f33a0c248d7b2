//! `mpuser connect`: netcat over Multipath TCP.

mod convert;
mod early;

use crate::address;
use crate::args::{Connect, Stdio, Transport};
use crate::error::{Code, Failure};
use crate::output::{ConnectionReport, Printer, connected_line, summary};
use crate::relay::{End, Ends, Wishes, relay};
use crate::session::{Session, connect_failure, settle};
use crate::via::{self, Hop};
use crate::{runtime, signals, streams};
use mpuser_engine::time::Instant as EngineInstant;
use mpuser_engine::{ConnectionInfo, Event};
use mpuser_tun::{ConnectOptions, Events, HostPort, MptcpStream, clock};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, Stdin};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Connects, relays, reports.
pub(crate) fn run(args: &Connect, printer: Printer) -> Result<ExitCode, Failure> {
    let target = address::parse_target(&args.target)?;
    // a proxy that ends TCP looks names up itself
    let server = if via::need_paths(&args.via) { address::resolve(&target)? } else { Vec::new() };
    let (server, to) = match &args.convert {
        None => (server, None),
        Some(converter) => {
            (address::resolve(&convert::target(converter)?)?, server.first().copied())
        }
    };
    let vias = via::resolve(&args.via, &target, server.first().copied())?;
    runtime::block_on(async {
        let mut stop = signals::listen()?;
        let title = format!("connect {}", args.target.join(" "));
        let (session, remote) = Session::open(&args.transport, &server, &vias, title, &printer)?;
        let mut firsts = vec![remote];
        firsts.extend(vias.iter().map(Hop::remote).filter(|hop| *hop != remote));
        session.stack.set_server(HostPort { host: target.host, port: target.port });
        let outcome = talk(&session, args, (&firsts, to), &printer, &mut stop).await;
        // a signal while things are taken down aborts what is still closing
        let closed = tokio::select! {
            closed = session.close() => closed,
            Some(code) = stop.recv() => Err(interrupted(code)),
        };
        let code = outcome?;
        closed.map(|()| code)
    })
}

/// The user ended it before there was anything to report.
pub(crate) fn interrupted(code: Code) -> Failure {
    Failure::new(code, "stopped by a signal", "the user asked for it", "nothing is left to be done")
}

/// From the first SYN to the summary: to the first of these addresses that answers, a converter's if it leads on.
async fn talk(
    session: &Session,
    args: &Connect,
    (firsts, to): (&[SocketAddr], Option<SocketAddr>),
    printer: &Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<ExitCode, Failure> {
    let syn = clock::now();
    let mut input = tokio::io::stdin();
    let Some(remote) = firsts.first().copied() else {
        return Err(Failure::internal("there is nowhere to go", "no address was found"));
    };
    let early_data = early::data(session, args, remote.ip(), &mut input, printer).await?;
    let timeout = args.connect_timeout;
    let options = ConnectOptions { timeout, early_data, ..ConnectOptions::default() };
    let opening = async {
        match to {
            None => first_of(session, firsts, &options).await,
            Some(to) => convert::through(session, firsts, to, options, printer).await,
        }
    };
    let (stream, remote) = tokio::select! {
        outcome = opening => outcome?,
        Some(code) = stop.recv() => return Err(interrupted(code)),
    };
    let start = Instant::now();
    early::remember(session, remote.ip(), printer);
    if let Some(info) = stream.info() {
        printer.line(&connected_line("connected", &remote.to_string(), &info));
        printer.connected(&remote.to_string(), &info);
    }
    if args.transport.require_mptcp && !stream.is_mptcp() {
        return Err(refuse_plain(&stream, remote));
    }
    let wishes = wishes(args.stdio, &args.transport);
    let (end, stream) = if args.zero {
        (End::Finished, stream)
    } else {
        converse(stream, input, wishes, &args.transport, syn, printer, stop).await?
    };
    let time = start.elapsed();
    let (end, info) = part(stream, end, stop).await;
    finish("mpuser.connect/1", remote, time, info.as_ref(), &end, printer)
}

/// The first subflow through the first of the forwarders that leads anywhere; the others are joined. What was the matter
/// with the first of them is the reason when none does.
async fn first_of(
    session: &Session,
    firsts: &[SocketAddr],
    options: &ConnectOptions,
) -> Result<(MptcpStream, SocketAddr), Failure> {
    let mut why = None;
    for remote in firsts {
        match session.stack.connect_with(*remote, options.clone()).await {
            Ok(stream) => return Ok((stream, *remote)),
            Err(error) => {
                let failure = streams::failure(&session.stack, *remote);
                why = why.or_else(|| failure.or_else(|| Some(connect_failure(*remote, &error))));
            }
        }
    }
    Err(why.unwrap_or_else(|| Failure::internal("there is nowhere to go", "no address was found")))
}

/// Closes or aborts, as the end of the talk demands; a signal meanwhile aborts.
pub(crate) async fn part(
    mut stream: MptcpStream,
    end: End,
    stop: &mut mpsc::Receiver<Code>,
) -> (End, Option<ConnectionInfo>) {
    let end = match end {
        End::Finished | End::Closed(_) => {
            // queues the DATA_FIN if it has not been: it cannot fail, the connection may be over
            let _ = stream.shutdown().await;
            tokio::select! {
                () = settle(&stream) => end,
                Some(code) = stop.recv() => End::Abort(code),
            }
        }
        end => end,
    };
    let info = stream.info();
    if matches!(end, End::Abort(_) | End::Idle | End::OutputClosed | End::Local(..)) {
        stream.abort();
    }
    (end, info)
}

/// What `--send-only`, `--recv-only` and the rest mean for the relay.
pub(crate) fn wishes(stdio: Stdio, transport: &Transport) -> Wishes {
    let capture_on_stdout = transport.pcap.as_ref().is_some_and(|file| file.as_os_str() == "-");
    Wishes {
        recv_only: stdio.recv_only,
        send_only: stdio.send_only,
        mute: stdio.send_only || capture_on_stdout,
        idle: transport.idle_timeout,
        interactive: std::io::stdin().is_terminal(),
    }
}

/// It is plain TCP, and that was not wanted.
pub(crate) fn refuse_plain(stream: &MptcpStream, remote: SocketAddr) -> Failure {
    stream.abort();
    let why = stream.fallback_reason().map_or("no MPTCP was agreed", crate::output::fallback_words);
    Failure::new(
        Code::PlainTcp,
        format!("the connection with {remote} is plain TCP"),
        why,
        "leave out --require-mptcp to go on as plain TCP; --pcap FILE shows who dropped the option",
    )
}

/// Standard input to the peer and the peer to standard output, with events on stderr.
pub(crate) async fn converse(
    stream: MptcpStream,
    input: Stdin,
    wishes: Wishes,
    transport: &Transport,
    since: EngineInstant,
    printer: &Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<(End, MptcpStream), Failure> {
    let mut stream = stream;
    let events = stream.events();
    let remote = stream.peer_addr().ok();
    let end = {
        let (mut reader, mut writer) = stream.split();
        let output = tokio::io::stdout();
        let ends = Ends { reader: &mut reader, writer: &mut writer, input, output };
        tokio::select! {
            end = relay(ends, wishes, stop) => Some(end),
            () = narrate(events, since, transport.require_mptcp, printer) => None,
        }
    };
    match (end, remote) {
        (Some(end), _) => Ok((end, stream)),
        (None, Some(remote)) => Err(refuse_plain(&stream, remote)),
        (None, None) => Err(Failure::internal("the peer has no address", "an event came before")),
    }
}

/// Prints events as they come. Ends only at a fallback that was not wanted.
pub(crate) async fn narrate(
    mut events: Events,
    since: EngineInstant,
    require_mptcp: bool,
    printer: &Printer,
) {
    let mut subflows = 0_u32;
    while let Some((at, event)) = events.recv_timed().await {
        // the first subflow is in the line "connected"
        let first = matches!(event, Event::SubflowEstablished { .. }) && subflows == 0;
        subflows += u32::from(matches!(event, Event::SubflowEstablished { .. }));
        if !first {
            printer.event(at.saturating_since(since), &event);
        }
        if require_mptcp && matches!(event, Event::Fallback(_)) {
            return;
        }
    }
    std::future::pending().await
}

/// The summary, the object, and the exit code.
pub(crate) fn finish(
    schema: &'static str,
    remote: SocketAddr,
    time: Duration,
    info: Option<&ConnectionInfo>,
    end: &End,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    if let Some(info) = info {
        summary(time, info).iter().for_each(|line| printer.line(line));
        printer.object(&ConnectionReport::new(schema, remote.to_string(), time, info));
    }
    match end {
        End::Finished | End::OutputClosed => Ok(ExitCode::SUCCESS),
        // said on purpose, so no error text: the summary is the answer
        End::Closed(code) | End::Abort(code) => Ok(ExitCode::from(code.exit())),
        End::Idle => Err(Failure::new(
            Code::Timeout,
            format!("the connection with {remote} was idle for too long"),
            "nothing moved either way within --idle-timeout",
            "give more time with -i, or leave it out",
        )),
        End::Lost(error) => Err(Failure::new(
            Code::Lost,
            format!("the connection with {remote} was lost"),
            crate::error::plain_words(error),
            "--pcap FILE shows the last packets; -v names each subflow's end",
        )),
        End::Local(what, error) => Err(Failure::io(what, error)),
    }
}
