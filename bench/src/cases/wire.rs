//! Live: over TUN devices to the kernel, and beside kernel to kernel. Content is checked in all of them.

use crate::case::{Ask, Case, Contender, Settings, Watch};
use crate::passing::Passing;
use crate::wire::echo::{self, Echoes};
use crate::wire::failover::{self, Death, Who};
use crate::wire::kernel::{Gaps, Meter, Transfer, Way};
use crate::wire::paths::Options;
use crate::wire::place::{Hop, Kind, on_hop};
use crate::wire::shaped::{self, Shaped};
use crate::wire::veth::{self, OwnLab};
use crate::wire::{bare, connects, ours, smol};
use mpuser_engine::config::CongestionAlgorithm;
use std::io;
use std::rc::Rc;

/// Attempts at a measurement. An end without a stack has no answer to a packet that the kernel drops.
const ATTEMPTS: usize = 3;
/// Three equal links; three with round trips of 10, 40 and 100 ms; one of three that loses packets.
const EQUAL: [&str; 3] = ["rate=100mbit delay=5ms queue=50ms"; 3];
const UNEQUAL: [&str; 3] = [
    "rate=100mbit delay=5ms queue=50ms",
    "rate=100mbit delay=20ms queue=50ms",
    "rate=100mbit delay=50ms queue=50ms",
];
const LOSSY: [&str; 3] = [
    "rate=100mbit delay=5ms queue=50ms",
    "rate=100mbit delay=5ms queue=50ms",
    "rate=100mbit delay=5ms queue=50ms loss=1%",
];

type Measured = Result<Vec<Contender>, String>;
/// Moves so many octets over a hop.
type Mover = fn(Hop, Way, u64) -> io::Result<Transfer>;

const fn live(
    id: &'static str,
    what: &'static str,
    unit: &'static str,
    ask: Ask,
    prepare: crate::case::Prepare,
) -> Case {
    // the kernel works for both sides, and other processes (`ip`, `tc`) do, too
    Case { id, what, unit, ask, watch: Watch::Before, prepare }
}

