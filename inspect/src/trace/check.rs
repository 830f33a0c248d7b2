//! What can only be said when all has been seen.

use super::{Fallback, Finding, Role, Trace};

/// A sender whose checksums are wrong more often than this, in percent, does not fill them in.
const OFFLOAD: u64 = 20;

impl Trace {
    /// The findings that need the whole trace.
    pub(super) fn conclude(&mut self) {
        self.tcp_checksums();
        self.refused_joins();
        for finding in std::mem::take(&mut self.tentative) {
            if finding.connection.is_some_and(|index| self.is_whole(index)) {
                self.findings.push(finding);
            }
        }
        for index in 0..self.connections.len() {
            for side in 0..2 {
                self.data_fins(index, side);
                self.unmapped(index, side);
                self.holes(index, side);
                self.beyond(index, side);
            }
        }
        self.findings.sort_by_key(|finding| finding.packet);
        self.findings.dedup();
    }

    /// A wrong checksum means something only where the others of the same sender are right.
    fn tcp_checksums(&mut self) {
        let mut found = Vec::new();
        for sums in self.checksums.values() {
            let all = sums.good + sums.bad;
            if sums.bad == 0 || sums.bad * 100 > all * OFFLOAD || sums.unfilled > sums.good {
                continue;
            }
            found.extend(sums.first_bad.iter().copied());
        }
        for (packet, stream, connection) in found {
            let what = "the TCP checksum is wrong".to_owned();
            self.findings.push(Finding {
                packet,
                ids: &["RFC9293-3.1", "OPT-6"],
                stream,
                connection,
                what,
            });
        }
    }

    /// Joins with tokens that belong to nobody, where the connection they can be for is in the capture.
    fn refused_joins(&mut self) {
        let mut found = Vec::new();
        for stream in self.streams.iter().filter(|s| s.role == Role::Joined) {
            let (None, Some(token)) = (stream.connection, stream.token) else { continue };
            let [from, to] = stream.ends;
            let meant = self.connections.iter().find(|connection| {
                connection.keys().is_some()
                    && connection.sides.iter().any(|side| {
                        side.addresses
                            .values()
                            .any(|address| *address == to.ip() || *address == from.ip())
                    })
            });
            if let Some(meant) = meant {
                let what = format!("token {token:#010x} is no connection's");
                found.push((stream.token_packet, stream.index, meant.index, what));
            }
        }
        for (packet, stream, meant, what) in found {
            let ids = &["JOIN-1", "JOIN-6", "INI-25"];
            self.findings.push(Finding { packet, ids, stream, connection: Some(meant), what });
        }
    }

    /// There is one end of the data, and nothing behind it [FIN-1].
    fn data_fins(&mut self, index: usize, side: usize) {
        let connection = self.connections.get_mut(index);
        let Some(side) = connection.and_then(|c| c.sides.get_mut(side)) else { return };
        let mut found = Vec::new();
        let end = side.end();
        if side.mapped.is_empty() {
            return;
        }
        let right = side.fins.iter().max_by_key(|(at, (count, _, _))| (**at >= end, *count));
        let Some(right) = right.map(|(at, _)| *at) else { return };
        for (at, (_, packet, stream)) in &side.fins {
            if *at < end {
                let what = format!("a DATA_FIN at {at}, but data goes on to {}", end - 1);
                found.push((*packet, *stream, what));
            } else if *at != right {
                let what = format!("a DATA_FIN at {at}, but others are at {right}");
                found.push((*packet, *stream, what));
            } else if *at > end && side.exact && side.acked.0 == end + 1 {
                // that acknowledges a DATA_FIN right behind the data
                let what = format!("a DATA_FIN at {at}, but the data ended at {}", end - 1);
                found.push((*packet, *stream, what));
            }
        }
        // the octet a wrong DATA_FIN took is no hole of its own
        side.suspect |= !found.is_empty();
        for (packet, stream, what) in found {
            self.finding(packet, stream, &["FIN-1"], what);
        }
    }

