//! A complete Multipath TCP (RFC 8684) endpoint as a pure state machine.
//!
//! No sockets, no clock, no threads, no unsafe code: packets and the time go in, packets and events come out.
//! The same [`Endpoint`] runs behind TUN devices, in the simulator, under the fuzzer and in replay.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod addr;
pub mod buffer;
pub mod config;
pub mod counters;
pub mod crypto;
mod endpoint;
pub mod error;
mod event;
pub mod grammar;
pub mod mptcp;
#[cfg(feature = "mutations")]
pub mod mutations;
pub mod rng;
pub mod scheduling;
pub mod seq;
pub mod settings;
pub mod tcp;
pub mod time;
pub mod window;
pub mod wire;

pub use endpoint::{
    ConnectionInfo, Endpoint, FastOpenUse, LocalAddress, PmEndpoint, ReceiveStats, Request,
    SubflowInfo, Transmit,
};
pub use event::{Event, SubflowEnd};
