//! Models of what lies between two ends: links and middleboxes. Packets and the time are handed in, randomness comes
//! from a seed; there is no I/O and no clock, so a model runs in virtual time and between real devices alike.
#![forbid(unsafe_code)]

pub mod conform;
mod direction;
mod document;
pub mod experiment;
pub mod expression;
pub mod link;
pub mod metrics;
pub mod middlebox;
pub mod packet;
pub mod presets;
pub mod random;
pub mod report;
pub mod scenario;
pub mod script;
pub mod stats;
pub mod text;
pub mod trace;
mod traffic;
pub mod world;

pub use direction::{Direction, PerDirection};
pub use document::{Mistake, suggest};
pub use link::{Link, LinkConfig};
