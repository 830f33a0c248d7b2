//! What goes to stderr while a connection lives, and what is said of it at the end.

use crate::args::{Color, Global};
use crate::units;
use mpuser_engine::{ConnectionInfo, Event, FastOpenUse, SubflowEnd, SubflowInfo};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Colours of states: green up, yellow degraded, red dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tint {
    /// Up.
    Good,
    /// Backup or degraded.
    Warn,
    /// Dead.
    Bad,
}

/// Prints to stderr in the form the user chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    /// One JSON object per line.
    pub(crate) json: bool,
    quiet: bool,
    verbose: u8,
    colored: bool,
}

impl Printer {
    /// A printer as the global flags ask for it.
    pub(crate) fn new(global: &Global) -> Self {
        let colored = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::io::stderr().is_terminal()
            }
        };
        Self { json: global.json, quiet: global.quiet, verbose: global.verbose, colored }
    }

    /// The same, printing every event.
    pub(crate) fn debug(self) -> Self {
        Self { verbose: self.verbose.max(2), ..self }
    }

    /// People are not to be told anything but errors.
    pub(crate) const fn is_mute(&self) -> bool {
        self.json || self.quiet
    }

    /// People asked for more.
    pub(crate) const fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// A line for people; not with `--json` and not with `-q`.
    pub(crate) fn line(&self, text: &str) {
        if !self.is_mute() {
            stderr_line(text);
        }
    }

    /// A line for people who asked for more.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose > 0 {
            self.line(text);
        }
    }

    /// An object for programs; only with `--json`.
    pub(crate) fn object(&self, object: &impl Serialize) {
        if self.json {
            stderr_line(&serde_json::to_string(object).unwrap_or_default());
        }
    }

    /// `text` in the colour of a state.
    pub(crate) fn tint(&self, tint: Tint, text: &str) -> String {
        if !self.colored {
            return text.to_owned();
        }
        let code = match tint {
            Tint::Good => 32,
            Tint::Warn => 33,
            Tint::Bad => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The object for a connection that was made; people get [`connected_line`].
    pub(crate) fn connected(&self, remote: &str, info: &ConnectionInfo) {
        self.object(&json!({
            "schema": "mpuser.event/1",
            "event": "connected",
            "remote": remote,
            "mptcp": info.mptcp,
            "fallback": info.fallback.map(mpuser_engine::error::FallbackReason::as_str),
            "token": info.mptcp.then(|| format!("{:08x}", info.token.0)),
        }));
    }

    /// Reports an event of a connection, `at` after its start.
    pub(crate) fn event(&self, at: Duration, event: &Event) {
        if self.json {
            if let Some(object) = event_object(at, event) {
                self.object(&object);
            }
        } else if let Some((tint, text)) = event_line(event, self.verbose) {
            self.line(&format!("+{:.3}s {}", at.as_secs_f64(), self.tint(tint, &text)));
        }
    }
}

/// One line to stderr. A closed stderr is no reason to stop moving data.
fn stderr_line(text: &str) {
    let mut line = String::with_capacity(text.len() + 1);
    line.push_str(text);
    line.push('\n');
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A result to stdout. A reader that has seen enough is no error.
pub(crate) fn stdout(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// An event as a line, if it is worth one.
fn event_line(event: &Event, verbose: u8) -> Option<(Tint, String)> {
    let line = match event {
        Event::SubflowEstablished { subflow, tuple, ids, backup } => {
            let role = if *backup { " as backup" } else { "" };
            let text =
                format!("subflow {} up{role}: {tuple} (ids {}/{})", subflow.0, ids.0.0, ids.1.0);
            (if *backup { Tint::Warn } else { Tint::Good }, text)
        }
        Event::SubflowClosed { subflow, tuple, cause } => {
            let tint = if *cause == SubflowEnd::Finished { Tint::Good } else { Tint::Bad };
            (tint, format!("subflow {} closed, {}: {tuple}", subflow.0, end_words(*cause)))
        }
        Event::SubflowStale { subflow, stale: true } => {
            (Tint::Warn, format!("subflow {} makes no progress", subflow.0))
        }
        Event::SubflowStale { subflow, stale: false } => {
            (Tint::Good, format!("subflow {} makes progress again", subflow.0))
        }
        Event::SubflowPriority { subflow, backup } => {
            let word = if *backup { "a backup" } else { "in full use" };
            (Tint::Warn, format!("the peer made subflow {} {word}", subflow.0))
        }
        Event::AddressAnnounced { id, address } => {
            (Tint::Good, format!("the peer announced {address} (id {})", id.0))
        }
        Event::AddressRemoved { id } => {
            (Tint::Warn, format!("the peer withdrew address id {}", id.0))
        }
        Event::SchedulerFailed(why) => {
            (Tint::Bad, format!("the scheduler gave up, minrtt goes on: {why}"))
        }
        Event::Fallback(reason) => {
            (Tint::Warn, format!("plain TCP from here: {}", fallback_words(*reason)))
        }
        Event::FullyEstablished if verbose > 0 => {
            (Tint::Good, "the peer confirmed MPTCP".to_owned())
        }
        // Established has a line of its own, Closed is the summary
        _ => return None,
    };
    Some(line)
}

/// An event as an object, if it is worth one.
fn event_object(at: Duration, event: &Event) -> Option<Value> {
    let mut object = match event {
        Event::SubflowEstablished { subflow, tuple, ids, backup } => json!({
            "event": "subflow_established", "subflow": subflow.0,
            "local": tuple.local.to_string(), "remote": tuple.remote.to_string(),
            "local_id": ids.0.0, "remote_id": ids.1.0, "backup": backup,
        }),
        Event::SubflowClosed { subflow, tuple, cause } => json!({
            "event": "subflow_closed", "subflow": subflow.0,
            "local": tuple.local.to_string(), "remote": tuple.remote.to_string(),
            "cause": end_words(*cause),
        }),
        Event::SubflowStale { subflow, stale } => {
            json!({ "event": "subflow_stale", "subflow": subflow.0, "stale": stale })
        }
        Event::SubflowPriority { subflow, backup } => {
            json!({ "event": "subflow_priority", "subflow": subflow.0, "backup": backup })
        }
        Event::AddressAnnounced { id, address } => {
            json!({ "event": "address_announced", "id": id.0, "address": address.to_string() })
        }
        Event::AddressRemoved { id } => json!({ "event": "address_removed", "id": id.0 }),
        Event::Fallback(reason) => json!({ "event": "fallback", "reason": reason.as_str() }),
        Event::SchedulerFailed(why) => json!({ "event": "scheduler_failed", "why": why }),
        Event::FullyEstablished => json!({ "event": "fully_established" }),
        _ => return None,
    };
    if let Value::Object(map) = &mut object {
        map.insert("schema".to_owned(), json!("mpuser.event/1"));
        map.insert("seconds".to_owned(), json!(seconds(at)));
    }
    Some(object)
}

/// How a subflow ended, in words.
pub(crate) fn end_words(end: SubflowEnd) -> String {
    let reason = |code: u8| -> &'static str {
        match code {
            1 => "an MPTCP error",
            2 => "lack of resources",
            3 => "administratively prohibited",
            4 => "too much outstanding data",
            5 => "unacceptable performance",
            6 => "middlebox interference",
            _ => "no reason given",
        }
    };
    match end {
        SubflowEnd::Finished => "finished".to_owned(),
        SubflowEnd::ResetByPeer(None) => "reset by the peer".to_owned(),
        SubflowEnd::ResetByPeer(Some(why)) => {
            let passes = if why.transient { ", may be tried again" } else { "" };
            format!("reset by the peer: {}{passes}", reason(why.reason.code()))
        }
        SubflowEnd::ResetHere(why) => format!("reset here: {}", reason(why.code())),
        SubflowEnd::Timeout => "nobody answers".to_owned(),
        SubflowEnd::AddressRemoved => "its address was removed".to_owned(),
        SubflowEnd::CarrierLost => "its stream ended".to_owned(),
    }
}

/// Why it is plain TCP, in words.
pub(crate) fn fallback_words(reason: mpuser_engine::error::FallbackReason) -> &'static str {
    use mpuser_engine::error::FallbackReason as Reason;
    match reason {
        Reason::SynWithoutCapable => "the client did not ask for MPTCP",
        Reason::SynAckWithoutCapable => {
            "the answer to the SYN carried no MP_CAPABLE: the peer speaks no MPTCP, or a middlebox took the option out"
        }
        Reason::AckWithoutCapable => "the third packet carried no MP_CAPABLE",
        Reason::NotUnderstood => "the peer speaks another version of MPTCP",
        Reason::SynTimeout => "only the SYN without MP_CAPABLE was answered",
        Reason::SynRefused => "the peer refused MPTCP SYNs and took a plain one",
        Reason::Blackhole => "MPTCP did not get through to this peer a while ago",
        Reason::NoDssInAck => "the peer acknowledged data without a DSS",
        Reason::SimultaneousOpen => "both ends opened at once",
        Reason::NoUniqueToken => "no unique key could be drawn",
        Reason::Requested => "it was asked for",
        Reason::BrokenMapping => "a mapping was broken on the only subflow",
        Reason::InfiniteMapping => "the peer sent an infinite mapping",
        Reason::ChecksumFailed => "a checksum failed on the only subflow",
        Reason::PeerFailed => "the peer reported a failed checksum (MP_FAIL)",
    }
}

/// `connected 192.168.56.101:7000 MPTCPv1 token 55c53f5d (1 subflow)`
pub(crate) fn connected_line(verb: &str, remote: &str, info: &ConnectionInfo) -> String {
    if !info.mptcp {
        let why = info.fallback.map_or("no MPTCP", fallback_words);
        return format!("{verb} {remote} plain TCP ({why})");
    }
    let open = info.subflows.iter().filter(|subflow| subflow.state == "ESTAB").count().max(1);
    let subflows = if open == 1 { "subflow" } else { "subflows" };
    format!("{verb} {remote} MPTCPv1 token {:08x} ({open} {subflows})", info.token.0)
}

/// What became of data on the SYN, in words.
fn fast_open_words(outcome: FastOpenUse) -> Option<String> {
    match outcome {
        FastOpenUse::Unused => None,
        FastOpenUse::CookieAsked => Some("fast open: the server gave no cookie".to_owned()),
        FastOpenUse::CookieGiven => {
            Some("fast open: a cookie came; the next connection can use it".to_owned())
        }
        FastOpenUse::NotTaken => {
            Some("fast open: data on the SYN was not taken, and sent again".to_owned())
        }
        FastOpenUse::Data(octets) => {
            Some(format!("fast open: {} went with the SYN", units::size(octets)))
        }
    }
}

/// A subflow's state, `stale` if it makes no progress.
pub(crate) const fn end_state(subflow: &SubflowInfo) -> &'static str {
    if subflow.stale { "stale" } else { subflow.state }
}

