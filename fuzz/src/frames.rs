//! Any octets as a stream of frames, cut anywhere, beside a reading of docs/framing.md that knows nothing but lengths.

use mpuser_engine::addr::FourTuple;
use mpuser_engine::wire::frame::{
    Decoder, Frame, FrameError, HEAD_LEN, MAX_OPTIONS, MAX_PAYLOAD, PREFACE_LEN, Preface,
};

/// The length of the frame at the front; an error when there cannot be one, `None` when its head is cut off.
fn length(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let Some(head) = bytes.first_chunk::<HEAD_LEN>() else { return Ok(None) };
    let payload = usize::from(u16::from_be_bytes([head[0], head[1]]));
    let options = usize::from(head[2]) * 4;
    let bad = payload > MAX_PAYLOAD || options > MAX_OPTIONS || head[3] > 0x1f;
    if bad || head[14..] != [0, 0] { Err(()) } else { Ok(Some(HEAD_LEN + options + payload)) }
}

/// The first octet says how the rest is cut.
pub(crate) fn run(data: &[u8]) {
    let Some((cut, mut bytes)) = data.split_first() else { return };
    if let Some(preface) = bytes.first_chunk::<PREFACE_LEN>() {
        let read = Preface::parse(*preface);
        assert!(!Preface::is_hopeless(preface) || read == Err(FrameError::NotOurs));
        if let Ok(read) = read {
            assert_eq!(read.emit(), *preface);
            bytes = &bytes[PREFACE_LEN..];
        }
    }
    let tuple =
        FourTuple { local: ([198, 18, 0, 1], 7000).into(), remote: ([192, 0, 2, 1], 80).into() };
    let (mut decoder, mut rest) = (Decoder::default(), bytes);
    for piece in bytes.chunks(usize::from(*cut) + 1) {
        decoder.buffer().extend_from_slice(piece);
        loop {
            let frame = decoder.frame();
            let expected = length(rest);
            match frame {
                // perhaps more of it is to come
                Ok(None) => break,
                Err(_) => return assert_eq!(expected, Err(())),
                Ok(Some(frame)) => {
                    let len = expected.ok().flatten().unwrap_or_default();
                    let (whole, after) = rest.split_at(len);
                    same(&frame, &tuple, whole);
                    rest = after;
                }
            }
        }
    }
    let left = decoder.buffer().len();
    assert_eq!(left, rest.len());
    assert!(left < HEAD_LEN + MAX_OPTIONS + MAX_PAYLOAD);
}

/// A frame becomes a packet, and that the same octets again.
fn same(frame: &Frame, tuple: &FourTuple, octets: &[u8]) {
    let Some(packet) = frame.packet(tuple) else { panic!("one family") };
    let headers = packet.len() - frame.payload.len();
    let Some((from, head)) = Frame::head_of(&packet[..headers], frame.payload.len()) else {
        panic!("it came out of a frame")
    };
    assert_eq!((from.local, from.remote), (tuple.remote, tuple.local));
    // without ACK the number means nothing, and is not kept
    let mut wanted = octets.to_vec();
    if wanted[3] & 0x10 == 0 {
        wanted[8..12].fill(0);
    }
    assert_eq!([&head, &frame.payload[..]].concat(), wanted);
}
