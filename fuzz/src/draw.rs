//! Small values from the octets of an input, one octet each where one is enough, so that a mutation changes one thing.

use arbitrary::{Result, Unstructured};
use mpuser_engine::addr::IpAddr;

/// What targets draw.
pub(crate) trait Draw<'a> {
    /// A number below `bound`, which is at least 1 and at most 256.
    fn below(&mut self, bound: usize) -> Result<usize>;

    /// Yes or no.
    fn flag(&mut self) -> Result<bool>;

    /// At most `most` octets.
    fn octets(&mut self, most: usize) -> Result<&'a [u8]>;

    /// A number from 0 on: mostly small, sometimes any of `u32`.
    fn length(&mut self) -> Result<u32>;
}

impl<'a> Draw<'a> for Unstructured<'a> {
    fn below(&mut self, bound: usize) -> Result<usize> {
        Ok(usize::from(self.arbitrary::<u8>()?) % bound)
    }

    fn flag(&mut self) -> Result<bool> {
        Ok(self.arbitrary::<u8>()? & 1 == 1)
    }

    fn octets(&mut self, most: usize) -> Result<&'a [u8]> {
        let wanted = usize::from(self.arbitrary::<u8>()?);
        // long payloads without long inputs are the targets' own affair
        self.bytes(wanted.min(most).min(self.len()))
    }

    fn length(&mut self) -> Result<u32> {
        Ok(match self.arbitrary::<u8>()? {
            small @ 0..200 => u32::from(small),
            200..250 => u32::from(self.arbitrary::<u16>()?),
            _ => self.arbitrary()?,
        })
    }
}

/// An address of a family.
pub(crate) fn address(u: &mut Unstructured<'_>, v6: bool) -> Result<IpAddr> {
    Ok(if v6 {
        IpAddr::from(u.arbitrary::<[u8; 16]>()?)
    } else {
        IpAddr::from(u.arbitrary::<[u8; 4]>()?)
    })
}
