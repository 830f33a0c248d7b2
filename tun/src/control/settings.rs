//! Settings of a running process: what they are, and changes.

use super::protocol::{Refusal, Reply};
use super::report::SettingReport;
use crate::stack::Stack;
use mpuser_engine::settings::{self, Kind, Reach, SETTINGS, Setting, SettingError, Settings};

/// Every setting a stack knows of; the others belong to the program around it.
pub(super) fn all(stack: &Stack) -> Vec<Reply> {
    let values = stack.settings();
    let known = SETTINGS.iter().filter(|setting| setting.reach != Reach::Start);
    known.map(|setting| Reply::Setting(report(setting, &values))).collect()
}

fn report(setting: &'static Setting, values: &Settings) -> SettingReport {
    let fixed = setting.kind == Kind::ReadOnly;
    SettingReport {
        name: setting.name.to_owned(),
        value: setting.get(values),
        reach: if fixed { "nothing" } else { setting.reach.as_str() }.to_owned(),
    }
}

/// Changes one, and says what it was.
pub(super) fn set(stack: &Stack, name: &str, value: &str) -> Result<Vec<Reply>, Refusal> {
    let refuse = |error: SettingError<'_>, help: &str| {
        Refusal::new(format!("cannot set {name}"), error.to_string(), help)
    };
    let setting = settings::find(name)
        .ok_or_else(|| refuse(SettingError::Unknown(name), "`mpuser settings` lists all"))?;
    let old = setting.get(&stack.settings());
    stack.change_setting(setting, value).map_err(|error| {
        let help = match error {
            SettingError::AtStart(_) => "give it with --set, or in the configuration file",
            SettingError::ReadOnly(_) => "`mpuser settings` shows it",
            _ => "`mpuser config show -v` says what each may be",
        };
        refuse(error, help)
    })?;
    Ok(vec![Reply::Changed { old, setting: report(setting, &stack.settings()) }])
}
