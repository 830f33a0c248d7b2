//! Captures: any octets as a file, and pcapng blocks whose frames are right and whose lengths are drawn.

use crate::draw::Draw;
use arbitrary::{Result, Unstructured};
use mpuser_inspect::packet::dissect;
use mpuser_inspect::{Content, Reader, Settings, Trace, decode};

/// Everything that is done with a capture.
pub(crate) fn run(data: &[u8]) {
    let mut trace = Trace::new(Settings::default());
    let mut reader = Reader::new(data);
    let (mut first, mut frames, mut last) = (None, 0, 0);
    let error = loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                frames += 1;
                // a frame costs the octets of its record
                assert!(frames <= data.len() / 12 + 1, "more frames than there can be");
                assert!(frame.data.len() <= data.len() && frame.offset >= last);
                last = frame.offset;
                first = first.or(frame.time);
                let line = match dissect(&frame) {
                    Content::Tcp(packet) => {
                        let placed = trace.push(&packet);
                        decode::line(&packet, &placed, first)
                    }
                    other => decode::other_line(&frame, &other, first),
                };
                assert!(!line.contains('\n'), "{line:?}");
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    if let Some(error) = error {
        assert!(error.offset <= data.len() as u64, "{error}");
        assert!(matches!(reader.next_frame(), Ok(None)), "there is nothing after an error");
    }
    let report = trace.finish();
    assert!(report.packets <= frames as u64);
    let _ = (report.json(), report.text(), report.csv_rows());
}

/// Blocks of pcapng: sections of both byte orders, interfaces, packets of all three kinds, unknown ones.
pub(crate) fn blocks(data: &[u8]) {
    let mut file = Vec::new();
    // too few octets end the file
    let _ = write(&mut Unstructured::new(data), &mut file);
    run(&file);
}

fn write(u: &mut Unstructured<'_>, file: &mut Vec<u8>) -> Result<()> {
    let mut big = u.flag()?;
    section(file, big);
    for _ in 0..24 {
        if u.is_empty() {
            break;
        }
        let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let half = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let (kind, body) = match u.below(8)? {
            0 => {
                big = u.flag()?;
                section(file, big);
                continue;
            }
            1 => {
                let link = [1, 101, 113, 276, 0, 228, 229, u.arbitrary()?][u.below(8)?];
                let options = u.octets(32)?;
                (1, [&half(link)[..], &half(0), &word(u.length()?), options].concat())
            }
            2 => (u.arbitrary()?, u.octets(64)?.to_vec()),
            3 => {
                let wire_len = word(u.length()?);
                (3, [&wire_len[..], u.octets(128)?].concat())
            }
            4 => {
                let head = [half(u.below(3)? as u16), half(0)].concat();
                let time: [u8; 8] = u.arbitrary()?;
                let data = u.octets(128)?;
                let sizes = [word(data.len() as u32), word(u.length()?)].concat();
                (2, [&head[..], &time, &sizes, data].concat())
            }
            _ => {
                let interface = word(u.below(3)? as u32);
                let time: [u8; 8] = u.arbitrary()?;
                let data = u.octets(128)?;
                let there = if u.below(16)? == 0 { u.arbitrary()? } else { data.len() as u32 };
                let sizes = [word(there), word(u.length()?)].concat();
                (6, [&interface[..], &time, &sizes, data].concat())
            }
        };
        let lie = if u.below(16)? == 0 { u.length()? } else { 0 };
        block(file, big, kind, &body, lie);
    }
    Ok(())
}

fn section(file: &mut Vec<u8>, big: bool) {
    let magic = 0x1a2b_3c4d_u32;
    let magic = if big { magic.to_be_bytes() } else { magic.to_le_bytes() };
    let version = if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] };
    block(file, big, 0x0a0d_0d0a, &[&magic[..], &version, &[0xff; 8]].concat(), 0);
}

/// A block; its first length says `lie` more than it is.
fn block(file: &mut Vec<u8>, big: bool, kind: u32, body: &[u8], lie: u32) {
    let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let padded = body.len().next_multiple_of(4);
    let len = padded as u32 + 12;
    file.extend_from_slice(&word(kind));
    file.extend_from_slice(&word(len.wrapping_add(lie)));
    file.extend_from_slice(body);
    file.resize(file.len() + padded - body.len(), 0);
    file.extend_from_slice(&word(len));
}