/// P4 to P9, P14 to P17.
pub(super) const CASES: &[Case] = &[
    live(
        "P4",
        "TUN with offload, kernel MPTCP peer, up: mpuser / no-stack end",
        "Gbit/s",
        Ask::RatioAtLeast(0.8),
        |_| Ok(vec![mpuser(Kind::Offload, Way::Up), no_stack(Kind::Offload, Way::Up)]),
    ),
    live(
        "P4",
        "TUN with offload, kernel MPTCP peer, down: mpuser / no-stack end",
        "Gbit/s",
        Ask::RatioAtLeast(0.8),
        |_| Ok(vec![mpuser(Kind::Offload, Way::Down), no_stack(Kind::Offload, Way::Down)]),
    ),
    live(
        "P4",
        "the same, up, octets handed over to mpuser",
        "Gbit/s",
        Ask::RatioAtLeast(0.8),
        |_| Ok(vec![shared(Kind::Offload, Way::Up), no_stack(Kind::Offload, Way::Up)]),
    ),
    live(
        "P5",
        "TUN with offload, 4 MiB buffers, up: mpuser / smoltcp with TSO",
        "Gbit/s",
        Ask::RatioAtLeast(1.0),
        |_| Ok(vec![mpuser(Kind::Offload, Way::Up), smoltcp(Kind::Offload, Way::Up)]),
    ),
    live(
        "P5",
        "the same, up, octets handed over to mpuser",
        "Gbit/s",
        Ask::RatioAtLeast(1.0),
        |_| Ok(vec![shared(Kind::Offload, Way::Up), smoltcp(Kind::Offload, Way::Up)]),
    ),
    live(
        "P5",
        "TUN with offload, 4 MiB buffers, down: mpuser / smoltcp with TSO",
        "Gbit/s",
        Ask::RatioAtLeast(1.0),
        |_| Ok(vec![mpuser(Kind::Offload, Way::Down), smoltcp(Kind::Offload, Way::Down)]),
    ),
    live(
        "P6",
        "mpuser with offload / smoltcp on a plain TUN, up",
        "Gbit/s",
        Ask::RatioAtLeast(12.0),
        |_| Ok(vec![mpuser(Kind::Offload, Way::Up), smoltcp(Kind::Plain, Way::Up)]),
    ),
    live(
        "P6",
        "mpuser with offload / smoltcp on a plain TUN, down",
        "Gbit/s",
        Ask::RatioAtLeast(5.0),
        |_| Ok(vec![mpuser(Kind::Offload, Way::Down), smoltcp(Kind::Plain, Way::Down)]),
    ),
    live(
        "P7",
        "mpuser over TUN / kernel MPTCP over veth, cubic, 1 subflow, up",
        "Gbit/s",
        Ask::RatioAtLeast(1.0),
        |_| beside_kernel(1, Passing::Copied),
    ),
    live(
        "P7",
        "the same, 1 subflow, octets handed over to mpuser",
        "Gbit/s",
        Ask::RatioAtLeast(1.0),
        |_| beside_kernel(1, Passing::Shared),
    ),
    live(
        "P7",
        "mpuser over TUN / kernel MPTCP over veth, cubic, 3 subflows, up",
        "Gbit/s",
        Ask::RatioAtLeast(1.5),
        |_| beside_kernel(3, Passing::Copied),
    ),
    live(
        "P7",
        "the same, 3 subflows, octets handed over to mpuser",
        "Gbit/s",
        Ask::RatioAtLeast(1.5),
        |_| beside_kernel(3, Passing::Shared),
    ),
    live(
        "P8",
        "plain TUN, up: mpuser / no-stack MPTCP end",
        "Gbit/s",
        Ask::RatioAtLeast(0.95),
        |_| Ok(vec![mpuser(Kind::Plain, Way::Up), no_stack(Kind::Plain, Way::Up)]),
    ),
    live(
        "P8",
        "plain TUN, down: mpuser / no-stack MPTCP end",
        "Gbit/s",
        Ask::RatioAtLeast(0.95),
        |_| Ok(vec![mpuser(Kind::Plain, Way::Down), no_stack(Kind::Plain, Way::Down)]),
    ),
    live(
        "P9",
        "user CPU per octet, offload, up: mpuser / smoltcp with TSO",
        "ns/B",
        Ask::RatioAtMost(0.8),
        |_| Ok(user_cpu(Way::Up, ours::transfer)),
    ),
    live("P9", "the same, up, octets handed over to mpuser", "ns/B", Ask::RatioAtMost(0.8), |_| {
        Ok(user_cpu(Way::Up, ours::transfer_shared))
    }),
    live(
        "P9",
        "user CPU per octet, offload, down: mpuser / smoltcp with TSO",
        "ns/B",
        Ask::RatioAtMost(0.8),
        |_| Ok(user_cpu(Way::Down, ours::transfer)),
    ),
    live(
        "P14",
        "echo of 32 octets, median round trip: mpuser / bare TUN echo",
        "us",
        Ask::RatioAtMost(1.1),
        |_| Ok(echoes(|echoes| echoes.median.as_secs_f64() * 1e6)),
    ),
    live(
        "P14",
        "echo of 32 octets, CPU of the echoing end: mpuser / bare TUN echo",
        "us",
        Ask::RatioAtMost(1.1),
        |_| Ok(echoes(|echoes| echoes.cpu.as_secs_f64() * 1e6)),
    ),
    live(
        "P15",
        "connections to a kernel peer: mpuser / kernel MPTCP over veth",
        "1/s",
        Ask::RatioAtLeast(1.3),
        |_| connections(),
    ),
    live(
        "P16",
        "up over 3 x 100 Mbit/s, RTT 10 ms: mpuser / sum of links",
        "Mbit/s",
        Ask::RatioAtLeast(0.95),
        |_| aggregation("equal", EQUAL, CongestionAlgorithm::Cubic),
    ),
    live(
        "P16",
        "up over 3 x 100 Mbit/s, RTT 10, 40, 100 ms: mpuser / sum of links",
        "Mbit/s",
        Ask::RatioAtLeast(0.95),
        |_| aggregation("rtt", UNEQUAL, CongestionAlgorithm::Cubic),
    ),
    live(
        "P16",
        "up over 3 x 100 Mbit/s, 1 % loss on one: mpuser / sum of links",
        "Mbit/s",
        Ask::RatioAtLeast(0.95),
        |_| aggregation("loss", LOSSY, CongestionAlgorithm::Cubic),
    ),
    live(
        "P16",
        "the same, 1 % loss on one, mpuser with bbr",
        "Mbit/s",
        Ask::RatioAtLeast(0.95),
        |_| aggregation("bbr", LOSSY, CongestionAlgorithm::Bbr),
    ),
    live(
        "P17",
        "longest silence, download, link cut silently: mpuser / kernel",
        "ms",
        Ask::RatioAtMost(0.5),
        |_| silences(Way::Down, Death::Silent, longest),
    ),
    live(
        "P17",
        "longest silence, upload, link cut silently: mpuser / kernel",
        "ms",
        Ask::RatioAtMost(0.5),
        |_| silences(Way::Up, Death::Silent, longest),
    ),
    live(
        "P17",
        "longest silence of all rounds, download, link cut silently: mpuser",
        "ms",
        Ask::NeverOver(250.0),
        |_| silences(Way::Down, Death::Silent, longest),
    ),
    live(
        "P17",
        "sum of silences over 50 ms, download, link cut silently: mpuser / kernel",
        "ms",
        Ask::RatioAtMost(0.5),
        |_| silences(Way::Down, Death::Silent, noticed),
    ),
    live(
        "P17",
        "longest silence of all rounds, upload, link cut silently: mpuser",
        "ms",
        Ask::NeverOver(250.0),
        |_| silences(Way::Up, Death::Silent, longest),
    ),
    live(
        "P17",
        "sum of silences over 50 ms, upload, link cut silently: mpuser / kernel",
        "ms",
        Ask::RatioAtMost(0.5),
        |_| silences(Way::Up, Death::Silent, noticed),
    ),
    live(
        "P17",
        "longest silence, download, link down: mpuser / kernel",
        "ms",
        Ask::RatioAtMost(0.1),
        |_| silences(Way::Down, Death::LinkDown, longest),
    ),
    live(
        "P17",
        "longest silence, upload, link down: mpuser / kernel",
        "ms",
        Ask::RatioAtMost(0.1),
        |_| silences(Way::Up, Death::LinkDown, longest),
    ),
    live(
        "P17",
        "the same, upload, link down, mpuser with bbr",
        "ms",
        Ask::RatioAtMost(0.1),
        |_| silences_with(CongestionAlgorithm::Bbr, Way::Up, Death::LinkDown, longest),
    ),
];

