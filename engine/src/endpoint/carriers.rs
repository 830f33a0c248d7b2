//! Interfaces whose packets travel in byte streams, one stream for each four-tuple (docs/framing.md). What reads and
//! writes the streams makes packets of frames and frames of packets; beside them it has two things to say.

use super::Endpoint;
use crate::addr::{FourTuple, InterfaceId};
use crate::mptcp::connection::Connection;
use crate::time::Instant;
use alloc::collections::BTreeSet;

/// The interfaces that are carriers.
#[derive(Debug, Default)]
pub(super) struct Carriers(BTreeSet<InterfaceId>);

impl Carriers {
    pub(super) fn has(&self, interface: InterfaceId) -> bool {
        self.0.contains(&interface)
    }
}

impl Endpoint {
    /// What leaves by this interface is carried by byte streams: reliable, in order, each with a bound to what it takes
    /// ([`Self::grant`]). Say it before the interface has addresses. Its addresses are for who asks for them by name:
    /// they join nothing by themselves and are announced to nobody.
    pub fn set_carrier(&mut self, interface: InterfaceId) {
        self.carriers.0.insert(interface);
    }

    /// The stream of this four-tuple has written so much of what it was given: the payload of its packets, and
    /// [`CARRIER_SEGMENT`](crate::tcp::CARRIER_SEGMENT) for each.
    pub fn grant(&mut self, now: Instant, tuple: &FourTuple, octets: u32) {
        self.with_subflow(now, tuple, |connection, index| connection.grant(index, octets));
    }

    /// The stream of this four-tuple ended, or could not be made: its subflow ends at once, and what it carried goes on
    /// over the others.
    pub fn carrier_ended(&mut self, now: Instant, tuple: &FourTuple) {
        self.with_subflow(now, tuple, |connection, index| connection.on_carrier_end(now, index));
    }

    fn with_subflow(
        &mut self,
        now: Instant,
        tuple: &FourTuple,
        act: impl FnOnce(&mut Connection, usize),
    ) {
        let Some((id, subflow)) = self.demux.get(tuple) else { return };
        let Some(entry) = self.connections.get_mut(&id) else { return };
        if let Some(index) = entry.connection.subflow_index(subflow) {
            act(&mut entry.connection, index);
            self.serve(now, id);
        }
    }
}
