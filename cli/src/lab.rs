//! `mpuser lab`: namespace labs.

use crate::args::{Lab, LabDown, LabExec, LabUp};
use crate::error::Failure;
use crate::output::{self, Printer};
use crate::units;
use mpuser_tun::lab::proxies::{self, ProxyLab, ProxyLabOptions};
use mpuser_tun::lab::vm::{self, VmLab, VmLabOptions};
use mpuser_tun::lab::{self, LabInfo, LabOptions, LabState};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Runs one of the lab's commands.
pub(crate) fn run(command: &Lab, printer: Printer) -> Result<ExitCode, Failure> {
    match command {
        Lab::Up(args) => up(args, printer),
        Lab::Exec(args) => exec(args),
        Lab::Down(args) => down(args, printer),
        Lab::List => list(printer),
        Lab::Guest(args) => Ok(vm::guest::run(!args.no_signal).map(|()| ExitCode::SUCCESS)?),
    }
}

/// What the user asks to be built.
#[derive(Debug)]
enum Wanted {
    Seed(LabOptions),
    Proxies(ProxyLabOptions),
    Vm(VmLabOptions),
}

/// The lab's topology by the name the user gave.
fn wanted(args: &LabUp) -> Result<Wanted, Failure> {
    let rate = args.rate.map(|bits| format!("{bits}bit"));
    if args.name == proxies::NAME {
        let options = ProxyLabOptions { rate, ..ProxyLabOptions::default() };
        let proxies = args.proxies.unwrap_or(options.proxies);
        return Ok(Wanted::Proxies(ProxyLabOptions { proxies, ..options }));
    }
    if args.name == vm::NAME {
        let (guest, options) = (args.guest.clone(), VmLabOptions::default());
        return Ok(Wanted::Vm(VmLabOptions {
            kernel: guest.kernel.unwrap_or(options.kernel),
            memory_mib: guest.memory.unwrap_or(options.memory_mib),
            cpus: guest.cpus.unwrap_or(options.cpus),
            kvm: guest.kvm,
            server_signal: !args.no_signal,
            name: options.name,
        }));
    }
    if args.name != lab::SEED || args.proxies.is_some() || !args.guest.is_plain() {
        return Err(Failure::usage(
            format!("there is no such lab as `{}`", args.name),
            format!(
                "the labs are: {} (client and server over three networks), {} (one network, --proxies N), \
                 {} (another kernel, --kernel SERIES)",
                lab::SEED,
                proxies::NAME,
                vm::NAME
            ),
            "run `mpuser lab up seed`, `mpuser lab up proxies` or `mpuser lab up vm`",
        ));
    }
    Ok(Wanted::Seed(LabOptions {
        rate,
        server_signal: !args.no_signal,
        ipv6: args.ipv6,
        ..LabOptions::default()
    }))
}

fn up(args: &LabUp, printer: Printer) -> Result<ExitCode, Failure> {
    let (object, text) = match wanted(args)? {
        Wanted::Seed(options) => {
            let lab = lab::up(&options)?;
            (lab_object(lab.state()), topology(lab.state()))
        }
        Wanted::Proxies(options) => {
            let lab = proxies::up(&options)?;
            (proxies_object(&lab), proxies_topology(&lab))
        }
        Wanted::Vm(options) => {
            let program = std::env::current_exe()
                .map_err(|error| Failure::io("cannot find the program itself", &error))?;
            let lab = vm::up(&options, &program, &|what| printer.line(what))?;
            (serde_json::to_value(&lab).unwrap_or_default(), vm_topology(&lab))
        }
    };
    if printer.json {
        output::stdout(&format!("{object}\n"));
    } else {
        printer.line(&text);
    }
    Ok(ExitCode::SUCCESS)
}

fn vm_topology(lab: &VmLab) -> String {
    let name = &lab.options.name;
    let mut text = format!(
        "lab {name} is up: a guest with Linux {}, which answered after {:.1} s",
        lab.release,
        Duration::from_millis(lab.boot_ms).as_secs_f64(),
    );
    for net in 56..59 {
        // writing to a String cannot fail
        let _ = write!(text, "\n  eth{}  192.168.{net}.100 --- 192.168.{net}.101", net - 55);
    }
    let port = vm::SERVER_PORT;
    let _ = write!(
        text,
        "\nits kernel echoes on port {port} over MPTCP\n\
         next: mpuser lab exec --lab {name} client -- mpuser connect 192.168.56.101:{port}\n      \
         mpuser lab exec --lab {name} server -- ss -Mtni"
    );
    text
}

fn proxies_object(lab: &ProxyLab) -> Value {
    let mut object = serde_json::to_value(lab).unwrap_or_default();
    object["name"] = json!(lab.options.name);
    object["client"] = json!(proxies::CLIENT);
    object["server"] = json!(proxies::SERVER);
    object
}

fn proxies_topology(lab: &ProxyLab) -> String {
    let ProxyLabOptions { name, rate, .. } = &lab.options;
    let rate = rate.as_deref().map(shown_rate).unwrap_or_default();
    let mut text = format!(
        "lab {name} is up: client {} with one network card, server {} behind proxies that forward packets",
        proxies::CLIENT,
        proxies::SERVER
    );
    for proxy in &lab.proxies {
        // writing to a String cannot fail
        let _ = write!(text, "\n  {}  {} --- {}{rate}", proxy.role, proxy.front, proxy.back);
    }
    let vias: String = lab.proxies.iter().map(|proxy| format!(" --via {}", proxy.front)).collect();
    let _ = write!(
        text,
        "\nnext: mpuser lab exec --lab {name} server -- mptcpize run SERVER ...\n      \
         mpuser lab exec --lab {name} client -- mpuser connect {}:PORT{vias}",
        proxies::SERVER
    );
    text
}