/// Measures, again after a failure.
fn insist<R>(mut measure: impl FnMut() -> io::Result<R>) -> Result<R, String> {
    let mut failed = String::new();
    for _ in 0..ATTEMPTS {
        match measure() {
            Ok(value) => return Ok(value),
            Err(error) => failed = error.to_string(),
        }
    }
    Err(failed)
}

fn contender(
    name: &str,
    mut measure: impl FnMut(&Settings) -> io::Result<f64> + 'static,
) -> Contender {
    Contender::new(name, move |settings| insist(|| measure(settings)))
}

/// Octets of a transfer: a second or less.
fn amount(kind: Kind, settings: &Settings) -> u64 {
    let whole = if kind == Kind::Offload { 3 << 30 } else { 384 << 20 };
    if settings.quick { whole / 8 } else { whole }
}

/// One that moves data over one device; `value` is what counts of it.
fn mover(
    name: &str,
    (kind, way): (Kind, Way),
    transfer: Mover,
    value: fn(&Transfer) -> f64,
) -> Contender {
    contender(name, move |settings| {
        let bytes = amount(kind, settings);
        on_hop(kind, 1, |hop| transfer(hop, way, bytes)).map(|transfer| value(&transfer))
    })
}

fn mpuser(kind: Kind, way: Way) -> Contender {
    mover("mpuser", (kind, way), ours::transfer, Transfer::gbps)
}

fn shared(kind: Kind, way: Way) -> Contender {
    mover("mpuser", (kind, way), ours::transfer_shared, Transfer::gbps)
}

fn no_stack(kind: Kind, way: Way) -> Contender {
    mover("no stack", (kind, way), bare::transfer, Transfer::gbps)
}

