//! `mpuser stats`: counters as `nstat` prints them, and what goes over each path.

use super::args::{Stats, Which};
use super::{ask, processes};
use crate::error::{Code, Failure};
use crate::output::{Printer, stdout};
use mpuser_tun::control::{PathReport, Reply, Request};
use mpuser_tun::net::{NetError, Netns};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Lines between two headers.
const PAGE: u64 = 20;

/// Prints counters once, or rates of paths again and again.
pub(crate) fn run(args: &Stats, printer: Printer) -> Result<ExitCode, Failure> {
    if let Some(interval) = args.interval {
        return rates(&args.which, interval, args.count, printer);
    }
    let ours = gather(&args.which)?;
    let kernel = if args.diff_kernel { Some(kernel(args.netns.as_deref())?) } else { None };
    let patterns: Vec<&str> = args.patterns.iter().map(String::as_str).collect();
    let wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|p| matches(p, name));
    let mut rows = Vec::new();
    for (name, value) in ours {
        let theirs = kernel.as_ref().and_then(|kernel| kernel.get(&name).copied());
        let comparable = kernel.is_none() || theirs.is_some();
        let zero = value == 0 && theirs.unwrap_or(0) == 0;
        if wanted(&name) && comparable && (args.zeros || !zero) {
            rows.push((name, value, theirs));
        }
    }
    stdout(&if printer.json { json_of(&rows) } else { table(&rows, args.diff_kernel) });
    Ok(ExitCode::SUCCESS)
}

type Row = (String, u64, Option<u64>);

/// The sum over all processes, in the engine's order.
fn gather(which: &Which) -> Result<Vec<(String, u64)>, Failure> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for mut process in processes(which)? {
        let Ok(replies) = ask(&mut process, &Request::Counters) else { continue };
        for reply in replies {
            let Reply::Counter(counter) = reply else { continue };
            match sums.iter_mut().find(|(name, _)| *name == counter.name) {
                Some((_, sum)) => *sum = sum.saturating_add(counter.value),
                None => sums.push((counter.name, counter.value)),
            }
        }
    }
    Ok(sums)
}

/// `pattern` with `*` for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    name.strip_prefix(head).is_some_and(|rest| {
        (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|r| matches(tail, r)))
    })
}

/// The kernel's MPTcpExt counters, of a namespace by name or of this one.
fn kernel(netns: Option<&str>) -> Result<BTreeMap<String, u64>, Failure> {
    let namespace = netns.map_or_else(Netns::current, Netns::named)?;
    let read = || std::fs::read_to_string("/proc/thread-self/net/netstat");
    let text = namespace.run(read)?;
    let text = text.map_err(|error| NetError::io("cannot read the kernel's counters", &error))?;
    let counters = parse_netstat(&text);
    if counters.is_empty() {
        return Err(Failure::new(
            Code::Setup,
            "the kernel counts no MPTCP",
            "/proc/net/netstat has no line MPTcpExt: it was built without MPTCP",
            "leave out --diff-kernel",
        ));
    }
    Ok(counters)
}

/// A line of names and a line of values, both after `MPTcpExt:`.
fn parse_netstat(text: &str) -> BTreeMap<String, u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("MPTcpExt: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return BTreeMap::new() };
    let both = names.split_whitespace().zip(values.split_whitespace());
    both.filter_map(|(name, value)| Some((format!("MPTcpExt{name}"), value.parse().ok()?)))
        .collect()
}

fn json_of(rows: &[Row]) -> String {
    let of = |get: fn(&Row) -> Option<u64>| -> Map<String, Value> {
        rows.iter().filter_map(|row| Some((row.0.clone(), json!(get(row)?)))).collect()
    };
    let mut object = json!({ "schema": "mpuser.stats/1", "counters": of(|row| Some(row.1)) });
    let kernel = of(|row| row.2);
    if !kernel.is_empty() {
        object["kernel"] = json!(kernel);
    }
    format!("{object}\n")
}

/// The columns of `nstat`; with the kernel's counters beside ours, a `<>` where they differ.
fn table(rows: &[Row], diff: bool) -> String {
    let mut text = if diff {
        format!("{:<36}{:>14}{:>14}\n", "#counter", "mpuser", "kernel")
    } else {
        "#mpuser\n".to_owned()
    };
    for (name, ours, theirs) in rows {
        // writing to a String cannot fail
        let _ = match theirs {
            Some(theirs) => {
                let mark = if ours == theirs { "" } else { "  <>" };
                writeln!(text, "{name:<36}{ours:>14}{theirs:>14}{mark}")
            }
            None => writeln!(text, "{name:<32}{ours:<16}{:>6}", "0.0"),
        };
    }
    text
}

