//! Captures read and explained: whoever made them, whatever stack is in them.
//!
//! Bytes are handed in ([`std::io::Read`]) and text or values come out: no file is opened here and no clock read.
//! [`read`] takes files apart into frames, [`packet`] frames into TCP segments, [`option`] and [`v0`] their MPTCP
//! options; [`trace`] puts segments together again into subflows and connections and says what is wrong with them.
#![forbid(unsafe_code)]

pub mod decode;
pub mod option;
pub mod packet;
pub mod read;
pub mod trace;
pub mod v0;

pub use packet::{Content, Packet};
pub use read::{Frame, ReadError, Reader};
pub use trace::{Report, Settings, Trace};
