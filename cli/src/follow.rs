//! Interfaces that come and go while connections live: the paths follow them.
//!
//! Each change is a reason to ask again which ways there are. A way that is gone takes its path out of use, one that
//! is back brings it back, a new one gets a path of its own. With forwarders (`--via`), they are spread over the ways anew.

use crate::device::open_tun;
use crate::output::Printer;
use crate::session::describe;
use crate::spread::Spread;
use mpuser_engine::addr::InterfaceId;
use mpuser_tun::device::Offload;
use mpuser_tun::net::{
    self, Egress, NatMode, NetError, PathOptions, PathPlan, PathSet, PathSpec, Watch,
};
use mpuser_tun::{PathConfig, Stack};
use serde_json::json;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::task::AbortHandle;

/// Where ways are looked for.
#[derive(Clone, Debug)]
pub(crate) enum Search {
    /// Towards a peer.
    To(IpAddr),
    /// Towards forwarders, each of which has its way; only ways that one of them takes are of use.
    Through(Spread),
    /// For clients that come in, to this address if to one only.
    In(Option<IpAddr>),
    /// To destinations nobody knows yet.
    Out,
}

/// What paths are made of.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    /// Where ways are looked for.
    pub(crate) search: Search,
    /// Those the user named; all without.
    pub(crate) specs: Vec<PathSpec>,
    /// A further one through each of these.
    pub(crate) gateways: Vec<IpAddr>,
    /// Whether addresses are translated.
    pub(crate) nat: NatMode,
    /// Whether devices are asked for offload.
    pub(crate) offload: Offload,
}

impl Wishes {
    /// The ways there are now. One that was asked for and is not there is left out.
    fn ways(&mut self) -> Vec<Egress> {
        let Self { search, specs, gateways, .. } = self;
        match search {
            Search::To(peer) => towards(*peer, specs, gateways),
            Search::Through(spread) => spread.again(|via| towards(via.ip(), specs, gateways)),
            Search::In(address) => each(specs, |specs| net::ways_in(*address, specs)),
            Search::Out => each(specs, net::ways_out),
        }
    }

    const fn peer(&self) -> Option<IpAddr> {
        match self.search {
            Search::To(peer) => Some(peer),
            Search::Through(_) | Search::In(_) | Search::Out => None,
        }
    }
}

/// All without `specs`, else those of them that are there.
fn each(
    specs: &[PathSpec],
    resolve: impl Fn(&[PathSpec]) -> Result<Vec<Egress>, NetError>,
) -> Vec<Egress> {
    if specs.is_empty() {
        return resolve(&[]).unwrap_or_default();
    }
    specs.iter().filter_map(|spec| resolve(std::slice::from_ref(spec)).ok()).flatten().collect()
}

/// Those to one address, and those through each gateway.
fn towards(to: IpAddr, specs: &[PathSpec], gateways: &[IpAddr]) -> Vec<Egress> {
    let mut ways = each(specs, |specs| net::resolve(to, specs));
    let through = |gateway: &IpAddr| net::through_gateways(to, &[*gateway]).ok();
    ways.extend(gateways.iter().filter_map(through).flatten());
    ways
}

/// The sets of paths of a process: the first one, and one for each that came later.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathSets {
    sets: Arc<Mutex<Vec<PathSet>>>,
    /// The port clients are let in to.
    port: Arc<OnceLock<u16>>,
}

