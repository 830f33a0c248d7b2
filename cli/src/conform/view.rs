//! The cases and their outcome, for people and for programs.

use crate::output::{Printer, Tint};
use mpuser_sim::conform::{Case, CounterDifference, Row, Verdict, case};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The cases, without running them.
pub(super) fn list(cases: &[Case], as_json: bool) -> String {
    let mut text = String::new();
    for case in cases {
        // writing to a String cannot fail
        let _ = if as_json {
            let object = json!({
                "id": case.id, "title": case.title, "source": case.source, "expected": case.expected,
            });
            writeln!(text, "{object}")
        } else {
            writeln!(text, "{}  {}  ({})", case.id, case.title, case.source)
        };
    }
    text
}

/// The words of one row: what is expected and what was seen.
fn details(row: &Row) -> Vec<(&'static str, String)> {
    let mut lines = vec![("expected", row.case.expected.to_owned())];
    lines.extend(row.engine.clone().map(|text| ("engine", text)));
    lines.extend(row.kernel.clone().map(|text| ("kernel", text)));
    match &row.verdict {
        Verdict::Explained(reason) | Verdict::SameAsKernel(Some(reason)) => {
            lines.push(("because", reason.clone()));
        }
        Verdict::Skip(reason) => lines.push(("because", (*reason).to_owned())),
        // Elsewhere they are explained, or follow from what was done.
        Verdict::Differs => lines.extend(unexplained(row).map(|line| ("counter", line))),
        _ => {}
    }
    lines
}

/// Counters the two have not alike, and nobody has said why.
fn unexplained(row: &Row) -> impl Iterator<Item = String> {
    let open = row.counters.iter().filter(|difference| difference.reason.is_none());
    open.map(|d| format!("{}: engine {}, kernel {}", d.name, d.engine, d.kernel))
}

/// One row per case; what was seen below it.
pub(super) fn table(rows: &[Row], printer: &Printer) -> String {
    let mut text = String::new();
    for row in rows {
        let tint = match row.verdict {
            Verdict::Pass => Tint::Good,
            Verdict::Differs => Tint::Bad,
            _ => Tint::Warn,
        };
        let verdict = printer.tint(tint, row.verdict.word());
        let _ = writeln!(text, "{}  {}: {verdict}", row.case.id, row.case.title);
        let lines = details(row);
        let same = lines.iter().skip(1).all(|(_, seen)| seen == row.case.expected);
        if same && row.verdict == Verdict::Pass {
            let _ = writeln!(text, "       got {}", row.case.expected);
            continue;
        }
        for (name, line) in lines {
            let _ = writeln!(text, "       {name:<8} {line}");
        }
    }
    text.push_str(&counts(rows));
    text
}

/// How many rows of which verdict each group has.
fn tally(rows: &[Row]) -> Vec<(char, &'static str, [usize; 5])> {
    let mut tally = Vec::new();
    for group in case::groups() {
        let mut counts = [0; 5];
        for row in rows.iter().filter(|row| row.case.group() == group.letter) {
            counts[place(&row.verdict)] += 1;
        }
        if counts.iter().sum::<usize>() > 0 {
            tally.push((group.letter, group.title, counts));
        }
    }
    let mut all = [0; 5];
    for row in rows {
        all[place(&row.verdict)] += 1;
    }
    tally.push((' ', "all", all));
    tally
}

const fn place(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Pass => 0,
        Verdict::SameAsKernel(_) => 1,
        Verdict::Explained(_) => 2,
        Verdict::Differs => 3,
        Verdict::Skip(_) => 4,
    }
}

fn counts(rows: &[Row]) -> String {
    let mut text = String::new();
    for (letter, title, [pass, same, explained, differs, skip]) in tally(rows) {
        let _ = writeln!(
            text,
            "{letter}  {title:<20} pass {pass}, same-as-kernel {same}, as reviewed {explained}, \
             differs {differs}, skip {skip}"
        );
    }
    text
}

/// A table in Markdown.
pub(super) fn markdown(rows: &[Row], kernel: bool) -> String {
    let cell = |text: Option<&str>| text.unwrap_or("-").replace('|', "or");
    let mut text = "| id | case | source | expected | engine |".to_owned();
    text.push_str(if kernel { " kernel | verdict |\n" } else { " verdict |\n" });
    text.push_str(if kernel {
        "|---|---|---|---|---|---|---|\n"
    } else {
        "|---|---|---|---|---|---|\n"
    });
    for row in rows {
        let case = &row.case;
        let expected = cell(Some(case.expected));
        let engine = cell(row.engine.as_deref());
        let _ = write!(
            text,
            "| {} | {} | {} | {expected} | {engine} |",
            case.id, case.title, case.source
        );
        if kernel {
            let _ = write!(text, " {} |", cell(row.kernel.as_deref()));
        }
        let _ = writeln!(text, " {} |", row.verdict.word());
    }
    text.push('\n');
    text.push_str("| group | pass | same-as-kernel | as reviewed | differs | skip |\n|---|---|---|---|---|---|\n");
    for (letter, title, [pass, same, explained, differs, skip]) in tally(rows) {
        let _ = writeln!(
            text,
            "| {letter} {title} | {pass} | {same} | {explained} | {differs} | {skip} |"
        );
    }
    text
}

/// One object: every row, and the counts.
pub(super) fn json(rows: &[Row], stale: &[String]) -> String {
    let counter = |d: &CounterDifference| json!({ "name": d.name, "engine": d.engine, "kernel": d.kernel, "reason": d.reason });
    let row = |row: &Row| {
        let reason = match &row.verdict {
            Verdict::Explained(reason) | Verdict::SameAsKernel(Some(reason)) => {
                Value::from(reason.as_str())
            }
            Verdict::Skip(reason) => Value::from(*reason),
            _ => Value::Null,
        };
        json!({
            "id": row.case.id, "title": row.case.title, "source": row.case.source,
            "expected": row.case.expected, "engine": row.engine, "kernel": row.kernel,
            "verdict": row.verdict.word(), "reason": reason,
            "counters": row.counters.iter().map(counter).collect::<Vec<_>>(),
        })
    };
    let group = |(letter, title, [pass, same, explained, differs, skip]): (
        char,
        &str,
        [usize; 5],
    )| {
        json!({
            "group": letter.to_string().trim(), "title": title, "pass": pass, "same_as_kernel": same,
            "as_reviewed": explained, "differs": differs, "skip": skip,
        })
    };
    let report = json!({
        "schema": "mpuser.conform/1",
        "cases": rows.iter().map(row).collect::<Vec<_>>(),
        "groups": tally(rows).into_iter().map(group).collect::<Vec<_>>(),
        "stale": stale,
    });
    format!("{report}\n")
}
