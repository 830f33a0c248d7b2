//! Published results as presets: scenarios with parameters, what was published or follows from a closed form, the
//! band asked for, and the verdict.

pub mod equilibrium;
pub mod khalili;
