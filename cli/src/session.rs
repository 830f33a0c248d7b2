//! A stack over this machine's paths: devices, addresses, routes and translation, all taken back at the end.

use crate::args::{FastOpenArg, Nat, Switch, Transport};
use crate::device::open_tun;
use crate::error::{Code, Failure, plain_words};
use crate::follow::{Follower, PathSets, Search, Wishes};
use crate::output::Printer;
use crate::settings::Order;
use crate::spread::Spread;
use crate::streams::{self, Lead, Notes};
use crate::via::Hop;
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, FastOpen, PathManagerKind};
use mpuser_engine::error::{ConnectError, ConnectionError};
use mpuser_tun::control::ControlServer;
use mpuser_tun::device::{Offload, Tun};
use mpuser_tun::net::doctor::{Level, preflight};
use mpuser_tun::net::{
    self, Egress, NatMode, NetError, PathOptions, PathPlan, PathSet, PathSpec, Reach,
};
use mpuser_tun::{CaptureWriter, Error, MptcpStream, Multipath, PathConfig, Recorder, Stack};
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

/// How long the last bytes may take to be acknowledged once the user is done: the engine's own limit for closing.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// How long subflows may take to close once both directions of the data have. One on a dead path never does.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A running stack and what it stands on.
#[derive(Debug)]
pub(crate) struct Session {
    /// The stack.
    pub(crate) stack: Stack,
    // first of all: who asks while things are taken down would get half an answer
    control: Option<ControlServer>,
    follower: Option<Follower>,
    notes: Option<Notes>,
    // declared after the stack: devices close first, then routes and addresses go
    paths: PathSets,
    plans: Vec<PathPlan>,
}

/// What a stack is made with.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Of its connections.
    pub(crate) config: ConnectionConfig,
    /// Of the endpoint as a whole.
    pub(crate) endpoint: EndpointConfig,
    /// Where its packets are written.
    pub(crate) capture: Option<CaptureWriter>,
    /// Forwarders that lead to the peer.
    pub(crate) vias: Vec<Lead>,
    /// Where what the engine is given and sends is written down.
    pub(crate) recorder: Option<Recorder>,
    /// Whether its addresses are translated.
    pub(crate) nat: NatMode,
    /// What it draws keys from; the operating system without.
    pub(crate) seed: Option<[u8; 32]>,
    /// Whether devices are asked for offload.
    pub(crate) offload: Offload,
    /// What the process does, for whoever asks over its control socket; it has none without.
    pub(crate) title: Option<String>,
    /// How to find the ways again when interfaces come and go; without, they are as they were.
    pub(crate) follow: Option<Wishes>,
    /// Endpoints and limits.
    pub(crate) orders: Vec<Order>,
}

impl Setup {
    /// As the flags ask for it; opens the capture file.
    pub(crate) fn from_flags(transport: &Transport, title: String) -> Result<Self, Failure> {
        let capture = transport.pcap.as_deref().map(|file| capture(file, transport.snaplen));
        let nat = match transport.nat {
            Nat::Auto => NatMode::Auto,
            Nat::Masquerade => NatMode::Masquerade,
            Nat::None => NatMode::None,
        };
        Ok(Self {
            config: connection_config(transport),
            endpoint: transport.settings.endpoint.clone(),
            capture: capture.transpose()?,
            vias: Vec::new(),
            recorder: recorder(transport)?,
            nat,
            seed: None,
            offload: if transport.no_offload { Offload::Off } else { Offload::Auto },
            title: Some(title),
            follow: None,
            orders: transport.orders.clone(),
        })
    }
}

impl Setup {
    /// What paths are made of, for whoever makes more of them later.
    pub(crate) fn wishes(&self, search: Search, transport: &Transport) -> Wishes {
        let (specs, gateways) = (transport.path.clone(), transport.gateway.clone());
        Wishes { search, specs, gateways, nat: self.nat, offload: self.offload }
    }
}

