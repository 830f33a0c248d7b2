//! Handshakes of which nothing is kept: the answer to a SYN when there are too many, and the third packet that
//! brings everything back (RFC 4987 3.6, RFC 8684 3.1).

use super::input::Stranger;
use super::syn_cookies::{KEY_DRAWS, Remembered, SynCookies};
use super::{Endpoint, LocalAddress};
use crate::addr::{FourTuple, ListenerId};
use crate::config::ConnectionConfig;
use crate::crypto::Key;
use crate::error::FallbackReason;
use crate::mptcp::connection::Connection;
use crate::mptcp::decorate::tcp_options;
use crate::mptcp::handshake::{self, Offer};
use crate::seq::SeqNum;
use crate::tcp::{Flags, OpenParams, Segment, SegmentOptions, Socket, Timestamps};
use crate::time::Instant;
use crate::wire::mptcp::{CapableFlags, MpCapable, MptcpOption};
use crate::wire::{OptionBuffer, TcpOptions};
use alloc::boxed::Box;

impl Endpoint {
    /// Answers a SYN and forgets it.
    pub(super) fn answer_and_forget(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        config: &ConnectionConfig,
    ) {
        let Stranger { local, tuple, segment: syn, options } = *stranger;
        let offer = handshake::on_syn(&options.signals, config.behaviour.other_algorithms).ok();
        self.counters.mp_capable_syn_rx += u64::from(offer.is_some());
        let params = self.open_params(now, config, local, &tuple);
        let mut answer = cookie_options(now, &params, syn);
        if let Some(offer) = offer.filter(|_| config.mptcp) {
            if let Some(sender_key) = self.unused_cookie_key(&tuple, syn.seq, now) {
                let deny_join_initial = !config.allow_join_initial_addr_port;
                let checksum = config.checksum || offer.checksum;
                let flags = CapableFlags::new(checksum, deny_join_initial);
                let version = handshake::VERSION;
                let option = MpCapable::SynAck { version, flags, sender_key };
                answer.push_mptcp(&MptcpOption::Capable(option));
            } else {
                // [INI-11]: no unique key, so plain TCP.
                self.counters.mp_fallback_token_init += 1;
            }
        }
        let numbers = (self.cookies.isn(now, &tuple, syn), syn.seq + 1);
        let window = u16::try_from(params.receive_window).unwrap_or(u16::MAX);
        if self.stateless.syn_ack(local, tuple, numbers, window, answer) {
            self.counters.syncookies_sent += 1;
        } else {
            self.counters.stateless_drop += 1;
        }
    }

    /// A key of this handshake whose token nobody uses now [INI-10].
    fn unused_cookie_key(&self, tuple: &FourTuple, irs: SeqNum, now: Instant) -> Option<Key> {
        let slot = SynCookies::slot(now);
        (0..KEY_DRAWS)
            .map(|draw| self.cookies.key(tuple, irs, slot, draw))
            .find(|key| !self.tokens.contains_key(&key.facts().token))
    }

    /// A segment of no known connection may be the third packet of a handshake that was forgotten; false when it is
    /// not.
    pub(super) fn accept_remembered(&mut self, now: Instant, stranger: &Stranger<'_>) -> bool {
        let Stranger { local, tuple, segment, options } = *stranger;
        let flags = segment.flags;
        if flags.syn || flags.rst || segment.ack.is_none() || !self.cookies.expected(now) {
            return false;
        }
        let Some((listener_id, listener)) = self.listeners.find(tuple.local) else { return false };
        let Some(remembered) = self.cookies.check(&tuple, segment, now) else {
            self.counters.syncookies_failed += 1;
            return false;
        };
        if !listener.has_place() || self.connections.len() >= self.config.max_connections {
            self.counters.listen_drops += 1;
            return true;
        }
        self.counters.syncookies_recv += 1;
        let config = listener.config.clone();
        let (key, offer) = self.remembered_key(&tuple, &remembered, options);
        self.reconstruct(now, (local, tuple, listener_id), (config, key, offer), &remembered);
        let Some((id, _)) = self.demux.get(&tuple) else { return true };
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.connection.on_segment(now, 0, segment, options, &mut self.counters);
            if !entry.connection.established {
                entry.connection.abort(now);
            }
        }
        self.serve(now, id);
        true
    }

    /// The key the third packet repeats, if it was one of those this end may have sent, and is still unique [INI-10].
    fn remembered_key(
        &mut self,
        tuple: &FourTuple,
        remembered: &Remembered,
        options: &TcpOptions,
    ) -> (Key, Result<Offer, FallbackReason>) {
        let Some((echoed, offer)) = handshake::echo(&options.signals) else {
            return (self.draw_key().0, Err(FallbackReason::AckWithoutCapable));
        };
        let Remembered { irs, slot, .. } = *remembered;
        let own = (0..KEY_DRAWS)
            .map(|draw| self.cookies.key(tuple, irs, slot, draw))
            .find(|key| *key == echoed);
        match own {
            Some(key) if !self.tokens.contains_key(&key.facts().token) => (key, Ok(offer)),
            Some(_) => {
                self.counters.mp_fallback_token_init += 1;
                (self.draw_key().0, Err(FallbackReason::NoUniqueToken))
            }
            None => (self.draw_key().0, Err(FallbackReason::NotUnderstood)),
        }
    }

    /// Makes the connection as if it had been kept since its SYN.
    fn reconstruct(
        &mut self,
        now: Instant,
        (local, tuple, listener): (&LocalAddress, FourTuple, ListenerId),
        (config, key, offer): (ConnectionConfig, Key, Result<Offer, FallbackReason>),
        remembered: &Remembered,
    ) {
        let id = self.next_id();
        let mut connection = Box::new(Connection::new(id, config, false, key, tuple));
        connection.set_offer(offer);
        let mut params = self.open_params(now, &connection.config, local, &tuple);
        params.iss = remembered.iss;
        let syn = Segment {
            seq: remembered.irs,
            flags: Flags { syn: true, ..Flags::default() },
            options: remembered.options,
            ..Segment::default()
        };
        let mut socket = Socket::accept(now, params, &syn);
        socket.assume_answered();
        self.listeners.on_pending(listener);
        self.add_first(connection, local, tuple, socket, Some(listener));
    }
}

/// TCP's own options of an answer of which nothing is kept. What does not fit into the timestamp is not agreed on.
fn cookie_options(now: Instant, params: &OpenParams, syn: &Segment) -> OptionBuffer {
    let mut answer = SegmentOptions { mss: Some(params.mss), ..SegmentOptions::default() };
    if let Some(theirs) = syn.options.timestamps.filter(|_| params.config.timestamps) {
        let sack_permitted = syn.options.sack_permitted && params.config.sack;
        let clock = (now.as_millis() as u32).wrapping_add(params.timestamp_offset);
        let value = SynCookies::timestamp(clock, syn.options.window_scale, sack_permitted);
        answer.timestamps = Some(Timestamps { value, echo: theirs.value });
        answer.sack_permitted = sack_permitted;
        answer.window_scale = syn.options.window_scale.map(|_| params.window_scale.shift());
    }
    tcp_options(&answer)
}
