//! One option of one packet changed, TCP's checksum put right again: what a check has to find.

use super::each;
use mpuser_inspect::option::options;
use mpuser_inspect::packet::dissect;
use mpuser_inspect::{Content, Reader};
use std::path::Path;

/// A change of one option.
pub(crate) struct Damage {
    /// What it is.
    pub(crate) name: &'static str,
    /// A capture of the repository without findings.
    pub(crate) file: &'static str,
    /// The option: subtype, length, and which of them.
    option: (u8, usize, Which),
    /// What is done to its octets, kind and length included.
    edit: fn(&mut [u8]),
    /// A requirement that must be named.
    pub(crate) id: &'static str,
}

/// Which of several.
#[derive(Clone, Copy)]
enum Which {
    Nth(usize),
    Last,
}
use Which::{Last, Nth};

const fn damage(
    name: &'static str,
    file: &'static str,
    option: (u8, usize, Which),
    id: &'static str,
    edit: fn(&mut [u8]),
) -> Damage {
    Damage { name, file, option, edit, id }
}

const PATHS: &str = "own01_v4_3paths.pcap";
const SUMS: &str = "own02_v6_3paths_csum.pcap";
const SMALL: &str = "ksft_027_signal_addresses_ADD_ADDR_timeout.pcap";
const ADDRESS: &str = "own05_addaddr6_port.pcap";
const CLOSE: &str = "own08_fastclose.pcap";
const REMOVE: &str = "ksft_125_delete_re_add_signal.pcap";

impl Damage {
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[
        damage("no algorithm", PATHS, (0, 4, Nth(0)), "INI-22", |o| o[3] &= 0xe0),
        damage("B set", PATHS, (0, 4, Nth(0)), "INI-18", |o| o[3] |= 0x40),
        damage("two algorithms taken", PATHS, (0, 12, Nth(0)), "INI-24", |o| o[3] |= 0x02),
        damage("a higher version taken", PATHS, (0, 12, Nth(0)), "INI-2", |o| o[2] |= 0x02),
        damage("MP_CAPABLE of 11 octets", PATHS, (0, 12, Nth(0)), "INI-6", |o| o[1] = 11),
        damage("echoed key", PATHS, (0, 20, Nth(0)), "INI-12", |o| o[19] ^= 1),
        damage("own key with the data", PATHS, (0, 22, Nth(0)), "INI-12", |o| o[11] ^= 1),
        damage("A not confirmed", SUMS, (0, 20, Nth(0)), "INI-30", |o| o[3] &= 0x7f),
        damage("token", PATHS, (1, 12, Nth(0)), "JOIN-1", |o| o[4] ^= 0x80),
        damage("bits beside B", PATHS, (1, 12, Nth(1)), "OPT-8", |o| o[2] |= 0x04),
        damage("HMAC of the SYN/ACK", PATHS, (1, 16, Nth(0)), "JOIN-12", |o| o[4] ^= 1),
        damage("HMAC of the third packet", PATHS, (1, 24, Nth(1)), "JOIN-14", |o| o[23] ^= 1),
        damage("bits of the third packet", PATHS, (1, 24, Nth(1)), "OPT-9", |o| o[3] |= 1),
        damage("DSS bits", PATHS, (2, 26, Nth(3)), "OPT-10", |o| o[3] |= 0x20),
        damage("DSN far away", PATHS, (2, 26, Nth(3)), "INI-26", |o| o[12] ^= 0x40),
        damage("DSN one further", PATHS, (2, 26, Nth(40)), "DSS-4", |o| o[19] ^= 1),
        damage("DSN of one segment", SMALL, (2, 26, Nth(50)), "DSS-7", |o| o[19] ^= 1),
        damage("SSN elsewhere", PATHS, (2, 26, Nth(40)), "DSS-21", |o| o[21] ^= 0x10),
        damage("DSS checksum", SUMS, (2, 28, Nth(1)), "DSS-9", |o| o[27] ^= 1),
        damage("DSS checksum, first of many", SUMS, (2, 28, Nth(0)), "DSS-9", |o| o[27] ^= 1),
        damage("DSS of 9 octets", PATHS, (2, 12, Nth(3)), "OPT-1", |o| o[1] = 9),
        damage("option behind the end", PATHS, (2, 12, Nth(3)), "OPT-1", |o| o[1] = 40),
        damage("option of no octets", PATHS, (2, 26, Nth(3)), "OPT-1", |o| o[1] = 0),
        damage("DATA_FIN on the last data", PATHS, (2, 26, Last), "FIN-1", |o| o[3] |= 0x10),
        damage("DATA_FIN before the end", PATHS, (2, 26, Nth(20)), "FIN-1", |o| o[3] |= 0x10),
        damage("infinite with checksum", SUMS, (2, 28, Nth(4)), "DSS-23", |o| o[24..26].fill(0)),
        damage("Data ACK far away", PATHS, (2, 12, Nth(9)), "DACK-15", |o| o[4] ^= 0x40),
        damage("Data ACK ahead of the data", PATHS, (2, 12, Nth(120)), "DACK-15", |o| o[9] ^= 0x40),
        damage("HMAC of ADD_ADDR", ADDRESS, (3, 16, Nth(0)), "ADDR-9", |o| o[15] ^= 1),
        damage("bits beside E", ADDRESS, (3, 16, Nth(0)), "OPT-12", |o| o[2] |= 8),
        damage("an echo of nothing", ADDRESS, (3, 8, Nth(0)), "ADDR-11", |o| o[7] ^= 1),
        damage("REMOVE_ADDR of nothing", REMOVE, (4, 4, Nth(0)), "ADDR-29", |o| o[1] = 3),
        damage("key of MP_FASTCLOSE", CLOSE, (7, 12, Nth(0)), "FC-1", |o| o[11] ^= 1),
        damage("U, V and W", CLOSE, (8, 4, Nth(0)), "OPT-14", |o| o[2] |= 0x0e),
    ];
}