    /// Data that never got a mapping, on a connection that went on with MPTCP.
    fn unmapped(&mut self, index: usize, side: usize) {
        let Some(connection) = self.connections.get(index) else { return };
        let fallback = connection.fallback(&self.streams);
        let mut found = Vec::new();
        let mut octets = 0;
        for stream in connection.subflows.iter().filter_map(|index| self.streams.get(*index)) {
            let from = usize::from(stream.opener != side);
            let Some(half) = stream.halves.get(from) else { continue };
            octets += half.unmapped.iter().map(|(a, b, _)| b.abs_diff(*a)).sum::<u64>();
            let whole = stream.is_whole() && !stream.halves.iter().any(|h| h.lost_by_capture);
            if !whole || half.suspect || half.maps.is_empty() || fallback.is_some() {
                continue;
            }
            let mut last = None;
            for (a, b, packet) in &half.unmapped {
                if last != Some(*packet) {
                    found.push((
                        *packet,
                        stream.index,
                        format!("octets {a} to {} have no mapping", b - 1),
                    ));
                }
                last = Some(*packet);
            }
        }
        if let Some(side) = self.connections.get_mut(index).and_then(|c| c.sides.get_mut(side)) {
            side.unmapped = octets;
        }
        for (packet, stream, what) in found {
            self.finding(packet, stream, &["DSS-14", "DSS-12"], what);
        }
    }

    /// Every segment of every subflow is there, as far as can be known.
    fn is_whole(&self, index: usize) -> bool {
        self.connections.get(index).is_some_and(|connection| {
            connection.keys().is_some()
                && connection.subflows.iter().filter_map(|index| self.streams.get(*index)).all(
                    |s| {
                        s.is_whole()
                            && s.halves.iter().all(|half| !half.lost_by_capture && !half.suspect)
                    },
                )
        })
    }

    /// Data acknowledged that nobody mapped: a data sequence number has been left out.
    ///
    /// On a path that was not captured there may be whatever is missing. So a hole counts only where the mapping behind
    /// it would fit its neighbours on the subflow without the hole.
    fn holes(&mut self, index: usize, side: usize) {
        if !self.is_whole(index) {
            return;
        }
        let Some(connection) = self.connections.get(index) else { return };
        let fallback = connection.fallback(&self.streams);
        let Some(known) = connection.sides.get(side) else { return };
        if known.suspect || fallback.is_some() || !known.exact {
            return;
        }
        let mut upto = 1;
        let mut found = Vec::new();
        for range in known.mapped.iter() {
            let (from, to) = (upto, range.start.cast_signed());
            upto = range.end.cast_signed();
            if from >= to || known.acked.0 <= to {
                continue;
            }
            for stream in connection.subflows.iter().filter_map(|index| self.streams.get(*index)) {
                let half = stream.halves.get(usize::from(stream.opener != side));
                let misplaced = half.and_then(|half| half.maps.misplaced(from, to));
                if let Some(packet) = misplaced {
                    let what =
                        format!("the data jumps from {from} to {to}, and yet it was acknowledged");
                    found.push((packet, stream.index, what));
                }
            }
        }
        for (packet, stream, what) in found {
            self.finding(packet, stream, &["DSS-7", "FIN-3"], what);
        }
    }

    /// A Data ACK for what was never sent.
    fn beyond(&mut self, index: usize, side: usize) {
        if !self.is_whole(index) {
            return;
        }
        let Some(connection) = self.connections.get(index) else { return };
        let Some(known) = connection.sides.get(side) else { return };
        let fin = known.fins.last_key_value().map_or(0, |(at, _)| at + 1);
        let end = known.end().max(fin);
        let (acked, packet) = known.acked;
        let plain = connection.fallback(&self.streams).is_some_and(|f| f != Fallback::NoDss);
        // what is missing may have gone over a path that was not captured: then it comes bit by bit
        let alone = known.acked_before <= end && known.mapped.len() <= 1;
        let taken_back = known.acked_on.1;
        if acked > end && known.exact && !known.suspect && !plain && alone && taken_back {
            let what = format!("Data ACK {acked}, but only {} octets were sent", end - 1);
            let stream = connection.subflows.first().copied().unwrap_or_default();
            self.finding(packet, stream, &["DACK-15", "DACK-8"], what);
        }
    }
}
