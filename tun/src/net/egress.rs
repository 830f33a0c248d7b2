//! The ways a connection may leave the machine.

use std::net::IpAddr;

use super::error::{ErrorKind, NetError, Result};
use super::inventory::{Address, Interface, Route, interfaces, routes};
use super::prefix::Prefix;
use super::spec::PathSpec;
use crate::lab;

/// How a destination is reached through an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// It is in a network the interface is connected to.
    Connected,
    /// Through a gateway of the routing table, or one the person named.
    Gateway,
    /// No route says so; the interface is taken to be on the same link as the destination (the
    /// second and third path of the lab, where the peer answers ARP on every link).
    Assumed,
    /// It is an address of this machine. Nothing leaves by any interface.
    Local,
}

/// One way out: an interface, an address of it, and the next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The name of the path in every output.
    pub name: String,
    /// The interface.
    pub dev: String,
    /// The interface's address, what the peer sees when addresses are translated.
    pub local: IpAddr,
    /// Whether `local` is the first address of the interface, the one masquerading would take.
    pub primary: bool,
    /// The next hop; without one the destination is looked for on the link itself.
    pub gateway: Option<IpAddr>,
    /// How the destination is reached.
    pub reach: Reach,
    /// Whether the subflow is a backup (RFC 8684 3.2).
    pub backup: bool,
    /// The largest IP packet of the interface, in bytes.
    pub mtu: u32,
}

/// The prefix of the TUN devices this crate names.
pub(crate) const TUN_PREFIX: &str = "mpu";

/// The interfaces `dest` can be reached by, in the kernel's order: up, with a usable address of
/// the family, neither the loopback nor a TUN of ours, and with a route. Inside a lab's client an
/// interface with no route counts, too ([`Reach::Assumed`]).
///
/// For an address of this machine the answer is one [`Reach::Local`] way.
pub fn discover(dest: IpAddr) -> Result<Vec<Egress>> {
    let in_lab = lab::current()?.is_some();
    let found = discover_in(dest, &interfaces()?, &routes(dest.is_ipv6())?, in_lab);
    if found.is_empty() { Err(no_route(dest)) } else { Ok(found) }
}

/// The ways the person asked for, in that order; with no `specs`, what [`discover`] finds.
pub fn resolve(dest: IpAddr, specs: &[PathSpec]) -> Result<Vec<Egress>> {
    if specs.is_empty() {
        return discover(dest);
    }
    let interfaces = interfaces()?;
    let routes = routes(dest.is_ipv6())?;
    specs.iter().map(|s| resolve_one(dest, s, &interfaces, &routes)).collect()
}

/// The ways clients may come in by, for a listener that knows no destination: every interface that is up with a
/// usable address, or those of `specs`. An interface's own address as `address` leaves only that interface; the
/// family is the address's, else IPv4 where there is any.
pub fn ways_in(address: Option<IpAddr>, specs: &[PathSpec]) -> Result<Vec<Egress>> {
    let interfaces = interfaces()?;
    let any = |v6: bool| -> IpAddr {
        if v6 {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        }
    };
    let families = address.map_or(vec![false, true], |address| vec![address.is_ipv6()]);
    for v6 in families {
        let (dest, routes) = (any(v6), routes(v6)?);
        let mut ways = if specs.is_empty() {
            discover_in(dest, &interfaces, &routes, true)
        } else {
            specs
                .iter()
                .map(|s| resolve_one(dest, s, &interfaces, &routes))
                .collect::<Result<_>>()?
        };
        if ways.iter().any(|way| Some(way.local) == address) {
            ways.retain(|way| Some(way.local) == address);
        }
        if !ways.is_empty() {
            return Ok(ways);
        }
    }
    Err(no_interface("to listen on"))
}

fn no_interface(purpose: &str) -> NetError {
    NetError::new(
        ErrorKind::NoRoute,
        format!("there is no interface {purpose}"),
        "no interface that is up, other than the loopback, has a usable address",
        "give one an address, or name a path: --path DEV",
    )
}

/// The ways to destinations nobody knows yet, of both families: every interface that is up with a usable address, or
/// those of `specs` that have one of the family. The first of each family has a route to anywhere, if one has.
pub fn ways_out(specs: &[PathSpec]) -> Result<Vec<Egress>> {
    out(&interfaces()?, [&routes(false)?, &routes(true)?], specs)
}

