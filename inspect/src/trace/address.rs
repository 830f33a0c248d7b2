//! Addresses advertised and taken back, and the ways to end a connection at once.

use super::join::side_of;
use super::{Placed, Trace};
use crate::packet::Packet;
use mpuser_engine::wire::{AddAddr, FastClose, MpFail, RemoveAddr, WireDataSeq};

impl Trace {
    /// The connection and the side of who sent `packet`.
    fn sender(&self, placed: &Placed) -> Option<(usize, usize)> {
        let stream = self.streams.get(placed.stream)?;
        Some((stream.connection?, side_of(stream.opener, placed.from)))
    }

    pub(super) fn add_addr(&mut self, packet: &Packet<'_>, placed: &Placed, add: &AddAddr) {
        let Some((index, from)) = self.sender(placed) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        let whole = connection.keys().is_some() && connection.flags[0].is_some();
        if add.echo {
            let there = connection.side_mut(1 - from).and_then(|s| s.advertised.get(&add.id.0));
            // what was never seen may have been said on a path that was not captured
            let other =
                there.is_some_and(|(address, port)| *address != add.address || *port != add.port);
            if whole && other {
                let what = format!(
                    "an echo of address ID {}, {}, which nobody advertised so",
                    add.id.0, add.address
                );
                self.unless_lost(packet.number, placed.stream, &["ADDR-11"], what);
            }
            return;
        }
        let expected = connection.add_addr_hmac(from, add.id.0, add.address, add.port);
        let version = connection.version;
        let Some(side) = connection.side_mut(from) else { return };
        let mut wrong = None;
        match (expected, add.hmac) {
            (Some(expected), Some(shown)) if version != Some(0) => {
                if expected == shown {
                    side.hmacs.0 += 1;
                } else {
                    side.hmacs.1 += 1;
                    wrong = Some(format!(
                        "the HMAC of ADD_ADDR is {}, but the keys give {}",
                        crate::option::hex(&shown),
                        crate::option::hex(&expected)
                    ));
                }
            }
            _ => {}
        }
        let before = side.advertised.insert(add.id.0, (add.address, add.port));
        if let Some(what) = wrong {
            self.finding(packet.number, placed.stream, &["ADDR-9", "ADDR-10"], what);
        }
        if let Some((address, _)) = before.filter(|(address, _)| *address != add.address) {
            let what = format!(
                "address ID {} was {address} and was not removed; now it is {}",
                add.id.0, add.address
            );
            self.unless_lost(packet.number, placed.stream, &["ADDR-15", "ADDR-17", "ADDR-2"], what);
        }
    }

    pub(super) fn remove_addr(&mut self, _: &Packet<'_>, placed: &Placed, remove: &RemoveAddr) {
        let Some((index, from)) = self.sender(placed) else { return };
        let side = self.connections.get_mut(index).and_then(|c| c.side_mut(from));
        let Some(side) = side else { return };
        for id in remove.ids() {
            side.advertised.remove(&id.0);
            side.addresses.remove(&id.0);
        }
    }

    /// MP_FASTCLOSE shows the key of who receives it [FC-1].
    pub(super) fn fast_close(&mut self, packet: &Packet<'_>, placed: &Placed, close: &FastClose) {
        let Some((index, from)) = self.sender(placed) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.fast_close.get_or_insert(packet.number);
        let key = connection.side_mut(1 - from).and_then(|side| side.key);
        if let Some(key) = key.filter(|key| *key != close.receiver_key.0) {
            let what = format!(
                "MP_FASTCLOSE with key {:#018x}; the receiver's is {key:#018x}",
                close.receiver_key.0
            );
            self.finding(packet.number, placed.stream, &["FC-1"], what);
        }
    }

    pub(super) fn fail(&mut self, packet: &Packet<'_>, placed: &mut Placed, fail: &MpFail) {
        let Some(index) = self.midstream(placed.stream) else { return };
        let Some((_, from)) = self.sender(placed) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.failed.get_or_insert(packet.number);
        let Some(side) = connection.side_mut(1 - from) else { return };
        let (dsn, full) = side.relative(WireDataSeq::Long(fail.data_seq.0));
        let (exact, end) = (side.exact, side.end());
        if exact && !(1..=end + (1 << 31)).contains(&dsn) {
            let what =
                format!("MP_FAIL names data sequence number {full:#018x}, which is no data's");
            self.finding(packet.number, placed.stream, &["FB-9"], what);
        }
    }
}
