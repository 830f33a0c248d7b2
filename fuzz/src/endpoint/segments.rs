//! What the peer sends: right segments, wrong ones, and right ones with something changed.

use super::peer::{Chunk, Peer, octet};
use crate::draw::Draw;
use arbitrary::{Result, Unstructured};
use mpuser_engine::addr::AddressId;
use mpuser_engine::crypto::Key;
use mpuser_engine::error::ResetReason;
use mpuser_engine::seq::{DataSeq, SubflowSeq};
use mpuser_engine::wire::{
    Dss, DssMapping, FastClose, MpFail, MpPrio, MpTcpRst, MptcpOption, RemoveAddr, WireDataSeq,
};
use mpuser_sim::conform::packet::{fix_checksums, icmp_error};
use mpuser_sim::conform::segment::{Seg, seg};
use mpuser_sim::conform::target::probe_address;
use mpuser_sim::link::fragmentation_needed;
use std::net::Ipv4Addr;

/// Chunks of one flow that can be sent again.
const CHUNKS: usize = 16;

impl Peer {
    /// Packets of one step.
    pub(super) fn draw(&mut self, u: &mut Unstructured<'_>) -> Result<Vec<Vec<u8>>> {
        let lane = u.below(8)?;
        if self.lanes.is_empty() {
            // nobody has said anything
            return Ok(Vec::new());
        }
        let lane = lane % self.lanes.len();
        let packets = match u.below(32)? {
            0..9 => self.new_data(u, lane)?,
            9..13 => self.again(u, lane)?,
            13 => vec![self.join(u)?],
            14 => self.icmp(u)?,
            15..18 => {
                let segment = self.acking(
                    seg().acking(self.lanes[lane].flow.seen as i64 - u.below(4)? as i64 * 700),
                );
                vec![self.lanes[lane].flow.packet(&segment)]
            }
            18..22 => {
                let segment = self.closing(u, lane)?;
                vec![self.lanes[lane].flow.packet(&segment)]
            }
            22..27 => {
                let segment = self.signal(u, lane)?;
                vec![self.lanes[lane].flow.packet(&segment)]
            }
            27..29 => {
                let segment = self.lie(u, lane)?;
                self.payload += 64;
                vec![self.lanes[lane].flow.packet(&segment)]
            }
            _ => {
                let window = u.arbitrary()?;
                let segment = self.acking(seg().window(window));
                vec![self.lanes[lane].flow.packet(&segment)]
            }
        };
        match u.below(5)? {
            0 => packets.into_iter().map(|packet| self.disturb(u, packet)).collect(),
            _ => Ok(packets),
        }
    }

    /// With a Data ACK, where there is a data level.
    fn acking(&self, segment: Seg) -> Seg {
        match self.ack() {
            Some(dss) => segment.dss(dss),
            None => segment,
        }
    }

    /// Octets at the end of a flow and of the data, now or (held back) with [`Self::again`].
    fn new_data(&mut self, u: &mut Unstructured<'_>, lane: usize) -> Result<Vec<Vec<u8>>> {
        let len = 1 + u.length()? as u16 % 1_380;
        let hold = u.below(4)? == 0;
        if self.lanes[lane].chunks.len() >= CHUNKS {
            self.lanes[lane].chunks.remove(0);
        }
        let flow = &mut self.lanes[lane].flow;
        // without MPTCP the flow is the data
        let at = if self.mptcp { self.next_data } else { flow.nxt };
        let chunk = Chunk { from: flow.nxt, at, len };
        flow.nxt += u64::from(len);
        self.next_data = self.next_data.max(at + u64::from(len));
        self.lanes[lane].chunks.push(chunk);
        Ok(if hold { Vec::new() } else { vec![self.chunk(lane, chunk)] })
    }

    fn chunk(&mut self, lane: usize, chunk: Chunk) -> Vec<u8> {
        let data: Vec<u8> = (chunk.at..).take(usize::from(chunk.len)).map(octet).collect();
        self.payload += data.len() as u64;
        let mut segment = seg().at(chunk.from as i64);
        if self.ack().is_some() {
            segment = segment
                .dss(self.level().map_at(chunk.from, chunk.at, &data, chunk.len, self.heard));
        }
        self.lanes[lane].flow.packet(&segment.data(&data))
    }

