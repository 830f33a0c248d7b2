//! What the demos in labs share: the lab that goes when the demo ends, and one transfer over a real stack.

use super::transfer::{self, Measured, Plan, Snapshot, Stage};
use super::view::LiveView;
use super::{engine_seed, or_stop};
use crate::args::Demo;
use crate::error::Failure;
use crate::output::Printer;
use crate::session::{Session, Setup, connect_failure, settle};
use crate::streams::Lead;
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use mpuser_tun::MptcpStream;
use mpuser_tun::device::Offload;
use mpuser_tun::lab;
use mpuser_tun::net::{Egress, NatMode, NetError};
use std::net::SocketAddr;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// What a demo's lab is called, before the number of its process.
const STEM: &str = "demo";

/// The lab of one demo; gone when dropped, whatever the reason.
pub(super) struct Guard {
    /// Its name.
    pub(super) name: String,
    keep: bool,
    printer: Printer,
}

impl Guard {
    /// For the lab that is about to be made.
    pub(super) fn new(args: &Demo, printer: Printer) -> Result<Self, Failure> {
        clear_dead_demos()?;
        let name = match args.keep {
            true => STEM.to_owned(),
            // two demos at once must not share a lab
            false => format!("{STEM}-{}", std::process::id()),
        };
        Ok(Self { name, keep: args.keep, printer })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let name = &self.name;
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

/// A path that is about to be cut: its name, and what cuts it.
pub(super) struct Cut {
    pub(super) path: String,
    pub(super) work: Box<dyn FnOnce() -> Result<(), NetError> + Send>,
}

/// Which path to cut, given the busiest subflow.
pub(super) type Cutter<'a> =
    &'a (dyn Fn(&Session, Option<&SubflowInfo>) -> Result<Cut, Failure> + 'a);

/// The transfer by our engine over `ways`; the first subflow goes to `remote`. Runs in the client's namespace.
pub(super) async fn engine(
    args: &Demo,
    printer: Printer,
    (config, ways, vias): (ConnectionConfig, Vec<Egress>, Vec<(SocketAddr, usize)>),
    remote: SocketAddr,
    cutter: Cutter<'_>,
    stop: &mut mpsc::Receiver<crate::error::Code>,
) -> Result<Measured, Failure> {
    let setup = Setup {
        title: Some("demo".to_owned()),
        follow: None,
        orders: Vec::new(),
        endpoint: EndpointConfig::default(),
        config,
        capture: Some(crate::session::capture(&args.pcap, super::SNAPLEN)?),
        recorder: None,
        nat: NatMode::Auto,
        vias: vias.into_iter().map(|(remote, way)| Lead::Way(remote, way)).collect(),
        offload: if args.no_offload { Offload::Off } else { Offload::Auto },
        seed: Some(engine_seed(args.seed, 1)),
    };
    let session = Session::over(&ways, setup, Some(remote.ip()), &printer)?;
    let outcome = or_stop(exchange(args, printer, &session, remote, cutter), stop).await;
    let closed = session.close().await;
    let measured = outcome?;
    closed.map(|()| measured)
}

async fn exchange(
    args: &Demo,
    printer: Printer,
    session: &Session,
    remote: SocketAddr,
    cutter: Cutter<'_>,
) -> Result<Measured, Failure> {
    let connecting = session.stack.connect(remote).await;
    let stream = connecting.map_err(|error| connect_failure(remote, &error))?;
    let (reader, mut writer) = stream.into_split();
    let stream = reader.as_ref();
    let view = LiveView::new(printer);
    let mut stage = LabStage { stream, session, cutter, view, cutting: None };
    let plan = Plan { size: args.size, seed: args.seed };
    let measured = transfer::run(&mut &*stream, &mut writer, plan, &mut stage).await;
    stage.cut_done()?;
    settle(stream).await;
    measured
}

struct LabStage<'a> {
    stream: &'a MptcpStream,
    session: &'a Session,
    cutter: Cutter<'a>,
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
        let Cut { path, work } = (self.cutter)(self.session, busiest)?;
        self.view.say(&format!("cut {path}: from here on every packet there is dropped"));
        self.cutting = Some(std::thread::spawn(work));
        Ok(path)
    }

    fn tick(&mut self, now: &Snapshot) {
        self.view.draw(now);
    }
}
