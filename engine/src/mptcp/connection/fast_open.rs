//! Data on the SYN, both roles (RFC 7413, RFC 8684 appendix B).
//!
//! What a SYN carries and the server takes comes before the data sequence space [TFO-2]: it is handed to the
//! application ahead of data offset 0, and everything else goes on as if it had never been.

use super::{Connection, Mode};
use crate::counters::Counters;
use crate::endpoint::FastOpenUse;
use crate::event::Event;
use crate::mptcp::lesson::Lesson;
use crate::mptcp::subflow::Phase;
use crate::tcp::{FastOpenCookie, Segment};
use crate::wire::TcpOptions;
use bytes::Bytes;

/// Option space of a SYN; its data has to leave it free.
const OPTION_SPACE: u16 = 40;
/// Cookies longer than this do not fit beside MP_CAPABLE and everything else a SYN says [TFO-1].
const LONGEST_COOKIE: usize = 14;

/// Fast Open as one connection sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FastOpenState {
    /// Client: what the first SYN may carry.
    offer: Option<(Option<FastOpenCookie>, usize)>,
    /// Client: data went out on a SYN with this.
    used: bool,
    /// Client: the SYN asked for a cookie.
    asked: bool,
    /// Client: the SYN/ACK brought one.
    given: bool,
    /// Octets that were delivered before offset 0, in either direction.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Server: the client proved its address with the SYN. Data flows before the third packet.
    pub(super) early: bool,
}

impl FastOpenState {
    /// What became of it.
    pub(super) const fn outcome(&self) -> FastOpenUse {
        match (self.sent + self.received, self.used, self.asked) {
            (0, true, _) => FastOpenUse::NotTaken,
            (0, false, true) if self.given => FastOpenUse::CookieGiven,
            (0, false, true) => FastOpenUse::CookieAsked,
            (0, false, false) => FastOpenUse::Unused,
            (octets, _, _) => FastOpenUse::Data(octets),
        }
    }
}

impl Connection {
    /// The first SYN asks for a cookie.
    pub(crate) fn request_cookie(&mut self) {
        self.fast_open.asked = true;
        if let Some(first) = self.subflows.first_mut() {
            first.tcp.offer_syn_data(Some(FastOpenCookie::REQUEST), Bytes::new());
        }
    }

    /// The first SYN may carry data with this cookie, or with none where the peer needs none; a segment of the peer
    /// holds `mss` octets.
    pub(crate) fn allow_syn_data(&mut self, cookie: Option<FastOpenCookie>, mss: u16) {
        if cookie.is_some_and(|c| c.as_slice().len() > LONGEST_COOKIE) {
            return;
        }
        let most = usize::from(mss.saturating_sub(OPTION_SPACE));
        self.fast_open.offer = Some((cookie, most));
        self.offer_syn_data();
    }

    /// Puts what is written so far on the SYN, unless that has gone. The octets stay in the queue until the SYN/ACK
    /// says how many were taken.
    pub(super) fn offer_syn_data(&mut self) {
        if let Some((cookie, most)) = self.fast_open.offer
            && let Some(first) = self.subflows.first_mut()
        {
            first.tcp.offer_syn_data(cookie, self.send.peek_new(most));
        }
    }

    /// A SYN went out.
    pub(super) fn on_syn_sent(&mut self, counters: &mut Counters) {
        let Some(first) = self.subflows.first() else { return };
        if first.tcp.has_syn_data_in_flight() && !self.fast_open.used {
            self.fast_open.used = true;
        } else if self.fast_open.used && first.tcp.syn_transmissions() == 2 {
            // The SYN with data was not answered in time: perhaps something on the path throws it away.
            counters.tcp_fast_open_active_fail += 1;
            self.lessons.push(Lesson::FastOpenFailed);
        }
    }

    /// The SYN was acknowledged, with so many octets of its data [TFO-4]: what the peer did not take goes on like any
    /// other data.
    pub(super) fn on_syn_acked(
        &mut self,
        taken: u32,
        segment: &Segment,
        options: &TcpOptions,
        counters: &mut Counters,
    ) {
        if self.fast_open.used {
            let failed =
                taken == 0 && self.subflows.first().is_some_and(|s| s.tcp.syn_transmissions() == 1);
            counters.tcp_fast_open_active += u64::from(taken > 0);
            counters.tcp_fast_open_active_fail += u64::from(failed);
        }
        if taken > 0 {
            self.fast_open.sent = self.send.drop_new(taken as usize) as u64;
            self.bytes_sent += self.fast_open.sent;
            self.on_room();
        }
        if let Some(cookie) = options.fast_open.filter(|c| !c.is_request()) {
            self.fast_open.given = true;
            let mss = segment.options.mss.unwrap_or(536);
            self.lessons.push(Lesson::Cookie { cookie, mss });
        }
    }

    /// A SYN with a good cookie: its data can be read at once, and answered at once.
    pub(crate) fn accept_syn_data(&mut self, syn: &Segment) {
        let Some(first) = self.subflows.first_mut() else { return };
        let room = usize::from(u16::MAX).min(self.tuning.capacity());
        let data = syn.payload.slice(..syn.payload.len().min(room));
        first.tcp.take_syn_data(data.len() as u32);
        first.phase = Phase::Active;
        self.fast_open.early = true;
        self.fast_open.received = data.len() as u64;
        if !data.is_empty() {
            self.recv.push_before(data);
            self.emit(Event::Readable);
        }
        if self.mode == Mode::Offered {
            self.send.on_data_ack(0, u64::from(syn.window));
        }
    }

    /// The application may have it: established, or as good as.
    pub(crate) const fn is_open(&self) -> bool {
        self.established || self.fast_open.early
    }

    /// Fast Open let it in, and its third packet has not come.
    pub(crate) const fn is_early(&self) -> bool {
        self.fast_open.early && !self.established && !self.finished
    }
}
