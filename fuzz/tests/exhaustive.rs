//! The option area of a TCP header where there are few enough ways to try all of them. The target compares the codec with
//! a walk that knows nothing but lengths; `engine/src/wire/mptcp/tests.rs` tries every body alone.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

fn options() -> fn(&[u8]) {
    mpuser_fuzz::find("options").expect("a target").run
}

/// Every subtype at every length from 0 to 40 with every octet of flags; first alone, then with more behind it.
#[test]
fn every_subtype_length_and_flags() {
    let run = options();
    for subtype in 0..16_u8 {
        for len in 0..=40_u8 {
            for flags in 0..=0xff {
                for low in [0, 1, 0xf] {
                    let mut area = [0x5a; 40];
                    area[..4].copy_from_slice(&[30, len, subtype << 4 | low, flags]);
                    run(&area[..usize::from(len).max(2)]);
                    run(&area);
                }
            }
        }
    }
}

/// Every two octets at the front, in areas of every length the two say, one less and one more, and the longest.
#[test]
fn every_beginning() {
    let run = options();
    for first in 0..=0xff_u8 {
        for second in 0..=0xff_u8 {
            let said = usize::from(second);
            for len in [2, said.saturating_sub(1), said, said + 1, 40] {
                for fill in [0, 1, 2, 0x5a, 0xff] {
                    let mut area = [fill; 40];
                    area[..2].copy_from_slice(&[first, second]);
                    run(&area[..len.min(40)]);
                }
            }
        }
    }
}
