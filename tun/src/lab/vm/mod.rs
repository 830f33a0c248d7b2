//! A lab whose server is a virtual machine with a kernel of its own: the seed's addresses, three tap devices, Debian's
//! kernels under QEMU.
//!
//! ```text
//! mpu-vm-client                      the guest
//!   eth1 192.168.56.100 ------------- 192.168.56.101
//!   eth2 192.168.57.100 ------------- 192.168.57.101
//!   eth3 192.168.58.100 ------------- 192.168.58.101
//! ```
//!
//! The guest sees this machine's files, and forgets what it writes, so every program of this machine runs there.

mod agent;
pub mod guest;
mod image;
mod kernel;
mod machine;

use super::build::{ipv4_only, paths};
use super::state::{Node, Saved, check_name, load};
use super::{LabOptions, LabPath, LabState, find_or_make, privileged};
use crate::net::{ErrorKind, NetError, Netns, Result, ip_batch, state_dir, write_sysctl};
use machine::{Places, TAPS};
use serde::{Deserialize, Serialize};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What this lab is called unless it is named.
pub const NAME: &str = "vm";
/// Where the guest's kernel echoes over MPTCP, on each of its addresses.
pub const SERVER_PORT: u16 = 7000;

const SCHEMA: &str = "mpuser.lab.vm/1";

/// How the lab is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmLabOptions {
    /// As in [`LabOptions`].
    pub name: String,
    /// A series of kernels as Debian has it ("6.1"), or a directory with one.
    pub kernel: String,
    /// The guest's memory, MiB.
    pub memory_mib: u32,
    /// The guest's processors.
    pub cpus: u8,
    /// Whether KVM runs it; it is emulated otherwise.
    pub kvm: bool,
    /// Whether it announces its second and third address (ADD_ADDR).
    pub server_signal: bool,
}

impl Default for VmLabOptions {
    fn default() -> Self {
        Self {
            name: NAME.to_owned(),
            kernel: "6.1".to_owned(),
            memory_mib: 1024,
            cpus: 1,
            kvm: false,
            server_signal: true,
        }
    }
}

/// The lab, up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmLab {
    /// The version of this format.
    pub schema: String,
    /// What it was built with.
    pub options: VmLabOptions,
    /// The namespace of the client.
    pub client: Node,
    /// Its links, as those of the seed.
    pub paths: Vec<LabPath>,
    /// What `uname -r` says in the guest.
    pub release: String,
    /// From the start of QEMU to the guest's first answer, milliseconds.
    pub boot_ms: u64,
}

impl Saved for VmLab {
    fn is_of(&self, name: &str) -> bool {
        self.schema == SCHEMA && self.options.name == name
    }

    /// Somebody holds the guest's line. It need not answer now: it serves one command at a time, and who comes second waits.
    fn stands(&self) -> bool {
        let line = |dir: PathBuf| Places::of(&dir, &self.options.name).agent();
        let held = |dir| UnixStream::connect(line(dir)).is_ok();
        self.client.is_there() && state_dir().is_ok_and(held)
    }
}

/// What the guest's QEMU is called.
fn process_name(lab: &str) -> String {
    format!("mpuser-lab-{lab}")
}

/// Boots the guest, or finds it running. `program` is mpuser as this machine calls it; it is what runs in the guest.
/// `say` hears of what takes long.
///
/// # Errors
///
/// A name or kernel that cannot be, no root, a tool that is missing, a guest that does not come up within a minute.
pub fn up(options: &VmLabOptions, program: &Path, say: &dyn Fn(&str)) -> Result<VmLab> {
    check_name(&options.name)?;
    if std::env::consts::ARCH != "x86_64" {
        return Err(NetError::new(
            ErrorKind::Usage,
            "the guest cannot be booted here",
            format!("its kernels are for x86_64, and this machine is {}", std::env::consts::ARCH),
            "`mpuser lab up seed` has this machine's kernel as the peer",
        ));
    }
    privileged("make the lab's namespace and devices")?;
    let kernel = kernel::find(&options.kernel, say)?;
    let is_wanted = |lab: &VmLab| lab.options == *options;
    let make = |dir: &Path| boot(dir, options, &kernel, program);
    find_or_make(&options.name, is_wanted, |_| Ok(()), make)
}

fn boot(
    dir: &Path,
    options: &VmLabOptions,
    kernel: &kernel::Kernel,
    program: &Path,
) -> Result<VmLab> {
    let silent = if options.server_signal { "" } else { " --no-signal" };
    let command = format!("{} lab guest{silent}", image::plain(program)?);
    let image = image::build(kernel, &command)?;
    let client = Node::make(&options.name, "client")?;
    Netns::named(&client.namespace)?.run(sysctls)??;
    ip_batch(&["-n", &client.namespace], &client_lines())?;
    let places = Places::of(dir, &options.name);
    let start = crate::clock::now();
    machine::start(&places, &client.namespace, options, kernel, &image)?;
    let mut release = None;
    let answers = || {
        release = agent::ping(&places.agent());
        release.is_some()
    };
    machine::until(answers, "the guest does not answer", &places)?;
    let boot_ms = crate::clock::now().saturating_since(start).as_millis() as u64;
    let (schema, release) = (SCHEMA.to_owned(), release.unwrap_or_default());
    let paths = paths(&LabOptions::default());
    Ok(VmLab { schema, options: options.clone(), client, paths, release, boot_ms })
}

fn sysctls() -> Result<()> {
    ipv4_only()?;
    write_sysctl("net/ipv4/ip_forward", "1")?;
    write_sysctl("net/mptcp/enabled", "1")
}

fn client_lines() -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned()];
    for (place, tap) in TAPS.iter().enumerate() {
        lines.push(format!("tuntap add dev {tap} mode tap"));
        lines.push(format!("address add 192.168.{}.100/24 dev {tap}", 56 + place));
        lines.push(format!("link set {tap} up"));
    }
    lines.push("mptcp limits set subflows 8 add_addr_accepted 8".to_owned());
    lines
}

/// Ends the guest, if there is one; whether there was.
pub(super) fn stop(dir: &Path, name: &str) -> bool {
    machine::stop(&Places::of(dir, name), name)
}

/// The lab of this name, if it is one with a guest and runs.
///
/// # Errors
///
/// The state directory cannot be used.
pub fn find(name: &str) -> Result<Option<VmLab>> {
    Ok(load::<VmLab>(&state_dir()?, name).filter(Saved::stands))
}

impl VmLab {
    /// Seen from the client it is a lab like the seed: three links, and engine addresses that the server routes back.
    pub(super) fn seen_from_client(self) -> LabState {
        let options = LabOptions { name: self.options.name, ..LabOptions::default() };
        LabState::new(&options, vec![self.client], self.paths)
    }

    /// Runs a program in the guest, in this process' directory; `out` and `err` get what it prints. Its exit code.
    ///
    /// # Errors
    ///
    /// The guest is gone, or stopped answering.
    pub fn exec(
        &self,
        argv: &[String],
        out: &mut dyn FnMut(&[u8]),
        err: &mut dyn FnMut(&[u8]),
    ) -> Result<i32> {
        agent::run(&Places::of(&state_dir()?, &self.options.name).agent(), argv, out, err)
    }
}
