//! TUN devices with addresses, policy routes and translation: planned, applied, taken back.
//!
//! For path N the engine owns one address of a /30 (a /126 in IPv6), the kernel the other one, on
//! the device `mpuN`. A rule sends what comes from the engine's address to table 8300+N, whose
//! default route leaves by the path's interface. Behind it an `unreachable` route keeps the path
//! from slipping out of another interface while its own is down.

#[path = "inbound.rs"]
mod inbound;

use std::net::IpAddr;

use super::command::{ip_batch, ip_json, run};
use super::egress::{Egress, Reach, TUN_PREFIX};
use super::error::{ErrorKind, NetError, Result};
use super::inventory::{Route, interfaces, routes, taken_prefixes, used_numbers};
use super::journal::{self, Journal, Recovered, Step, nft_family};
use super::netns::Netns;
use super::prefix::Prefix;
use super::state::StateLock;
use super::sysctl;
use crate::lab;

/// Table and rule priority of path 0.
const FIRST_TABLE: u32 = 8300;
/// How many paths all processes of a namespace may have together.
const MAX_INDEX: u32 = 1000;
/// Where engine addresses come from outside a lab.
const POOL_V4: &str = "10.83.0.0/16";
const POOL_V6: &str = "fd83:6d70:7573::/112";
/// Packets the kernel may queue for the engine. A receive window of the default 4 MiB is 2 900 full segments, and a
/// sender on the same machine sends them in one burst: the usual 500 would lose most of them.
const QUEUE: u32 = 4_096;
/// The largest packet a path carries unless asked otherwise, in bytes.
const DEFAULT_MTU: u32 = 1500;

/// What a caller may choose about the paths.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathOptions {
    /// The peer, so that no engine address is taken from its network. Without one there may be many, and those in an
    /// interface's own networks are reached without its gateway.
    pub dest: Option<IpAddr>,
    /// Bytes of an IP packet on the TUN; by default the interface's, at most 1500.
    pub mtu: Option<u32>,
    /// Whether the kernel translates the engine's addresses.
    pub nat: NatMode,
}

/// Whether the kernel puts the interface's address in the place of the engine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NatMode {
    /// Where the peer's side is not known to have a route to the engine's address.
    #[default]
    Auto,
    /// Always, even in a lab that routes engine addresses.
    Masquerade,
    /// Never: whoever asks for this has set up the way back.
    None,
}

/// How the peer's answers find the engine's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReturnPath {
    /// The peer is on this machine.
    Local,
    /// The peer's side has a route to the engine's address (the lab).
    Routed,
    /// The kernel puts the interface's address in the place of the engine's.
    Masquerade,
}

/// One path as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPlan {
    /// The way out.
    pub egress: Egress,
    /// The TUN device to open: exactly this name, without packet information.
    pub tun: String,
    /// The engine's address: the local address of the path's subflow.
    pub engine: IpAddr,
    /// The kernel's address on the TUN.
    pub kernel: IpAddr,
    /// The network of the two.
    pub subnet: Prefix,
    /// Networks of the interface that are reached without the gateway.
    pub near: Vec<Prefix>,
    /// The routing table, and the priority of the rule that leads to it.
    pub table: u32,
    /// Bytes of an IP packet on the TUN.
    pub mtu: u32,
    /// How answers come back.
    pub return_path: ReturnPath,
}

/// Takes back what dead processes left in the namespaces within reach.
pub fn recover() -> Result<Recovered> {
    journal::recover(&StateLock::take()?)
}

/// The paths of one process, from [`PathSet::plan`] to [`PathSet::undo`] or drop.
#[derive(Debug)]
pub struct PathSet {
    plans: Vec<PathPlan>,
    journal: Journal,
    netns: Netns,
    recovered: Recovered,
    done: bool,
}

impl PathSet {
    /// Chooses and reserves names and addresses for `ways`; nothing in the kernel changes yet.
    ///
    /// First it takes back what dead processes left behind ([`PathSet::recovered`]); what cannot be taken back is no error
    /// of this one.
    pub fn plan(ways: &[Egress], options: &PathOptions) -> Result<Self> {
        let lock = StateLock::take()?;
        let recovered = journal::recover(&lock)?;
        let netns = Netns::current()?;
        let mut journal = Journal::create(&lock)?;
        match plan_all(ways, options, &mut journal, &lock) {
            Ok(plans) => Ok(Self { plans, journal, netns, recovered, done: false }),
            Err(e) => {
                let _ = journal.undo(&lock);
                Err(e)
            }
        }
    }

