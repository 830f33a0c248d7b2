//! DSS options and the data they map.

use super::join::side_of;
use super::mapping::{Insert, Mapping, Sum, Verdict};
use super::measure::add;
use super::stream::{Half, Role, near};
use super::{Connection, Placed, Side, Trace};
use crate::packet::{Packet, SYN};
use mpuser_engine::wire::{Dss, DssMapping, WireDataSeq};

/// No data sequence number is so far from the others.
const FAR: i64 = 1 << 31;
/// How long an infinite mapping is, as far as a capture goes.
const INFINITE: u64 = 1 << 48;
/// Data on a SYN is at most this.
const MOST_SYN_DATA: usize = 2048;

impl Trace {
    pub(super) fn dss(&mut self, packet: &Packet<'_>, placed: &mut Placed, dss: &Dss) {
        let Some(index) = self.midstream(placed.stream) else { return };
        if let Some((_, half, _)) = self.parties(placed) {
            half.dss += 1;
        }
        if let Some(ack) = dss.data_ack {
            self.data_ack(packet, placed, ack);
        }
        if let Some(mapping) = &dss.mapping {
            if mapping.is_infinite() {
                self.infinite(packet, placed, index, mapping);
            } else {
                self.mapping(packet, placed, mapping, dss.data_fin);
                let dsn = placed.dsn;
                let peer = self.streams.get_mut(placed.stream);
                let peer = peer.and_then(|s| s.halves.get_mut(1 - placed.from));
                let data = mapping.data_len > u16::from(dss.data_fin);
                if let (Some(peer), WireDataSeq::Long(_), true) = (peer, mapping.data_seq, data) {
                    peer.got_long = peer.got_long.or(dsn);
                }
            }
        }
    }

    /// The stream's sending half, its side of the connection, and the connection's version.
    fn parties(&mut self, placed: &Placed) -> Option<(&mut Side, &mut Half, Option<bool>)> {
        let stream = self.streams.get_mut(placed.stream)?;
        let connection = self.connections.get_mut(stream.connection?)?;
        let agreed = connection.checksum();
        let side = connection.sides.get_mut(side_of(stream.opener, placed.from))?;
        Some((side, stream.halves.get_mut(placed.from)?, agreed))
    }

    fn data_ack(&mut self, packet: &Packet<'_>, placed: &mut Placed, ack: WireDataSeq) {
        let Some(stream) = self.streams.get_mut(placed.stream) else { return };
        let whole = stream.is_whole();
        let side = side_of(stream.opener, 1 - placed.from);
        let got_long = stream.halves.get(placed.from).and_then(|half| half.got_long);
        let connection = stream.connection.and_then(|index| self.connections.get_mut(index));
        let Some(acked) = connection.and_then(|c| c.sides.get_mut(side)) else { return };
        let (relative, full) = acked.relative(ack);
        placed.data_ack = Some(relative);
        let exact = acked.exact;
        if exact && (relative < 1 || relative > acked.end().max(acked.acked.0) + FAR) {
            let what =
                format!("Data ACK {full:#018x} is far from the data sequence numbers in use");
            self.finding(packet.number, placed.stream, &["DACK-15", "INI-38"], what);
        } else {
            acked.acknowledged(relative, packet.number, placed.stream);
        }
        // RFC 8684 3.3.2 [DACK-1]
        let answers = got_long.is_some_and(|first| relative > first);
        if answers && whole && matches!(ack, WireDataSeq::Short(_)) {
            let what = "a Data ACK of 32 bits, although data sequence numbers of 64 bits came";
            self.finding(packet.number, placed.stream, &["DACK-1"], what.to_owned());
        }
    }

