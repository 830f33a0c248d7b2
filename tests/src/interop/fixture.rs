//! A lab for the scenarios of one file, and stacks in its client.

use super::peer::{Peer, ports};
use crate::boxed::Boxed;
use mpuser_engine::config::ConnectionConfig;
use mpuser_sim::{Link, LinkConfig};
use mpuser_tun::device::{Faults, Faulty, Offload, PlainTun, Tun};
use mpuser_tun::lab::{self, Lab, LabOptions};
use mpuser_tun::net::{self, Egress, ErrorKind, NetError, PathOptions, PathPlan, PathSet};
use mpuser_tun::{CaptureWriter, PathConfig, Stack, clock};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The kernel server's first address.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 56, 101));
/// The engine's first address.
pub const ENGINE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 83, 56, 2));

/// How long connections may take to close when a scenario is over.
const CLOSING: Duration = Duration::from_secs(5);

/// How a stack is made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Settings of its connections.
    pub connection: ConnectionConfig,
    /// What happens to packets of each path, sending and receiving; the seed is made different for each.
    pub faults: Option<fn(seed: u64) -> Faults>,
    /// Middleboxes by path, the first nearest to us.
    pub boxes: Vec<(usize, String)>,
    /// The emulated link of each path, as `mpuser link` writes it; behind it come the boxes.
    pub links: Vec<String>,
    /// Seed of the faults, links and boxes.
    pub seed: u64,
    /// How many of the three paths it has.
    pub paths: usize,
    /// The paths' MTU; by default that of the interfaces.
    pub mtu: Option<u32>,
    /// Where its connections go, so that paths lead there.
    pub dest: IpAddr,
    /// Its paths one by one, instead: an interface and a destination of the family wanted.
    pub ways: Vec<(&'static str, IpAddr)>,
    /// Connections may still have a subflow on a lost path when all is over, and are aborted then.
    pub dead_subflows: bool,
    /// Whether devices are asked for offload, those with nothing in front of them. By default they are, unless the
    /// environment says `MPUSER_OFFLOAD=off`.
    pub offload: Offload,
    /// A capture is written, and kept after a failure.
    pub capture: bool,
    /// Bytes of every packet in the capture that is kept after a failure; 0 is all.
    pub snaplen: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            connection: ConnectionConfig::default(),
            faults: None,
            boxes: Vec::new(),
            links: Vec::new(),
            seed: 1,
            paths: 3,
            mtu: None,
            dest: SERVER,
            ways: Vec::new(),
            dead_subflows: false,
            offload: offload(),
            capture: true,
            snaplen: 128,
        }
    }
}

fn offload() -> Offload {
    let off = std::env::var("MPUSER_OFFLOAD").is_ok_and(|wish| wish == "off");
    if off { Offload::Off } else { Offload::Auto }
}

impl Setup {
    /// With DSS checksums or without.
    #[must_use]
    pub fn checksum(mut self, on: bool) -> Self {
        self.connection.checksum = on;
        self
    }
}

/// The lab of a file. It is gone when this is dropped.
#[derive(Debug)]
pub struct Fixture {
    lab: Lab,
    file: String,
    test: String,
    captures: AtomicU32,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = lab::down(&self.lab.state().name);
    }
}

impl Fixture {
    /// Builds the lab; its name is the process' own, so that files may run at the same time.
    #[must_use]
    pub fn up(file: &str, options: LabOptions) -> Self {
        let name = format!("i{}-{}", std::process::id(), file.replace('_', "-"));
        let lab = lab::up(&LabOptions { name, ..options }).unwrap_or_else(|e| panic!("{e}"));
        Self { lab, file: file.to_owned(), test: String::new(), captures: AtomicU32::new(0) }
    }

    /// Puts the lab in order for the next scenario.
    pub(super) fn begin(&mut self, test: &str) {
        self.test = test.to_owned();
        self.captures.store(0, Ordering::Relaxed);
        self.lab.restore().unwrap_or_else(|e| panic!("{e}"));
        self.sysctl("server", "net/mptcp/checksum_enabled", "0");
        self.sysctl("server", "net/mptcp/enabled", "1");
    }

    /// The lab.
    #[must_use]
    pub const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Sets a sysctl of a node.
    pub fn sysctl(&self, node: &str, key: &str, value: &str) {
        let write = || std::fs::write(format!("/proc/sys/{key}"), value);
        self.lab
            .in_namespace(node, write)
            .unwrap()
            .unwrap_or_else(|e| panic!("{key}={value}: {e}"));
    }

