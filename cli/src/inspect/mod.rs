//! `mpuser decode` and `mpuser inspect`: captures as lines, as connections, as findings, as plots.

pub(crate) mod args;
mod decode;
mod files;
mod look;
mod plot;

pub(crate) use decode::run as decode;
pub(crate) use look::run as inspect;