/// The configuration the settings and, before them, the flags ask for.
pub(crate) fn connection_config(transport: &Transport) -> ConnectionConfig {
    let mut config = transport.settings.connection.clone();
    config.tcp.congestion = transport.cc.unwrap_or(config.tcp.congestion);
    config.checksum = transport.checksum.map_or(config.checksum, |wish| wish == Switch::On);
    config.fast_open = match transport.fast_open {
        None => config.fast_open,
        Some(FastOpenArg::Cookie) => FastOpen::Cookie,
        Some(FastOpenArg::NoCookie) => FastOpen::WithoutCookie,
    };
    config.scheduler = transport.sched.clone().unwrap_or(config.scheduler);
    let binder = (!transport.gateway.is_empty()).then_some(PathManagerKind::Binder);
    config.path_manager = transport.pm.or(binder).unwrap_or(config.path_manager);
    if transport.no_join {
        config.join_from_local = false;
        config.join_announced = false;
        config.max_extra_subflows = 0;
    }
    config
}

impl Session {
    /// Sets up paths towards the first of `remotes` that can be reached, and a stack over them; with `vias`, their ways
    /// are the paths, and the first of them is where the first subflow goes. Call it inside the runtime.
    pub(crate) fn open(
        transport: &Transport,
        remotes: &[SocketAddr],
        vias: &[Hop],
        title: String,
        printer: &Printer,
    ) -> Result<(Self, SocketAddr), Failure> {
        let packets = streams::packets(vias);
        let (spread, vias) = spread(transport, vias)?;
        let ways = spread.ways();
        let (peer, remote, ways) = match vias.first() {
            Some(first) => (packets.first().copied(), first.remote(), ways),
            None => {
                let (remote, ways) = reachable(&transport.path, &transport.gateway, remotes)?;
                (Some(remote), remote, ways)
            }
        };
        let peer = peer.map(|peer| peer.ip());
        if let Some(peer) = peer {
            check(peer, &ways, printer)?;
        }
        // before anything is changed: a file that cannot be written is the cheaper mistake
        let mut setup = Setup::from_flags(transport, title)?;
        if !vias.is_empty() {
            // what the server announces is behind the forwarders, too
            setup.config.path_manager = transport.pm.unwrap_or(PathManagerKind::Default);
            setup.vias = vias;
        }
        // a peer on this machine is reached by no interface
        let local = ways.iter().any(|way| way.reach == Reach::Local);
        if let Some(peer) = peer.filter(|_| !local) {
            let direct = setup.vias.is_empty();
            let search = if direct { Search::To(peer) } else { Search::Through(spread) };
            setup.follow = Some(setup.wishes(search, transport));
        }
        Ok((Self::over(&ways, setup, peer, printer)?, remote))
    }