    /// Plans, has `open` open each path's device, and applies.
    pub fn setup<D>(
        ways: &[Egress],
        options: &PathOptions,
        mut open: impl FnMut(&PathPlan) -> Result<D>,
    ) -> Result<(Self, Vec<D>)> {
        let mut set = Self::plan(ways, options)?;
        let devices = set.plans.iter().map(&mut open).collect::<Result<Vec<D>>>()?;
        set.apply()?;
        Ok((set, devices))
    }

    /// The paths, in the order of the ways.
    pub fn paths(&self) -> &[PathPlan] {
        &self.plans
    }

    /// What was cleaned up for dead processes while planning.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Configures the devices, which the caller has opened by now. After an error, [`Self::undo`]
    /// or drop takes back what was done.
    pub fn apply(&mut self) -> Result<()> {
        let lock = StateLock::take()?;
        let (plans, journal) = (&self.plans, &mut self.journal);
        self.netns.run(|| apply_all(plans, journal, &lock))?
    }

    /// Puts back routes that the kernel removed when an interface went down, now that it is up.
    pub fn refresh(&self) -> Result<()> {
        self.netns.run(|| {
            let up = interfaces()?;
            let is_up = |plan: &&PathPlan| up.iter().any(|i| i.name == plan.egress.dev && i.up);
            self.plans.iter().filter(is_up).try_for_each(set_routes)
        })?
    }

    /// Asks the kernel whether segments to `dest` would leave as planned and answers come back.
    /// One error for the first path that does not work.
    pub fn verify(&self, dest: IpAddr) -> Result<()> {
        self.netns.run(|| self.plans.iter().try_for_each(|p| verify_one(p, dest)))?
    }

    /// Takes everything back. Doing it twice does nothing.
    pub fn undo(&mut self) -> Result<()> {
        if self.done {
            return Ok(());
        }
        let lock = StateLock::take()?;
        let journal = &mut self.journal;
        self.netns.run(|| journal.undo(&lock))??;
        self.done = true;
        Ok(())
    }
}

impl Drop for PathSet {
    fn drop(&mut self) {
        // After an error the journal file stays and its lock goes: the next `recover` tries again.
        let _ = self.undo();
    }
}

fn is_v6(plan: &PathPlan) -> bool {
    plan.engine.is_ipv6()
}

fn family(plan: &PathPlan) -> &'static str {
    if is_v6(plan) { "-6" } else { "-4" }
}

/// What is in use in this namespace, before a plan is made.
struct Taken {
    names: Vec<String>,
    numbers: Vec<u32>,
    prefixes: Vec<Prefix>,
}

fn survey(options: &PathOptions, journal: &Journal, lock: &StateLock) -> Result<Taken> {
    let interfaces = interfaces()?;
    let mut routes_all = routes(false)?;
    routes_all.extend(routes(true)?);
    let mut taken = Taken {
        names: interfaces.iter().map(|i| i.name.clone()).collect(),
        numbers: used_numbers(false)?,
        prefixes: taken_prefixes(&interfaces, &routes_all),
    };
    taken.numbers.extend(used_numbers(true)?);
    taken.prefixes.extend(options.dest.map(Prefix::host));
    for step in journal.live_others(lock) {
        if let Step::Reserve { index, tun, subnet } = step {
            taken.names.push(tun);
            taken.numbers.push(FIRST_TABLE + index);
            taken.prefixes.push(subnet);
        }
    }
    Ok(taken)
}

