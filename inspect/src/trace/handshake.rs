//! MP_CAPABLE: connections begin, keys become known.

use super::connection::Connection;
use super::stream::Role;
use super::{Placed, Trace};
use crate::packet::{Packet, SYN};
use crate::v0;
use mpuser_engine::crypto::Key;
use mpuser_engine::seq::SubflowSeq;
use mpuser_engine::wire::{DssMapping, MpCapable, WireDataSeq};

impl Trace {
    pub(super) fn capable(&mut self, packet: &Packet<'_>, placed: &mut Placed, option: &MpCapable) {
        let (version, flags) = match *option {
            MpCapable::Syn { version, flags }
            | MpCapable::SynAck { version, flags, .. }
            | MpCapable::Ack { version, flags, .. }
            | MpCapable::AckData { version, flags, .. } => (version, flags.0),
        };
        self.capable_form(packet, placed, option, version);
        self.capable_flags(packet, placed, version, flags);
        let Some(index) = self.first_subflow(placed.stream, version) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        let step = match (packet.has(SYN), packet.is_syn_ack()) {
            (true, false) => 0,
            (true, true) => 1,
            _ => 2,
        };
        let offered = connection.flags[0];
        if let Some(slot) = connection.flags.get_mut(step) {
            slot.get_or_insert(flags);
        }
        if step == 1 {
            self.answer(packet, placed, version, flags, offered);
        }
        if step == 2 {
            self.confirmed(packet, placed, index, flags);
        }
        match option {
            MpCapable::Syn { .. } => {}
            MpCapable::SynAck { sender_key, .. } => {
                self.key(packet, placed, index, placed.from, sender_key.0);
            }
            MpCapable::Ack { sender_key, receiver_key, .. }
            | MpCapable::AckData { sender_key, receiver_key, .. } => {
                self.key(packet, placed, index, placed.from, sender_key.0);
                self.key(packet, placed, index, 1 - placed.from, receiver_key.0);
            }
        }
        if let MpCapable::AckData { data_len, checksum, .. } = *option {
            self.first_data(packet, placed, index, data_len, checksum);
        }
    }

    /// The connection of a first subflow, made if need be.
    fn first_subflow(&mut self, stream: usize, version: u8) -> Option<usize> {
        let next = self.connections.len();
        let stream = self.streams.get_mut(stream)?;
        if let Some(index) = stream.connection {
            return Some(index);
        }
        stream.role = Role::First;
        stream.connection = Some(next);
        let mut connection = Connection::new(next, Some(version));
        connection.subflows.push(stream.index);
        for (side, end) in connection.sides.iter_mut().zip(stream.ends) {
            // RFC 8684 3.2 [JOIN-2]
            side.addresses.insert(0, end.ip());
        }
        self.connections.push(connection);
        Some(next)
    }

    /// Each form has its place [INI-6].
    fn capable_form(
        &mut self,
        packet: &Packet<'_>,
        placed: &Placed,
        option: &MpCapable,
        version: u8,
    ) {
        let right = match option {
            MpCapable::Syn { .. } => packet.is_syn() && version != 0,
            MpCapable::SynAck { .. } => packet.is_syn_ack() || packet.is_syn() && version == 0,
            MpCapable::Ack { .. } => !packet.has(SYN),
            MpCapable::AckData { .. } => !packet.has(SYN) && version != 0,
        };
        if !right {
            let len = option.wire_len();
            let what = format!("MP_CAPABLE of {len} octets has no place on this segment");
            self.finding(packet.number, placed.stream, &["INI-6"], what);
        }
    }

    fn capable_flags(&mut self, packet: &Packet<'_>, placed: &Placed, version: u8, flags: u8) {
        if flags & 0x1f == 0 {
            let what = "MP_CAPABLE offers no algorithm: D to H are all 0".to_owned();
            self.finding(packet.number, placed.stream, &["INI-22", "INI-23"], what);
        } else if flags & 1 == 0 && version <= 1 {
            let what =
                format!("MP_CAPABLE without H, the only algorithm there is: flags {flags:#04x}");
            self.finding(packet.number, placed.stream, &["INI-21"], what);
        } else if flags & 0x1e != 0 && !packet.is_syn() {
            let what = format!("MP_CAPABLE names more than one algorithm: flags {flags:#04x}");
            self.finding(packet.number, placed.stream, &["INI-24"], what);
        }
        if flags & 0x40 != 0 {
            let what = "MP_CAPABLE has B set".to_owned();
            self.finding(packet.number, placed.stream, &["INI-18"], what);
        }
    }

