//! Front doors compared: haproxy and nginx under mptcpize, and `mpuser proxy`, each with the kernel's client and with ours;
//! 20 MiB each way through three subflows to three plain servers. What stalls is looked into: whose queue holds the bytes?
//! Long, so only by `tests/frontdoors`.
#![expect(clippy::expect_used, reason = "a measurement: a panic is the verdict")]

mod common;

use common::doors::{
    Doors, KERNEL_CLIENT, PATHS, PROXY, Ready, SERVERS, Said, haproxy, has, nginx,
};
use common::{data, finish};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

const SIZE: usize = 20 << 20;
/// Longer than any of these takes; the kernel's client waits 8 s for a byte.
const STALLED: Duration = Duration::from_secs(4);

/// A door, and what it is called.
struct Door {
    name: &'static str,
    port: &'static str,
    /// Its stack is the kernel's, and so are the counters.
    kernel: bool,
}

const DOORS: [Door; 4] = [
    Door { name: "haproxy", port: "7000", kernel: true },
    Door { name: "nginx", port: "7001", kernel: true },
    Door { name: "nginx, buffer 4m", port: "7002", kernel: true },
    Door { name: "mpuser proxy", port: "7003", kernel: false },
];

/// Bytes nobody has fetched, in the queues of the proxy's machine.
#[derive(Default)]
struct Queues {
    from_servers: u64,
    from_client: u64,
    to_client: u64,
}

fn queues(lab: &Doors, port: &str) -> Queues {
    let mut all = Queues::default();
    // each byte is counted once: on the connection, or on the plain socket that became one
    for kind in ["-HMn", "-Htn"] {
        let text = finish(lab.spawn("p", &["ss", kind]), b"").stdout;
        let mut seen = Queues::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, unread, unsent, local, peer, ..] = words[..] else { continue };
            let (unread, unsent) = (unread.parse().unwrap_or(0), unsent.parse().unwrap_or(0));
            if ["8001", "8002", "8003"].iter().any(|port| peer.ends_with(&format!(":{port}"))) {
                seen.from_servers += unread;
            } else if local.ends_with(&format!(":{port}")) {
                seen.from_client += unread;
                seen.to_client += unsent;
            }
        }
        all.from_servers = all.from_servers.max(seen.from_servers);
        all.from_client = all.from_client.max(seen.from_client);
        all.to_client = all.to_client.max(seen.to_client);
    }
    all
}

fn joins(lab: &Doors, node: &str, counter: &str) -> u64 {
    lab.counters(node).get(&format!("MPTcpExt{counter}")).copied().unwrap_or(0)
}

fn client(lab: &Doors, ours: bool, port: &str) -> Child {
    let at = format!("{PROXY}:{port}");
    if ours {
        return lab.mpuser("a", &[&["connect", "--json", "-i", "8s", &at], &PATHS[..]].concat());
    }
    lab.spawn("a", &["python3", "-c", KERNEL_CLIENT, PROXY, port, "262"])
}

/// One cell of the table: so many runs of one client through one door.
fn cell(lab: &Doors, door: &Door, ours: bool, runs: usize, servers: &Said, sent: &[u8]) -> Value {
    let before = servers.all().len();
    let (mut complete, mut stalled) = (0, 0);
    let (mut times, mut subflows, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let (node, counter) =
            if door.kernel { ("p", "MPJoinAckRx") } else { ("a", "MPJoinSynAckRx") };
        let joined = joins(lab, node, counter);
        let start = Instant::now();
        let child = client(lab, ours, door.port);
        let over = AtomicBool::new(false);
        let (run, held) = thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while start.elapsed() < STALLED {
                    if over.load(Relaxed) {
                        return None;
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                Some(queues(lab, door.port))
            });
            let run = finish(child, sent);
            over.store(true, Relaxed);
            (run, watch.join().expect("no panic"))
        });
        let intact = run.bytes == sent;
        complete += usize::from(intact);
        if intact {
            times.push(start.elapsed().as_secs_f64());
        }
        if let Some(held) = held {
            stalled += 1;
            waits.push(json!({
                "unread_from_servers": held.from_servers, "unread_from_client": held.from_client,
                "unsent_to_client": held.to_client, "arrived": run.bytes.len(),
            }));
        }
        let mut lines = run.stderr.lines().filter(|line| line.contains("mpuser.connect/1"));
        let report: Option<Value> =
            lines.next_back().and_then(|line| serde_json::from_str(line).ok());
        let count = report.and_then(|report| Some(report["subflows"].as_array()?.len() as u64));
        subflows.push(count.unwrap_or_else(|| 1 + joins(lab, node, counter) - joined));
    }
    times.sort_by(f64::total_cmp);
    // a server writes a line for each connection that says something
    thread::sleep(Duration::from_millis(50));
    let lines = servers.all();
    let taken = |port: &str| lines[before..].iter().filter(|line| *line == port).count();
    let shares = ["8001", "8002", "8003"].map(taken);
    json!({
        "door": door.name, "client": if ours { "mpuser connect" } else { "kernel" },
        "runs": runs, "complete": complete, "stalled": stalled,
        "median_s": times.get(times.len() / 2), "longest_s": times.last(),
        "subflows": subflows, "servers": shares, "waits": waits,
    })
}

