//! What a packet carries at data level, and whether it went before: what comments of a capture are made of.
//!
//! Headers of sent packets are looked at in their order; the sender needs not to be asked.

use mpuser_engine::wire::{
    DssMapping, IpHeader, MpCapable, MptcpOption, TcpHeader, TcpOption, TcpOptionIter, WireDataSeq,
};
use std::collections::BTreeMap;

/// Ranges remembered for each connection; the lowest are forgotten first.
const MOST_RANGES: usize = 4096;
/// Connections remembered; those with the lowest numbers are forgotten first.
const MOST_CONNECTIONS: usize = 1024;
/// Keys of one connection: its own and, where one number stands for several, theirs.
const MOST_BASES: usize = 16;
/// The fixed part of a TCP header, octets.
const TCP_HEADER: usize = 20;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Data sequence number, 1 for the first octet of the connection; as it stands where the key is not known.
    pub dsn: u64,
    /// Octets mapped.
    pub len: u64,
    /// The subflow that carried some of it before; the same one retransmits.
    pub before: Option<u32>,
}

impl Carried {
    /// In words: `dsn 18001+1448, reinject of sub 1`. `name` is what a subflow is called, `own` the one at hand.
    #[must_use]
    pub fn words(&self, name: &str, own: u32) -> String {
        let Self { dsn, len, before } = self;
        match before {
            None => format!("dsn {dsn}+{len}"),
            Some(before) if *before == own => format!("dsn {dsn}+{len}, retransmission"),
            Some(before) => format!("dsn {dsn}+{len}, reinject of {name} {before}"),
        }
    }
}

#[derive(Debug, Default)]
struct Connection {
    /// Numbers before the first octets.
    bases: Vec<u64>,
    /// The sequence number before the first octet of each subflow, from its SYN.
    starts: BTreeMap<u32, u32>,
    /// By first data sequence number: the one behind the last, and the subflow.
    sent: BTreeMap<u64, (u64, u32)>,
}

/// What connections have sent so far.
#[derive(Debug, Default)]
pub struct Story {
    connections: BTreeMap<u64, Connection>,
}

