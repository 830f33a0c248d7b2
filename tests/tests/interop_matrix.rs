//! The interop matrix: {client, server} x families x checksum x size x condition, against the kernel.
//!
//! Without further ado a few cells that stand for all; `MPUSER_MATRIX=full` runs every one. The table goes to stdout,
//! and with every counter to `matrix.md` and `matrix.json` beside the captures of failures.

use libtest_mimic::{Arguments, Failed, Trial};
use mpuser_tests::interop::matrix::{Benches, Cell, Outcome, table};
use mpuser_tests::interop::{full, missing};
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

type Rows = Arc<Mutex<Vec<(Cell, Result<Outcome, String>)>>>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = missing(&["python3"]);
    if let Some(why) = &missing {
        eprintln!("SKIPPED: all of interop_matrix: {why}");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped under CI: {why}");
    }
    let all = full() || std::env::var("MPUSER_MATRIX").is_ok_and(|v| v == "full");
    let cells = if all { Cell::all() } else { Cell::pairwise() };
    let (benches, rows) = (Arc::new(Benches::default()), Rows::default());
    let trial = |cell: &Cell| {
        let (cell, benches, rows) = (*cell, Arc::clone(&benches), Arc::clone(&rows));
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| benches.run(&cell)));
            let outcome = outcome.map_err(|panic| reason(panic.as_ref()));
            let failed = outcome.as_ref().err().cloned();
            rows.lock().unwrap_or_else(PoisonError::into_inner).push((cell, outcome));
            failed.map_or(Ok(()), |why| Err(Failed::from(why)))
        };
        Trial::test(cell.to_string(), run).with_ignored_flag(missing.is_some())
    };
    let conclusion = libtest_mimic::run(&arguments, cells.iter().map(trial).collect());
    let mut rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    rows.sort_by_key(|(cell, _)| cell.seed());
    if !rows.is_empty() {
        println!("{}", table(&rows, false));
        keep(&rows);
    }
    // Before the process ends: the labs go with it.
    drop(benches);
    conclusion.exit_code()
}

fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

/// Leaves the whole table where captures of failures are.
fn keep(rows: &[(Cell, Result<Outcome, String>)]) {
    let exe = std::env::current_exe().ok();
    let Some(dir) = exe.as_deref().and_then(|exe| exe.ancestors().nth(2)) else { return };
    let dir = dir.join("interop");
    let one = |(cell, outcome): &(Cell, Result<Outcome, String>)| match outcome {
        Ok(outcome) => outcome.json(),
        Err(why) => json!({ "cell": cell.to_string(), "broke_off": why }),
    };
    let json: Vec<_> = rows.iter().map(one).collect();
    let wrote = std::fs::create_dir_all(&dir)
        .and_then(|()| std::fs::write(dir.join("matrix.md"), table(rows, true).to_string()))
        .and_then(|()| std::fs::write(dir.join("matrix.json"), format!("{:#}\n", json!(json))));
    match wrote {
        Ok(()) => eprintln!("with every counter: {}", dir.join("matrix.json").display()),
        Err(error) => eprintln!("cannot keep the table in {}: {error}", dir.display()),
    }
}
