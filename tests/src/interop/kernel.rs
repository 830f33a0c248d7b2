//! What the kernel counted.

use super::Fixture;
use mpuser_engine::counters::Counters;
use mpuser_tun::lab::peer::{counter_delta, kernel_counters};
use std::collections::BTreeMap;

/// Counters that say the peer found fault with us. They stay at zero whatever happens to packets on their way.
pub const MUST_STAY_ZERO: [&str; 7] = [
    "DSSNotMatching",
    "DataCsumErr",
    "DSSCorruptionFallback",
    "DSSCorruptionReset",
    "MPCapableFallbackACK",
    "DssFallback",
    "MPJoinAckHMacFailure",
];

/// Counters that came with a later version of Linux than one of those the scenarios run against; there they read as 0.
const LATER: [(&str, (u32, u32)); 9] = [
    ("AddAddrTx", (6, 12)),
    ("DssFallback", (6, 12)),
    ("EchoAddTx", (6, 12)),
    ("MPCapableDataFallback", (6, 12)),
    ("MPJoinSynTx", (6, 12)),
    ("RmAddrTx", (6, 12)),
    ("SimultConnectFallback", (6, 12)),
    ("MPJoinRejected", (6, 18)),
    ("WinProbe", (6, 18)),
];

/// Version of the running kernel, for what older ones do not have.
///
/// # Panics
/// When it does not say.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = text.split(['.', '-', '+']).map(|number| number.trim().parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Fails if the kernel ought to have this counter and does not: a slip of the pen would otherwise read as 0.
fn assert_counts(counters: &BTreeMap<String, u64>, name: &str) {
    let version = kernel_version();
    let later = LATER.iter().any(|(later, since)| *later == name && version < *since);
    let known = counters.contains_key(&format!("MPTcpExt{name}"));
    assert!(known || later, "this kernel does not count {name}");
}

/// The kernel's counters of a namespace since some moment.
#[derive(Clone, Debug)]
pub struct Watch<'a> {
    fixture: &'a Fixture,
    node: &'static str,
    before: BTreeMap<String, u64>,
}

fn read(fixture: &Fixture, node: &str) -> BTreeMap<String, u64> {
    let ns = fixture.lab().netns(node).unwrap_or_else(|e| panic!("{e}"));
    kernel_counters(&ns).unwrap_or_else(|e| panic!("{e}"))
}

impl<'a> Watch<'a> {
    /// From now on.
    #[must_use]
    pub fn start(fixture: &'a Fixture, node: &'static str) -> Self {
        Self { fixture, node, before: read(fixture, node) }
    }

    /// What has been counted; counters that did not move are missing.
    #[must_use]
    pub fn delta(&self) -> BTreeMap<String, u64> {
        counter_delta(&self.before, &read(self.fixture, self.node))
    }

    /// Whether this kernel has an MPTCP counter of that name.
    #[must_use]
    pub fn counts(&self, name: &str) -> bool {
        self.before.contains_key(&format!("MPTcpExt{name}"))
    }

    /// One MPTCP counter; 0 where the kernel is older than the counter.
    ///
    /// # Panics
    /// When the kernel has no counter of this name.
    #[must_use]
    pub fn mptcp(&self, name: &str) -> u64 {
        assert_counts(&self.before, name);
        self.delta().get(&format!("MPTcpExt{name}")).copied().unwrap_or(0)
    }

    /// Fails if the kernel found fault with us; says what else it counted.
    ///
    /// # Panics
    /// In that case.
    pub fn assert_no_fault(&self, context: &str) {
        let delta = self.delta();
        for name in MUST_STAY_ZERO {
            assert_counts(&self.before, name);
            let name = format!("MPTcpExt{name}");
            assert!(
                !delta.contains_key(&name),
                "{context}: {name} moved: {:#?}",
                mptcp_only(&delta)
            );
        }
    }
}

/// Fails if the engine found fault with what came.
///
/// # Panics
/// In that case.
pub fn assert_engine_content(counters: &Counters, context: &str) {
    let ours = ["MpuserTcpInErrors", "MpuserIpInErrors"].map(str::to_owned);
    let shared = MUST_STAY_ZERO.map(|name| format!("MPTcpExt{name}"));
    for name in shared.iter().chain(&ours) {
        let value = counters.iter().find(|(n, _)| n == name).map(|(_, value)| value);
        assert_eq!(value, Some(0), "{context}: {name} of the engine: {counters:#?}");
    }
}

fn mptcp_only(delta: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    delta.iter().filter(|(k, _)| k.starts_with("MPTcpExt")).map(|(k, v)| (k.as_str(), *v)).collect()
}
