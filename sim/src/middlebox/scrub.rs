//! Tidies headers (M30): reserved bits, timestamps, window scaling.

use super::args::Args;
use super::flow::Flows;
use super::{Middlebox, Turn};
use crate::direction::{Direction, PerDirection};
use crate::packet::TcpPacket;
use crate::random::rng;
use mpuser_engine::rng::Rng;
use mpuser_engine::wire::tcp_option::kind;

/// A box that tidies; without arguments everything it can.
#[derive(Debug)]
pub(super) struct Scrub {
    reserved: bool,
    timestamps: bool,
    wscale: bool,
    /// By how much each direction's timestamps are shifted.
    flows: Flows<PerDirection<u32>>,
    rng: Rng,
}

impl Scrub {
    pub(super) fn new(args: &mut Args<'_>, seed: u64) -> Self {
        let [mut reserved, mut timestamps, mut wscale] =
            ["reserved", "timestamps", "wscale"].map(|name| args.flag(name));
        if !(reserved || timestamps || wscale) {
            (reserved, timestamps, wscale) = (true, true, true);
        }
        let (flows, rng) = (Flows::default(), rng(seed, 14));
        Self { reserved, timestamps, wscale, flows, rng }
    }
}

/// Changes the 32-bit number at `at` of an option.
fn change(body: &mut [u8], at: usize, map: impl FnOnce(u32) -> u32) {
    if let Some(bytes) = body.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *bytes = map(u32::from_be_bytes(*bytes)).to_be_bytes();
    }
}

impl Middlebox for Scrub {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        if self.reserved && packet.reserved != 0 {
            packet.reserved = 0;
            turn.acted += 1;
        }
        if self.wscale && packet.blank_options(|option| option.kind == kind::WINDOW_SCALE) {
            turn.acted += 1;
        }
        if self.timestamps {
            let rng = &mut self.rng;
            let shifts =
                *self.flows.of(direction, &packet, || PerDirection::from_fn(|_| rng.next_u32()));
            if let Some(body) = packet.option_mut(kind::TIMESTAMPS) {
                change(body, 0, |value| value.wrapping_add(*shifts.of(direction)));
                // an echo of nothing stays nothing
                change(body, 4, |echo| match echo {
                    0 => 0,
                    echo => echo.wrapping_sub(*shifts.of(direction.reverse())),
                });
                turn.acted += 1;
            }
        }
        turn.send(direction, packet);
    }
}