    /// From here on plain TCP [DSS-23].
    fn infinite(
        &mut self,
        packet: &Packet<'_>,
        placed: &mut Placed,
        index: usize,
        mapping: &DssMapping,
    ) {
        if mapping.checksum.is_some_and(|checksum| checksum != 0) {
            let what = "an infinite mapping whose checksum is not 0".to_owned();
            self.finding(packet.number, placed.stream, &["DSS-23"], what);
        }
        if let Some(connection) = self.connections.get_mut(index) {
            connection.infinite.get_or_insert(packet.number);
        }
        let Some((side, half, _)) = self.parties(placed) else { return };
        let (dsn, _) = side.relative(mapping.data_seq);
        placed.dsn = Some(dsn);
        let start = first_octet(half, mapping, placed.seq, packet);
        let endless =
            Mapping { len: INFINITE, dsn, packet: packet.number, checksum: None, right: None };
        let _ = half.maps.insert(start, endless);
    }

    /// A mapping, from a DSS or from MP_CAPABLE.
    pub(super) fn mapping(
        &mut self,
        packet: &Packet<'_>,
        placed: &mut Placed,
        mapping: &DssMapping,
        fin: bool,
    ) {
        let Some((side, half, agreed)) = self.parties(placed) else { return };
        let (dsn, full) = side.relative(mapping.data_seq);
        placed.dsn = Some(dsn);
        let octets = i64::from(mapping.data_len) - i64::from(fin);
        let start = first_octet(half, mapping, placed.seq, packet);
        let known = side.end().max(side.acked.0);
        let far = side.exact && (dsn < 1 || dsn > known + FAR);
        let payload = i64::from(packet.payload_len);
        let beside = octets > 0
            && payload > 0
            && (start >= placed.seq + payload || start + octets <= placed.seq);
        let mut said: Vec<(&'static [&'static str], String)> = Vec::new();
        match (agreed, mapping.checksum) {
            (Some(true), None) => {
                said.push((&["DSS-2"], "a mapping without the checksum agreed upon".to_owned()));
            }
            (Some(false), Some(_)) => {
                let what = "a mapping with a checksum nobody asked for".to_owned();
                said.push((&["DSS-1"], what));
            }
            _ => {}
        }
        if far {
            let what = format!("data sequence number {full:#018x} is far from the one expected");
            said.push((&["INI-26", "DSS-7", "DACK-15"], what));
        }
        if beside {
            let what = format!(
                "the mapping is of octets {start} to {}, the segment has {} to {}",
                start + octets - 1,
                placed.seq,
                placed.seq + payload - 1
            );
            said.push((&["DSS-21", "DSS-7"], what));
        }
        if octets == 0 && fin && mapping.subflow_seq.0 != 0 {
            let what = format!(
                "a DATA_FIN without data has subflow sequence number {}, not 0",
                mapping.subflow_seq.0
            );
            said.push((&["FIN-2", "DSS-7"], what));
        }
        side.mappings += 1;
        let exact = half.ssn_exact;
        if beside && !exact {
            return;
        }
        if far || beside {
            half.suspect = true;
            side.suspect = true;
            for (ids, what) in said {
                self.finding(packet.number, placed.stream, ids, what);
            }
            return;
        }
        if fin {
            let at = side.fins.entry(dsn + octets).or_insert((0, packet.number, placed.stream));
            at.0 += 1;
        }
        said.extend(announce(packet, side, half, (start, octets, dsn, full), placed.seq, mapping));
        for (ids, what) in said {
            self.finding(packet.number, placed.stream, ids, what);
        }
    }

    /// The data of a segment, mapped or not.
    pub(super) fn data(&mut self, packet: &Packet<'_>, placed: &Placed) {
        self.syn_data(packet, placed);
        let Some(stream) = self.streams.get_mut(placed.stream) else { return };
        let early = stream.role == Role::Joined
            && placed.from == 0
            && packet.payload_len > 0
            && stream.is_whole()
            && stream.join_ack
            && !stream.fourth;
        stream.fourth |= placed.from == 1 && stream.join_ack && !packet.has(SYN);
        let index = stream.connection;
        if early {
            let what = "data on a joined subflow before its third packet was answered".to_owned();
            self.unless_lost(packet.number, placed.stream, &["JOIN-10"], what);
        }
        let (Some(index), true) = (index, packet.payload_len > 0 && !packet.has(SYN)) else {
            return;
        };
        let start = placed.seq;
        let end = start + i64::from(packet.payload_len);
        let Some((side, half, _)) = self.parties(placed) else { return };
        let pieces = half.maps.pieces(start, end);
        let mut upto = start;
        for (from, len, _) in &pieces {
            if *from > upto {
                half.wait_for_mapping(upto, *from, packet.number);
            }
            upto = from + len;
        }
        if upto < end {
            half.wait_for_mapping(upto, end, packet.number);
        }
        for (_, len, dsn) in &pieces {
            arrive(side, half, *dsn, *len, packet);
        }
        let verdicts = half.maps.octets(start, packet.payload);
        for verdict in &verdicts {
            match verdict {
                Verdict::Right => side.checksums.0 += 1,
                Verdict::Wrong(_) => {
                    side.checksums.1 += 1;
                    side.suspect = true;
                }
            }
        }
        for verdict in verdicts {
            self.checksum_verdict(placed, verdict);
        }
        if let Some(follow) = &mut self.follow {
            let side =
                self.streams.get(placed.stream).map_or(0, |s| side_of(s.opener, placed.from));
            for (from, _, dsn) in &pieces {
                let at = usize::try_from(from - start).unwrap_or(usize::MAX);
                let piece_end = pieces.iter().find(|p| p.0 > *from).map_or(end, |p| p.0);
                let until = usize::try_from(piece_end - start).unwrap_or(usize::MAX);
                let all = packet.payload;
                let bytes = all.get(at..until.min(all.len())).unwrap_or_default();
                follow.octets(index, side, *dsn, bytes);
            }
        }
    }

    fn checksum_verdict(&mut self, placed: &Placed, verdict: Verdict) {
        if let Verdict::Wrong(at) = verdict {
            let what = "the DSS checksum does not fit mapping and data".to_owned();
            self.finding(at, placed.stream, &["DSS-9", "FB-9"], what);
        }
    }

    /// Data on a SYN stands before the first octet that is mapped, if the SYN/ACK takes it (RFC 8684 B).
    fn syn_data(&mut self, packet: &Packet<'_>, placed: &Placed) {
        let Some(stream) = self.streams.get_mut(placed.stream) else { return };
        if packet.is_syn() && packet.payload_len > 0 && packet.payload.len() <= MOST_SYN_DATA {
            stream.syn_data = packet.payload.to_vec();
        }
        if packet.is_syn_ack() && placed.ack > 1 && !stream.syn_data.is_empty() {
            let taken = usize::try_from(placed.ack - 1).unwrap_or_default();
            let mut data = std::mem::take(&mut stream.syn_data);
            data.truncate(taken);
            stream.syn_data_len = data.len() as i64;
            // subflow sequence numbers count from behind it
            stream.halves[0].ssn_shift = Some(-stream.syn_data_len);
            let index = stream.connection;
            if let (Some(follow), Some(index)) = (&mut self.follow, index) {
                follow.ahead(index, &data);
            }
        }
    }
}

