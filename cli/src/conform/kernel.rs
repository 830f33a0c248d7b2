//! This machine's kernel as the stack under test: alone in a namespace, behind a TUN device.

use mpuser_engine::addr::{AddressId, SocketAddr};
use mpuser_sim::conform::target::{AppError, PORT, Setup, Target, stack_address};
use mpuser_tun::lab::peer::KernelHost;
use mpuser_tun::net::NetError;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// The identifier of the endpoint with the second address.
const SECOND: AddressId = AddressId(1);

/// A kernel with one application. It belongs to the thread that made it.
pub(crate) struct KernelTarget {
    host: KernelHost,
    buffer: Option<usize>,
}

impl KernelTarget {
    /// A kernel configured as `setup` says, in a namespace the calling thread is moved into.
    pub(crate) fn enter(setup: &Setup) -> Result<Self, NetError> {
        let mut host = KernelHost::enter(&sysctls(setup), &commands(setup))?;
        // Left alone the kernel tunes its buffers by itself.
        let buffer = (setup.receive_buffer < 4 << 20).then_some(setup.receive_buffer as usize);
        if !setup.client {
            let any = if setup.ipv6 { [0; 16].into() } else { [0; 4].into() };
            host.listen(SocketAddr::new(any, PORT), buffer)
                .map_err(|e| NetError::io("cannot listen with the kernel's MPTCP", &e))?;
        }
        Ok(Self { host, buffer })
    }
}

fn sysctls(setup: &Setup) -> Vec<(&'static str, String)> {
    let flag = |on: bool| u8::from(on).to_string();
    vec![
        // Nobody else is there to have the same address.
        ("net/ipv6/conf/all/accept_dad", flag(false)),
        ("net/ipv6/conf/default/accept_dad", flag(false)),
        ("net/mptcp/enabled", flag(true)),
        ("net/mptcp/checksum_enabled", flag(setup.checksum)),
        ("net/mptcp/allow_join_initial_addr_port", flag(!setup.deny_join_initial)),
        ("net/mptcp/close_timeout", setup.close_timeout.to_string()),
        ("net/mptcp/add_addr_timeout", setup.add_addr_timeout.to_string()),
        ("net/mptcp/blackhole_timeout", setup.blackhole_timeout.to_string()),
    ]
}

fn commands(setup: &Setup) -> Vec<String> {
    let mut lines = Vec::new();
    for index in 0..setup.addresses {
        lines.push(format!("addr add {}/24 dev DEV", stack_address(index, false)));
        if setup.ipv6 {
            lines.push(format!("addr add {}/64 dev DEV nodad", stack_address(index, true)));
        }
    }
    lines.push("route add default dev DEV".to_owned());
    if setup.ipv6 {
        lines.push("route add ::/0 dev DEV".to_owned());
    }
    let (subflows, accepted) = (setup.subflows, setup.add_addr_accepted);
    lines.push(format!("mptcp limits set subflows {subflows} add_addr_accepted {accepted}"));
    if setup.signal || setup.subflow {
        let mut line =
            format!("mptcp endpoint add {} dev DEV id {}", stack_address(1, false), SECOND.0);
        if let Some(port) = setup.signal_port {
            line.push_str(&format!(" port {port}"));
        }
        line.push_str(if setup.signal { " signal" } else { "" });
        line.push_str(if setup.subflow { " subflow" } else { "" });
        lines.push(line);
    }
    lines
}

fn app_error(error: &io::Error) -> AppError {
    match error.kind() {
        io::ErrorKind::WouldBlock => AppError::WouldBlock,
        io::ErrorKind::ConnectionReset => AppError::Reset,
        io::ErrorKind::ConnectionRefused => AppError::Refused,
        io::ErrorKind::TimedOut => AppError::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => AppError::Unreachable,
        io::ErrorKind::BrokenPipe => AppError::Pipe,
        io::ErrorKind::NotConnected => AppError::NotConnected,
        _ => AppError::Other,
    }
}

impl Target for KernelTarget {
    fn now(&self) -> Duration {
        self.host.elapsed()
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn inject(&mut self, packet: &[u8]) {
        // A packet the kernel's device refuses is a packet that never arrived.
        let _ = self.host.inject(packet);
    }

    fn next_packet(&mut self, limit: Duration) -> Option<Vec<u8>> {
        self.host.next_packet(limit)
    }

    fn connect(&mut self, remote: SocketAddr) -> Result<(), AppError> {
        self.host.connect(remote, self.buffer).map_err(|e| app_error(&e))
    }

    fn accept(&mut self) -> bool {
        self.host.accept()
    }

    fn read(&mut self, limit: usize) -> Result<Vec<u8>, AppError> {
        self.host.read(limit).map_err(|e| app_error(&e))
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, AppError> {
        self.host.write(data).map_err(|e| app_error(&e))
    }

    fn shutdown(&mut self) {
        self.host.shutdown();
    }

    fn close(&mut self) {
        self.host.close();
    }

    fn abort(&mut self) {
        self.host.abort();
    }

    fn delete_endpoint(&mut self) -> Result<(), String> {
        let id = SECOND.0.to_string();
        let words = ["mptcp", "endpoint", "delete", "id", &id];
        self.host.ip(&words).map_err(|error| error.because)
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let own = |name: &str| {
            name.strip_prefix("MPTcpExt").or_else(|| name.strip_prefix("TcpExt")).map(str::to_owned)
        };
        let all = self.host.counters().unwrap_or_default();
        all.into_iter().filter(|(_, v)| *v > 0).filter_map(|(n, v)| Some((own(&n)?, v))).collect()
    }
}