fn lab_object(state: &LabState) -> Value {
    let nodes: Vec<_> = state
        .nodes
        .iter()
        .map(|node| json!({ "role": node.role, "namespace": node.namespace }))
        .collect();
    let paths: Vec<_> = state
        .paths
        .iter()
        .map(|path| {
            json!({
                "dev": path.dev,
                "client": path.client.to_string(),
                "server": path.server.to_string(),
                "engine_prefix": path.engine_prefix.map(|prefix| prefix.to_string()),
                "ipv6": path.ipv6,
            })
        })
        .collect();
    json!({
        "schema": "mpuser.lab/1", "name": state.name, "nodes": nodes, "paths": paths,
        "rate": state.options.rate, "server_signal": state.options.server_signal,
    })
}

fn topology(state: &LabState) -> String {
    let mut text = format!("lab {} is up: client and server joined by", state.name);
    for path in &state.paths {
        // writing to a String cannot fail
        let _ = write!(text, "\n  {}  {} --- {}", path.dev, path.client, path.server);
        if let Some(six) = path.ipv6 {
            let _ = write!(text, ", {} --- {}", six.client, six.server);
        }
        if let Some(rate) = &state.options.rate {
            text += &shown_rate(rate);
        }
    }
    text + "\nnext: mpuser lab exec client -- COMMAND; mpuser lab down"
}

fn shown_rate(rate: &str) -> String {
    let bits = units::parse_rate(rate).map(units::float);
    format!("  {}", bits.map_or_else(|_| rate.to_owned(), units::bit_rate))
}

/// Becomes the command: signals, terminal and exit code are its own.
fn exec(args: &LabExec) -> Result<ExitCode, Failure> {
    // the seed lab's nodes have no prefix; a full namespace name or LAB/NODE stays as it is
    let full = args.node.contains('/') || args.node.starts_with("mpu-");
    let plain = !full && args.lab != lab::SEED;
    if args.node == "server"
        && let Some(guest) = vm::find(&args.lab)?
    {
        return exec_in_guest(&guest, &args.command);
    }
    let node = if plain { format!("{}/{}", args.lab, args.node) } else { args.node.clone() };
    let namespace = lab::namespace_of(&node)?;
    Err(lab::become_in(&namespace, &args.command).into())
}

/// Runs a command in the guest; it has no standard input.
fn exec_in_guest(guest: &VmLab, command: &[OsString]) -> Result<ExitCode, Failure> {
    let words = command.iter().map(|word| word.to_string_lossy().into_owned());
    let argv: Vec<String> = words.collect();
    // whoever closed one of the two does not want to read it
    let mut out = |octets: &[u8]| drop(std::io::stdout().write_all(octets));
    let mut err = |octets: &[u8]| drop(std::io::stderr().write_all(octets));
    let code = guest.exec(&argv, &mut out, &mut err)?;
    let _ = std::io::stdout().flush();
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn down(args: &LabDown, printer: Printer) -> Result<ExitCode, Failure> {
    let mut left = Vec::new();
    let removed = if args.all {
        let removed = lab::down_all()?;
        // what killed processes left in namespaces that stay
        let recovered = mpuser_tun::net::recover()?;
        left = recovered.left;
        [removed, recovered.done].concat()
    } else {
        let name = args.name.as_deref().unwrap_or(lab::SEED);
        if lab::down(name)? { vec![name.to_owned()] } else { Vec::new() }
    };
    if printer.json {
        output::stdout(&format!(
            "{}\n",
            json!({ "schema": "mpuser.lab.down/1", "removed": removed })
        ));
    } else if removed.is_empty() {
        printer.line("nothing to remove");
    } else {
        printer.line(&format!("removed {}", removed.join(", ")));
    }
    left.into_iter().next().map_or(Ok(ExitCode::SUCCESS), |error| Err(error.into()))
}

fn list(printer: Printer) -> Result<ExitCode, Failure> {
    let labs = lab::list()?;
    if printer.json {
        output::stdout(&format!("{}\n", json!({ "schema": "mpuser.lab.list/1", "labs": labs })));
    } else if labs.is_empty() {
        printer.line("no lab is up");
    } else {
        output::stdout(&labs.iter().map(list_line).collect::<String>());
    }
    Ok(ExitCode::SUCCESS)
}

fn list_line(lab: &LabInfo) -> String {
    let state = if lab.whole { "up" } else { "broken: mpuser lab down removes it" };
    format!("{}  {}  {state}\n", lab.name, lab.namespaces.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::lab::Guest;

    #[test]
    fn flags_become_options() {
        let args = |name: &str, proxies| LabUp {
            name: name.into(),
            rate: Some(20_000_000),
            no_signal: true,
            ipv6: true,
            proxies,
            guest: Guest::default(),
        };
        let Wanted::Seed(options) = wanted(&args("seed", None)).unwrap() else { panic!() };
        assert_eq!(options.rate.as_deref(), Some("20000000bit"));
        assert!(!options.server_signal);
        let Wanted::Proxies(options) = wanted(&args("proxies", Some(3))).unwrap() else { panic!() };
        assert_eq!((options.rate.as_deref(), options.proxies), (Some("20000000bit"), 3));
        for (name, proxies) in [("moon", None), ("seed", Some(2))] {
            assert_eq!(wanted(&args(name, proxies)).unwrap_err().code.exit(), 2);
        }
    }
}
