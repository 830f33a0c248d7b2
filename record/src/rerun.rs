//! A log read, its calls made to a new endpoint, every packet compared.

use crate::digest::{Digest, hex, payload};
use crate::entry::{Entry, FORMAT, Header, Line};
use bytes::Bytes;
use mpuser_engine::addr::{AddressId, ConnectionId, FourTuple, InterfaceId, ListenerId, SubflowId};
use mpuser_engine::config::{Limits, Via};
use mpuser_engine::settings;
use mpuser_engine::time::Instant;
use mpuser_engine::wire::{FastOpenCookie, pretty};
use mpuser_engine::{Endpoint, LocalAddress, PmEndpoint};
use std::fmt;
use std::io::{BufRead, Read as _};

/// No line is longer: the longest have the data of one write.
const LONGEST_LINE: u64 = 64 << 20;
/// The most that is read at once.
const MOST_READ: usize = 64 << 20;

/// What is wrong with a log, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct LogError {
    /// From 1.
    pub line: u64,
    /// What it is.
    #[source]
    pub problem: Problem,
}

/// What can be wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The source failed.
    #[error("cannot read on: {0}")]
    Io(#[from] std::io::Error),
    /// No line.
    #[error("the log is empty")]
    Empty,
    /// Not a line of a log.
    #[error("not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by another version.
    #[error("format {0}, but this program knows format {FORMAT} only")]
    Format(u32),
    /// A seed has 32 octets.
    #[error("the seed has {0} octets, not 32")]
    Seed(usize),
    /// Too long.
    #[error("longer than {} MiB", LONGEST_LINE >> 20)]
    Long,
    /// Time does not go back.
    #[error("the time goes back from {0} to {1} ns")]
    Time(u64, u64),
    /// There is no such setting.
    #[error("there is no setting `{0}`")]
    Setting(String),
    /// A line behind the last.
    #[error("there should be nothing behind the end")]
    BehindEnd,
}

/// How a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With its last line.
    Whole,
    /// With a note that there was no room for more.
    Full,
    /// In the middle: whoever wrote it was stopped.
    Cut,
}

/// The first packet that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of the log.
    pub line: u64,
    /// The engine's time, nanoseconds.
    pub time: u64,
    /// The field or packet concerned.
    pub what: &'static str,
    /// As recorded.
    pub expected: String,
    /// As it came.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, what, expected, found, .. } = self;
        write!(f, "line {line}: {what}: recorded {expected}, now {found}")
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerun {
    /// Lines read.
    pub lines: u64,
    /// The version of the program that wrote the log.
    pub version: String,
    /// Packets given to the endpoint.
    pub received: u64,
    /// Packets it sent.
    pub sent: u64,
    /// Calls of the application and the administrator.
    pub calls: u64,
    /// Of every packet sent, SHA-256 in hex.
    pub digest: String,
    /// How the log ended.
    pub ended: Ended,
    /// The first packet that is not as it was; nothing was done behind it.
    pub difference: Option<Difference>,
}

impl Rerun {
    /// The same packets came out, byte for byte.
    #[must_use]
    pub const fn is_identical(&self) -> bool {
        self.difference.is_none()
    }
}

/// A file that begins so is a log.
#[must_use]
pub fn is_log(beginning: &[u8]) -> bool {
    let text = beginning.trim_ascii_start();
    text.starts_with(b"{\"mpuser_record\"")
}

/// A log from memory, as [`rerun`].
///
/// # Errors
/// As [`rerun`].
pub fn parse(bytes: &[u8]) -> Result<Rerun, LogError> {
    rerun(bytes)
}

/// Makes the calls of a log once more. A log that ends within a line was cut; what is before is done.
///
/// # Errors
/// The first line that is no line of a log.
pub fn rerun(mut log: impl BufRead) -> Result<Rerun, LogError> {
    let mut text = Vec::new();
    let first = LogError { line: 1, problem: Problem::Empty };
    if !next_line(&mut log, &mut text, 1)? {
        return Err(first);
    }
    let bad = |problem| LogError { line: 1, problem };
    let header: Header = serde_json::from_slice(&text).map_err(|e| bad(e.into()))?;
    if header.mpuser_record != FORMAT {
        return Err(bad(Problem::Format(header.mpuser_record)));
    }
    let seed = <[u8; 32]>::try_from(header.seed.0.as_slice());
    let seed = seed.map_err(|_| bad(Problem::Seed(header.seed.0.len())))?;
    let mut again = Again {
        endpoint: Endpoint::new(header.config, seed),
        digest: Digest::default(),
        headers: Vec::new(),
        line: 1,
        now: Instant::ZERO,
        outcome: Rerun {
            lines: 1,
            version: header.version,
            received: 0,
            sent: 0,
            calls: 0,
            digest: String::new(),
            ended: Ended::Cut,
            difference: None,
        },
    };
    while again.outcome.difference.is_none() {
        again.line += 1;
        let line = again.line;
        if !next_line(&mut log, &mut text, line)? {
            break;
        }
        let whole = text.ends_with(b"\n");
        let bad = |problem| LogError { line, problem };
        match serde_json::from_slice::<Line>(&text) {
            Ok(_) if again.outcome.ended == Ended::Whole => return Err(bad(Problem::BehindEnd)),
            Ok(entry) => again.step(entry).map_err(bad)?,
            // whoever wrote it was stopped in the middle
            Err(error) if error.is_eof() && !whole => break,
            Err(error) => return Err(bad(error.into())),
        }
        again.outcome.lines = line;
    }
    again.outcome.digest = again.digest.text();
    Ok(again.outcome)
}