fn table(rows: &[Value]) -> String {
    let mut text = String::from(
        "| proxy | client | complete | stalled | median s | longest s | subflows | servers | unread at the proxy when stalled |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |s| format!("{s:.2}"));
        let waits = row["waits"].as_array().map_or_else(String::new, |all| {
            let bytes = |wait: &Value| {
                let (servers, client) = (&wait["unread_from_servers"], &wait["unread_from_client"]);
                format!("{servers} from the server, {client} from the client")
            };
            all.iter().map(bytes).collect::<Vec<_>>().join("; ")
        });
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(
            text,
            "| {} | {} | {}/{} | {} | {} | {} | {} | {} | {waits} |",
            word("door"),
            word("client"),
            row["complete"],
            row["runs"],
            row["stalled"],
            number(&row["median_s"]),
            number(&row["longest_s"]),
            row["subflows"],
            row["servers"],
        );
    }
    text
}

#[test]
fn table_of_front_doors() {
    let Some(runs) = std::env::var("MPUSER_FRONTDOORS").ok().and_then(|runs| runs.parse().ok())
    else {
        return;
    };
    let programs = ["haproxy", "nginx", "mptcpize", common::doors::STREAM_MODULE];
    if !programs.iter().all(|program| has(program, "table_of_front_doors")) {
        return;
    }
    let Some(mut lab) = Doors::up("table") else { return };
    let servers = lab.plain_servers();
    let configs = [haproxy(7000), nginx(7001, ""), nginx(7002, "proxy_buffer_size 4m;")];
    let start = |program: &'static str, flag: &'static str, path: &str| {
        ["mptcpize", "run", program, flag, path].map(str::to_owned)
    };
    for (number, config) in configs.iter().enumerate() {
        let argv = match number {
            0 => start("haproxy", "-f", config.path()),
            _ => start("nginx", "-c", config.path()),
        };
        let port = 7_000 + u16::try_from(number).expect("few");
        lab.serve("p", &argv.each_ref().map(String::as_str), Ready::Port(port));
    }
    let program = env!("CARGO_BIN_EXE_mpuser");
    let argv =
        [program, "proxy", "--listen", "mptcp://:7003", "--to", SERVERS, "--check-every", "off"];
    lab.serve("p", &argv, Ready::Says("listening"));
    let sent = data(SIZE);
    let mut rows = Vec::new();
    for door in &DOORS {
        for ours in [false, true] {
            let row = cell(&lab, door, ours, runs, &servers, &sent);
            eprintln!("{row}");
            rows.push(row);
        }
    }
    println!("{}", table(&rows));
    if let Ok(file) = std::env::var("MPUSER_FRONTDOORS_JSON") {
        std::fs::write(file, format!("{}\n", json!({ "rows": rows }))).expect("the file");
    }
    for row in rows.iter().filter(|row| row["door"] == "mpuser proxy") {
        assert_eq!(row["complete"], row["runs"], "our own proxy loses nothing: {row}");
    }
}
