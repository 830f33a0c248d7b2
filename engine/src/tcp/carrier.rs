//! A subflow whose segments travel in a byte stream of their own (docs/framing.md): nothing is lost and nothing is
//! overtaken, so nothing is sent again.
//!
//! What is left of loss recovery is its clock: silence counts, so that the layer above can let others take over. How
//! much goes in is ruled twice: by congestion control that models the path (BBR), so that what stands between the two
//! ends is little, and by credit, which whoever writes the stream gives back as it drains.

use super::send::Send;
use super::socket::Socket;
use super::state::{SocketEnd, State};
use crate::config::{CongestionAlgorithm, Keepalive, TcpConfig};
use crate::time::{Duration, Instant};

/// Octets a carrier takes before some were written: what may wait outside of the engine.
pub const CARRIER_CREDIT: u32 = 128 << 10;
/// What a segment costs beside its payload, octets.
pub const CARRIER_SEGMENT: u32 = 64;

/// Keepalive of a subflow in a stream, unless it is configured otherwise: whoever has heard nothing for `idle` asks. Proxies
/// count idle time in octets, half a minute often, so that is well below it; a peer behind them that vanished is noticed
/// 40 s after its last word.
pub const CARRIER_KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(10), probes: 3 };

/// The stream under a socket, as the socket sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carrier {
    /// Octets it still takes. A segment is never cut, so the last one may overdraw it.
    credit: i64,
}

impl Carrier {
    pub(super) fn new() -> Self {
        Self { credit: i64::from(CARRIER_CREDIT) }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.credit <= 0
    }

    pub(super) fn left(&self) -> u64 {
        u64::try_from(self.credit).unwrap_or(0)
    }

    pub(super) fn on_sent(&mut self, payload: usize) {
        let payload = i64::try_from(payload).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_sub(payload).saturating_sub(CARRIER_SEGMENT.into());
    }
}

/// What TCP does differently over a carrier, beside all that follows from [`Send::carrier`].
pub(super) fn config(mut config: TcpConfig) -> TcpConfig {
    // Outer TCPs answer loss; what is left to find is how much fits.
    config.congestion = CongestionAlgorithm::Bbr;
    config.keepalive.get_or_insert(CARRIER_KEEPALIVE);
    config
}

impl Send {
    /// The timer of what is in flight ran out: nothing is lost, but nobody answers. False after `most` times.
    pub(super) fn on_silence(&mut self, now: Instant, most: u32) -> bool {
        if self.loss.poll_timeout().is_none_or(|(at, _)| at > now) {
            return true;
        }
        if self.timeouts >= most {
            return false;
        }
        self.timeouts += 1;
        self.loss.on_silence(now, &mut self.rtt);
        self.rearm(now);
        true
    }
}

impl Socket {
    /// Its segments travel in a stream of their own.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.send.carrier.is_some()
    }

    /// Octets that the carrier takes now; `None` without a carrier.
    #[must_use]
    pub fn carrier_credit(&self) -> Option<u64> {
        self.send.carrier.map(|carrier| carrier.left())
    }

    /// The carrier has written this much of what it was given: payload, and [`CARRIER_SEGMENT`] for each segment.
    /// It never takes more than [`CARRIER_CREDIT`] ahead.
    pub fn grant(&mut self, octets: u32) {
        if let Some(carrier) = &mut self.send.carrier {
            let credit = carrier.credit.saturating_add(octets.into());
            carrier.credit = credit.min(CARRIER_CREDIT.into());
        }
    }

    /// The carrier ended, and the socket with it.
    pub fn on_carrier_end(&mut self) {
        self.finish(match self.state {
            State::Closing | State::LastAck | State::TimeWait => SocketEnd::Finished,
            _ => SocketEnd::CarrierLost,
        });
    }
}
