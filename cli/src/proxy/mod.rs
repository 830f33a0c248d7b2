//! `mpuser proxy` and `mpuser forward`: front doors for programs and servers that know nothing of MPTCP.

pub(crate) mod args;
mod url;
mod view;

use crate::address;
use crate::args::Transport;
use crate::connect::interrupted;
use crate::error::{Code, Failure, plain_words};
use crate::follow::Search;
use crate::listen::{announce, bind_address, listener};
use crate::output::Printer;
use crate::session::{Session, Setup, reachable};
use crate::{runtime, signals};
use args::{Door, Forward, Proxy};
use mpuser_proxy::balanced::Balanced;
use mpuser_proxy::convert::{self, Converter, Cookies, Kernel};
use mpuser_proxy::dial::Dialler;
use mpuser_proxy::door::{self, Entrance, Guide, Limits};
use mpuser_proxy::forward;
use mpuser_proxy::health::{self, Check};
use mpuser_proxy::itself::Itself;
use mpuser_proxy::pool::{Pool, Server};
use mpuser_proxy::report::{Counters, Observer};
use mpuser_proxy::socks5::Socks5;
use mpuser_proxy::strict::Strict;
use mpuser_tun::{net, system_seed};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use url::Listen;

/// How long a client may take to say where it wants to go.
const GREETING: Duration = Duration::from_secs(10);

/// How many clients more than there may be a converter listens to at once, to tell them so.
const TOLD: usize = 64;

/// `mpuser forward`.
pub(crate) fn forward(args: &Forward, printer: Printer) -> Result<ExitCode, Failure> {
    let remote = address::resolve(&address::parse_target(std::slice::from_ref(&args.target))?)?;
    runtime::block_on(async {
        let stop = signals::listen()?;
        let listener = local_listener(args.local).await?;
        let title = format!("forward {} {}", args.local, args.target);
        let (session, remote) = towards(args, remote, title, &printer)?;
        let itself = itself(&session, args.local);
        remote.iter().try_for_each(|address| no_loop(&itself, *address))?;
        listening(args.local, &printer);
        let guide = forward::Forward {
            dialler: dialler(&session, args.door, args.transport.require_mptcp),
            remote,
            name: args.target.clone(),
        };
        let run = Run::new(args.door, args.transport.idle_timeout, printer);
        run.until_stopped(session, listener, guide, None, stop).await
    })
}

/// Paths towards the addresses of a name that lead anywhere, and those addresses: each client gets the first that answers
/// him. Several may be of different families, and behind different interfaces.
fn towards(
    args: &Forward,
    mut remote: Vec<SocketAddr>,
    title: String,
    printer: &Printer,
) -> Result<(Session, Vec<SocketAddr>), Failure> {
    let Transport { path, gateway, .. } = &args.transport;
    if remote.len() > 1 {
        // with a reason if there is none
        reachable(path, gateway, &remote)?;
        remote.retain(|one| reachable(path, gateway, std::slice::from_ref(one)).is_ok());
    }
    if remote.len() > 1 {
        return Ok((Session::anywhere(&args.transport, title, printer)?, remote));
    }
    let (session, one) = Session::open(&args.transport, &remote, &[], title, printer)?;
    Ok((session, vec![one]))
}

/// `mpuser proxy`.
pub(crate) fn run(args: &Proxy, printer: Printer) -> Result<ExitCode, Failure> {
    match args.listen {
        Some(Listen::Socks5(_)) if args.convert => Err(Failure::usage(
            "a converter does not listen on socks5://",
            "its clients speak RFC 8803 over MPTCP",
            "write mptcp://[ADDR]:PORT, or leave --listen out",
        )),
        Some(Listen::Socks5(address)) => socks5(args, address, printer),
        Some(Listen::Mptcp(address, port)) => mptcp(args, (address, port), printer),
        None => mptcp(args, (None, convert::PORT), printer),
    }
}