impl Story {
    /// A packet that `subflow` of `connection` sends; `headers` are IP's and TCP's.
    pub fn sent(
        &mut self,
        connection: u64,
        subflow: u32,
        headers: &[u8],
        payload: usize,
    ) -> Option<Carried> {
        let ip = IpHeader::parse_beginning(headers).ok()?;
        let segment = headers.get(ip.header_len..)?;
        let (header, len) = TcpHeader::parse(segment).ok()?;
        let options = TcpOptionIter::new(segment.get(TCP_HEADER..len)?);
        let mut carried = None;
        while self.connections.len() > MOST_CONNECTIONS {
            self.connections.pop_first();
        }
        let known = self.connections.entry(connection).or_default();
        if header.flags.syn {
            // data on a SYN stands before what is mapped (RFC 8684 B)
            let early = u32::try_from(payload).unwrap_or_default();
            known.starts.insert(subflow, header.seq.0.wrapping_add(early));
        }
        for option in options {
            match option {
                Ok(TcpOption::Mptcp(MptcpOption::Capable(capable))) => {
                    carried = known.capable(&capable).or(carried);
                }
                Ok(TcpOption::Mptcp(MptcpOption::Dss(dss))) => {
                    carried = dss.mapping.as_ref().and_then(Mapping::of).or(carried);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let mapping = carried.filter(|mapping| payload > 0 && mapping.len > 0)?;
        let place = known.starts.get(&subflow).map(|start| header.seq.0.wrapping_sub(*start));
        let (start, len) = mapping.part(place, payload as u64);
        Some(known.carry(start, len, subflow))
    }
}

/// A mapping, as announced.
#[derive(Clone, Copy)]
struct Mapping {
    start: u64,
    len: u64,
    /// Where it begins on the subflow.
    subflow_seq: u32,
}

impl Mapping {
    fn of(dss: &DssMapping) -> Option<Self> {
        let start = match dss.data_seq {
            WireDataSeq::Long(all) => all,
            WireDataSeq::Short(low) => low.into(),
        };
        let (len, subflow_seq) = (dss.data_len.into(), dss.subflow_seq.0);
        (!dss.is_infinite()).then_some(Self { start, len, subflow_seq })
    }

    /// What `octets` from relative sequence number `place` on are of it: a mapping may span several packets, each of
    /// which repeats it. The whole of it where the place is not known.
    fn part(&self, place: Option<u32>, octets: u64) -> (u64, u64) {
        let into = place.map(|place| u64::from(place.wrapping_sub(self.subflow_seq)));
        match into.filter(|into| *into < self.len) {
            Some(into) => (self.start.wrapping_add(into), octets.min(self.len - into)),
            None => (self.start, self.len),
        }
    }
}

impl Connection {
    /// Keys give the first data sequence number; with data, MP_CAPABLE is the first mapping.
    fn capable(&mut self, capable: &MpCapable) -> Option<Mapping> {
        let (MpCapable::SynAck { sender_key, .. }
        | MpCapable::Ack { sender_key, .. }
        | MpCapable::AckData { sender_key, .. }) = capable
        else {
            return None;
        };
        let base = sender_key.facts().idsn.0;
        if !self.bases.contains(&base) {
            self.bases.truncate(MOST_BASES - 1);
            self.bases.insert(0, base);
        }
        match capable {
            MpCapable::AckData { data_len, .. } => {
                let (start, len) = (base.wrapping_add(1), u64::from(*data_len));
                Some(Mapping { start, len, subflow_seq: 1 })
            }
            _ => None,
        }
    }

    fn carry(&mut self, start: u64, len: u64, subflow: u32) -> Carried {
        let end = start.saturating_add(len);
        let before = self.sent.range(..end).next_back();
        let before = before.filter(|(_, (upto, _))| *upto > start).map(|(_, (_, on))| *on);
        if before.is_none() {
            self.sent.insert(start, (end, subflow));
            if self.sent.len() > MOST_RANGES {
                self.sent.pop_first();
            }
        }
        let dsn = self.bases.iter().map(|base| start.wrapping_sub(*base)).min().unwrap_or(start);
        Carried { dsn, len, before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpuser_engine::crypto::Key;
    use mpuser_engine::seq::SubflowSeq;
    use mpuser_engine::wire::{CapableFlags, Dss};

    /// IPv4 and TCP headers with this sequence number, flags and option.
    fn segment(seq: u32, flags: u8, option: &MptcpOption) -> Vec<u8> {
        let mut all = [0; 40];
        let len = option.emit(&mut all).expect("room").next_multiple_of(4);
        let mut bytes = vec![0x45, 0, 0, 40 + len as u8, 0, 0, 0, 0, 64, 6, 0, 0];
        bytes.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 81]);
        bytes.extend(seq.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([(5 + len as u8 / 4) << 4, flags, 1, 0, 0, 0, 0, 0]);
        bytes.extend(&all[..len]);
        bytes
    }

    fn headers(option: &MptcpOption) -> Vec<u8> {
        segment(0, 0x10, option)
    }

    fn mapping(base: u64, dsn: u64, len: u16) -> Vec<u8> {
        let mapping = DssMapping {
            data_seq: WireDataSeq::Long(base.wrapping_add(dsn)),
            subflow_seq: SubflowSeq(1),
            data_len: len,
            checksum: None,
        };
        headers(&MptcpOption::Dss(Dss { data_ack: None, mapping: Some(mapping), data_fin: false }))
    }

    #[test]
    fn new_data_retransmissions_and_reinjections_are_told_apart() {
        let key = Key(0x1234_5678_9abc_def0);
        let base = key.facts().idsn.0;
        let mut story = Story::default();
        let ack = MpCapable::Ack {
            version: 1,
            flags: CapableFlags(1),
            sender_key: key,
            receiver_key: Key(1),
        };
        assert_eq!(story.sent(4, 0, &headers(&MptcpOption::Capable(ack)), 0), None);
        let first = story.sent(4, 0, &mapping(base, 1, 100), 100).expect("data");
        assert_eq!(first, Carried { dsn: 1, len: 100, before: None });
        let next = story.sent(4, 1, &mapping(base, 101, 50), 50).expect("data");
        assert_eq!((next.dsn, next.before), (101, None));
        let again = story.sent(4, 0, &mapping(base, 1, 100), 100).expect("data");
        assert_eq!(again.words("sub", 0), "dsn 1+100, retransmission");
        let other = story.sent(4, 1, &mapping(base, 51, 50), 50).expect("data");
        assert_eq!(other.words("sub", 1), "dsn 51+50, reinject of sub 0");
        // another connection knows nothing of it
        let fresh = story.sent(5, 1, &mapping(base, 51, 50), 50).expect("data");
        assert_eq!(fresh.before, None);
        // no data, no TCP
        assert_eq!(story.sent(4, 0, &mapping(base, 1, 100), 0), None);
        assert_eq!(story.sent(4, 0, &[0x45, 0], 9), None);
    }

    #[test]
    fn packets_of_one_mapping_are_no_retransmissions() {
        let dss = |ssn, len| {
            let (data_seq, subflow_seq) = (WireDataSeq::Long(1_000), SubflowSeq(ssn));
            let mapping = DssMapping { data_seq, subflow_seq, data_len: len, checksum: None };
            MptcpOption::Dss(Dss { data_ack: None, mapping: Some(mapping), data_fin: false })
        };
        let mut story = Story::default();
        // the SYN, close to where sequence numbers wrap
        let syn = MptcpOption::Capable(MpCapable::Syn { version: 1, flags: CapableFlags(1) });
        story.sent(0, 0, &segment(u32::MAX - 99, 0x02, &syn), 0);
        let mut said = |seq: u32, payload| {
            let carried = story.sent(0, 0, &segment(seq, 0x10, &dss(1, 3_000)), payload);
            carried.map(|c| (c.dsn, c.len, c.before))
        };
        assert_eq!(said(u32::MAX - 98, 1_400), Some((1_000, 1_400, None)));
        assert_eq!(said(1_301, 1_400), Some((2_400, 1_400, None)));
        assert_eq!(said(2_701, 200), Some((3_800, 200, None)));
        assert_eq!(said(1_301, 1_400), Some((2_400, 1_400, Some(0))));
    }
}
