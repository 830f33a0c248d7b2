//! Labs: network namespaces with several paths between a client and a server, and the kernel as a
//! peer.
//!
//! The seed lab is a client and a server joined by three links:
//!
//! ```text
//! mpu-seed-client                    mpu-seed-server
//!   eth1 192.168.56.100 ------------- 192.168.56.101 eth1
//!   eth2 192.168.57.100 ------------- 192.168.57.101 eth2
//!   eth3 192.168.58.100 ------------- 192.168.58.101 eth3
//! ```
//!
//! The server routes 10.83.56.0/24, 10.83.57.0/24 and 10.83.58.0/24 to the client by the matching
//! link, so that engines in the client need no address translation. A state file says so, and
//! [`crate::net`] finds it by the identity of the namespace.
//!
//! With [`LabOptions::ipv6`] every address has a counterpart that reads alike: fd00:192:168:56::100,
//! fd00:192:168:56::101 and fd00:10:83:56::/112 on the first link.
//!
//! The lab of [`proxies`] is another one: one network card, and several proxies. In that of [`vm`] the server has another
//! kernel.

mod build;
mod exec;
pub mod peer;
pub mod proxies;
mod state;
pub mod vm;

pub(crate) use exec::show_sys;
pub use exec::{become_in, exec, exec_in, namespace_of};
use proxies::ProxyLab;
use state::Saved;
pub use state::{LabPath, LabPath6, LabState, Node, current};
use vm::VmLab;

use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use serde::{Deserialize, Serialize};

use crate::net::{
    ErrorKind, NetError, Netns, Result, StateLock, ip_json, is_root, named_namespaces,
};

/// The lab that commands mean when they name none.
pub const SEED: &str = "seed";

/// What every namespace of a lab begins with.
pub(crate) const PREFIX: &str = "mpu-";

/// How a lab is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabOptions {
    /// Its name: small letters, digits and hyphens, at most 24.
    pub name: String,
    /// The rate of every link in both directions, as `tc` writes it ("100mbit"); none: unlimited.
    pub rate: Option<String>,
    /// The token bucket's size, as `tc` writes it.
    pub burst: String,
    /// How long a packet may wait in the queue, as `tc` writes it.
    pub latency: String,
    /// The congestion control of every route; `None`: the namespace's default.
    pub congestion: Option<String>,
    /// Whether the server announces its second and third address (ADD_ADDR).
    pub server_signal: bool,
    /// Whether a kernel client opens subflows from its second and third address by itself.
    pub client_subflow: bool,
    /// Whether the server has routes to engine addresses; without, paths need translation.
    pub routed: bool,
    /// Whether the links have IPv6 addresses as well. Without, IPv6 is off on them.
    pub ipv6: bool,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            name: SEED.to_owned(),
            rate: None,
            burst: "64k".to_owned(),
            latency: "50ms".to_owned(),
            // The machine's default may be bbr, which is erratic on a single MPTCP path.
            congestion: Some("cubic".to_owned()),
            server_signal: true,
            client_subflow: false,
            routed: true,
            ipv6: false,
        }
    }
}

/// A lab that is up.
#[derive(Clone, Debug)]
pub struct Lab {
    state: LabState,
}

/// One line of [`list`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabInfo {
    /// Its name.
    pub name: String,
    /// Its namespaces that are there.
    pub namespaces: Vec<String>,
    /// Whether it is whole; what a crash left behind is not, and [`down`] removes it.
    pub whole: bool,
}

fn privileged(what: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    Err(NetError::new(
        ErrorKind::Permission,
        format!("cannot {what}"),
        "network namespaces need root, or a user namespace of your own",
        "run: unshare -Urnm sh -c 'mount -t tmpfs none /run && exec sh', then try again in there",
    ))
}

/// Makes the lab, or finds it as it should be: all links up, nothing cut. A lab of this name with
/// other options, or half a lab, is removed first.
pub fn up(options: &LabOptions) -> Result<Lab> {
    state::check_name(&options.name)?;
    privileged("make the lab's namespaces")?;
    let is_wanted = |state: &LabState| state.options == *options;
    let found = |state: &LabState| Lab { state: state.clone() }.restore();
    let state = find_or_make(&options.name, is_wanted, found, |_| build::build(options))?;
    Ok(Lab { state })
}

/// The lab of this name, made ready by `found` if it stands and is what is wanted. Otherwise whatever there is of that
/// name is removed, and the lab made; `make` gets the state directory. What could not be made is removed, too.
fn find_or_make<S: Saved + Serialize>(
    name: &str,
    is_wanted: impl FnOnce(&S) -> bool,
    found: impl FnOnce(&S) -> Result<()>,
    make: impl FnOnce(&Path) -> Result<S>,
) -> Result<S> {
    let lock = StateLock::take()?;
    forget_vanished(&lock)?;
    if let Some(lab) = state::load::<S>(&lock.dir, name)
        && is_wanted(&lab)
        && lab.stands()
    {
        found(&lab)?;
        return Ok(lab);
    }
    remove(&lock, name)?;
    let made = make(&lock.dir).and_then(|lab| state::save(&lock.dir, name, &lab).map(|()| lab));
    if made.is_err() {
        let _ = remove(&lock, name);
    }
    made
}

/// Removes the lab, or what is left of it; whether anything was there. Programs still running in
/// its namespaces keep running, cut off from each other.
pub fn down(name: &str) -> Result<bool> {
    state::check_name(name)?;
    privileged("remove the lab's namespaces")?;
    remove(&StateLock::take()?, name)
}

