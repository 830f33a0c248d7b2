//! What went over connections and their subflows between one look and the next.

use super::figures::{bits_per_second, bytes, rate};
use super::flow::{Flow, Sample};
use mpuser_engine::SubflowInfo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

/// How wide the column of a subflow is.
const COLUMN: usize = 16;

/// The names of paths, by the addresses of this end.
pub(super) type Names = BTreeMap<IpAddr, String>;

/// One direction of one connection, or of all, in one interval.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// The connection; `None` is the sum of all.
    pub(super) flow: Option<u32>,
    /// This end sends.
    pub(super) sends: bool,
    pub(super) bytes: u64,
    pub(super) retransmits: Option<u64>,
    /// By the subflows' numbers.
    pub(super) subflows: BTreeMap<u32, Share>,
}

/// What a subflow carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Its path.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) backup: bool,
}

/// From one look to the next.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) rows: Vec<Row>,
}

/// Which directions are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directions {
    pub(super) sends: bool,
    pub(super) receives: bool,
}

/// Takes samples and makes lines of them.
#[derive(Debug)]
pub(super) struct Meter {
    directions: Directions,
    names: Names,
    at: Duration,
    before: Vec<Sample>,
    columns: Option<Vec<(u32, String)>>,
}

impl Meter {
    pub(super) const fn new(directions: Directions, names: Names) -> Self {
        Self { directions, names, at: Duration::ZERO, before: Vec::new(), columns: None }
    }

    /// What happened since the last look.
    pub(super) fn look<'a>(
        &mut self,
        at: Duration,
        flows: impl IntoIterator<Item = &'a Flow>,
    ) -> Interval {
        let mut rows = Vec::new();
        let mut samples = Vec::new();
        for (index, flow) in flows.into_iter().enumerate() {
            let sample = flow.sample();
            let nothing = Sample::default();
            let before = self.before.get(index).unwrap_or(&nothing);
            for sends in [true, false] {
                if if sends { self.directions.sends } else { self.directions.receives } {
                    rows.push(row(flow.number, sends, before, &sample, &self.names));
                }
            }
            samples.push(sample);
        }
        if samples.len() > 1 {
            let sums = [true, false].into_iter().filter_map(|sends| sum(&rows, sends));
            let sums: Vec<Row> = sums.collect();
            rows.extend(sums);
        }
        let from = std::mem::replace(&mut self.at, at);
        self.before = samples;
        Interval { from, to: at, rows }
    }

    /// The lines of an interval, with a heading where the columns are others than before.
    pub(super) fn lines(&mut self, interval: &Interval) -> Vec<String> {
        let mut columns: BTreeMap<u32, String> = BTreeMap::new();
        for (number, share) in interval.rows.iter().flat_map(|row| &row.subflows) {
            let name = format!("#{number} {}", share.path);
            let known = columns.entry(*number).or_insert_with(|| name.clone());
            if *known != name {
                // the same number on different paths
                *known = format!("#{number}");
            }
        }
        let columns: Vec<_> = columns.into_iter().collect();
        let mut lines = Vec::new();
        if self.columns.as_ref() != Some(&columns) {
            lines.push(self.heading(&columns));
            self.columns = Some(columns.clone());
        }
        lines.extend(interval.rows.iter().map(|row| self.line(interval, row, &columns)));
        lines
    }

    fn both(&self) -> bool {
        self.directions.sends && self.directions.receives
    }

    fn heading(&self, columns: &[(u32, String)]) -> String {
        let role = if self.both() { "[Role]" } else { "" };
        let mut text = format!("[ ID]{role} Interval           Transfer     Bitrate         ");
        if self.directions.sends {
            text.push_str("Retr");
        }
        for (_, name) in columns {
            // writing to a String cannot fail
            let _ = write!(text, "  {name:<COLUMN$}");
        }
        text.trim_end().to_owned()
    }

    fn line(&self, interval: &Interval, row: &Row, columns: &[(u32, String)]) -> String {
        let time = interval.to.saturating_sub(interval.from);
        let mut text = beginning(row, self.both(), (interval.from, interval.to));
        if self.directions.sends {
            let retransmits = row.retransmits.filter(|_| row.sends);
            let _ = write!(text, "{:>4}", retransmits.map_or_else(String::new, |n| n.to_string()));
        }
        for (number, _) in columns {
            let cell = row.subflows.get(number).map_or_else(
                || "-".to_owned(),
                |share| rate(share.bytes, time) + if share.backup { " b" } else { "" },
            );
            let _ = write!(text, "  {cell:<COLUMN$}");
        }
        text.trim_end().to_owned()
    }
}

/// `[  1]   0.00-1.00   sec  11.2 MBytes  94.1 Mbits/sec  `.
pub(super) fn beginning(row: &Row, both: bool, (from, to): (Duration, Duration)) -> String {
    let number = row.flow.map_or_else(|| "SUM".to_owned(), |number| format!("{number:3}"));
    let role = match (both, row.sends) {
        (false, _) => "",
        (true, true) => "[TX-C]",
        (true, false) => "[RX-C]",
    };
    let (amount, rate) = (bytes(row.bytes), rate(row.bytes, to.saturating_sub(from)));
    let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
    format!("[{number}]{role} {from:6.2}-{to:<6.2} sec  {amount:<11}  {rate:<14}  ")
}