/// Programs that speak SOCKS5 to anywhere over MPTCP.
fn socks5(args: &Proxy, address: SocketAddr, printer: Printer) -> Result<ExitCode, Failure> {
    if !args.to.is_empty() {
        return Err(Failure::usage(
            "--to is for mptcp://",
            "clients of socks5:// say themselves where to",
            "leave it out, or use `mpuser forward` for one destination",
        ));
    }
    runtime::block_on(async {
        let stop = signals::listen()?;
        let listener = local_listener(address).await?;
        let title = format!("proxy socks5://{address}");
        let session = Session::anywhere(&args.transport, title, &printer)?;
        listening(address, &printer);
        let guide = Socks5 {
            dialler: dialler(&session, args.door, args.transport.require_mptcp),
            users: args.user.clone(),
            itself: itself(&session, address),
            patience: GREETING,
        };
        let run = Run::new(args.door, args.transport.idle_timeout, printer);
        run.until_stopped(session, listener, guide, None, stop).await
    })
}

/// MPTCP clients to plain servers.
fn mptcp(
    args: &Proxy,
    (address, port): (Option<IpAddr>, u16),
    printer: Printer,
) -> Result<ExitCode, Failure> {
    if args.to.is_empty() && !args.convert {
        return Err(Failure::usage(
            "the proxy has no servers",
            "mptcp:// passes clients on to plain servers",
            "name them with --to HOST:PORT,HOST:PORT, or be a converter with --convert",
        ));
    }
    if !args.user.is_empty() {
        return Err(Failure::usage(
            "--user is for socks5://",
            "clients of mptcp:// say no name",
            "leave it out",
        ));
    }
    let servers: Vec<Server> = args.to.iter().map(|text| server(text)).collect::<Result<_, _>>()?;
    runtime::block_on(async {
        let stop = signals::listen()?;
        let ways = net::ways_in(address, &args.transport.path)?;
        let title = if args.convert {
            "proxy --convert".to_owned()
        } else {
            format!("proxy to {}", args.to.join(","))
        };
        let mut setup = Setup::from_flags(&args.transport, title)?;
        setup.follow = Some(setup.wishes(Search::In(address), &args.transport));
        let session = Session::over(&ways, setup, None, &printer)?;
        let bind = bind_address(&session, address, port)?;
        let itself = itself(&session, bind);
        let mut all = servers.iter().flat_map(Server::addresses);
        all.try_for_each(|address| no_loop(&itself, *address))?;
        let clients = usize::try_from(args.door.max_conns).unwrap_or(usize::MAX);
        let listener = listener(&session, &args.transport, bind, clients).await?;
        announce(&session, bind, &printer)?;
        let run = Run::new(args.door, args.transport.idle_timeout, printer);
        let require_mptcp = args.transport.require_mptcp;
        if args.convert {
            let guide = Strict { guide: converter(args, itself)?, require_mptcp };
            return run
                .with_room_to_refuse()
                .until_stopped(session, listener, guide, None, stop)
                .await;
        }
        let observer = Arc::clone(&run.observer);
        let pool = Arc::new(Pool::new(servers, args.balance.into(), args.check_fall, observer));
        let checks = args.check_every.0.map(|every| {
            let check = Check { every, patience: args.door.dial_timeout.min(every) };
            tokio::spawn(health::watch(Arc::clone(&pool), check))
        });
        let balanced = Balanced { pool: Arc::clone(&pool), patience: args.door.dial_timeout };
        let guide = Strict { guide: balanced, require_mptcp };
        let outcome = run.until_stopped(session, listener, guide, Some(pool), stop).await;
        if let Some(checks) = checks {
            checks.abort();
        }
        outcome
    })
}

