//! The processes of a guest: QEMU, and the one that lends it this machine's files.

use super::VmLabOptions;
use super::kernel::Kernel;
use crate::lab::exec;
use crate::net::{ErrorKind, NetError, Result, find_tool, send_signal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The guest's network cards, and the taps they hang on in the client's namespace.
pub(super) const TAPS: [&str; 3] = ["eth1", "eth2", "eth3"];

/// Where QEMU's programs for sharing files are; the first is the old one, with options of its own.
const SHARERS: [&str; 4] = [
    "/usr/lib/qemu/virtiofsd",
    "/usr/libexec/virtiofsd",
    "/usr/lib/virtiofsd",
    "/usr/bin/virtiofsd",
];

/// The address of a guest's card by its place.
pub(super) fn mac(place: usize) -> String {
    format!("52:54:00:83:00:{:02x}", place + 1)
}

/// Where a guest's sockets and its console are.
#[derive(Clone, Debug)]
pub(super) struct Places(PathBuf);

impl Places {
    pub(super) fn of(state_dir: &Path, name: &str) -> Self {
        Self(state_dir.join(format!("vm-{name}")))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    /// Where orders go.
    pub(super) fn agent(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// What its kernel says.
    pub(super) fn console(&self) -> PathBuf {
        self.0.join("console.log")
    }

    fn files(&self) -> PathBuf {
        self.0.join("files.sock")
    }

    fn image(&self) -> PathBuf {
        self.0.join("first-root")
    }
}

/// Starts both in `namespace`; they go on by themselves.
pub(super) fn start(
    places: &Places,
    namespace: &str,
    options: &VmLabOptions,
    kernel: &Kernel,
    image: &[u8],
) -> Result<()> {
    let cannot = |e: std::io::Error| NetError::io("cannot prepare the guest", &e);
    let _ = std::fs::remove_dir_all(places.directory());
    std::fs::create_dir_all(places.directory()).map_err(cannot)?;
    std::fs::write(places.image(), image).map_err(cannot)?;
    let log = std::fs::File::create(places.directory().join("files.log")).map_err(cannot)?;
    let mut sharer = sharer(&places.files())?;
    sharer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    sharer.spawn().map_err(cannot)?;
    until(|| places.files().exists(), "virtiofsd makes no socket", places)?;
    let mut qemu = Command::new(tool("qemu-system-x86_64", "qemu-system-x86")?);
    qemu.args(arguments(places, options, kernel)).stdin(Stdio::null());
    let log = std::fs::File::create(places.directory().join("qemu.log")).map_err(cannot)?;
    qemu.stdout(Stdio::null()).stderr(log);
    let status = exec::spawn(namespace, qemu)?.wait().map_err(cannot)?;
    if status.success() {
        return Ok(());
    }
    let said = std::fs::read_to_string(places.directory().join("qemu.log")).unwrap_or_default();
    let help = "run `mpuser lab up vm --kernel 6.1` without further options, or install qemu-system-x86 anew";
    Err(NetError::new(ErrorKind::Command, "QEMU does not start", said.trim().to_owned(), help))
}

fn tool(name: &str, package: &str) -> Result<String> {
    find_tool(name).ok_or_else(|| {
        NetError::new(
            ErrorKind::MissingTool,
            format!("cannot run `{name}`"),
            "it is not installed",
            format!("install the package {package}"),
        )
    })
}

fn sharer(socket: &Path) -> Result<Command> {
    let Some(program) = SHARERS.into_iter().find(|path| Path::new(path).is_file()) else {
        return Err(NetError::new(
            ErrorKind::MissingTool,
            "there is no virtiofsd, which lends the guest this machine's files",
            format!("none of {} is there", SHARERS.join(", ")),
            "install the package qemu-system-common, or virtiofsd where that is one of its own",
        ));
    };
    let mut command = Command::new(program);
    command.arg(format!("--socket-path={}", socket.display()));
    if program == SHARERS[0] {
        command.args(["-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot"]);
    } else {
        command.args(["--shared-dir=/", "--cache=always", "--sandbox=chroot"]);
    }
    Ok(command)
}

fn arguments(places: &Places, options: &VmLabOptions, kernel: &Kernel) -> Vec<String> {
    let VmLabOptions { name, memory_mib, cpus, kvm, .. } = options;
    let accelerator = if *kvm { "kvm" } else { "tcg,thread=multi" };
    let cpu = if *kvm { "host" } else { "qemu64" };
    let mut words = vec![
        format!("-name {}", super::process_name(name)),
        format!("-accel {accelerator} -M q35 -cpu {cpu} -m {memory_mib} -smp {cpus}"),
        "-nodefaults -no-user-config -no-reboot -display none -daemonize".to_owned(),
        format!("-object memory-backend-memfd,id=memory,size={memory_mib}M,share=on"),
        "-numa node,memdev=memory".to_owned(),
        format!("-serial file:{}", places.console().display()),
        format!("-chardev socket,id=files,path={}", places.files().display()),
        "-device vhost-user-fs-pci,chardev=files,tag=host".to_owned(),
        "-device virtio-serial-pci".to_owned(),
        format!("-chardev socket,id=agent,path={},server=on,wait=off", places.agent().display()),
        "-device virtserialport,chardev=agent,name=mpuser".to_owned(),
        format!("-kernel {} -initrd {}", kernel.image.display(), places.image().display()),
    ];
    for (place, tap) in TAPS.iter().enumerate() {
        words.push(format!("-netdev tap,id=net{place},ifname={tap},script=no,downscript=no"));
        words.push(format!("-device virtio-net-pci,netdev=net{place},mac={}", mac(place)));
    }
    let words = words.iter().flat_map(|line| line.split(' ')).map(str::to_owned);
    // on a panic it ends, and with it the lab
    let kernel_line = "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off";
    words.chain(["-append".to_owned(), kernel_line.to_owned()]).collect()
}

/// Waits until it is so; says what happened otherwise, with the end of the guest's console.
pub(super) fn until(mut done: impl FnMut() -> bool, what: &str, places: &Places) -> Result<()> {
    for _ in 0..600 {
        if done() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let console = std::fs::read_to_string(places.console()).unwrap_or_default();
    let last: Vec<&str> = console.lines().rev().take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(NetError::new(
        ErrorKind::Command,
        what,
        format!("a minute has passed; its console: {:?}", last.join("; ")),
        "a machine without KVM emulates the guest, which needs a core to itself: try again when it is quiet",
    ))
}

/// Ends the processes of the guest of this name; whether there were any.
pub(super) fn stop(places: &Places, name: &str) -> bool {
    let (qemu, files) = (super::process_name(name), places.files());
    let socket = format!("--socket-path={}", files.display());
    let ours = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        let program = String::from_utf8_lossy(program).into_owned();
        (program.contains("qemu-system") && words.clone().any(|word| word == qemu.as_bytes()))
            || (program.ends_with("virtiofsd") && words.any(|word| word == socket.as_bytes()))
    };
    let pids = || -> Vec<u32> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(ours).collect()
    };
    let there = pids();
    for pid in &there {
        // it may have ended by itself
        let _ = send_signal(*pid, libc::SIGKILL);
    }
    let gone = || pids().is_empty();
    let _ = until(gone, "the guest does not end", places);
    let _ = std::fs::remove_dir_all(places.directory());
    !there.is_empty()
}
