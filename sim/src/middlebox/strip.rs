//! Removes options (M01 to M08, M31): they become NOPs, as most boxes do it, for nothing moves then.

use super::args::Args;
use super::select::Select;
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::packet::TcpPacket;
use crate::text;

/// A box that removes options.
#[derive(Debug)]
pub(super) struct Strip {
    select: Select,
    /// Of this kind; `None` is MPTCP by subtype.
    kind: Option<u8>,
}

impl Strip {
    pub(super) fn mptcp(args: &mut Args<'_>) -> Result<Self, String> {
        Ok(Self { select: Select::new(args)?, kind: None })
    }

    pub(super) fn any_kind(args: &mut Args<'_>) -> Result<Self, String> {
        let kind = args.value("kind", |text| text::whole(text, 2..=255))?;
        let kind = kind.ok_or("say which option, for example kind=3 for window scaling")?;
        Ok(Self { select: Select::new(args)?, kind: Some(kind as u8) })
    }
}

impl Middlebox for Strip {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        if self.select.segment(direction, &packet) {
            let select = &self.select;
            let kind = self.kind;
            let found = packet.blank_options(|option| {
                kind.map_or_else(|| select.option(option), |k| option.kind == k)
            });
            turn.acted += u64::from(found);
        }
        turn.send(direction, packet);
    }
}