/// A Transport Converter with a secret of its own.
fn converter(args: &Proxy, itself: Itself) -> Result<Converter<Kernel>, Failure> {
    let seed = system_seed().map_err(|error| Failure::io("cannot make a secret", &error))?;
    let secret = seed.first_chunk().copied().unwrap_or_default();
    let clients = usize::try_from(args.door.max_conns).unwrap_or(usize::MAX);
    Ok(Converter {
        servers: Kernel { patience: args.door.dial_timeout },
        cookies: args.cookies.then(|| Cookies::new(secret)),
        allow: args.allow.clone(),
        itself,
        room: Arc::new(Semaphore::new(clients)),
        patience: GREETING,
    })
}

fn server(text: &str) -> Result<Server, Failure> {
    let found = address::resolve(&address::parse_target(&[text.to_owned()])?)?;
    Ok(Server::new(found, text))
}

fn dialler(session: &Session, door: Door, require_mptcp: bool) -> Dialler {
    let dialler = Dialler::new(session.stack.clone()).timeout(door.dial_timeout);
    dialler.require_mptcp(require_mptcp)
}

/// A socket of the kernel's for programs of this machine, mostly.
async fn local_listener(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let what = format!("cannot listen on {address}");
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                let help = format!(
                    "choose another port; `ss -Htlnp sport = {}` names who has it",
                    address.port()
                );
                Failure::new(Code::InUse, what, plain_words(&error), help)
            }
            std::io::ErrorKind::AddrNotAvailable => Failure::usage(
                what,
                "this machine has no such address",
                "`ip -br address` lists those it has",
            ),
            _ => Failure::io(what, &error),
        }
    })
}

fn listening(address: SocketAddr, printer: &Printer) {
    printer.line(&format!("listening on {address}"));
    let list = [json!({ "address": address.to_string() })];
    printer.object(&json!({ "schema": "mpuser.event/1", "event": "listening", "addresses": list }));
}

/// The door, and by which addresses it is reached.
fn itself(session: &Session, door: SocketAddr) -> Itself {
    let own = session.plans().iter().flat_map(|plan| [plan.engine, plan.egress.local]);
    Itself { door, own: own.collect() }
}

/// Whoever leads clients to his own door has more of them with each.
fn no_loop(itself: &Itself, to: SocketAddr) -> Result<(), Failure> {
    if !itself.is(to) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("{to} is this proxy itself"),
        "every client would be led to the door it came in by, for ever",
        "name another server, or listen on another port",
    ))
}

/// A front door and what is said of it.
struct Run {
    limits: Limits,
    counters: Arc<Counters>,
    observer: Observer,
    printer: Printer,
}

impl Run {
    fn new(door: Door, idle: Option<Duration>, printer: Printer) -> Self {
        let clients = usize::try_from(door.max_conns).unwrap_or(usize::MAX);
        Self {
            limits: Limits { clients, idle },
            counters: Arc::default(),
            observer: view::observer(printer),
            printer,
        }
    }

    /// With places for clients that are only told that there is no place.
    fn with_room_to_refuse(mut self) -> Self {
        self.limits.clients += TOLD;
        self
    }

    /// Serves until a signal, and takes everything back.
    async fn until_stopped<E, G>(
        self,
        session: Session,
        entrance: E,
        guide: G,
        pool: Option<Arc<Pool>>,
        mut stop: mpsc::Receiver<Code>,
    ) -> Result<ExitCode, Failure>
    where
        E: Entrance,
        G: Guide<E::Near> + 'static,
    {
        let mut code = None;
        let ending = async { code = stop.recv().await };
        let counters = Arc::clone(&self.counters);
        let (guide, observer) = (Arc::new(guide), self.observer);
        let outcome = door::serve(entrance, guide, self.limits, counters, observer, ending).await;
        view::summary(&self.counters.totals(), pool.as_deref(), &self.printer);
        // a signal while things are taken down aborts what is still closing
        let closed = tokio::select! {
            closed = session.close() => closed,
            Some(code) = stop.recv() => Err(interrupted(code)),
        };
        outcome.map_err(|error| Failure::internal("the stack is gone", plain_words(&error)))?;
        closed.map(|()| ExitCode::from(code.map_or(0, Code::exit)))
    }
}
