//! Published results as presets: scenarios with parameters, what was published or follows from a closed form, the
//! band asked for, and the verdict.

mod buffers;
mod campaign;
mod check;
mod coupled;
pub mod equilibrium;
pub mod khalili;
mod linux;
pub mod measure;
mod preset;
mod scenarios;
mod schedulers;
mod tutorial;

pub use campaign::{Campaign, Job, table, verdict};
pub use check::{Band, Check, Parameters, Results, Row, Source, paired, show};
pub use preset::{Preset, Variant, grid};

/// All presets, in the order in which they are listed.
pub const ALL: &[Preset] = &[
    coupled::SHARED_BOTTLENECK,
    coupled::TORUS_RING,
    scenarios::A,
    scenarios::B,
    scenarios::C,
    linux::SIMULT_FLOWS,
    linux::SLOW_SECOND_PATH,
    buffers::WIFI_3G,
    buffers::BUFFER_SWEEP,
    tutorial::AGGREGATION,
    tutorial::REQUESTS,
    tutorial::HTTP,
    tutorial::BACKUP,
    tutorial::FAIRNESS,
    schedulers::BLEST_BULK,
    schedulers::BLEST_WEB,
    schedulers::BLEST_CBR,
    schedulers::ECF_STREAMING,
    schedulers::ECF_WGET,
    schedulers::ECF_WEB,
    schedulers::PEEKABOO,
];

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}
