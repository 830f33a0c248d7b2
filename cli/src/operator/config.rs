//! `mpuser config`: which settings there are, what they are now, and who said so.

use super::args::Config;
use crate::args::Global;
use crate::error::{Code, Failure};
use crate::output::{Printer, stdout};
use crate::settings::{self, Loaded};
use mpuser_engine::settings::{SETTINGS, Settings};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Shows, checks, or says where the file is.
pub(crate) fn run(
    command: &Config,
    global: &Global,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    match command {
        Config::Show => {
            let loaded = settings::load(global)?;
            stdout(&if printer.json {
                format!("{}\n", object(&loaded))
            } else {
                table(&loaded, global.verbose > 0)
            });
        }
        Config::Check { file } => {
            let file = file.clone().or_else(|| settings::path(global)).ok_or_else(nowhere)?;
            settings::check(&file)?;
            let object = json!({ "schema": "mpuser.config/1", "file": file, "ok": true });
            let text = format!("{}: ok", file.display());
            stdout(&if printer.json { format!("{object}\n") } else { format!("{text}\n") });
        }
        Config::Path => {
            let file = settings::path(global).ok_or_else(nowhere)?;
            let there = file.exists();
            let object = json!({ "schema": "mpuser.config/1", "file": file, "exists": there });
            let text = file.display();
            stdout(&if printer.json { format!("{object}\n") } else { format!("{text}\n") });
            if !there {
                printer.line("note: there is no such file; every setting has its default");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn nowhere() -> Failure {
    Failure::new(
        Code::Usage,
        "there is no configuration file",
        "neither XDG_CONFIG_HOME nor HOME says where it would be",
        "name one with --config",
    )
}

fn object(loaded: &Loaded) -> Value {
    let defaults = Settings::default();
    let list = SETTINGS.iter().map(|setting| {
        json!({
            "name": setting.name,
            "aliases": setting.aliases,
            "value": setting.get(&loaded.values),
            "default": setting.get(&defaults),
            "source": loaded.source(setting).to_string(),
            "values": setting.kind.to_string(),
            "doc": setting.doc,
        })
    });
    json!({ "schema": "mpuser.config/1", "settings": list.collect::<Vec<_>>() })
}

/// As `sysctl` prints them; what is not the default says who said so, and `-v` what it is for.
fn table(loaded: &Loaded, verbose: bool) -> String {
    let (defaults, mut text) = (Settings::default(), String::new());
    for setting in SETTINGS {
        let (value, default) = (setting.get(&loaded.values), setting.get(&defaults));
        // writing to a String cannot fail
        let _ = write!(text, "{} = {value}", setting.name);
        let source = loaded.source(setting);
        if source != settings::Source::Default {
            let _ = write!(text, "  # {source}, default {default}");
        }
        text.push('\n');
        if verbose {
            let _ = writeln!(text, "    {} ({})", setting.doc, setting.kind);
            let _ = write!(text, "    {}", settings::variable(setting));
            for alias in setting.aliases {
                let _ = write!(text, ", {alias}");
            }
            text.push('\n');
        }
    }
    text
}
