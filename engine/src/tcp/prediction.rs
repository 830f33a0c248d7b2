//! Header prediction, TCP's part: data in order, and nothing else that is new.

use super::recv::Arrival;
use super::segment::Timestamps;
use super::socket::Socket;
use super::state::State;
use crate::seq::SeqNum;
use crate::time::Instant;

impl Socket {
    /// The stream offset of `len` octets of data at `seq`, if all there is to do about their segment is to take them: they
    /// come next, fit the window, and their ACK field says nothing, since there is nothing left to acknowledge.
    pub(crate) fn predicts(&self, seq: SeqNum, ack: SeqNum, len: usize) -> Option<u64> {
        let quiet = self.state == State::Established
            && !self.reset_pending
            && !self.send.is_outstanding()
            && ack == self.send.seq(self.send.una());
        let next = seq == self.recv.nxt_seq() && self.recv.takes_next(len as u64);
        (quiet && next).then(|| self.recv.nxt())
    }

    /// A segment that [`Self::predicts`] has spoken of may have this option, too: it is not old (RFC 7323 5.3 R1).
    pub(crate) fn takes_option(&self, now: Instant, option: Option<Timestamps>) -> bool {
        !self.timestamps.is_old(now, option)
    }

    /// That option says when it was sent, and what it echoes.
    pub(crate) fn on_option(&mut self, now: Instant, option: Option<Timestamps>) {
        if let Some(echoed) = self.timestamps.echoed_at(now, option) {
            self.receiver_rtt.on_data(now, echoed);
        }
    }

    /// Takes the octets [`Self::predicts`] has just spoken of. They are the caller's from here, and not [`Self::read`].
    /// Their segment's option is that of one that was accepted, so it is not old.
    pub(crate) fn on_predicted(
        &mut self,
        now: Instant,
        (seq, window): (SeqNum, u16),
        timestamps: Option<Timestamps>,
        len: usize,
    ) {
        self.last_received_at = now;
        self.probe.on_received();
        if self.recv.nxt() <= self.last_ack_sent {
            self.timestamps.on_option(now, timestamps);
        }
        let una = self.send.una();
        self.send.update_window(una, seq, self.send.seq(una), window);
        self.recv.take_next(len as u64);
        self.ack.on_arrival(now, len, Arrival { in_order: true, ..Arrival::default() });
        debug_assert_eq!(self.check_invariants(), Ok(()));
    }
}