/// Where the mapping begins on the subflow, relative to its SYN.
fn first_octet(half: &mut Half, mapping: &DssMapping, seq: i64, packet: &Packet<'_>) -> i64 {
    let ssn = mapping.subflow_seq.0;
    let mut shift = half.ssn_shift.unwrap_or_default();
    let start = near(ssn, seq + shift) - shift;
    if packet.payload_len == 0 || ssn == 0 {
        return start;
    }
    if half.ssn_exact {
        let covers = |start: i64| start <= seq && seq < start + i64::from(mapping.data_len);
        // some count what the SYN carried, too
        if shift < 0 && !covers(start) && covers(start + shift) {
            half.ssn_shift = Some(0);
            half.maps = super::mapping::Mappings::new();
            return start + shift;
        }
        // and without the SYN/ACK nobody knows whether it was taken
        let carried = half.syn_payload;
        if shift == 0 && carried > 0 && !covers(start) && covers(start + carried) {
            half.ssn_shift = Some(-carried);
            half.maps = super::mapping::Mappings::new();
            return start + carried;
        }
        return start;
    }
    // Without the SYN: no mapping begins behind its segment, and some begin with it.
    if half.ssn_shift.is_none() || start > seq {
        shift = near(ssn, seq + shift) - seq;
        half.ssn_shift = Some(shift);
        half.maps = super::mapping::Mappings::new();
        half.unmapped.clear();
    }
    near(ssn, seq + shift) - shift
}