fn plan_all(
    ways: &[Egress],
    options: &PathOptions,
    journal: &mut Journal,
    lock: &StateLock,
) -> Result<Vec<PathPlan>> {
    let mut taken = survey(options, journal, lock)?;
    let lab = if options.nat == NatMode::Masquerade { None } else { lab::current()? };
    let mut plans = Vec::with_capacity(ways.len());
    for way in ways {
        let (index, tun) = free_index(&taken)?;
        let (subnet, mut return_path) = free_subnet(way, lab.as_ref(), &taken.prefixes)?;
        if options.nat == NatMode::None && return_path == ReturnPath::Masquerade {
            return_path = ReturnPath::Routed;
        }
        journal.add(Step::Reserve { index, tun: tun.clone(), subnet })?;
        let (Some(kernel), Some(engine)) = (subnet.nth(1), subnet.nth(2)) else {
            return Err(no_subnet(way));
        };
        taken.names.push(tun.clone());
        taken.prefixes.push(subnet);
        let near = if options.dest.is_none() { near(way)? } else { Vec::new() };
        plans.push(PathPlan {
            egress: way.clone(),
            tun,
            engine,
            kernel,
            subnet,
            near,
            table: FIRST_TABLE + index,
            mtu: options.mtu.unwrap_or_else(|| way.mtu.min(DEFAULT_MTU)),
            return_path,
        });
    }
    Ok(plans)
}

/// The networks a way's interface is connected to, where what is beyond them goes through a gateway.
fn near(way: &Egress) -> Result<Vec<Prefix>> {
    if way.gateway.is_none() {
        return Ok(Vec::new());
    }
    let own = |r: &Route| r.dev == way.dev && r.gateway.is_none() && r.table == "main";
    let all = routes(way.local.is_ipv6())?;
    Ok(all.into_iter().filter(own).map(|r| r.dst).collect())
}

/// The smallest number whose device name, table and priority are all free.
fn free_index(taken: &Taken) -> Result<(u32, String)> {
    (0..MAX_INDEX)
        .map(|i| (i, format!("{TUN_PREFIX}{i}")))
        .find(|(i, tun)| !taken.names.contains(tun) && !taken.numbers.contains(&(FIRST_TABLE + i)))
        .ok_or_else(|| {
            NetError::new(
                ErrorKind::Exhausted,
                "cannot add a path",
                format!("{MAX_INDEX} paths are in use in this namespace"),
                "end some of the processes that `mpuser ss` lists",
            )
        })
}

fn free_subnet(
    way: &Egress,
    lab: Option<&lab::LabState>,
    taken: &[Prefix],
) -> Result<(Prefix, ReturnPath)> {
    let len = if way.local.is_ipv4() { 30 } else { 126 };
    let routed = lab.and_then(|l| l.engine_prefix(&way.dev, way.local));
    let (pool, return_path) = match (way.reach, routed) {
        (Reach::Local, _) => (None, ReturnPath::Local),
        (_, Some(prefix)) => (Some(prefix), ReturnPath::Routed),
        (_, None) => (None, ReturnPath::Masquerade),
    };
    let pool = match pool {
        Some(p) => p,
        None if way.local.is_ipv4() => POOL_V4.parse()?,
        None => POOL_V6.parse()?,
    };
    let piece = pool.free_piece(len, taken).ok_or_else(|| no_subnet(way))?;
    Ok((piece, return_path))
}

fn no_subnet(way: &Egress) -> NetError {
    let pool = if way.local.is_ipv4() { POOL_V4 } else { POOL_V6 };
    NetError::new(
        ErrorKind::Exhausted,
        format!("no address is free for a path by {}", way.dev),
        format!("every piece of {pool} overlaps an address or route of this namespace"),
        "run it in a network namespace of its own, or remove the overlapping route",
    )
}

fn apply_all(plans: &[PathPlan], journal: &mut Journal, lock: &StateLock) -> Result<()> {
    let there = interfaces()?;
    for plan in plans {
        if !there.iter().any(|i| i.name == plan.tun) {
            return Err(NetError::new(
                ErrorKind::Usage,
                format!("cannot configure {}", plan.tun),
                "the device does not exist: it has to be opened between plan and apply",
                "this is a bug of mpuser if you did not write the calling program",
            ));
        }
    }
    for plan in plans {
        journal_of(plan, journal)?;
        // Or the engine would get the kernel's router solicitations.
        let (key, value) = if is_v6(plan) { ("addr_gen_mode", "1") } else { ("disable_ipv6", "1") };
        sysctl::write_if_there(&format!("net/ipv6/conf/{}/{key}", plan.tun), value)?;
        ip_batch(&[family(plan)], &device_lines(plan))?;
        if plan.return_path == ReturnPath::Local {
            continue;
        }
        forwarding(plan, journal, lock)?;
        set_routes(plan)?;
        ip_batch(&[family(plan)], &[rule_line(plan)])?;
    }
    translate(plans, journal, lock)
}

