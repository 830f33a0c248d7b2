//! Paths on a real machine: which ways lead to a destination, and TUN devices, addresses, policy
//! routes and address translation for them, all of it taken back at the end.
//!
//! The engine speaks from addresses the kernel does not own, so the kernel never answers its
//! segments with a RST; it only forwards them between a TUN device and an interface.

mod cell;
mod command;
pub mod convert;
pub mod doctor;
mod egress;
mod error;
pub mod fast_open;
mod inventory;
mod journal;
mod memory;
pub mod multipath;
mod netns;
mod pathset;
mod port;
mod prefix;
mod spec;
mod state;
mod sysctl;
mod tun_end;
mod watch;

pub use cell::{Cell, CellAddress, send_signal};
pub use egress::{
    Egress, Reach, discover, physical_paths, resolve, through_gateways, ways_in, ways_out,
};
pub use error::{ErrorKind, NetError, Result};
pub use journal::Recovered;
pub use netns::{Netns, NetnsId};
pub use pathset::{NatMode, PathOptions, PathPlan, PathSet, ReturnPath, recover};
pub use port::PacketPort;
pub use prefix::Prefix;
pub use spec::PathSpec;
pub use state::state_dir;
pub use tun_end::TunEnd;
pub use watch::Watch;

pub(crate) use command::{find_tool, ip, ip_batch, ip_json, run, tc_batch};
pub(crate) use error::PRIVILEGE_HELP;
pub(crate) use netns::{enter, named_namespaces};
pub(crate) use state::{StateLock, is_root};
pub(crate) use sysctl::write_if_there as write_sysctl_if_there;
pub(crate) use sysctl::{read as read_sysctl, write as write_sysctl};
