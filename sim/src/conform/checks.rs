//! What cases look at again and again: is the connection alive, in which mode, and does a transfer arrive whole?

use super::data_level::HandMade as _;
use super::digest::pattern;
use super::packet::Packet;
use super::probe::{ANSWER, Probe, QUIET, Stop, stop};
use super::segment::{Flow, Seg, seg};
use mpuser_engine::wire::{Checksum, MpPrio, MptcpOption, dss_checksum};
use std::time::Duration;

/// Payload of one segment of a transfer.
const SEGMENT: usize = 1_400;
/// How often a transfer of the probe's is sent again as a whole.
const RETRANSMISSIONS: usize = 8;

impl Probe<'_> {
    /// Notes the largest Data ACK that comes on these subflows.
    pub fn note_acked(&mut self, flows: &mut [&mut Flow]) {
        let mut packets = Vec::new();
        for flow in flows.iter_mut() {
            packets.extend(self.answers(flow));
        }
        match self.data_acked(&packets) {
            Some(acked) => self.note(format!("data-ack {acked}")),
            None => self.note("no data-ack"),
        }
    }

    /// The application writes this; the first packet with data on the subflow.
    pub fn data_after(&mut self, flow: &mut Flow, bytes: &[u8]) -> Result<Packet, Stop> {
        self.write(bytes);
        let data = self.wait_for(flow, ANSWER, |packet| !packet.payload.is_empty());
        data.ok_or_else(|| stop("no data"))
    }

    /// Notes in which mode the application's next data leaves: with a mapping, plain, or not at all.
    pub fn note_mode(&mut self, flow: &mut Flow) {
        self.write(b"ping");
        let wanted = |packet: &Packet| !packet.payload.is_empty() || packet.header.flags.rst;
        let words = match self.wait_for(flow, ANSWER, wanted) {
            None => "no data".to_owned(),
            Some(packet) if packet.header.flags.rst => self.digest(&[packet]),
            Some(packet) if packet.is_plain() => "plain".to_owned(),
            Some(packet) => match packet.dss().and_then(|dss| dss.mapping) {
                Some(mapping) if mapping.data_len == 0 => "infinite mapping".to_owned(),
                _ => "mptcp".to_owned(),
            },
        };
        self.note(words);
    }

    /// What the DSS checksum of a packet is worth.
    #[must_use]
    pub fn checksum_words(&self, packet: &Packet) -> &'static str {
        let Some(mapping) = packet.dss().and_then(|dss| dss.mapping) else { return "no mapping" };
        let mut sum = Checksum::new();
        sum.add_bytes(&packet.payload);
        let data_seq = mapping.data_seq.expand(self.own_dsn(0));
        let right = dss_checksum(data_seq, mapping.subflow_seq, mapping.data_len, sum);
        match mapping.checksum {
            Some(found) if found == right => "a right checksum",
            Some(_) => "a wrong checksum",
            None => "no checksum",
        }
    }

    /// The application has data for the stack to send; on which of two subflows does it leave first?
    pub fn which(&mut self, bytes: &[u8], one: &mut Flow, other: &mut Flow) -> Option<usize> {
        let end = self.target.now() + ANSWER;
        self.write(bytes);
        while self.target.now() < end {
            for (index, flow) in [&mut *one, &mut *other].into_iter().enumerate() {
                let packet = self.wait(flow, Duration::from_millis(5));
                if packet.is_some_and(|packet| !packet.payload.is_empty()) {
                    return Some(index);
                }
            }
        }
        None
    }

    /// Two subflows, the first of which carries the data that the application writes.
    pub fn two_in_use(&mut self, bytes: &[u8]) -> Result<(Flow, Flow), Stop> {
        let (mut a, mut b) = self.two()?;
        self.answers(&mut a);
        self.answers(&mut b);
        match self.which(bytes, &mut a, &mut b) {
            Some(0) => Ok((a, b)),
            Some(_) => Ok((b, a)),
            None => Err(stop("no data")),
        }
    }

    /// MP_PRIO of the probe on this subflow.
    pub fn send_prio(&mut self, flow: &mut Flow, backup: bool) {
        self.send(flow, seg().option(MptcpOption::Prio(MpPrio { backup })));
    }

    /// The probe sends `data` from data offset `at` on, in segments with a mapping each, and the application reads
    /// along; what it has read. What does not arrive is sent again, as a sender would.
    pub fn upload(&mut self, flow: &mut Flow, at: u64, data: &[u8]) -> Vec<u8> {
        let (mut read, mut sent) = (Vec::new(), Vec::new());
        for (index, piece) in data.chunks(SEGMENT).enumerate() {
            let dss = self.map(flow, at + (index * SEGMENT) as u64, piece, 0);
            let segment = seg().data(piece).dss(dss);
            sent.push(segment.clone().at(flow.nxt as i64));
            self.send(flow, segment);
            if index % 16 == 15 {
                let wanted = (index + 1) * SEGMENT - read.len();
                read.extend(self.read_all(wanted, ANSWER).bytes);
            }
        }
        for _ in 0..RETRANSMISSIONS {
            let wanted = data.len().saturating_sub(read.len());
            read.extend(self.read_all(wanted, QUIET).bytes);
            if read.len() >= data.len() {
                break;
            }
            let acked = self.waiting.iter().filter_map(|packet| packet.header.ack).next_back();
            let acked = acked.map_or(0, |ack| i64::from(ack.0.wrapping_sub(flow.iss) - 1));
            let missing =
                |segment: &&Seg| segment.offset.is_some_and(|at| at + SEGMENT as i64 > acked);
            for segment in sent.iter().filter(missing) {
                self.send(flow, segment.clone());
            }
        }
        read
    }

    /// Notes whether a transfer from the stack arrives whole: `len` bytes of the pattern, given `limit` of silence.
    pub fn note_download(&mut self, flows: &mut [&mut Flow], len: usize, limit: Duration) {
        let data = pattern(len);
        let mut written = self.write(&data);
        let mut got = Vec::new();
        while got.len() < len {
            let before = got.len();
            got = self.collect(flows, written, limit, got);
            written += self.write(data.get(written..).unwrap_or_default());
            if got.len() == before {
                break;
            }
        }
        self.note(if got == data {
            format!("{len} bytes intact")
        } else {
            format!("{} of {len} bytes", got.len())
        });
    }

    /// Notes whether the connection still carries data both ways with MPTCP: the next three bytes of the probe's at
    /// data offset `at`, and `ping` of the application's at `from`.
    pub fn note_alive(&mut self, flow: &mut Flow, at: u64) {
        let _earlier = self.answers(flow);
        self.send_data(flow, at, b"xyz");
        let packets = self.answers(flow);
        let heard = self.read_all(3, ANSWER);
        let mode = match self.data_acked(&packets) {
            Some(acked) if acked >= at as i64 + 3 => "data-acked",
            Some(_) => "not data-acked",
            None => "no DSS",
        };
        self.note(format!("alive: {} {mode}", heard.words()));
    }

    /// Takes `wanted` bytes of the application's from these subflows, acknowledging everything; gives them in order of
    /// their DSN. Stops when nothing comes for `quiet`.
    pub fn collect(
        &mut self,
        flows: &mut [&mut Flow],
        wanted: usize,
        quiet: Duration,
        got: Vec<u8>,
    ) -> Vec<u8> {
        let mut data: Vec<Option<u8>> = got.into_iter().map(Some).collect();
        data.resize(wanted.max(data.len()), None);
        let mut last = self.target.now();
        while data.iter().any(Option::is_none) && self.target.now() < last + quiet {
            let mut idle = true;
            for flow in flows.iter_mut() {
                while let Some(packet) = self.wait(flow, Duration::from_millis(2)) {
                    idle &= !self.store(&packet, flow, &mut data);
                    let contiguous = data.iter().take_while(|b| b.is_some()).count();
                    let dss = self.ack(contiguous as u64);
                    if !packet.payload.is_empty() {
                        self.send(flow, seg().dss(dss));
                    }
                }
            }
            if !idle {
                last = self.target.now();
            }
        }
        data.into_iter().map_while(|byte| byte).collect()
    }

    /// Puts a packet's bytes where its mapping says; true if some were new.
    fn store(&self, packet: &Packet, flow: &Flow, data: &mut [Option<u8>]) -> bool {
        let mapping = packet.dss().and_then(|dss| dss.mapping);
        let Some(mapping) = mapping.filter(|m| m.data_len > 0) else { return false };
        let start = self.own_offset(mapping.data_seq.expand(self.own_dsn(0)));
        let skipped = flow.offset(packet) as i64 + 1 - i64::from(mapping.subflow_seq.0);
        let mut fresh = false;
        for (index, byte) in packet.payload.iter().enumerate() {
            let at = usize::try_from(start + skipped + index as i64);
            if let Some(slot) = at.ok().and_then(|at| data.get_mut(at)) {
                fresh |= slot.is_none();
                *slot = Some(*byte);
            }
        }
        fresh
    }
}
