//! The mapping queue of a subflow beside a model that knows every octet: mappings that repeat, overlap, contradict, come
//! late or not at all, with and without checksums.

use crate::draw::Draw;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use mpuser_engine::mptcp::internals::{Announcement, Mappings, Piece};
use std::collections::BTreeMap;

/// Steps of one input.
const STEPS: usize = 64;
/// More than all steps together bring: what is held is never too much here.
const BOUND: usize = 1 << 20;

/// Octet number `at` of the stream.
const fn octet(at: u64) -> u8 {
    (at ^ at >> 8) as u8
}

fn stream(from: u64, to: u64) -> Bytes {
    (from..to).map(octet).collect::<Vec<_>>().into()
}

/// What came out, octet by octet, and between them what is no octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Data(u64, u8),
    Unmapped(u64, u8),
    Fin(u64),
    Failed(u64, u64),
}

/// Takes everything; unmapped octets are held, as a connection does it.
fn take(queue: &mut Mappings) -> Vec<Out> {
    let mut out = Vec::new();
    while let Some(piece) = queue.pop() {
        match piece {
            Piece::Data(at, data) => {
                assert!(!data.is_empty());
                out.extend((0..).zip(data).map(|(i, byte)| Out::Data(at.wrapping_add(i), byte)));
            }
            Piece::Unmapped(at, data) => {
                out.extend((at..).zip(&data).map(|(at, byte)| Out::Unmapped(at, *byte)));
                assert!(queue.hold(at, data, BOUND));
            }
            Piece::DataFin(at) => out.push(Out::Fin(at)),
            Piece::ChecksumFailed(data, start) => out.push(Out::Failed(data, start)),
        }
    }
    out
}

/// Draws mappings and arrivals from `data`.
pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    // too few octets are no finding
    let _ = if u.flag().unwrap_or(false) { checked(&mut u) } else { plain(&mut u) };
}

/// Without checksums every octet stands for itself.
fn plain(u: &mut Unstructured<'_>) -> Result<()> {
    let mut queue = Mappings::default();
    let mut model: BTreeMap<u64, u64> = BTreeMap::new();
    let mut held: BTreeMap<u64, u8> = BTreeMap::new();
    let mut at = 0_u64;
    for _ in 0..STEPS {
        if u.is_empty() {
            break;
        }
        let mut expected = Vec::new();
        if u.flag()? {
            let end = at + u64::from(u.length()? % 250);
            queue.push(at, stream(at, end));
            for at in at..end {
                expected.push(match model.get(&at) {
                    Some(data) => Out::Data(*data, octet(at)),
                    None => Out::Unmapped(at, octet(at)),
                });
                if !model.contains_key(&at) {
                    held.insert(at, octet(at));
                }
            }
            at = end;
        } else {
            let start = (at + u.below(256)? as u64).saturating_sub(u64::from(u.length()? % 250));
            let len = u.length()? as u16 % 300;
            // few shifts between stream and data, so that mappings agree and contradict
            let data = start.wrapping_add([0, 0, 0, 1_000, u64::MAX][u.below(5)?]);
            let announcement = Announcement { start, len, data, checksum: None, data_fin: false };
            let of = |at: u64| data.wrapping_add(at - start);
            let range = start..start + u64::from(len);
            let ahead = range.start.max(at)..range.end.max(at);
            let conflict = ahead.clone().any(|at| model.get(&at).is_some_and(|d| *d != of(at)));
            assert_eq!(queue.announce(announcement), !conflict, "{announcement:?}");
            if !conflict {
                model.extend(ahead.map(|at| (at, of(at))));
                for at in range {
                    if let Some(byte) = held.remove(&at) {
                        expected.push(Out::Data(of(at), byte));
                    }
                }
            }
        }
        assert_eq!(take(&mut queue), expected);
    }
    Ok(())
}

/// With checksums a mapping counts as a whole, or not at all, and after a failure none does.
fn checked(u: &mut Unstructured<'_>) -> Result<()> {
    let mut queue = Mappings::default();
    let mut known: Vec<Announcement> = Vec::new();
    let (mut at, mut announced) = (0_u64, 0_u64);
    let mut raw = Vec::new();
    let mut failed = None;
    for _ in 0..STEPS {
        if u.is_empty() {
            break;
        }
        if u.flag()? {
            let end = (at + u64::from(u.length()? % 250)).min(announced);
            queue.push(at, stream(at, end));
            let mut expected = Vec::new();
            while let Some(mapping) = known.first().filter(|m| failed.is_none() && end_of(m) <= end)
            {
                let (start, data) = (mapping.start, mapping.data);
                if mapping.checksum == Some(checksum(mapping)) {
                    let octets = (0..u64::from(mapping.len))
                        .map(|i| (data.wrapping_add(i), octet(start + i)));
                    expected.extend(octets.map(|(data, byte)| Out::Data(data, byte)));
                    let fin = data.wrapping_add(mapping.len.into());
                    expected.extend(mapping.data_fin.then_some(Out::Fin(fin)));
                } else {
                    failed = Some(start);
                    expected.push(Out::Failed(data, start));
                }
                known.remove(0);
            }
            at = end;
            assert_eq!(take(&mut queue), expected);
        } else {
            let len = 1 + u.length()? as u16 % 300;
            let mut new = Announcement {
                start: announced,
                len,
                data: u.arbitrary::<u32>()?.into(),
                checksum: None,
                data_fin: u.below(8)? == 0,
            };
            let good = u.below(16)? != 0;
            new.checksum = Some(if good { checksum(&new) } else { u.arbitrary()? });
            announced += u64::from(len);
            assert!(queue.announce(new));
            // said again [INI-14], and contradicted [DSS-4]
            assert!(queue.announce(new));
            let other = Announcement { data: new.data + 1, ..new };
            assert_eq!(queue.announce(other), failed.is_some());
            if failed.is_none() {
                known.push(new);
            }
        }
        while let Some((at, data)) = queue.pop_raw() {
            raw.extend((at..).zip(data));
        }
    }
    // Everything from the failed mapping on is kept back, as it came [FB-11].
    let kept = failed.map_or(Vec::new(), |start| (start..at).map(|at| (at, octet(at))).collect());
    assert_eq!(raw, kept);
    Ok(())
}

const fn end_of(mapping: &Announcement) -> u64 {
    mapping.start + mapping.len as u64
}

/// The DSS checksum (RFC 8684 3.3.1), the naive way.
fn checksum(mapping: &Announcement) -> u16 {
    let data_len = mapping.len + u16::from(mapping.data_fin);
    let subflow_seq = (mapping.start + 1) as u32;
    let mut bytes = stream(mapping.start, end_of(mapping)).to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes.extend_from_slice(&mapping.data.to_be_bytes());
    bytes.extend_from_slice(&subflow_seq.to_be_bytes());
    bytes.extend_from_slice(&data_len.to_be_bytes());
    let mut sum: u64 = bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(w[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