fn next_line(log: &mut impl BufRead, text: &mut Vec<u8>, line: u64) -> Result<bool, LogError> {
    text.clear();
    let read = log.by_ref().take(LONGEST_LINE).read_until(b'\n', text);
    let read = read.map_err(|error| LogError { line, problem: error.into() })?;
    if read as u64 >= LONGEST_LINE {
        return Err(LogError { line, problem: Problem::Long });
    }
    Ok(read > 0)
}

struct Again {
    endpoint: Endpoint,
    digest: Digest,
    headers: Vec<u8>,
    line: u64,
    now: Instant,
    outcome: Rerun,
}

impl Again {
    fn step(&mut self, line: Line) -> Result<(), Problem> {
        let now = Instant::from_nanos(line.t);
        if now < self.now {
            return Err(Problem::Time(self.now.as_nanos(), line.t));
        }
        self.now = now;
        match line.entry {
            Entry::Packet { interface, verified, data } => {
                self.outcome.received += 1;
                let packet = Bytes::from(data.0);
                self.endpoint.handle_received(now, InterfaceId(interface), packet, verified);
            }
            Entry::Timeout => self.endpoint.handle_timeout(now),
            Entry::Sent { interface, headers, payload, sum } => {
                self.sent(interface, &headers.0, payload, sum);
            }
            Entry::Idle => {
                if self.endpoint.poll_transmit(now, &mut self.headers).is_some() {
                    self.differs("packet", "none".to_owned(), pretty(&self.headers));
                }
            }
            Entry::Events { count } => {
                let found = std::iter::from_fn(|| self.endpoint.poll_event()).count() as u64;
                if found != count {
                    self.differs("events", count.to_string(), found.to_string());
                }
            }
            Entry::Full => self.outcome.ended = Ended::Full,
            Entry::End { packets, digest } => self.end(packets, &digest),
            call => {
                self.outcome.calls += 1;
                return self.call(call);
            }
        }
        Ok(())
    }

    /// The last line: of a log that was full, the digest is of what it holds.
    fn end(&mut self, packets: u64, digest: &str) {
        let found = self.digest.text();
        if packets != self.outcome.sent || digest != found {
            self.differs("digest of all packets", digest.to_owned(), found);
        }
        if self.outcome.ended != Ended::Full {
            self.outcome.ended = Ended::Whole;
        }
    }

    fn differs(&mut self, what: &'static str, expected: String, found: String) {
        let (line, time) = (self.line, self.now.as_nanos());
        let difference = Difference { line, time, what, expected, found };
        self.outcome.difference.get_or_insert(difference);
    }

    fn sent(&mut self, interface: u16, expected: &[u8], len: usize, sum: u64) {
        let mut headers = std::mem::take(&mut self.headers);
        match self.endpoint.poll_transmit(self.now, &mut headers) {
            None => self.differs("packet", pretty(expected), "none".to_owned()),
            Some(sent) => {
                self.outcome.sent += 1;
                self.digest.packet(sent.interface.0, &headers, &sent.payload);
                let same = (sent.interface.0, sent.payload.len()) == (interface, len);
                if headers != expected {
                    let at = headers.iter().zip(expected).position(|(a, b)| a != b);
                    let at = at.unwrap_or(headers.len().min(expected.len()));
                    let show = |all: &[u8]| {
                        let rest = all.get(at..).unwrap_or_default();
                        format!("{} ({} from octet {at} on)", pretty(all), hex(rest))
                    };
                    self.differs("packet", show(expected), show(&headers));
                } else if !same || payload(&sent.payload) != sum {
                    let now =
                        format!("{} octets on interface {}", sent.payload.len(), sent.interface.0);
                    self.differs("payload", format!("{len} octets on interface {interface}"), now);
                }
            }
        }
        self.headers = headers;
    }

    /// Connections to anybody.
    fn intercept(&mut self, call: Entry) {
        let (now, endpoint) = (self.now, &mut self.endpoint);
        match call {
            Entry::Intercept { config, interface, limit } => {
                let _ = endpoint.intercept(config.0, InterfaceId(interface), limit);
            }
            Entry::StopIntercepting { interface } => {
                endpoint.stop_intercepting(InterfaceId(interface));
            }
            Entry::NextRequest { interface } => {
                let _ = endpoint.next_request(InterfaceId(interface));
            }
            Entry::LetIn { local, remote } => {
                let _ = endpoint.let_in(now, &FourTuple { local, remote });
            }
            Entry::Refuse { local, remote } => endpoint.refuse(now, &FourTuple { local, remote }),
            Entry::Ignore { local, remote } => endpoint.ignore(&FourTuple { local, remote }),
            _ => {}
        }
    }

