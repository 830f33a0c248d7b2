//! The data-level state machine of closing (RFC 8684 3.3.3, Appendix D).

/// Data-level states (RFC 8684 Appendix D [FIN-10]), without TIME-WAIT: nothing at data level needs it, the
/// subflows have their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaState {
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    Closed,
}

impl MetaState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::Closed => "CLOSED",
        }
    }
}

/// What each direction's closing has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Close {
    /// The application wants no more data sent.
    requested: bool,
    /// The DATA_FIN went out at least once.
    sent: bool,
    /// The peer acknowledged it.
    acked: bool,
    /// The peer's DATA_FIN arrived in order.
    received: bool,
    /// It arrived before this end's was requested: tells LAST-ACK from CLOSING.
    peer_first: bool,
}

impl Close {
    pub(crate) fn request(&mut self) {
        self.requested = true;
    }

    pub(crate) const fn is_requested(&self) -> bool {
        self.requested
    }

    /// The DATA_FIN has been put on the wire.
    pub(crate) fn on_sent(&mut self) {
        self.sent |= self.requested;
    }

    /// The connection goes on as plain TCP: what was sent as DATA_FIN has to be said again by a FIN.
    pub(crate) fn on_fallback(&mut self) {
        self.sent = false;
    }

    pub(crate) const fn is_sent(&self) -> bool {
        self.sent
    }

    /// The peer's Data ACK covers the DATA_FIN.
    pub(crate) fn on_acked(&mut self) {
        self.acked |= self.sent;
    }

    pub(crate) const fn is_acked(&self) -> bool {
        self.acked
    }

    /// The peer's DATA_FIN is in order.
    pub(crate) fn on_received(&mut self) {
        self.peer_first |= !self.received && !self.requested;
        self.received = true;
    }

    pub(crate) const fn is_received(&self) -> bool {
        self.received
    }

    /// Both DATA_FINs are acknowledged: the subflows may end.
    ///
    /// RFC 8684 3.3.3 [FIN-5] would let them end when this end's DATA_FIN is acknowledged. A half-closed
    /// connection would then lose the ability to take new subflows while the peer still sends, and the kernel
    /// waits for both (K35); so this end does too.
    pub(crate) const fn is_complete(&self) -> bool {
        self.acked && self.received
    }

    pub(crate) const fn state(&self) -> MetaState {
        match (self.requested, self.acked, self.received) {
            (false, _, false) => MetaState::Established,
            (false, _, true) => MetaState::CloseWait,
            (true, false, false) => MetaState::FinWait1,
            (true, true, false) => MetaState::FinWait2,
            (true, false, true) if self.peer_first => MetaState::LastAck,
            (true, false, true) => MetaState::Closing,
            (true, true, true) => MetaState::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8684 Appendix D [FIN-10]: every order of the three events ends in CLOSED by the right states.
    #[test]
    fn every_order_of_closing_follows_the_diagram() {
        use MetaState::*;
        let act = |c: &mut Close, what: char| match what {
            's' => {
                c.request();
                c.on_sent();
            }
            'a' => c.on_acked(),
            _ => c.on_received(),
        };
        for (order, states) in [
            ("sar", [FinWait1, FinWait2, Closed]),
            ("sra", [FinWait1, Closing, Closed]),
            ("rsa", [CloseWait, LastAck, Closed]),
        ] {
            let mut close = Close::default();
            for (event, expected) in order.chars().zip(states) {
                act(&mut close, event);
                assert_eq!(close.state(), expected, "{order} after {event}");
            }
            assert!(close.is_complete());
        }
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_counts_for_nothing() {
        let mut close = Close::default();
        close.on_acked();
        assert!(!close.is_acked());
        close.request();
        close.on_acked();
        assert_eq!(close.state(), MetaState::FinWait1);
    }
}