    /// Sets up paths to destinations nobody knows yet, of both families, and a stack over them. Call it inside the
    /// runtime.
    pub(crate) fn anywhere(
        transport: &Transport,
        title: String,
        printer: &Printer,
    ) -> Result<Self, Failure> {
        let mut ways = net::ways_out(&transport.path)?;
        for gateway in &transport.gateway {
            let any: IpAddr = match gateway {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            ways.extend(net::through_gateways(any, &[*gateway])?);
        }
        let mut setup = Setup::from_flags(transport, title)?;
        setup.follow = Some(setup.wishes(Search::Out, transport));
        Self::over(&ways, setup, None, printer)
    }

    /// Sets up paths by `ways` and a stack over them.
    pub(crate) fn over(
        ways: &[Egress],
        setup: Setup,
        peer: Option<IpAddr>,
        printer: &Printer,
    ) -> Result<Self, Failure> {
        if let Some(note) = shared_interfaces(ways.len(), net::physical_paths(ways)) {
            printer.line(&note);
        }
        let peer = peer.filter(|_| setup.vias.is_empty());
        let (paths, plans, devices) = lay(ways, peer, (setup.nat, setup.offload), printer)?;
        let mut builder = Stack::builder().endpoint(setup.endpoint).connection(setup.config);
        if plans.is_empty() {
            builder = builder.streams_only();
        }
        for (plan, device) in plans.iter().zip(devices) {
            printer.detail(&describe(plan));
            let path = PathConfig::new(device, plan.engine).name(plan.egress.name.clone());
            let path = path.outlet(plan.egress.dev.clone());
            builder = builder.path(path.backup(plan.egress.backup));
        }
        if let Some(capture) = setup.capture {
            builder = builder.capture(capture);
        }
        if let Some(recorder) = setup.recorder {
            builder = builder.record(recorder);
        }
        if let Some(seed) = setup.seed {
            builder = builder.seed(seed);
        }
        let stack = builder.build().map_err(|error| stack_failure(&error))?;
        let streams = setup.vias.iter().any(|lead| matches!(lead, Lead::Stream(_)));
        streams::lead(&stack, setup.vias, |way| plans.get(way).map(|plan| plan.engine))?;
        let notes = streams.then(|| Notes::start(&stack, true, *printer));
        multipath(&stack, ways, printer)?;
        for order in &setup.orders {
            let done = stack.ip_mptcp(&order.line);
            done.map_err(|refusal| order.refused(&refusal.because))?;
        }
        let follow = |wishes| Follower::start(&stack, &paths, &plans, wishes, *printer);
        let follower = setup.follow.map(follow).transpose()?;
        let control = setup.title.map(|title| ControlServer::start(&stack, title)).transpose();
        // it runs without being asked anything, too
        let control = control.unwrap_or_else(|error| {
            printer.line(&format!("note: {}: {}", error.message, error.because));
            None
        });
        Ok(Self { stack, control, follower, notes, paths, plans })
    }

    /// Takes in streams, and tells of those that were turned away.
    pub(crate) async fn listen_streams(
        &mut self,
        word: &str,
        printer: &Printer,
    ) -> Result<streams::Taken, Failure> {
        self.notes = Some(Notes::start(&self.stack, false, *printer));
        streams::listen(&self.stack, word).await
    }

    /// The paths, in order.
    pub(crate) fn plans(&self) -> &[PathPlan] {
        &self.plans
    }

    /// Lets clients in to `port` of the interfaces' own addresses where those are translated.
    pub(crate) fn let_in(&self, port: u16) -> Result<(), Failure> {
        Ok(self.paths.let_in(port)?)
    }

    /// Lets connections close, completes the capture, and takes paths back.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let Self { stack, control, follower, notes, paths, .. } = self;
        drop((control, follower, notes));
        let (capture_error, record_error) = (stack.capture_error(), stack.record_error());
        // connections that would not close were aborted: the user has his data or his error already
        let _ = stack.shutdown(CLOSE_LIMIT).await;
        paths.undo()?;
        if let Some(kind) = record_error {
            let help = "check that there is room for the file";
            return Err(Failure::new(Code::Io, "the log of --record is incomplete", kind, help));
        }
        complete(capture_error)
    }
}

/// Whether all of a capture was written; whoever reads it and leaves has seen enough.
pub(crate) fn complete(error: Option<std::io::ErrorKind>) -> Result<(), Failure> {
    let Some(kind) = error.filter(|kind| *kind != std::io::ErrorKind::BrokenPipe) else {
        return Ok(());
    };
    let help = "check that there is room for the file";
    Err(Failure::new(Code::Io, "the capture is incomplete", kind, help))
}

