//! What two stacks counted in one case, laid side by side.

use super::target::Target;
use mpuser_engine::counters::Counters;
use std::collections::BTreeMap;

/// The section of the kernel's counters that both stacks have.
const SECTION: &str = "MPTcpExt";

/// What a stack did in a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// What the probe noted.
    pub text: String,
    /// MPTCP's counters at the end that are not zero, under the kernel's names without their section.
    pub counters: BTreeMap<String, u64>,
}

impl Observation {
    /// What was noted, and what the target has counted by now.
    #[must_use]
    pub fn new(text: String, target: &dyn Target) -> Self {
        let all = target.counters();
        let counters = names().filter_map(|name| Some((name.to_owned(), *all.get(name)?)));
        Self { text, counters: counters.collect() }
    }
}

/// MPTCP's counters, without their section.
fn names() -> impl Iterator<Item = &'static str> {
    let all: Vec<_> = Counters::default().iter().map(|(name, _)| name).collect();
    all.into_iter().filter_map(|name| name.strip_prefix(SECTION))
}

/// A counter that the two have not alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterDifference {
    /// Its name, without the section.
    pub name: String,
    /// What the engine counted.
    pub engine: u64,
    /// What the kernel counted.
    pub kernel: u64,
    /// Why that was expected, if the reviewed file says so.
    pub reason: Option<String>,
}

/// Every counter the two have not alike, by name.
#[must_use]
pub fn differences(
    engine: &BTreeMap<String, u64>,
    kernel: &BTreeMap<String, u64>,
) -> Vec<CounterDifference> {
    let value = |of: &BTreeMap<String, u64>, name: &str| of.get(name).copied().unwrap_or(0);
    let mut names: Vec<&String> = engine.keys().chain(kernel.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let pair = |name: &&String| (value(engine, name), value(kernel, name));
    let differ = names.into_iter().map(|name| (name, pair(&name))).filter(|(_, (e, k))| e != k);
    differ
        .map(|(name, (engine, kernel))| CounterDifference {
            name: name.clone(),
            engine,
            kernel,
            reason: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let of = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let found = differences(&of(&[("A", 1), ("B", 2)]), &of(&[("B", 2), ("C", 3)]));
        let told: Vec<_> = found.iter().map(|d| (d.name.as_str(), d.engine, d.kernel)).collect();
        assert_eq!(told, [("A", 1, 0), ("C", 0, 3)]);
    }
}
