//! How much the application may write ahead.

use super::SendQueue;

impl SendQueue {
    /// It may grow up to `most` octets.
    pub(crate) fn growing_to(self, most: usize) -> Self {
        Self { capacity: self.capacity.min(most), most, ..self }
    }

    /// There is room for `capacity` octets from now on, if that is more than there was and no more than there may be.
    pub(crate) fn grow(&mut self, capacity: u64) {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX).min(self.most);
        self.capacity = self.capacity.max(capacity);
    }

    /// More than half of the room there is is used, and there may be more.
    pub(crate) fn wants_room(&self) -> bool {
        self.capacity < self.most && self.room() < self.capacity / 2
    }

    /// Octets there is room for.
    pub(crate) const fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// Octets it holds at most.
    pub(crate) const fn most(&self) -> u64 {
        self.most as u64
    }

    /// Octets the application may still write.
    pub(crate) fn room(&self) -> usize {
        let used = usize::try_from(self.end() - self.una).unwrap_or(usize::MAX);
        self.capacity.saturating_sub(used)
    }
}
