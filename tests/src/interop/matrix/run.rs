//! One cell: the lab put in order, a kernel peer, a stack of ours, the transfer, the counters.

use super::super::{Data, Facts, Fixture, Peer, Setup, Watch, established};
use super::cell::{Cell, Condition, Role, server_address};
use super::outcome::{Moved, Outcome};
use super::transfer::{Progress, echo, gate, send_and_receive, with_trouble};
use mpuser_engine::config::EndpointFlags;
use mpuser_engine::counters::Counters;
use mpuser_engine::{LocalAddress, PmEndpoint};
use mpuser_tun::device::Faults;
use mpuser_tun::lab::{Lab, LabOptions};
use mpuser_tun::{MptcpListener, MptcpStream, Stack, clock};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// Where our listener is.
const PORT: u16 = 7000;
/// Subflows of every connection: the first and two joins.
const SUBFLOWS: usize = 3;

/// Labs for cells that run at the same time. They are gone when this is dropped.
#[derive(Debug, Default)]
pub struct Benches {
    idle: Mutex<Vec<(Role, Fixture)>>,
    made: Mutex<usize>,
}

impl Benches {
    /// Runs a cell in a lab that is idle, or in a new one.
    ///
    /// # Panics
    /// When the connection fails, or something is wrong with the outcome; the capture is kept then.
    pub fn run(&self, cell: &Cell) -> Outcome {
        let mut fixture = self.take(cell.role);
        let outcome = run(&mut fixture, cell);
        // After a panic the lab is dropped instead, and after a cut: the kernel goes on retransmitting for minutes,
        // and the next cell would count that.
        if cell.condition != Condition::Cut {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((cell.role, fixture));
        }
        outcome
    }

    fn take(&self, role: Role) -> Fixture {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = idle.iter().position(|(of, _)| *of == role) {
            return idle.swap_remove(at).1;
        }
        drop(idle);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        *made += 1;
        let name = format!("matrix-{made}");
        let options = LabOptions { server_signal: false, ipv6: true, ..LabOptions::default() };
        let fixture = Fixture::up(&name, options);
        match role {
            Role::Client => neighbours(&fixture),
            Role::Server => ways_to_one_address(&fixture),
        }
        fixture
    }
}

/// Every address of the server is found on every link. In IPv4 it answers for them by itself, in IPv6 only for the
/// link's own; and a join may be sent to another one when an announcement is late.
fn neighbours(fixture: &Fixture) {
    for dev in ["eth1", "eth2", "eth3"] {
        let shown = fixture.output("server", &["ip", "-br", "link", "show", dev]);
        let mac = shown.split_whitespace().nth(2).expect("an address of the link");
        for link in 56..=58 {
            let address = server_address(link, true).to_string();
            let entry = ["ip", "neighbour", "replace", &address, "lladdr", mac, "dev", dev];
            fixture.output("client", &entry);
        }
    }
}

/// The engine's first address, reached by every link; and answers by the link the question came by.
fn ways_to_one_address(fixture: &Fixture) {
    for link in [57, 58] {
        let dev = link - 55;
        let script = format!(
            "ip route replace 10.83.56.0/24 via 192.168.{link}.100 dev eth{dev} metric {link} && \
             ip -6 route replace fd00:10:83:56::/112 via fd00:192:168:{link}::100 dev eth{dev} \
             metric 20{link}"
        );
        fixture.output("server", &["sh", "-c", &script]);
    }
    // Before Linux 6.17 only the machine-wide switch forwards IPv6.
    let script = "cd /proc/sys/net/ipv6/conf && for dev in eth2 eth3; do \
                  echo 1 > $dev/force_forwarding || echo 1 > all/forwarding; done";
    fixture.output("client", &["sh", "-c", script]);
    let script = "ip rule add to 192.168.0.0/16 lookup main priority 100 && \
                  ip -6 rule add to fd00:192:168::/48 lookup main priority 100";
    fixture.output("client", &["sh", "-c", script]);
}

