//! What one side said in the capture, said to the engine: the engine's numbers in place of the captured ones.
//!
//! The other side keeps its own keys, sequence numbers and nonces, so only what it says *about the engine's* changes.
//! What was wrong in the capture (a token nobody has, an HMAC that does not fit) stays as it was.

use mpuser_engine::addr::AddressId;
use mpuser_engine::crypto::{self, Key, Nonce};
use mpuser_engine::seq::{DataSeq, SubflowSeq};
use mpuser_engine::wire::mptcp::{KIND, subtype};
use mpuser_engine::wire::{AddAddr, Checksum, dss_checksum};
use mpuser_inspect::option::options;

const NOP: u8 = 1;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// Numbers of the two runs. `was` is the engine's side as captured, `is` the engine's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    /// The key of the engine's side.
    pub(crate) was: Option<u64>,
    /// The engine's key.
    pub(crate) is: Option<u64>,
    /// The other side's key.
    pub(crate) peer: Option<u64>,
    /// Nonces of this subflow: captured, the engine's, the other side's.
    pub(crate) nonces: (Option<u32>, Option<u32>, Option<u32>),
    /// What the engine's timestamp clock said last on this subflow.
    pub(crate) timestamp: Option<u32>,
    /// The Data ACK to be said, relative, where one is said.
    pub(crate) data_ack: Option<i64>,
    /// Octets of data were not captured, and zeros stand for all of them.
    pub(crate) zeros: bool,
}

impl Numbers {
    fn join_hmac(&self, key: Option<u64>, nonce: Option<u32>) -> Option<crypto::JoinHmac> {
        let (own, peer) = (Key(self.peer?), Key(key?));
        Some(crypto::join_hmac(own, peer, Nonce(self.nonces.2?), Nonce(nonce?)))
    }

    /// A data sequence number of the engine's side.
    fn data_seq(&self, was: u64) -> Option<u64> {
        let relative = was.wrapping_sub(Key(self.was?).facts().idsn.0);
        Some(Key(self.is?).facts().idsn.0.wrapping_add(relative))
    }
}

/// The options as they are to be said.
pub(crate) fn options_for(captured: &[u8], numbers: &Numbers) -> Vec<u8> {
    let mut said = captured.to_vec();
    for raw in options(captured, captured.len()) {
        let Some(place) = said.get_mut(raw.at..raw.at + raw.bytes.len()) else { break };
        if raw.fault.is_some() {
            break;
        }
        match raw.kind {
            // nothing is lost on the way, so there is nothing to be selective about
            SACK => place.fill(NOP),
            TIMESTAMPS => {
                let echoes = raw.bytes.get(6..10).is_some_and(|echo| echo != [0; 4]);
                if let (true, Some(value)) = (echoes, numbers.timestamp) {
                    put(place, 6, &value.to_be_bytes());
                }
            }
            KIND => mptcp(place, numbers),
            _ => {}
        }
    }
    said
}

