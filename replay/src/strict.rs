//! Packet by packet: the first packet of each subflow that is not as captured.

use crate::compare::{Class, Divergence, Field, Kind};
use crate::recording::{Case, Recording, Segment};
use crate::run::Ran;
use mpuser_inspect::decode::flag_letters;
use mpuser_inspect::option::{options, subtype_name};

/// At most one divergence for each subflow.
pub(crate) fn compare(recording: &Recording, case: &Case, ran: &Ran) -> Vec<Divergence> {
    let mut found = Vec::new();
    for (local, stream) in case.streams.iter().enumerate() {
        let all = case.segments.iter().filter_map(|at| recording.segments.get(*at));
        let opened = recording.report.streams.get(*stream);
        let captured = all.filter(|segment| {
            let side = opened.map(|opened| opened.side_of(segment.placed.from));
            segment.placed.stream == *stream && side == Some(ran.side)
        });
        let captured: Vec<&Segment> = captured.collect();
        let live = ran.live.iter().filter(|live| live.own && live.lane == local);
        let live: Vec<&Segment> = live.map(|live| &live.segment).collect();
        found.extend(stream_differs(local, &captured, &live));
    }
    found
}

fn stream_differs(local: usize, captured: &[&Segment], live: &[&Segment]) -> Option<Divergence> {
    for number in 0..captured.len().max(live.len()) {
        let (was, is) = (captured.get(number), live.get(number));
        let fields: Vec<Field> = match (was, is) {
            (Some(was), Some(is)) => {
                let pairs = view(was).into_iter().zip(view(is));
                let other = pairs.filter(|(a, b)| a.1 != b.1);
                other.map(|(a, b)| Field::new(a.0, a.1, b.1)).collect()
            }
            (Some(_), None) => vec![Field::new("packet", "sent", "-")],
            (None, _) => vec![Field::new("packet", "-", "sent")],
        };
        if !fields.is_empty() {
            let step = format!("packet {} of the engine's side on subflow {local}", number + 1);
            let mut divergence = Divergence::new(Kind::Packet, step, fields);
            divergence.packet = was.map(|segment| segment.number);
            divergence.after = divergence.packet;
            divergence.engine_packet = is.map(|segment| segment.number);
            divergence.class = Class::Failure;
            "packet by packet, as --strict asks".clone_into(&mut divergence.reason);
            return Some(divergence);
        }
    }
    None
}

/// What is the same in every run of the same stack.
fn view(segment: &Segment) -> Vec<(&'static str, String)> {
    let names = options(&segment.options, segment.options_len).map(|raw| {
        let subtype = raw.body().first().map(|first| first >> 4);
        match (raw.kind, subtype) {
            (30, Some(subtype)) => format!("{}/{}", subtype_name(subtype), raw.bytes.len()),
            (kind, _) => kind.to_string(),
        }
    });
    let relative = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    vec![
        ("flags", flag_letters(segment.flags)),
        ("seq", segment.placed.seq.to_string()),
        ("ack", segment.placed.ack.to_string()),
        ("length", segment.payload_len.to_string()),
        ("dsn", relative(segment.placed.dsn)),
        ("data ack", relative(segment.placed.data_ack)),
        ("options", names.collect::<Vec<_>>().join(" ")),
    ]
}