    /// What was sent, or held back: on its flow, or as a reinjection on another one.
    fn again(&mut self, u: &mut Unstructured<'_>, lane: usize) -> Result<Vec<Vec<u8>>> {
        let (index, of) = (u.below(CHUNKS)?, u.below(8)? % self.lanes.len());
        let Some(count) = Some(self.lanes[of].chunks.len()).filter(|count| *count > 0) else {
            return Ok(Vec::new());
        };
        let mut chunk = self.lanes[of].chunks[index % count];
        if of != lane && self.mptcp {
            let flow = &mut self.lanes[lane].flow;
            chunk.from = flow.nxt;
            flow.nxt += u64::from(chunk.len);
            self.lanes[lane].chunks.push(chunk);
            self.lanes[lane].chunks.truncate(CHUNKS);
            return Ok(vec![self.chunk(lane, chunk)]);
        }
        Ok(vec![self.chunk(of, chunk)])
    }

    /// The SYN of a join; its third packet follows by itself.
    fn join(&mut self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let (to, from) = (u.below(3)? as u8, u.below(4)? as u8);
        self.joins = self.joins.wrapping_add(1);
        let mut flow = self.flow(to, from, 41_000 + u16::from(self.joins));
        let id = AddressId(u.below(4)? as u8);
        let join = self.level().join_syn(id, u.flag()?);
        let packet = flow.packet(&self.syn().no_ack().option(join));
        self.add(flow);
        Ok(packet)
    }

    /// Somebody complains about the last packet.
    fn icmp(&mut self, u: &mut Unstructured<'_>) -> Result<Vec<Vec<u8>>> {
        let (code, mtu) = (u.below(16)? as u8, u.arbitrary::<u16>()? % 1_600);
        let Some(last) = &self.last else { return Ok(Vec::new()) };
        if last.tuple.local.is_ipv4() && u.flag()? {
            return Ok(vec![icmp_error(Ipv4Addr::new(192, 0, 2, 254), 3, code, mtu.into(), last)]);
        }
        let quoted = mpuser_sim::conform::packet::build(
            last.tuple.local,
            last.tuple.remote,
            &last.header,
            &last.option_bytes,
            &last.payload,
        );
        Ok(fragmentation_needed(&quoted, mtu).map(|packet| packet.to_vec()).into_iter().collect())
    }

    /// Ends of a flow and of the connection.
    fn closing(&mut self, u: &mut Unstructured<'_>, lane: usize) -> Result<Seg> {
        let level = self.level();
        let transient = u.flag()?;
        Ok(match u.below(8)? {
            0..3 if self.mptcp => {
                let end = *self.data_fin.get_or_insert(self.next_data);
                // the same one again, or on another flow
                seg().dss(level.data_fin(end, self.heard))
            }
            0..4 => {
                // a bare FIN of the only flow counts as the end of the data
                self.plain_fin = Some(self.next_data);
                self.acking(seg().fin())
            }
            4 => seg().rst(),
            5 => {
                let reason = ResetReason::from_code(u.arbitrary()?);
                seg().rst().option(MptcpOption::TcpRst(MpTcpRst { transient, reason }))
            }
            6 => {
                let wrong = u.below(4)? == 0;
                let receiver_key = if wrong { Key(u.arbitrary()?) } else { level.own_key };
                let segment = if transient { seg().rst() } else { seg() };
                segment.option(MptcpOption::FastClose(FastClose { receiver_key }))
            }
            _ => {
                let at = u64::from(u.length()?);
                self.data_fin.get_or_insert(self.next_data);
                self.lied = true;
                seg().at(self.lanes[lane].flow.nxt as i64).dss(level.data_fin(at, self.heard))
            }
        })
    }

    /// Addresses, priorities, failures.
    fn signal(&mut self, u: &mut Unstructured<'_>, lane: usize) -> Result<Seg> {
        let level = self.level();
        let id = AddressId(u.below(5)? as u8);
        Ok(match u.below(9)? {
            0..3 => {
                let port = if u.flag()? { Some(8_080) } else { None };
                let family = if u.below(8)? == 0 { !self.setup.ipv6 } else { self.setup.ipv6 };
                let mut add = level.add_addr(id, probe_address(u.below(4)? as u8, family), port);
                match u.below(8)? {
                    0 => add.hmac = Some(u.arbitrary()?),
                    1 => (add.hmac, add.echo) = (None, true),
                    _ => {}
                }
                seg().option(MptcpOption::AddAddr(add))
            }
            3..5 => {
                let ids: Vec<AddressId> = u.octets(4)?.iter().map(|id| AddressId(id % 8)).collect();
                match RemoveAddr::from_ids(&ids) {
                    Some(remove) => seg().option(MptcpOption::RemoveAddr(remove)),
                    None => seg(),
                }
            }
            5..7 => seg().option(MptcpOption::Prio(MpPrio { backup: u.flag()? })),
            7 => {
                self.lied = true;
                let data_seq = level.own_dsn(u64::from(u.length()?));
                seg().option(MptcpOption::Fail(MpFail { data_seq }))
            }
            _ => {
                let hmac = self.lanes[lane].flow.nonce.map(|nonce| level.join_ack(nonce));
                seg().option(hmac.unwrap_or_else(|| level.capable_ack(self.flags())))
            }
        })
    }

