//! A link that dies in the middle of a transfer: how long nothing is received.

use super::kernel::{Gaps, Meter, Way};
use super::paths::Options;
use super::veth::OwnLab;
use super::{paths, veth};
use mpuser_engine::time::Instant;
use mpuser_tun::clock;
use mpuser_tun::lab::LabOptions;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a transfer carries: a second over three links of 100 Mbit/s.
const BYTES: u64 = 36 << 20;
/// How often the cutter looks how far it has come.
const LOOK: Duration = Duration::from_millis(2);
/// How long it takes at most to come that far.
const PATIENCE: u32 = 5_000;

/// How a link dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// What arrives is dropped, and nobody is told.
    Silent,
    /// The interfaces go down.
    LinkDown,
}

/// Whose connection it is. The kernel is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// mpuser's.
    Ours,
    /// The kernel's.
    Kernel,
}

/// Three links of 100 Mbit/s.
///
/// # Errors
/// As [`OwnLab::up`].
pub fn lab(id: &str) -> io::Result<OwnLab> {
    let options = LabOptions {
        rate: Some("100mbit".to_owned()),
        server_signal: false,
        client_subflow: true,
        ..LabOptions::default()
    };
    OwnLab::up(id, options)
}

/// What came of a transfer with a dead link.
#[derive(Clone, Debug)]
pub struct Survived {
    /// The silences from the middle on.
    pub gaps: Gaps,
    /// Which link died.
    pub link: String,
    /// When it was dead for sure.
    pub dead: Instant,
}

/// A transfer whose busiest link dies when half of it is there; `options` are for mpuser.
///
/// # Errors
/// The connection failed, or the octets are wrong.
pub fn run(
    lab: &OwnLab,
    who: Who,
    way: Way,
    death: Death,
    options: Options<'_>,
) -> io::Result<Survived> {
    lab.lab().restore().map_err(io::Error::other)?;
    let progress = Arc::new(AtomicU64::new(0));
    let meter = || Meter::from(BYTES / 2, Arc::clone(&progress));
    let before = traffic(lab, way)?;
    let (transfer, (link, dead)) = std::thread::scope(|scope| -> io::Result<_> {
        let cutting = scope.spawn(|| {
            for _ in 0..PATIENCE {
                if progress.load(Ordering::Relaxed) >= BYTES / 2 {
                    let link = busiest(&before, &traffic(lab, way)?)?;
                    cut(lab, &link, death)?;
                    return Ok((link, clock::now()));
                }
                std::thread::sleep(LOOK);
            }
            Err(io::Error::other("half of the transfer never came"))
        });
        let transfer = match who {
            Who::Ours => paths::watched(lab, way, BYTES, meter, options),
            Who::Kernel => veth::transfer(lab, way, BYTES, meter),
        };
        let death = cutting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((transfer?, death))
    })?;
    lab.lab().restore().map_err(io::Error::other)?;
    Ok(Survived { gaps: transfer.gaps, link, dead })
}

fn cut(lab: &OwnLab, dev: &str, death: Death) -> io::Result<()> {
    match death {
        Death::Silent => lab.lab().cut(dev, true),
        Death::LinkDown => lab.lab().set_link(dev, false),
    }
    .map_err(io::Error::other)
}

/// Octets by interface of the client, in the direction of the data.
fn traffic(lab: &OwnLab, way: Way) -> io::Result<Vec<(String, u64)>> {
    let text = lab.run("client", || std::fs::read_to_string("/proc/thread-self/net/dev"))?;
    let links = &lab.lab().state().paths;
    let line = |line: &str| {
        let (dev, counters) = line.split_once(':')?;
        let dev = dev.trim();
        links.iter().find(|path| path.dev == dev)?;
        // eight counters of what was received, then those of what was sent, octets first
        let at = if way == Way::Down { 0 } else { 8 };
        Some((dev.to_owned(), counters.split_whitespace().nth(at)?.parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn busiest(before: &[(String, u64)], now: &[(String, u64)]) -> io::Result<String> {
    let moved = before.iter().zip(now).map(|((dev, then), (_, now))| (now - then, dev));
    let most = moved.max().map(|(_, dev)| dev.clone());
    most.ok_or_else(|| io::Error::other("the lab has no links"))
}
