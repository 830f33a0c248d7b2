//! The demo in a lab: our engine over three paths, the kernel's MPTCP as the peer.

use super::report::{Around, DemoReport, KernelClient};
use super::transfer::{self, Measured, Plan, Snapshot, Stage};
use super::view::LiveView;
use super::{SNAPLEN, engine_seed, or_stop};
use crate::args::Demo;
use crate::connect::interrupted;
use crate::error::{Code, Failure};
use crate::output::Printer;
use crate::runtime;
use crate::session::{Session, Setup, capture, connect_failure, settle};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use mpuser_tun::MptcpStream;
use mpuser_tun::lab::peer::{self, Mode, PeerServer, Protocol, counter_delta, kernel_counters};
use mpuser_tun::lab::{self, Lab, LabOptions};
use mpuser_tun::net::{self, NatMode, NetError};
use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

const PORT: u16 = 7000;
/// What a demo's lab is called, before the number of its process.
const STEM: &str = "demo";

/// The lab of one demo; gone when dropped, whatever the reason.
struct DemoLab {
    lab: Lab,
    keep: bool,
    printer: Printer,
}

impl DemoLab {
    fn up(args: &Demo, printer: Printer) -> Result<Self, Failure> {
        clear_dead_demos()?;
        let name = match args.keep {
            true => STEM.to_owned(),
            // two demos at once must not share a lab
            false => format!("{STEM}-{}", std::process::id()),
        };
        let options = LabOptions {
            name,
            rate: Some(format!("{}bit", args.rate)),
            // one subflow per path: each end's addresses pair up by path, not crosswise
            server_signal: false,
            client_subflow: args.compare,
            ..LabOptions::default()
        };
        Ok(Self { lab: lab::up(&options)?, keep: args.keep, printer })
    }
}

impl Drop for DemoLab {
    fn drop(&mut self) {
        let name = &self.lab.state().name;
        if self.keep {
            self.printer
                .line(&format!("the lab {name} stays: `mpuser lab down {name}` removes it"));
        } else if lab::down(name).is_err() {
            self.printer
                .line(&format!("could not remove the lab {name}: run `mpuser lab down {name}`"));
        }
    }
}

/// Removes the labs of demos that were killed.
fn clear_dead_demos() -> Result<(), Failure> {
    for lab in lab::list()? {
        let pid = lab.name.strip_prefix(STEM).and_then(|rest| rest.strip_prefix('-'));
        let pid =
            pid.filter(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()));
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            lab::down(&lab.name)?;
        }
    }
    Ok(())
}

/// Builds the lab, runs the transfer, takes the lab down.
pub(crate) fn run(
    args: &Demo,
    printer: Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<DemoReport, Failure> {
    let lab = DemoLab::up(args, printer)?;
    let (server_ns, client_ns) = (lab.lab.netns("server")?, lab.lab.netns("client")?);
    let Some(first) = lab.lab.state().paths.first() else {
        return Err(Failure::internal("the lab has no path", "its description is empty"));
    };
    let remote = SocketAddr::new(IpAddr::V4(first.server), PORT);
    let server = PeerServer::start(&server_ns, remote, Protocol::Mptcp, Mode::Echo)?;
    let before = kernel_counters(&server_ns)?;
    let measured =
        client_ns.run(|| runtime::block_on(engine(args, printer, &lab.lab, remote, stop)))??;
    let counters = counter_delta(&before, &kernel_counters(&server_ns)?);
    let kernel_client = match (&measured.cut, args.compare) {
        (Some(cut), true) => {
            printer.line("now the kernel's own client, same lab, same cut");
            Some(compare(args, &lab.lab, server, &cut.path, stop)?)
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

/// The transfer by our engine. Runs in the client's namespace.
async fn engine(
    args: &Demo,
    printer: Printer,
    lab: &Lab,
    remote: SocketAddr,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<Measured, Failure> {
    let setup = Setup {
        title: Some("demo".to_owned()),
        follow: None,
        orders: Vec::new(),
        endpoint: EndpointConfig::default(),
        config: ConnectionConfig { join_announced: false, ..super::connection_config(args) },
        capture: Some(capture(&args.pcap, SNAPLEN)?),
        recorder: None,
        nat: NatMode::Auto,
        vias: Vec::new(),
        seed: Some(engine_seed(args.seed, 1)),
    };
    let ways = net::resolve(remote.ip(), &[])?;
    let session = Session::over(&ways, setup, Some(remote.ip()), &printer)?;
    let outcome = or_stop(exchange(args, printer, lab, &session, remote), stop).await;
    let closed = session.close().await;
    let measured = outcome?;
    closed.map(|()| measured)
}

async fn exchange(
    args: &Demo,
    printer: Printer,
    lab: &Lab,
    session: &Session,
    remote: SocketAddr,
) -> Result<Measured, Failure> {
    let connecting = session.stack.connect(remote).await;
    let stream = connecting.map_err(|error| connect_failure(remote, &error))?;
    let (reader, mut writer) = stream.into_split();
    let stream = reader.as_ref();
    let mut stage = LabStage { stream, session, lab, view: LiveView::new(printer), cutting: None };
    let plan = Plan { size: args.size, seed: args.seed };
    let measured = transfer::run(&mut &*stream, &mut writer, plan, &mut stage).await;
    stage.cut_done()?;
    settle(stream).await;
    measured
}

struct LabStage<'a> {
    stream: &'a MptcpStream,
    session: &'a Session,
    lab: &'a Lab,
    view: LiveView,
    /// The thread that runs `tc`: it takes milliseconds, in which data has to go on.
    cutting: Option<JoinHandle<Result<(), NetError>>>,
}

impl LabStage<'_> {
    /// What became of the cut.
    fn cut_done(&mut self) -> Result<(), Failure> {
        match self.cutting.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => Ok(outcome?),
            Some(Err(_)) => {
                Err(Failure::internal("the path was not cut", "its thread ended early"))
            }
        }
    }
}

impl Stage for LabStage<'_> {
    fn info(&self) -> Option<ConnectionInfo> {
        self.stream.info()
    }

    fn cut(&mut self, busiest: Option<&SubflowInfo>) -> Result<String, Failure> {
        let local = busiest.map(|subflow| subflow.tuple.local.ip());
        let mut plans = self.session.plans().iter();
        let plan = plans.find(|plan| Some(plan.engine) == local).or(self.session.plans().first());
        let Some(plan) = plan else {
            return Err(Failure::internal("there is no path to cut", "the lab has none"));
        };
        let (lab, dev) = (self.lab.clone(), plan.egress.dev.clone());
        self.view.say(&format!("cut {dev}: from here on every packet there is dropped"));
        self.cutting = Some(std::thread::spawn(move || lab.cut(&dev, true)));
        Ok(plan.egress.dev.clone())
    }

    fn tick(&mut self, now: &Snapshot) {
        self.view.draw(now);
    }
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
