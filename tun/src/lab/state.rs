//! The state file of a lab, and finding oneself in it.

use std::io::ErrorKind as IoKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::vm::VmLab;
use super::{LabOptions, PREFIX, devices_in};
use crate::net::{ErrorKind, NetError, Netns, NetnsId, Prefix, Result, ip, state_dir};

const SCHEMA: &str = "mpuser.lab/1";

/// A namespace of a lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `client`, `server`, and in the lab of proxies `p1` and so on.
    pub role: String,
    /// The name `ip netns` knows it by.
    pub namespace: String,
    /// Its identity; a namespace made anew under the same name is another one.
    pub id: NetnsId,
}

/// A link of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabPath {
    /// The interface, of the same name at both ends.
    pub dev: String,
    /// The client's address, in a /24.
    pub client: Ipv4Addr,
    /// The server's address.
    pub server: Ipv4Addr,
    /// The addresses for engines in the client that the server routes by this link.
    pub engine_prefix: Option<Prefix>,
    /// The same in IPv6, in a lab that has it.
    #[serde(default)]
    pub ipv6: Option<LabPath6>,
}

/// The IPv6 side of a link of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabPath6 {
    /// The client's address, in a /64.
    pub client: Ipv6Addr,
    /// The server's address.
    pub server: Ipv6Addr,
    /// The addresses for engines in the client that the server routes by this link.
    pub engine_prefix: Option<Prefix>,
}

impl Node {
    /// Makes the namespace.
    pub(super) fn make(lab: &str, role: &str) -> Result<Self> {
        let namespace = namespace(lab, role);
        ip(&["netns", "add", &namespace])?;
        let id = Netns::named(&namespace)?.id()?;
        Ok(Self { role: role.to_owned(), namespace, id })
    }

    /// The namespace of its name is still the one that was made.
    pub(super) fn is_there(&self) -> bool {
        Netns::named(&self.namespace).and_then(|ns| ns.id()).is_ok_and(|id| id == self.id)
    }

    /// The node with this role, or of this namespace.
    pub(super) fn of_role<'a>(lab: &str, nodes: &'a [Self], role: &str) -> Result<&'a Self> {
        nodes.iter().find(|node| node.role == role || node.namespace == role).ok_or_else(|| {
            let there: Vec<&str> = nodes.iter().map(|node| node.role.as_str()).collect();
            NetError::new(
                ErrorKind::NotFound,
                format!("the lab {lab} has no node {role}"),
                format!("its nodes are {}", there.join(", ")),
                "name one of them",
            )
        })
    }
}

impl LabPath {
    /// The client's addresses, that of IPv4 first.
    pub fn client_addresses(&self) -> Vec<IpAddr> {
        let v6 = self.ipv6.map(|six| IpAddr::V6(six.client));
        std::iter::once(IpAddr::V4(self.client)).chain(v6).collect()
    }

    /// The server's addresses, that of IPv4 first.
    pub fn server_addresses(&self) -> Vec<IpAddr> {
        let v6 = self.ipv6.map(|six| IpAddr::V6(six.server));
        std::iter::once(IpAddr::V4(self.server)).chain(v6).collect()
    }
}

/// What a lab consists of; the content of its state file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabState {
    /// The version of this format.
    pub schema: String,
    /// The lab's name.
    pub name: String,
    /// What it was built with.
    pub options: LabOptions,
    /// Its namespaces.
    pub nodes: Vec<Node>,
    /// Its links.
    pub paths: Vec<LabPath>,
}

impl LabState {
    pub(super) fn new(options: &LabOptions, nodes: Vec<Node>, paths: Vec<LabPath>) -> Self {
        let (schema, name) = (SCHEMA.to_owned(), options.name.clone());
        Self { schema, name, options: options.clone(), nodes, paths }
    }

    /// The node `client` or `server`.
    pub fn node(&self, role: &str) -> Result<&Node> {
        Node::of_role(&self.name, &self.nodes, role)
    }

    /// The engine addresses that the server routes to the client by `dev`, when `local` is the
    /// client's address there.
    pub fn engine_prefix(&self, dev: &str, local: IpAddr) -> Option<Prefix> {
        let path = self.paths.iter().find(|p| p.dev == dev)?;
        match (local, path.ipv6) {
            (IpAddr::V4(local), _) if local == path.client => path.engine_prefix,
            (IpAddr::V6(local), Some(six)) if local == six.client => six.engine_prefix,
            _ => None,
        }
    }

    /// Whether its namespaces are the ones it was built with, with all their interfaces.
    pub fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| {
            let devs = devices_in(&node.namespace).unwrap_or_default();
            node.is_there() && self.paths.iter().all(|p| devs.contains(&p.dev))
        })
    }
}

/// What a state file can hold.
pub(super) trait Saved: DeserializeOwned {
    /// It is of this version of the format, and of the lab of this name.
    fn is_of(&self, name: &str) -> bool;

    /// Its namespaces are the ones it was built with, with all their interfaces.
    fn stands(&self) -> bool;
}

