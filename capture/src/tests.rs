use super::*;
use std::sync::{Arc, Mutex};

/// A file the test keeps a handle on.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A reader written from the draft, apart from the writer: block type and body; both lengths must agree.
fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = u32_at(bytes, 4) as usize;
        assert_eq!(length % 4, 0);
        assert_eq!(u32_at(bytes, length - 4) as usize, length);
        found.push((u32_at(bytes, 0), bytes[8..length - 4].to_vec()));
        bytes = &bytes[length..];
    }
    found
}

fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    loop {
        let (code, length) = (u16_at(bytes, 0), usize::from(u16_at(bytes, 2)));
        if code == 0 {
            assert_eq!((length, bytes.len()), (0, 4), "opt_endofopt ends the block");
            return found;
        }
        found.push((code, bytes[4..4 + length].to_vec()));
        bytes = &bytes[4 + length.next_multiple_of(4)..];
    }
}

fn written(snaplen: usize) -> Vec<u8> {
    let file = Shared::default();
    let mut writer = CaptureWriter::new(file.clone()).snaplen(snaplen);
    let a = writer.add_interface("mpu0");
    let b = writer.add_interface("mpu1");
    let at = Duration::new(1_700_000_000, 123_456_789);
    writer.packet(a, at, Direction::Outbound, (b"headers", b"payload!!"), Some("sub 2 · dsn 7"));
    writer.packet(b, at + Duration::from_nanos(1), Direction::Inbound, (b"only", b""), None);
    writer.dropped(b);
    drop(writer);
    file.bytes()
}

#[test]
fn what_was_written_reads_back() {
    let blocks = blocks(&written(0));
    let kinds: Vec<u32> = blocks.iter().map(|block| block.0).collect();
    assert_eq!(kinds, [0x0A0D_0D0A, 1, 1, 6, 6, 5, 5]);

    let section = &blocks[0].1;
    assert_eq!(u32_at(section, 0), 0x1A2B_3C4D);
    assert_eq!((u16_at(section, 4), u16_at(section, 6)), (1, 0));
    assert_eq!(section[8..16], [0xff; 8]);

    let interface = &blocks[2].1;
    assert_eq!((u16_at(interface, 0), u32_at(interface, 4)), (101, 0));
    assert_eq!(options(&interface[8..]), [(2, b"mpu1".to_vec()), (9, vec![9])]);

    let packet = &blocks[3].1;
    assert_eq!(u32_at(packet, 0), 0);
    let nanos = u64::from(u32_at(packet, 4)) << 32 | u64::from(u32_at(packet, 8));
    assert_eq!(nanos, 1_700_000_000_123_456_789);
    assert_eq!((u32_at(packet, 12), u32_at(packet, 16)), (16, 16));
    assert_eq!(&packet[20..36], b"headerspayload!!");
    let comment = "sub 2 · dsn 7".as_bytes().to_vec();
    assert_eq!(options(&packet[36..]), [(2, vec![2, 0, 0, 0]), (1, comment)]);

    let packet = &blocks[4].1;
    assert_eq!((u32_at(packet, 0), u32_at(packet, 12)), (1, 4));
    assert_eq!(options(&packet[24..]), [(2, vec![1, 0, 0, 0])]);

    let statistics = &blocks[6].1;
    assert_eq!(u32_at(statistics, 0), 1);
    let options = options(&statistics[12..]);
    assert_eq!(options[2], (4, 1u64.to_le_bytes().to_vec()));
    assert_eq!(options[3], (5, 1u64.to_le_bytes().to_vec()));
}

#[test]
fn snaplen_cuts_the_packet_and_keeps_its_length() {
    for (snaplen, kept) in [(3, "hea"), (7, "headers"), (9, "headerspa"), (100, "headerspayload!!")]
    {
        let blocks = blocks(&written(snaplen));
        assert_eq!(u32_at(&blocks[1].1, 4) as usize, snaplen);
        let packet = &blocks[3].1;
        assert_eq!((u32_at(packet, 12) as usize, u32_at(packet, 16)), (kept.len(), 16));
        assert_eq!(&packet[20..20 + kept.len()], kept.as_bytes());
        options(&packet[20 + kept.len().next_multiple_of(4)..]);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(written(0), written(0));
}

#[test]
fn live_writers_hold_nothing_back() {
    let file = Shared::default();
    let mut writer = CaptureWriter::new(file.clone()).live(true);
    let interface = writer.add_interface("mpu0");
    writer.packet(interface, Duration::ZERO, Direction::Inbound, (b"x", b""), None);
    assert_eq!(blocks(&file.bytes()).len(), 3);
}

#[test]
fn an_error_ends_the_capture_and_nothing_else() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = CaptureWriter::new(Full).live(true);
    let interface = writer.add_interface("mpu0");
    for _ in 0..3 {
        writer.packet(interface, Duration::ZERO, Direction::Inbound, (b"x", b""), None);
    }
    assert_eq!(writer.error().map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    writer.finish();
}

#[test]
fn comments_of_any_length_fit() {
    let file = Shared::default();
    let mut writer = CaptureWriter::new(file.clone());
    let interface = writer.add_interface(&"ü".repeat(40_000));
    let comment = "é".repeat(50_000);
    writer.packet(interface, Duration::MAX, Direction::Inbound, (b"x", b""), Some(&comment));
    drop(writer);
    assert_eq!(blocks(&file.bytes()).len(), 4);
}
