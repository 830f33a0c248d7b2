//! One device of a stack, with its statistics.

use crate::carrier::{PathNote, Streams};
use crate::device::Device;
use mpuser_engine::addr::{InterfaceId, IpAddr};
use mpuser_engine::time::Instant;
use mpuser_engine::wire::segmentation;
use mpuser_engine::{LocalAddress, Transmit};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What went over one path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathStats {
    /// The path's name.
    pub name: String,
    /// The interface of the machine it leaves by; the device itself where there is no other.
    pub outlet: String,
    /// Packets handed to the device; a super-segment counts once.
    pub packets_sent: u64,
    /// Bytes of those packets, headers included.
    pub bytes_sent: u64,
    /// Packets the device gave.
    pub packets_received: u64,
    /// Bytes of those packets.
    pub bytes_received: u64,
    /// Packets the device refused; they are lost.
    pub send_drops: u64,
    /// Failed reads, other than "nothing there".
    pub receive_errors: u64,
    /// Streams that came in and were turned away.
    pub streams_refused: u64,
    /// What was last the matter with a stream.
    pub trouble: Option<PathNote>,
}

/// What carries the packets of a path.
#[derive(Clone, Debug)]
pub(crate) enum Carriage {
    /// A device that takes packets.
    Device(Arc<dyn Device>),
    /// Byte streams, one for each four-tuple.
    Streams(Arc<Streams>),
}

impl Carriage {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Device(device) => device.name(),
            Self::Streams(streams) => streams.name(),
        }
    }

    pub(crate) fn offload(&self) -> bool {
        match self {
            Self::Device(device) => device.offload(),
            // the stream has a checksum of its own, and the packet at the other end gets one
            Self::Streams(_) => true,
        }
    }

    /// Super-segments are cut, and packets get their checksums, before the device has them: the engine has less to do then.
    pub(crate) fn is_cut_before(&self) -> bool {
        matches!(self, Self::Device(device) if !device.offload())
    }

    /// Most payload of a super-segment; 0: there are none.
    fn max_payload(&self) -> u32 {
        match self {
            Self::Device(_) if self.is_cut_before() => segmentation::MAX_PAYLOAD,
            Self::Device(device) => device.max_payload(),
            Self::Streams(_) => 0,
        }
    }

    pub(crate) const fn streams(&self) -> Option<&Arc<Streams>> {
        match self {
            Self::Device(_) => None,
            Self::Streams(streams) => Some(streams),
        }
    }
}

/// One device of a stack.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) name: String,
    /// The interface of the machine it leaves by.
    pub(crate) outlet: String,
    /// Its addresses, and whether they are for backup.
    pub(crate) addresses: Vec<(IpAddr, bool)>,
    /// Whether the interface can be used now.
    pub(crate) present: AtomicBool,
    pub(crate) carriage: Carriage,
    /// Largest IP packet, bytes.
    pub(crate) mtu: u16,
    /// Wakes the reading task: the device's own timer moved ahead.
    pub(crate) rearm: Notify,
    /// When the reading task will wake by itself, nanoseconds of engine time.
    armed: AtomicU64,
    packets_sent: AtomicU64,
    bytes_sent: AtomicU64,
    packets_received: AtomicU64,
    bytes_received: AtomicU64,
    send_drops: AtomicU64,
    receive_errors: AtomicU64,
    streams_refused: AtomicU64,
    trouble: Mutex<Option<PathNote>>,
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

impl Path {
    pub(crate) fn new(
        (name, outlet): (String, String),
        carriage: Carriage,
        mtu: u16,
        addresses: Vec<(IpAddr, bool)>,
    ) -> Self {
        Self {
            name,
            outlet,
            addresses,
            present: AtomicBool::new(true),
            carriage,
            mtu,
            rearm: Notify::new(),
            armed: AtomicU64::new(u64::MAX),
            packets_sent: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            packets_received: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            send_drops: AtomicU64::new(0),
            receive_errors: AtomicU64::new(0),
            streams_refused: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    /// One of its addresses as the engine sees it.
    pub(crate) fn local(
        &self,
        interface: InterfaceId,
        address: IpAddr,
        backup: bool,
    ) -> LocalAddress {
        // By the device, or before it has the packet; a stream needs none.
        let (mtu, checksum_offload) = (self.mtu, true);
        let max_payload = self.carriage.max_payload();
        LocalAddress { address, interface, mtu, backup, checksum_offload, max_payload }
    }

    /// Sends one packet; true if the device refused it.
    pub(crate) fn send(&self, now: Instant, headers: &[u8], transmit: &Transmit) -> bool {
        let (payload, size) = (&transmit.payload, transmit.segment_size);
        let taken = match &self.carriage {
            Carriage::Streams(streams) => streams.send(headers, transmit),
            Carriage::Device(device) => device.send(now, headers, payload, size).is_ok(),
        };
        self.count_sent(taken, headers.len() + payload.len())
    }

    /// Sends one packet of those a super-segment was cut into; true if the device refused it.
    pub(crate) fn send_piece(&self, now: Instant, headers: &[u8], payload: &[u8]) -> bool {
        let Carriage::Device(device) = &self.carriage else { return true };
        let taken = device.send(now, headers, payload, None).is_ok();
        self.count_sent(taken, headers.len() + payload.len())
    }

    fn count_sent(&self, taken: bool, bytes: usize) -> bool {
        if !taken {
            add(&self.send_drops, 1);
            return true;
        }
        add(&self.packets_sent, 1);
        add(&self.bytes_sent, bytes as u64);
        if let Carriage::Device(device) = &self.carriage
            && let Some(deadline) = device.poll_timeout()
            && deadline.as_nanos() < self.armed.load(Ordering::Relaxed)
        {
            self.rearm.notify_one();
        }
        false
    }

    /// The reading task is about to sleep until the deadline it gets.
    pub(crate) fn arm(&self, device: &dyn Device) -> Option<Instant> {
        // First "never": whatever is sent from here on notifies, and `Notify` keeps the permit until the task waits.
        self.armed.store(u64::MAX, Ordering::Relaxed);
        let deadline = device.poll_timeout();
        self.armed.store(deadline.map_or(u64::MAX, Instant::as_nanos), Ordering::Relaxed);
        deadline
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        add(&self.packets_received, 1);
        add(&self.bytes_received, bytes as u64);
    }

    /// A stream was turned away.
    pub(crate) fn count_refused(&self) {
        add(&self.streams_refused, 1);
    }

    /// What was the matter with a stream. True when it is news.
    pub(crate) fn set_trouble(&self, note: &PathNote) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.replace(note.clone()).as_ref() != Some(note)
    }

    /// What was last the matter with a stream.
    pub(crate) fn trouble(&self) -> Option<PathNote> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count_receive_error(&self) {
        add(&self.receive_errors, 1);
    }

    pub(crate) fn stats(&self) -> PathStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PathStats {
            name: self.name.clone(),
            outlet: self.outlet.clone(),
            packets_sent: get(&self.packets_sent),
            bytes_sent: get(&self.bytes_sent),
            packets_received: get(&self.packets_received),
            bytes_received: get(&self.bytes_received),
            send_drops: get(&self.send_drops),
            receive_errors: get(&self.receive_errors),
            streams_refused: get(&self.streams_refused),
            trouble: self.trouble(),
        }
    }
}