/// The kernel's endpoints: it announces two addresses, or opens subflows from them.
fn endpoints(fixture: &Fixture, cell: &Cell) {
    let v6 = cell.families.v6().1;
    let mut script = "ip mptcp endpoint flush".to_owned();
    // In the mixed cells our listener announces, and the kernel connects from where it likes.
    let flag = match cell.role {
        Role::Client => Some("signal"),
        Role::Server if cell.families.mixed() => None,
        Role::Server => Some("subflow"),
    };
    for link in [57, 58] {
        if let Some(flag) = flag {
            let own = server_address(link, v6);
            let dev = link - 55;
            script += &format!(" && ip mptcp endpoint add {own} dev eth{dev} {flag}");
        }
    }
    fixture.output("server", &["sh", "-c", &script]);
}

fn setup(cell: &Cell) -> Setup {
    let (first, joins) = cell.families.v6();
    let mut ways = vec![("eth1", server_address(56, first))];
    if cell.role == Role::Client || cell.families.mixed() {
        ways.extend(["eth2", "eth3"].map(|dev| (dev, server_address(56, joins))));
    }
    let faults: Option<fn(u64) -> Faults> = match cell.condition {
        Condition::Loss => Some(|seed| Faults::new(seed).loss(0.01)),
        Condition::Reorder => Some(|seed| Faults::new(seed).reorder(0.05)),
        _ => None,
    };
    let dead_subflows = cell.condition == Condition::Cut;
    let setup = Setup { ways, faults, seed: cell.seed(), dead_subflows, ..Setup::default() };
    setup.checksum(cell.checksum)
}

fn run(fixture: &mut Fixture, cell: &Cell) -> Outcome {
    fixture.begin(&cell.to_string().replace('/', "-"));
    endpoints(fixture, cell);
    fixture.sysctl("server", "net/mptcp/checksum_enabled", if cell.checksum { "1" } else { "0" });
    // So that there is time for something to happen.
    let rate = match cell.condition {
        Condition::Cut => Some("100mbit"),
        Condition::Flap => Some("30mbit"),
        _ => None,
    };
    for dev in ["eth1", "eth2", "eth3"].into_iter().filter(|_| rate.is_some()) {
        fixture.lab().set_rate(dev, rate).unwrap();
    }
    let any = if cell.families == super::Families::V4 { "0.0.0.0" } else { "::" };
    let peer = match cell.role {
        Role::Client => {
            fixture.peer("server", "server.py", &format!("mptcp@{any} echo:{}", Peer::ECHO))
        }
        Role::Server => fixture.peer("server", "client.py", ""),
    };
    let watch = Watch::start(fixture, "server");
    let lab = fixture.lab().clone();
    let work = async |stack: &Stack| match cell.role {
        Role::Client => as_client(stack, &lab, &peer, cell).await,
        Role::Server => as_server(stack, &lab, &peer, cell).await,
    };
    let mut judged = None;
    fixture.captured(&setup(cell), work, |_, outcome| {
        let outcome = Outcome { kernel: watch.delta(), ..outcome };
        let complaints = outcome.complaints();
        assert!(complaints.is_empty(), "{cell}: {complaints:#?}\n{outcome:#?}");
        judged = Some(outcome);
    });
    judged.expect("looked at")
}

/// Our client, the kernel's server.
async fn as_client(stack: &Stack, lab: &Lab, server: &Peer, cell: &Cell) -> Outcome {
    let data = Data::new(cell.size, cell.seed());
    let to = SocketAddr::new(cell.dest(), Peer::ECHO);
    let mut stream = stack.connect(to).await.unwrap_or_else(|e| panic!("{cell}: {e}"));
    established(&stream, SUBFLOWS).await;
    let (progress, start) = (Progress::new(), clock::now());
    let work = send_and_receive(&mut stream, &data.bytes, gate(cell), &progress);
    let received = with_trouble(cell, lab, &progress, work).await;
    let seconds = clock::now().saturating_since(start).as_secs_f64();
    let received = received.unwrap_or_else(|e| panic!("{cell}: {e}\n{:#?}", stream.info()));
    let mut outcome = outcome(cell, &stream, received, seconds);
    drop(stream);
    let report = server.report_async().await;
    assert_eq!(report.error(), None, "{cell}: {report:?}\n{outcome:#?}");
    outcome.expected =
        vec![("sent", data.sha256), ("received there", report.text("received_sha256").to_owned())];
    finish(outcome, stack, &report)
}

