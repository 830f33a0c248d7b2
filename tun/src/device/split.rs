//! Cutting a super-segment in software, as a device with segmentation offload would.

use mpuser_engine::wire::Segments;
use mpuser_engine::wire::segmentation::Layout;
use std::io;

/// Cuts one TCP packet (`headers` = IP and TCP headers with options, then `payload`) into segments with at most
/// `segment_size` bytes of payload ([`Segments`]) and hands each to `emit`.
///
/// # Errors
/// `InvalidInput` if the headers are not those of a TCP packet, or the first error of `emit`.
pub fn split(
    headers: &[u8],
    payload: &[u8],
    segment_size: u16,
    mut emit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "not a TCP super-segment");
    if segment_size == 0 {
        return Err(invalid());
    }
    let mut segments = Segments::new(headers, payload, Some(segment_size)).ok_or_else(invalid)?;
    while let Some((headers, part)) = segments.next_packet() {
        emit(headers, part)?;
    }
    Ok(())
}

/// Hands `emit` the packet as it is or, if its payload exceeds `segment_size`, its segments ([`split`]): what a device
/// without offload does.
///
/// # Errors
/// As [`split`].
pub fn segments(
    headers: &[u8],
    payload: &[u8],
    segment_size: Option<u16>,
    mut emit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    match segment_size {
        Some(size) if payload.len() > usize::from(size) => split(headers, payload, size, emit),
        _ => emit(headers, payload),
    }
}

/// The headers of a TCP packet, `payload` behind them, with the checksum a device would give it; `None` if it is none.
pub(crate) fn completed(headers: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let mut segments = Segments::new(headers, payload, None)?;
    segments.next_packet().map(|(headers, _)| headers.to_vec())
}

/// [`completed`] for a packet in one piece: its headers, and where its payload begins.
pub(crate) fn completed_packet(packet: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (_, end) = Layout::of_packet(packet)?;
    let (headers, payload) = packet.split_at_checked(end)?;
    Some((completed(headers, payload)?, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IPv4, without options.
    fn headers() -> Vec<u8> {
        let mut headers = vec![0; 40];
        (headers[0], headers[9], headers[32]) = (0x45, 6, 0x50);
        headers
    }

    #[test]
    fn an_error_ends_it() {
        let mut sent = 0;
        let error = split(&headers(), &[0; 3000], 1000, |_, _| {
            sent += 1;
            if sent == 2 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(sent, 2);
    }

    #[test]
    fn without_a_size_or_headers_nothing_is_cut() {
        let cut = |headers: &[u8], size| split(headers, &[0; 10], size, |_, _| Ok(()));
        assert_eq!(cut(&headers(), 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(cut(&headers()[1..], 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
