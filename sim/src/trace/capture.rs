//! A run as a pcapng file, as the clients would have captured it: one interface for each path of each flow, and one for
//! what its links drop.

use super::flow_name;
use crate::direction::Direction;
use crate::scenario::Scenario;
use crate::world::{Observer, Packet, What};
use mpuser_capture::{CaptureInterface, CaptureWriter, Direction as Seen, Story};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::Checksum;
use std::io::{self, Write};

/// Writes a capture. Times count from 1970; checksums are completed.
#[derive(Debug)]
pub struct Capture {
    writer: CaptureWriter,
    /// By flow and path: what passes, and what is dropped.
    interfaces: Vec<Vec<(CaptureInterface, CaptureInterface)>>,
    /// Of both ends of each flow.
    story: Story,
}

impl Capture {
    /// A capture of everything into `out`; of each packet only the first `snaplen` bytes, 0 means all.
    pub fn new(out: impl Write + Send + 'static, snaplen: usize) -> Self {
        let writer = CaptureWriter::new(out).snaplen(snaplen);
        Self { writer, interfaces: Vec::new(), story: Story::default() }
    }

    /// Completes the file.
    ///
    /// # Errors
    /// The first error there was in writing.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.finish();
        match self.writer.error() {
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Ok(()),
        }
    }
}

impl Observer for Capture {
    fn begin(&mut self, scenario: &Scenario, _seed: u64) {
        let mut flow = 0;
        for group in &scenario.flows {
            for _ in 0..group.count {
                let name = flow_name(scenario, flow);
                let path = |path: &crate::scenario::Path| {
                    let via = format!("{name} via {}", path.links.join(", "));
                    let drops = format!("drop:{via}");
                    (self.writer.add_interface(&via), self.writer.add_interface(&drops))
                };
                self.interfaces.push(group.paths.iter().map(path).collect());
                flow += 1;
            }
        }
    }

    fn packet(&mut self, now: Instant, what: What, packet: &Packet<'_>) {
        let forward = packet.direction == Direction::Forward;
        let whose = u64::from(packet.flow) * 2 + u64::from(forward);
        // the other end's packets are seen when they come, and told of as they went
        let carried = (what == What::Sent)
            .then(|| self.story.sent(whose, packet.path, packet.headers, packet.payload.len()))
            .flatten();
        let paths = self.interfaces.get(packet.flow as usize);
        let Some(&(path, drops)) = paths.and_then(|paths| paths.get(packet.path as usize)) else {
            return;
        };
        let direction = if forward { Seen::Outbound } else { Seen::Inbound };
        let headers = completed(packet.headers, packet.payload);
        let (at, parts) = (Duration::from_nanos(now.as_nanos()), (&headers[..], packet.payload));
        match (what, forward) {
            (What::Dropped, _) => {
                self.writer.dropped(path);
                self.writer.lost(drops, at, direction, parts, "dropped by a link of the path");
            }
            (What::Sent, true) => {
                let comment = carried.map(|carried| {
                    format!("path {}, {}", packet.path, carried.words("path", packet.path))
                });
                self.writer.packet(path, at, direction, parts, comment.as_deref());
            }
            (What::Arrived, false) => self.writer.packet(path, at, direction, parts, None),
            _ => {}
        }
    }
}

/// The headers with the TCP checksum over everything.
fn completed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut headers = headers.to_vec();
    let ip = headers.first().map_or(0, |first| usize::from(first & 15) * 4);
    let Some((front, segment)) = headers.split_at_mut_checked(ip) else { return headers };
    let Some(place) = segment.get_mut(16..18) else { return headers };
    place.fill(0);
    let mut sum = Checksum::new();
    sum.add_bytes(front.get(12..20).unwrap_or_default());
    sum.add_u32(6);
    sum.add_u32((segment.len() + payload.len()) as u32);
    sum.add_bytes(segment);
    sum.add_bytes(payload);
    if let Some(place) = segment.get_mut(16..18) {
        place.copy_from_slice(&sum.finish().to_be_bytes());
    }
    headers
}