/// Writes down what is about to be done for one path.
fn journal_of(plan: &PathPlan, journal: &mut Journal) -> Result<()> {
    let address = format!("{}/{}", plan.kernel, plan.subnet.prefix_len());
    journal.add(Step::Address { dev: plan.tun.clone(), address })?;
    if plan.return_path != ReturnPath::Local {
        journal.add(Step::Table { v6: is_v6(plan), table: plan.table })?;
        journal.add(Step::Rule { from: plan.engine, table: plan.table })?;
    }
    Ok(())
}

fn device_lines(plan: &PathPlan) -> Vec<String> {
    let PathPlan { tun, kernel, mtu, .. } = plan;
    let len = plan.subnet.prefix_len();
    // Duplicate address detection would only wait: nobody else is on the link. And a router joins groups, which it
    // would tell the engine.
    let (nodad, groups) = if is_v6(plan) { (" nodad", " multicast off") } else { ("", "") };
    vec![
        format!("link set dev {tun} mtu {mtu} txqueuelen {QUEUE}{groups} up"),
        format!("address replace {kernel}/{len} dev {tun}{nodad}"),
    ]
}

fn route_lines(plan: &PathPlan) -> Vec<String> {
    if plan.return_path == ReturnPath::Local {
        return Vec::new();
    }
    let (dev, table) = (&plan.egress.dev, plan.table);
    // The gateway may lie outside the interface's networks when a person named it: "onlink".
    let hop = match plan.egress.gateway {
        Some(g) if g.is_ipv6() && !is_v6(plan) => format!("via inet6 {g} dev {dev} onlink"),
        Some(g) => format!("via {g} dev {dev} onlink"),
        None => format!("dev {dev}"),
    };
    let mut lines = vec![
        format!("route replace default {hop} table {table}"),
        format!("route replace unreachable default metric 8192 table {table}"),
    ];
    lines
        .extend(plan.near.iter().map(|net| format!("route replace {net} dev {dev} table {table}")));
    lines
}

/// Fills the path's table.
fn set_routes(plan: &PathPlan) -> Result<()> {
    let mut lines = route_lines(plan);
    if !lines.is_empty() {
        lines.extend(router_lines(plan, &routes(is_v6(plan))?));
    }
    ip_batch(&[family(plan)], &lines)
}

/// What the main table says of networks behind routers on the path's link, for a path whose default is the link itself:
/// a listener's clients may be there.
fn router_lines(plan: &PathPlan, routes: &[Route]) -> Vec<String> {
    let PathPlan { egress, table, .. } = plan;
    let ours = |route: &&Route| {
        route.dev == egress.dev && route.table == "main" && route.dst.prefix_len() > 0
    };
    let line = |route: &Route| {
        let (dst, gateway) = (route.dst, route.gateway?);
        Some(format!("route replace {dst} via {gateway} dev {} onlink table {table}", egress.dev))
    };
    if egress.gateway.is_some() {
        return Vec::new();
    }
    routes.iter().filter(ours).filter_map(line).collect()
}

fn rule_line(plan: &PathPlan) -> String {
    let PathPlan { engine, table, .. } = plan;
    format!("rule add from {} lookup {table} priority {table}", Prefix::host(*engine))
}

/// Lets the kernel forward between the TUN and the interface.
///
/// In IPv4 the switch of the interface a packet comes *in* by decides, so the machine-wide one
/// stays as it is. The reverse-path filter needs no change either: its look-up has the engine's
/// address as the source, so it follows the path's own rule.
fn forwarding(plan: &PathPlan, journal: &mut Journal, lock: &StateLock) -> Result<()> {
    let PathPlan { tun, egress: Egress { dev, .. }, .. } = plan;
    if !is_v6(plan) {
        sysctl::write(&format!("net/ipv4/conf/{tun}/forwarding"), "1")?;
        return journal.set_sysctl(lock, &format!("net/ipv4/conf/{dev}/forwarding"), "1");
    }
    let force = |d: &str| format!("net/ipv6/conf/{d}/force_forwarding");
    if sysctl::read(&force(tun)).is_some() {
        // Linux 6.17: a switch per interface that leaves router advertisements alone.
        sysctl::write(&force(tun), "1")?;
        return journal.set_sysctl(lock, &force(dev), "1");
    }
    // Before, only the machine-wide switch forwards, and it makes the kernel ignore router
    // advertisements wherever accept_ra is 1 rather than 2.
    let accept = format!("net/ipv6/conf/{dev}/accept_ra");
    if sysctl::read(&accept).as_deref() == Some("1") {
        journal.set_sysctl(lock, &accept, "2")?;
    }
    journal.set_sysctl(lock, "net/ipv6/conf/all/forwarding", "1")
}

