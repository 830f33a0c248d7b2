//! Windows that are valid by construction (RFC 7323 2).

/// A window-scale shift, 0 to 14 (RFC 7323 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowScale(u8);

impl WindowScale {
    /// No scaling.
    pub const ZERO: Self = Self(0);
    /// The largest legal shift.
    pub const MAX: Self = Self(14);

    /// A shift as received: larger values count as 14 (RFC 7323 2.3).
    #[must_use]
    pub const fn from_wire(shift: u8) -> Self {
        Self(if shift > 14 { 14 } else { shift })
    }

    /// The smallest shift with which a window of `bytes` can be announced.
    #[must_use]
    pub const fn for_buffer(bytes: usize) -> Self {
        let mut shift = 0;
        while shift < 14 && (bytes >> shift) > u16::MAX as usize {
            shift += 1;
        }
        Self(shift)
    }

    /// The shift as a number.
    #[must_use]
    pub const fn shift(self) -> u8 {
        self.0
    }

    /// The window a field stands for, in bytes.
    #[must_use]
    pub const fn scale_up(self, field: u16) -> u32 {
        (field as u32) << self.0
    }

    /// The field that announces at most `bytes`: rounded down, so that nothing beyond it is promised.
    #[must_use]
    pub const fn scale_down(self, bytes: u32) -> u16 {
        let field = bytes >> self.0;
        if field > u16::MAX as u32 { u16::MAX } else { field as u16 }
    }
}

#[cfg(test)]
mod tests {
    use super::WindowScale;

    #[test]
    fn scaling_never_promises_more_than_there_is() {
        for buffer in [0usize, 1, 65_535, 65_536, 4 << 20, 1 << 30] {
            let scale = WindowScale::for_buffer(buffer);
            let announced = scale.scale_up(scale.scale_down(buffer as u32));
            assert!(announced as usize <= buffer);
            assert!(buffer - announced as usize <= 1 << scale.shift());
        }
        assert_eq!(WindowScale::from_wire(255), WindowScale::MAX);
    }
}