    /// The SYN/ACK against the SYN.
    fn answer(
        &mut self,
        packet: &Packet<'_>,
        placed: &Placed,
        version: u8,
        flags: u8,
        offered: Option<u8>,
    ) {
        let has_syn = self.streams.get(placed.stream).is_some_and(|s| s.has_syn);
        match offered {
            None if has_syn => {
                let what = "MP_CAPABLE on the SYN/ACK, but the SYN had none".to_owned();
                self.finding(packet.number, placed.stream, &["INI-34"], what);
            }
            Some(offered) if offered & 0x1f != 0 && flags & 0x1f & !offered != 0 => {
                let what = format!(
                    "the SYN offered algorithms {:#04x}, the SYN/ACK takes {:#04x}",
                    offered & 0x1f,
                    flags & 0x1f
                );
                self.finding(packet.number, placed.stream, &["INI-24", "INI-32"], what);
            }
            _ => {}
        }
        let index = self.streams.get(placed.stream).and_then(|s| s.connection);
        let Some(connection) = index.and_then(|index| self.connections.get_mut(index)) else {
            return;
        };
        let before = connection.version;
        if before.is_some_and(|offered| version > offered) {
            let what = format!(
                "the SYN offered version {}, the SYN/ACK has {version}",
                before.unwrap_or_default()
            );
            self.finding(packet.number, placed.stream, &["INI-2"], what);
        } else {
            connection.version = Some(version);
        }
    }

    /// The third packet against the two before it.
    fn confirmed(&mut self, packet: &Packet<'_>, placed: &Placed, index: usize, flags: u8) {
        let Some(connection) = self.connections.get(index) else { return };
        if connection.checksum() == Some(true) && flags & 0x80 == 0 {
            let what =
                "checksums were asked for, but the third packet does not confirm it (A is 0)";
            self.finding(packet.number, placed.stream, &["INI-30", "INI-29"], what.to_owned());
        }
    }

    /// `side` of a connection has this key, says `packet`.
    fn key(&mut self, packet: &Packet<'_>, placed: &Placed, index: usize, side: usize, key: u64) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let version = connection.version;
        let Some(known) = connection.sides.get_mut(side) else { return };
        match known.key {
            Some(other) if other != key => {
                let at = connection.key_packets.get(side).copied().unwrap_or_default();
                let own = side == placed.from;
                let whose = if own { "its own key" } else { "the echoed key" };
                let what = format!("{whose} is {key:#018x}, but packet {at} had {other:#018x}");
                self.finding(packet.number, placed.stream, &["INI-12", "INI-13"], what);
            }
            Some(_) => {}
            None => {
                known.key = Some(key);
                let (token, idsn) = facts(version, key);
                known.token = Some(token);
                if !known.exact {
                    known.base = Some(idsn);
                    known.exact = true;
                }
                if let Some(slot) = connection.key_packets.get_mut(side) {
                    *slot = packet.number;
                }
                self.by_token.entry(token).or_default().push((index, side));
            }
        }
    }

    /// MP_CAPABLE with a data length is the first mapping [INI-13]: from IDSN + 1, at the first octet
    /// (behind what the SYN carried).
    fn first_data(
        &mut self,
        packet: &Packet<'_>,
        placed: &mut Placed,
        index: usize,
        data_len: u16,
        checksum: Option<u16>,
    ) {
        let side = self.connections.get_mut(index).and_then(|c| c.sides.get_mut(placed.from));
        let Some(side) = side.filter(|side| side.exact) else { return };
        let first = side.base.unwrap_or_default().wrapping_add(1);
        let mapping = DssMapping {
            data_seq: WireDataSeq::Long(first),
            subflow_seq: SubflowSeq(1),
            data_len,
            checksum,
        };
        self.mapping(packet, placed, &mapping, false);
    }

    /// A connection whose keys are known from elsewhere.
    pub(super) fn keylog_has(&mut self, token: u32) -> Option<(usize, usize)> {
        let found = self.settings.keys.iter().find_map(|(a, b)| {
            [0, 1].iter().find_map(|version| {
                let tokens = [facts(Some(*version), *a).0, facts(Some(*version), *b).0];
                let side = tokens.iter().position(|known| *known == token)?;
                Some((*version, [*a, *b], side))
            })
        });
        let (version, keys, side) = found?;
        let index = self.connections.len();
        let mut connection = Connection::new(index, Some(version));
        for (number, (side, key)) in connection.sides.iter_mut().zip(keys).enumerate() {
            let (token, idsn) = facts(Some(version), key);
            side.key = Some(key);
            side.token = Some(token);
            side.base = Some(idsn);
            side.exact = true;
            self.by_token.entry(token).or_default().push((index, number));
        }
        self.connections.push(connection);
        Some((index, side))
    }
}

/// Token and initial data sequence number, by version.
pub(super) fn facts(version: Option<u8>, key: u64) -> (u32, u64) {
    if version == Some(0) {
        v0::key_facts(key)
    } else {
        let facts = Key(key).facts();
        (facts.token.0, facts.idsn.0)
    }
}
