//! `mpuser settings` and `mpuser set`: settings of running processes.

use super::args::{Set, SettingsArgs};
use super::{ask, describe, processes, targets};
use crate::error::Failure;
use crate::output::{Printer, stdout};
use mpuser_engine::settings;
use mpuser_tun::control::{Reply, Request, SettingReport};
use serde_json::{Value, json};
use std::process::ExitCode;

/// `mpuser settings [NAME...]`
pub(crate) fn show(args: &SettingsArgs, printer: Printer) -> Result<ExitCode, Failure> {
    let wanted: Vec<&str> =
        args.names.iter().map(|name| known(name)).collect::<Result<_, Failure>>()?;
    let mut objects = Vec::new();
    let mut processes = processes(&args.which)?;
    let several = processes.len() > 1;
    for process in &mut processes {
        let replies = ask(process, &Request::Settings)?;
        if several && !printer.json {
            stdout(&format!("# {}\n", describe(process)));
        }
        let mut values = Vec::new();
        for reply in replies {
            let Reply::Setting(setting) = reply else { continue };
            if !wanted.is_empty() && !wanted.contains(&setting.name.as_str()) {
                continue;
            }
            if !printer.json {
                stdout(&format!("{} = {}\n", setting.name, setting.value));
            }
            values.push(setting);
        }
        objects.push(json!({ "pid": process.pid, "title": process.title, "settings": values }));
    }
    if printer.json {
        stdout(&format!("{}\n", json!({ "schema": "mpuser.settings/1", "processes": objects })));
    }
    Ok(ExitCode::SUCCESS)
}

/// `mpuser set NAME=VALUE...`: nothing is sent before all of them are understood.
pub(crate) fn set(args: &Set, printer: Printer) -> Result<ExitCode, Failure> {
    let mut wishes = Vec::new();
    for assignment in &args.assignments {
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(Failure::usage(
                format!("{assignment:?} is not understood"),
                "a setting is written NAME=VALUE, without blanks",
                "mpuser set close_timeout=30",
            ));
        };
        wishes.push((known(name.trim())?, value.trim()));
    }
    let mut objects = Vec::new();
    for process in &mut targets(&args.target)? {
        for (name, value) in &wishes {
            let request = Request::Set { name: (*name).to_owned(), value: (*value).to_owned() };
            for reply in ask(process, &request)? {
                let Reply::Changed { old, setting } = reply else { continue };
                if !printer.json {
                    stdout(&changed(&describe(process), &old, &setting));
                }
                objects.push(object(process.pid, &old, &setting));
            }
        }
    }
    if printer.json {
        stdout(&format!("{}\n", json!({ "schema": "mpuser.set/1", "changes": objects })));
    }
    Ok(ExitCode::SUCCESS)
}

fn changed(who: &str, old: &str, setting: &SettingReport) -> String {
    let SettingReport { name, value, reach } = setting;
    format!("{name} = {value}  # was {old}; for {reach} of {who}\n")
}

fn object(pid: u32, old: &str, setting: &SettingReport) -> Value {
    json!({
        "pid": pid, "name": setting.name, "old": old, "new": setting.value, "reach": setting.reach,
    })
}

/// The full name of a setting; a mistake needs no process to be seen.
fn known(name: &str) -> Result<&'static str, Failure> {
    let setting = settings::find(name);
    setting.map(|setting| setting.name).ok_or_else(|| crate::settings::unknown(name))
}
