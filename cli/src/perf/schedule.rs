//! `--at TIME ORDER`: subflows opened, closed and made backups while data flows.

use super::link::Link;
use crate::error::Failure;
use crate::units::parse_duration;
use mpuser_engine::addr::SubflowId;
use mpuser_tun::net::PathPlan;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const FORMS: &str =
    "write for example --at 2s add=eth2:192.168.57.101, --at 5s del=1 or --at 7s backup=2";

/// What is done at a time after the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) time: Duration,
    pub(super) order: Order,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Opens a subflow from a path or an address; without a port, to the server's.
    Add { local: String, remote: (IpAddr, Option<u16>) },
    /// Closes one.
    Del(u32),
    /// Makes one a backup, or a regular one again.
    Backup(u32, bool),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { local, remote: (address, Some(port)) } => {
                write!(f, "add={local}:{}", SocketAddr::new(*address, *port))
            }
            Self::Add { local, remote: (address, None) } => write!(f, "add={local}:{address}"),
            Self::Del(number) => write!(f, "del={number}"),
            Self::Backup(number, true) => write!(f, "backup={number}"),
            Self::Backup(number, false) => write!(f, "nobackup={number}"),
        }
    }
}

/// Reads the words of all `--at`, two for each; in the order of their times.
pub(super) fn parse(words: &[String]) -> Result<Vec<At>, Failure> {
    let mut all = Vec::new();
    for pair in words.chunks(2) {
        let [time, order] = pair else { continue };
        let bad = |why: String| {
            Failure::usage(format!("`--at {time} {order}` cannot be followed"), why, FORMS)
        };
        let after = if matches!(time.as_str(), "0" | "0s") {
            Ok(Duration::ZERO)
        } else {
            parse_duration(time)
        };
        all.push(At { time: after.map_err(bad)?, order: one(order).map_err(bad)? });
    }
    all.sort_by_key(|at| at.time);
    Ok(all)
}

fn one(text: &str) -> Result<Order, String> {
    let (verb, value) = text.split_once('=').ok_or("an order has the form WORD=VALUE")?;
    let number = || value.parse().map_err(|_| format!("`{value}` is no number of a subflow"));
    match verb {
        "add" => {
            let (local, remote) =
                split_local(value).ok_or("it has no remote address: LOCAL:REMOTE")?;
            let remote = parse_remote(remote).ok_or_else(|| format!("`{remote}` is no address"))?;
            Ok(Order::Add { local: local.to_owned(), remote })
        }
        "del" => number().map(Order::Del),
        "backup" => number().map(|number| Order::Backup(number, true)),
        "nobackup" => number().map(|number| Order::Backup(number, false)),
        _ => Err(format!("there is no order `{verb}`")),
    }
}

/// The local part, without its brackets, and what is behind its colon.
fn split_local(value: &str) -> Option<(&str, &str)> {
    let halves = match value.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => value.split_once(':'),
    };
    halves.filter(|(local, remote)| !local.is_empty() && !remote.is_empty())
}

fn parse_remote(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Some((address, None));
    }
    let both = text.parse::<SocketAddr>().ok().filter(|both| both.port() != 0);
    both.map(|both| (both.ip(), Some(both.port())))
}

impl Order {
    /// Does it to one connection; in words why not.
    pub(super) fn obey(
        &self,
        link: &Link,
        plans: &[PathPlan],
        server: SocketAddr,
    ) -> Result<(), String> {
        let Link::Ours(stream) = link else {
            return Err("it is the kernel's connection".to_owned());
        };
        let outcome = match self {
            Self::Add { local, remote: (address, port) } => {
                let named = |plan: &&PathPlan| plan.egress.name == *local;
                let plan = plans.iter().find(named).map(|plan| plan.engine);
                let local = plan.or_else(|| local.parse().ok());
                let names = || plans.iter().map(|plan| plan.egress.name.as_str());
                let unknown = || {
                    let all: Vec<_> = names().collect();
                    format!("there is no such path; there are {}", all.join(", "))
                };
                let remote = SocketAddr::new(*address, port.unwrap_or(server.port()));
                stream.add_subflow(local.ok_or_else(unknown)?, remote).map(drop)
            }
            Self::Del(number) => stream.remove_subflow(SubflowId(*number)),
            Self::Backup(number, backup) => stream.set_backup(SubflowId(*number), *backup),
        };
        outcome.map_err(|error| crate::error::plain_words(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Vec<At>, Failure> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn orders_read_back_as_they_were_written() {
        for text in [
            "add=eth2:192.168.57.101",
            "add=10.83.57.2:192.168.57.101:5201",
            "del=1",
            "backup=2",
            "nobackup=2",
        ] {
            let all = read(&["2s", text]).unwrap();
            assert_eq!(all[0].order.to_string(), text);
        }
        let six = read(&["1", "add=[fd00::1]:[fd00::2]:99", "0", "add=eth1:fd00::2"]).unwrap();
        let remote = "fd00::2".parse().unwrap();
        assert_eq!(six[0].time, Duration::ZERO);
        assert_eq!(six[0].order, Order::Add { local: "eth1".into(), remote: (remote, None) });
        assert_eq!(
            six[1].order,
            Order::Add { local: "fd00::1".into(), remote: (remote, Some(99)) }
        );
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        for (time, order) in [
            ("soon", "del=1"),
            ("1s", "del"),
            ("1s", "del=x"),
            ("1s", "del=-1"),
            ("1s", "cut=1"),
            ("1s", "add=eth1"),
            ("1s", "add=:10.0.0.1"),
            ("1s", "add=eth1:host"),
            ("1s", "add=eth1:10.0.0.1:0"),
            ("1s", "add=[fd00::1:[fd00::2]"),
        ] {
            let failure = read(&[time, order]).unwrap_err();
            assert_eq!(failure.code.exit(), 2, "{time} {order}");
        }
    }
}
