//! Two devices joined by a link in memory: two stacks talk without TUN and without privileges.

use super::{Device, Received, segments, whole};
use bytes::{Bytes, BytesMut};
use mpuser_engine::time::{Duration, Instant};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a link in memory is like. Both directions are alike.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// Names of the two devices. Default `mem-a`, `mem-b`.
    pub names: (String, String),
    /// Largest IP packet, bytes. Default 1500.
    pub mtu: u16,
    /// Packets waiting or under way per direction; a further one is dropped, as at the tail of a device queue.
    /// Default 1000.
    pub queue: usize,
    /// Bits per second; `None` is as fast as it goes. Default none.
    pub rate: Option<u64>,
    /// One-way delay. Default zero. Delivery is as precise as tokio's timers: late by up to a millisecond.
    pub delay: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            names: ("mem-a".into(), "mem-b".into()),
            mtu: 1500,
            queue: 1000,
            rate: None,
            delay: Duration::ZERO,
        }
    }
}

/// One direction.
#[derive(Debug)]
struct Lane {
    /// Packets with the moment they arrive, in order.
    packets: VecDeque<(Instant, Bytes)>,
    /// When the last bit of the last packet has left.
    free_at: Instant,
    /// The receiver's eventfd is raised.
    raised: bool,
    dropped: u64,
}

#[derive(Debug)]
struct Settings {
    cut: bool,
    rate: Option<u64>,
    delay: Duration,
}

#[derive(Debug)]
struct State {
    lanes: [Lane; 2],
    settings: Settings,
}

#[derive(Debug)]
struct Link {
    state: Mutex<State>,
    queue: usize,
    /// One eventfd per receiver.
    bells: [File; 2],
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every update of the state is complete in itself; a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end of a link in memory.
#[derive(Debug)]
pub struct MemoryDevice {
    link: Arc<Link>,
    /// Which lane this end receives from: 0 or 1.
    side: usize,
    name: String,
    mtu: u16,
}

/// A handle on the link between two [`MemoryDevice`]s, to change it while it runs.
#[derive(Clone, Debug)]
pub struct MemoryLink(Arc<Link>);

impl MemoryLink {
    /// Drops everything under way and everything sent from now on, silently.
    pub fn cut(&self) {
        let mut state = self.0.lock();
        state.settings.cut = true;
        state.lanes.iter_mut().for_each(|lane| lane.packets.clear());
    }

    /// Ends a [`MemoryLink::cut`].
    pub fn restore(&self) {
        self.0.lock().settings.cut = false;
    }

    /// It is cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.lock().settings.cut
    }

    /// Changes the one-way delay of packets sent from now on; they do not overtake earlier ones.
    pub fn set_delay(&self, delay: Duration) {
        self.0.lock().settings.delay = delay;
    }

    /// Changes the rate, bits per second.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.0.lock().settings.rate = rate;
    }

    /// Packets dropped so far because a queue was full, both directions together.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.lock().lanes.iter().map(|lane| lane.dropped).sum()
    }
}

/// Two devices joined by a link, and a handle on the link.
///
/// # Errors
/// The process may have no more descriptors.
pub fn memory_pair(config: MemoryConfig) -> io::Result<(MemoryDevice, MemoryDevice, MemoryLink)> {
    let lane =
        || Lane { packets: VecDeque::new(), free_at: Instant::ZERO, raised: false, dropped: 0 };
    let settings = Settings { cut: false, rate: config.rate, delay: config.delay };
    let link = Arc::new(Link {
        state: Mutex::new(State { lanes: [lane(), lane()], settings }),
        queue: config.queue,
        bells: [eventfd()?, eventfd()?],
    });
    let mtu = config.mtu;
    let (a, b) = config.names;
    Ok((
        MemoryDevice { link: Arc::clone(&link), side: 0, name: a, mtu },
        MemoryDevice { link: Arc::clone(&link), side: 1, name: b, mtu },
        MemoryLink(link),
    ))
}

