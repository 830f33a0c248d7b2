//! The view as a script sees it: values with properties. Times are milliseconds, amounts bytes.

use super::Wants;
use mpuser_engine::scheduling::{LossState, SchedulerView, SubflowSnapshot};
use mpuser_engine::time::Duration;
use rhai::{Array, Dynamic, Engine, INT};

/// Most ranges a script is shown.
const MAX_RANGES: usize = 64;
/// Ranges looked at for what a subflow has not sent.
const MAX_SEARCH: usize = 4_096;

/// A subflow.
#[derive(Clone, Debug)]
pub(super) struct Subflow {
    pub(super) snapshot: SubflowSnapshot,
    open: bool,
    regular: bool,
    /// Since when anything came, and since anything was acknowledged.
    ages: (Duration, Duration),
    missing: Option<Span>,
}

/// A range of the connection's bytes.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
    carriers: Vec<INT>,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct View {
    now: f64,
    unsent: u64,
    window: u64,
    sendable: u64,
    una: u64,
    nxt: u64,
    window_end: u64,
    send_buffer: u64,
    boundary: Option<u64>,
    subflows: Vec<Subflow>,
    in_flight: Vec<Span>,
    reinjections: Vec<Span>,
}

fn int(value: u64) -> INT {
    INT::try_from(value).unwrap_or(INT::MAX)
}

fn millis(duration: Duration) -> f64 {
    if duration == Duration::MAX { 1e12 } else { duration.as_secs_f64() * 1e3 }
}

impl View {
    pub(super) fn new(view: &SchedulerView<'_>, wants: Wants) -> Self {
        let regular: Vec<_> = view.regular().map(|s| s.id).collect();
        let subflow = |s: &SubflowSnapshot| Subflow {
            snapshot: *s,
            open: s.is_open(view.sendable()),
            regular: regular.contains(&s.id),
            ages: (
                view.now.saturating_since(s.last_received),
                view.now.saturating_since(s.last_acked),
            ),
            missing: wants.missing.then(|| missing(view, s)).flatten(),
        };
        let carriers = |set: mpuser_engine::scheduling::SubflowSet| {
            let on = view.subflows.iter().filter(|s| set.overlaps(s.set));
            on.map(|s| INT::from(s.id.0)).collect()
        };
        let in_flight =
            view.in_flight_from(view.una).take(if wants.in_flight { MAX_RANGES } else { 0 });
        let waiting = view.reinjections().take(if wants.reinjections { MAX_RANGES } else { 0 });
        Self {
            now: view.now.as_nanos() as f64 / 1e6,
            unsent: view.unsent,
            window: view.window,
            sendable: view.sendable(),
            una: view.una,
            nxt: view.nxt,
            window_end: view.window_end,
            send_buffer: view.send_buffer,
            boundary: view.next_boundary(),
            subflows: view.subflows.iter().map(subflow).collect(),
            in_flight: in_flight
                .map(|f| Span {
                    start: f.range.start,
                    end: f.range.end,
                    carriers: carriers(f.carriers),
                })
                .collect(),
            reinjections: waiting
                .map(|r| Span {
                    start: r.range.start,
                    end: r.range.end,
                    carriers: vec![INT::from(r.origin.0)],
                })
                .collect(),
        }
    }
}

/// The oldest range in flight that this subflow has not sent.
fn missing(view: &SchedulerView<'_>, s: &SubflowSnapshot) -> Option<Span> {
    let found = view.in_flight_from(view.una).take(MAX_SEARCH).find(|f| !f.is_on(s))?;
    Some(Span { start: found.range.start, end: found.range.end, carriers: Vec::new() })
}

fn array<T: Clone + Send + Sync + 'static>(values: &[T]) -> Array {
    values.iter().map(|value| Dynamic::from(value.clone())).collect()
}

