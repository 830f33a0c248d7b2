//! What people and programs are told of a front door.

use crate::output::Printer;
use crate::table::Table;
use crate::units;
use mpuser_proxy::pool::Pool;
use mpuser_proxy::relay::End;
use mpuser_proxy::report::{Event, Observer, Totals};
use serde_json::{Value, json};
use std::sync::Arc;

/// Says what happens: one line for each connection at its end, and when it begins for those who asked for more.
pub(super) fn observer(printer: Printer) -> Observer {
    Arc::new(move |event| {
        let text = line(event);
        match event {
            Event::Connected { .. } => printer.detail(&text),
            _ => printer.line(&text),
        }
        printer.object(&object(event));
    })
}

fn line(event: &Event<'_>) -> String {
    match event {
        Event::Connected { client, peer, to } => format!("{client}: {peer} to {to}"),
        Event::Ended { client, peer, to, end, moved, time } => {
            let (up, down) = (units::size(moved.up()), units::size(moved.down()));
            let time = units::time(*time);
            format!("{client}: {peer} to {to}, {}: {up} up, {down} down in {time}", words(end))
        }
        Event::Refused { client, peer, refusal } => {
            format!("{client}: {peer}: {}: {}; {}", refusal.what, refusal.because, refusal.help)
        }
        Event::Full { clients } => format!("{clients} clients: further ones wait (--max-conns)"),
        Event::Blocked { error } => {
            format!("cannot take a client in for now: {}", crate::error::plain_words(error))
        }
        Event::Server { server, down: None } => format!("server {server} is up"),
        Event::Server { server, down: Some(why) } => format!("server {server} is down: {why}"),
        Event::Passed { server, why } => format!("server {server} passed by: {why}"),
    }
}

fn words(end: &End) -> String {
    match end {
        End::Finished => "finished".to_owned(),
        End::Idle => "idle for too long".to_owned(),
        End::Stopped => "stopped".to_owned(),
        End::Lost(side, error) => {
            format!("the {} is lost ({})", side.as_str(), crate::error::plain_words(error))
        }
    }
}

const fn kind(end: &End) -> &'static str {
    match end {
        End::Finished => "finished",
        End::Idle => "idle",
        End::Stopped => "stopped",
        End::Lost(..) => "lost",
    }
}

fn object(event: &Event<'_>) -> Value {
    let mut object = match event {
        Event::Connected { client, peer, to } => {
            json!({ "event": "client_connected", "client": client, "peer": peer, "to": to })
        }
        Event::Ended { client, peer, to, end, moved, time } => {
            let lost = match end {
                End::Lost(side, error) => {
                    json!({ "side": side.as_str(), "because": crate::error::plain_words(error) })
                }
                _ => Value::Null,
            };
            json!({
                "event": "client_ended", "client": client, "peer": peer, "to": to,
                "end": kind(end), "lost": lost, "bytes_up": moved.up(), "bytes_down": moved.down(),
                "seconds": time.as_secs_f64(),
            })
        }
        Event::Refused { client, peer, refusal } => json!({
            "event": "client_refused", "client": client, "peer": peer,
            "message": refusal.what, "because": refusal.because, "hint": refusal.help,
        }),
        Event::Full { clients } => json!({ "event": "full", "clients": clients }),
        Event::Blocked { error } => {
            json!({ "event": "blocked", "because": crate::error::plain_words(error) })
        }
        Event::Server { server, down } => {
            let name = if down.is_some() { "server_down" } else { "server_up" };
            json!({ "event": name, "server": server, "because": down })
        }
        Event::Passed { server, why } => {
            json!({ "event": "server_passed", "server": server, "because": why })
        }
    };
    if let Value::Object(fields) = &mut object {
        fields.insert("schema".to_owned(), "mpuser.event/1".into());
    }
    object
}

/// The counters at the end.
pub(super) fn summary(totals: &Totals, pool: Option<&Pool>, printer: &Printer) {
    let Totals { accepted, connected, refused, finished, lost, idle, stopped, .. } = totals;
    printer.line(&format!(
        "{accepted} clients ({} at once): {connected} connected, {refused} refused; \
         {finished} finished, {lost} lost, {idle} idle, {stopped} stopped; {} up, {} down",
        totals.peak,
        units::size(totals.bytes_up),
        units::size(totals.bytes_down),
    ));
    let servers: Vec<_> =
        pool.map_or_else(Vec::new, |pool| pool.servers().iter().map(|s| s.report()).collect());
    if !servers.is_empty() {
        let mut table = Table::new(["server", "state", "connections", "failures"]);
        for server in &servers {
            let state = if server.up { "up" } else { "down" };
            let counts = [server.connections.to_string(), server.failures.to_string()];
            let [connections, failures] = counts;
            table.row([server.server.clone(), state.to_owned(), connections, failures]);
        }
        table.render().lines().for_each(|line| printer.line(line));
    }
    printer.object(&json!({ "schema": "mpuser.proxy/1", "totals": totals, "servers": servers }));
}
