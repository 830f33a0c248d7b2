//! The demo in a lab: our engine over three paths, the kernel's MPTCP as the peer.

use super::live::{self, Cut, Guard};
use super::report::{Around, DemoReport, KernelClient};
use crate::args::Demo;
use crate::connect::interrupted;
use crate::error::{Code, Failure};
use crate::output::Printer;
use crate::runtime;
use crate::session::Session;
use mpuser_engine::SubflowInfo;
use mpuser_engine::config::ConnectionConfig;
use mpuser_tun::lab::peer::{self, Mode, PeerServer, Protocol, counter_delta, kernel_counters};
use mpuser_tun::lab::{self, Lab, LabOptions};
use mpuser_tun::net;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;

const PORT: u16 = 7000;
/// The lab of one demo.
fn lab_up(args: &Demo, guard: &Guard) -> Result<Lab, Failure> {
    let options = LabOptions {
        name: guard.name.clone(),
        rate: Some(format!("{}bit", args.rate)),
        // one subflow per path: each end's addresses pair up by path, not crosswise
        server_signal: false,
        client_subflow: args.compare,
        ..LabOptions::default()
    };
    Ok(lab::up(&options)?)
}

/// Builds the lab, runs the transfer, takes the lab down.
pub(crate) fn run(
    args: &Demo,
    printer: Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<DemoReport, Failure> {
    let guard = Guard::new(args, printer)?;
    let lab = lab_up(args, &guard)?;
    let (server_ns, client_ns) = (lab.netns("server")?, lab.netns("client")?);
    let Some(first) = lab.state().paths.first() else {
        return Err(Failure::internal("the lab has no path", "its description is empty"));
    };
    let remote = SocketAddr::new(IpAddr::V4(first.server), PORT);
    let server = PeerServer::start(&server_ns, remote, Protocol::Mptcp, Mode::Echo)?;
    let before = kernel_counters(&server_ns)?;
    let config = ConnectionConfig { join_announced: false, ..super::connection_config(args) };
    let measured = client_ns.run(|| {
        let over = (config, net::resolve(remote.ip(), &[])?, Vec::new());
        let cutter = |session: &Session, busiest: Option<&SubflowInfo>| cut(&lab, session, busiest);
        runtime::block_on(live::engine(args, printer, over, remote, &cutter, stop))
    })??;
    let counters = counter_delta(&before, &kernel_counters(&server_ns)?);
    let kernel_client = match (&measured.cut, args.compare) {
        (Some(cut), true) => {
            printer.line("now the kernel's own client, same lab, same cut");
            Some(compare(args, &lab, server, &cut.path, stop)?)
        }
        _ => None,
    };
    let around = Around {
        peer: "kernel",
        kernel_counters: counters,
        capture: Some(args.pcap.display().to_string()),
        kernel_client,
    };
    Ok(DemoReport::new(&measured, around))
}

/// The path of the busiest subflow.
fn cut(lab: &Lab, session: &Session, busiest: Option<&SubflowInfo>) -> Result<Cut, Failure> {
    let local = busiest.map(|subflow| subflow.tuple.local.ip());
    let mut plans = session.plans().iter();
    let plan = plans.find(|plan| Some(plan.engine) == local).or(session.plans().first());
    let Some(plan) = plan else {
        return Err(Failure::internal("there is no path to cut", "the lab has none"));
    };
    let (lab, dev) = (lab.clone(), plan.egress.dev.clone());
    Ok(Cut { path: dev.clone(), work: Box::new(move || lab.cut(&dev, true)) })
}

/// The kernel's client through the same lab; the same path is cut when half has come back.
fn compare(
    args: &Demo,
    lab: &Lab,
    server: PeerServer,
    dev: &str,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<KernelClient, Failure> {
    lab.restore()?;
    let echoed_before = server.sent();
    let client =
        peer::KernelClient::connect(&lab.netns("client")?, server.address(), Protocol::Mptcp)?;
    let mut server = Some(server);
    let mut stopped = None;
    let mut cut = false;
    let transfer = std::thread::scope(|scope| {
        let moving = scope.spawn(|| client.echo(args.size));
        while !moving.is_finished() {
            let echoed = server.as_ref().map_or(0, |server| server.sent() - echoed_before);
            if !cut && echoed >= args.size / 2 {
                cut = true;
                lab.cut(dev, true)?;
            }
            if let Ok(code) = stop.try_recv() {
                stopped = Some(code);
                // its connections end, and with them the client
                server = None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        moving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    match (stopped, transfer) {
        (Some(code), _) => Err(interrupted(code)),
        (None, transfer) => Ok(KernelClient::new(&transfer?)),
    }
}
