//! The data level as a hand-made end keeps it.

use crate::build::Known;
use mpuser_engine::seq::DataSeq;

/// Keys, and how far the data has come in each direction.
#[derive(Clone, Debug)]
pub struct DataLevel {
    /// 0 or 1.
    pub version: u8,
    /// Our key.
    pub key: u64,
    /// The other end's, once it was seen.
    pub peer_key: Option<u64>,
    /// Checksums are in use.
    pub checksum: bool,
    /// What we have given numbers to: octets, and one for DATA_FIN.
    pub sent: u64,
    /// What has arrived in order: octets, and one for DATA_FIN.
    pub received: u64,
    /// The number of the other end's DATA_FIN, if it was seen.
    pub(super) fin: Option<u64>,
}

impl DataLevel {
    fn known(&self) -> Known {
        Known { version: self.version, ..Known::default() }
    }

    /// The data sequence number expected next.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        Some(self.known().dsn(self.peer_key?, self.received))
    }

    /// Octets from `dsn` on have arrived.
    pub(super) fn advance(&mut self, dsn: u64, octets: u64) {
        let Some(expected) = self.expected() else { return };
        let old = DataSeq(expected).since(DataSeq(dsn));
        if let Some(new) = u64::try_from(old).ok().and_then(|old| octets.checked_sub(old)) {
            self.received += new;
        }
        if self.fin.is_some() && self.expected() == self.fin {
            self.received += 1;
        }
    }

    /// Everything the other end had to say has arrived, its DATA_FIN too.
    #[must_use]
    pub fn ended(&self) -> bool {
        let past = |fin: u64| self.expected() == Some(fin.wrapping_add(1));
        self.fin.is_some_and(past)
    }
}