/// The first address that some path leads to; a name may have one of a family this machine does not speak.
pub(crate) fn reachable(
    specs: &[PathSpec],
    gateways: &[IpAddr],
    remotes: &[SocketAddr],
) -> Result<(SocketAddr, Vec<Egress>), Failure> {
    let mut first = None;
    for remote in remotes {
        let outcome = if remote.ip().is_loopback() {
            Err(loopback(*remote))
        } else {
            ways(remote.ip(), specs, gateways).map_err(Failure::from)
        };
        match outcome {
            Ok(ways) => return Ok((*remote, ways)),
            Err(failure) => first = first.or(Some(failure)),
        }
    }
    Err(first.unwrap_or_else(|| Failure::internal("there is no address", "the name gave none")))
}

/// The ways the user named or there are, and one through each gateway.
fn ways(peer: IpAddr, specs: &[PathSpec], gateways: &[IpAddr]) -> Result<Vec<Egress>, NetError> {
    let mut ways = net::resolve(peer, specs)?;
    ways.extend(net::through_gateways(peer, gateways)?);
    Ok(ways)
}

/// Paths by `ways`, their plans and devices; without ways there is nothing to be set up.
fn lay(
    ways: &[Egress],
    peer: Option<IpAddr>,
    (nat, offload): (NatMode, Offload),
    printer: &Printer,
) -> Result<(PathSets, Vec<PathPlan>, Vec<Tun>), Failure> {
    if ways.is_empty() {
        return Ok((PathSets::default(), Vec::new(), Vec::new()));
    }
    let options = PathOptions { dest: peer, nat, ..PathOptions::default() };
    let (paths, devices) = PathSet::setup(ways, &options, |plan| open_tun(plan, offload, printer))?;
    for line in &paths.recovered().done {
        printer.detail(&format!("cleaned up after a process that died: {line}"));
    }
    for error in &paths.recovered().left {
        printer.detail(&format!("not cleaned up after a process that died: {}", error.in_a_line()));
    }
    if let Some(peer) = peer {
        paths.verify(peer)?;
    }
    let plans = paths.paths().to_vec();
    Ok((PathSets::new(paths), plans, devices))
}

/// Where each of `vias` leads, and the ways of those that take packets.
fn spread(transport: &Transport, vias: &[Hop]) -> Result<(Spread, Vec<Lead>), Failure> {
    let mut spread = Spread::default();
    for (number, via) in vias.iter().enumerate() {
        if let Hop::Packets(remote) = via {
            let (_, ways) = reachable(&transport.path, &transport.gateway, &[*remote])?;
            if !spread.place(number, *remote, &ways) {
                return Err(Failure::internal("there is no way", "a path had none"));
            }
        }
    }
    let ways = spread.ways();
    let way_of = |remote| {
        let by = |way: &Egress| spread.by(way).any(|via| via == remote);
        ways.iter().position(by).unwrap_or_default()
    };
    let leads = vias.iter().map(|via| match via {
        Hop::Packets(remote) => Lead::Way(*remote, way_of(*remote)),
        Hop::Stream(via) => Lead::Stream(via.clone()),
    });
    let leads = leads.collect();
    Ok((spread, leads))
}

/// Obeys what `mpuser multipath` set before. At least one interface has to be left.
fn multipath(stack: &Stack, ways: &[Egress], printer: &Printer) -> Result<(), Failure> {
    if ways.is_empty() {
        return Ok(());
    }
    let said = net::multipath::remembered()?;
    let is_off = |way: &&Egress| said.get(&way.dev) == Some(&Multipath::Off);
    if let Some(way) = ways.first().filter(|_| ways.iter().all(|way| is_off(&way))) {
        return Err(Failure::new(
            Code::Unreachable,
            "no interface may be used",
            format!("`mpuser multipath` turned {} off", way.dev),
            format!("mpuser multipath dev {} on", way.dev),
        ));
    }
    for (dev, state) in said {
        if stack.set_multipath(&dev, state) > 0 {
            printer
                .line(&format!("note: {dev} is {}, as `mpuser multipath` set it", state.as_str()));
        }
    }
    Ok(())
}

