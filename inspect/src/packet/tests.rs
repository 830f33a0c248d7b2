use super::*;
use mpuser_engine::wire::Checksum;

fn frame(data: &[u8], wire_len: usize) -> Frame<'_> {
    Frame { number: 1, offset: 24, time: Some(0), link: 101, interface: 0, wire_len, data }
}

/// An IPv6 packet of these extension headers and a TCP header with four octets of data.
fn v6(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let tcp = [0x1f, 0x90, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];
    let body: usize = extensions.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(((body + 24) as u16).to_be_bytes());
    packet.push(extensions.first().map_or(6, |(kind, _)| *kind));
    packet.push(64);
    packet.extend([0xfd; 32]);
    for (index, (_, bytes)) in extensions.iter().enumerate() {
        let next = extensions.get(index + 1).map_or(6, |(kind, _)| *kind);
        packet.push(next);
        packet.extend(&bytes[1..]);
    }
    packet.extend(tcp);
    packet.extend(b"data");
    packet
}

#[test]
fn extension_headers_are_passed() {
    let hop = [0_u8; 8];
    let destination = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let authentication = [0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let whole = [0_u8; 8];
    for extensions in [
        &[][..],
        &[(0, &hop[..])],
        &[(0, &hop[..]), (60, &destination[..]), (51, &authentication[..]), (44, &whole[..])],
    ] {
        let packet = v6(extensions);
        let Content::Tcp(tcp) = dissect(&frame(&packet, packet.len())) else {
            panic!("{:?}", dissect(&frame(&packet, packet.len())));
        };
        assert_eq!((tcp.src.port(), tcp.payload, tcp.payload_len), (8080, &b"data"[..], 4));
    }
    let fragment = [0, 0, 0x00, 0x09, 0, 0, 0, 1];
    let packet = v6(&[(44, &fragment)]);
    assert!(matches!(dissect(&frame(&packet, packet.len())), Content::Fragment { offset: 8, .. }));
    let packet = v6(&[(0, &[0, 200, 0, 0, 0, 0, 0, 0])]);
    assert!(matches!(dissect(&frame(&packet, packet.len())), Content::Malformed { .. }));
}

/// Cut anywhere: a segment if its header is there, otherwise where it ends.
#[test]
fn what_is_cut_off_is_said() {
    let packet = v6(&[]);
    for len in 0..packet.len() {
        match dissect(&frame(&packet[..len], packet.len())) {
            Content::Tcp(tcp) => {
                assert!(len >= 60);
                assert_eq!((tcp.payload.len(), tcp.payload_len), (len - 60, 4));
                assert_ne!(tcp.checksum, ChecksumState::Bad);
            }
            Content::Malformed { .. } => assert!(len < 60),
            other => panic!("{len}: {other:?}"),
        }
    }
}

#[test]
fn padding_of_the_link_is_no_data() {
    let mut packet = v6(&[]);
    packet.extend([0; 6]);
    let Content::Tcp(tcp) = dissect(&frame(&packet, packet.len())) else { panic!("no TCP") };
    assert_eq!(tcp.payload, b"data");
}

#[test]
fn checksums_are_judged() {
    let mut packet = v6(&[]);
    let state = |packet: &[u8]| match dissect(&frame(packet, packet.len())) {
        Content::Tcp(tcp) => tcp.checksum,
        other => panic!("{other:?}"),
    };
    assert_eq!(state(&packet), ChecksumState::Unfilled);
    let mut pseudo = Checksum::new();
    pseudo.add_bytes(&[0xfd; 32]);
    pseudo.add_u16(6);
    pseudo.add_u16(24);
    packet[56..58].copy_from_slice(&pseudo.partial().to_be_bytes());
    assert_eq!(state(&packet), ChecksumState::Unfilled);
    packet[56..58].fill(0);
    pseudo.add_bytes(&packet[40..]);
    packet[56..58].copy_from_slice(&pseudo.finish().to_be_bytes());
    assert_eq!(state(&packet), ChecksumState::Good);
    packet[59] ^= 1;
    assert_eq!(state(&packet), ChecksumState::Bad);
}
