//! The name server a program finds: where the machine's own is on the loopback device, ours stands in for it.

use crate::error::Failure;
use crate::output::Printer;
use mpuser_proxy::run::NAME_SERVER;
use mpuser_proxy::run::resolver::{self, Resolver};
use mpuser_tun::net::state_dir;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What is shown to the program; the file goes with this value.
#[derive(Debug, Default)]
pub(super) struct NameServer {
    server: Option<SocketAddr>,
    file: Option<PathBuf>,
}

impl NameServer {
    /// Looks how this machine finds names, and writes a file for the program where it cannot do so itself.
    pub(super) fn find(printer: &Printer) -> Result<Self, Failure> {
        let Ok(text) = std::fs::read_to_string(RESOLV_CONF) else {
            printer
                .detail(&format!("{RESOLV_CONF} cannot be read: the program has no name server"));
            return Ok(Self::default());
        };
        let Some(Resolver { text, server }) = resolver::replace(&text, NAME_SERVER) else {
            return Ok(Self::default());
        };
        let path = state_dir()?.join(format!("resolv-{}.conf", std::process::id()));
        let failed = |error| Failure::io(format!("cannot write {}", path.display()), &error);
        let mut options = std::fs::OpenOptions::new();
        // whatever user the program becomes reads it
        let file = options.write(true).create(true).truncate(true).mode(0o644).open(&path);
        let written =
            file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        written.map_err(failed)?;
        printer.detail(&format!("names: {server} answers as {NAME_SERVER}"));
        Ok(Self { server: Some(server), file: Some(path) })
    }

    /// The machine's own, where it is on the loopback device.
    pub(super) const fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    /// What the program reads in the place of `/etc/resolv.conf`.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // the program has it mounted; its name is of no use to anybody
            let _ = std::fs::remove_file(file);
        }
    }
}
