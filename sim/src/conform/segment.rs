//! What a hand-made end sends, and the subflow it sends it on.

use super::packet::{Packet, build};
use mpuser_engine::addr::{FourTuple, SocketAddr};
use mpuser_engine::crypto::Nonce;
use mpuser_engine::seq::SeqNum;
use mpuser_engine::tcp::Flags;
use mpuser_engine::wire::{Dss, FastOpenCookie, MptcpOption, OptionBuffer, TcpHeader};

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

    /// The packet that a segment becomes; its place on the subflow is taken.
    pub fn packet(&mut self, seg: &Seg) -> Vec<u8> {
        let start = match (seg.offset, self.synced) {
            (Some(offset), _) => self.iss.wrapping_add(1).wrapping_add(offset as u32),
            (None, true) => self.iss.wrapping_add(1).wrapping_add(self.nxt as u32),
            (None, false) => self.iss,
        };
        let acked = seg.ack.unwrap_or(self.seen as i64);
        let ack = SeqNum(self.irs.wrapping_add(1).wrapping_add(acked as u32));
        let header = TcpHeader {
            src_port: self.tuple.remote.port(),
            dst_port: self.tuple.local.port(),
            seq: SeqNum(start),
            ack: (!seg.no_ack).then_some(ack),
            flags: seg.flags,
            window: seg.window.unwrap_or(u16::MAX),
            urgent: seg.urgent,
        };
        let mut options = Vec::new();
        if let Some((value, echo)) = &mut self.timestamps {
            *value += 1;
            options.extend_from_slice(&timestamps(*value, *echo));
        }
        options.extend_from_slice(&seg.options());
        self.synced |= seg.flags.syn;
        if seg.offset.is_none() {
            self.nxt += seg.payload.len() as u64 + u64::from(seg.flags.fin);
        }
        build(self.tuple.remote, self.tuple.local, &header, &options, &seg.payload)
    }
}

/// The option, on a boundary of four octets (RFC 7323).
fn timestamps(value: u32, echo: u32) -> [u8; 12] {
    let mut option = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0];
    let (_, numbers) = option.split_at_mut(4);
    numbers.copy_from_slice(&(u64::from(value) << 32 | u64::from(echo)).to_be_bytes());
    option
}

/// A segment the probe is about to send: a pure ACK unless told otherwise.
#[derive(Clone, Debug, Default)]
pub struct Seg {
    flags: Flags,
    no_ack: bool,
    pub(super) offset: Option<i64>,
    ack: Option<i64>,
    window: Option<u16>,
    urgent: u16,
    mss: Option<u16>,
    options: Vec<u8>,
    payload: Vec<u8>,
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
        self.mss(1_460)
    }

    /// SYN without any option of its own.
    #[must_use]
    pub const fn bare_syn(mut self) -> Self {
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

    /// The MSS, in the place of the one a SYN has.
    #[must_use]
    pub const fn mss(mut self, mss: u16) -> Self {
        self.mss = Some(mss);
        self
    }

    /// SACK permitted, for a SYN.
    #[must_use]
    pub fn sack_permitted(self) -> Self {
        self.raw(&[1, 1, 4, 2])
    }

    /// Window scale, for a SYN.
    #[must_use]
    pub fn scale(self, shift: u8) -> Self {
        self.raw(&[1, 3, 3, shift])
    }

    /// These timestamps, on this segment alone.
    #[must_use]
    pub fn stamp(self, value: u32, echo: u32) -> Self {
        self.raw(&timestamps(value, echo))
    }

    /// A Fast Open cookie, or the request for one (RFC 7413).
    #[must_use]
    pub fn fast_open(mut self, cookie: FastOpenCookie) -> Self {
        let mut buffer = OptionBuffer::new();
        let _fits = buffer.push_fast_open(&cookie);
        self.options.extend_from_slice(buffer.as_slice());
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

    /// All options, however long.
    #[must_use]
    pub fn options(&self) -> Vec<u8> {
        let mss = self.mss.map(u16::to_be_bytes).map(|[high, low]| [2, 4, high, low]);
        mss.as_slice().concat().into_iter().chain(self.options.iter().copied()).collect()
    }
}
