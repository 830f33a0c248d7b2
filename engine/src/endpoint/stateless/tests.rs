use super::*;
use crate::addr::{IpAddr, SocketAddr};
use crate::error::ResetReason;
use crate::wire::{IpHeader, TcpOptions};
use bytes::Bytes;

fn local() -> LocalAddress {
    LocalAddress {
        address: IpAddr::from([10, 0, 0, 1]),
        interface: InterfaceId(3),
        mtu: 1_500,
        backup: false,
        checksum_offload: false,
        max_payload: 0,
    }
}

fn tuple() -> FourTuple {
    FourTuple {
        local: SocketAddr::from(([10, 0, 0, 1], 80)),
        remote: SocketAddr::from(([10, 0, 0, 2], 5_000)),
    }
}

fn reset(replies: &mut StatelessReplies, segment: &Segment, reason: Option<ResetReason>) -> bool {
    let (now, mut rng) = (Instant::from_millis(5_000), Rng::from_seed([5; 32]));
    let reason = reason.map(MpTcpRst::lasting);
    replies.reset(now, &mut rng, &local(), tuple(), segment, reason)
}

/// RFC 9293 3.10.7.1: the sequence number of the RST is the ACK it answers, or 0 with an ACK of everything.
#[test]
fn numbers_are_those_the_peer_believes() {
    let with_ack = Segment { seq: SeqNum(5), ack: Some(SeqNum(99)), ..Segment::default() };
    let syn = Segment {
        seq: SeqNum(7),
        flags: Flags { syn: true, fin: true, ..Flags::default() },
        payload: Bytes::from_static(b"abc"),
        ..Segment::default()
    };
    for (segment, seq, ack) in [(with_ack, 99, None), (syn, 0, Some(SeqNum(12)))] {
        let mut replies = StatelessReplies::new(4, 100);
        let reason = Some(ResetReason::MptcpError);
        assert!(reset(&mut replies, &segment, reason));
        let mut packet = Vec::new();
        assert_eq!(replies.pop(&mut packet), Some((InterfaceId(3), true)));
        let ip = IpHeader::parse(&packet).expect("valid");
        let bytes = ip.payload(&packet);
        assert!(crate::wire::tcp::verify_checksum(&ip, bytes));
        let (header, len) = TcpHeader::parse(bytes).expect("valid");
        assert_eq!((header.seq, header.ack), (SeqNum(seq), ack));
        assert!(header.flags.rst && header.src_port == 80 && header.dst_port == 5_000);
        let options = TcpOptions::parse(&bytes[20..len]);
        let rst =
            MptcpOption::TcpRst(MpTcpRst { transient: false, reason: ResetReason::MptcpError });
        assert!(options.signals.iter().eq([rst]));
        assert_eq!(replies.pop(&mut packet), None);
    }
}

/// A RST is never answered, and a flood fills no memory.
#[test]
fn it_is_bounded_and_ends() {
    let mut replies = StatelessReplies::new(2, 100);
    let rst = Segment { flags: Flags { rst: true, ..Flags::default() }, ..Segment::default() };
    assert!(reset(&mut replies, &rst, None));
    assert_eq!(replies.pop(&mut Vec::new()), None);
    let segment = Segment::default();
    let kept = (0..10).filter(|_| reset(&mut replies, &segment, None)).count();
    assert_eq!(kept, 2);
}

/// R08: a thousand a second, and not exactly: what others get cannot be counted from outside.
#[test]
fn resets_are_rationed_by_an_uncertain_amount() {
    let mut replies = StatelessReplies::new(64, 1_000);
    let mut rng = Rng::from_seed([5; 32]);
    let mut counts = Vec::new();
    for second in 1..=50 {
        let mut sent = 0;
        for n in 0..3_000 {
            let now = Instant::from_millis(second * 1_000 + n / 10);
            let (local, segment) = (local(), Segment::default());
            sent += u32::from(replies.reset(now, &mut rng, &local, tuple(), &segment, None));
            replies.pop(&mut Vec::new());
        }
        assert!((750..=1_250).contains(&sent), "{sent}");
        counts.push(sent);
    }
    counts.sort_unstable();
    counts.dedup();
    assert!(counts.len() > 30, "{counts:?}");
}
