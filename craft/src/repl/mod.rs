//! Lines typed by hand: packets by name, and sessions that do handshake, join, data and close.
//!
//! ```text
//! p = IP(dst="192.0.2.1")/TCP(flags="S")/MP_CAPABLE
//! p.show()
//! s = session("192.168.56.101:7000")
//! s.handshake()
//! s.dss("hello")
//! s.sr1(DSS(data_ack=bad))
//! ```

mod complete;
mod line;

pub use complete::complete;
pub use line::{Argument, Line, parse};

use crate::build::Known;
use crate::dialogue::{Dialogue, Exchange, Wire};
use crate::layer::Stack;
use crate::session::{FlowId, Session};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long to listen for what comes by itself.
const QUIET: Duration = Duration::from_millis(200);

/// Somebody to talk to.
pub struct Peer {
    /// What carries packets there.
    pub wire: Box<dyn Wire>,
    /// Our addresses, one for each path.
    pub ours: Vec<IpAddr>,
    /// Theirs.
    pub remote: SocketAddr,
    /// What keys and numbers are drawn from.
    pub seed: [u8; 32],
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// Finds the way to a host, or says in words why there is none.
pub type Find<'f> = &'f mut dyn FnMut(&str) -> Result<Peer, String>;

/// What a line came to.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// What there is to say.
    pub text: String,
    /// Packets that went both ways.
    pub log: Vec<Exchange>,
    /// That was the end.
    pub quit: bool,
}

/// The names that have a meaning.
#[derive(Debug, Default)]
pub struct Repl {
    packets: BTreeMap<String, Stack>,
    sessions: BTreeMap<String, Open>,
}

/// A session with its host.
#[derive(Debug)]
struct Open {
    session: Session,
    peer: Peer,
}

/// What can be asked of a session.
pub const METHODS: [&str; 9] =
    ["handshake", "join", "dss", "ack", "send", "sr1", "close", "abort", "info"];

const HELP: &str = "\
p = TCP(flags=\"S\")/MP_CAPABLE     a packet with a name; without a name it is shown
p, p.show(), p.hex()             a packet as text, layer by layer, in hex
s = session(\"HOST:PORT\")         a session; it keeps keys and numbers of both ends
s.handshake()                    SYN, SYN/ACK, ACK with MP_CAPABLE
s.join(), s.join(\"10.83.1.2\")    another subflow, from the next path's address or this one
s.dss(\"hello\"), s.dss(\"x\", 1)    data in a mapping, on subflow 0 or 1
s.ack(), s.ack(1)                an ACK on both levels
s.send(PACKET), s.sr1(PACKET)    a packet, what is not said filled in; sr1 waits for an answer
s.close(), s.abort()             DATA_FIN and FINs; MP_FASTCLOSE and RSTs
s.info()                         keys, tokens, numbers
layers, help, quit
";

impl Repl {
    /// Does what a line says. `find` is asked for hosts.
    ///
    /// # Errors
    /// Why it cannot be done, in words.
    pub fn run(&mut self, line: &Line, find: Find<'_>) -> Result<Reply, String> {
        let said = |text: String| Ok(Reply { text, ..Reply::default() });
        match line {
            Line::Empty => Ok(Reply::default()),
            Line::Quit => Ok(Reply { quit: true, ..Reply::default() }),
            Line::Help => said(HELP.to_owned()),
            Line::Layers => said(layers()),
            Line::Packet { name: Some(name), stack } => {
                self.sessions.remove(name);
                self.packets.insert(name.clone(), stack.clone());
                said(format!("{stack}\n"))
            }
            Line::Packet { name: None, stack } => said(show(stack)?),
            Line::Name(name) => match self.packets.get(name) {
                Some(stack) => said(format!("{stack}\n")),
                None => said(info(&self.session(name)?.session)),
            },
            Line::Session { name, target } => {
                let peer = find(target)?;
                let session = Session::new(peer.seed);
                let text = format!("session with {}, from {:?}\n", peer.remote, peer.ours);
                self.packets.remove(name);
                self.sessions.insert(name.clone(), Open { session, peer });
                said(text)
            }
            Line::Call { name, method, arguments } => self.call(name, method, arguments),
        }
    }

    /// The names, for completion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.packets.keys().chain(self.sessions.keys()).map(String::as_str)
    }

    fn session(&self, name: &str) -> Result<&Open, String> {
        self.sessions.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            let known = if names.is_empty() {
                "there are no names yet".to_owned()
            } else {
                names.join(", ")
            };
            format!("{name} is no packet and no session ({known})")
        })
    }

    fn call(&mut self, name: &str, method: &str, arguments: &[Argument]) -> Result<Reply, String> {
        if let Some(stack) = self.packets.get(name) {
            let text = match method {
                "show" => show(stack)?,
                "hex" => stack.build(&Known::default()).map_err(|e| e.to_string())?.hexdump(),
                _ => return Err(format!("a packet has no {method}; it has show and hex")),
            };
            return Ok(Reply { text, ..Reply::default() });
        }
        self.session(name)?;
        let arguments = self.arguments(arguments)?;
        let Some(Open { session, peer }) = self.sessions.get_mut(name) else {
            return Err(format!("{name} is no session"));
        };
        let own = std::mem::replace(session, Session::new([0; 32]));
        let patience = Duration::from_secs(1);
        let (ours, remote) = (peer.ours.clone(), peer.remote);
        let wire = peer.wire.as_mut();
        let mut talk = Dialogue { session: own, wire, patience, log: Vec::new() };
        let outcome = step(&mut talk, &ours, remote, method, &arguments);
        let log = std::mem::take(&mut talk.log);
        *session = talk.session;
        match outcome {
            Ok(text) => Ok(Reply { text, log, quit: false }),
            // what was sent is worth seeing all the same
            Err(why) if !log.is_empty() => Ok(Reply { text: format!("{why}\n"), log, quit: false }),
            Err(why) => Err(why),
        }
    }

    /// Names of packets put in their place.
    fn arguments(&self, arguments: &[Argument]) -> Result<Vec<Argument>, String> {
        let resolve = |argument: &Argument| match argument {
            Argument::Name(name) => {
                let stack = self.packets.get(name).cloned().map(Argument::Packet);
                stack.ok_or_else(|| format!("{name} is no packet"))
            }
            other => Ok(other.clone()),
        };
        arguments.iter().map(resolve).collect()
    }
}

