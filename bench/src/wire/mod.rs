//! Live cases: a stack on one side, the kernel on the other, and TUN devices or veth pairs between them. They need root.

pub mod bare;
pub mod connects;
pub mod echo;
pub mod failover;
pub mod kernel;
pub mod ours;
pub mod paths;
pub mod pattern;
pub mod place;
pub mod shaped;
pub mod smol;
pub mod veth;
