//! What the examples share: a stack whose paths are the ways out of this machine.
//!
//! For each way a TUN device is made, with an address of the engine's behind it; routes lead from there to the way's
//! interface, and what the device carries is translated where nobody knows the engine's address.
#![allow(dead_code, reason = "each example uses a part of it")]

use mpuser_tun::device::PlainTun;
use mpuser_tun::net::{self, Egress, ErrorKind, NetError, PathOptions, PathSet};
use mpuser_tun::{PathConfig, Stack};
use std::error::Error;
use std::net::IpAddr;

/// For a client of one server.
pub(crate) fn towards(server: IpAddr) -> Result<(Stack, PathSet), Box<dyn Error>> {
    build(&net::discover(server)?, Some(server))
}

/// For a server: every interface that is up.
pub(crate) fn everywhere() -> Result<(Stack, PathSet), Box<dyn Error>> {
    build(&net::ways_in(None, &[])?, None)
}

fn build(ways: &[Egress], dest: Option<IpAddr>) -> Result<(Stack, PathSet), Box<dyn Error>> {
    let options = PathOptions { dest, ..PathOptions::default() };
    let (paths, devices) = PathSet::setup(ways, &options, |plan| {
        PlainTun::open(&plan.tun).map_err(|error| {
            let help = "the examples need root, as `mpuser connect` does";
            NetError::new(
                ErrorKind::Permission,
                "cannot make a TUN device",
                error.to_string(),
                help,
            )
        })
    })?;
    let mut builder = Stack::builder();
    for (plan, device) in paths.paths().iter().zip(devices) {
        builder = builder.path(PathConfig::new(device, plan.engine).name(&plan.egress.name));
    }
    Ok((builder.build()?, paths))
}
