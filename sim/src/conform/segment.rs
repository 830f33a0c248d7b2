//! What the probe sends, and the subflow it sends it on.

use super::packet::Packet;
use mpuser_engine::addr::{FourTuple, SocketAddr};
use mpuser_engine::crypto::Nonce;
use mpuser_engine::tcp::Flags;
use mpuser_engine::wire::{Dss, MptcpOption, OptionBuffer};

/// One subflow as the probe sees it. Offsets count payload octets; the SYN is not among them.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The stack's address (local) and the probe's (remote).
    pub tuple: FourTuple,
    /// The probe's initial sequence number.
    pub iss: u32,
    /// The stack's initial sequence number.
    pub irs: u32,
    /// Offset the probe sends next.
    pub nxt: u64,
    /// Offset of the stack's stream expected next.
    pub seen: u64,
    /// The probe's SYN went out, so its numbers start after it.
    pub synced: bool,
    /// The stack's nonce, if this is a join.
    pub nonce: Option<Nonce>,
    /// The probe's timestamp, on every segment, if it sends some; and the stack's last one.
    pub timestamps: Option<(u32, u32)>,
}

impl Flow {
    /// A subflow between these addresses.
    #[must_use]
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        let tuple = FourTuple { local, remote };
        let iss = 0x1000_0000 + u32::from(remote.port());
        Self { tuple, iss, irs: 0, nxt: 0, seen: 0, synced: false, nonce: None, timestamps: None }
    }

    /// Offset of a packet of the stack's in its stream.
    #[must_use]
    pub fn offset(&self, packet: &Packet) -> u64 {
        u64::from(packet.header.seq.0.wrapping_sub(self.irs).wrapping_sub(1))
    }

    /// Takes note of what a packet of the stack's says of the subflow.
    pub fn hear(&mut self, packet: &Packet) {
        if let (Some((_, echo)), Some(found)) = (&mut self.timestamps, packet.options.timestamps) {
            *echo = found.value;
        }
        if packet.header.flags.syn {
            self.irs = packet.header.seq.0;
        } else if self.offset(packet) == self.seen {
            self.seen += packet.payload.len() as u64 + u64::from(packet.header.flags.fin);
        }
    }
}

/// A segment the probe is about to send: a pure ACK unless told otherwise.
#[derive(Clone, Debug, Default)]
pub struct Seg {
    pub(super) flags: Flags,
    pub(super) no_ack: bool,
    pub(super) offset: Option<i64>,
    pub(super) ack: Option<i64>,
    pub(super) window: Option<u16>,
    pub(super) urgent: u16,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// An empty segment with an ACK.
#[must_use]
pub fn seg() -> Seg {
    Seg::default()
}

impl Seg {
    /// SYN, with an MSS of 1460.
    #[must_use]
    pub fn syn(mut self) -> Self {
        self.flags.syn = true;
        self.raw(&[2, 4, 0x05, 0xb4])
    }

    /// SYN without any option of its own.
    #[must_use]
    pub fn bare_syn(mut self) -> Self {
        self.flags.syn = true;
        self
    }

    /// FIN.
    #[must_use]
    pub fn fin(mut self) -> Self {
        self.flags.fin = true;
        self
    }

    /// RST.
    #[must_use]
    pub fn rst(mut self) -> Self {
        self.flags.rst = true;
        self
    }

    /// These control bits (ACK comes from elsewhere).
    #[must_use]
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// URG with this pointer.
    #[must_use]
    pub const fn urgent(mut self, pointer: u16) -> Self {
        self.flags.urg = true;
        self.urgent = pointer;
        self
    }

    /// No ACK field.
    #[must_use]
    pub const fn no_ack(mut self) -> Self {
        self.no_ack = true;
        self
    }

    /// Payload.
    #[must_use]
    pub fn data(mut self, data: &[u8]) -> Self {
        self.payload = data.to_vec();
        self
    }

    /// Starts at this offset of the probe's stream and not at the next one; the next one stays where it was.
    #[must_use]
    pub const fn at(mut self, offset: i64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Acknowledges up to this offset of the stack's stream and not everything seen.
    #[must_use]
    pub const fn acking(mut self, offset: i64) -> Self {
        self.ack = Some(offset);
        self
    }

    /// The window field.
    #[must_use]
    pub const fn window(mut self, window: u16) -> Self {
        self.window = Some(window);
        self
    }

    /// An MPTCP option.
    #[must_use]
    pub fn option(mut self, option: MptcpOption) -> Self {
        let mut buffer = OptionBuffer::new();
        // Longer ones than a header holds do not exist.
        let _fits = buffer.push_mptcp(&option);
        self.options.extend_from_slice(buffer.as_slice());
        self
    }

    /// A DSS.
    #[must_use]
    pub fn dss(self, dss: Dss) -> Self {
        self.option(MptcpOption::Dss(dss))
    }

    /// These bytes among the options, as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.options.extend_from_slice(bytes);
        self
    }

    /// An MPTCP option of these bytes after kind and length, whatever they mean.
    #[must_use]
    pub fn raw_mptcp(self, body: &[u8]) -> Self {
        let mut option = vec![30, body.len() as u8 + 2];
        option.extend_from_slice(body);
        option.resize(option.len().next_multiple_of(4), 1);
        self.raw(&option)
    }
}
