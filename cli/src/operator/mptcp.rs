//! `mpuser endpoint`, `limits`, `subflow`, `multipath`: orders to running processes.

use super::args::{Endpoint, Limits, MultipathArgs, Subflow, Target, Via, Which, parse_multipath};
use super::{ask, describe, processes, targets};
use crate::address;
use crate::error::{Code, Failure};
use crate::output::{Printer, stdout};
use crate::via::proxy_address;
use mpuser_engine::addr::AddressId;
use mpuser_engine::grammar::{self, ShownEndpoint};
use mpuser_tun::ProxyUrl;
use mpuser_tun::control::{EndpointReport, Reply, Request, SubflowOrder};
use mpuser_tun::net::{NetnsId, multipath as memory};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::ExitCode;

/// `mpuser endpoint ...`
pub(crate) fn endpoint(args: &Endpoint, printer: Printer) -> Result<ExitCode, Failure> {
    command("endpoint", &args.words, &args.target, printer)
}

/// `mpuser limits ...`
pub(crate) fn limits(args: &Limits, printer: Printer) -> Result<ExitCode, Failure> {
    command("limits", &args.words, &args.target, printer)
}

/// A command of `ip mptcp`, checked here first: what is wrong in itself needs no process.
fn command(
    object: &str,
    words: &[String],
    target: &Target,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let line = std::iter::once(object).chain(words.iter().map(String::as_str));
    if let Err(error) = grammar::parse(line.clone()) {
        let help = format!("`mpuser {object} --help` shows the grammar");
        return Err(Failure::usage(format!("`{object}` is not understood"), error, help));
    }
    let line = line.collect::<Vec<_>>().join(" ");
    let mut objects = Vec::new();
    let mut processes = targets(target)?;
    let several = processes.len() > 1;
    for process in &mut processes {
        let replies = ask(process, &Request::Mptcp { line: line.clone() })?;
        if several && !printer.json && !replies.is_empty() {
            stdout(&format!("# {}\n", describe(process)));
        }
        for reply in replies {
            let (text, object) = shown(process.pid, &reply);
            if !printer.json {
                stdout(&text);
            }
            objects.push(object);
        }
    }
    if printer.json {
        let schema = format!("mpuser.{object}/1");
        stdout(&format!("{}\n", json!({ "schema": schema, "entries": objects })));
    }
    Ok(ExitCode::SUCCESS)
}

/// A reply as `ip mptcp` prints it, the space at the end included, and as `ip -j mptcp` does, with the process.
fn shown(pid: u32, reply: &Reply) -> (String, Value) {
    match reply {
        Reply::Endpoint(endpoint) => {
            let mut object = serde_json::to_value(endpoint).unwrap_or_default();
            object["pid"] = json!(pid);
            (format!("{} \n", line_of(endpoint)), object)
        }
        Reply::Limits { add_addr_accepted, subflows } => (
            format!("add_addr_accepted {add_addr_accepted} subflows {subflows} \n"),
            json!({ "pid": pid, "add_addr_accepted": add_addr_accepted, "subflows": subflows }),
        ),
        _ => (String::new(), Value::Null),
    }
}

fn line_of(endpoint: &EndpointReport) -> String {
    let EndpointReport { address, port, id, dev, .. } = endpoint;
    let (id, dev, flags) = (AddressId(*id), dev.as_deref(), endpoint.flags());
    ShownEndpoint { address: *address, port: *port, id, flags, dev }.to_string()
}

/// `mpuser subflow TOKEN ...`
pub(crate) fn subflow(args: &Subflow, printer: Printer) -> Result<ExitCode, Failure> {
    give(&args.token, order(&args.words)?, &args.which, printer)
}

/// `mpuser via TOKEN ...`
pub(crate) fn via(args: &Via, printer: Printer) -> Result<ExitCode, Failure> {
    give(&args.token, via_order(&args.words)?, &args.which, printer)
}

/// Gives an order to the process that has the connection.
fn give(
    token: &str,
    order: SubflowOrder,
    which: &Which,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let request = Request::Subflow { token: token.to_owned(), order };
    let mut refusal = None;
    for mut process in processes(which)? {
        match ask(&mut process, &request) {
            Ok(replies) => {
                for reply in replies {
                    if let Reply::Subflow { id } = reply {
                        let object = json!({ "schema": "mpuser.subflow/1", "pid": process.pid, "subflow": id });
                        stdout(&if printer.json {
                            format!("{object}\n")
                        } else {
                            format!("subflow {id}\n")
                        });
                    }
                }
                return Ok(ExitCode::SUCCESS);
            }
            // tokens are random: at most one process knows it
            Err(failure) => refusal = Some(failure),
        }
    }
    Err(refusal.unwrap_or_else(|| {
        Failure::new(
            Code::Setup,
            format!("there is no connection {token}"),
            "no mpuser process of this user is running",
            "start one, `mpuser connect` or `mpuser listen`",
        )
    }))
}