/// As [`ways_out`], with the routes of IPv4 and of IPv6.
fn out(interfaces: &[Interface], tables: [&[Route]; 2], specs: &[PathSpec]) -> Result<Vec<Egress>> {
    let families: [IpAddr; 2] =
        [std::net::Ipv4Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::UNSPECIFIED.into()];
    let mut all: Vec<Egress> = Vec::new();
    for (any, routes) in families.into_iter().zip(tables) {
        let mut ways = if specs.is_empty() {
            let mut found = discover_in(any, interfaces, routes, true);
            found.sort_by_key(|way| way.reach == Reach::Assumed);
            found
        } else {
            let each = specs.iter().map(|s| resolve_one(any, s, interfaces, routes));
            // an interface may have addresses of one family only
            each.filter_map(Result::ok).collect()
        };
        for way in &mut ways {
            if all.iter().any(|other| other.name == way.name) {
                way.name = format!("{}-v6", way.name);
            }
        }
        all.extend(ways);
    }
    if let Some(missing) = specs.iter().find(|s| !all.iter().any(|way| way.dev == s.dev)) {
        // says why, for the family most have
        resolve_one(families[0], missing, interfaces, tables[0])?;
    }
    if all.is_empty() { Err(no_interface("to leave by")) } else { Ok(all) }
}

/// One way through each of `gateways`: by the interface whose network the gateway is in.
pub fn through_gateways(dest: IpAddr, gateways: &[IpAddr]) -> Result<Vec<Egress>> {
    let interfaces = interfaces()?;
    let routes = routes(dest.is_ipv6())?;
    gateways.iter().map(|gateway| one_gateway(dest, *gateway, &interfaces, &routes)).collect()
}

fn one_gateway(
    dest: IpAddr,
    gateway: IpAddr,
    interfaces: &[Interface],
    routes: &[Route],
) -> Result<Egress> {
    let near = |a: &&Address| a.usable && Prefix::new(a.ip, a.prefix_len).contains(gateway);
    let usable = interfaces.iter().filter(|i| i.up && !i.loopback);
    let found = usable.filter_map(|i| Some((i, i.addresses.iter().find(near)?))).next();
    let Some((dev, address)) = found else {
        return Err(NetError::new(
            ErrorKind::NoRoute,
            format!("there is no way through the gateway {gateway}"),
            "no interface that is up has an address in its network",
            "check the gateway against `ip -br address`, or name a path: --path DEV,gw=GATEWAY",
        ));
    };
    let spec = PathSpec {
        name: format!("via-{gateway}"),
        dev: dev.name.clone(),
        local: Some(address.ip),
        gateway: Some(gateway),
        backup: false,
    };
    resolve_one(dest, &spec, interfaces, routes)
}

/// How many different interfaces the ways leave by: two subflows through one interface share its
/// fate, and the output has to say so.
pub fn physical_paths(ways: &[Egress]) -> usize {
    let mut devs: Vec<&str> = ways.iter().map(|e| e.dev.as_str()).collect();
    devs.sort_unstable();
    devs.dedup();
    devs.len()
}

fn no_route(dest: IpAddr) -> NetError {
    let family = if dest.is_ipv4() { "IPv4" } else { "IPv6" };
    NetError::new(
        ErrorKind::NoRoute,
        format!("there is no way to {dest}"),
        format!("no interface that is up has a usable {family} address and a route to it"),
        format!("check `ip route get {dest}`, or name a path: --path DEV,gw=GATEWAY"),
    )
}

fn local_way(dest: IpAddr, interfaces: &[Interface]) -> Option<Egress> {
    let owner = interfaces.iter().find(|i| i.addresses.iter().any(|a| a.ip == dest))?;
    (!dest.is_loopback()).then(|| Egress {
        name: owner.name.clone(),
        dev: owner.name.clone(),
        local: dest,
        primary: true,
        gateway: None,
        reach: Reach::Local,
        backup: false,
        mtu: owner.mtu,
    })
}

