//! The demo behind proxies: one network card, two boxes that forward packets and know nothing of MPTCP, the kernel's
//! MPTCP behind them. One of the boxes dies.

use super::live::{self, Cut, Guard};
use super::report::{Around, DemoReport};
use crate::args::Demo;
use crate::error::{Code, Failure};
use crate::output::Printer;
use crate::runtime;
use crate::session::Session;
use mpuser_engine::SubflowInfo;
use mpuser_engine::config::{ConnectionConfig, PathManagerKind};
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol, counter_delta, kernel_counters};
use mpuser_tun::lab::proxies::{self, ProxyLab, ProxyLabOptions};
use mpuser_tun::net;
use std::net::{IpAddr, SocketAddr};
use tokio::sync::mpsc;

const PORT: u16 = 7000;

/// Builds the lab, runs the transfer, takes the lab down.
pub(crate) fn run(
    args: &Demo,
    printer: Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<DemoReport, Failure> {
    if args.compare {
        return Err(Failure::usage(
            "there is nothing to compare with",
            "the kernel's client cannot send each subflow to an address of its own",
            "leave out --compare, or run `mpuser demo --compare` over three paths",
        ));
    }
    let guard = Guard::new(args, printer)?;
    let rate = Some(format!("{}bit", args.rate));
    let lab =
        proxies::up(&ProxyLabOptions { name: guard.name.clone(), rate, ..Default::default() })?;
    let server = lab.netns("server")?;
    let address = SocketAddr::new(IpAddr::V4(proxies::SERVER), PORT);
    let _server = PeerServer::start(&server, address, Protocol::Mptcp, Mode::Echo)?;
    let before = kernel_counters(&server)?;
    let fronts = lab.proxies.iter().map(|proxy| SocketAddr::new(proxy.front.into(), PORT));
    let vias: Vec<SocketAddr> = fronts.collect();
    let Some(first) = vias.first().copied() else {
        return Err(Failure::internal("the lab has no proxy", "its description is empty"));
    };
    // what the server announces is behind the proxies, too
    let config = ConnectionConfig {
        path_manager: PathManagerKind::Default,
        ..super::connection_config(args)
    };
    let measured = lab.netns("client")?.run(|| {
        let ways = net::resolve(first.ip(), &[])?;
        let vias = vias.iter().map(|via| (*via, 0)).collect();
        let cutter = |_: &Session, busiest: Option<&SubflowInfo>| kill(&lab, busiest);
        runtime::block_on(live::engine(args, printer, (config, ways, vias), first, &cutter, stop))
    })??;
    let around = Around {
        peer: "kernel",
        kernel_counters: counter_delta(&before, &kernel_counters(&server)?),
        capture: Some(args.pcap.display().to_string()),
        kernel_client: None,
    };
    Ok(DemoReport::new(&measured, around))
}

/// The proxy that carries most dies.
fn kill(lab: &ProxyLab, busiest: Option<&SubflowInfo>) -> Result<Cut, Failure> {
    let through = |subflow: &SubflowInfo| match subflow.tuple.remote.ip() {
        IpAddr::V4(front) => lab.proxy_at(front),
        IpAddr::V6(_) => None,
    };
    let Some(proxy) = busiest.and_then(through).or(lab.proxies.first()) else {
        return Err(Failure::internal("there is no proxy to cut", "the lab has none"));
    };
    let (lab, role) = (lab.clone(), proxy.role.clone());
    Ok(Cut { path: proxy.role.clone(), work: Box::new(move || lab.cut(&role, true)) })
}
