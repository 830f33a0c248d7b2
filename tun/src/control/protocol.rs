//! What goes over the control socket.

use super::report::{
    CounterReport, EndpointReport, EventReport, PathReport, SettingReport, SocketReport,
};
use crate::net::NetError;
use crate::stack::Multipath;
use mpuser_engine::addr::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// What a client asks for; one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Who is there? One `hello`.
    Hello,
    /// Every connection and listener: a `socket` each.
    Sockets,
    /// Every counter: a `counter` each.
    Counters,
    /// Every path: a `path` each.
    Paths,
    /// Events as they happen: an `event` each, and `missed` where the client was too slow. Ends with the process.
    Monitor,
    /// A command in `ip mptcp`'s grammar: `endpoint ...` or `limits ...`. Lists answer with an `endpoint` each or one
    /// `limits`.
    Mptcp {
        /// The command.
        line: String,
    },
    /// Opens, closes or changes one subflow by hand.
    Subflow {
        /// The connection: this end's token, hexadecimal.
        token: String,
        /// What to do.
        order: SubflowOrder,
    },
    /// Every setting: a `setting` each.
    Settings,
    /// Changes a setting; answered by one `changed`.
    Set {
        /// Its name, or an alias.
        name: String,
        /// What it is to be.
        value: String,
    },
    /// Lets connections use an interface, or keeps them from it.
    Multipath {
        /// The interface.
        dev: String,
        /// On, off, backup.
        state: Multipath,
    },
}

/// What is to be done with a subflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubflowOrder {
    /// Opens one between these addresses.
    Open {
        /// One of this end's addresses.
        local: IpAddr,
        /// Where to.
        remote: SocketAddr,
    },
    /// Closes the one of this number.
    Close(u32),
    /// Leads the connection through another forwarder, too.
    AddVia {
        /// The forwarder.
        remote: SocketAddr,
        /// One of this end's addresses, where not every one leads there.
        local: Option<IpAddr>,
    },
    /// Leads it through a proxy that ends TCP, too.
    AddStream {
        /// How the proxy is spoken to, as a person writes it.
        url: String,
        /// Its address.
        proxy: SocketAddr,
    },
    /// Leads it through this one no longer.
    RemoveVia(SocketAddr),
    /// Asks the peer to use the one of this number as backup, or no longer (MP_PRIO, RFC 8684 3.3.8).
    Backup(u32, bool),
}

/// What a process answers; one line each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// Who is there.
    Hello {
        /// Process.
        pid: u32,
        /// What it does, in the words of its command line.
        title: String,
        /// Version of mpuser.
        version: String,
        /// The network namespace, as `/proc/PID/ns/net` numbers it.
        netns: u64,
    },
    /// A connection or a listener.
    Socket(Box<SocketReport>),
    /// A counter.
    Counter(CounterReport),
    /// A path.
    Path(PathReport),
    /// An endpoint of the path manager.
    Endpoint(EndpointReport),
    /// The path manager's limits.
    Limits {
        /// Most addresses announced by the peer that subflows are opened to.
        add_addr_accepted: usize,
        /// Most subflows beside the first.
        subflows: usize,
    },
    /// A setting.
    Setting(SettingReport),
    /// A setting was changed.
    Changed {
        /// What it was.
        old: String,
        /// What it is.
        setting: SettingReport,
    },
    /// A subflow that was opened.
    Subflow {
        /// Its number.
        id: u32,
    },
    /// Something happened.
    Event(EventReport),
    /// So many events were lost: the client did not read them.
    Missed {
        /// How many.
        events: u64,
    },
    /// The answer is complete.
    Done,
    /// There is no answer; after a line that is no request the connection is closed.
    Error(Refusal),
}

/// Why a request was refused: what failed, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What failed.
    pub message: String,
    /// Why.
    pub because: String,
    /// What to do about it.
    pub help: String,
}

impl Refusal {
    /// In its three lines.
    pub fn new(
        message: impl Into<String>,
        because: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { message: message.into(), because: because.into(), help: help.into() }
    }
}

impl From<NetError> for Refusal {
    fn from(error: NetError) -> Self {
        Self { message: error.message, because: error.because, help: error.help }
    }
}
