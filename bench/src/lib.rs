//! How fast mpuser is beside others on the same machine, in one run. `tests/bench` is the way to call it.
//!
//! A [`Case`](case::Case) names its contenders; [`run`] lets them take turns and watches whether the machine is quiet;
//! [`report`] shows what came of it. Cases in memory are here, those over devices need privileges.

pub mod case;
pub mod cases;
pub mod memory;
pub mod passing;
pub mod quiet;
pub mod report;
pub mod run;
pub mod wire;
