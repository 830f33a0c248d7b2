//! Data sequence numbers as they are sent: an observer.

use crate::direction::Direction;
use crate::world::{Observer, Packet, What};
use mpuser_engine::time::Instant;

/// Collects what one flow sends: when, which data sequence number, over which path.
#[derive(Clone, Debug)]
pub struct Ladder {
    flow: u32,
    direction: Direction,
    first: Option<u64>,
    /// Time in seconds, data sequence number relative to the first one, path.
    pub sent: Vec<(f64, u64, usize)>,
}

/// More would be no clearer.
const MAX_SENT: usize = 200_000;

impl Ladder {
    /// Of this flow, counted over all groups, in the direction of its data.
    #[must_use]
    pub const fn new(flow: u32, direction: Direction) -> Self {
        Self { flow, direction, first: None, sent: Vec::new() }
    }
}

impl Observer for Ladder {
    fn packet(&mut self, now: Instant, what: What, packet: &Packet<'_>) {
        let mine = packet.flow == self.flow && packet.direction == self.direction;
        if !mine || what != What::Sent || packet.payload.is_empty() || self.sent.len() >= MAX_SENT {
            return;
        }
        let Some(dsn) = mapped(packet.headers) else { return };
        let first = *self.first.get_or_insert(dsn);
        let seconds = now.saturating_since(Instant::ZERO).as_secs_f64();
        // numbers of 4 octets wrap; what is before the first is not shown
        let relative = u64::from((dsn as u32).wrapping_sub(first as u32));
        if relative < 1 << 31 {
            self.sent.push((seconds, relative, packet.path as usize));
        }
    }
}

/// The data sequence number in the DSS of a packet (RFC 8684 3.3), if it maps anything.
fn mapped(headers: &[u8]) -> Option<u64> {
    let version = headers.first()? >> 4;
    let ip = if version == 6 { 40 } else { usize::from(headers.first()? & 15) * 4 };
    let tcp = headers.get(ip..)?;
    let mut options = tcp.get(20..usize::from(tcp.get(12)? >> 4) * 4)?;
    while let [kind, rest @ ..] = options {
        match kind {
            0 => return None,
            1 => options = rest,
            _ => {
                let length = usize::from(*rest.first()?);
                let option = options.get(..length)?;
                options = options.get(length.max(2)..)?;
                if *kind == 30 && option.get(2)? >> 4 == 2 {
                    return dsn(option);
                }
            }
        }
    }
    None
}

/// Flags of RFC 8684 3.3: A 1, a 2, M 4, m 8.
fn dsn(option: &[u8]) -> Option<u64> {
    let flags = option.get(3)?;
    let ack = match flags & 3 {
        3 => 8,
        1 => 4,
        _ => 0,
    };
    let length = match flags & 12 {
        12 => 8,
        4 => 4,
        _ => return None,
    };
    let number = option.get(4 + ack..4 + ack + length)?;
    Some(number.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_behind_other_options() {
        let mut headers = vec![0x45; 20];
        headers.extend([0; 12]);
        headers.push(0xe0); // 56 bytes of TCP header
        headers.extend([0; 7]);
        headers.extend([1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
        headers.extend([30, 22, 0x20, 0x0d]); // DSS with a data ACK of 4 and a number of 8 octets
        headers.extend([0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 100]);
        headers.extend([0, 0]);
        assert_eq!(mapped(&headers), Some(1 << 32 | 2));
        for length in 0..headers.len() {
            // cut short it is no reason to panic
            let _ = mapped(&headers[..length]);
        }
        headers[55] = 0x01;
        assert_eq!(mapped(&headers), None, "nothing is mapped");
    }
}
