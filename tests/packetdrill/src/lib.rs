//! The packetdrill door: mpuser behind packetdrill's shared-object interface.
//!
//! packetdrill loads a shared object, asks it to fill a table of socket calls, and plays a script against it. The
//! stack behind the table is a [`Machine`]: an engine endpoint and a clock that moves only when the driver says so.
//! All of it is safe code but the rim (`ffi`), where pointers come in.
//!
//! How to run scripts, and which of them pass, stands in `README.md` beside this crate.

mod calls;
mod control;
mod data;
mod epoll;
pub mod errno;
pub mod ffi;
mod info;
mod machine;
mod options;
mod poll;
pub mod serve;
pub mod shared;
mod socket;
mod wait;

pub use epoll::Ready;
pub use machine::{Machine, Options, Packet};
pub use options::{MPTCP_INFO, SOL_MPTCP, TCP_IS_MPTCP};
pub use poll::PollFd;
pub use wait::{Call, Finished, Reply, Ticket};