fn remote(word: &str) -> Result<SocketAddr, Failure> {
    address::resolve_first(&address::parse_target(&[word.to_owned()])?)
}

fn via_order(words: &[String]) -> Result<SubflowOrder, Failure> {
    let bad = |because: String| {
        let help = "write `add HOST:PORT`, `add HOST:PORT from LOCAL`, `add URL`, `del HOST:PORT` or `del URL`";
        Failure::usage("`via` is not understood", because, help)
    };
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["add", url] if url.contains("://") => {
            let proxy = proxy_address(&url.parse::<ProxyUrl>().map_err(bad)?)?;
            Ok(SubflowOrder::AddStream { url: url.to_owned(), proxy })
        }
        ["del", url] if url.contains("://") => {
            let proxy = proxy_address(&url.parse::<ProxyUrl>().map_err(bad)?)?;
            Ok(SubflowOrder::RemoveVia(proxy))
        }
        ["add", host] => Ok(SubflowOrder::AddVia { remote: remote(host)?, local: None }),
        ["add", host, "from", local] => {
            let local =
                local.parse().map_err(|_| bad(format!("{local:?} is not an IP address")))?;
            Ok(SubflowOrder::AddVia { remote: remote(host)?, local: Some(local) })
        }
        ["del", host] => Ok(SubflowOrder::RemoveVia(remote(host)?)),
        _ => Err(bad(format!("{:?} is no order", words.join(" ")))),
    }
}

fn order(words: &[String]) -> Result<SubflowOrder, Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let bad = |because: String| {
        let help =
            "write `open LOCAL REMOTE:PORT`, `close NUMBER`, `backup NUMBER` or `nobackup NUMBER`";
        Failure::usage("`subflow` is not understood", because, help)
    };
    let number = |word: &str| -> Result<u32, Failure> {
        word.parse().map_err(|_| bad(format!("{word:?} is not the number of a subflow")))
    };
    match words[..] {
        ["open", local, remote] => {
            let address =
                local.parse().map_err(|_| bad(format!("{local:?} is not an IP address")))?;
            Ok(SubflowOrder::Open { local: address, remote: self::remote(remote)? })
        }
        ["close", subflow] => Ok(SubflowOrder::Close(number(subflow)?)),
        ["backup", subflow] => Ok(SubflowOrder::Backup(number(subflow)?, true)),
        ["nobackup", subflow] => Ok(SubflowOrder::Backup(number(subflow)?, false)),
        _ => Err(bad(format!("{:?} is no order", words.join(" ")))),
    }
}

/// `mpuser multipath dev NAME on|off|backup`
pub(crate) fn multipath(args: &MultipathArgs, printer: Printer) -> Result<ExitCode, Failure> {
    let wish = parse_multipath(&args.words);
    let wish = wish.map_err(|because| {
        Failure::usage("`multipath` is not understood", because, "see `mpuser multipath --help`")
    })?;
    let Some((dev, state)) = wish else { return remembered(printer) };
    if args.pid.is_none() {
        memory::remember(dev, state)?;
    }
    let request = Request::Multipath { dev: dev.to_owned(), state };
    let mut obeyed = Vec::new();
    let here = NetnsId::current()?.inode;
    for mut process in processes(&super::args::Which { pid: args.pid })? {
        // interfaces of another namespace may have the same names
        if process.netns != here && args.pid.is_none() {
            continue;
        }
        match ask(&mut process, &request) {
            Ok(_) => obeyed.push(process.pid),
            // one that does not use the interface has nothing to do
            Err(failure) if args.pid.is_some() => return Err(failure),
            Err(failure) => printer.detail(&format!("{}: {}", describe(&process), failure.because)),
        }
    }
    let who = match obeyed.len() {
        1 => "1 running process obeys".to_owned(),
        number => format!("{number} running processes obey"),
    };
    printer.line(&format!("{dev} is {}; {who}", state.as_str()));
    if printer.json {
        let object =
            json!({ "schema": "mpuser.multipath/1", "dev": dev, "state": state, "obeyed": obeyed });
        stdout(&format!("{object}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What was set for later processes.
fn remembered(printer: Printer) -> Result<ExitCode, Failure> {
    let all = memory::remembered()?;
    if printer.json {
        stdout(&format!("{}\n", json!({ "schema": "mpuser.multipath/1", "devices": all })));
        return Ok(ExitCode::SUCCESS);
    }
    for (dev, state) in all {
        stdout(&format!("dev {dev} {}\n", state.as_str()));
    }
    Ok(ExitCode::SUCCESS)
}