/// Removes every lab; their names.
pub fn down_all() -> Result<Vec<String>> {
    let names: Vec<String> = list()?.into_iter().map(|l| l.name).collect();
    names.iter().try_for_each(|n| down(n).map(drop))?;
    Ok(names)
}

/// Deletes the state files of labs without any namespace: what is left of a process that was killed.
fn forget_vanished(lock: &StateLock) -> Result<()> {
    let there = named_namespaces();
    for name in state::saved_names(&lock.dir) {
        if !there.iter().any(|ns| state::lab_of(ns) == Some(&name)) {
            state::delete(&lock.dir, &name)?;
        }
    }
    Ok(())
}

fn remove(lock: &StateLock, name: &str) -> Result<bool> {
    let had_state = state::delete(&lock.dir, name)?;
    let had_guest = vm::stop(&lock.dir, name);
    let had_namespaces = build::remove(name)?;
    Ok(had_state || had_guest || had_namespaces)
}

/// Every lab, whole or not, sorted by name.
pub fn list() -> Result<Vec<LabInfo>> {
    let dir = crate::net::state_dir()?;
    let there = named_namespaces();
    let mut names: Vec<String> =
        there.iter().filter_map(|ns| state::lab_of(ns)).map(str::to_owned).collect();
    names.extend(state::saved_names(&dir));
    names.sort();
    names.dedup();
    Ok(names
        .into_iter()
        .map(|name| LabInfo {
            namespaces: there
                .iter()
                .filter(|ns| state::lab_of(ns) == Some(&name))
                .cloned()
                .collect(),
            whole: state::load::<LabState>(&dir, &name).is_some_and(|s| s.is_whole())
                || state::load::<ProxyLab>(&dir, &name).is_some_and(|s| s.stands())
                || state::load::<VmLab>(&dir, &name).is_some_and(|s| s.stands()),
            name,
        })
        .collect())
}

/// The lab `name` that is up.
pub fn open(name: &str) -> Result<Lab> {
    state::check_name(name)?;
    let dir = crate::net::state_dir()?;
    let state = state::load(&dir, name).filter(LabState::is_whole);
    state.map(|state| Lab { state }).ok_or_else(|| {
        NetError::new(
            ErrorKind::NotFound,
            format!("the lab {name} is not up"),
            "its state file or one of its namespaces is missing",
            "run `mpuser lab up`",
        )
    })
}

impl Lab {
    /// What it consists of.
    pub const fn state(&self) -> &LabState {
        &self.state
    }

    /// The namespace of `client` or `server`.
    pub fn netns(&self, node: &str) -> Result<Netns> {
        Netns::named(&self.state.node(node)?.namespace)
    }

    /// Runs `f` in the namespace of `node`, on a thread of its own unless the caller is in it.
    pub fn in_namespace<R: Send>(&self, node: &str, f: impl FnOnce() -> R + Send) -> Result<R> {
        self.netns(node)?.run(f)
    }

    /// Runs a program in `node` to its end, with this process' directory, input and output.
    pub fn exec<S: AsRef<std::ffi::OsStr>>(&self, node: &str, argv: &[S]) -> Result<ExitStatus> {
        exec_in(&self.state.node(node)?.namespace, argv)
    }

    /// Starts a program in `node`.
    pub fn spawn(&self, node: &str, command: Command) -> Result<Child> {
        exec::spawn(&self.state.node(node)?.namespace, command)
    }

    /// The link with the interface `dev`.
    pub fn path(&self, dev: &str) -> Result<&LabPath> {
        self.state.paths.iter().find(|p| p.dev == dev).ok_or_else(|| {
            let there: Vec<&str> = self.state.paths.iter().map(|p| p.dev.as_str()).collect();
            NetError::new(
                ErrorKind::NotFound,
                format!("the lab {} has no path {dev}", self.state.name),
                format!("its paths are {}", there.join(", ")),
                "name one of them",
            )
        })
    }

    /// Sets both ends of a link up or down. Both kernels notice.
    pub fn set_link(&self, dev: &str, up: bool) -> Result<()> {
        build::set_link(&self.state, self.path(dev)?, up)
    }

    /// Drops everything that arrives at either end of a link, without a word to anybody, or stops
    /// doing so. Needs the classifier `cls_bpf`, which every distribution's kernel has.
    pub fn cut(&self, dev: &str, cut: bool) -> Result<()> {
        build::cut(&self.state, self.path(dev)?, cut)
    }

    /// Sets the rate of a link in both directions ("20mbit"), or takes the limit away.
    pub fn set_rate(&self, dev: &str, rate: Option<&str>) -> Result<()> {
        build::set_rate(&self.state, self.path(dev)?, rate)
    }

    /// All links up, none cut, rates and routes as at the start.
    pub fn restore(&self) -> Result<()> {
        for path in &self.state.paths {
            build::cut(&self.state, path, false)?;
            build::set_link(&self.state, path, true)?;
            build::set_rate(&self.state, path, self.state.options.rate.as_deref())?;
        }
        Ok(())
    }
}

/// Runs `f` in a named namespace; `client` and `server` are those of the seed lab.
pub fn in_namespace<R: Send>(node: &str, f: impl FnOnce() -> R + Send) -> Result<R> {
    Netns::named(&namespace_of(node)?)?.run(f)
}

/// The names of the interfaces in a namespace.
fn devices_in(namespace: &str) -> Result<Vec<String>> {
    let links = ip_json(&["-n", namespace, "link", "show"])?;
    let name = |l: &serde_json::Value| l.get("ifname").and_then(|n| n.as_str()).map(str::to_owned);
    Ok(links.as_array().map(|a| a.iter().filter_map(name).collect()).unwrap_or_default())
}
