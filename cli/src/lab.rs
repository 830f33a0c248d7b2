//! `mpuser lab`: namespace labs.

use crate::args::{Lab, LabDown, LabExec, LabUp};
use crate::error::Failure;
use crate::output::{self, Printer};
use crate::units;
use mpuser_tun::lab::{self, LabInfo, LabOptions, LabState};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Runs one of the lab's commands.
pub(crate) fn run(command: &Lab, printer: Printer) -> Result<ExitCode, Failure> {
    match command {
        Lab::Up(args) => up(args, printer),
        Lab::Exec(args) => exec(args),
        Lab::Down(args) => down(args, printer),
        Lab::List => list(printer),
    }
}

/// The lab's topology by the name the user gave.
fn options(args: &LabUp) -> Result<LabOptions, Failure> {
    if args.name != lab::SEED {
        return Err(Failure::usage(
            format!("there is no lab called `{}`", args.name),
            format!("the labs are: {} (client and server over three networks)", lab::SEED),
            "run `mpuser lab up seed`",
        ));
    }
    let rate = args.rate.map(|bits| format!("{bits}bit"));
    Ok(LabOptions {
        rate,
        server_signal: !args.no_signal,
        ipv6: args.ipv6,
        ..LabOptions::default()
    })
}

fn up(args: &LabUp, printer: Printer) -> Result<ExitCode, Failure> {
    let lab = lab::up(&options(args)?)?;
    let state = lab.state();
    if printer.json {
        output::stdout(&format!("{}\n", lab_object(state)));
    } else {
        printer.line(&topology(state));
    }
    Ok(ExitCode::SUCCESS)
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
            let bits = units::parse_rate(rate).map(units::float);
            let _ = write!(text, "  {}", bits.map_or_else(|_| rate.clone(), units::bit_rate));
        }
    }
    text + "\nnext: mpuser lab exec client -- COMMAND; mpuser lab down"
}

/// Becomes the command: signals, terminal and exit code are its own.
fn exec(args: &LabExec) -> Result<ExitCode, Failure> {
    // the seed lab's nodes have no prefix; a full namespace name or LAB/NODE stays as it is
    let plain = matches!(args.node.as_str(), "client" | "server") && args.lab != lab::SEED;
    let node = if plain { format!("{}/{}", args.lab, args.node) } else { args.node.clone() };
    let namespace = lab::namespace_of(&node)?;
    Err(lab::become_in(&namespace, &args.command).into())
}

fn down(args: &LabDown, printer: Printer) -> Result<ExitCode, Failure> {
    let removed = if args.all {
        let mut removed = lab::down_all()?;
        // what killed processes left in namespaces that stay
        removed.extend(mpuser_tun::net::recover()?);
        removed
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
    Ok(ExitCode::SUCCESS)
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

    #[test]
    fn flags_become_options() {
        let args =
            LabUp { name: "seed".into(), rate: Some(20_000_000), no_signal: true, ipv6: true };
        let options = options(&args).unwrap();
        assert_eq!(options.rate.as_deref(), Some("20000000bit"));
        assert!(!options.server_signal);
        let unknown = LabUp { name: "moon".into(), rate: None, no_signal: false, ipv6: false };
        assert_eq!(super::options(&unknown).unwrap_err().code.exit(), 2);
    }
}
