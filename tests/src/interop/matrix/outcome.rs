//! What came of a cell, and what is wrong with it.

use super::super::{MUST_STAY_ZERO, Table};
use super::cell::{Cell, Condition};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Counters that moved.
pub type Moved = BTreeMap<String, u64>;

/// What came of a cell.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which one.
    pub cell: Cell,
    /// Bytes that came back to the client, and their hash.
    pub received: (usize, String),
    /// The hash of what was sent, of what the other end says it received and of what it sent back.
    pub expected: Vec<(&'static str, String)>,
    /// MPTCP until the end, as the engine says.
    pub mptcp: bool,
    /// DSS checksums were in use, as the engine says.
    pub checksum: bool,
    /// Pairs of addresses with a subflow, as the engine says, and subflows at the end, as the kernel does.
    pub subflows: (usize, u64),
    /// The families of those pairs, IPv6 or not.
    pub v6: Vec<bool>,
    /// From the first byte to the last, in seconds.
    pub seconds: f64,
    /// Bytes the engine reinjected.
    pub reinjected: u64,
    /// Counters of the kernel that moved.
    pub kernel: Moved,
    /// Counters of the engine that moved.
    pub engine: Moved,
}

/// Counters that say a connection left MPTCP.
const FALLBACK: [&str; 9] = [
    "MPCapableFallbackACK",
    "MPCapableFallbackSYNACK",
    "MPCapableDataFallback",
    "MPCapableSYNTXDrop",
    "MPFallbackTokenInit",
    "DssFallback",
    "InfiniteMapTx",
    "InfiniteMapRx",
    "MPFailTx",
];

/// Counters that stay at zero where nothing happens on the way.
const RESETS: [&str; 4] = ["MPRstTx", "MPRstRx", "MPFastcloseTx", "MPFastcloseRx"];

impl Outcome {
    /// What is wrong with it.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |fine: bool, what: String| {
            if !fine {
                found.push(what);
            }
        };
        let Cell { size, checksum, condition, .. } = self.cell;
        check(self.received.0 == size, format!("{} bytes came", self.received.0));
        for (what, hash) in &self.expected {
            check(*hash == self.received.1, format!("another hash of what was {what}"));
        }
        check(self.mptcp, "no MPTCP at the end".to_owned());
        check(self.checksum == checksum, format!("checksums in use: {}", self.checksum));
        // An announcement that comes late makes one more: by then the other end's first address was taken instead.
        let late = matches!(condition, Condition::Loss | Condition::Reorder);
        let count = self.subflows.0;
        check(count == 3 || (late && count > 3), format!("{count} subflows"));
        let (first, joins) = self.cell.families.v6();
        let families = self.v6.iter().skip(1).all(|v6| *v6 == joins);
        check(self.v6.first() == Some(&first) && families, format!("IPv6: {:?}", self.v6));
        let mut zero = [&MUST_STAY_ZERO[..], &FALLBACK[..]].concat();
        if condition == Condition::Clean {
            zero.extend(RESETS);
        }
        for (whose, counters) in [("kernel", &self.kernel), ("engine", &self.engine)] {
            for name in &zero {
                let value = counters.get(&format!("MPTcpExt{name}")).copied().unwrap_or(0);
                check(value == 0, format!("{name} of the {whose}: {value}"));
            }
        }
        for name in ["MpuserTcpInErrors", "MpuserIpInErrors"] {
            check(!self.engine.contains_key(name), format!("{name} of the engine"));
        }
        found
    }

    /// As JSON, every counter included.
    #[must_use]
    pub fn json(&self) -> Value {
        let [role, families, checksum, size, condition] = self.cell.values();
        json!({
            "role": role, "families": families, "checksum": checksum, "size": size,
            "condition": condition, "complaints": self.complaints(), "sha256": self.received.1,
            "bytes": self.received.0, "subflows": self.subflows.0, "kernel_subflows": self.subflows.1,
            "seconds": self.seconds, "reinjected": self.reinjected,
            "kernel": self.kernel, "engine": self.engine,
        })
    }
}

/// The table of cells that ran; those without an outcome broke off, and why is with them.
#[must_use]
pub fn table(rows: &[(Cell, Result<Outcome, String>)], counters: bool) -> Table {
    let mut columns = vec![
        "engine is",
        "families",
        "checksum",
        "bytes",
        "condition",
        "equal by SHA-256",
        "subflows",
        "ms",
        "retransmitted ours/kernel",
        "reinjected bytes",
        "resets ours/kernel",
        "verdict",
    ];
    if counters {
        columns.extend(["kernel's MPTcpExt", "engine's MPTcpExt"]);
    }
    let title = format!("Engine and kernel, {} cells: the same bytes each way", rows.len());
    let mut table = Table::new(title, &columns);
    for (cell, outcome) in rows {
        let mut row: Vec<String> = cell.values().map(str::to_owned).to_vec();
        match outcome {
            Ok(outcome) => row.extend(outcome.columns(counters)),
            Err(_) => {
                row.resize(columns.len(), String::new());
                row[11] = "BROKE OFF".to_owned();
            }
        }
        table.row(&row.iter().map(|c| c as &dyn std::fmt::Display).collect::<Vec<_>>());
    }
    table
}

impl Outcome {
    fn columns(&self, counters: bool) -> Vec<String> {
        let (kernel, engine) = (&self.kernel, &self.engine);
        let get = |of: &Moved, name: &str| of.get(name).copied().unwrap_or(0);
        let equal = self.expected.iter().all(|(_, hash)| *hash == self.received.1);
        let retransmitted = (get(engine, "MpuserTcpRetransSegs"), get(kernel, "TcpRetransSegs"));
        let resets = (get(engine, "MpuserTcpOutRsts"), get(kernel, "TcpOutRsts"));
        let complaints = self.complaints();
        let mut columns = vec![
            if equal { "yes" } else { "NO" }.to_owned(),
            self.subflows.0.to_string(),
            format!("{:.1}", self.seconds * 1e3),
            format!("{}/{}", retransmitted.0, retransmitted.1),
            self.reinjected.to_string(),
            format!("{}/{}", resets.0, resets.1),
            if complaints.is_empty() { "ok".to_owned() } else { complaints.join("; ") },
        ];
        if counters {
            columns.extend([kernel, engine].map(mptcp));
        }
        columns
    }
}

/// The MPTCP counters among them, in one line.
fn mptcp(moved: &Moved) -> String {
    let one = |(name, value): (&String, &u64)| {
        name.strip_prefix("MPTcpExt").map(|name| format!("{name} {value}"))
    };
    moved.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}
