//! The TUN devices of paths, and what is said when one cannot be had.

use crate::error::plain_words;
use crate::output::Printer;
use mpuser_tun::Error;
use mpuser_tun::device::{Offload, PlainTun, Tun};
use mpuser_tun::net::{self, NetError, PathPlan};

/// The device of a path that carries the engine's packets.
pub(crate) fn open_tun(
    plan: &PathPlan,
    offload: Offload,
    printer: &Printer,
) -> Result<Tun, NetError> {
    let device = named(plan, Tun::open(&plan.tun, offload))?;
    if let Tun::Plain { refused: Some(error), .. } = &device {
        printer.detail(&format!("{}: no offload: {}", plan.tun, plain_words(error)));
    }
    Ok(device)
}

/// The device of a path that carries packets made by hand.
pub(crate) fn open_device(plan: &PathPlan) -> Result<PlainTun, NetError> {
    named(plan, PlainTun::open(&plan.tun))
}

fn named<D>(plan: &PathPlan, opened: std::io::Result<D>) -> Result<D, NetError> {
    opened.map_err(|error| {
        let (kind, help) = match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotFound => {
                (net::ErrorKind::Permission, "`mpuser doctor` names what is missing and the repair")
            }
            _ => (net::ErrorKind::Command, "`mpuser doctor` may know more"),
        };
        let because = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::OpenDevice { hint, .. }) => (*hint).to_owned(),
            _ => plain_words(&error),
        };
        NetError::new(kind, format!("cannot open the TUN device {}", plan.tun), because, help)
    })
}