fn put(option: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = option.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn eight(option: &[u8], at: usize) -> Option<u64> {
    option.get(at..)?.first_chunk().map(|octets| u64::from_be_bytes(*octets))
}

/// One MPTCP option, kind and length included.
fn mptcp(option: &mut [u8], numbers: &Numbers) {
    let len = option.len();
    match (option.get(2).map(|first| first >> 4), len) {
        // the key of the engine's side stands behind the other side's
        (Some(subtype::MP_CAPABLE), 20 | 22 | 24) => {
            key(option, 12, numbers);
            if let (24, true, Some(own)) = (len, numbers.zeros, numbers.peer) {
                first_checksum(option, own);
            }
        }
        (Some(subtype::MP_CAPABLE), _) => {}
        (Some(subtype::MP_JOIN), _) => join(option, numbers),
        (Some(subtype::DSS), _) => dss(option, numbers),
        (Some(subtype::ADD_ADDR), _) => add_addr(option, numbers),
        (Some(subtype::MP_FAIL), 12) => {
            if let Some(seq) = eight(option, 4).and_then(|was| numbers.data_seq(was)) {
                put(option, 4, &seq.to_be_bytes());
            }
        }
        (Some(subtype::MP_FASTCLOSE), 12) => key(option, 4, numbers),
        _ => {}
    }
}

/// The engine's key, where the capture has the right one.
fn key(option: &mut [u8], at: usize, numbers: &Numbers) {
    let was = eight(option, at);
    if let (true, Some(is)) = (was.is_some() && was == numbers.was, numbers.is) {
        put(option, at, &is.to_be_bytes());
    }
}

fn join(option: &mut [u8], numbers: &Numbers) {
    let (was, is, _) = numbers.nonces;
    match option.len() {
        12 => {
            let token = |key: Option<u64>| Some(Key(key?).facts().token.0.to_be_bytes());
            let (Some(was), Some(is)) = (token(numbers.was), token(numbers.is)) else { return };
            if option.get(4..8) == Some(&was) {
                put(option, 4, &is);
            }
        }
        16 => {
            let hmac = |key, nonce| numbers.join_hmac(key, nonce).map(|h| h.leftmost64());
            let (Some(was), Some(is)) = (hmac(numbers.was, was), hmac(numbers.is, is)) else {
                return;
            };
            if option.get(4..12) == Some(&was) {
                put(option, 4, &is);
            }
        }
        24 => {
            let hmac = |key, nonce| numbers.join_hmac(key, nonce).map(|h| h.leftmost160());
            let (Some(was), Some(is)) = (hmac(numbers.was, was), hmac(numbers.is, is)) else {
                return;
            };
            if option.get(4..24) == Some(&was) {
                put(option, 4, &is);
            }
        }
        _ => {}
    }
}

fn add_addr(option: &mut [u8], numbers: &Numbers) {
    let Some(add) = option.get(2..).and_then(AddAddr::parse) else { return };
    let (Some(said), Some(own)) = (add.hmac, numbers.peer) else { return };
    let hmac = |engine: u64| {
        crypto::add_addr_hmac(Key(own), Key(engine), AddressId(add.id.0), add.address, add.port)
    };
    let right = numbers.was.is_some_and(|was| hmac(was) == said);
    if let (true, Some(is)) = (right, numbers.is) {
        let at = option.len().saturating_sub(8);
        put(option, at, &hmac(is));
    }
}

/// RFC 8684 3.3.
fn dss(option: &mut [u8], numbers: &Numbers) {
    let flags = option.get(3).copied().unwrap_or_default();
    let mut at = 4;
    if flags & 1 != 0 {
        let ack = numbers
            .data_ack
            .zip(numbers.is)
            .map(|(relative, key)| Key(key).facts().idsn.0.wrapping_add_signed(relative));
        match (ack, flags & 2 != 0) {
            (Some(ack), true) => put(option, at, &ack.to_be_bytes()),
            (Some(ack), false) => put(option, at, &(ack as u32).to_be_bytes()),
            (None, _) => {}
        }
        at += if flags & 2 != 0 { 8 } else { 4 };
    }
    if flags & 4 != 0 && numbers.zeros {
        zero_checksum(option, at, flags & 8 != 0);
    }
}

/// The checksum of the mapping that MP_CAPABLE is, all of whose octets are zero.
fn first_checksum(option: &mut [u8], own: u64) {
    let len = option.get(20..).and_then(|rest| rest.first_chunk::<2>()).copied();
    let Some(len) = len.map(u16::from_be_bytes) else { return };
    let first = DataSeq(Key(own).facts().idsn.0.wrapping_add(1));
    let sum = dss_checksum(first, SubflowSeq(1), len, Checksum::new());
    put(option, 22, &sum.to_be_bytes());
}

/// The checksum of a mapping all of whose octets are zero. Without the upper half of the sequence number it is not
/// known over what it is.
fn zero_checksum(option: &mut [u8], at: usize, long: bool) {
    if !long || option.len() != at + 16 {
        return;
    }
    let Some(seq) = eight(option, at) else { return };
    let ssn = option.get(at + 8..).and_then(|rest| rest.first_chunk::<4>()).copied();
    let len = option.get(at + 12..).and_then(|rest| rest.first_chunk::<2>()).copied();
    let (Some(ssn), Some(len)) = (ssn, len) else { return };
    let (ssn, len) = (u32::from_be_bytes(ssn), u16::from_be_bytes(len));
    // an infinite mapping has none
    if len > 0 {
        let sum = dss_checksum(DataSeq(seq), SubflowSeq(ssn), len, Checksum::new());
        put(option, at + 14, &sum.to_be_bytes());
    }
}
