//! mpuser in the client of a lab, over all of its links: the way a user has it.

use super::kernel::{App, Meter, Transfer, Way};
use super::ours::{Job, connect, exchange};
use super::veth::{OwnLab, PORT};
use crate::passing::Passing;
use mpuser_engine::addr::InterfaceId;
use mpuser_engine::config::{CongestionAlgorithm, ConnectionConfig};
use mpuser_tun::control::EventReport;
use mpuser_tun::device::{Offload, Tun};
use mpuser_tun::lab::peer::Protocol;
use mpuser_tun::net::{self, PathOptions, PathPlan, PathSet, Watch};
use mpuser_tun::{CaptureWriter, PathConfig, Stack};
use std::fs::File;
use std::io::{self, BufWriter};
use std::net::IpAddr;
use std::path::Path;
use tokio::sync::broadcast;

/// Octets of each packet that are kept: more than all headers are.
const HEADERS: usize = 160;

/// How mpuser sends, and what is to be kept of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Of every subflow.
    pub congestion: CongestionAlgorithm,
    /// Every packet goes there, and what happens to subflows to stderr, if there is one.
    pub capture: Option<&'a Path>,
}

/// The algorithm of this name.
///
/// # Errors
/// There is none; the text says which there are.
pub fn algorithm(name: &str) -> Result<CongestionAlgorithm, String> {
    let names = || format!("none of {}", CongestionAlgorithm::NAMES.join(", "));
    CongestionAlgorithm::from_name(name).ok_or_else(names)
}

/// Moves `bytes` octets between mpuser in the client and the kernel in the server. `meter` is for the end that receives.
///
/// # Errors
/// The connection failed, the octets are wrong, or the file cannot be written.
pub fn watched(
    lab: &OwnLab,
    way: Way,
    bytes: u64,
    meter: impl Fn() -> Meter + Sync,
    options: Options<'_>,
) -> io::Result<Transfer> {
    let file = options.capture.map(File::create).transpose()?;
    let capture = file.map(|file| CaptureWriter::new(BufWriter::new(file)).snaplen(HEADERS));
    let server = lab.server(PORT)?;
    let start = || App::metered(Protocol::Mptcp, server, way, bytes, meter());
    let app = lab.run("server", start)?;
    // one subflow per link: each end's addresses pair up by link, not crosswise
    let mut config = ConnectionConfig { join_announced: false, ..ConnectionConfig::default() };
    config.tcp.congestion = options.congestion;
    lab.run("client", || {
        with_stack(config, capture, IpAddr::V4(*server.ip()), async |stack, paths| {
            let mut stream = connect(stack, server).await?;
            let job = Job { way, bytes, subflows: paths, passing: Passing::Copied };
            exchange(&mut stream, app, job, meter()).await
        })
    })
}

/// Runs `work` with a stack over all ways to `peer` out of the namespace of the calling thread, and tells it how many they
/// are. The stack hears of interfaces that go and come.
fn with_stack<R>(
    config: ConnectionConfig,
    capture: Option<CaptureWriter>,
    peer: IpAddr,
    work: impl AsyncFnOnce(&Stack, usize) -> io::Result<R>,
) -> io::Result<R> {
    let ways = net::discover(peer).map_err(io::Error::other)?;
    let options = PathOptions { dest: Some(peer), ..PathOptions::default() };
    let open = |plan: &PathPlan| {
        Tun::open(&plan.tun, Offload::Auto)
            .map_err(|error| net::NetError::io(format!("cannot open {}", plan.tun), &error))
    };
    let (mut set, devices) = PathSet::setup(&ways, &options, open).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut builder = Stack::builder().connection(config);
        for (plan, device) in set.paths().iter().zip(devices) {
            builder = builder.path(PathConfig::new(device, plan.engine));
        }
        let watched = capture.is_some();
        if let Some(capture) = capture {
            builder = builder.capture(capture);
        }
        let stack = builder.build()?;
        let telling = watched.then(|| tokio::spawn(tell(stack.watch())));
        let links: Vec<String> = set.paths().iter().map(|plan| plan.egress.dev.clone()).collect();
        let watch = Watch::start().map_err(io::Error::other)?;
        let following = tokio::spawn(follow(stack.clone(), watch, peer, links.clone()));
        let outcome = work(&stack, links.len()).await;
        following.abort();
        telling.inspect(tokio::task::JoinHandle::abort);
        outcome
    });
    set.undo().map_err(io::Error::other)?;
    outcome
}

/// Says what happens to connections and subflows, and when.
async fn tell(mut events: broadcast::Receiver<EventReport>) {
    while let Ok(event) = events.recv().await {
        eprintln!("{} {event}", event.time_us);
    }
}

/// Takes paths out of use whose interface no longer leads to `peer`, as `mpuser connect` does.
async fn follow(stack: Stack, mut watch: Watch, peer: IpAddr, links: Vec<String>) {
    loop {
        watch.changed().await;
        let ways = net::discover(peer).unwrap_or_default();
        for (dev, number) in links.iter().zip(0..) {
            stack.set_present(InterfaceId(number), ways.iter().any(|way| way.dev == *dev));
        }
    }
}
