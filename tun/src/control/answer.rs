//! From a request to its replies.

use super::protocol::{Refusal, Reply, Request, SubflowOrder};
use super::report::{CounterReport, EventReport, SocketReport};
use super::server::Context;
use crate::carrier::ProxyUrl;
use crate::stack::{Multipath, Stack};
use mpuser_engine::addr::{ConnectionId, SocketAddr};
use tokio::sync::broadcast;

/// What a request leads to.
pub(super) enum Answer {
    /// A few replies.
    Replies(Vec<Reply>),
    /// One for each of these that still is there: there may be many, and each is looked at when its turn comes.
    Sockets(Stack, Vec<Which>),
    /// Events from now on.
    Events(broadcast::Receiver<EventReport>),
}

/// A connection to be told of, or a listener as it was when asked for.
pub(super) enum Which {
    Connection(ConnectionId),
    Listener(Box<SocketReport>),
}

/// The answer to a request.
pub(super) fn answer(context: &Context, request: Request) -> Answer {
    let Some(stack) = context.stack.upgrade() else {
        return refuse(Refusal::new(
            "there is no answer",
            "the process is about to end",
            "nothing is left to be done",
        ));
    };
    match request {
        Request::Hello => Answer::Replies(vec![Reply::Hello {
            pid: std::process::id(),
            title: context.title.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            netns: context.netns,
        }]),
        Request::Sockets => {
            let listeners = stack.listeners().into_iter().map(|(local, waiting, backlog)| {
                Which::Listener(Box::new(SocketReport::listener(local, waiting, backlog)))
            });
            let connections = stack.connections().into_iter().map(Which::Connection);
            let all = listeners.chain(connections).collect();
            Answer::Sockets(stack, all)
        }
        Request::Counters => {
            let counters = stack.counters();
            let of = |(name, value): (&str, u64)| CounterReport { name: name.to_owned(), value };
            Answer::Replies(counters.iter().map(of).map(Reply::Counter).collect())
        }
        Request::Paths => {
            let paths = stack.path_stats().into_iter().map(Into::into).map(Reply::Path);
            Answer::Replies(paths.collect())
        }
        Request::Monitor => Answer::Events(stack.watch()),
        Request::Mptcp { line } => replies(super::pm::command(&stack, &line)),
        Request::Subflow { token, order } => replies(subflow(&stack, &token, order)),
        Request::Settings => Answer::Replies(super::settings::all(&stack)),
        Request::Set { name, value } => replies(super::settings::set(&stack, &name, &value)),
        Request::Multipath { dev, state } => replies(multipath(&stack, &dev, state)),
    }
}

fn replies(outcome: Result<Vec<Reply>, Refusal>) -> Answer {
    outcome.map_or_else(refuse, Answer::Replies)
}

fn refuse(refusal: Refusal) -> Answer {
    Answer::Replies(vec![Reply::Error(refusal)])
}

/// The reply for one connection or listener; none if it is gone.
pub(super) fn socket(stack: &Stack, which: Which) -> Option<Reply> {
    let id = match which {
        Which::Listener(report) => return Some(Reply::Socket(report)),
        Which::Connection(id) => id,
    };
    let info = stack.connection_info(id)?;
    let report = SocketReport::connection(&info, crate::clock::now(), |address| {
        stack.path_of(address).map_or_else(String::new, |(name, _)| name)
    });
    Some(Reply::Socket(Box::new(report)))
}

fn subflow(stack: &Stack, token: &str, order: SubflowOrder) -> Result<Vec<Reply>, Refusal> {
    let what = || format!("cannot change subflows of {token}");
    let unknown = || {
        let because = "no connection of this process has that token";
        Refusal::new(what(), because, "`mpuser ss` lists connections with their tokens")
    };
    let number = u32::from_str_radix(token.trim_start_matches("0x"), 16).map_err(|_| unknown())?;
    let order = match order {
        SubflowOrder::AddStream { url, proxy } => stream_via(stack, &url, proxy, what())?,
        order => order,
    };
    let outcome = stack.order_subflow(number, order).ok_or_else(unknown)?;
    let opened = outcome.map_err(|error| {
        let help = "`mpuser ss -i` shows its subflows, `mpuser endpoint show` this end's addresses";
        Refusal::new(what(), error.to_string(), help)
    })?;
    Ok(opened.map(|id| Reply::Subflow { id: id.0 }).into_iter().collect())
}

/// A path through a proxy that ends TCP, and the order to use it.
fn stream_via(
    stack: &Stack,
    url: &str,
    proxy: SocketAddr,
    what: String,
) -> Result<SubflowOrder, Refusal> {
    let help = "write `add socks5://HOST:PORT`, `add http://HOST:PORT` or `add tcp://HOST:PORT`";
    let url = url.parse::<ProxyUrl>();
    let url = url.map_err(|because| Refusal::new(what.clone(), because, help))?;
    let via = stack.add_stream_via_of(url, proxy).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let because = "it did not connect, so it does not know where a proxy is to lead";
            Refusal::new(what.clone(), because, "give the order to the end that connected")
        }
        std::io::ErrorKind::AlreadyExists => {
            let because = "there is a path through that proxy that leads elsewhere";
            Refusal::new(what.clone(), because, "give it as it was given before")
        }
        _ => Refusal::new(what.clone(), error.to_string(), help),
    })?;
    Ok(SubflowOrder::AddVia { remote: via.remote, local: via.local })
}

fn multipath(stack: &Stack, dev: &str, state: Multipath) -> Result<Vec<Reply>, Refusal> {
    if stack.set_multipath(dev, state) > 0 {
        return Ok(Vec::new());
    }
    let there: Vec<_> = stack.path_stats().into_iter().map(|path| path.outlet).collect();
    Err(Refusal::new(
        format!("cannot turn {dev} {}", state.as_str()),
        format!("no path leaves by it; there are {}", there.join(", ")),
        "name one of them",
    ))
}
