//! `mpuser exp merge`: parts as one table, if nothing is missing and nobody disagrees.

use super::args::Merge;
use super::store::{self, Manifest};
use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use mpuser_sim::experiment::{Rows, missing};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Runs the command.
pub(crate) fn run(args: &Merge, printer: Printer) -> Result<ExitCode, Failure> {
    let manifest = merge(&args.dir)?;
    let table = args.dir.join("rows.csv");
    if printer.json {
        let object = json!({
            "schema": "mpuser.exp.merge/1",
            "plan": manifest.plan,
            "rows": manifest.rows,
            "table": table,
            "sha256": manifest.sha256,
        });
        output::stdout(&format!("{object}\n"));
    } else {
        let digest = manifest.sha256.as_deref().map_or("", store::short);
        output::stdout(&format!("{}: {} rows, sha256 {digest}\n", table.display(), manifest.rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks all parts in a directory and writes `rows.csv` and `manifest.json`.
pub(crate) fn merge(dir: &Path) -> Result<Manifest, Failure> {
    let parts = store::parts(dir)?;
    let shown = dir.display();
    let Some(first) = parts.first() else {
        let help = "mpuser exp run FILE --out DIR writes them";
        return Err(Failure::new(
            Code::Malformed,
            format!("{shown} holds no parts"),
            "there is no part-*.json",
            help,
        ));
    };
    let columns = head(&first.table)?;
    let mut rows = Rows::default();
    for part in &parts {
        store::agree(&part.manifest, &first.manifest, dir)?;
        intact(part)?;
        for (run, cells) in store::read_table(&part.table, &columns)? {
            store::add(&mut rows, run, cells, &part.table)?;
        }
    }
    let total = first.manifest.total;
    if let Some((count, which)) = missing(&rows, 0..total) {
        return Err(Failure::new(
            Code::Check,
            format!("{shown} is not complete"),
            format!("{count} of {total} runs are missing: {which}"),
            "run the shards they belong to again (run K is part of shard K modulo N), or without --shard: what is there is not run again",
        ));
    }
    if rows.len() as u64 != total {
        let because = format!("{} rows of a plan with {total} runs", rows.len());
        return Err(Failure::new(
            Code::Check,
            format!("{shown} holds too much"),
            because,
            "remove the parts that are not of this plan",
        ));
    }
    let table = store::csv_text(&columns, &rows)?;
    let manifest = Manifest {
        shard: "0/1".to_owned(),
        rows: total,
        complete: true,
        sha256: Some(store::sha256(&table)),
        ..first.manifest.clone()
    };
    store::replace(&dir.join("rows.csv"), &table)?;
    #[cfg(feature = "parquet")]
    super::parquet::write(&dir.join("rows.parquet"), &columns, &rows)?;
    store::replace(&dir.join("manifest.json"), &store::pretty(&manifest)?)?;
    Ok(manifest)
}

/// A part that calls itself complete is what it was.
fn intact(part: &store::Part) -> Result<(), Failure> {
    let Some(expected) = &part.manifest.sha256 else { return Ok(()) };
    let shown = part.table.display();
    let bytes = std::fs::read(&part.table)
        .map_err(|error| Failure::io(format!("cannot read {shown}"), &error))?;
    if store::sha256(&bytes) == *expected {
        return Ok(());
    }
    let because = "its SHA-256 is not the one its manifest names";
    let help = "remove it and its manifest, and run its shard again";
    Err(Failure::new(Code::Check, format!("{shown} has been changed"), because, help))
}

/// The columns of a table.
fn head(path: &Path) -> Result<Vec<String>, Failure> {
    let shown = path.display();
    let unreadable = |because: String| {
        let help = "remove its manifest, too, and run its shard again";
        Failure::new(Code::Malformed, format!("cannot read {shown}"), because, help)
    };
    let mut reader = csv::Reader::from_path(path).map_err(|error| unreadable(error.to_string()))?;
    let head = reader.headers().map_err(|error| unreadable(error.to_string()))?;
    Ok(head.iter().map(str::to_owned).collect())
}