/// One nft table for the paths whose return path needs it.
fn translate(plans: &[PathPlan], journal: &mut Journal, lock: &StateLock) -> Result<()> {
    let name = journal.unique_name();
    for v6 in [false, true] {
        let of_family = |p: &&PathPlan| is_v6(p) == v6 && p.return_path == ReturnPath::Masquerade;
        let paths: Vec<&PathPlan> = plans.iter().filter(of_family).collect();
        if paths.is_empty() {
            continue;
        }
        journal.add(Step::Nat { v6, table: name.clone() })?;
        run("nft", &["-f", "-"], Some(&nft_script(&name, v6, &paths)))?;
        // A segment that connection tracking calls invalid would not be translated back: the
        // kernel would take it for its own and answer with a RST.
        journal.set_sysctl(lock, "net/netfilter/nf_conntrack_tcp_be_liberal", "1")?;
    }
    Ok(())
}

fn nft_script(name: &str, v6: bool, paths: &[&PathPlan]) -> String {
    let family = nft_family(v6);
    let (mut nat, mut guard) = (String::new(), String::new());
    for p in paths {
        let Egress { dev, local, primary, .. } = &p.egress;
        let to = if *primary { "masquerade".to_owned() } else { format!("snat to {local}") };
        let engine = p.engine;
        nat.push_str(&format!("  {family} saddr {engine} oifname \"{dev}\" {to}\n"));
        // Untranslated, the engine's private address would leave the machine.
        guard.push_str(&format!("  {family} saddr {engine} ct state invalid drop\n"));
    }
    format!(
        "table {family} {name} {{\n chain post {{\n  type nat hook postrouting priority 100; policy accept;\n{nat} }}\n \
         chain guard {{\n  type filter hook forward priority 0; policy accept;\n{guard} }}\n}}\n"
    )
}

fn verify_one(plan: &PathPlan, dest: IpAddr) -> Result<()> {
    let PathPlan { tun, engine, .. } = plan;
    let refuse = |because: String, help: String| {
        let message = format!("the path {} by {tun} would not work", plan.egress.name);
        Err(NetError::new(ErrorKind::NoRoute, message, because, help))
    };
    let dev_of = |args: &[&str]| {
        let answer = ip_json(args)?;
        let dev = answer.get(0).and_then(|r| r.get("dev")).and_then(|d| d.as_str());
        Ok::<String, NetError>(dev.unwrap_or_default().to_owned())
    };
    let (to, from) = (dest.to_string(), engine.to_string());
    let wanted = if plan.return_path == ReturnPath::Local { "lo" } else { &plan.egress.dev };
    let args = [family(plan), "route", "get", &to, "from", &from, "iif", tun];
    match dev_of(&args) {
        Ok(dev) if dev == wanted => {}
        Ok(dev) => {
            let because = format!("segments to {dest} would leave by {dev:?}, not by {wanted}");
            return refuse(because, "look for a rule before 8300 in `ip rule`".to_owned());
        }
        Err(e) => {
            return refuse(
                format!("the kernel would not forward to {dest}: {}", e.because),
                "run `mpuser doctor`".to_owned(),
            );
        }
    }
    match dev_of(&[family(plan), "route", "get", &from]) {
        Ok(dev) if dev == *tun => Ok(()),
        other => refuse(
            format!(
                "answers to {engine} would go to {:?}, not to {tun}",
                other.unwrap_or_default()
            ),
            format!("look for a route that covers {} in `ip route`", plan.subnet),
        ),
    }
}

#[cfg(test)]
#[path = "pathset_tests.rs"]
mod tests;
