//! Packets in a few octets.

use sha2::{Digest as _, Sha256};

/// Every packet sent so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digest(Sha256);

impl Digest {
    pub(crate) fn packet(&mut self, interface: u16, headers: &[u8], payload: &[u8]) {
        self.0.update(interface.to_be_bytes());
        self.0.update((headers.len() as u64 + payload.len() as u64).to_be_bytes());
        self.0.update(headers);
        self.0.update(payload);
    }

    /// In hex.
    pub(crate) fn text(&self) -> String {
        hex(&self.0.clone().finalize())
    }
}

/// Eight octets that stand for the payload of one packet.
pub(crate) fn payload(bytes: &[u8]) -> u64 {
    let sum = Sha256::digest(bytes);
    sum.first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}
