//! Both ends of a connection on one core, without input or output.

use crate::case::{Ask, Case, Contender, Settings, Watch};
use crate::memory::{Flow, mpuser, smoltcp};
use mpuser_engine::time::Duration;
use mpuser_tun::clock;

/// P1 to P3.
pub(super) const CASES: &[Case] = &[Case {
    id: "P1",
    what: "in memory, MTU 1500, checksums: mpuser / smoltcp",
    unit: "Gbit/s",
    ask: Ask::RatioAtLeast(1.5),
    watch: Watch::Throughout,
    prepare: beside_smoltcp,
}];

fn beside_smoltcp(_: &Settings) -> Result<Vec<Contender>, String> {
    let ours = mpuser::Pair::open(&mpuser::Options::default())?;
    Ok(vec![goodput("mpuser", ours), goodput("smoltcp", smoltcp::Pair::open()?)])
}

/// Gbit/s of application data, for a while.
fn goodput(name: &str, mut flow: impl Flow + 'static) -> Contender {
    Contender::new(name, move |settings| {
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
