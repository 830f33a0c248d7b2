//! The kernel's counters, under the names of `nstat`.

use std::collections::BTreeMap;

use crate::net::{NetError, Netns, Result};

/// All of `/proc/net/snmp` and `/proc/net/netstat` of the namespace: `TcpOutRsts`,
/// `MPTcpExtMPJoinSynAckRx`, ... Numbers since the namespace was made.
pub fn kernel_counters(ns: &Netns) -> Result<BTreeMap<String, u64>> {
    ns.run(|| {
        let mut all = BTreeMap::new();
        // /proc/net is the namespace of the process' first thread; this thread's may differ.
        for file in ["/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"] {
            let text = std::fs::read_to_string(file)
                .map_err(|e| NetError::io(format!("cannot read {file}"), &e))?;
            parse(&text, &mut all);
        }
        Ok(all)
    })?
}

/// What has changed from `before` to `after`.
pub fn counter_delta(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let change = |(name, now): (&String, &u64)| {
        let grown = now.saturating_sub(before.get(name).copied().unwrap_or(0));
        (grown > 0).then(|| (name.clone(), grown))
    };
    after.iter().filter_map(change).collect()
}

/// Pairs of lines: names, then values, both after the section's name. Values that are no counters
/// (negative ones) are left out.
fn parse(text: &str, into: &mut BTreeMap<String, u64>) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((section, names)), Some((same, values))) =
            (names.split_once(':'), values.split_once(':'))
        else {
            continue;
        };
        if section != same {
            continue;
        }
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            if let Ok(value) = value.parse() {
                into.insert(format!("{section}{name}"), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_nstat_has_them() {
        let text = "Tcp: MaxConn OutRsts\nTcp: -1 4\nMPTcpExt: MPCapableSYNRX X\nMPTcpExt: 2 0\n";
        let mut all = BTreeMap::new();
        parse(text, &mut all);
        assert_eq!(all.get("TcpOutRsts"), Some(&4));
        assert_eq!(all.get("MPTcpExtMPCapableSYNRX"), Some(&2));
        assert_eq!(all.get("TcpMaxConn"), None);
        let mut later = all.clone();
        later.insert("TcpOutRsts".into(), 6);
        let delta = counter_delta(&all, &later);
        assert_eq!(delta.into_iter().collect::<Vec<_>>(), [("TcpOutRsts".to_owned(), 2)]);
        parse("a\nb\nc: d", &mut all);
    }

    #[test]
    fn this_kernel_has_some() {
        let all = kernel_counters(&Netns::current().unwrap()).unwrap();
        assert!(all.contains_key("TcpOutRsts"));
    }
}