impl PathSets {
    /// With the first one.
    pub(crate) fn new(first: PathSet) -> Self {
        Self { sets: Arc::new(Mutex::new(vec![first])), port: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PathSet>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets clients in to `port` of the interfaces' own addresses, also of those that come later.
    pub(crate) fn let_in(&self, port: u16) -> Result<(), NetError> {
        // the first one counts: a process listens once
        let _ = self.port.set(port);
        self.lock().iter_mut().try_for_each(|set| set.let_in(port))
    }

    /// Takes all back; the first error is the result.
    pub(crate) fn undo(&self) -> Result<(), NetError> {
        self.lock().iter_mut().map(PathSet::undo).fold(Ok(()), Result::and)
    }
}

/// A path that was made, and whether its way is there.
#[derive(Debug)]
struct Known {
    way: Egress,
    interface: InterfaceId,
    /// The stack's address there.
    local: IpAddr,
    present: bool,
}

/// The task that follows; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Follower(AbortHandle);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    /// Follows changes from now on. The stack has one path for each of `plans`, in that order.
    pub(crate) fn start(
        stack: &Stack,
        sets: &PathSets,
        plans: &[PathPlan],
        wishes: Wishes,
        printer: Printer,
    ) -> Result<Self, NetError> {
        let mut watch = Watch::start()?;
        let known = plans.iter().zip(0..).map(|(plan, number)| Known {
            way: plan.egress.clone(),
            interface: InterfaceId(number),
            local: plan.engine,
            present: true,
        });
        let mut state = State {
            stack: stack.clone(),
            sets: sets.clone(),
            known: known.collect(),
            wishes,
            printer,
        };
        let task = tokio::spawn(async move {
            loop {
                watch.changed().await;
                // asks and drives `ip`, which takes milliseconds
                tokio::task::block_in_place(|| state.reconcile());
            }
        });
        Ok(Self(task.abort_handle()))
    }
}

#[derive(Debug)]
struct State {
    stack: Stack,
    sets: PathSets,
    known: Vec<Known>,
    wishes: Wishes,
    printer: Printer,
}

/// The same way, whatever it is called.
pub(crate) fn same(a: &Egress, b: &Egress) -> bool {
    (&a.dev, a.local, a.gateway) == (&b.dev, b.local, b.gateway)
}

impl State {
    fn reconcile(&mut self) {
        let ways = self.wishes.ways();
        for known in self.known.iter_mut().filter(|known| known.present) {
            if !ways.iter().any(|way| same(way, &known.way)) {
                known.present = false;
                self.stack.set_present(known.interface, false);
                tell(self.printer, "path_removed", "is gone", &known.way);
            }
        }
        for way in &ways {
            match self.known.iter_mut().find(|known| same(&known.way, way)) {
                Some(known) if known.present => lead(&self.stack, &self.wishes, way, known.local),
                Some(known) => {
                    // the kernel removed routes when the interface went
                    let refreshed = self.sets.lock().iter().try_for_each(PathSet::refresh);
                    if let Err(error) = refreshed {
                        complain(self.printer, way, &error);
                        continue;
                    }
                    known.present = true;
                    lead(&self.stack, &self.wishes, way, known.local);
                    self.stack.set_present(known.interface, true);
                    tell(self.printer, "path_restored", "is back", way);
                }
                None => match self.add(way) {
                    Ok(known) => {
                        self.known.push(known);
                        tell(self.printer, "path_added", "is new", way);
                    }
                    Err(error) => complain(self.printer, way, &error),
                },
            }
        }
    }

    /// A path for a way that was not there before.
    fn add(&self, way: &Egress) -> Result<Known, NetError> {
        let wishes = &self.wishes;
        let options =
            PathOptions { dest: wishes.peer(), nat: wishes.nat, ..PathOptions::default() };
        let open = |plan: &PathPlan| open_tun(plan, wishes.offload, &self.printer);
        let (mut set, devices) = PathSet::setup(std::slice::from_ref(way), &options, open)?;
        if let Some(peer) = wishes.peer() {
            set.verify(peer)?;
        }
        if let Some(port) = self.sets.port.get() {
            set.let_in(*port)?;
        }
        let cannot = |error: &std::io::Error| NetError::io("cannot add the path", error);
        let nothing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let both = set.paths().first().cloned().zip(devices.into_iter().next());
        let (plan, device) = both.ok_or_else(|| cannot(&nothing()))?;
        self.printer.detail(&describe(&plan));
        let local = plan.engine;
        // before the address is there: nobody else is to use it first
        lead(&self.stack, wishes, way, local);
        let path = PathConfig::new(device, local).name(way.name.clone());
        let path = path.outlet(way.dev.clone()).backup(way.backup);
        let interface = self.stack.add_path(path).map_err(|error| cannot(&error))?;
        self.sets.lock().push(set);
        Ok(Known { way: way.clone(), interface, local, present: true })
    }
}

/// The forwarders that are to be reached by this way are: from the stack's address there.
fn lead(stack: &Stack, wishes: &Wishes, way: &Egress, local: IpAddr) {
    if let Search::Through(spread) = &wishes.search {
        spread.by(way).for_each(|via| stack.relocate_via(via, local));
    }
}

fn tell(printer: Printer, event: &str, words: &str, way: &Egress) {
    printer.line(&format!("path {} {words} ({} {})", way.name, way.dev, way.local));
    let address = way.local.to_string();
    printer.object(&json!({
        "schema": "mpuser.event/1", "event": event, "path": way.name, "dev": way.dev, "address": address,
    }));
}

fn complain(printer: Printer, way: &Egress, error: &NetError) {
    printer.detail(&format!("path {} not yet: {}: {}", way.name, error.message, error.because));
}
