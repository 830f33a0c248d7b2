//! `mpuser scan`: what answers on a port.

use super::args::Scan;
use super::live::on_wire;
use super::{put, unbuilt};
use crate::address::{Target, resolve};
use crate::error::Failure;
use crate::output::Printer;
use mpuser_craft::scan::{Findings, scan};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Runs the command.
pub(crate) fn run(args: &Scan, printer: Printer) -> Result<ExitCode, Failure> {
    if args.port.contains(&0) {
        return Err(Failure::usage(
            "port 0 cannot be scanned",
            "nobody listens there",
            "ports are 1 to 65535",
        ));
    }
    let port = args.port.first().copied().unwrap_or(80);
    let remotes = resolve(&Target { host: args.host.clone(), port })?;
    on_wire(&remotes, &args.path, args.pcap.as_deref(), printer, |live, remote| {
        let local = live.addresses().first().copied();
        let local =
            local.ok_or_else(|| Failure::internal("there is no path", "none was set up"))?;
        for port in &args.port {
            let remote = SocketAddr::new(remote.ip(), *port);
            let seed = mpuser_tun::system_seed().map_err(|e| Failure::io("no randomness", &e))?;
            let found = scan(live, local, remote, args.timeout, seed);
            put(&text(remote, &found.map_err(|error| unbuilt(&error))?, printer))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn text(remote: SocketAddr, found: &Findings, printer: Printer) -> String {
    if printer.json {
        let mut object = found.object();
        object["schema"] = "mpuser.scan/1".into();
        object["target"] = remote.to_string().into();
        return format!("{object}\n");
    }
    let mut text = format!("{remote}  {}: {}\n", found.verdict.word(), found.verdict.meaning());
    found.lines().iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    text
}