/// Puts a mapping in its place; gives what is wrong with it.
fn announce(
    packet: &Packet<'_>,
    side: &mut Side,
    half: &mut Half,
    (start, octets, dsn, full): (i64, i64, i64, u64),
    seq: i64,
    mapping: &DssMapping,
) -> Vec<(&'static [&'static str], String)> {
    let mut said: Vec<(&'static [&'static str], String)> = Vec::new();
    // without the SYN the place of a mapping is a guess, but for one that fills its segment
    let fills = start == seq && octets == i64::from(packet.payload_len);
    // the checksum is over 64 bits, whatever the option shows
    let known = side.exact || matches!(mapping.data_seq, WireDataSeq::Long(_));
    let sum = mapping
        .checksum
        .filter(|_| known && (half.ssn_exact || fills))
        .map(|checksum| Sum::new(full, mapping.subflow_seq.0, mapping.data_len, checksum));
    if octets <= 0 {
        if let Some(sum) = sum {
            if sum.fits(&[]) {
                side.checksums.0 += 1;
            } else {
                side.checksums.1 += 1;
                said.push((
                    &["DSS-9", "FIN-2"],
                    "the DSS checksum of a DATA_FIN is wrong".to_owned(),
                ));
            }
        }
        return said;
    }
    let len = octets.unsigned_abs();
    let sum = sum.map(|sum| sum.without_fin(len));
    let new = Mapping { len, dsn, packet: packet.number, checksum: sum, right: None };
    match half.maps.insert(start, new) {
        Insert::Conflict(_) if !half.ssn_exact => {}
        Insert::Conflict(before) => {
            let what = format!(
                "octets {start} to {} of the subflow are mapped to {dsn}; packet {before} said otherwise",
                start + octets - 1
            );
            said.push((&["DSS-4"], what));
            side.suspect = true;
        }
        Insert::Again => {}
        Insert::OtherSum => {
            side.checksums.1 += 1;
            said.push((
                &["DSS-9", "DSS-4"],
                "a mapping is repeated with a wrong checksum".to_owned(),
            ));
        }
        Insert::New => {
            // what is older than the first number of a capture from the middle is not counted
            if let Ok(first) = u64::try_from(dsn) {
                let new = add(&mut side.mapped, first..first + len);
                side.reinjected += len - new;
                side.mapped_octets += new;
            }
            late(side, half, start, octets, dsn, packet);
        }
    }
    said
}

/// A mapping has come for octets that were there before it.
fn late(side: &mut Side, half: &mut Half, start: i64, octets: i64, dsn: i64, packet: &Packet<'_>) {
    let end = start + octets;
    let waiting = std::mem::take(&mut half.unmapped);
    for (a, b, number) in waiting {
        let (from, to) = (a.max(start), b.min(end));
        if from >= to {
            half.unmapped.push((a, b, number));
            continue;
        }
        arrive(side, half, dsn + (from - start), to - from, packet);
        if a < from {
            half.unmapped.push((a, from, number));
        }
        if to < b {
            half.unmapped.push((to, b, number));
        }
    }
}

/// Octets of the connection have come.
fn arrive(side: &mut Side, half: &mut Half, dsn: i64, len: i64, packet: &Packet<'_>) {
    let (Ok(first), Ok(len)) = (u64::try_from(dsn), u64::try_from(len)) else { return };
    let range = first..first + len;
    let new = add(&mut side.arrived, range.clone());
    side.octets += new;
    side.duplicate += len - new;
    half.duplicate_data += len - new;
    half.new_data += new;
    if !side.exact && side.ordering.next == 1 && side.ordering.ahead.is_empty() {
        // a capture that begins in the middle begins here
        side.ordering.next = range.start;
    }
    side.ordering.arrived(range, packet.time, packet.number);
}

impl Connection {
    /// The side of a stream's end.
    pub(super) fn side_mut(&mut self, side: usize) -> Option<&mut Side> {
        self.sides.get_mut(side)
    }
}
