//! UDP and echo requests of a program, passed on by the kernel's sockets of this machine.
//!
//! Each pair of addresses has a socket of its own, connected, so that only who was asked can answer. One that is quiet is
//! forgotten; of too many, the one quiet for longest. Of too many echo requests, the oldest.

use super::Report;
use super::echoes::Echoes;
use super::gate::Others;
use super::packet::{self, Sent, Why};
use super::resolver::DNS;
use bytes::Bytes;
use mpuser_tun::clock;
use mpuser_tun::device::{Device as _, PlainTun};
use smoltcp::wire::IpProtocol;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// How long a pair of addresses is remembered without a datagram: RFC 4787 asks for two minutes at least.
const QUIET: Duration = Duration::from_secs(150);
/// Most pairs at once.
const MOST: usize = 1_024;
/// How long an echo may take.
const ECHO: Duration = Duration::from_secs(10);

/// What is passed on, and how.
#[derive(Debug)]
pub(super) struct Datagrams {
    program: Program,
    others: Others,
    name_server: Option<SocketAddr>,
    flows: HashMap<(SocketAddr, SocketAddr), Flow>,
    echoes: Echoes,
    reports: mpsc::Sender<Report>,
}

/// A pair of addresses.
#[derive(Debug)]
struct Flow {
    socket: Arc<UdpSocket>,
    last: Instant,
    answers: AbortHandle,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// The way back.
#[derive(Clone, Debug)]
struct Program {
    device: Arc<PlainTun>,
    near: [IpAddr; 2],
}

impl Program {
    /// A packet to the program; one the device does not take is lost.
    fn tell(&self, packet: Option<Vec<u8>>) {
        if let Some(packet) = packet {
            let _ = self.device.send(clock::now(), &packet, &[], None);
        }
    }

    /// A datagram of `from` to `to` reaches nobody.
    fn lost(&self, from: SocketAddr, to: SocketAddr, error: &io::Error) {
        use io::ErrorKind as Kind;
        let why = match error.kind() {
            Kind::ConnectionRefused => Why::Port,
            Kind::HostUnreachable => Why::Host,
            Kind::NetworkUnreachable => Why::Net,
            _ => return,
        };
        let mut quoted = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        quoted.extend([0, 8, 0, 0]);
        let ends = (from.ip(), to.ip());
        self.tell(packet::unreachable(self.near, ends, IpProtocol::Udp, &quoted, why));
    }
}

impl Datagrams {
    pub(super) fn new(
        device: Arc<PlainTun>,
        others: Others,
        near: [IpAddr; 2],
        name_server: Option<SocketAddr>,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let program = Program { device, near };
        let (flows, echoes) = (HashMap::new(), Echoes::default());
        Self { program, others, name_server, flows, echoes, reports }
    }

    /// Passes on what comes, for as long as anything can come.
    pub(super) async fn serve(&mut self) {
        while let Some(packet) = self.others.recv().await {
            match packet::read(&packet) {
                Some(Sent::Udp { from, to, payload }) => self.udp(from, to, payload).await,
                Some(Sent::Echo { from, to, rest }) => self.echo(from, to, packet.slice_ref(rest)),
                None => {}
            }
        }
    }

    /// Whom a datagram to `to` is for.
    fn real(&self, to: SocketAddr) -> Option<SocketAddr> {
        match self.program.near.contains(&to.ip()) {
            true => self.name_server.filter(|_| to.port() == DNS),
            false => Some(to),
        }
    }

    async fn udp(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let Some(real) = self.real(to) else {
            return self.program.lost(from, to, &io::ErrorKind::ConnectionRefused.into());
        };
        let now = Instant::now();
        if !self.flows.contains_key(&(from, to)) {
            self.make_room(now);
            match open(real).await {
                Ok(socket) => {
                    let socket = Arc::new(socket);
                    let answers = answer(self.program.clone(), Arc::clone(&socket), (from, to));
                    let answers = tokio::spawn(answers).abort_handle();
                    self.flows.insert((from, to), Flow { socket, last: now, answers });
                }
                Err(error) => return self.program.lost(from, to, &error),
            }
        }
        if let Some(flow) = self.flows.get_mut(&(from, to)) {
            flow.last = now;
            // not `try_send`: a socket that was just made is not known to be ready
            if let Err(error) = flow.socket.send(payload).await {
                self.program.lost(from, to, &error);
            }
        }
    }

    /// Forgets the quiet ones, and the quietest when there are too many.
    fn make_room(&mut self, now: Instant) {
        if self.flows.len() < MOST / 2 {
            return;
        }
        self.flows.retain(|_, flow| now.saturating_duration_since(flow.last) < QUIET);
        if self.flows.len() >= MOST {
            let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.last).map(|(key, _)| *key);
            oldest.map(|key| self.flows.remove(&key));
        }
    }

    /// Asks on the program's behalf, and gives it the answer if one comes.
    fn echo(&mut self, from: IpAddr, to: IpAddr, rest: Bytes) {
        let program = self.program.clone();
        if program.near.contains(&to) {
            return program.tell(packet::echo_reply(to, from, &rest));
        }
        let given_up = self.echoes.start(async move {
            if let Ok(Ok(answer)) = timeout(ECHO, ping(to, &rest)).await {
                program.tell(packet::echo_reply(to, from, &answer));
            }
        });
        // a flood is told of now and then
        if let Some(given_up) = given_up.filter(|count| count.is_power_of_two()) {
            let _ = self.reports.try_send(Report::EchoesGivenUp { given_up });
        }
    }
}

/// A socket that speaks to `to` alone.
async fn open(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// Gives the program what comes back.
async fn answer(program: Program, socket: Arc<UdpSocket>, (from, to): (SocketAddr, SocketAddr)) {
    let mut buffer = vec![0; usize::from(super::MTU)];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => {
                program.tell(packet::udp(to, from, buffer.get(..length).unwrap_or_default()));
            }
            Err(error) => program.lost(from, to, &error),
        }
    }
}

/// Sends an echo request with this `rest` (identifier, number, data), and waits for the answer's.
async fn ping(to: IpAddr, rest: &[u8]) -> io::Result<Vec<u8>> {
    let (domain, protocol, kinds) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, (8, 0)),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, (128, 129)),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let mut request = [&[kinds.0, 0, 0, 0], rest].concat();
    // with IPv6 the kernel fills it in
    let sum = packet::checksum(&request).to_be_bytes();
    request.get_mut(2..4).into_iter().for_each(|place| place.copy_from_slice(&sum));
    socket.send(&request).await?;
    let mut answer = vec![0; usize::from(super::MTU)];
    loop {
        let length = socket.recv(&mut answer).await?;
        let packet = answer.get(..length).unwrap_or_default();
        // an IPv4 header comes along
        let header =
            if to.is_ipv4() { packet.first().map_or(0, |b| usize::from(b & 15) * 4) } else { 0 };
        let message = packet.get(header..).unwrap_or_default();
        let ours = message.first() == Some(&kinds.1) && message.get(4..8) == rest.get(..4);
        if let Some(rest) = message.get(4..).filter(|_| ours) {
            return Ok(rest.to_vec());
        }
    }
}
