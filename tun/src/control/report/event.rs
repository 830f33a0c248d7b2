//! Events in the words of `ip mptcp monitor`.

use mpuser_engine::addr::{FourTuple, IpAddr, SocketAddr, SubflowId};
use mpuser_engine::{ConnectionInfo, Event, SubflowEnd};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Something that happened. Its `Display` is a line of `ip mptcp monitor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReport {
    /// When, microseconds since the Unix epoch.
    pub time_us: u64,
    /// What: `CREATED`, `ESTABLISHED`, `CLOSED`, `ANNOUNCED`, `REMOVED`, `SF_ESTABLISHED`, `SF_CLOSED`, `SF_PRIO`,
    /// `LISTENER_CREATED`, `LISTENER_CLOSED`; beyond the kernel's `SF_STALE` and `FALLBACK`.
    pub event: String,
    /// This end's token, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// The other end's address identifier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remid: Option<u8>,
    /// This end's address identifier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub locid: Option<u8>,
    /// This end's address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub saddr: Option<IpAddr>,
    /// The other end's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub daddr: Option<IpAddr>,
    /// This end's port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sport: Option<u16>,
    /// The other end's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dport: Option<u16>,
    /// The subflow is a backup.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backup: Option<bool>,
    /// The peer's reason for a reset (RFC 8684 3.6).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reset_reason: Option<u8>,
    /// The subflow makes no progress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stale: Option<bool>,
    /// Why the connection is plain TCP from here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The connection was not opened by this end.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub server_side: bool,
}

impl fmt::Display for EventReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:>14}]", self.event)?;
        if let Some(token) = &self.token {
            write!(f, " token={token:0>8}")?;
        }
        let number = |f: &mut fmt::Formatter<'_>, key: &str, value: Option<u16>| {
            value.map_or(Ok(()), |value| write!(f, " {key}={value}"))
        };
        let address = |f: &mut fmt::Formatter<'_>, key: &str, value: Option<IpAddr>| {
            value.map_or(Ok(()), |value| {
                let family = if value.is_ipv4() { 4 } else { 6 };
                write!(f, " {key}{family}={value}")
            })
        };
        number(f, "remid", self.remid.map(u16::from))?;
        number(f, "locid", self.locid.map(u16::from))?;
        address(f, "saddr", self.saddr)?;
        address(f, "daddr", self.daddr)?;
        number(f, "sport", self.sport)?;
        number(f, "dport", self.dport)?;
        number(f, "backup", self.backup.map(u16::from))?;
        number(f, "reset_reason", self.reset_reason.map(u16::from))?;
        number(f, "stale", self.stale.map(u16::from))?;
        if let Some(reason) = &self.reason {
            write!(f, " reason={reason}")?;
        }
        if self.server_side {
            f.write_str(" server_side")?;
        }
        Ok(())
    }
}

impl EventReport {
    /// What an event of a connection is in the kernel's words; none for what it does not tell.
    pub(crate) fn of(at: Duration, event: &Event, info: &ConnectionInfo) -> Vec<Self> {
        let about = |word: &str| Self {
            time_us: micros(at),
            event: word.to_owned(),
            token: Some(format!("{:x}", info.token.0)),
            ..Self::default()
        };
        let of_subflow = |word: &str, id: SubflowId| about(word).on(info, id);
        let one = match event {
            Event::Established { mptcp: true, .. } => {
                let first = info.subflows.first().map_or(SubflowId(0), |subflow| subflow.id);
                let side = |word| Self {
                    server_side: !info.client,
                    backup: None,
                    ..of_subflow(word, first)
                };
                return vec![side("CREATED"), side("ESTABLISHED")];
            }
            // the first one is part of ESTABLISHED
            Event::SubflowEstablished { subflow, .. } => {
                if info.subflows.iter().find(|s| s.id == *subflow).is_none_or(|s| !s.join) {
                    return Vec::new();
                }
                of_subflow("SF_ESTABLISHED", *subflow)
            }
            Event::SubflowClosed { subflow, tuple, cause } => Self {
                reset_reason: reset_reason(*cause),
                ..of_subflow("SF_CLOSED", *subflow).between(tuple)
            },
            Event::SubflowPriority { subflow, backup } => {
                Self { backup: Some(*backup), ..of_subflow("SF_PRIO", *subflow) }
            }
            Event::SubflowStale { subflow, stale } => {
                Self { stale: Some(*stale), ..of_subflow("SF_STALE", *subflow) }
            }
            Event::AddressAnnounced { id, address } => Self {
                remid: Some(id.0),
                daddr: Some(address.ip()),
                dport: Some(address.port()),
                ..about("ANNOUNCED")
            },
            Event::AddressRemoved { id } => Self { remid: Some(id.0), ..about("REMOVED") },
            Event::Fallback(reason) => {
                Self { reason: Some(reason.as_str().to_owned()), ..about("FALLBACK") }
            }
            Event::Closed(_) => about("CLOSED"),
            _ => return Vec::new(),
        };
        vec![one]
    }

    /// A listener was made, or is gone.
    pub(crate) fn listener(at: Duration, created: bool, local: SocketAddr) -> Self {
        let word = if created { "LISTENER_CREATED" } else { "LISTENER_CLOSED" };
        Self {
            time_us: micros(at),
            event: word.to_owned(),
            saddr: Some(local.ip()),
            sport: Some(local.port()),
            ..Self::default()
        }
    }

    fn on(self, info: &ConnectionInfo, id: SubflowId) -> Self {
        let Some(subflow) = info.subflows.iter().find(|subflow| subflow.id == id) else {
            return self;
        };
        Self {
            locid: Some(subflow.ids.0.0),
            remid: Some(subflow.ids.1.0),
            backup: Some(subflow.backup),
            ..self.between(&subflow.tuple)
        }
    }

    fn between(self, tuple: &FourTuple) -> Self {
        Self {
            saddr: Some(tuple.local.ip()),
            daddr: Some(tuple.remote.ip()),
            sport: Some(tuple.local.port()),
            dport: Some(tuple.remote.port()),
            ..self
        }
    }
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

const fn reset_reason(cause: SubflowEnd) -> Option<u8> {
    match cause {
        SubflowEnd::ResetByPeer(Some(reset)) => Some(reset.reason.code()),
        SubflowEnd::ResetHere(reason) => Some(reason.code()),
        _ => None,
    }
}