/// A duration in seconds with microseconds.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

/// A subflow in JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SubflowReport {
    pub(crate) id: u32,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) local_id: u8,
    pub(crate) remote_id: u8,
    pub(crate) state: &'static str,
    pub(crate) backup: bool,
    pub(crate) stale: bool,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_retrans: u64,
    pub(crate) share_sent: f64,
    pub(crate) share_received: f64,
    pub(crate) srtt_us: u64,
    pub(crate) cwnd: u64,
    pub(crate) mss: u32,
}

/// Every subflow of a connection with its share.
pub(crate) fn subflow_reports(info: &ConnectionInfo) -> Vec<SubflowReport> {
    let sent = info.subflows.iter().map(|subflow| subflow.bytes_sent).sum();
    let received = info.subflows.iter().map(|subflow| subflow.bytes_received).sum();
    let report = |subflow: &SubflowInfo| SubflowReport {
        id: subflow.id.0,
        local: subflow.tuple.local.to_string(),
        remote: subflow.tuple.remote.to_string(),
        local_id: subflow.ids.0.0,
        remote_id: subflow.ids.1.0,
        state: subflow.state,
        backup: subflow.backup,
        stale: subflow.stale,
        bytes_sent: subflow.bytes_sent,
        bytes_received: subflow.bytes_received,
        bytes_retrans: subflow.bytes_retrans,
        share_sent: units::rounded(units::share(subflow.bytes_sent, sent)),
        share_received: units::rounded(units::share(subflow.bytes_received, received)),
        srtt_us: u64::try_from(subflow.srtt.as_micros()).unwrap_or(u64::MAX),
        cwnd: subflow.cwnd,
        mss: subflow.mss,
    };
    info.subflows.iter().map(report).collect()
}