    /// Runs a program in a node; what it prints.
    pub fn output(&self, node: &str, argv: &[&str]) -> String {
        let argv: Vec<String> = argv.iter().map(|s| (*s).to_owned()).collect();
        let run = || Command::new(&argv[0]).args(&argv[1..]).output();
        let out =
            self.lab.in_namespace(node, run).unwrap().unwrap_or_else(|e| panic!("{argv:?}: {e}"));
        assert!(out.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// The Python server in the server's namespace, one port for each of its modes.
    #[must_use]
    pub fn kernel_server(&self) -> Peer {
        self.peer("server", "server.py", &["mptcp", &ports()].join(" "))
    }

    /// A Python peer in a node.
    #[must_use]
    pub fn peer(&self, node: &str, script: &str, arguments: &str) -> Peer {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/");
        let mut command = Command::new("python3");
        command.arg(format!("{path}{script}")).args(arguments.split_whitespace());
        Peer::start(command, |c| self.lab.spawn(node, c).unwrap_or_else(|e| panic!("{e}")))
    }

    /// Where captures of failures go.
    fn capture_path(&self) -> PathBuf {
        let exe = std::env::current_exe().unwrap();
        let dir = exe.ancestors().nth(2).unwrap().join("interop");
        std::fs::create_dir_all(&dir).unwrap();
        let number = self.captures.fetch_add(1, Ordering::Relaxed);
        dir.join(format!("{}-{}-{number}.pcapng", self.file, self.test))
    }

    /// Runs a scenario with a stack in the client's namespace: its own TUN devices, routes and runtime. The capture
    /// of all of it is kept if the scenario panics.
    pub fn client<T: Send>(
        &self,
        setup: &Setup,
        scenario: impl AsyncFnOnce(&Stack) -> T + Send,
    ) -> T {
        let kept = Kept(self.capture_path());
        let path = kept.0.clone();
        let outcome = self.lab.in_namespace("client", || on_paths(setup, &path, scenario));
        drop(kept);
        outcome.unwrap_or_else(|e| panic!("{e}"))
    }

    /// As [`Fixture::client`], with what to do with the complete capture.
    pub fn captured<T: Send>(
        &self,
        setup: &Setup,
        scenario: impl AsyncFnOnce(&Stack) -> T + Send,
        look: impl FnOnce(&std::path::Path, T),
    ) {
        let kept = Kept(self.capture_path());
        let path = kept.0.clone();
        let outcome = self.lab.in_namespace("client", || on_paths(setup, &path, scenario));
        look(&path, outcome.unwrap_or_else(|e| panic!("{e}")));
        drop(kept);
    }
}

/// A capture that is deleted unless the thread panics.
struct Kept(PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("capture kept: {}", self.0.display());
        } else {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Opens a TUN device in the namespace of the calling thread.
///
/// # Errors
/// What the kernel says.
pub fn open_tun(name: &str) -> net::Result<PlainTun> {
    PlainTun::open(name).map_err(|e| unopened(name, &e))
}

fn unopened(name: &str, error: &std::io::Error) -> NetError {
    let what = format!("cannot open {name}");
    NetError::new(ErrorKind::Permission, what, error.to_string(), "run as root")
}

/// The ways out that the setup asks for, in the namespace of the calling thread.
fn ways(setup: &Setup) -> Vec<Egress> {
    let discover = |dest| net::discover(dest).unwrap_or_else(|e| panic!("{e}"));
    if setup.ways.is_empty() {
        let mut all = discover(setup.dest);
        all.truncate(setup.paths);
        return all;
    }
    let one = |(dev, dest): &(&'static str, IpAddr)| {
        let way = discover(*dest).into_iter().find(|way| way.dev == *dev);
        way.unwrap_or_else(|| panic!("no way to {dest} by {dev}"))
    };
    setup.ways.iter().map(one).collect()
}

/// The device with the link and the boxes of its path in front of it.
fn boxed(setup: &Setup, path: usize, device: Tun) -> Boxed<Tun> {
    let boxes = setup.boxes.iter().filter(|(at, _)| *at == path).map(|(_, text)| text.clone());
    let mut config = setup.links.get(path).map_or_else(LinkConfig::default, |text| {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    });
    config.boxes.extend(boxes);
    let link = Link::new(config, setup.seed, clock::now()).unwrap_or_else(|e| panic!("{e}"));
    Boxed::new(device, link)
}

fn on_paths<T>(
    setup: &Setup,
    capture: &std::path::Path,
    scenario: impl AsyncFnOnce(&Stack) -> T,
) -> T {
    let ways = ways(setup);
    let options = PathOptions { dest: Some(setup.dest), mtu: setup.mtu, ..PathOptions::default() };
    // What stands in front of a device handles packets, and those have checksums.
    let bare = setup.faults.is_none() && setup.links.is_empty() && setup.boxes.is_empty();
    let offload = if bare { setup.offload } else { Offload::Off };
    let open = |plan: &PathPlan| Tun::open(&plan.tun, offload).map_err(|e| unopened(&plan.tun, &e));
    let (mut set, devices) =
        PathSet::setup(&ways, &options, open).unwrap_or_else(|e| panic!("{e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async {
        let mut builder = Stack::builder().connection(setup.connection.clone());
        if setup.capture {
            let file = std::fs::File::create(capture).unwrap();
            builder = builder.capture(CaptureWriter::new(file).snaplen(setup.snaplen));
        }
        for (index, (plan, device)) in set.paths().iter().zip(devices).enumerate() {
            let seed = setup.seed * 100 + index as u64 * 2;
            let path = match setup.faults {
                Some(faults) => PathConfig::new(
                    Faulty::new(device, faults(seed), faults(seed + 1)),
                    plan.engine,
                ),
                None if index < setup.links.len()
                    || setup.boxes.iter().any(|(path, _)| *path == index) =>
                {
                    PathConfig::new(boxed(setup, index, device), plan.engine)
                }
                None => PathConfig::new(device, plan.engine),
            };
            builder = builder.path(path.name(plan.egress.dev.clone()));
        }
        let stack = builder.build().unwrap();
        let outcome = scenario(&stack).await;
        let counters = stack.counters();
        let limit = if setup.dead_subflows { Duration::ZERO } else { CLOSING };
        if let Err(error) = stack.shutdown(limit).await
            && !setup.dead_subflows
        {
            panic!("connections did not close: {error}\n{counters:#?}");
        }
        outcome
    });
    set.undo().unwrap_or_else(|e| panic!("{e}"));
    outcome
}