fn smoltcp(kind: Kind, way: Way) -> Contender {
    mover("smoltcp", (kind, way), smol::transfer, Transfer::gbps)
}

fn user_cpu(way: Way, transfer: Mover) -> Vec<Contender> {
    let of = (Kind::Offload, way);
    vec![
        mover("mpuser", of, transfer, Transfer::user_ns_per_byte),
        mover("smoltcp", of, smol::transfer, Transfer::user_ns_per_byte),
    ]
}

fn beside_kernel(subflows: u8, passing: Passing) -> Measured {
    let transfer = match passing {
        Passing::Copied => ours::transfer,
        Passing::Shared => ours::transfer_shared,
    };
    let lab = veth::free_lab(usize::from(subflows)).map_err(|error| error.to_string())?;
    let ours = contender("mpuser", move |settings| {
        let bytes = amount(Kind::Offload, settings);
        on_hop(Kind::Offload, subflows, |hop| transfer(hop, Way::Up, bytes))
            .map(|transfer| transfer.gbps())
    });
    let kernel = contender("kernel", move |settings| {
        let bytes = amount(Kind::Offload, settings);
        veth::transfer(&lab, Way::Up, bytes, Meter::default).map(|transfer| transfer.gbps())
    });
    Ok(vec![ours, kernel])
}

/// mpuser, the packet sent back as it came (in mpuser's mode: awake for a moment before a sleep), and for comparison the
/// same by one that sleeps at once, and the connection answered without a stack.
fn echoes(value: fn(&Echoes) -> f64) -> Vec<Contender> {
    let over = |name, run: fn(Hop, usize) -> io::Result<Echoes>| {
        contender(name, move |settings| {
            let count = if settings.quick { 1_000 } else { 10_000 };
            on_hop(Kind::Offload, 1, |hop| run(hop, count)).map(|echoes| value(&echoes))
        })
    };
    vec![
        over("mpuser", echo::ours),
        over("UDP", echo::bare),
        over("UDP asleep", echo::bare_asleep),
        over("no stack", echo::bare_mptcp),
    ]
}

fn connections() -> Measured {
    let lab = veth::free_lab(1).map_err(|error| error.to_string())?;
    let count = |settings: &Settings| if settings.quick { 200 } else { 3_000 };
    let ours = contender("mpuser", move |settings| {
        let count = count(settings);
        on_hop(Kind::Offload, 1, |hop| connects::ours(hop, count))
    });
    let kernel = contender("kernel", move |settings| connects::kernel(&lab, count(settings)));
    Ok(vec![ours, kernel])
}

fn aggregation(id: &str, links: [&str; 3], congestion: CongestionAlgorithm) -> Measured {
    let options = Options { congestion, capture: None };
    let shaped = Rc::new(Shaped::up(id, links).map_err(|error| error.to_string())?);
    let same = Rc::clone(&shaped);
    Ok(vec![
        contender("mpuser", move |_| shaped.ours(options)),
        contender("links", |_| Ok(shaped::sum_of_links())),
        contender("kernel", move |_| same.kernel()),
    ])
}

fn longest(gaps: &Gaps) -> f64 {
    gaps.longest.as_secs_f64() * 1e3
}

fn noticed(gaps: &Gaps) -> f64 {
    gaps.noticed.as_secs_f64() * 1e3
}

fn silences(way: Way, death: Death, value: fn(&Gaps) -> f64) -> Measured {
    silences_with(CongestionAlgorithm::Cubic, way, death, value)
}

/// With this congestion control of mpuser's; the kernel's is always cubic.
fn silences_with(
    congestion: CongestionAlgorithm,
    way: Way,
    death: Death,
    value: fn(&Gaps) -> f64,
) -> Measured {
    let options = Options { congestion, capture: None };
    let lab = Rc::new(failover::lab("cut").map_err(|error| error.to_string())?);
    let over = |name, who| {
        let lab: Rc<OwnLab> = Rc::clone(&lab);
        contender(name, move |_| {
            failover::run(&lab, who, way, death, options).map(|lived| value(&lived.gaps))
        })
    };
    Ok(vec![over("mpuser", Who::Ours), over("kernel", Who::Kernel)])
}