/// One step of a session.
fn step(
    talk: &mut Dialogue<'_>,
    ours: &[IpAddr],
    remote: SocketAddr,
    method: &str,
    arguments: &[Argument],
) -> Result<String, String> {
    let first = ours.first().copied().ok_or("there is no address of ours")?;
    let words = |error: crate::Refusal| error.to_string();
    let flow_of = |talk: &Dialogue<'_>, number: Option<&Argument>| -> Result<FlowId, String> {
        let flow = match number {
            None => 0,
            Some(Argument::Number(number)) => usize::try_from(*number).unwrap_or(usize::MAX),
            Some(_) => return Err("the number of a subflow is expected".to_owned()),
        };
        let there = talk.session.flow(flow).is_some();
        if there {
            Ok(flow)
        } else {
            Err(format!("there is no subflow {flow}; s.handshake() makes the first"))
        }
    };
    match (method, arguments) {
        ("handshake", []) => {
            let flow = talk.handshake(first, remote).map_err(words)?;
            Ok(format!("subflow {flow} is open\n"))
        }
        ("join", []) => {
            let next = ours.get(talk.session.flows().len() % ours.len()).copied().unwrap_or(first);
            join(talk, next, remote)
        }
        ("join", [Argument::Text(text)]) => {
            let address = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            join(talk, address.ok_or("an address in quotes is expected")?, remote)
        }
        ("dss", [Argument::Text(data), flow @ ..]) if flow.len() < 2 => {
            let flow = flow_of(talk, flow.first())?;
            talk.data(flow, data).map_err(words)?;
            Ok(String::new())
        }
        ("ack", flow) if flow.len() < 2 => {
            let flow = flow_of(talk, flow.first())?;
            talk.ack(flow).map_err(words)?;
            talk.listen(QUIET);
            Ok(String::new())
        }
        ("send" | "sr1", [Argument::Packet(stack), flow @ ..]) if flow.len() < 2 => {
            if talk.session.flows().is_empty() {
                let local = SocketAddr::new(first, talk.session.port());
                talk.session.open(local, remote);
            }
            let flow = flow_of(talk, flow.first())?;
            if method == "send" {
                talk.send(flow, stack).map_err(|error| error.to_string())?;
                return Ok(String::new());
            }
            match talk.sr1(flow, stack).map_err(|error| error.to_string())? {
                Some(heard) => Ok(heard.built.show(false)),
                None => Err("nobody answered".to_owned()),
            }
        }
        ("close", []) => talk.close().map_err(words).map(|()| "closed\n".to_owned()),
        ("abort", []) => {
            talk.abort();
            Ok("aborted\n".to_owned())
        }
        ("info", []) => Ok(info(&talk.session)),
        (known, _) if METHODS.contains(&known) => {
            Err(format!("{known} takes other arguments; see help"))
        }
        _ => Err(format!("a session has no {method}; it has {}", METHODS.join(", "))),
    }
}

fn join(talk: &mut Dialogue<'_>, from: IpAddr, remote: SocketAddr) -> Result<String, String> {
    let flow = talk.join(from, remote).map_err(|error| error.to_string())?;
    Ok(format!("subflow {flow} is open, from {from}; the HMAC is right\n"))
}

fn show(stack: &Stack) -> Result<String, String> {
    Ok(stack.build(&Known::default()).map_err(|error| error.to_string())?.show(true))
}

/// Keys, tokens, numbers.
fn info(session: &Session) -> String {
    let data = &session.data;
    let known = session.known(0);
    let mut text =
        format!("our key    {:#018x}, token {:#010x}\n", data.key, known.facts(data.key).0);
    match data.peer_key {
        Some(key) => {
            let _ = writeln!(text, "their key  {key:#018x}, token {:#010x}", known.facts(key).0);
        }
        None => text.push_str("their key  not known yet\n"),
    }
    let ended = if data.ended() { ", and the end" } else { "" };
    let checksum = if data.checksum { "with" } else { "without" };
    let _ = writeln!(
        text,
        "data       {} sent, {} received{ended}, {checksum} checksums",
        data.sent, data.received
    );
    for (number, flow) in session.flows().iter().enumerate() {
        let state = match (flow.reset, flow.ended, flow.ack) {
            (true, ..) => "reset",
            (_, true, _) => "ended by the other end",
            (.., None) => "not answered",
            _ => "open",
        };
        let ack = flow.ack.map_or_else(|| "-".to_owned(), |ack| ack.to_string());
        let _ = writeln!(
            text,
            "subflow {number}  {} > {}, seq {}, ack {ack}, {state}",
            flow.local, flow.remote, flow.seq
        );
    }
    text
}

/// Every layer on a line.
fn layers() -> String {
    crate::SPECS.iter().fold(String::new(), |mut text, spec| {
        let names: Vec<&str> = spec.fields.iter().map(|field| field.name).collect();
        let _ = writeln!(text, "{}({})", spec.name, names.join(", "));
        text
    })
}

#[cfg(test)]
mod tests;