/// One path of one process.
type PathKey = (u32, String);

fn paths(which: &Which) -> Result<BTreeMap<PathKey, PathReport>, Failure> {
    let mut all = BTreeMap::new();
    for mut process in processes(which)? {
        let Ok(replies) = ask(&mut process, &Request::Paths) else { continue };
        for reply in replies {
            if let Reply::Path(path) = reply {
                all.insert((process.pid, path.name.clone()), path);
            }
        }
    }
    Ok(all)
}

/// A line per interval: bytes per second out and in over each path, as `pmrep` prints rates.
fn rates(
    which: &Which,
    interval: Duration,
    count: Option<u64>,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let mut before = paths(which)?;
    let mut columns: Vec<PathKey> = Vec::new();
    let (mut line, mut on_page) = (0, 0);
    while count.is_none_or(|count| line < count) {
        std::thread::sleep(interval);
        let after = paths(which)?;
        let keys: Vec<PathKey> = after.keys().cloned().collect();
        if !printer.json && (keys != columns || on_page == PAGE) {
            stdout(&header(&keys));
            (columns, on_page) = (keys, 0);
        }
        let zero = (0, 0);
        let rate = |key: &PathKey, path: &PathReport| {
            let (sent, received) =
                before.get(key).map_or(zero, |p| (p.bytes_sent, p.bytes_received));
            let per_second =
                |bytes: u64| (crate::units::float(bytes) / interval.as_secs_f64()).round();
            let sent = per_second(path.bytes_sent.saturating_sub(sent));
            (sent, per_second(path.bytes_received.saturating_sub(received)))
        };
        stdout(&if printer.json {
            let objects = after.iter().map(|(key, path)| {
                let (out, r#in) = rate(key, path);
                json!({ "pid": key.0, "path": path.name, "dev": path.dev, "out": out, "in": r#in })
            });
            let list: Vec<Value> = objects.collect();
            format!("{}\n", json!({ "schema": "mpuser.rates/1", "paths": list }))
        } else {
            let mut text = String::new();
            for (key, path) in &after {
                let (out, r#in) = rate(key, path);
                let _ = write!(text, " {out:>11} {in:>11}", r#in = r#in);
            }
            format!("{text}\n")
        });
        before = after;
        line += 1;
        on_page += 1;
    }
    Ok(ExitCode::SUCCESS)
}

/// Names over units, two columns a path.
fn header(keys: &[PathKey]) -> String {
    let several = keys.iter().any(|key| key.0 != keys[0].0);
    let (mut names, mut units) = (String::new(), String::new());
    for (pid, name) in keys {
        let name = if several { format!("{pid}:{name}") } else { name.clone() };
        let _ = write!(names, " {:>11} {:>11}", format!("{name}.out"), format!("{name}.in"));
        let _ = write!(units, " {:>11} {:>11}", "byte/s", "byte/s");
    }
    format!("{names}\n{units}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_nstat() {
        for (pattern, name, fits) in [
            ("MPTcpExtMPJoinSynTx", "MPTcpExtMPJoinSynTx", true),
            ("MPTcpExtMPJoin*", "MPTcpExtMPJoinSynTx", true),
            ("*Join*Tx", "MPTcpExtMPJoinSynTx", true),
            ("*", "x", true),
            ("MPJoin*", "MPTcpExtMPJoinSynTx", false),
            ("*Rx", "MPTcpExtMPJoinSynTx", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern}");
        }
    }

    #[test]
    fn lines_are_nstats() {
        let rows = [("MPTcpExtMPCapableSYNTX".to_owned(), 1, None)];
        let line = "MPTcpExtMPCapableSYNTX          1                  0.0";
        assert_eq!(table(&rows, false), format!("#mpuser\n{line}\n"));
        let rows = [("MPTcpExtAddAddr".to_owned(), 2, Some(3))];
        assert!(table(&rows, true).ends_with("             2             3  <>\n"));
    }

    #[test]
    fn the_kernels_counters_are_found() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nMPTcpExt: MPCapableSYNRX WinProbe\nMPTcpExt: 4 5\n";
        let counters = parse_netstat(text);
        assert_eq!(counters.get("MPTcpExtWinProbe"), Some(&5));
        assert_eq!(counters.len(), 2);
        assert!(parse_netstat("TcpExt: A\nTcpExt: 1\n").is_empty());
    }

    #[test]
    fn headers_have_two_columns_a_path() {
        let header = header(&[(1, "wifi".to_owned()), (1, "lte".to_owned())]);
        assert!(
            header.starts_with("    wifi.out     wifi.in     lte.out      lte.in\n"),
            "{header}"
        );
    }
}
