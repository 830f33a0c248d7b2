//! The journal: what a process changed in the namespace, written down before each change.
//!
//! One file per set of paths, one JSON object per line. The owner holds a lock on the file for as
//! long as it lives; the kernel drops it at death, whatever the death. A journal whose lock can be
//! taken is therefore a dead process's, without any guess about reused process numbers.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::command::{ip, run};
use super::error::{ErrorKind, NetError, Result};
use super::netns::{Netns, NetnsId, named_namespaces};
use super::prefix::Prefix;
use super::state::StateLock;
use super::sysctl;

const SCHEMA: &str = "mpuser.paths/1";

/// The first line. Process number and start time are for people; the lock decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    schema: String,
    pid: u32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    start_time: u64,
    netns: NetnsId,
}

/// One change, or one reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "kebab-case")]
pub(crate) enum Step {
    /// These names are taken; nothing has to be undone.
    Reserve { index: u32, tun: String, subnet: Prefix },
    /// `key` was `old` before anybody of ours changed it and is `new` now.
    Sysctl { key: String, old: String, new: String },
    /// An address on a TUN. It goes with the device, unless the device outlives us.
    Address { dev: String, address: String },
    /// `ip rule add from FROM lookup TABLE priority TABLE`.
    Rule { from: IpAddr, table: u32 },
    /// Routes in a table of our own.
    Table { v6: bool, table: u32 },
    /// An nft table of our own.
    Nat { v6: bool, table: String },
}

impl Step {
    /// Takes the change back. That it is gone already is not an error.
    fn undo(&self) -> Result<()> {
        let family = |v6: &bool| if *v6 { "-6" } else { "-4" };
        let result = match self {
            Self::Reserve { .. } => Ok(()),
            Self::Sysctl { key, old, new } => match sysctl::read(key) {
                // Somebody else has set it since: theirs is the later word.
                Some(now) if now == *new => sysctl::write(key, old),
                _ => Ok(()),
            },
            Self::Address { dev, address } => {
                ip(&["address", "delete", address, "dev", dev]).map(drop)
            }
            Self::Rule { from, table } => {
                let table = table.to_string();
                let from_host = Prefix::host(*from).to_string();
                let family = family(&from.is_ipv6());
                ip(&[
                    family, "rule", "delete", "from", &from_host, "lookup", &table, "priority",
                    &table,
                ])
                .map(drop)
            }
            Self::Table { v6, table } => {
                ip(&[family(v6), "route", "flush", "table", &table.to_string()]).map(drop)
            }
            Self::Nat { v6, table } => {
                run("nft", &["delete", "table", nft_family(*v6), table], None).map(drop)
            }
        };
        result.or_else(|e| if is_gone(&e) { Ok(()) } else { Err(e) })
    }
}

/// nft's name of the family.
pub(crate) const fn nft_family(v6: bool) -> &'static str {
    if v6 { "ip6" } else { "ip" }
}

/// Whether the command failed because there was nothing to remove.
fn is_gone(e: &NetError) -> bool {
    const GONE: [&str; 7] = [
        "No such",
        "Cannot find device",
        "Cannot assign requested address",
        "FIB table does not exist",
        "does not exist",
        "address not found",
        "not found",
    ];
    e.kind == ErrorKind::Command && GONE.iter().any(|g| e.because.contains(g))
}

/// What one file says.
#[derive(Debug)]
struct Record {
    path: PathBuf,
    header: Header,
    steps: Vec<Step>,
    /// Set when the owner is dead; holds the lock.
    dead: Option<File>,
}

/// A header and the steps of a text. A torn last line is a change that was not made.
fn parse(text: &str) -> Option<(Header, Vec<Step>)> {
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next()?).ok()?;
    let steps = lines.map_while(|l| serde_json::from_str(l).ok()).collect();
    (header.schema == SCHEMA).then_some((header, steps))
}

fn read_all(lock: &StateLock) -> Vec<Record> {
    let Ok(dir) = std::fs::read_dir(&lock.dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = dir
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|x| x == "journal"))
        .collect();
    paths.sort();
    paths.iter().filter_map(|p| read_one(p)).collect()
}

fn read_one(path: &Path) -> Option<Record> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let dead = file.try_lock().is_ok();
    let Some((header, steps)) = parse(&text) else {
        // Its owner died before the first line was out, so it did nothing.
        if dead {
            let _ = std::fs::remove_file(path);
        }
        return None;
    };
    Some(Record { path: path.to_owned(), header, steps, dead: dead.then_some(file) })
}

/// Undoes `steps`, the last one first, but for sysctls that one of `others` still needs. All are
/// tried; the first error is the result.
fn undo_steps(steps: &[Step], others: &[Step]) -> Result<()> {
    let needed = |step: &Step| match step {
        Step::Sysctl { key, .. } => original_value(others, key).is_some(),
        _ => false,
    };
    let undone = steps.iter().rev().filter(|s| !needed(s)).map(Step::undo);
    undone.fold(Ok(()), Result::and)
}

/// The value `key` had before any of `steps` changed it.
fn original_value<'a>(steps: &'a [Step], key: &str) -> Option<&'a str> {
    steps.iter().find_map(|s| match s {
        Step::Sysctl { key: k, old, .. } if k == key => Some(old.as_str()),
        _ => None,
    })
}

/// The journal of a living set of paths.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    netns: NetnsId,
    steps: Vec<Step>,
}

