//! The endpoint's own addresses and the devices they live behind.

use super::LocalAddress;
use crate::addr::IpAddr;
use alloc::vec::Vec;

/// Addresses in the order they were added.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    list: Vec<LocalAddress>,
}

impl Addresses {
    /// Adds an address or changes its settings.
    pub(super) fn add(&mut self, address: LocalAddress) {
        match self.list.iter_mut().find(|a| a.address == address.address) {
            Some(known) => *known = address,
            None => self.list.push(address),
        }
    }

    pub(super) fn remove(&mut self, address: IpAddr) {
        self.list.retain(|a| a.address != address);
    }

    pub(super) fn as_slice(&self) -> &[LocalAddress] {
        &self.list
    }

    pub(super) fn get(&self, address: IpAddr) -> Option<LocalAddress> {
        self.list.iter().find(|a| a.address == address).copied()
    }

    /// The first address of the same family as `remote` that `suits`.
    pub(super) fn first_for(
        &self,
        remote: IpAddr,
        suits: impl Fn(&LocalAddress) -> bool,
    ) -> Option<LocalAddress> {
        let family = |a: &&LocalAddress| a.address.is_ipv4() == remote.is_ipv4();
        self.list.iter().filter(family).find(|a| suits(a)).copied()
    }
}

#[cfg(test)]
mod tests;
