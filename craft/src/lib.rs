//! MPTCP packets made by hand.
//!
//! Layers are values, put together with `/`; what is not said of them is filled in when the packet is built, and what
//! is said is taken as it is, right or wrong. The same as text is read by [`parse`]:
//!
//! ```
//! use mpuser_craft::{Known, ip, mp_capable, parse, tcp};
//!
//! let said = ip("192.0.2.1", "192.0.2.2") / tcp(40_000, 7_000).syn() / mp_capable().H(1);
//! let read = parse(r#"IP("192.0.2.1", "192.0.2.2")/TCP(40000, 7000, flags="S")/MP_CAPABLE(H=1)"#)?;
//! assert_eq!(said, read);
//!
//! let packet = said.build(&Known::default())?;
//! assert!(packet.bytes.ends_with(&[30, 4, 0x01, 0x01]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No I/O is done here and no clock read: packets go in and come out.
#![forbid(unsafe_code)]

mod build;
mod dialogue;
mod dissect;
pub mod expr;
mod layer;
pub mod repl;
#[cfg(test)]
mod samples;
pub mod scan;
pub mod script;
pub mod session;
mod show;
mod table;
mod value;

pub use build::{BuildError, Built, BuiltLayer, Field, Known, OPTIONS_MAX};
pub use dialogue::{Dialogue, Exchange, Refusal, Wire};
pub use dissect::{DissectError, dissect};
pub use expr::{ParseError, parse};
pub use layer::{Layer, Stack, misplaced};
pub use session::Session;
pub use table::*;
pub use value::{FLAG_LETTERS, Form, Literal, Value, flag_letters};
