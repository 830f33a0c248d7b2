//! What a link did, by reason.

/// Packets of one direction of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounters {
    /// Packets that came in.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Packets that came out, copies included.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Dropped by the model of loss.
    pub lost: u64,
    /// Dropped because the queue was full.
    pub queue_full: u64,
    /// Dropped by the queue management.
    pub managed: u64,
    /// Dropped because they exceed the MTU.
    pub too_big: u64,
    /// Dropped because the link was down.
    pub down: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Packets held back to be overtaken.
    pub reordered: u64,
    /// Packets with a bit flipped.
    pub corrupted: u64,
}

impl LaneCounters {
    /// Names and values, in the order of the fields.
    #[must_use]
    pub const fn entries(&self) -> [(&'static str, u64); 12] {
        [
            ("received", self.received),
            ("received_bytes", self.received_bytes),
            ("delivered", self.delivered),
            ("delivered_bytes", self.delivered_bytes),
            ("lost", self.lost),
            ("queue_full", self.queue_full),
            ("managed", self.managed),
            ("too_big", self.too_big),
            ("down", self.down),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("corrupted", self.corrupted),
        ]
    }

    /// Packets dropped, for whatever reason.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.lost + self.queue_full + self.managed + self.too_big + self.down
    }
}