fn discover_in(dest: IpAddr, all: &[Interface], routes: &[Route], in_lab: bool) -> Vec<Egress> {
    // A loopback destination never leaves and the kernel drops it on any other interface.
    if dest.is_loopback() {
        return Vec::new();
    }
    if let Some(way) = local_way(dest, all) {
        return vec![way];
    }
    let ours = |i: &Interface| i.tun && i.name.starts_with(TUN_PREFIX);
    all.iter()
        .filter(|i| i.up && !i.loopback && !ours(i))
        .filter_map(|i| through(dest, i, routes))
        .filter(|e| in_lab || e.reach != Reach::Assumed)
        .collect()
}

/// The way through one interface, whatever the routing table says about it.
fn through(dest: IpAddr, dev: &Interface, routes: &[Route]) -> Option<Egress> {
    let mut usable = dev.addresses.iter().filter(|a| a.usable && same_family(a.ip, dest));
    let first = usable.next()?;
    let route = best_route(dest, &dev.name, routes);
    // Of several addresses the one in the network of the destination or of the gateway is right.
    let hop = route.and_then(|r| r.gateway).unwrap_or(dest);
    let fits = |a: &&Address| Prefix::new(a.ip, a.prefix_len).contains(hop);
    let local = std::iter::once(first).chain(usable).find(fits).unwrap_or(first);
    let gateway = route.and_then(|r| r.gateway);
    Some(Egress {
        name: dev.name.clone(),
        dev: dev.name.clone(),
        local: local.ip,
        primary: local.ip == first.ip,
        gateway,
        reach: match (route, gateway) {
            (None, _) => Reach::Assumed,
            (Some(_), None) => Reach::Connected,
            (Some(_), Some(_)) => Reach::Gateway,
        },
        backup: false,
        mtu: dev.mtu,
    })
}

const fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

/// The longest, then the main table's, then the cheapest route to `dest` by `dev`.
fn best_route<'a>(dest: IpAddr, dev: &str, routes: &'a [Route]) -> Option<&'a Route> {
    routes
        .iter()
        .filter(|r| r.dev == dev && r.dst.contains(dest) && r.table != "local")
        .min_by_key(|r| (u8::MAX - r.dst.prefix_len(), r.table != "main", r.metric))
}

fn resolve_one(
    dest: IpAddr,
    spec: &PathSpec,
    all: &[Interface],
    routes: &[Route],
) -> Result<Egress> {
    let refuse = |because: String, help: &str| {
        NetError::new(
            ErrorKind::Usage,
            format!("the path {} cannot be used", spec.name),
            because,
            help.to_owned(),
        )
    };
    let dev = all.iter().find(|i| i.name == spec.dev).ok_or_else(|| {
        let there: Vec<&str> = all.iter().map(|i| i.name.as_str()).collect();
        refuse(
            format!("there is no interface {}; there are {}", spec.dev, there.join(", ")),
            "name one of them",
        )
    })?;
    if !dev.up {
        return Err(refuse(
            format!("the interface {} is down or has no carrier", spec.dev),
            &format!("ip link set {} up", spec.dev),
        ));
    }
    let family = if dest.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut way = through(dest, dev, routes).ok_or_else(|| {
        refuse(
            format!("{} has no usable {family} address", spec.dev),
            "give it one with `ip address add`",
        )
    })?;
    if let Some(local) = spec.local {
        let own = |i: &Interface| i.addresses.iter().any(|a| a.ip == local);
        if !own(dev) || !same_family(local, dest) {
            return Err(refuse(
                format!("{local} is not an {family} address of {}", spec.dev),
                "leave out local=, or use one that `ip address show` lists",
            ));
        }
        way.primary = dev
            .addresses
            .iter()
            .find(|a| a.usable && same_family(a.ip, dest))
            .is_some_and(|a| a.ip == local);
        way.local = local;
    }
    if let Some(gateway) = spec.gateway {
        if !same_family(gateway, dest) {
            return Err(refuse(
                format!("the gateway {gateway} is not {family}"),
                "name another one",
            ));
        }
        way.gateway = Some(gateway);
        way.reach = Reach::Gateway;
    }
    if local_way(dest, all).is_some() {
        way.reach = Reach::Local;
    }
    way.name.clone_from(&spec.name);
    way.backup = spec.backup;
    Ok(way)
}

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;