/// The capture with the damage, and the packet it was done to.
pub(crate) fn damaged(damage: &Damage) -> (Vec<u8>, u64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(damage.file);
    let mut file = std::fs::read(path).expect("a capture of the repository");
    let (subtype, len, which) = damage.option;
    let mut found = Vec::new();
    each(&file, |packet| {
        for raw in options(packet.options, packet.options_len) {
            let fits = raw.kind == 30 && raw.bytes.len() == len && raw.bytes[2] >> 4 == subtype;
            // a DATA_FIN by itself is another thing than data with a mapping
            if fits && (subtype != 2 || len < 20 || packet.payload_len > 0) {
                found.push((packet.number, packet.options_at, packet.options_len, raw.at));
            }
        }
    });
    let index = match which {
        Nth(index) => index,
        Last => found.len() - 1,
    };
    let (number, at, options_len, raw_at) = found[index];
    let start = record(&file, number) + 16 + at;
    let before = sum(&file[start..start + options_len]);
    (damage.edit)(&mut file[start + raw_at..start + raw_at + len]);
    let after = sum(&file[start..start + options_len]);
    // RFC 1624: the checksum follows what was changed
    let field = start - 4;
    let old = u16::from_be_bytes([file[field], file[field + 1]]);
    let mut new = u32::from(!old) + u32::from(!before) + u32::from(after);
    while new >> 16 != 0 {
        new = (new & 0xffff) + (new >> 16);
    }
    file[field..field + 2].copy_from_slice(&(!(new as u16)).to_be_bytes());
    (file, number)
}

/// Where a packet's record begins.
fn record(file: &[u8], number: u64) -> usize {
    let mut reader = Reader::new(file);
    while let Ok(Some(frame)) = reader.next_frame() {
        if frame.number == number && matches!(dissect(&frame), Content::Tcp(_)) {
            return frame.offset as usize;
        }
    }
    panic!("no packet {number}");
}

/// Ones' complement sum.
fn sum(bytes: &[u8]) -> u16 {
    let all: u32 = bytes.chunks(2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]]))).sum();
    ((all & 0xffff) + (all >> 16)) as u16
}