/// A finished connection in JSON; tokens are hexadecimal strings as `ss -M` prints them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConnectionReport {
    pub(crate) schema: &'static str,
    pub(crate) remote: String,
    pub(crate) mptcp: bool,
    pub(crate) fallback: Option<&'static str>,
    pub(crate) token: Option<String>,
    pub(crate) remote_token: Option<String>,
    pub(crate) checksum: bool,
    pub(crate) seconds: f64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_reinjected: u64,
    /// What became of data on the SYN.
    pub(crate) fast_open: &'static str,
    /// Octets of it that were taken.
    pub(crate) bytes_on_syn: u64,
    pub(crate) subflows: Vec<SubflowReport>,
    pub(crate) error: Option<String>,
}

impl ConnectionReport {
    /// The report of a connection that lasted `time`.
    pub(crate) fn new(
        schema: &'static str,
        remote: String,
        time: Duration,
        info: &ConnectionInfo,
    ) -> Self {
        let token = |token: u32| (info.mptcp && token != 0).then(|| format!("{token:08x}"));
        Self {
            schema,
            remote,
            mptcp: info.mptcp,
            fallback: info.fallback.map(mpuser_engine::error::FallbackReason::as_str),
            token: token(info.token.0),
            remote_token: token(info.token.1),
            checksum: info.csum_enabled,
            seconds: seconds(time),
            bytes_sent: info.bytes_sent,
            bytes_received: info.bytes_received,
            bytes_acked: info.bytes_acked,
            bytes_reinjected: info.bytes_retrans,
            fast_open: info.fast_open.as_str(),
            bytes_on_syn: if let FastOpenUse::Data(octets) = info.fast_open { octets } else { 0 },
            subflows: subflow_reports(info),
            error: info.error.map(|error| error.to_string()),
        }
    }
}

