//! Subflows in byte streams, for ways on which TCP options do not survive: through proxies that end TCP.
//!
//! A path of this kind has no device. The engine's packets for one four-tuple become frames of one stream and frames
//! become packets (`lane`; the layout is docs/framing.md), so that the engine, captures and logs see packets as always.
//! The addresses of this end are made up, one for each path, from the ranges for benchmarks (RFC 2544, RFC 5180), which
//! nobody routes; the other end's is that of the proxy.

mod accept;
mod dial;
#[cfg(feature = "internals")]
pub mod internals;
mod lane;
mod url;

pub(crate) use accept::accept;
pub(crate) use dial::{DialError, Dialer};
pub use url::{HostPort, ProxyUrl, Scheme};

use crate::stack::Shared;
use lane::{Lane, Run};
use mpuser_engine::Transmit;
use mpuser_engine::addr::{FourTuple, InterfaceId, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use mpuser_engine::wire::IpHeader;
use mpuser_engine::wire::frame::{Frame, MAX_PAYLOAD};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

/// A proxy on the way to a server's streams.
#[derive(Clone, Debug)]
pub struct StreamVia {
    /// How it is spoken to.
    pub url: ProxyUrl,
    /// Its address, as its name was looked up.
    pub proxy: SocketAddr,
    /// Where the proxy is to lead: the address and port the server takes streams on.
    pub server: HostPort,
    /// The port the connection is for, which the server listens on.
    pub port: u16,
}

/// Something about a path that is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathNote {
    /// The path's name.
    pub path: String,
    /// What is the matter.
    pub cause: String,
    /// What may help.
    pub help: String,
}

/// The largest packet of a path: over IPv4 without options its payload fills a frame.
pub(crate) const MTU: u16 = (MAX_PAYLOAD + 40) as u16;

/// The addresses of the path with this number.
pub(crate) fn addresses(number: InterfaceId) -> [IpAddr; 2] {
    let [high, low] = number.0.to_be_bytes();
    let v4 = Ipv4Addr::new(198, 18 | (high >> 7), high << 1 | (low >> 7), (low & 0x7f) + 1);
    let v6 = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, number.0.wrapping_add(1));
    [v4.into(), v6.into()]
}

/// The streams of one path.
#[derive(Debug)]
pub(crate) struct Streams {
    name: String,
    interface: InterfaceId,
    shared: Weak<Shared>,
    runtime: Handle,
    /// Makes streams; without, they come in.
    dialer: Option<Dialer>,
    lanes: Mutex<BTreeMap<FourTuple, Arc<Lane>>>,
}

impl Streams {
    pub(crate) fn new(
        name: String,
        interface: InterfaceId,
        shared: Weak<Shared>,
        runtime: Handle,
        dialer: Option<Dialer>,
    ) -> Self {
        Self { name, interface, shared, runtime, dialer, lanes: Mutex::default() }
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<FourTuple, Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What makes its streams, if they are made here.
    pub(crate) const fn dialer(&self) -> Option<&Dialer> {
        self.dialer.as_ref()
    }

    pub(crate) const fn interface(&self) -> InterfaceId {
        self.interface
    }

    /// No stream is under way.
    pub(crate) fn is_silent(&self) -> bool {
        self.lanes().is_empty()
    }

    /// Takes a packet of the engine; false when it has no stream. The first SYN of a four-tuple makes one.
    pub(crate) fn send(self: &Arc<Self>, headers: &[u8], transmit: &Transmit) -> bool {
        let Some((tuple, head)) = Frame::head_of(headers, transmit.payload.len()) else {
            return false;
        };
        let (syn, last) = kind(headers);
        let lane = self.lanes().get(&tuple).cloned();
        let lane = match (lane, &self.dialer) {
            (Some(lane), _) => lane,
            (None, Some(dialer)) if syn => {
                let Some(shared) = self.shared.upgrade() else { return false };
                let Some(run) = self.run(shared, tuple, None) else { return false };
                let lane = Arc::clone(&run.lane);
                self.runtime.spawn(run.connect(dialer.clone()));
                lane
            }
            _ => return false,
        };
        lane.push(head, transmit.payload.clone(), last);
        true
    }

    /// A stream for this four-tuple; `None` when there is one.
    fn run(
        self: &Arc<Self>,
        shared: Arc<Shared>,
        tuple: FourTuple,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<Run> {
        let mut lanes = self.lanes();
        if lanes.contains_key(&tuple) {
            return None;
        }
        let lane = Arc::new(Lane::default());
        lanes.insert(tuple, Arc::clone(&lane));
        Some(Run { shared, streams: Arc::clone(self), tuple, lane, place })
    }

    /// The stream is gone.
    fn forget(&self, tuple: &FourTuple, lane: &Arc<Lane>) {
        let mut lanes = self.lanes();
        if lanes.get(tuple).is_some_and(|known| Arc::ptr_eq(known, lane)) {
            lanes.remove(tuple);
        }
    }

    /// The subflow of this four-tuple is over: so is its stream, once all is written.
    pub(crate) fn close(&self, tuple: &FourTuple) {
        if let Some(lane) = self.lanes().get(tuple) {
            lane.close();
        }
    }

    /// Every stream ends once all is written.
    pub(crate) fn close_all(&self) {
        self.lanes().values().for_each(|lane| lane.close());
    }
}

/// An opening SYN; a RST.
fn kind(headers: &[u8]) -> (bool, bool) {
    let ip = IpHeader::parse_beginning(headers).ok();
    let segment = ip.and_then(|ip| headers.get(ip.header_len..)).unwrap_or_default();
    let parsed = mpuser_engine::wire::TcpHeader::parse(segment).ok();
    parsed.map_or((false, false), |(tcp, _)| (tcp.flags.syn && tcp.ack.is_none(), tcp.flags.rst))
}