fn row(number: u32, sends: bool, before: &Sample, now: &Sample, names: &Names) -> Row {
    let of = |sample: &Sample| if sends { sample.total.0 } else { sample.total.1 };
    let moved = |info: &SubflowInfo| if sends { info.bytes_sent } else { info.bytes_received };
    let mut subflows = BTreeMap::new();
    for info in &now.subflows {
        let earlier = before.subflows.iter().find(|old| old.id == info.id).map_or(0, moved);
        let bytes = moved(info).saturating_sub(earlier);
        // one that is being opened, or is over, has no column
        if bytes == 0 && info.state != "ESTAB" {
            continue;
        }
        let address = info.tuple.local.ip();
        let path = names.get(&address).cloned().unwrap_or_else(|| address.to_string());
        subflows.insert(info.id.0, Share { path, bytes, backup: info.backup });
    }
    let again = |sample: &Sample| sample.retransmits;
    Row {
        flow: Some(number),
        sends,
        bytes: of(now).saturating_sub(of(before)),
        retransmits: again(now).map(|now| now.saturating_sub(again(before).unwrap_or(0))),
        subflows,
    }
}

/// All rows of a direction together.
pub(super) fn sum(rows: &[Row], sends: bool) -> Option<Row> {
    let mut rows = rows.iter().filter(|row| row.sends == sends);
    let mut sum = Row { flow: None, ..rows.next()?.clone() };
    for row in rows {
        sum.bytes += row.bytes;
        sum.retransmits = sum.retransmits.zip(row.retransmits).map(|(a, b)| a + b);
        for (number, share) in &row.subflows {
            match sum.subflows.get_mut(number) {
                Some(all) => all.bytes += share.bytes,
                None => drop(sum.subflows.insert(*number, share.clone())),
            }
        }
    }
    Some(sum)
}

/// A row with the names iperf3 gives its parts.
pub(super) fn row_object(row: &Row, (from, to): (Duration, Duration)) -> Value {
    let time = to.saturating_sub(from);
    let subflow = |(number, share): (&u32, &Share)| {
        json!({
            "id": number, "path": share.path, "bytes": share.bytes, "backup": share.backup,
            "bits_per_second": bits_per_second(share.bytes, time),
        })
    };
    json!({
        "socket": row.flow, "start": from.as_secs_f64(), "end": to.as_secs_f64(),
        "seconds": time.as_secs_f64(), "bytes": row.bytes,
        "bits_per_second": bits_per_second(row.bytes, time),
        "retransmits": row.retransmits.filter(|_| row.sends), "sender": row.sends,
        "subflows": row.subflows.iter().map(subflow).collect::<Vec<_>>(),
    })
}

impl Interval {
    /// As iperf3's `intervals` have it.
    pub(super) fn object(&self) -> Value {
        let times = (self.from, self.to);
        let of = |row: &Row| row_object(row, times);
        let streams: Vec<_> = self.rows.iter().filter(|row| row.flow.is_some()).map(of).collect();
        let sums: Vec<_> = self.rows.iter().filter(|row| row.flow.is_none()).map(of).collect();
        json!({ "streams": streams, "sums": sums })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(flow: u32, shares: &[(u32, &str, u64)]) -> Row {
        let share = |path: &str, bytes| Share { path: path.to_owned(), bytes, backup: false };
        let subflows: BTreeMap<_, _> =
            shares.iter().map(|(number, path, bytes)| (*number, share(path, *bytes))).collect();
        let bytes = shares.iter().map(|(_, _, bytes)| bytes).sum();
        Row { flow: Some(flow), sends: true, bytes, retransmits: Some(1), subflows }
    }

    fn meter() -> Meter {
        Meter::new(Directions { sends: true, receives: false }, Names::new())
    }

    fn interval(rows: Vec<Row>) -> Interval {
        Interval { from: Duration::ZERO, to: Duration::from_secs(1), rows }
    }

    #[test]
    fn a_column_for_each_subflow_and_a_heading_when_they_change() {
        let mut meter = meter();
        let one = interval(vec![row(1, &[(0, "eth1", 11_762_500)])]);
        let lines = meter.lines(&one);
        assert_eq!(
            lines,
            [
                "[ ID] Interval           Transfer     Bitrate         Retr  #0 eth1",
                "[  1]   0.00-1.00   sec  11.2 MBytes  94.1 Mbits/sec     1  94.1 Mbits/sec",
            ]
        );
        assert_eq!(meter.lines(&one).len(), 1);
        let two = interval(vec![row(1, &[(0, "eth1", 1_250_000), (2, "eth2", 125_000)])]);
        let lines = meter.lines(&two);
        assert!(lines[0].ends_with("#0 eth1           #2 eth2"), "{lines:?}");
        assert!(lines[1].ends_with("10.0 Mbits/sec    1.00 Mbits/sec"), "{lines:?}");
    }

    #[test]
    fn sums_are_sums() {
        let rows = [row(1, &[(0, "eth1", 5), (1, "eth2", 7)]), row(2, &[(0, "eth1", 3)])];
        let sum = sum(&rows, true).unwrap();
        assert_eq!((sum.flow, sum.bytes, sum.retransmits), (None, 15, Some(2)));
        assert_eq!(sum.subflows[&0].bytes, 8);
        assert_eq!(sum.subflows[&1].bytes, 7);
        assert_eq!(super::sum(&rows, false), None);
        // the same number on two paths has no name
        let lines = meter().lines(&interval(vec![row(1, &[(0, "a", 1)]), row(2, &[(0, "b", 1)])]));
        assert!(lines[0].ends_with("#0"), "{lines:?}");
    }
}
