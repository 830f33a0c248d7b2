//! The program: started, told of signals, waited for.

use crate::error::{Code, Failure, plain_words};
use mpuser_tun::net::{Cell, send_signal};
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Signals of ours, which are the program's.
#[derive(Debug)]
pub(super) struct Signals(mpsc::Receiver<SignalKind>);

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel(8);
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ] {
            let mut signals =
                signal(kind).map_err(|error| Failure::io("cannot listen to signals", &error))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() && sender.send(kind).await.is_ok() {}
            });
        }
        Ok(Self(receiver))
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> SignalKind {
        match self.0.recv().await {
            Some(kind) => kind,
            None => std::future::pending().await,
        }
    }
}

/// The program while it runs.
#[derive(Debug)]
pub(super) struct Program(Child);

impl Program {
    /// Starts it in its namespace. The thread that calls has to live for as long as the program.
    pub(super) fn start(
        cell: &Cell,
        words: &[OsString],
        resolv_conf: Option<&Path>,
    ) -> Result<Self, Failure> {
        let Some((program, args)) = words.split_first() else {
            return Err(Failure::usage(
                "there is nothing to run",
                "no program was named",
                "mpuser run CMD",
            ));
        };
        let command = cell.command(program, args, resolv_conf)?;
        let child = tokio::process::Command::from(command).spawn();
        child.map(Self).map_err(|error| not_started(&program.to_string_lossy(), &error))
    }

    /// Waits for its end, and passes signals on until then.
    pub(super) async fn wait(&mut self, signals: &mut Signals) -> Result<ExitCode, Failure> {
        loop {
            tokio::select! {
                status = self.0.wait() => {
                    let failed = |error| Failure::io("cannot wait for the program", &error);
                    return status.map(exit_code).map_err(failed);
                }
                kind = signals.next() => self.tell(kind),
            }
        }
    }

    /// Passes a signal on. Those of the terminal's keys reach the program without us.
    fn tell(&self, kind: SignalKind) {
        let of_keys = [SignalKind::interrupt(), SignalKind::quit()].contains(&kind);
        let Some(pid) = self.0.id() else { return };
        if !(of_keys && io::stdin().is_terminal()) {
            // it may have ended meanwhile
            let _ = send_signal(pid, kind.as_raw_value());
        }
    }
}

/// What the program gave, or, as shells have it, 128 and the number of the signal that ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let signal = status.signal().map(|number| 128 + number);
    let code = status.code().or(signal).and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(u8::MAX))
}

/// The program could not be started: the codes shells have for that.
fn not_started(program: &str, error: &io::Error) -> Failure {
    let there = error.kind() != io::ErrorKind::NotFound;
    let code = if there { Code::NotRunnable } else { Code::NoProgram };
    let help = "check its name, and that it can be executed; `command -v NAME` finds it";
    Failure::new(code, format!("cannot run {program}"), plain_words(error), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_shells() {
        let code = |raw| format!("{:?}", exit_code(ExitStatus::from_raw(raw)));
        assert_eq!(code(0), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(42 << 8), format!("{:?}", ExitCode::from(42)));
        assert_eq!(code(libc_sigterm()), format!("{:?}", ExitCode::from(143)));
    }

    fn libc_sigterm() -> i32 {
        SignalKind::terminate().as_raw_value()
    }
}