/// The summary: totals, then the share of each subflow, then what was unusual.
pub(crate) fn summary(time: Duration, info: &ConnectionInfo) -> Vec<String> {
    let mut totals = format!(
        "closed after {}: sent {} ({}), received {} ({})",
        units::time(time),
        units::size(info.bytes_sent),
        units::rate(info.bytes_sent, time),
        units::size(info.bytes_received),
        units::rate(info.bytes_received, time),
    );
    if let Some(error) = info.error {
        // writing to a String cannot fail
        let _ = write!(totals, "; {error}");
    }
    let shares = info.subflows.iter().zip(subflow_reports(info)).map(|(subflow, report)| {
        let state = if subflow.stale { " stale" } else { "" };
        format!(
            "{} {} {:.1}/{:.1} %{state}",
            subflow.id.0,
            subflow.tuple.local.ip(),
            report.share_sent * 100.0,
            report.share_received * 100.0,
        )
    });
    let shares = shares.collect::<Vec<_>>().join(", ");
    let mut lines = vec![totals, format!("subflows, share sent/received: {shares}")];
    let mut unusual = Vec::new();
    unusual.extend(fast_open_words(info.fast_open));
    if let Some(reason) = info.fallback {
        unusual.push(format!("plain TCP: {}", fallback_words(reason)));
    }
    if info.bytes_retrans > 0 {
        let part = units::share(info.bytes_retrans, info.bytes_sent);
        unusual.push(format!(
            "reinjected {} ({})",
            units::size(info.bytes_retrans),
            units::percent(part)
        ));
    }
    if !unusual.is_empty() {
        lines.push(unusual.join("; "));
    }
    lines
}

#[cfg(test)]
#[path = "output_tests.rs"]
pub(crate) mod tests;
