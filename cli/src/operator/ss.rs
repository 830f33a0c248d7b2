//! `mpuser ss`: connections of running processes, in the form and with the key names of `ss -M`.

use super::args::Ss;
use super::ss_filter::Filter;
use super::{ask, processes};
use crate::error::Failure;
use crate::output::{Printer, stdout};
use mpuser_tun::control::{Reply, Request, SocketReport, SubflowReport};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;

/// A socket and the process it belongs to.
struct Row {
    pid: u32,
    socket: SocketReport,
}

/// Prints sockets, once or again and again.
pub(crate) fn run(args: &Ss, printer: Printer) -> Result<ExitCode, Failure> {
    let filter = Filter::parse(&args.filter, args.listening, args.all)?;
    loop {
        let rows = gather(args, &filter)?;
        let text = if printer.json { format!("{}\n", object(&rows)) } else { table(&rows, args) };
        let Some(pause) = args.watch else {
            stdout(&text);
            return Ok(ExitCode::SUCCESS);
        };
        // on a terminal each picture takes the place of the one before
        let clear = !printer.json && std::io::stdout().is_terminal();
        stdout(&format!("{}{text}", if clear { "\x1b[H\x1b[2J" } else { "" }));
        std::thread::sleep(pause);
    }
}

fn gather(args: &Ss, filter: &Filter) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for mut process in processes(&args.which)? {
        // one that ended in between has no sockets any more
        let Ok(replies) = ask(&mut process, &Request::Sockets) else { continue };
        for reply in replies {
            if let Reply::Socket(socket) = reply
                && filter.wants(&socket)
            {
                rows.push(Row { pid: process.pid, socket: *socket });
            }
        }
    }
    Ok(rows)
}

fn object(rows: &[Row]) -> Value {
    let sockets = rows.iter().map(|row| {
        let mut object = serde_json::to_value(&row.socket).unwrap_or_default();
        object["pid"] = json!(row.pid);
        object
    });
    json!({ "schema": "mpuser.ss/1", "sockets": sockets.collect::<Vec<_>>() })
}

/// The columns of `ss`, as wide as they have to be.
struct Cells([String; 6]);

impl Cells {
    fn new(
        state: &str,
        queues: (u64, u64),
        ends: (Option<SocketAddr>, Option<SocketAddr>),
        last: String,
    ) -> Self {
        let end = |end: Option<SocketAddr>| end.map_or_else(|| "*:*".to_owned(), |e| e.to_string());
        let (local, remote) = (end(ends.0), end(ends.1));
        Self([state.to_owned(), queues.0.to_string(), queues.1.to_string(), local, remote, last])
    }

    /// The line, by the width of each column.
    fn line(&self, widths: &[usize; 6]) -> String {
        let [state, recv, send, local, remote, last] = &self.0;
        let [w0, w1, w2, w3, w4, _] = widths;
        let line =
            format!("{state:<w0$} {recv:<w1$} {send:<w2$} {local:>w3$} {remote:>w4$} {last}");
        format!("{}\n", line.trim_end())
    }
}