fn optional<T: Clone + Send + Sync + 'static>(value: Option<&T>) -> Dynamic {
    value.map_or(Dynamic::UNIT, |value| Dynamic::from(value.clone()))
}

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<View>("View")
        .register_type_with_name::<Subflow>("Subflow")
        .register_type_with_name::<Span>("Range");
    engine
        .register_get("now", |v: &mut View| v.now)
        .register_get("unsent", |v: &mut View| int(v.unsent))
        .register_get("window", |v: &mut View| int(v.window))
        .register_get("sendable", |v: &mut View| int(v.sendable))
        .register_get("una", |v: &mut View| int(v.una))
        .register_get("nxt", |v: &mut View| int(v.nxt))
        .register_get("window_end", |v: &mut View| int(v.window_end))
        .register_get("send_buffer", |v: &mut View| int(v.send_buffer))
        .register_get("boundary", |v: &mut View| int(v.boundary.unwrap_or(u64::MAX)))
        .register_get("subflows", |v: &mut View| array(&v.subflows))
        .register_get("in_flight_ranges", |v: &mut View| array(&v.in_flight))
        .register_get("reinjections", |v: &mut View| array(&v.reinjections));
    engine
        .register_get("start", |r: &mut Span| int(r.start))
        .register_get("end", |r: &mut Span| int(r.end))
        .register_get("len", |r: &mut Span| int(r.end - r.start))
        .register_get("carriers", |r: &mut Span| array(&r.carriers));
    register_subflow(engine);
}

fn register_subflow(engine: &mut Engine) {
    engine
        .register_get("id", |s: &mut Subflow| INT::from(s.snapshot.id.0))
        .register_get("srtt", |s: &mut Subflow| millis(s.snapshot.rtt()))
        .register_get("min_rtt", |s: &mut Subflow| millis(s.snapshot.min_rtt.unwrap_or_default()))
        .register_get("rttvar", |s: &mut Subflow| millis(s.snapshot.rttvar))
        .register_get("rto", |s: &mut Subflow| millis(s.snapshot.rto))
        .register_get("cwnd", |s: &mut Subflow| int(s.snapshot.cwnd))
        .register_get("ssthresh", |s: &mut Subflow| int(s.snapshot.ssthresh))
        .register_get("in_flight", |s: &mut Subflow| int(s.snapshot.in_flight))
        .register_get("queued", |s: &mut Subflow| int(s.snapshot.queued))
        .register_get("write_memory", |s: &mut Subflow| int(s.snapshot.write_memory))
        .register_get("available", |s: &mut Subflow| int(s.snapshot.available))
        .register_get("queue_room", |s: &mut Subflow| int(s.snapshot.queue_room))
        .register_get("mss", |s: &mut Subflow| INT::from(s.snapshot.mss))
        .register_get("peer_window", |s: &mut Subflow| int(s.snapshot.peer_window))
        .register_get("pacing_rate", |s: &mut Subflow| int(s.snapshot.pacing_rate))
        .register_get("delivery_rate", |s: &mut Subflow| int(s.snapshot.delivery_rate));
    engine
        .register_get("loss", |s: &mut Subflow| {
            let word = match s.snapshot.loss {
                LossState::Open => "open",
                LossState::Recovery => "recovery",
                LossState::Loss => "loss",
            };
            rhai::ImmutableString::from(word)
        })
        .register_get("slow_start", |s: &mut Subflow| s.snapshot.in_slow_start())
        .register_get("timeouts", |s: &mut Subflow| INT::from(s.snapshot.timeouts))
        .register_get("backup", |s: &mut Subflow| s.snapshot.backup)
        .register_get("backup_here", |s: &mut Subflow| s.snapshot.backup_here)
        .register_get("backup_peer", |s: &mut Subflow| s.snapshot.backup_peer)
        .register_get("stale", |s: &mut Subflow| s.snapshot.stale)
        .register_get("open", |s: &mut Subflow| s.open)
        .register_get("regular", |s: &mut Subflow| s.regular)
        .register_get("received_ago", |s: &mut Subflow| millis(s.ages.0))
        .register_get("acked_ago", |s: &mut Subflow| millis(s.ages.1))
        .register_get("missing", |s: &mut Subflow| optional(s.missing.as_ref()));
}
