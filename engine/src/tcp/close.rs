//! How connections end (RFC 9293 3.6, 3.10.4, 3.10.5).

use super::socket::Socket;
use super::state::{SocketEnd, State};
use crate::time::Instant;

impl Socket {
    /// Sends a FIN after everything written. Data written later is thrown away.
    ///
    /// Before the handshake's SYN was answered there is nothing to close: the socket is gone (RFC 9293 3.10.4).
    pub fn close(&mut self) {
        self.state = match self.state {
            State::SynSent => {
                self.finish(SocketEnd::Aborted);
                return;
            }
            // The FIN waits for the handshake.
            State::SynReceived => State::SynReceived,
            State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            _ => return,
        };
        self.send.queue_fin();
    }

    /// A FIN that is next goes before an ACK that is due.
    pub fn send_fin_first(&mut self) {
        self.fin_first = true;
    }

    /// Gives up: a RST is planned next where the peer knows of the connection, then the socket is CLOSED.
    pub fn abort(&mut self) {
        match self.state {
            State::Closed => {}
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => self.reset_pending = true,
            // RFC 9293 3.10.5: no RST from these, the peer has closed or has never heard of it.
            State::SynSent | State::Closing | State::LastAck | State::TimeWait => {
                self.finish(SocketEnd::Aborted);
            }
        }
    }

    /// The peer acknowledged something: perhaps the FIN.
    pub(super) fn on_send_progress(&mut self, now: Instant) {
        if !self.send.fin_acked() {
            return;
        }
        match self.state {
            State::FinWait1 => self.state = State::FinWait2,
            State::Closing => self.enter_time_wait(now),
            State::LastAck => self.finish(SocketEnd::Finished),
            _ => {}
        }
    }

    /// The peer's FIN is in order now.
    pub(super) fn on_peer_fin(&mut self, now: Instant) {
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 if !self.send.fin_acked() => self.state = State::Closing,
            State::FinWait1 | State::FinWait2 => self.enter_time_wait(now),
            _ => {}
        }
    }

    /// Starts TIME-WAIT, or starts it anew.
    pub(super) fn enter_time_wait(&mut self, now: Instant) {
        self.state = State::TimeWait;
        self.time_wait = Some(now + self.params.config.time_wait);
        self.probe.reset();
    }

    /// The socket is over. The first reason given counts.
    pub(super) fn finish(&mut self, end: SocketEnd) {
        self.state = State::Closed;
        self.end.get_or_insert(end);
        self.reset_pending = false;
        self.send.abandon();
    }
}
