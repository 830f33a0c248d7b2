//! Published results as presets: scenarios with parameters, what was published or follows from a closed form, the
//! band asked for, and the verdict.

mod check;
mod coupled;
pub mod equilibrium;
pub mod khalili;
pub mod measure;
mod preset;
mod scenarios;

pub use check::{Band, Check, Parameters, Results, Row, Source, paired, show};
pub use preset::{Preset, Variant, grid};

/// All presets, in the order in which they are listed.
pub const ALL: &[Preset] =
    &[coupled::SHARED_BOTTLENECK, coupled::TORUS_RING, scenarios::A, scenarios::B, scenarios::C];

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}