fn loopback(remote: SocketAddr) -> Failure {
    Failure::new(
        Code::Unreachable,
        format!("cannot connect to {remote}"),
        "it is a loopback address, and the kernel drops packets to it on a TUN device",
        "connect to another address of this machine; `ip -br address` lists them",
    )
}

/// Waits until everything written is acknowledged and the peer has ended its data, too, or the connection is over.
/// To abort earlier could take back from a slow peer what it has not read yet.
pub(crate) async fn settle(stream: &MptcpStream) {
    let done = async {
        while stream.info().is_some_and(|info| info.error.is_none() && under_way(info.state)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // what did not settle by now is aborted with the stack
    let _ = tokio::time::timeout(SETTLE_LIMIT, done).await;
}

/// States of the data level in which something is still to be sent or received (RFC 8684 Appendix D).
fn under_way(state: &str) -> bool {
    !matches!(state, "TIME-WAIT" | "CLOSED")
}

/// Paths that leave by one interface fail together, and nobody should take them for more than they are.
fn shared_interfaces(paths: usize, physical: usize) -> Option<String> {
    let plural = if physical == 1 { "" } else { "s" };
    (physical < paths).then(|| {
        format!("note: {paths} paths leave by {physical} interface{plural}: {physical} physical path{plural}")
    })
}

/// What is in the way, before anything is changed.
pub(crate) fn check(peer: IpAddr, ways: &[Egress], printer: &Printer) -> Result<(), Failure> {
    for finding in preflight(peer, ways) {
        match finding.level {
            Level::Ok => printer.detail(&format!("{}: {}", finding.check, finding.detail)),
            Level::Warn => printer.line(&format!("note: {}", finding.detail)),
            Level::Fail => {
                let code =
                    if finding.check == "route" { Code::Unreachable } else { Code::Permission };
                let help = finding.fix.unwrap_or_else(|| "see `mpuser doctor`".to_owned());
                return Err(Failure::new(
                    code,
                    format!("cannot reach {peer}"),
                    finding.detail,
                    help,
                ));
            }
        }
    }
    Ok(())
}

pub(crate) fn describe(plan: &PathPlan) -> String {
    let PathPlan { egress, tun, engine, return_path, mtu, .. } = plan;
    let back = match return_path {
        net::ReturnPath::Local => "this machine",
        net::ReturnPath::Routed => "routed",
        net::ReturnPath::Masquerade => "masqueraded",
    };
    format!("path {}: {engine} on {tun}, out by {} ({back}, MTU {mtu})", egress.name, egress.dev)
}

/// A capture to `file`, or to stdout for `-`.
pub(crate) fn capture(file: &Path, snaplen: u32) -> Result<CaptureWriter, Failure> {
    let snaplen = usize::try_from(snaplen).unwrap_or(usize::MAX);
    if file.as_os_str() == "-" {
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage(
                "a capture cannot go to a terminal",
                "`--pcap -` writes binary data to standard output",
                "pipe it: mpuser ... --pcap - | wireshark -k -i -",
            ));
        }
        return Ok(CaptureWriter::new(std::io::stdout()).snaplen(snaplen).live(true));
    }
    let what = || format!("cannot write the capture {}", file.display());
    let out = std::fs::File::create(file).map_err(|error| Failure::io(what(), &error))?;
    Ok(CaptureWriter::new(out).snaplen(snaplen))
}

/// A log to the file of `--record`, for its owner's eyes only: keys are in it.
fn recorder(transport: &Transport) -> Result<Option<Recorder>, Failure> {
    let Some(file) = &transport.record else { return Ok(None) };
    if transport.sched.as_ref().is_some_and(|spec| spec.factory().is_some()) {
        return Err(Failure::usage(
            "a scheduler script cannot be recorded",
            "the log would have to hold the script to be done again",
            "leave out --record, or take one of the schedulers of `mpuser sched`",
        ));
    }
    let what = || format!("cannot write the log {}", file.display());
    let mut options = std::fs::OpenOptions::new();
    let open = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    let out = open.map_err(|error| Failure::io(what(), &error))?;
    Ok(Some(Recorder::new(out, transport.record_limit)))
}

