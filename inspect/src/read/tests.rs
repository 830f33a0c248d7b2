use super::*;

fn ip_at(link: u32, hex: &str) -> Result<Network, LinkError> {
    let digits: String = hex.split_whitespace().collect();
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|i| u8::from_str_radix(&digits[i * 2..i * 2 + 2], 16).unwrap())
        .collect();
    network(link, &bytes)
}

const MAC: &str = "020000000001 020000000002";

#[test]
fn ip_is_found_behind_every_link_layer() {
    let ethernet = |rest: &str| format!("{MAC}{rest}");
    for (link, frame, at) in [
        (1, ethernet("0800 45"), 14),
        (1, ethernet("8100 0005 86dd 60"), 18),
        (1, ethernet("88a8 0064 8100 0005 0800 45"), 22),
        (1, ethernet("8864 1100 0001 0030 0021 45"), 22),
        (1, ethernet("8847 00010140 45"), 18),
        (1, ethernet("0026 aaaa03 000000 0800 45"), 22),
        (113, "0000 0001 0006 020000000001 0000 0800 45".to_owned(), 16),
        (113, "0000 0001 0006 020000000001 0000 8100 0005 86dd 60".to_owned(), 20),
        (276, "86dd 0000 00000002 0001 00 06 0200000000010000 60".to_owned(), 20),
        (101, "45".to_owned(), 0),
        (12, "60".to_owned(), 0),
        (228, "45".to_owned(), 0),
        (229, "60".to_owned(), 0),
        (0, "02000000 45".to_owned(), 4),
        (0, "0000001e 60".to_owned(), 4),
        (0, "0a000000 60".to_owned(), 4),
        (108, "00000002 45".to_owned(), 4),
        (9, "ff03 0021 45".to_owned(), 4),
        (9, "0057 60".to_owned(), 2),
        (9, "21 45".to_owned(), 1),
        (50, "ff03 0057 60".to_owned(), 4),
    ] {
        assert_eq!(ip_at(link, &frame), Ok(Network::Ip(at)), "{link} {frame}");
    }
}

#[test]
fn other_protocols_and_short_frames() {
    assert_eq!(ip_at(1, &format!("{MAC}0806")), Ok(Network::Other(0x0806)));
    assert_eq!(ip_at(113, "0000 0001 0006 020000000001 0000 0806"), Ok(Network::Other(0x0806)));
    assert_eq!(ip_at(1, MAC), Err(LinkError::Short));
    assert_eq!(ip_at(1, &format!("{MAC}8100")), Err(LinkError::Short));
    assert_eq!(ip_at(0, "0200"), Err(LinkError::Short));
    assert_eq!(ip_at(147, "00"), Err(LinkError::Unsupported(147)));
    // tags without an end
    assert!(ip_at(1, &format!("{MAC}{}", "8100 0005".repeat(40))).is_ok());
}

/// A source that gives one octet at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let len = self.0.len().min(1).min(to.len());
        let (now, rest) = self.0.split_at(len);
        to[..len].copy_from_slice(now);
        self.0 = rest;
        Ok(len)
    }
}

#[test]
fn memory_is_one_record_however_long_the_file() {
    let mut file = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0].to_vec();
    file.extend([0; 8]);
    file.extend([0xff, 0xff, 0, 0, 101, 0, 0, 0]);
    for number in 0..2000_u32 {
        file.extend(number.to_le_bytes());
        file.extend(7_u32.to_le_bytes());
        file.extend(500_u32.to_le_bytes());
        file.extend(600_u32.to_le_bytes());
        file.extend([0x45; 500]);
    }
    let mut reader = Reader::new(&file[..]);
    let mut frames = 0;
    while let Some(frame) = reader.next_frame().unwrap() {
        frames += 1;
        assert_eq!((frame.number, frame.data.len(), frame.wire_len), (frames, 500, 600));
        assert_eq!(frame.time, Some((frames as i64 - 1) * 1_000_000_000 + 7000));
        assert!(reader.buffer.held.len() <= 2 * CHUNK);
    }
    assert_eq!((frames, reader.position()), (2000, file.len() as u64));
    let mut slow = Reader::new(Slow(&file[..24 + 516 * 3]));
    let mut frames = 0;
    while slow.next_frame().unwrap().is_some() {
        frames += 1;
    }
    assert_eq!(frames, 3);
}
