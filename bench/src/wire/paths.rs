//! mpuser in the client of a lab, over all of its links: the way a user has it.

use super::kernel::{App, Meter, Transfer, Way};
use super::ours::{connect, exchange};
use super::veth::{OwnLab, PORT};
use mpuser_engine::addr::InterfaceId;
use mpuser_engine::config::ConnectionConfig;
use mpuser_tun::device::{Offload, Tun};
use mpuser_tun::lab::peer::Protocol;
use mpuser_tun::net::{self, PathOptions, PathPlan, PathSet, Watch};
use mpuser_tun::{PathConfig, Stack};
use std::io;
use std::net::IpAddr;

/// Moves `bytes` octets between mpuser in the client and the kernel in the server. `meter` is for the end that receives.
///
/// # Errors
/// The connection failed, or the octets are wrong.
pub fn transfer(
    lab: &OwnLab,
    way: Way,
    bytes: u64,
    meter: impl Fn() -> Meter + Sync,
) -> io::Result<Transfer> {
    let server = lab.server(PORT)?;
    let start = || App::metered(Protocol::Mptcp, server, way, bytes, meter());
    let app = lab.run("server", start)?;
    // one subflow per link: each end's addresses pair up by link, not crosswise
    let config = ConnectionConfig { join_announced: false, ..ConnectionConfig::default() };
    lab.run("client", || {
        with_stack(config, IpAddr::V4(*server.ip()), async |stack, paths| {
            let mut stream = connect(stack, server).await?;
            exchange(&mut stream, app, paths, way, bytes, meter()).await
        })
    })
}

/// Runs `work` with a stack over all ways to `peer` out of the namespace of the calling thread, and tells it how many they
/// are. The stack hears of interfaces that go and come.
fn with_stack<R>(
    config: ConnectionConfig,
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
        let stack = builder.build()?;
        let links: Vec<String> = set.paths().iter().map(|plan| plan.egress.dev.clone()).collect();
        let watch = Watch::start().map_err(io::Error::other)?;
        let following = tokio::spawn(follow(stack.clone(), watch, peer, links.clone()));
        let outcome = work(&stack, links.len()).await;
        following.abort();
        outcome
    });
    set.undo().map_err(io::Error::other)?;
    outcome
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
