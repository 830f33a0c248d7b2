//! The socket as a whole: tables of arriving segments, and pairs of sockets over a bad network in virtual time.

mod arrivals;
mod attacks;
mod pair;
mod rates;
mod timers;
mod transfers;

use super::*;
use crate::config::TcpConfig;
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::window::WindowScale;
use bytes::Bytes;
use std::vec::Vec;

/// Initial sequence numbers of the two ends of hand-made connections.
const ISS: SeqNum = SeqNum(1_000);
const IRS: SeqNum = SeqNum(5_000);
const WINDOW: u32 = 50_000;
const LIMITS: SendLimits =
    SendLimits { window: WINDOW, promised: None, reserved_options: 0, max_payload: 0 };

fn params() -> OpenParams {
    OpenParams {
        iss: ISS,
        config: TcpConfig::default(),
        mss: 1460,
        receive_window: WINDOW,
        window_scale: WindowScale::ZERO,
        timestamp_offset: 77,
        carried: false,
    }
}

fn plain_params() -> OpenParams {
    let mut params = params();
    params.config.timestamps = false;
    params
}

fn ms(n: u64) -> Instant {
    Instant::from_millis(n)
}

/// A segment of the peer: `seq` and `ack` count from the two initial sequence numbers.
fn seg(seq: u32, ack: u32, payload: &'static [u8]) -> Segment {
    Segment {
        seq: IRS + seq,
        ack: Some(ISS + ack),
        window: 60_000,
        payload: Bytes::from_static(payload),
        ..Segment::default()
    }
}

fn with(mut seg: Segment, flags: &str) -> Segment {
    for flag in flags.chars() {
        match flag {
            'S' => seg.flags.syn = true,
            'F' => seg.flags.fin = true,
            'R' => seg.flags.rst = true,
            'n' => seg.ack = None,
            other => panic!("no flag {other}"),
        }
    }
    seg
}

/// The peer's SYN/ACK (or SYN), with SACK.
fn syn(flags: &str) -> Segment {
    let mut syn = with(seg(0, 1, b""), flags);
    syn.options.mss = Some(1460);
    syn.options.sack_permitted = true;
    syn
}

/// Plans and commits everything.
fn window(socket: &mut Socket, at: u64, ack: u32, window: u16) -> Disposition {
    let mut segment = seg(1, ack, b"");
    segment.window = window;
    socket.on_segment(ms(at), &segment)
}

fn drain(socket: &mut Socket, now: Instant) -> Vec<SegmentPlan> {
    drain_with(socket, now, &LIMITS)
}

fn drain_with(socket: &mut Socket, now: Instant, limits: &SendLimits) -> Vec<SegmentPlan> {
    let mut plans = Vec::new();
    while let Some(plan) = socket.plan(now, limits) {
        assert_eq!(socket.plan(now, limits).as_ref(), Some(&plan), "planning changes nothing");
        socket.commit(now, &plan);
        plans.push(plan);
        assert!(plans.len() < 10_000, "plans without end: {:?}", plans.last());
    }
    plans
}

fn kinds(plans: &[SegmentPlan]) -> Vec<PlanKind> {
    plans.iter().map(|plan| plan.kind).collect()
}

/// An established client: ISS + 1 and IRS + 1 are next, nothing pending.
fn established_with(params: OpenParams) -> Socket {
    let mut socket = Socket::connect(ms(0), params);
    assert_eq!(kinds(&drain(&mut socket, ms(0))), [PlanKind::Syn]);
    assert!(socket.on_segment(ms(10), &syn("S")).established);
    assert_eq!(kinds(&drain(&mut socket, ms(10))), [PlanKind::Ack]);
    socket
}

fn established() -> Socket {
    established_with(plain_params())
}
