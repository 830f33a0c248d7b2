//! MP_JOIN: subflows find their connection by token, and prove themselves by HMAC.

use super::connection::Connection;
use super::stream::Role;
use super::{Placed, Trace};
use crate::packet::Packet;
use mpuser_engine::wire::MpJoin;

/// So many connections are tried where a token leads nowhere.
const MOST_TRIED: usize = 256;

impl Trace {
    pub(super) fn join(&mut self, packet: &Packet<'_>, placed: &Placed, join: &MpJoin) {
        match *join {
            MpJoin::Syn { backup, address_id, token, nonce } => {
                let Some(stream) = self.streams.get_mut(placed.stream) else { return };
                stream.role = Role::Joined;
                stream.ids[0] = Some(address_id.0);
                stream.backup[0] = backup;
                stream.nonces[0] = Some(nonce.0);
                stream.token = Some(token.0);
                stream.token_packet = packet.number;
                if stream.connection.is_none() {
                    self.by_its_token(packet, placed, token.0);
                }
                self.address_of(packet, placed, address_id.0, packet.src.ip());
            }
            MpJoin::SynAck { backup, address_id, hmac, nonce } => {
                let Some(stream) = self.streams.get_mut(placed.stream) else { return };
                stream.role = Role::Joined;
                stream.ids[1] = Some(address_id.0);
                stream.backup[1] = backup;
                stream.nonces[1] = Some(nonce.0);
                self.proof(packet, placed, &hmac, &["JOIN-12", "JOIN-5", "JOIN-11"]);
                self.address_of(packet, placed, address_id.0, packet.src.ip());
            }
            MpJoin::Ack { hmac } => {
                let Some(stream) = self.streams.get_mut(placed.stream) else { return };
                stream.role = Role::Joined;
                stream.join_ack = true;
                self.proof(packet, placed, &hmac, &["JOIN-14", "JOIN-8", "JOIN-11"]);
            }
        }
    }

    /// Attaches a stream to the connection whose end has this token, if there is one.
    fn by_its_token(&mut self, packet: &Packet<'_>, placed: &Placed, token: u32) {
        let known = self.by_token.get(&token).and_then(|all| all.last().copied());
        let found = known.or_else(|| self.keylog_has(token));
        if let Some((index, side)) = found {
            self.attach(placed.stream, index, 1 - side);
            self.denied(packet, placed, index, side);
        }
    }

