//! What a stack writes into its capture: every packet, and beside those it sends what the scheduler decided upon.

use super::path::Path;
use crate::clock;
use crate::device::Received;
use crate::device::split::{completed, completed_packet};
use mpuser_capture::{CaptureInterface, CaptureWriter, Direction, Story};
use mpuser_engine::addr::{ConnectionId, InterfaceId, SubflowId};
use mpuser_engine::time::Instant;
use mpuser_engine::{ConnectionInfo, SubflowInfo, Transmit};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A capture and its interfaces, one per path, and one more for what a path has dropped.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) writer: CaptureWriter,
    pub(crate) interfaces: Vec<CaptureInterface>,
    drops: BTreeMap<InterfaceId, CaptureInterface>,
    story: Story,
}

impl Capture {
    pub(crate) fn new(writer: CaptureWriter) -> Self {
        let (interfaces, drops) = (Vec::new(), BTreeMap::new());
        Self { writer, interfaces, drops, story: Story::default() }
    }

    /// A packet for `path`, of those `transmit` was cut into; `info` is asked only where there is something to say.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        path: &Path,
        (headers, payload): (&[u8], &[u8]),
        transmit: &Transmit,
        refused: bool,
        info: impl FnOnce(ConnectionId) -> Option<ConnectionInfo>,
    ) {
        let interface = transmit.interface;
        let Some(&number) = self.interfaces.get(usize::from(interface.0)) else { return };
        // What the device would fill in is filled in here, or every reader would call it damaged.
        let whole = path.carriage.offload().then(|| completed(headers, payload)).flatten();
        let headers = whole.as_deref().unwrap_or(headers);
        let comment = transmit.subflow.map(|(connection, subflow)| {
            let len = payload.len();
            let carried = self.story.sent(connection.0, subflow.0, headers, len);
            let mut text = format!("conn {} sub {}", connection.0, subflow.0);
            if let Some(carried) = carried {
                // writing to a string does not fail
                let _ = write!(text, ", {}", carried.words("sub", subflow.0));
                if let Some(info) = info(connection) {
                    choice(&mut text, &info, subflow);
                }
            }
            text
        });
        let (at, parts) = (clock::to_wall(now), (headers, payload));
        if refused {
            self.writer.dropped(number);
            let writer = &mut self.writer;
            let new = || writer.add_interface(&format!("drop:{}", path.name));
            let drops = *self.drops.entry(interface).or_insert_with(new);
            let reason = comment.unwrap_or_default() + "; the device did not take it";
            let reason = reason.trim_start_matches("; ");
            self.writer.lost(drops, at, Direction::Outbound, parts, reason);
        } else {
            self.writer.packet(number, at, Direction::Outbound, parts, comment.as_deref());
        }
    }

    pub(crate) fn received(&mut self, now: Instant, interface: InterfaceId, received: &Received) {
        if let Some(&interface) = self.interfaces.get(usize::from(interface.0)) {
            let at = clock::to_wall(now);
            let packet = &received.packet;
            let whole = received.checksum_verified.then(|| completed_packet(packet)).flatten();
            let parts = whole.as_ref().map_or((&packet[..], &[][..]), |(head, rest)| (head, rest));
            self.writer.packet(interface, at, Direction::Inbound, parts, None);
        }
    }
}

/// What the scheduler chose from: the subflow it took, then the others.
fn choice(text: &mut String, info: &ConnectionInfo, chosen: SubflowId) {
    let name = info.scheduler.name.as_str();
    let alive = |subflow: &&SubflowInfo| subflow.state == "ESTAB";
    let (mut own, mut others) = (String::new(), String::new());
    for subflow in info.subflows.iter().filter(alive) {
        let to = if subflow.id == chosen { &mut own } else { &mut others };
        let _ = write!(
            to,
            "; sub {}: srtt {:.1} ms, {} of {} in flight{}{}",
            subflow.id.0,
            subflow.srtt.as_secs_f64() * 1e3,
            subflow.in_flight,
            subflow.cwnd,
            if subflow.backup { ", backup" } else { "" },
            if subflow.stale { ", stale" } else { "" }
        );
    }
    let _ = write!(text, "; {name}{own}{others}");
}