impl Saved for LabState {
    fn is_of(&self, name: &str) -> bool {
        self.schema == SCHEMA && self.name == name
    }

    fn stands(&self) -> bool {
        self.is_whole()
    }
}

pub(super) fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=24).contains(&name.len()) && name.chars().all(good) && !name.starts_with('-') {
        return Ok(());
    }
    Err(NetError::new(
        ErrorKind::Usage,
        format!("{name:?} cannot be the name of a lab"),
        "a name has 1 to 24 small letters, digits and hyphens, and begins with no hyphen",
        "for example: mpuser lab up seed",
    ))
}

pub(super) fn namespace(lab: &str, role: &str) -> String {
    format!("{PREFIX}{lab}-{role}")
}

/// The lab that a namespace of this name belongs to.
pub(super) fn lab_of(namespace: &str) -> Option<&str> {
    let (lab, role) = namespace.strip_prefix(PREFIX)?.rsplit_once('-')?;
    let number = role.strip_prefix('p').map(str::parse::<u8>);
    (matches!(role, "client" | "server" | "switch") || matches!(number, Some(Ok(_)))).then_some(lab)
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("lab-{name}.json"))
}

/// The saved state; `None` if there is none or it cannot be understood.
pub(super) fn load<S: Saved>(dir: &Path, name: &str) -> Option<S> {
    let text = std::fs::read_to_string(file(dir, name)).ok()?;
    serde_json::from_str(&text).ok().filter(|state: &S| state.is_of(name))
}

pub(super) fn save(dir: &Path, name: &str, state: &impl Serialize) -> Result<()> {
    let path = file(dir, name);
    let cannot = |e: std::io::Error| NetError::io(format!("cannot write {}", path.display()), &e);
    let text = serde_json::to_string_pretty(state).map_err(|e| cannot(std::io::Error::other(e)))?;
    // Readers take no lock, so they see the old file or the new one, never half of one.
    let new = path.with_extension("json.new");
    std::fs::write(&new, text).map_err(cannot)?;
    std::fs::rename(&new, &path).map_err(cannot)
}

/// Whether there was a file to delete.
pub(super) fn delete(dir: &Path, name: &str) -> Result<bool> {
    let path = file(dir, name);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == IoKind::NotFound => Ok(false),
        Err(e) => Err(NetError::io(format!("cannot delete {}", path.display()), &e)),
    }
}

pub(super) fn saved_names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let name = |e: std::fs::DirEntry| {
        let file = e.file_name().into_string().ok()?;
        file.strip_prefix("lab-")?.strip_suffix(".json").map(str::to_owned)
    };
    entries.flatten().filter_map(name).filter(|n| check_name(n).is_ok()).collect()
}

/// The lab whose client the calling thread's namespace is.
pub fn current() -> Result<Option<LabState>> {
    let dir = state_dir()?;
    let here = NetnsId::current()?;
    let is_here = |s: &LabState| s.nodes.iter().any(|n| n.role == "client" && n.id == here);
    let of_name = |name: &String| {
        load::<LabState>(&dir, name)
            .or_else(|| load::<VmLab>(&dir, name).map(VmLab::seen_from_client))
    };
    Ok(saved_names(&dir).iter().filter_map(of_name).find(is_here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["seed", "a", "t-123"] {
            check_name(good).unwrap();
        }
        for bad in ["", "-a", "A", "a/b", "..", "a b", "abcdefghijklmnopqrstuvwxyz"] {
            assert_eq!(check_name(bad).unwrap_err().kind, ErrorKind::Usage, "{bad}");
        }
    }

    #[test]
    fn prefixes_are_found_by_interface_and_address() {
        let path = LabPath {
            dev: "eth2".into(),
            client: Ipv4Addr::new(192, 168, 57, 100),
            server: Ipv4Addr::new(192, 168, 57, 101),
            engine_prefix: Some("10.83.57.0/24".parse().unwrap()),
            ipv6: Some(LabPath6 {
                client: "fd00:192:168:57::100".parse().unwrap(),
                server: "fd00:192:168:57::101".parse().unwrap(),
                engine_prefix: Some("fd00:10:83:57::/112".parse().unwrap()),
            }),
        };
        let state = LabState::new(&LabOptions::default(), vec![], vec![path]);
        let text = serde_json::to_string(&state).unwrap();
        let state: LabState = serde_json::from_str(&text).unwrap();
        let prefix = |dev: &str, ip: &str| state.engine_prefix(dev, ip.parse().unwrap());
        assert_eq!(prefix("eth2", "192.168.57.100").unwrap().to_string(), "10.83.57.0/24");
        assert_eq!(
            prefix("eth2", "fd00:192:168:57::100").unwrap().to_string(),
            "fd00:10:83:57::/112"
        );
        assert_eq!(prefix("eth2", "192.168.57.7"), None);
        assert_eq!(prefix("eth2", "fd00:192:168:57::7"), None);
        assert_eq!(prefix("eth1", "192.168.57.100"), None);
        assert_eq!(state.node("client").unwrap_err().kind, ErrorKind::NotFound);
    }
}
