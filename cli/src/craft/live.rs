//! A wire to real hosts: a TUN device per path, no stack on top.

use crate::connect::interrupted;
use crate::device::open_device;
use crate::error::{Code, Failure, plain_words};
use crate::output::Printer;
use crate::session::{capture, check, reachable};
use crate::{runtime, signals};
use mpuser_craft::Wire;
use mpuser_engine::time::Instant;
use mpuser_tun::capture::{CaptureInterface, Direction};
use mpuser_tun::net::{PacketPort, PathOptions, PathSpec};
use mpuser_tun::{CaptureWriter, clock};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a signal may go unnoticed.
const SLICE: Duration = Duration::from_millis(50);

/// Whether somebody has asked to stop, and how.
type Stop = Arc<Mutex<Option<Code>>>;

/// Paths to one host, in the hands of a session.
pub(crate) struct Live {
    port: PacketPort,
    start: Instant,
    stop: Stop,
    capture: Option<(CaptureWriter, CaptureInterface)>,
    /// Why nothing goes through any more.
    broken: Option<std::io::Error>,
}

/// Somebody has asked to stop.
fn stopped(stop: &Stop) -> Option<Code> {
    *stop.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets up paths to the first of `remotes` that can be reached, does `work`, and takes the paths back. A signal makes
/// the wire fall silent, so that the work ends by itself.
pub(crate) fn on_wire<T>(
    remotes: &[SocketAddr],
    specs: &[PathSpec],
    pcap: Option<&Path>,
    printer: Printer,
    work: impl FnOnce(&mut Live, SocketAddr) -> Result<T, Failure>,
) -> Result<T, Failure> {
    runtime::block_on(async {
        let mut signals = signals::listen()?;
        let (mut live, remote) = Live::open(remotes, specs, pcap, printer)?;
        let flag = Arc::clone(&live.stop);
        tokio::spawn(async move {
            let code = signals.recv().await;
            *flag.lock().unwrap_or_else(PoisonError::into_inner) = code;
        });
        let outcome = tokio::task::block_in_place(|| work(&mut live, remote));
        live.end(outcome)
    })
}

impl Live {
    /// Sets up paths to the first of `remotes` that can be reached. They are taken back at the latest when it is dropped.
    pub(super) fn open(
        remotes: &[SocketAddr],
        specs: &[PathSpec],
        pcap: Option<&Path>,
        printer: Printer,
    ) -> Result<(Self, SocketAddr), Failure> {
        let (remote, ways) = reachable(specs, &[], remotes)?;
        check(remote.ip(), &ways, &printer)?;
        let capture = pcap.map(|file| capture(file, 0)).transpose()?;
        let capture = capture.map(|mut writer| {
            let interface = writer.add_interface("craft");
            (writer, interface)
        });
        let options = PathOptions { dest: Some(remote.ip()), ..PathOptions::default() };
        let port = PacketPort::open(&ways, &options, open_device)?;
        let stop = Stop::default();
        Ok((Self { port, start: clock::now(), stop, capture, broken: None }, remote))
    }

    /// Our addresses, one for each path.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.port.addresses()
    }

    /// Takes everything back; what went wrong first is what is told.
    fn end<T>(self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let Self { port, stop, capture, broken, .. } = self;
        port.close()?;
        if let Some(code) = stopped(&stop) {
            return Err(interrupted(code));
        }
        if let Some(error) = broken {
            return Err(Failure::new(
                Code::Io,
                "the TUN device did not take or give a packet",
                plain_words(&error),
                "the kernel refuses packets whose IP version or length cannot be; --pcap writes them all the same",
            ));
        }
        let written = capture.map(|(mut writer, _)| {
            writer.finish();
            writer.error().map(|error| Failure::io("the capture is incomplete", error))
        });
        match written.flatten() {
            Some(failure) => outcome.and(Err(failure)),
            None => outcome,
        }
    }

    fn record(&mut self, packet: &[u8], direction: Direction) {
        if let Some((writer, interface)) = &mut self.capture {
            writer.packet(*interface, clock::to_wall(clock::now()), direction, (packet, &[]), None);
        }
    }
}

impl Wire for Live {
    fn now(&self) -> Duration {
        clock::now().saturating_since(self.start)
    }

    fn send(&mut self, packet: &[u8]) {
        if stopped(&self.stop).is_some() {
            return;
        }
        self.record(packet, Direction::Outbound);
        if let Err(error) = self.port.send(packet) {
            // a packet the kernel does not take is a packet lost; a device that is gone is worth a word
            self.broken.get_or_insert(error);
        }
    }

    fn receive(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let end = self.now() + limit;
        loop {
            if stopped(&self.stop).is_some() || self.broken.is_some() {
                return None;
            }
            let left = end.saturating_sub(self.now());
            match self.port.receive(left.min(SLICE)) {
                Ok(Some(packet)) => {
                    self.record(&packet, Direction::Inbound);
                    return Some(packet);
                }
                Ok(None) if left.is_zero() => return None,
                Ok(None) => {}
                Err(error) => {
                    self.broken = Some(error);
                }
            }
        }
    }
}
