//! Whether others use the machine. A measurement beside a compiler says something about the compiler.

use mpuser_engine::time::Duration;
use std::fs;
use std::thread::sleep;

/// Cores that others may use while a measurement counts as undisturbed.
const ALLOWED: f64 = 0.12;
/// Longest time to look whether the machine is quiet.
const LOOK: Duration = Duration::from_millis(200);
/// Looks before a round goes ahead all the same.
const PATIENCE: usize = 50;

/// Processor time since some moment, in ticks of the kernel (10 ms).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    /// Of all cores together, doing anything; what a hypervisor took away counts, too.
    busy: u64,
    /// Of all cores together, doing nothing.
    idle: u64,
    /// Of this process and those it has waited for.
    own: u64,
}

/// The line `cpu` of /proc/stat: busy and idle.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // user nice system idle iowait irq softirq steal; guests are in user already
    let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = numbers[..] else {
        return None;
    };
    Some((user + nice + system + irq + softirq + steal, idle + iowait))
}

/// Fields 14 to 17 of /proc/self/stat.
fn parse_own(text: &str) -> Option<u64> {
    // the name of the program is in brackets and may hold anything
    let (_, fields) = text.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(11).take(4);
    times.map(|word| word.parse::<u64>().ok()).sum()
}

impl Ticks {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let (busy, idle) = parse_stat(&stat).unwrap_or_default();
        Self { busy, idle, own: parse_own(&own).unwrap_or_default() }
    }

    /// Cores in use by others between `before` and this, of `cores`.
    fn foreign_since(self, before: Self, cores: f64) -> f64 {
        let since = |now: u64, then: u64| now.saturating_sub(then) as f64;
        let (busy, idle) = (since(self.busy, before.busy), since(self.idle, before.idle));
        let foreign = (busy - since(self.own, before.own)).max(0.0);
        if busy + idle > 0.0 { foreign / (busy + idle) * cores } else { 0.0 }
    }
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}

/// Cores that others use, looked at for a moment.
#[must_use]
pub fn foreign() -> f64 {
    let before = Ticks::now();
    sleep(LOOK);
    Ticks::now().foreign_since(before, cores())
}

/// Waits for the machine to be quiet; false if it does not become so.
#[must_use]
pub fn wait(quick: bool) -> bool {
    let looks = if quick { 1 } else { PATIENCE };
    (0..looks).any(|_| foreign() <= ALLOWED)
}

/// Watches from its making on.
#[derive(Clone, Copy, Debug)]
pub struct Watcher(Ticks);

impl Watcher {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self(Ticks::now())
    }

    /// Others have used more than their share since.
    #[must_use]
    pub fn disturbed(self) -> bool {
        Ticks::now().foreign_since(self.0, cores()) > ALLOWED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc() {
        let stat = "cpu  10 1 5 100 7 2 3 4 50 0\ncpu0 1 2 3 4 5 6 7 8\n";
        assert_eq!(parse_stat(stat), Some((25, 107)));
        assert_eq!(parse_stat("cpu 1 2 3\n"), None);
        let own = "4242 (a (b) c) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        assert_eq!(parse_own(own), Some(11 + 12 + 13 + 14));
        let now = Ticks::now();
        assert!(now.busy > 0 && now.idle > 0);
    }

    #[test]
    fn what_is_ours_is_not_foreign() {
        let before = Ticks { busy: 1_000, idle: 1_000, own: 100 };
        let after = Ticks { busy: 1_150, idle: 1_050, own: 200 };
        // of two cores for 100 ticks: 150 busy, 100 of them ours
        assert!((after.foreign_since(before, 2.0) - 0.5).abs() < 1e-9);
        assert!(before.foreign_since(before, 2.0).abs() < 1e-9);
    }
}