    /// The end that opened `stream` is side `opener` of a connection.
    fn attach(&mut self, stream: usize, index: usize, opener: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.subflows.push(stream);
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.connection = Some(index);
            stream.opener = opener;
        }
    }

    /// C forbids joins to the address and port of the first subflow [INI-20].
    fn denied(&mut self, packet: &Packet<'_>, placed: &Placed, index: usize, side: usize) {
        let Some(connection) = self.connections.get(index) else { return };
        let first = connection.subflows.first().and_then(|first| self.streams.get(*first));
        let said = connection.flags.get(side).copied().flatten();
        let end = first.filter(|first| first.role == Role::First).and_then(|f| f.ends.get(side));
        if said.is_some_and(|flags| flags & 0x20 != 0) && end == Some(&packet.dst) {
            let what = format!("a join to {}, which its end forbade in MP_CAPABLE (C)", packet.dst);
            self.finding(packet.number, placed.stream, &["INI-20"], what);
        }
    }

    /// Compares the HMAC of a SYN/ACK or of a third packet.
    fn proof(
        &mut self,
        packet: &Packet<'_>,
        placed: &Placed,
        shown: &[u8],
        ids: &'static [&'static str],
    ) {
        let Some(stream) = self.streams.get(placed.stream) else { return };
        let from = placed.from;
        let [Some(a), Some(b)] = stream.nonces else { return };
        let (own, peer) = if from == 0 { (a, b) } else { (b, a) };
        let side = side_of(stream.opener, from);
        let Some(index) = stream.connection else {
            self.by_proof(placed, shown, own, peer);
            return;
        };
        let Some(expected) = self.connections.get(index).and_then(|c| c.join_hmac(side, own, peer))
        else {
            return;
        };
        let right = expected.get(..shown.len()) == Some(shown);
        if let Some(stream) = self.streams.get_mut(placed.stream) {
            let (good, bad) = &mut stream.hmacs;
            *(if right { good } else { bad }) += 1;
        }
        if !right {
            let expected = expected.get(..shown.len()).unwrap_or_default();
            let what = format!(
                "the HMAC of MP_JOIN is {}, but keys and nonces give {}",
                crate::option::hex(shown),
                crate::option::hex(expected)
            );
            self.finding(packet.number, placed.stream, ids, what);
        }
    }

    /// The token led nowhere; an HMAC that fits says which connection was meant.
    fn by_proof(&mut self, placed: &Placed, shown: &[u8], own: u32, peer: u32) {
        let tried = self.connections.iter().rev().take(MOST_TRIED);
        let fits = |connection: &&Connection, side: usize| {
            let hmac = connection.join_hmac(side, own, peer);
            hmac.is_some_and(|hmac| hmac.get(..shown.len()) == Some(shown))
        };
        let found = tried
            .flat_map(|connection| [(connection, 0), (connection, 1)])
            .find(|(connection, side)| fits(connection, *side))
            .map(|(connection, side)| (connection.index, side));
        let Some((index, side)) = found else { return };
        self.attach(placed.stream, index, side_of(side, placed.from));
        let Some(stream) = self.streams.get_mut(placed.stream) else { return };
        stream.hmacs.0 += 1;
        let (packet, token) = (stream.token_packet, stream.token.take().unwrap_or_default());
        let receiver = if placed.from == 1 { side } else { 1 - side };
        let right = self.connections.get(index).and_then(|c| c.sides.get(receiver)?.token);
        let what = format!(
            "token {token:#010x} is no connection's; by its HMAC the join is for {:#010x}",
            right.unwrap_or_default()
        );
        self.finding(packet, placed.stream, &["JOIN-1", "JOIN-6", "INI-25"], what);
    }

    /// An address ID has one address [JOIN-4] [ADDR-2].
    fn address_of(
        &mut self,
        packet: &Packet<'_>,
        placed: &Placed,
        id: u8,
        address: std::net::IpAddr,
    ) {
        let Some(stream) = self.streams.get(placed.stream) else { return };
        let side = side_of(stream.opener, placed.from);
        let Some(index) = stream.connection else { return };
        let known = self.connections.get_mut(index).and_then(|c| c.sides.get_mut(side));
        let Some(known) = known else { return };
        let before = *known.addresses.entry(id).or_insert(address);
        if before != address {
            let what = format!("address ID {id} stood for {before}, and now for {address}");
            self.unless_lost(packet.number, placed.stream, &["JOIN-4", "ADDR-2"], what);
        }
    }

    /// The connection of a stream with MPTCP options whose beginning is not there.
    pub(super) fn midstream(&mut self, stream: usize) -> Option<usize> {
        let next = self.connections.len();
        let found = self.streams.get_mut(stream)?;
        if let Some(index) = found.connection {
            return Some(index);
        }
        let by_token = found.token.and_then(|token| self.by_token.get(&token)?.last().copied());
        if let Some((index, side)) = by_token {
            self.attach(stream, index, 1 - side);
            return Some(index);
        }
        let found = self.streams.get_mut(stream)?;
        if found.role != Role::Joined {
            found.role = Role::Midstream;
        }
        found.connection = Some(next);
        let mut connection = Connection::new(next, None);
        connection.subflows.push(stream);
        if let Some(token) = found.token {
            // joins with the same token are of the same connection
            connection.sides[1].token = Some(token);
            self.by_token.entry(token).or_default().push((next, 1));
        }
        self.connections.push(connection);
        Some(next)
    }
}

/// The side of a connection that end `from` of a stream is.
pub(super) const fn side_of(opener: usize, from: usize) -> usize {
    if from == 0 { opener } else { 1 - opener }
}
