//! The demo without privileges: two engines in this process, three links in memory.

use super::report::{Around, DemoReport};
use super::transfer::{self, Measured, Plan, Snapshot, Stage};
use super::view::LiveView;
use super::{SNAPLEN, engine_seed, or_stop};
use crate::args::Demo;
use crate::error::{Code, Failure};
use crate::output::Printer;
use crate::relay::{Limits, reflect};
use crate::session::{capture, connect_failure, settle, stack_failure};
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use mpuser_tun::device::{MemoryConfig, MemoryLink, memory_pair};
use mpuser_tun::{MptcpListener, MptcpStream, PathConfig, Stack};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;

const PORT: u16 = 7000;
/// One-way delay of each link: far enough apart for a scheduler to see a difference.
const DELAYS: [Duration; 3] =
    [Duration::from_millis(2), Duration::from_millis(5), Duration::from_millis(8)];
/// How long connections may take to close.
const CLOSE: Duration = Duration::from_millis(500);

/// Links, with the client's address on each.
type Links = Vec<(Ipv4Addr, String, MemoryLink)>;

/// Runs the transfer between two engines.
pub(crate) async fn run(
    args: &Demo,
    printer: Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<DemoReport, Failure> {
    let (client, server, links) = stacks(args)?;
    let remote = SocketAddr::new(IpAddr::V4(address(0, 2)), PORT);
    let listener = MptcpListener::bind(&server, remote).await.map_err(|e| stack_failure(&e))?;
    let echo = tokio::spawn(async move {
        if let Ok((mut stream, _)) = listener.accept().await {
            let (mut reader, mut writer) = stream.split();
            reflect(&mut reader, &mut writer, Limits { echo: true, idle: None }).await;
        }
    });
    let outcome = or_stop(exchange(args, printer, &client, remote, links), stop).await;
    echo.abort();
    // the capture is complete once the client's stack is down
    let _ = client.shutdown(CLOSE).await;
    let _ = server.shutdown(CLOSE).await;
    let measured = outcome?;
    let around = Around {
        peer: "engine",
        kernel_counters: BTreeMap::new(),
        capture: Some(args.pcap.display().to_string()),
        kernel_client: None,
    };
    Ok(DemoReport::new(&measured, around))
}

const fn address(link: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 83, 56 + link, host)
}

/// Both ends, and the links between them.
fn stacks(args: &Demo) -> Result<(Stack, Stack, Links), Failure> {
    let config = ConnectionConfig {
        // each subflow is opened by hand: link by link, never across
        join_from_local: false,
        join_announced: false,
        ..super::connection_config(args)
    };
    let builder = || Stack::builder().connection(config.clone());
    let mut client =
        builder().seed(engine_seed(args.seed, 1)).capture(capture(&args.pcap, SNAPLEN)?);
    let mut server = builder().seed(engine_seed(args.seed, 2));
    let mut links = Vec::new();
    for (link, delay) in (0..).zip(DELAYS) {
        let name = format!("path{}", link + 1);
        let config = MemoryConfig {
            names: (name.clone(), name.clone()),
            rate: Some(args.rate),
            delay,
            ..MemoryConfig::default()
        };
        let (near, far, handle) = memory_pair(config).map_err(|e| stack_failure(&e))?;
        client = client.path(PathConfig::new(near, IpAddr::V4(address(link, 1))));
        server = server.path(PathConfig::new(far, IpAddr::V4(address(link, 2))));
        links.push((address(link, 1), name, handle));
    }
    let client = client.build().map_err(|e| stack_failure(&e))?;
    let server = server.build().map_err(|e| stack_failure(&e))?;
    Ok((client, server, links))
}

async fn exchange(
    args: &Demo,
    printer: Printer,
    client: &Stack,
    remote: SocketAddr,
    links: Links,
) -> Result<Measured, Failure> {
    let connecting = client.connect(remote).await;
    let stream = connecting.map_err(|error| connect_failure(remote, &error))?;
    let (reader, mut writer) = stream.into_split();
    let stream = reader.as_ref();
    let mut stage = MemoryStage { stream, links, joined: 1, view: LiveView::new(printer) };
    let plan = Plan { size: args.size, seed: args.seed };
    let measured = transfer::run(&mut &*stream, &mut writer, plan, &mut stage).await;
    settle(stream).await;
    measured
}

struct MemoryStage<'a> {
    stream: &'a MptcpStream,
    links: Links,
    /// Subflows opened so far.
    joined: usize,
    view: LiveView,
}

impl Stage for MemoryStage<'_> {
    fn info(&self) -> Option<ConnectionInfo> {
        self.stream.info()
    }

    fn cut(&mut self, busiest: Option<&SubflowInfo>) -> Result<String, Failure> {
        let local = busiest.map(|subflow| subflow.tuple.local.ip());
        let on = |(ip, ..): &&(Ipv4Addr, String, MemoryLink)| Some(IpAddr::V4(*ip)) == local;
        let link = self.links.iter().find(on).or_else(|| self.links.first());
        let Some((_, name, link)) = link else {
            return Err(Failure::internal("there is no link to cut", "the demo has none"));
        };
        link.cut();
        self.view.say(&format!("cut {name}"));
        Ok(name.clone())
    }

    fn tick(&mut self, now: &Snapshot) {
        // refused until the peer has confirmed MPTCP; then one subflow for each further link
        while let Some((local, ..)) = self.links.get(self.joined) {
            let [a, b, c, _] = local.octets();
            let remote = SocketAddr::new(Ipv4Addr::new(a, b, c, 2).into(), PORT);
            if self.stream.add_subflow(IpAddr::V4(*local), remote).is_err() {
                break;
            }
            self.joined += 1;
        }
        self.view.draw(now);
    }
}