fn table(rows: &[Row], args: &Ss) -> String {
    let heads = ["State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port", ""];
    let mut lines = vec![(Cells(heads.map(str::to_owned)), String::new())];
    if args.processes {
        "Process".clone_into(&mut lines[0].0.0[5]);
    }
    for Row { pid, socket } in rows {
        let process =
            if args.processes { format!("users:((\"mpuser\",pid={pid}))") } else { String::new() };
        let queues = (socket.recv_q, socket.send_q);
        let cells = Cells::new(&socket.state, queues, (socket.local, socket.remote), process);
        let info = if args.info && socket.state != "LISTEN" { keys(socket) } else { String::new() };
        lines.push((cells, info));
        // dead ones are history, and only of interest to who wants all
        for subflow in socket.subflow.iter().filter(|s| args.all || s.state != "CLOSED") {
            let name = format!("  {} {}", subflow.id, subflow.state);
            let queues = (0, subflow.bytes_in_flight);
            let ends = (Some(subflow.local), Some(subflow.remote));
            let mut last = subflow.path.clone();
            for (word, set) in [("backup", subflow.backup), ("stale", subflow.stale)] {
                if set {
                    // writing to a String cannot fail
                    let _ = write!(last, " {word}");
                }
            }
            let info = if args.info { subflow_keys(socket, subflow) } else { String::new() };
            lines.push((Cells::new(&name, queues, ends, last), info));
        }
    }
    let mut widths = [0; 6];
    for (cells, _) in &lines {
        for (width, cell) in widths.iter_mut().zip(&cells.0) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    for (cells, info) in &lines {
        text.push_str(&cells.line(&widths));
        if !info.is_empty() {
            let _ = writeln!(text, "\t {info}");
        }
    }
    text
}

/// The second line of `ss -Mi`, keys in its order; what is zero or unknown is left out, as there.
fn keys(socket: &SocketReport) -> String {
    let number = |key: &str, value: u64| (value > 0).then(|| format!("{key}:{value}"));
    let word = |key: &str, value: &str| (!value.is_empty()).then(|| format!("{key}:{value}"));
    let flag = |set: bool, word: &str| set.then(|| word.to_owned());
    let size = |value: usize| value as u64;
    let all = [
        number("subflows", size(socket.subflows)),
        number("add_addr_signal", size(socket.add_addr_signal)),
        number("add_addr_accepted", size(socket.add_addr_accepted)),
        number("subflows_max", size(socket.subflows_max)).filter(|_| socket.mptcp),
        number("add_addr_signal_max", size(socket.add_addr_signal_max)),
        number("add_addr_accepted_max", size(socket.add_addr_accepted_max)),
        flag(!socket.mptcp, "fallback"),
        socket.fallback.as_deref().and_then(|reason| word("fallback_reason", reason)),
        flag(!socket.remote_token.is_empty(), "remote_key"),
        word("token", &socket.token).filter(|_| socket.mptcp),
        word("remote_token", &socket.remote_token).filter(|_| socket.mptcp),
        word("write_seq", &socket.write_seq),
        word("snd_una", &socket.snd_una),
        word("rcv_nxt", &socket.rcv_nxt),
        number("local_addr_used", size(socket.local_addr_used)),
        number("local_addr_max", size(socket.local_addr_max)),
        flag(socket.csum_enabled, "csum_enabled"),
        number("retransmits", socket.retransmits.into()),
        number("bytes_retrans", socket.bytes_retrans),
        number("bytes_sent", socket.bytes_sent),
        number("bytes_received", socket.bytes_received),
        number("bytes_acked", socket.bytes_acked),
        number("subflows_total", size(socket.subflows_total)),
        socket.last_data_sent.and_then(|time| number("last_data_sent", time)),
        socket.last_data_recv.and_then(|time| number("last_data_recv", time)),
        socket.last_ack_recv.and_then(|time| number("last_ack_recv", time)),
        socket.fast_open.as_deref().and_then(|outcome| word("fast_open", outcome)),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Keys of `ss -ti`.
fn subflow_keys(socket: &SocketReport, subflow: &SubflowReport) -> String {
    let number = |key: &str, value: u64| (value > 0).then(|| format!("{key}:{value}"));
    let ulp = socket.mptcp.then(|| {
        let kind = if subflow.join { "Jj" } else { "Mm" };
        let backup = if subflow.backup { "b" } else { "" };
        let up = if subflow.state == "ESTAB" { "ec" } else { "" };
        let token = |text: &str| if text.is_empty() { "0000".to_owned() } else { text.to_owned() };
        format!(
            "tcp-ulp-mptcp flags:{kind}{backup}{up} token:{}(id:{})/{}(id:{})",
            token(&socket.remote_token),
            subflow.remote_id,
            token(&socket.token),
            subflow.local_id,
        )
    });
    let all = [
        Some(format!("rto:{:.0}", subflow.rto)),
        (subflow.rtt > 0.0).then(|| format!("rtt:{}", subflow.rtt)),
        number("mss", subflow.mss.into()),
        number("cwnd", subflow.cwnd),
        subflow.ssthresh.and_then(|ssthresh| number("ssthresh", ssthresh)),
        number("bytes_sent", subflow.bytes_sent),
        number("bytes_retrans", subflow.bytes_retrans),
        number("bytes_received", subflow.bytes_received),
        ulp,
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "ss_tests.rs"]
mod tests;