/// The stack could not be made.
pub(crate) fn stack_failure(error: &std::io::Error) -> Failure {
    Failure::new(
        Code::Setup,
        "cannot start the stack",
        plain_words(error),
        "`mpuser doctor` may know more",
    )
}

/// Why an attempt to connect failed.
pub(crate) fn connect_failure(remote: SocketAddr, error: &std::io::Error) -> Failure {
    let what = format!("cannot connect to {remote}");
    let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match ours {
        Some(Error::Connection(ConnectionError::Refused)) => Failure::new(
            Code::Refused,
            format!("connection to {remote} refused"),
            "the SYN was answered with a RST: nothing listens there, or a firewall rejects it",
            format!(
                "check the port; on the peer `ss -Htln sport = {}` shows a listener",
                remote.port()
            ),
        ),
        Some(
            Error::ConnectTimeout
            | Error::Connection(ConnectionError::ConnectTimeout | ConnectionError::Timeout),
        ) => Failure::new(
            Code::Timeout,
            what,
            "nobody answered the SYN",
            "check the address, and that no firewall drops it; -v shows the paths, --pcap the packets",
        ),
        Some(Error::Connection(error)) => Failure::new(
            Code::Refused,
            what,
            error,
            "--pcap FILE shows the packets of the handshake",
        ),
        Some(Error::Connect(error @ ConnectError::NoLocalAddress)) => Failure::new(
            Code::Unreachable,
            what,
            error,
            "name a path whose interface has an address of the peer's family: --path DEV",
        ),
        Some(Error::Connect(error @ ConnectError::InvalidRemote)) => {
            Failure::usage(what, error, "give the address and port of one host")
        }
        _ => Failure::new(Code::Setup, what, plain_words(error), "`mpuser doctor` may know more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser as _;

    #[test]
    fn paths_that_share_an_interface_are_reported() {
        assert_eq!(shared_interfaces(2, 2), None);
        let note = shared_interfaces(2, 1).expect("a note");
        assert_eq!(note, "note: 2 paths leave by 1 interface: 1 physical path");
    }

    #[test]
    fn loopback_is_refused_with_a_reason() {
        let cli = Cli::try_parse_from(["mpuser", "connect", "localhost:1"]).unwrap();
        let Command::Connect(args) = cli.command else { panic!("not connect") };
        let remotes = [([127, 0, 0, 1], 1).into()];
        let failure = reachable(&args.transport.path, &[], &remotes).unwrap_err();
        assert_eq!(failure.code, Code::Unreachable);
        assert!(failure.because.contains("loopback"));
    }

    #[test]
    fn each_way_to_fail_has_its_code() {
        let remote = SocketAddr::from(([10, 0, 0, 1], 7000));
        for (error, code) in [
            (Error::Connection(ConnectionError::Refused), Code::Refused),
            (Error::Connection(ConnectionError::Reset), Code::Refused),
            (Error::Connection(ConnectionError::ConnectTimeout), Code::Timeout),
            (Error::ConnectTimeout, Code::Timeout),
            (Error::Connect(ConnectError::NoLocalAddress), Code::Unreachable),
            (Error::Connect(ConnectError::InvalidRemote), Code::Usage),
            (Error::StackDown, Code::Setup),
        ] {
            let failure = connect_failure(remote, &error.into());
            assert_eq!(failure.code, code);
            assert!(failure.what.contains("10.0.0.1:7000"));
        }
    }

    #[test]
    fn a_capture_needs_a_place() {
        let failure = capture(Path::new("/no/such/directory/x.pcapng"), 128).unwrap_err();
        assert_eq!(failure.code, Code::Io);
    }
}
