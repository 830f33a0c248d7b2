//! Containers of byte ranges: reassembly and sets of offsets.

mod assembler;
mod ranges;

pub use assembler::Assembler;
pub use ranges::RangeSet;
