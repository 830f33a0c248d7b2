//! Both ends of a connection on one core, without input or output.

use crate::case::{Ask, Case, Contender, Settings, Watch};
use crate::memory::mpuser::{Options, Pair};
use crate::memory::{Flow, smoltcp};
use crate::passing::Passing;
use mpuser_engine::time::Duration;
use mpuser_tun::clock;

/// P1 to P3.
pub(super) const CASES: &[Case] = &[
    goodput("P1", "in memory, MTU 1500, checksums: mpuser / smoltcp", 1.5, |_| {
        beside_smoltcp(Passing::Copied)
    }),
    goodput("P1", "the same, octets handed over and taken as they came", 1.5, |_| {
        beside_smoltcp(Passing::Shared)
    }),
    goodput("P2", "in memory, MTU 1500: mpuser / quinn-proto with its TLS", 5.0, |_| {
        beside_quinn(Passing::Copied)
    }),
    goodput("P2", "the same, octets handed over and taken as they came", 5.0, |_| {
        beside_quinn(Passing::Shared)
    }),
    goodput("P3", "in memory: MPTCP / TCP, both ours", 0.92, |_| {
        Ok(vec![ours("MPTCP", &Options::default())?, ours("TCP", &TCP)?])
    }),
    goodput("P3", "in memory: two subflows / one", 0.9, |_| {
        Ok(vec![ours("two", &TWO)?, ours("one", &Options::default())?])
    }),
];

const ONE: Options = Options {
    mptcp: true,
    subflows: 1,
    idle: 0,
    dss_checksum: false,
    mtu: crate::memory::MTU,
    passing: Passing::Copied,
};
const TCP: Options = Options { mptcp: false, ..ONE };
const TWO: Options = Options { subflows: 2, ..ONE };

pub(super) const fn goodput(
    id: &'static str,
    what: &'static str,
    ask: f64,
    prepare: crate::case::Prepare,
) -> Case {
    let (unit, ask, watch) = ("Gbit/s", Ask::RatioAtLeast(ask), Watch::Throughout);
    Case { id, what, unit, ask, watch, prepare }
}

/// One of ours.
pub(super) fn ours(name: &str, options: &Options) -> Result<Contender, String> {
    Ok(flow(name, Pair::open(options)?))
}

fn beside_smoltcp(passing: Passing) -> Result<Vec<Contender>, String> {
    let ours = ours("mpuser", &Options { passing, ..ONE })?;
    Ok(vec![ours, flow("smoltcp", smoltcp::Pair::open(passing)?)])
}

#[cfg(feature = "quinn")]
fn beside_quinn(passing: Passing) -> Result<Vec<Contender>, String> {
    let ours = ours("mpuser", &Options { passing, ..ONE })?;
    Ok(vec![ours, flow("quinn-proto", crate::memory::quinn::Pair::open(passing)?)])
}

#[cfg(not(feature = "quinn"))]
fn beside_quinn(_: Passing) -> Result<Vec<Contender>, String> {
    Err("built without the feature quinn; tests/bench has it".to_owned())
}

/// Gbit/s of application data, for a while.
fn flow(name: &str, mut flow: impl Flow + 'static) -> Contender {
    Contender::new(name, move |settings: &Settings| {
        let long = Duration::from_millis(if settings.quick { 100 } else { 500 });
        let (start, mut octets) = (clock::now(), 0);
        loop {
            // the clock is read seldom enough not to be noticed
            octets += flow.transfer(4 << 20)?;
            let took = clock::now().saturating_since(start);
            if took >= long {
                return Ok(octets as f64 * 8.0 / took.as_nanos() as f64);
            }
        }
    })
}
