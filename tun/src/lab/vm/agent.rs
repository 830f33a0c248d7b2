//! Orders to a guest over a serial line: a program and its arguments as a line of JSON, what it prints as lines of JSON.
//! Every line carries the number of its order; lines of orders that nobody waits for any more are passed over.

use crate::net::{ErrorKind, NetError, Result};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest pause of a guest that is asked whether it is there.
const PING: Duration = Duration::from_millis(400);

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: u64,
    /// Where to run it.
    directory: String,
    /// Nothing to run: only an answer is wanted.
    argv: Vec<String>,
}

/// What a guest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// It is there; the release of its kernel.
    Ready(String),
    /// Printed.
    Out(#[serde(with = "octets")] Vec<u8>),
    /// Printed on standard error.
    Err(#[serde(with = "octets")] Vec<u8>),
    /// The program's end: its exit code.
    Code(i32),
}

/// What a program prints need not be text.
mod octets {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    number: u64,
    word: Word,
}

/// The guest's side: runs what it is told until the line is gone for good.
pub(super) fn serve(line: &std::fs::File) -> io::Result<()> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let writer = Arc::new(Mutex::new(line.try_clone()?));
    let mut reader = BufReader::new(line);
    let mut text = String::new();
    loop {
        text.clear();
        // nothing: nobody is connected at the other end
        if reader.read_line(&mut text)? == 0 {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        let Ok(order) = serde_json::from_str::<Order>(&text) else { continue };
        let (writer, release) = (Arc::clone(&writer), release.clone());
        std::thread::spawn(move || {
            let say = |word| say(&writer, order.number, word);
            if order.argv.is_empty() {
                say(Word::Ready(release));
            } else {
                say(Word::Code(obey(&order, &say)));
            }
        });
    }
}

fn say(writer: &Mutex<std::fs::File>, number: u64, word: Word) {
    let mut line = serde_json::to_string(&Answer { number, word }).unwrap_or_default();
    line.push('\n');
    // whoever asked may be gone
    let _ = writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
}

/// Runs a program, and passes on what it prints.
fn obey(order: &Order, say: &(dyn Fn(Word) + Sync)) -> i32 {
    let Some((program, args)) = order.argv.split_first() else { return 0 };
    let mut command = Command::new(program);
    command.args(args).current_dir(&order.directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            say(Word::Err(format!("cannot run {program}: {error}\n").into_bytes()));
            return 127;
        }
    };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| pass_on(out, &|octets| say(Word::Out(octets))));
        pass_on(err, &|octets| say(Word::Err(octets)));
    });
    // killed by a signal: as a shell says it
    let code = |status: std::process::ExitStatus| {
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0))
    };
    child.wait().map_or(127, code)
}

fn pass_on(from: Option<impl Read>, to: &dyn Fn(Vec<u8>)) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 8192];
    while let Ok(length) = from.read(&mut buffer) {
        let Some(read) = buffer.get(..length).filter(|read| !read.is_empty()) else { break };
        to(read.to_vec());
    }
}

/// This machine's side: the guest behind the socket, asked whether it is there; its kernel's release.
pub(super) fn ping(socket: &Path) -> Option<String> {
    let mut release = None;
    let order = |number| Order { number, directory: "/".to_owned(), argv: Vec::new() };
    let heard = ask(socket, order, Some(PING), &mut |word| {
        if let Word::Ready(text) = word {
            release = Some(text);
        }
    });
    heard.ok().and(release)
}

/// Runs a program in the guest behind the socket; `out` and `err` get what it prints. Its exit code.
pub(super) fn run(
    socket: &Path,
    argv: &[String],
    out: &mut dyn FnMut(&[u8]),
    err: &mut dyn FnMut(&[u8]),
) -> Result<i32> {
    let here = std::env::current_dir().map(|dir| dir.to_string_lossy().into_owned());
    let directory = here.unwrap_or_else(|_| "/".to_owned());
    let order = |number| Order { number, directory, argv: argv.to_vec() };
    let mut code = None;
    let heard = ask(socket, order, None, &mut |word| match word {
        Word::Out(octets) => out(&octets),
        Word::Err(octets) => err(&octets),
        Word::Code(number) => code = Some(number),
        Word::Ready(_) => {}
    });
    let lost = |why: String| {
        let help =
            "`mpuser lab down vm`, then `mpuser lab up vm`; its console is in the state directory";
        NetError::new(ErrorKind::Command, "the guest does not answer", why, help)
    };
    heard.map_err(|error| lost(error.to_string()))?;
    code.ok_or_else(|| lost("its line was closed before the program ended".to_owned()))
}

/// Gives an order and hears what is said to it, to the end.
fn ask(
    socket: &Path,
    order: impl FnOnce(u64) -> Order,
    patience: Option<Duration>,
    hear: &mut dyn FnMut(Word),
) -> io::Result<()> {
    let mut line = UnixStream::connect(socket)?;
    line.set_read_timeout(patience)?;
    let number =
        u64::from(std::process::id()) << 32 | u64::from(crate::clock::now().as_micros() as u32);
    let mut text = serde_json::to_string(&order(number))?;
    // the first newline ends what another left unfinished
    text.insert(0, '\n');
    text.push('\n');
    line.write_all(text.as_bytes())?;
    for answer in BufReader::new(line).lines() {
        let Ok(Answer { number: of, word }) = serde_json::from_str(&answer?) else { continue };
        let last = matches!(word, Word::Code(_) | Word::Ready(_));
        if of == number {
            hear(word);
            if last {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obeyed(argv: &[&str]) -> (i32, String, String) {
        let (out, err) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let order = Order { number: 1, directory: "/".to_owned(), argv };
        let code = obey(&order, &|word| match word {
            Word::Out(octets) => out.lock().unwrap().extend(octets),
            Word::Err(octets) => err.lock().unwrap().extend(octets),
            Word::Ready(_) | Word::Code(_) => unreachable!(),
        });
        let text =
            |octets: Mutex<Vec<u8>>| String::from_utf8(octets.into_inner().unwrap()).unwrap();
        (code, text(out), text(err))
    }

    #[test]
    fn programs_are_run_and_heard() {
        let (code, out, err) = obeyed(&["sh", "-c", "pwd; echo no >&2; exit 3"]);
        assert_eq!((code, out.as_str(), err.as_str()), (3, "/\n", "no\n"));
        assert_eq!(obeyed(&["sh", "-c", "kill -9 $$"]).0, 137);
        let (code, _, err) = obeyed(&["/no/such/program"]);
        assert!(code == 127 && err.contains("/no/such/program"), "{err}");
    }

    #[test]
    fn octets_stay_as_they_are() {
        let octets: Vec<u8> = (0..=255).cycle().take(20_001).collect();
        let heard = Mutex::new(Vec::new());
        pass_on(Some(octets.as_slice()), &|read| {
            let line = serde_json::to_string(&Word::Out(read)).unwrap();
            let Word::Out(read) = serde_json::from_str(&line).unwrap() else { unreachable!() };
            heard.lock().unwrap().extend(read);
        });
        assert_eq!(heard.into_inner().unwrap(), octets);
    }
}