impl Journal {
    /// A new, empty journal of this process, for the namespace of this thread.
    pub(crate) fn create(lock: &StateLock) -> Result<Self> {
        let pid = std::process::id();
        let mut n = 0u32;
        let (path, mut file) = loop {
            let path = lock.dir.join(format!("paths-{pid}-{n}.journal"));
            let open =
                OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
            match open {
                Ok(file) => break (path, file),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && n < 65536 => n += 1,
                Err(e) => return Err(write_error(&path, &e)),
            }
        };
        file.try_lock().map_err(|e| write_error(&path, &e.into()))?;
        let netns = NetnsId::current()?;
        let header =
            Header { schema: SCHEMA.to_owned(), pid, start_time: start_time().unwrap_or(0), netns };
        write_line(&path, &mut file, &header)?;
        Ok(Self { path, file, netns, steps: Vec::new() })
    }

    /// A name for tables, unique among the living: `mpuser-PID-N`.
    pub(crate) fn unique_name(&self) -> String {
        let stem = self.path.file_stem().and_then(|s| s.to_str()).unwrap_or("paths-0");
        stem.replacen("paths", "mpuser", 1)
    }

    /// Writes `step` down. The caller makes the change only after this returned.
    pub(crate) fn add(&mut self, step: Step) -> Result<()> {
        write_line(&self.path, &mut self.file, &step)?;
        self.steps.push(step);
        Ok(())
    }

    /// Sets a sysctl, remembering the value from before anybody of ours changed it.
    pub(crate) fn set_sysctl(&mut self, lock: &StateLock, key: &str, new: &str) -> Result<()> {
        let Some(now) = sysctl::read(key) else { return Ok(()) };
        let others = self.live_others(lock);
        let theirs = original_value(&others, key).map(str::to_owned);
        if original_value(&self.steps, key).is_some() || (now == new && theirs.is_none()) {
            return Ok(());
        }
        let old = theirs.unwrap_or(now);
        self.add(Step::Sysctl { key: key.to_owned(), old, new: new.to_owned() })?;
        sysctl::write(key, new)
    }

    /// The steps of every other living journal of this namespace.
    pub(crate) fn live_others(&self, lock: &StateLock) -> Vec<Step> {
        read_all(lock)
            .into_iter()
            .filter(|r| r.dead.is_none() && r.header.netns == self.netns && r.path != self.path)
            .flat_map(|r| r.steps)
            .collect()
    }

    /// Takes everything back. After an error the file stays for [`recover`].
    pub(crate) fn undo(&mut self, lock: &StateLock) -> Result<()> {
        undo_steps(&self.steps, &self.live_others(lock))?;
        self.steps.clear();
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(write_error(&self.path, &e)),
            _ => Ok(()),
        }
    }
}

fn write_error(path: &Path, e: &std::io::Error) -> NetError {
    NetError::io(format!("cannot write the journal {}", path.display()), e)
}

fn write_line(path: &Path, file: &mut File, what: &impl Serialize) -> Result<()> {
    let mut line =
        serde_json::to_string(what).map_err(|e| write_error(path, &std::io::Error::other(e)))?;
    line.push('\n');
    file.write_all(line.as_bytes()).map_err(|e| write_error(path, &e))
}

/// When this process started, in clock ticks since boot.
fn start_time() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may itself hold spaces and parentheses.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// What became of what dead processes left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// What was taken back, in words, a line for each process.
    pub done: Vec<String>,
    /// Why the rest was not. It stays written down for whoever comes by next.
    pub left: Vec<NetError>,
}

/// Undoes what dead processes left behind.
pub(crate) fn recover(lock: &StateLock) -> Result<Recovered> {
    let here = NetnsId::current()?;
    let all = read_all(lock);
    let mut recovered = Recovered::default();
    for record in all.iter().filter(|r| r.dead.is_some()) {
        let (pid, n) = (record.header.pid, record.steps.len());
        match recover_one(record, &all, &here) {
            Ok(false) => {}
            Ok(true) => recovered.done.push(format!(
                "took back {n} changes of process {pid}, which died without doing so"
            )),
            Err(e) => recovered.left.push(e),
        }
    }
    Ok(recovered)
}

/// False where it is for somebody else to do.
fn recover_one(record: &Record, all: &[Record], here: &NetnsId) -> Result<bool> {
    let alive_there = |r: &&Record| r.dead.is_none() && r.header.netns == record.header.netns;
    let others: Vec<Step> =
        all.iter().filter(alive_there).flat_map(|r| r.steps.iter().cloned()).collect();
    if record.header.netns == *here {
        undo_steps(&record.steps, &others)?;
    } else if let Some(ns) = find(&record.header.netns) {
        ns.run(|| undo_steps(&record.steps, &others))??;
    } else if in_use(&record.header.netns) {
        // An unnamed namespace: whoever is in it comes by here, too.
        return Ok(false);
    }
    std::fs::remove_file(&record.path).map_err(|e| write_error(&record.path, &e))?;
    Ok(true)
}

/// The named namespace with this identity.
fn find(id: &NetnsId) -> Option<Netns> {
    named_namespaces()
        .iter()
        .filter_map(|n| Netns::named(n).ok())
        .find(|ns| ns.id().is_ok_and(|i| i == *id))
}

/// Whether any process is in the namespace. Its inode alone does not tell: a younger namespace may have it by now.
fn in_use(id: &NetnsId) -> bool {
    let link = format!("net:[{}]", id.inode);
    let Ok(proc) = std::fs::read_dir("/proc") else { return true };
    proc.flatten()
        .map(|e| e.path().join("ns/net"))
        .filter(|p| std::fs::read_link(p).is_ok_and(|l| l.as_os_str() == link.as_str()))
        .find_map(|p| Netns::open_path(&p).and_then(|ns| ns.id()).ok())
        .is_some_and(|there| there == *id)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