    /// Data whose mapping is missing, infinite, or anything; options of any octets.
    fn lie(&mut self, u: &mut Unstructured<'_>, lane: usize) -> Result<Seg> {
        self.lied = true;
        let level = self.level();
        let len = u.below(64)?;
        let flow = &self.lanes[lane].flow;
        let data: Vec<u8> = (flow.nxt..).take(len).map(octet).collect();
        let near = u.below(64)? as u64;
        let data_seq = level.dsn((self.next_data + near).saturating_sub(32));
        let long = |seq: DataSeq| WireDataSeq::Long(seq.0);
        let checksum =
            if self.checksum != (u.below(8)? == 0) { Some(u.arbitrary()?) } else { None };
        let mapping = match u.below(4)? {
            0 => return Ok(seg().data(&data)),
            1 => return Ok(seg().raw_mptcp(u.octets(38)?).data(&data)),
            // an infinite mapping [FB-20]
            2 => DssMapping {
                data_seq: long(data_seq),
                subflow_seq: SubflowSeq::from_offset(flow.nxt),
                data_len: 0,
                checksum,
            },
            _ => DssMapping {
                data_seq: if u.flag()? {
                    long(data_seq)
                } else {
                    WireDataSeq::Short(u.arbitrary()?)
                },
                subflow_seq: SubflowSeq(
                    (flow.nxt as u32).wrapping_add(u.below(8)? as u32).wrapping_sub(3),
                ),
                data_len: u.length()? as u16,
                checksum,
            },
        };
        let data_fin = u.below(4)? == 0;
        let data_ack =
            if u.flag()? { Some(long(level.own_dsn(u64::from(u.length()?)))) } else { None };
        Ok(seg().dss(Dss { data_ack, mapping: Some(mapping), data_fin }).data(&data))
    }

    /// Something about a packet becomes something else; most of the time the checksum is put right again.
    fn disturb(&mut self, u: &mut Unstructured<'_>, mut packet: Vec<u8>) -> Result<Vec<u8>> {
        let tcp = if self.setup.ipv6 { 40 } else { 20 };
        if packet.len() < tcp + 20 {
            return Ok(packet);
        }
        self.lied = true;
        let header = (usize::from(packet[tcp + 12] >> 4) * 4).min(packet.len() - tcp);
        let mut add = |at: usize, value: u32| {
            if let Some(field) = packet.get_mut(at..at + 4).and_then(|f| f.first_chunk_mut::<4>()) {
                *field = u32::from_be_bytes(*field).wrapping_add(value).to_be_bytes();
            }
        };
        match u.below(8)? {
            0 => add(tcp + 4, u.length()?.wrapping_sub(100)),
            1 => add(tcp + 8, u.length()?.wrapping_sub(100)),
            2 => packet[tcp + 13] ^= 1 << u.below(8)?,
            3 => packet[tcp + 12] = u.arbitrary()?,
            4 => {
                let at = tcp + 20 + u.below(40)? % header.saturating_sub(19).max(1);
                if let Some(byte) = packet.get_mut(at) {
                    *byte ^= u.arbitrary::<u8>()?;
                }
            }
            5 => {
                let at = tcp + u.arbitrary::<u16>()? as usize % (packet.len() - tcp);
                packet[at] ^= 1 << u.below(8)?;
            }
            6 => packet.truncate(tcp + 20 + u.below(256)?),
            _ => {
                let more = u.octets(32)?;
                self.payload += more.len() as u64;
                packet.extend_from_slice(more);
            }
        }
        let len = packet.len();
        if self.setup.ipv6 {
            packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        } else {
            packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        }
        // a data offset further back makes payload of options
        self.payload += 40;
        if u.below(8)? != 0 {
            fix_checksums(&mut packet);
        }
        Ok(packet)
    }
}
