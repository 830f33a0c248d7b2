//! A program that knows nothing of Multipath TCP, in a network namespace whose only way out is a TUN device: a stack of
//! ours ends every TCP connection there, and each goes on over all paths of the machine.
//!
//! The program's connection is answered when the other one is there, and refused when it is refused: its `connect` fails
//! as it would without us. UDP goes through the kernel's sockets, and so do echo requests.

mod datagrams;
mod echoes;
mod gate;
mod packet;
pub mod resolver;
mod streams;

use gate::Gate;
pub use streams::Report;
use streams::Streams;

use crate::dial::Dialler;
use crate::relay::Limits;
use datagrams::Datagrams;
use mpuser_engine::addr::InterfaceId;
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_tun::device::PlainTun;
use mpuser_tun::net::CellAddress;
use mpuser_tun::{Interceptor, PathConfig, Stack};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// The largest packet between program and stack, bytes: it never leaves the machine, and the fewer the better.
pub const MTU: u16 = 65_535;
/// Connections that may wait for the other end at once.
const WAITING: usize = 1_024;
/// Connections at once.
const CONNECTIONS: usize = 16_384;

/// The program's addresses: from the range for benchmarks (RFC 2544), and a unique local one (RFC 4193).
const PROGRAM_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const PROGRAM_V6: Ipv6Addr = Ipv6Addr::new(0xfd83, 0x6d70, 0x7573, 1, 0, 0, 0, 2);
/// The addresses of our end; name servers stand behind them.
const NEAR_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const NEAR_V6: Ipv6Addr = Ipv6Addr::new(0xfd83, 0x6d70, 0x7573, 1, 0, 0, 0, 1);

/// The addresses of the device inside; `families` says whether there is a way out with IPv4 and with IPv6.
#[must_use]
pub fn addresses(families: (bool, bool)) -> [CellAddress; 2] {
    [
        CellAddress { address: PROGRAM_V4.into(), prefix_len: 30, route: families.0 },
        CellAddress { address: PROGRAM_V6.into(), prefix_len: 126, route: families.1 },
    ]
}

/// The address of our end that a program inside finds its name server at.
pub const NAME_SERVER: IpAddr = IpAddr::V4(NEAR_V4);

/// What a program's packets are given to.
#[derive(Debug)]
pub struct Outlet {
    streams: Streams,
    datagrams: Datagrams,
    /// Ends with it.
    _stack: Stack,
}

/// What is wanted of a program's connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// The name server behind [`NAME_SERVER`].
    pub name_server: Option<SocketAddr>,
    /// When to end a connection.
    pub limits: Limits,
}

impl Outlet {
    /// Serves the device of a program: TCP goes on by `dialler`. What becomes of connections is told to
    /// `reports`.
    ///
    /// # Errors
    /// As [`mpuser_tun::StackBuilder::build`].
    pub fn start(
        device: PlainTun,
        dialler: Dialler,
        wishes: Wishes,
        reports: mpsc::Sender<Report>,
    ) -> io::Result<Self> {
        let device = Arc::new(device);
        let (gate, others) = Gate::new(Arc::clone(&device));
        let max_connections = CONNECTIONS;
        let endpoint = EndpointConfig { max_connections, ..EndpointConfig::default() };
        // the program's own kernel is at the other end, not the network
        let config = ConnectionConfig { mptcp: false, nagle: false, ..ConnectionConfig::default() };
        let path = PathConfig::new(gate, NEAR_V4.into()).address(NEAR_V6.into()).name("program");
        let stack = Stack::builder().endpoint(endpoint).path(path).build()?;
        let interceptor = Interceptor::start(&stack, InterfaceId(0), config, WAITING)?;
        let near = [IpAddr::V4(NEAR_V4), IpAddr::V6(NEAR_V6)];
        let streams = Streams {
            interceptor,
            dialler,
            device: Arc::clone(&device),
            near,
            wishes,
            active: watch::Sender::new(0),
            reports: reports.clone(),
        };
        let datagrams = Datagrams::new(device, others, near, wishes.name_server, reports);
        Ok(Self { streams, datagrams, _stack: stack })
    }

    /// Serves for as long as it is polled. Ends only with an error. Cancel safe: connections go on.
    ///
    /// # Errors
    /// The stack was shut down.
    pub async fn serve(&mut self) -> io::Result<()> {
        tokio::select! {
            served = self.streams.serve() => served,
            () = self.datagrams.serve() => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Waits until no connection of the program is left, and what it wrote has arrived.
    pub fn idle(&self) -> impl Future<Output = ()> + use<> {
        let mut active = self.streams.active.subscribe();
        async move {
            // an error means that nothing is left to count
            let _ = active.wait_for(|count| *count == 0).await;
        }
    }
}
