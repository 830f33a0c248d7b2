//! Sends a client's own options back to it (M12), as a host does that copies what it does not know.

use super::flow::Flows;
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::packet::{RawTcpOption, TcpPacket};
use mpuser_engine::wire::tcp_option::kind;

/// A box that mirrors MPTCP options of a SYN on the SYN/ACK.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    flows: Flows<Vec<RawTcpOption>>,
}

impl Middlebox for Mirror {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        if packet.is_syn() {
            let seen: Vec<_> =
                packet.options.iter().filter(|o| o.kind == kind::MPTCP).cloned().collect();
            *self.flows.of(direction, &packet, Vec::new) = seen;
            packet.blank_options(|option| option.kind == kind::MPTCP);
        } else if packet.is_syn_ack() {
            let mirrored = self.flows.of(direction, &packet, Vec::new).clone();
            turn.acted += u64::from(!mirrored.is_empty());
            packet.options.extend(mirrored);
        }
        turn.send(direction, packet);
    }
}
