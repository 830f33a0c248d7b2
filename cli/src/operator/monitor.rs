//! `mpuser monitor`: events as `ip mptcp monitor` prints them.

use super::args::Monitor;
use super::{describe, failure};
use crate::error::{Code, Failure};
use crate::output::{Printer, stdout};
use mpuser_tun::clock;
use mpuser_tun::control::{self, EventReport, Process, Reply};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often to look for processes that have just started.
const LOOK: Duration = Duration::from_millis(300);

/// What a watching thread has to say.
enum Said {
    Reply(u32, Reply),
    /// The process is gone.
    Gone(PathBuf),
}

/// Prints events until the user has seen enough, or the process that was named is gone.
pub(crate) fn run(args: &Monitor, printer: Printer) -> Result<ExitCode, Failure> {
    let (sender, receiver) = channel();
    let mut watched = BTreeSet::new();
    loop {
        for process in control::processes()? {
            let wanted = args.which.pid.is_none_or(|pid| pid == process.pid);
            if wanted && watched.insert(process.path.clone()) {
                printer.detail(&format!("watching {}", describe(&process)));
                watch(process, sender.clone())?;
            }
        }
        if watched.is_empty() && args.which.pid.is_some() {
            return super::processes(&args.which).map(|_| ExitCode::SUCCESS);
        }
        // until it is time to look for new processes
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(Said::Reply(pid, reply)) => print(pid, &reply, args.timestamp, printer)?,
                Ok(Said::Gone(path)) => {
                    watched.remove(&path);
                    if args.which.pid.is_some() {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
    }
}

/// A thread that passes on what one process tells.
fn watch(process: Process, sender: Sender<Said>) -> Result<(), Failure> {
    let Process { pid, path, client, .. } = process;
    let replies = client.monitor().map_err(|error| failure(pid, &error))?;
    std::thread::spawn(move || {
        for reply in replies {
            if sender.send(Said::Reply(pid, reply)).is_err() {
                return;
            }
        }
        let _ = sender.send(Said::Gone(path));
    });
    Ok(())
}

fn print(pid: u32, reply: &Reply, timestamp: bool, printer: Printer) -> Result<(), Failure> {
    let text = match reply {
        Reply::Event(event) if printer.json => object(pid, event),
        Reply::Event(event) if timestamp => format!("[{}] {event}\n", time(event.time_us)),
        Reply::Event(event) => format!("{event}\n"),
        Reply::Missed { events } => {
            printer.line(&format!("{events} events of process {pid} were missed"));
            return Ok(());
        }
        Reply::Error(refusal) => {
            return Err(Failure::new(Code::Io, &refusal.message, &refusal.because, &refusal.help));
        }
        _ => return Ok(()),
    };
    stdout(&text);
    Ok(())
}

fn object(pid: u32, event: &EventReport) -> String {
    let mut object = json!({ "schema": "mpuser.monitor/1", "pid": pid });
    if let (Some(object), Ok(serde_json::Value::Object(event))) =
        (object.as_object_mut(), serde_json::to_value(event))
    {
        object.extend(event);
    }
    format!("{object}\n")
}

/// As `ip -ts` writes the time, but in UTC, so that logs of several machines fit.
fn time(micros: u64) -> String {
    clock::utc(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_a_time_and_a_process_in_json() {
        let event = EventReport { event: "CLOSED".to_owned(), ..EventReport::default() };
        let object: serde_json::Value = serde_json::from_str(&object(7, &event)).unwrap();
        assert_eq!((&object["pid"], &object["event"]), (&json!(7), &json!("CLOSED")));
        assert!(object.get("token").is_none());
        assert_eq!(time(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
    }
}
