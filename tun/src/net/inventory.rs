//! What the kernel says about interfaces, routes and rules, read through `ip -json`.

use std::net::IpAddr;

use serde_json::Value;

use super::command::ip_json;
use super::error::Result;
use super::prefix::Prefix;

/// An interface with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    /// Administratively up and with a carrier.
    pub(crate) up: bool,
    pub(crate) loopback: bool,
    pub(crate) tun: bool,
    /// Bytes of an IP packet.
    pub(crate) mtu: u32,
    pub(crate) addresses: Vec<Address>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    pub(crate) prefix_len: u8,
    /// Of global scope, and good for new connections.
    pub(crate) usable: bool,
}

/// A unicast route of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) dst: Prefix,
    pub(crate) dev: String,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) metric: u32,
    /// Name or number; `main` if the kernel says nothing.
    pub(crate) table: String,
}

fn text<'a>(v: &'a Value, key: &str) -> Option<&'a str> {
    v.get(key).and_then(Value::as_str)
}

fn number(v: &Value, key: &str) -> Option<u32> {
    v.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
}

fn items(v: &Value) -> &[Value] {
    v.as_array().map_or(&[], Vec::as_slice)
}

fn has_flag(v: &Value, flag: &str) -> bool {
    v.get("flags").is_some_and(|f| items(f).iter().any(|x| x.as_str() == Some(flag)))
}

/// `ip -json -details address show` of this namespace.
pub(crate) fn interfaces() -> Result<Vec<Interface>> {
    Ok(parse_interfaces(&ip_json(&["-details", "address", "show"])?))
}

pub(crate) fn parse_interfaces(v: &Value) -> Vec<Interface> {
    items(v).iter().filter_map(parse_interface).collect()
}

fn parse_interface(v: &Value) -> Option<Interface> {
    let kind = v.get("linkinfo").and_then(|l| text(l, "info_kind"));
    Some(Interface {
        name: text(v, "ifname")?.to_owned(),
        // A TUN or dummy device has the operational state "unknown"; the flag is what counts.
        up: has_flag(v, "UP") && has_flag(v, "LOWER_UP"),
        loopback: has_flag(v, "LOOPBACK"),
        tun: kind == Some("tun"),
        mtu: number(v, "mtu").unwrap_or(1500),
        addresses: v
            .get("addr_info")
            .map_or(&[][..], items)
            .iter()
            .filter_map(parse_address)
            .collect(),
    })
}

fn parse_address(v: &Value) -> Option<Address> {
    let off = |key| v.get(key).and_then(Value::as_bool).unwrap_or(false);
    Some(Address {
        ip: text(v, "local")?.parse().ok()?,
        prefix_len: u8::try_from(number(v, "prefixlen")?).ok()?,
        usable: text(v, "scope") == Some("global")
            && !["deprecated", "tentative", "dadfailed"].into_iter().any(off),
    })
}

/// The unicast routes of all tables, of the family.
pub(crate) fn routes(v6: bool) -> Result<Vec<Route>> {
    let family = if v6 { "-6" } else { "-4" };
    Ok(parse_routes(&ip_json(&[family, "route", "show", "table", "all"])?, v6))
}

pub(crate) fn parse_routes(v: &Value, v6: bool) -> Vec<Route> {
    items(v).iter().flat_map(|r| parse_route(r, v6)).collect()
}

/// One route per next hop: a multipath route is several ways.
fn parse_route(v: &Value, v6: bool) -> Vec<Route> {
    if text(v, "type").is_some_and(|t| t != "unicast") {
        return Vec::new();
    }
    let any = if v6 { "::/0" } else { "0.0.0.0/0" };
    let dst = match text(v, "dst") {
        Some("default") => any,
        Some(d) => d,
        None => return Vec::new(),
    };
    let Ok(dst) = dst.parse::<Prefix>() else { return Vec::new() };
    let hop = |h: &Value| {
        let via = h.get("via").and_then(|via| text(via, "host"));
        let gateway = text(h, "gateway").or(via).and_then(|g| g.parse().ok());
        Some(Route {
            dst,
            dev: text(h, "dev")?.to_owned(),
            gateway,
            metric: number(v, "metric").unwrap_or(0),
            table: text(v, "table").unwrap_or("main").to_owned(),
        })
    };
    match v.get("nexthops") {
        Some(hops) => items(hops).iter().filter_map(hop).collect(),
        None => hop(v).into_iter().collect(),
    }
}

/// The numbers of tables that routes and rules of the family use, and the rules' priorities.
pub(crate) fn used_numbers(v6: bool) -> Result<Vec<u32>> {
    let family = if v6 { "-6" } else { "-4" };
    let rules = ip_json(&[family, "rule", "show"])?;
    let routes = ip_json(&[family, "route", "show", "table", "all"])?;
    Ok(parse_used_numbers(&rules, &routes))
}

