//! Running cases: the engine's one after the other, the kernel's side by side.

use super::kernel::KernelTarget;
use crate::error::{Code, Failure};
use crate::output::Printer;
use mpuser_engine::config::Profile;
use mpuser_sim::conform::case::Action;
use mpuser_sim::conform::{Case, EngineTarget, Observation};
use mpuser_tun::net::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Namespaces at once: most of the time a case only waits.
pub(super) const MANY: usize = 64;
/// The same for cases that run again.
pub(super) const FEW: usize = 16;

/// What the engine does; `None` for a case that is skipped.
pub(super) fn engine(case: &Case, profile: Profile) -> Option<Observation> {
    let mut target = EngineTarget::with_profile(&case.setup, profile);
    let observed = case.observe(&mut target)?;
    let observed = match target.check() {
        Ok(()) => observed,
        Err(broken) => format!("{observed}; the engine's state is broken: {broken}"),
    };
    Some(Observation::new(observed, &target))
}

/// What the kernel does, case by case; `None` for those that are skipped.
pub(super) fn kernel(
    cases: &[Case],
    jobs: usize,
    printer: Printer,
) -> Result<Vec<Option<Observation>>, Failure> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let results = Mutex::new(vec![None; cases.len()]);
    let failure = Mutex::new(None);
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else { break };
            match one(case) {
                Ok(observed) => {
                    results.lock().unwrap_or_else(PoisonError::into_inner)[index] = observed;
                    printer.detail(&format!("{} {}", case.id, case.title));
                }
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            if (index + 1).is_multiple_of(50) {
                printer.line(&format!(
                    "{} of {} cases begun on the kernel",
                    index + 1,
                    cases.len()
                ));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(cases.len()) {
            scope.spawn(worker);
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// One case in a namespace of its own.
fn one(case: &Case) -> Result<Option<Observation>, Failure> {
    if matches!(case.action, Action::Skip(_)) {
        return Ok(None);
    }
    let mut target = KernelTarget::enter(&case.setup).map_err(|error| match error.kind {
        ErrorKind::Permission => Failure::new(
            Code::Permission,
            "cannot ask the kernel",
            error.because,
            format!("{}; `mpuser conform --target engine` needs no privilege", error.help),
        ),
        _ => error.into(),
    })?;
    let observed = case.observe(&mut target);
    Ok(observed.map(|text| Observation::new(text, &target)))
}
