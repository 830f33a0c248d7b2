//! A packet of the other side answers something: it waits until the engine has said that.

use super::{MOMENT, MOST_PACKETS, PATIENCE, Run, Stall, Want};
use crate::recording::Segment;
use mpuser_inspect::packet::{ACK, RST};

impl Run<'_> {
    /// What this packet of the other side answers and the engine has not said.
    fn unmet(&self, segment: &Segment) -> Option<Want> {
        let lane = self.lanes.get(self.lane_of(segment)?)?;
        let first = self.lanes.first().and_then(|lane| lane.stream);
        let is_first = first == Some(segment.placed.stream);
        if segment.packet().is_syn() {
            return (!is_first && self.engine_key().is_none()).then_some(Want::Key);
        }
        if lane.given_up || lane.reset || lane.deaf {
            return None;
        }
        if lane.isn.is_none() {
            return Some(Want::Handshake);
        }
        let ack = if segment.has(ACK) && !segment.has(RST) { segment.placed.ack } else { 0 };
        if let Some(wanted) = segment.placed.data_ack
            && !self.given_up
            && wanted > self.engine_data()
            && self.keys.0.is_some()
        {
            return Some(Want::Data(wanted));
        }
        let fin = self.fins.get(segment.placed.stream).copied().flatten();
        if fin.is_some_and(|fin| ack >= fin) && !lane.fin {
            return Some(Want::Fin);
        }
        // where there are mappings, the same data may have come again behind itself
        let plain = self.lanes.len() == 1 && segment.placed.data_ack.is_none();
        (plain && !self.given_up && ack > lane.received).then_some(Want::Octets(ack))
    }

    pub(super) fn wait_for(&mut self, segment: &Segment) {
        let patience = self.now + PATIENCE;
        while let Some(want) = self.unmet(segment) {
            if self.now >= patience || self.live.len() >= MOST_PACKETS {
                self.stalls.push(Stall { packet: segment.number, want });
                if let Want::Data(_) | Want::Octets(_) = want {
                    self.given_up = true;
                } else if let Some(at) = self.lane_of(segment)
                    && let Some(lane) = self.lanes.get_mut(at)
                {
                    lane.given_up = true;
                }
                return;
            }
            let moment = (self.now + MOMENT).min(patience);
            self.advance(moment, MOMENT);
            self.pump();
        }
    }
}