pub(crate) fn parse_used_numbers(rules: &Value, routes: &Value) -> Vec<u32> {
    let table = |v: &Value| text(v, "table").and_then(|t| t.parse().ok());
    let mut used: Vec<u32> = items(rules)
        .iter()
        .flat_map(|r| [number(r, "priority"), table(r)])
        .chain(items(routes).iter().map(table))
        .flatten()
        .collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// Every prefix an address or a route of this namespace speaks for, default routes aside.
pub(crate) fn taken_prefixes(interfaces: &[Interface], routes: &[Route]) -> Vec<Prefix> {
    let addresses =
        interfaces.iter().flat_map(|i| i.addresses.iter().map(|a| Prefix::new(a.ip, a.prefix_len)));
    let routes = routes.iter().map(|r| r.dst).filter(|p| p.prefix_len() > 0);
    addresses.chain(routes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: &str = r#"[
     {"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,
      "addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
     {"ifname":"eth1","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1400,
      "linkinfo":{"info_kind":"veth"},
      "addr_info":[{"family":"inet","local":"192.168.56.100","prefixlen":24,"scope":"global"},
       {"family":"inet6","local":"fd00::9","prefixlen":64,"scope":"global","tentative":true},
       {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},
     {"ifname":"eth2","flags":["NO-CARRIER","BROADCAST","UP"],"mtu":1500,"addr_info":[]},
     {"ifname":"mpu0","flags":["POINTOPOINT","UP","LOWER_UP"],"mtu":1500,
      "linkinfo":{"info_kind":"tun"},"addr_info":[{}]},
     {"nonsense":true}, 7]"#;

    #[test]
    fn interfaces_of_a_sample() {
        let all = parse_interfaces(&serde_json::from_str(ADDRESSES).unwrap());
        let names: Vec<_> =
            all.iter().map(|i| (i.name.as_str(), i.up, i.loopback, i.tun)).collect();
        assert_eq!(
            names,
            [
                ("lo", true, true, false),
                ("eth1", true, false, false),
                ("eth2", false, false, false),
                ("mpu0", true, false, true)
            ]
        );
        let usable: Vec<bool> = all[1].addresses.iter().map(|a| a.usable).collect();
        assert_eq!(usable, [true, false, false]);
        assert_eq!(all[1].mtu, 1400);
        assert!(all[3].addresses.is_empty());
    }

    #[test]
    fn routes_of_a_sample() {
        let sample = r#"[
         {"dst":"default","gateway":"10.0.0.1","dev":"eth0","protocol":"dhcp","metric":100,"flags":[]},
         {"dst":"default","flags":[],"nexthops":[
            {"gateway":"10.1.0.1","dev":"a","weight":1,"flags":[]},
            {"via":{"family":"inet6","host":"fe80::1"},"dev":"b","weight":1,"flags":[]}]},
         {"dst":"192.168.56.0/24","dev":"eth1","scope":"link","prefsrc":"192.168.56.100"},
         {"type":"local","dst":"127.0.0.1","dev":"lo","table":"local"},
         {"type":"unreachable","dst":"default","dev":"lo","table":"8300"},
         {"dst":"10.9.9.9","dev":"wg0","table":"51820"}, {}, {"dst":"x"}]"#;
        let all = parse_routes(&serde_json::from_str(sample).unwrap(), false);
        let shown: Vec<String> = all
            .iter()
            .map(|r| format!("{} {} {:?} {} {}", r.dst, r.dev, r.gateway, r.metric, r.table))
            .collect();
        assert_eq!(
            shown,
            [
                "0.0.0.0/0 eth0 Some(10.0.0.1) 100 main",
                "0.0.0.0/0 a Some(10.1.0.1) 0 main",
                "0.0.0.0/0 b Some(fe80::1) 0 main",
                "192.168.56.0/24 eth1 None 0 main",
                "10.9.9.9/32 wg0 None 0 51820"
            ]
        );
    }

    #[test]
    fn numbers_of_a_sample() {
        let rules = r#"[{"priority":0,"src":"all","table":"local"},
                        {"priority":8301,"src":"10.83.0.2","table":"8301"}]"#;
        let routes = r#"[{"dst":"default","table":"8300"},{"dst":"default","table":"8300"}]"#;
        let used = parse_used_numbers(
            &serde_json::from_str(rules).unwrap(),
            &serde_json::from_str(routes).unwrap(),
        );
        assert_eq!(used, [0, 8300, 8301]);
    }
}
