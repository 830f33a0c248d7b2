//! Packets of a conversation, a line each, as `mpuser decode` prints them.

use mpuser_craft::{Exchange, Known, dissect};
use mpuser_inspect::decode::{line, other_line};
use mpuser_inspect::packet::dissect as packet_of;
use mpuser_inspect::{Content, Frame, Settings, Trace};
use serde_json::{Value, json};

/// LINKTYPE_RAW: IP and nothing before it.
const RAW: u32 = 101;

/// Prints what goes both ways, with numbers relative to what came before.
#[derive(Default)]
pub(crate) struct Tracer {
    trace: Trace,
    number: u64,
}

impl Tracer {
    pub(crate) fn new() -> Self {
        Self { trace: Trace::new(Settings::default()), number: 0 }
    }

    /// `>` for what we sent, `<` for what came.
    pub(crate) fn line(&mut self, exchange: &Exchange) -> String {
        self.number += 1;
        let time = i64::try_from(exchange.at.as_nanos() / 1000 * 1000).ok();
        let frame = Frame {
            number: self.number,
            offset: 0,
            time,
            link: RAW,
            interface: 0,
            wire_len: exchange.packet.len(),
            data: &exchange.packet,
        };
        let content = packet_of(&frame);
        let text = match &content {
            Content::Tcp(packet) => line(packet, &self.trace.push(packet), Some(0)),
            _ => other_line(&frame, &content, Some(0)),
        };
        format!("{} {text}", if exchange.sent { '>' } else { '<' })
    }
}

/// A packet that came, layer by layer.
pub(crate) fn layers(packet: &[u8]) -> Option<String> {
    let nothing = Known { key: None, ..Known::default() };
    let built = dissect(packet).ok()?.build(&nothing).ok()?;
    Some(built.show(false))
}

/// A packet as an object: its layers as they could be said, and field by field.
pub(crate) fn object(exchange: &Exchange) -> Value {
    let nothing = Known { key: None, ..Known::default() };
    let stack = dissect(&exchange.packet).ok();
    let built = stack.as_ref().and_then(|stack| stack.build(&nothing).ok());
    json!({
        "time_s": exchange.at.as_secs_f64(),
        "sent": exchange.sent,
        "packet": stack.map(|stack| stack.to_string()),
        "layers": built.map(|built| built.object()["layers"].clone()),
        "hex": mpuser_inspect::option::hex(&exchange.packet),
    })
}
