//! A lab whose links are emulated: rate, delay and loss from the simulator's models, packets from one TUN device to
//! another.

use super::kernel::{Meter, Transfer, Way};
use super::place::{ip, set};
use super::veth::OwnLab;
use super::{paths, veth};
use bytes::BytesMut;
use mpuser_sim::{Direction, Link, LinkConfig};
use mpuser_tun::clock;
use mpuser_tun::device::{Device as _, PlainTun, register};
use mpuser_tun::lab::{LabOptions, LabPath};
use mpuser_tun::net::TunEnd;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use tokio::io::unix::AsyncFdReadyGuard;
use tokio::sync::oneshot;

/// The links' rate, Mbit/s.
const RATE: f64 = 100.0;
/// Payload of a packet of 1500 octets: IPv4, TCP with timestamps, and a DSS.
const PAYLOAD: f64 = 1500.0 - 20.0 - 32.0 - 28.0;
/// Packets read from a device before the other one is looked at.
const BATCH: usize = 64;
/// What a transfer carries, and how much of it is over before the rate counts.
const BYTES: u64 = 80 << 20;
const START: u64 = BYTES / 4;

/// What three such links carry together, Mbit/s of data.
#[must_use]
pub fn sum_of_links() -> f64 {
    3.0 * RATE * PAYLOAD / 1500.0
}

/// A lab with emulated links. They end when this is dropped.
#[derive(Debug)]
pub struct Shaped {
    lab: OwnLab,
    stop: Option<oneshot::Sender<()>>,
    mover: Option<JoinHandle<()>>,
}

impl Drop for Shaped {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(mover) = self.mover.take() {
            let _ = mover.join();
        }
    }
}

impl Shaped {
    /// Three links as `mpuser link` writes them, for the case `id`.
    ///
    /// # Errors
    /// The lab cannot be made, or the words mean nothing.
    pub fn up(id: &str, links: [&str; 3]) -> io::Result<Self> {
        let options =
            LabOptions { server_signal: false, client_subflow: true, ..LabOptions::default() };
        let lab = OwnLab::up(id, options)?;
        let mut ends = Vec::new();
        for (path, words) in lab.lab().state().paths.iter().zip(links) {
            let config: LinkConfig = words.parse().map_err(io::Error::other)?;
            ends.push((config, client_end(&lab, path)?, server_end(&lab, path)?));
        }
        lab.run("client", || endpoints(&lab.lab().state().paths))?;
        let (stop, stopped) = oneshot::channel();
        let mover = std::thread::spawn(move || move_packets(ends, stopped));
        Ok(Self { lab, stop: Some(stop), mover: Some(mover) })
    }

    /// mpuser sends to the kernel: Mbit/s.
    ///
    /// # Errors
    /// The connection failed, the octets are wrong, or the file cannot be written.
    pub fn ours(&self, options: paths::Options<'_>) -> io::Result<f64> {
        paths::watched(&self.lab, Way::Up, BYTES, meter, options).map(mbps)
    }

    /// The kernel sends to the kernel: Mbit/s.
    ///
    /// # Errors
    /// As above.
    pub fn kernel(&self) -> io::Result<f64> {
        veth::transfer(&self.lab, Way::Up, BYTES, meter).map(mbps)
    }
}

fn meter() -> Meter {
    Meter::from(START, Arc::new(AtomicU64::new(0)))
}

fn mbps(transfer: Transfer) -> f64 {
    transfer.gbps() * 1000.0
}

/// A TUN device in the place of one end of a veth pair.
fn end(lab: &OwnLab, node: &str, dev: &str, address: std::net::Ipv4Addr) -> io::Result<PlainTun> {
    lab.run(node, || {
        // the other end went with the first of them
        let _ = ip(&format!("link delete {dev}"));
        let end =
            TunEnd { dev: dev.to_owned(), netns: None, addresses: vec![(address.into(), 24)] };
        let device = end.open(None).map_err(io::Error::other)?;
        set(&format!("net/ipv4/conf/{dev}/rp_filter"), "0")?;
        Ok(device)
    })
}

fn client_end(lab: &OwnLab, path: &LabPath) -> io::Result<PlainTun> {
    end(lab, "client", &path.dev, path.client)
}

fn server_end(lab: &OwnLab, path: &LabPath) -> io::Result<PlainTun> {
    let device = end(lab, "server", &path.dev, path.server)?;
    if let Some(engines) = &path.engine_prefix {
        // what the lab had said of the link before
        lab.run("server", || ip(&format!("route replace {engines} dev {}", path.dev)))?;
    }
    Ok(device)
}

/// The kernel client's further addresses, on the devices there are now.
fn endpoints(links: &[LabPath]) -> io::Result<()> {
    ip("mptcp endpoint flush")?;
    links.iter().skip(1).try_for_each(|LabPath { client, dev, .. }| {
        ip(&format!("mptcp endpoint add {client} dev {dev} subflow"))
    })
}

fn move_packets(ends: Vec<(LinkConfig, PlainTun, PlainTun)>, stopped: oneshot::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        for (seed, (config, from, to)) in (1..).zip(ends) {
            tokio::spawn(carry(config, seed, from, to));
        }
        // an error says that the other side is gone
        let _ = stopped.await;
    });
}

/// Carries packets over one link, until a device fails.
async fn carry(config: LinkConfig, seed: u64, from: PlainTun, to: PlainTun) -> io::Result<()> {
    let mut link = Link::new(config, seed, clock::now()).map_err(io::Error::other)?;
    let (near, far) = (register(from.fd())?, register(to.fd())?);
    let mut arena = BytesMut::new();
    loop {
        let next = link.next().and_then(clock::to_tokio);
        tokio::select! {
            guard = near.readable() => take(guard?, &from, &mut link, Direction::Forward, &mut arena),
            guard = far.readable() => take(guard?, &to, &mut link, Direction::Backward, &mut arena),
            () = sleep(next) => {}
        }
        let now = clock::now();
        while let Some((direction, packet)) = link.poll(now) {
            let device = if direction == Direction::Forward { &to } else { &from };
            // a refusal is a loss like any other
            let _ = device.send(now, &packet, &[], None);
        }
    }
}

/// Gives a batch of packets to the link.
fn take(
    mut ready: AsyncFdReadyGuard<'_, OwnedFd>,
    device: &PlainTun,
    link: &mut Link,
    direction: Direction,
    arena: &mut BytesMut,
) {
    for _ in 0..BATCH {
        let now = clock::now();
        match device.recv(now, arena) {
            Ok(received) => link.push(now, direction, received.packet),
            Err(_) => {
                ready.clear_ready();
                return;
            }
        }
    }
}

async fn sleep(until: Option<tokio::time::Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
