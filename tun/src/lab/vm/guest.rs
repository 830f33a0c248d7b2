//! Inside a guest: its first process, after the first root.

use super::machine::{TAPS, mac};
use super::{SERVER_PORT, agent};
use crate::lab::peer::{Mode, PeerServer, Protocol};
use crate::net::{ErrorKind, NetError, Netns, Result, ip_batch, write_sysctl};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// Sets up the network, serves an echo over the kernel's MPTCP, and does as it is told, for as long as it runs.
///
/// # Errors
///
/// It is no guest, or its network cannot be set up.
pub fn run(signal: bool) -> Result<()> {
    // SAFETY: getpid takes nothing and cannot fail.
    if unsafe { libc::getpid() } != 1 {
        return Err(NetError::new(
            ErrorKind::Usage,
            "this is no guest",
            "`mpuser lab guest` is the first process of a virtual machine",
            "`mpuser lab up vm` boots one",
        ));
    }
    network(signal)?;
    let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, SERVER_PORT));
    let _echo = PeerServer::start(&Netns::current()?, all, Protocol::Mptcp, Mode::Echo)?;
    let line = line()?;
    agent::serve(&line).map_err(|e| NetError::io("cannot read orders", &e))
}

/// The addresses of the seed's server, and the path manager's.
fn network(signal: bool) -> Result<()> {
    let (mut lines, mut renamed) = (vec!["link set lo up".to_owned()], Vec::new());
    for (place, name) in TAPS.iter().enumerate() {
        // first a name that no other card has now
        lines.push(format!("link set {} name card{place}", card(&mac(place))?));
        renamed.push(format!("link set card{place} name {name}"));
        let net = 56 + place;
        renamed.push(format!("address add 192.168.{net}.101/24 dev {name}"));
        renamed.push(format!("link set {name} up"));
        let engines = format!("10.83.{net}.0/24 via 192.168.{net}.100 dev {name}");
        renamed.push(format!("route add {engines}"));
    }
    lines.extend(renamed);
    ip_batch(&[], &lines)?;
    write_sysctl("net/mptcp/enabled", "1")?;
    write_sysctl("net/ipv4/conf/all/rp_filter", "0")?;
    let mut lines = vec!["mptcp limits set subflows 8 add_addr_accepted 8".to_owned()];
    for (place, name) in TAPS.iter().enumerate().skip(1).filter(|_| signal) {
        let address = format!("192.168.{}.101", 56 + place);
        lines.push(format!("mptcp endpoint add {address} dev {name} signal"));
    }
    ip_batch(&[], &lines)
}

/// What the card with this address is called now.
fn card(mac: &str) -> Result<String> {
    let cannot = |e: std::io::Error| NetError::io("cannot look for network cards", &e);
    let all = std::fs::read_dir("/sys/class/net").map_err(cannot)?;
    let is_it = |path: &Path| {
        std::fs::read_to_string(path.join("address")).is_ok_and(|text| text.trim() == mac)
    };
    let found = all.flatten().find(|entry| is_it(&entry.path()));
    found.and_then(|entry| entry.file_name().into_string().ok()).ok_or_else(|| {
        let why = "the guest's kernel has no driver for it, or QEMU was started otherwise";
        NetError::new(
            ErrorKind::NotFound,
            format!("there is no card {mac}"),
            why,
            "see the console",
        )
    })
}

/// The serial line that orders come by.
fn line() -> Result<File> {
    let cannot = |e: std::io::Error| NetError::io("cannot open the line for orders", &e);
    let ports = std::fs::read_dir("/dev").map_err(cannot)?.flatten();
    let mut ports = ports.filter(|port| port.file_name().to_string_lossy().starts_with("vport"));
    let port = ports.next().ok_or_else(|| cannot(std::io::ErrorKind::NotFound.into()))?;
    File::options().read(true).write(true).open(port.path()).map_err(cannot)
}
