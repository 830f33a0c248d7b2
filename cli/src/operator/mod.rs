//! The operator's side: looking at running processes and steering them, over their control sockets.

pub(crate) mod args;
mod config;
mod monitor;
mod mptcp;
mod settings;
mod ss;
mod ss_filter;
mod stats;

pub(crate) use config::run as config;
pub(crate) use monitor::run as monitor;
pub(crate) use mptcp::{endpoint, limits, multipath, subflow, via};
pub(crate) use settings::{set, show as settings};
pub(crate) use ss::run as ss;
pub(crate) use stats::run as stats;

use crate::error::{Code, Failure, plain_words};
use args::{Target, Which};
use mpuser_tun::control::{self, Process, Refusal, Reply, Request};
use std::fmt::Display;

/// The running processes, or the one that was named.
fn processes(which: &Which) -> Result<Vec<Process>, Failure> {
    let all = control::processes()?;
    let Some(pid) = which.pid else { return Ok(all) };
    let there: Vec<String> = all.iter().map(describe).collect();
    let found: Vec<Process> = all.into_iter().filter(|process| process.pid == pid).collect();
    if found.is_empty() {
        let because = match there.as_slice() {
            [] => "no mpuser process of this user is running".to_owned(),
            there => format!("there are {}", there.join(", ")),
        };
        let help = "leave out --pid, or name one of those that run";
        return Err(Failure::new(
            Code::Setup,
            format!("process {pid} does not answer"),
            because,
            help,
        ));
    }
    Ok(found)
}

/// The processes an order is for: the only one, the one that was named, or all.
fn targets(target: &Target) -> Result<Vec<Process>, Failure> {
    let found = processes(&Which { pid: target.pid })?;
    match found.as_slice() {
        [] => Err(Failure::new(
            Code::Setup,
            "there is nobody to give the order to",
            "no mpuser process of this user is running",
            "start one, `mpuser connect` or `mpuser listen`, or run this as the user who did",
        )),
        [_] => Ok(found),
        _ if target.all || target.pid.is_some() => Ok(found),
        several => {
            let there: Vec<String> = several.iter().map(describe).collect();
            Err(Failure::usage(
                "it is not clear which process is meant",
                format!("there are {}", there.join(", ")),
                "name one with --pid, or give --all",
            ))
        }
    }
}

fn describe(process: &Process) -> String {
    format!("{} ({})", process.pid, process.title)
}

/// Asks one process.
fn ask(process: &mut Process, request: &Request) -> Result<Vec<Reply>, Failure> {
    let pid = process.pid;
    process.client.ask(request).map_err(|error| failure(pid, &error))
}

/// A refusal in its own words; anything else is a process that went away.
fn failure(pid: impl Display, error: &std::io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>()) {
        Some(refusal) => {
            Failure::new(Code::Usage, &refusal.message, &refusal.because, &refusal.help)
        }
        None => Failure::new(
            Code::Io,
            format!("process {pid} gave no answer"),
            plain_words(error),
            "it may have ended: `mpuser ss` lists those that run",
        ),
    }
}