/// The kernel's client, our listener.
async fn as_server(stack: &Stack, lab: &Lab, client: &Peer, cell: &Cell) -> Outcome {
    let any: IpAddr = match cell.families.v6().0 {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    };
    let listener = MptcpListener::bind(stack, SocketAddr::new(any, PORT)).await.unwrap();
    if cell.families.mixed() {
        announce(stack);
    }
    let host = match (cell.dest(), cell.families.mixed()) {
        // An IPv6 socket may have subflows of both families.
        (IpAddr::V4(four), true) => IpAddr::V6(four.to_ipv6_mapped()),
        (host, _) => host,
    };
    client.tell(&json!({
        "host": host, "port": PORT, "protocol": "mptcp", "mode": "echo", "size": cell.size,
        "seed": cell.seed(), "subflows": SUBFLOWS, "gate": gate(cell), "parallel": true,
    }));
    let accepted = tokio::time::timeout(std::time::Duration::from_secs(10), listener.accept());
    let (mut stream, _) = accepted.await.expect("nobody came").expect("a connection");
    established(&stream, SUBFLOWS).await;
    let (progress, start) = (Progress::new(), clock::now());
    let go = async {
        progress.trouble().await;
        client.tell(&json!({ "go": true }));
        std::future::pending::<()>().await;
    };
    let work = async {
        tokio::select! {
            done = echo(&mut stream, &progress) => done,
            () = go => unreachable!("it waits for ever"),
        }
    };
    let received = with_trouble(cell, lab, &progress, work).await;
    let received = received.unwrap_or_else(|e| panic!("{cell}: {e}\n{:#?}", stream.info()));
    // All of the echo has to arrive before the connection may be left alone.
    let report = client.report_async().await;
    let seconds = clock::now().saturating_since(start).as_secs_f64();
    let mut outcome = outcome(cell, &stream, received, seconds);
    drop(stream);
    assert_eq!(report.error(), None, "{cell}: {report:?}\n{outcome:#?}");
    outcome.expected = vec![
        ("sent", report.text("sent_sha256").to_owned()),
        ("received there", report.text("received_sha256").to_owned()),
    ];
    finish(outcome, stack, &report)
}

/// Announces all addresses but the first (ADD_ADDR).
fn announce(stack: &Stack) {
    let flags = EndpointFlags { signal: true, ..EndpointFlags::default() };
    for LocalAddress { address, .. } in stack.addresses().into_iter().skip(1) {
        let endpoint = PmEndpoint { address, id: None, port: None, flags };
        stack.add_endpoint(endpoint).unwrap_or_else(|e| panic!("{address}: {e}"));
    }
}

fn outcome(cell: &Cell, stream: &MptcpStream, received: (usize, String), seconds: f64) -> Outcome {
    let info = stream.info().expect("a connection");
    // A path that was left for its silence may have been joined again.
    let mut pairs = Vec::new();
    for pair in info.subflows.iter().map(|s| (s.tuple.local.ip(), s.tuple.remote)) {
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    Outcome {
        cell: *cell,
        received,
        expected: Vec::new(),
        mptcp: info.mptcp,
        checksum: info.csum_enabled,
        subflows: (pairs.len(), 0),
        v6: pairs.iter().map(|(local, _)| local.is_ipv6()).collect(),
        seconds,
        reinjected: info.bytes_retrans,
        kernel: Moved::new(),
        engine: Moved::new(),
    }
}

fn finish(outcome: Outcome, stack: &Stack, report: &Facts) -> Outcome {
    let subflows = (outcome.subflows.0, report.number("subflows"));
    Outcome { subflows, engine: moved(&stack.counters()), ..outcome }
}

fn moved(counters: &Counters) -> Moved {
    let moved = counters.iter().filter(|(_, value)| *value > 0);
    moved.map(|(name, value)| (name.to_owned(), value)).collect()
}