fn eventfd() -> io::Result<File> {
    // SAFETY: no pointers; the result is checked.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else has it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

impl MemoryDevice {
    fn push(&self, now: Instant, packet: Bytes) {
        let other = self.side ^ 1;
        let mut state = self.link.lock();
        let State { lanes, settings } = &mut *state;
        let Some(lane) = lanes.get_mut(other) else { return };
        if settings.cut {
            return;
        }
        if lane.packets.len() >= self.link.queue {
            lane.dropped += 1;
            return;
        }
        let nanos = match settings.rate {
            Some(rate) => packet.len() as u64 * 8 * 1_000_000_000 / rate.max(1),
            None => 0,
        };
        lane.free_at = lane.free_at.max(now) + Duration::from_nanos(nanos);
        let mut arrival = lane.free_at + settings.delay;
        if let Some((before, _)) = lane.packets.back() {
            arrival = arrival.max(*before);
        }
        lane.packets.push_back((arrival, packet));
        if !lane.raised {
            lane.raised = true;
            if let Some(mut bell) = self.link.bells.get(other) {
                // Cannot fail short of a counter at 2^64 - 2; a bell not rung would be rung by the next packet.
                let _ = bell.write(&1u64.to_ne_bytes());
            }
        }
    }
}

impl Device for MemoryDevice {
    fn recv(&self, now: Instant, _arena: &mut BytesMut) -> io::Result<Received> {
        let mut state = self.link.lock();
        let Some(lane) = state.lanes.get_mut(self.side) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let arrived = lane.packets.front().is_some_and(|(arrival, _)| *arrival <= now);
        if arrived && let Some((_, packet)) = lane.packets.pop_front() {
            return Ok(Received::plain(packet));
        }
        if lane.raised {
            // Under the lock: a packet pushed from here on raises it again.
            lane.raised = false;
            if let Some(mut bell) = self.link.bells.get(self.side) {
                let _ = bell.read(&mut [0; 8]);
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(
        &self,
        now: Instant,
        headers: &[u8],
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> io::Result<()> {
        let push = |headers: &[u8], payload: &[u8]| {
            let packet = whole(headers, payload);
            if packet.len() > usize::from(self.mtu) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "packet exceeds the MTU"));
            }
            self.push(now, packet);
            Ok(())
        };
        segments(headers, payload, segment_size, push)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn offload(&self) -> bool {
        false
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // Both exist: `side` is 0 or 1.
        let [a, b] = &self.link.bells;
        if self.side == 0 { a.as_fd() } else { b.as_fd() }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.link.lock().lanes.get(self.side)?.packets.front().map(|(arrival, _)| *arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(device: &MemoryDevice, now: Instant) -> Option<Bytes> {
        device.recv(now, &mut BytesMut::new()).ok().map(|received| received.packet)
    }

    fn readable(device: &MemoryDevice) -> bool {
        use std::os::fd::AsRawFd;
        let mut poll =
            libc::pollfd { fd: device.fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which outlives the call.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    #[test]
    fn packets_arrive_in_order_and_ring_once() {
        let (a, b, _) = memory_pair(MemoryConfig::default()).unwrap();
        let now = Instant::from_millis(1);
        assert!(!readable(&b) && receive(&b, now).is_none());
        a.send(now, b"head", b"-1", None).unwrap();
        a.send(now, b"head", b"-2", None).unwrap();
        assert!(readable(&b) && !readable(&a));
        assert_eq!(receive(&b, now).unwrap(), "head-1");
        assert_eq!(receive(&b, now).unwrap(), "head-2");
        assert!(receive(&b, now).is_none());
        assert!(!readable(&b));
        b.send(now, b"back", b"", None).unwrap();
        assert!(readable(&a));
        assert_eq!(receive(&a, now).unwrap(), "back");
    }

    #[test]
    fn rate_and_delay_shape_and_never_reorder() {
        let config = MemoryConfig {
            rate: Some(8_000_000), // one byte per microsecond
            delay: Duration::from_millis(5),
            ..MemoryConfig::default()
        };
        let (a, b, link) = memory_pair(config).unwrap();
        let t = Instant::from_millis(10);
        a.send(t, &[0; 1000], &[], None).unwrap();
        a.send(t, &[1; 1000], &[], None).unwrap();
        assert_eq!(b.poll_timeout(), Some(Instant::from_millis(16)));
        assert!(receive(&b, Instant::from_micros(15_999)).is_none());
        assert_eq!(receive(&b, Instant::from_millis(16)).unwrap()[0], 0);
        assert!(receive(&b, Instant::from_millis(16)).is_none());
        link.set_delay(Duration::ZERO);
        a.send(t, &[2; 1000], &[], None).unwrap();
        assert_eq!(receive(&b, Instant::from_millis(17)).unwrap()[0], 1);
        assert_eq!(receive(&b, Instant::from_millis(17)).unwrap()[0], 2);
        assert_eq!(b.poll_timeout(), None);
    }

    #[test]
    fn a_cut_link_carries_nothing_and_a_full_one_drops_the_tail() {
        let config = MemoryConfig { queue: 3, ..MemoryConfig::default() };
        let (a, b, link) = memory_pair(config).unwrap();
        for n in 0..5 {
            a.send(Instant::ZERO, &[n], &[], None).unwrap();
        }
        assert_eq!(link.dropped(), 2);
        assert_eq!(receive(&b, Instant::ZERO).unwrap()[0], 0);
        link.cut();
        assert!(link.is_cut() && receive(&b, Instant::ZERO).is_none());
        a.send(Instant::ZERO, &[9], &[], None).unwrap();
        link.restore();
        assert!(receive(&b, Instant::ZERO).is_none());
        a.send(Instant::ZERO, &[7], &[], None).unwrap();
        assert!(readable(&b));
        assert_eq!(receive(&b, Instant::ZERO).unwrap()[0], 7);
    }

    #[test]
    fn packets_beyond_the_mtu_are_refused() {
        let (a, _b, _) = memory_pair(MemoryConfig::default()).unwrap();
        assert!(a.send(Instant::ZERO, &[0; 40], &[0; 1460], None).is_ok());
        assert!(a.send(Instant::ZERO, &[0; 40], &[0; 1461], None).is_err());
    }
}
