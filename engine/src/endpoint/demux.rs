//! Which subflow has a four-tuple.

use crate::addr::{ConnectionId, FourTuple, InterfaceId, SubflowId};
use crate::wire::Beginning;
use alloc::collections::BTreeMap;

/// Owner of a four-tuple.
type Owner = (ConnectionId, SubflowId);

/// Flows known by the beginning of their packets, as a power of two.
const LANE_BITS: u32 = 3;

/// A flow that carries data: its packets begin like this, come from there, and belong to that subflow.
#[derive(Debug)]
struct Lane {
    interface: InterfaceId,
    beginning: Beginning,
    owner: Owner,
}

/// All four-tuples in use. The one found last is found again without a search: packets come in batches. Flows that carry
/// data are found without reading their packets' addresses at all.
#[derive(Debug, Default)]
pub(super) struct Demux {
    owners: BTreeMap<FourTuple, Owner>,
    recent: Option<(FourTuple, Owner)>,
    lanes: [Option<Lane>; 1 << LANE_BITS],
}

impl Demux {
    pub(super) fn insert(&mut self, tuple: FourTuple, owner: Owner) {
        self.recent = None;
        let before = self.owners.insert(tuple, owner);
        self.close_lane(before);
    }

    pub(super) fn remove(&mut self, tuple: &FourTuple) {
        self.recent = None;
        let before = self.owners.remove(tuple);
        self.close_lane(before);
    }

    fn close_lane(&mut self, owner: Option<Owner>) {
        for slot in &mut self.lanes {
            if slot.as_ref().is_some_and(|lane| Some(lane.owner) == owner) {
                *slot = None;
            }
        }
    }

    /// The addresses of this end change: every packet's has to be looked up once more.
    pub(super) fn close_lanes(&mut self) {
        self.lanes = Default::default();
    }

    /// The flow [`Self::find`] has found last carries data, and its packets begin like this.
    pub(super) fn open_lane(&mut self, interface: InterfaceId, beginning: Beginning) {
        if let Some((_, owner)) = self.recent
            && let Some(slot) = self.lanes.get_mut(beginning.hash(LANE_BITS))
        {
            *slot = Some(Lane { interface, beginning, owner });
        }
    }

    /// Whose packets begin like this, if they carried data before.
    #[inline(always)]
    pub(super) fn lane(&self, interface: InterfaceId, beginning: &Beginning) -> Option<Owner> {
        let lane = self.lanes.get(beginning.hash(LANE_BITS))?.as_ref()?;
        (lane.beginning == *beginning && lane.interface == interface).then_some(lane.owner)
    }

    pub(super) fn get(&self, tuple: &FourTuple) -> Option<Owner> {
        self.owners.get(tuple).copied()
    }

    /// [`Self::get`], which remembers.
    pub(super) fn find(&mut self, tuple: &FourTuple) -> Option<Owner> {
        if let Some((recent, owner)) = &self.recent
            && recent == tuple
        {
            return Some(*owner);
        }
        let owner = self.get(tuple)?;
        self.recent = Some((*tuple, owner));
        Some(owner)
    }

    pub(super) fn contains(&self, tuple: &FourTuple) -> bool {
        self.owners.contains_key(tuple)
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.owners.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{IpAddr, Ipv4Addr, SocketAddr};

    #[test]
    fn what_is_remembered_is_forgotten_with_its_owner() {
        let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let tuple = |port| FourTuple { local: at(port), remote: at(80) };
        let owner = |id| (ConnectionId(id), SubflowId(0));
        let mut demux = Demux::default();
        demux.insert(tuple(1), owner(1));
        demux.insert(tuple(2), owner(2));
        assert_eq!([demux.find(&tuple(1)), demux.find(&tuple(1))], [Some(owner(1)); 2]);
        assert_eq!(demux.find(&tuple(2)), Some(owner(2)));
        demux.remove(&tuple(2));
        assert_eq!((demux.find(&tuple(2)), demux.contains(&tuple(2))), (None, false));
        demux.find(&tuple(1));
        demux.insert(tuple(1), owner(3));
        assert_eq!(demux.find(&tuple(1)), Some(owner(3)));
        assert_eq!(demux.owners().count(), 1);
    }
}
