//! The endpoint's own addresses and their identifiers.

use super::LocalAddress;
use crate::addr::{AddressId, IpAddr};
use alloc::vec::Vec;

/// Addresses in the order they were added.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    list: Vec<LocalAddress>,
    ids: Vec<AddressId>,
    last_id: u8,
}

impl Addresses {
    /// Adds an address or changes its settings. Identifiers run from 1 and are not reused before 254 others
    /// were given out, nor while in use [ADDR-2]; 0 is what each connection calls the address of its first subflow [JOIN-2].
    pub(super) fn add(&mut self, address: LocalAddress) -> AddressId {
        if let Some(index) = self.list.iter().position(|a| a.address == address.address)
            && let (Some(known), Some(id)) = (self.list.get_mut(index), self.ids.get(index))
        {
            *known = address;
            return *id;
        }
        for _ in 1..=u8::MAX {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.ids.contains(&AddressId(self.last_id)) {
                break;
            }
        }
        let id = AddressId(self.last_id);
        self.list.push(address);
        self.ids.push(id);
        id
    }

    pub(super) fn remove(&mut self, address: IpAddr) {
        if let Some(index) = self.list.iter().position(|a| a.address == address) {
            self.list.remove(index);
            self.ids.remove(index);
        }
    }

    pub(super) fn as_slice(&self) -> &[LocalAddress] {
        &self.list
    }

    pub(super) fn get(&self, address: IpAddr) -> Option<(LocalAddress, AddressId)> {
        let index = self.list.iter().position(|a| a.address == address)?;
        Some((*self.list.get(index)?, *self.ids.get(index)?))
    }

    /// The first address of the same family as `remote`.
    pub(super) fn first_for(&self, remote: IpAddr) -> Option<LocalAddress> {
        self.list.iter().find(|a| a.address.is_ipv4() == remote.is_ipv4()).copied()
    }
}

#[cfg(test)]
mod tests;