    /// What comes of a call shows in packets and events.
    fn call(&mut self, call: Entry) -> Result<(), Problem> {
        let (now, endpoint) = (self.now, &mut self.endpoint);
        match call {
            Entry::AddAddress {
                address,
                interface,
                mtu,
                backup,
                checksum_offload,
                max_payload,
            } => {
                let interface = InterfaceId(interface);
                let local =
                    LocalAddress { address, interface, mtu, backup, checksum_offload, max_payload };
                endpoint.add_address(now, local);
            }
            Entry::SetCarrier { interface } => endpoint.set_carrier(InterfaceId(interface)),
            Entry::Grant { local, remote, octets } => {
                endpoint.grant(now, &FourTuple { local, remote }, octets);
            }
            Entry::CarrierEnded { local, remote } => {
                endpoint.carrier_ended(now, &FourTuple { local, remote });
            }
            Entry::RemoveAddress { address } => endpoint.remove_address(now, address),
            Entry::Connect { config, local, remote, data } => {
                let _ = endpoint.connect_with_data(now, config.0, local, remote, &data.0);
            }
            Entry::Listen { config, local, backlog } => {
                let _ = endpoint.listen(config.0, local, backlog);
            }
            Entry::Unlisten { listener } => endpoint.unlisten(now, ListenerId(listener)),
            Entry::Accept { listener } => {
                let _ = endpoint.accept(ListenerId(listener));
            }
            Entry::Intercept { .. }
            | Entry::StopIntercepting { .. }
            | Entry::NextRequest { .. }
            | Entry::LetIn { .. }
            | Entry::Refuse { .. }
            | Entry::Ignore { .. } => self.intercept(call),
            Entry::Read { id, octets } => {
                let mut buf = vec![0; octets.clamp(1, MOST_READ)];
                let _ = endpoint.read(now, ConnectionId(id), &mut buf);
            }
            Entry::Write { id, shared: false, data } => {
                let _ = endpoint.write(now, ConnectionId(id), &data.0);
            }
            Entry::Write { id, shared: true, data } => {
                let _ = endpoint.write_bytes(now, ConnectionId(id), data.0.into());
            }
            Entry::Shutdown { id } => endpoint.shutdown(now, ConnectionId(id)),
            Entry::Close { id } => endpoint.close(now, ConnectionId(id)),
            Entry::Abort { id } => endpoint.abort(now, ConnectionId(id)),
            other => return self.administer(other),
        }
        Ok(())
    }

    fn administer(&mut self, call: Entry) -> Result<(), Problem> {
        let (now, endpoint) = (self.now, &mut self.endpoint);
        match call {
            Entry::AddEndpoint { address, id, port, flags } => {
                let (id, flags) = (id.map(AddressId), flags.into());
                let _ = endpoint.add_endpoint(now, PmEndpoint { address, id, port, flags });
            }
            Entry::DeleteEndpoint { id } => {
                let _ = endpoint.delete_endpoint(now, AddressId(id));
            }
            Entry::DeleteInitialAddress { address } => {
                endpoint.delete_initial_address(now, address);
            }
            Entry::FlushEndpoints => endpoint.flush_endpoints(now),
            Entry::ChangeEndpoint { id, flags } => {
                let _ = endpoint.change_endpoint(now, AddressId(id), flags.into());
            }
            Entry::SetLimits { subflows, add_addr_accepted } => {
                endpoint.set_limits(now, Limits { subflows, add_addr_accepted });
            }
            Entry::OpenSubflow { id, local, remote } => {
                let _ = endpoint.open_subflow(now, ConnectionId(id), local, remote);
            }
            Entry::CloseSubflow { id, subflow } => {
                let _ = endpoint.close_subflow(now, ConnectionId(id), SubflowId(subflow));
            }
            Entry::AddVia { id, remote, local } => {
                let _ = endpoint.add_via(now, ConnectionId(id), Via { remote, local });
            }
            Entry::RelocateVia { id, remote, local } => {
                let _ = endpoint.relocate_via(now, ConnectionId(id), remote, local);
            }
            Entry::RemoveVia { id, remote } => {
                let _ = endpoint.remove_via(now, ConnectionId(id), remote);
            }
            Entry::SetBackup { id, subflow, backup } => {
                let _ = endpoint.set_backup(now, ConnectionId(id), SubflowId(subflow), backup);
            }
            Entry::ChangeSetting { name, value } => {
                let setting = settings::find(&name).ok_or(Problem::Setting(name))?;
                let _ = endpoint.change_setting(setting, &value);
            }
            Entry::FastOpenCookie { server } => {
                let _ = endpoint.fast_open_cookie(server);
            }
            Entry::SetFastOpenCookie { server, cookie, mss } => {
                if let Some(cookie) = FastOpenCookie::new(&cookie.0) {
                    endpoint.set_fast_open_cookie(now, server, (cookie, mss));
                }
            }
            // all others have been seen to
            _ => {}
        }
        Ok(())
    }
}
