//! Which subflow has a four-tuple.

use crate::addr::{ConnectionId, FourTuple, SubflowId};
use alloc::collections::BTreeMap;

/// Owner of a four-tuple.
type Owner = (ConnectionId, SubflowId);

/// All four-tuples in use. The one found last is found again without a search: packets come in batches.
#[derive(Debug, Default)]
pub(super) struct Demux {
    owners: BTreeMap<FourTuple, Owner>,
    recent: Option<(FourTuple, Owner)>,
}

impl Demux {
    pub(super) fn insert(&mut self, tuple: FourTuple, owner: Owner) {
        self.recent = None;
        self.owners.insert(tuple, owner);
    }

    pub(super) fn remove(&mut self, tuple: &FourTuple) {
        self.recent = None;
        self.owners.remove(tuple);
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
