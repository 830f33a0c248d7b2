//! The scenarios of one file, one after the other in one lab; ignored, loudly, where they cannot run.

use super::Fixture;
use libtest_mimic::{Arguments, Trial};
use mpuser_tun::lab::LabOptions;
use std::fs::File;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// A scenario and its name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What `cargo test` shows and filters by.
    pub name: &'static str,
    /// The scenario; a panic is a failure.
    pub run: fn(&Fixture),
}

/// The scenarios are to be run as often as the release asks for, not as often as a normal run has time for.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("MPUSER_FULL").is_some_and(|v| v != "0")
}

/// The middle value of these.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Why nothing of this can run here; `None` if it can. `programs` are looked for in the search path.
#[must_use]
pub fn missing(programs: &[&str]) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|l| l.strip_prefix("Uid:"));
    if uid.and_then(|u| u.split_whitespace().nth(1)) != Some("0") {
        return Some("needs root".to_owned());
    }
    if let Err(e) = File::options().read(true).write(true).open("/dev/net/tun") {
        return Some(format!("needs /dev/net/tun: {e}"));
    }
    if !std::path::Path::new("/proc/sys/net/mptcp/enabled").exists() {
        return Some("needs a kernel with MPTCP".to_owned());
    }
    programs.iter().find_map(|program| {
        let mut command = Command::new(program);
        let there = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        there.err().map(|e| format!("needs {program}: {e}"))
    })
}

/// Runs the scenarios the command line selects; the body of `main` of every file.
///
/// # Panics
/// When nothing can run and the environment says `CI=true`.
pub fn main(
    file: &'static str,
    options: LabOptions,
    programs: &[&str],
    scenarios: &[Scenario],
) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share a lab and look at the counters of a whole namespace.
    arguments.test_threads = Some(1);
    let missing = missing(&[&["python3"], programs].concat());
    if let Some(why) = &missing {
        eprintln!("SKIPPED: all of interop_{file}: {why}");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped under CI: {why}");
    }
    let fixture: Arc<Mutex<Option<Fixture>>> = Arc::default();
    let trials = scenarios.iter().map(|scenario| {
        let (scenario, fixture, options) = (*scenario, Arc::clone(&fixture), options.clone());
        let run = move || {
            let mut fixture = fixture.lock().unwrap_or_else(PoisonError::into_inner);
            let fixture = fixture.get_or_insert_with(|| Fixture::up(file, options));
            fixture.begin(scenario.name);
            (scenario.run)(fixture);
            Ok(())
        };
        Trial::test(scenario.name, run).with_ignored_flag(missing.is_some())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // Before the process ends: the lab goes with it.
    fixture.lock().unwrap_or_else(PoisonError::into_inner).take();
    conclusion.exit_code()
}
