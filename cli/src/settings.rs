//! Settings from the configuration file, the environment and `--set`, in this order: the later one wins. Flags of
//! their own, like `--checksum`, win over all.

use crate::args::Global;
use crate::error::{Code, Failure};
use mpuser_engine::settings::{self, SETTINGS, Setting, SettingError, Settings};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody said anything.
    #[default]
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// `--set`.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "{name}"),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// Settings and where each came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) values: Settings,
    sources: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Where a setting's value came from.
    pub(crate) fn source(&self, setting: &Setting) -> Source {
        self.sources.get(setting.name).cloned().unwrap_or_default()
    }

    fn set(&mut self, name: &str, value: &str, source: &Source) -> Result<(), Failure> {
        self.values.set(name, value).map_err(|error| refused(&error, source))?;
        // it was found a line above
        if let Some(setting) = settings::find(name) {
            self.sources.insert(setting.name, source.clone());
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
        self.text(&text, path)
    }

    fn text(&mut self, text: &str, path: &Path) -> Result<(), Failure> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            Failure::new(
                Code::Malformed,
                format!("{} is no TOML", path.display()),
                format!("line {line}: {}", error.message()),
                "it is written like `[net.mptcp]` and below it `checksum_enabled = 1`",
            )
        })?;
        let mut values = Vec::new();
        flatten("", &table, &mut values);
        let source = Source::File(path.to_owned());
        values.into_iter().try_for_each(|(name, value)| self.set(&name, &value, &source))
    }

    fn environment(&mut self, get: impl Fn(&str) -> Option<OsString>) -> Result<(), Failure> {
        for setting in SETTINGS {
            let name = variable(setting);
            let Some(value) = get(&name) else { continue };
            let value = value.to_string_lossy().into_owned();
            self.set(setting.name, &value, &Source::Environment(name))?;
        }
        Ok(())
    }

    fn flags(&mut self, assignments: &[String]) -> Result<(), Failure> {
        for assignment in assignments {
            let Some((name, value)) = assignment.split_once('=') else {
                return Err(refused(&SettingError::Form(assignment), &Source::Flag));
            };
            self.set(name.trim(), value, &Source::Flag)?;
        }
        Ok(())
    }
}

/// The variable that sets it: `MPUSER_CHECKSUM_ENABLED`.
pub(crate) fn variable(setting: &Setting) -> String {
    format!("MPUSER_{}", setting.short_name().to_uppercase())
}

/// `[net.mptcp] enabled = 1` is `net.mptcp.enabled = 1`.
fn flatten(prefix: &str, table: &toml::Table, into: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, into),
            toml::Value::String(text) => into.push((name, text.clone())),
            // numbers, booleans; anything else is refused by the setting
            other => into.push((name, other.to_string())),
        }
    }
}

/// The configuration file there is, or would be: `--config`, else `mpuser/config.toml` where the user keeps such
/// files.
pub(crate) fn path(global: &Global) -> Option<PathBuf> {
    if let Some(path) = &global.config {
        return Some(path.clone());
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(home.join("mpuser/config.toml"))
}

/// Everything that was said, by whomever.
pub(crate) fn load(global: &Global) -> Result<Loaded, Failure> {
    let mut loaded = Loaded::default();
    match path(global) {
        // a file that was asked for has to be there
        Some(path) if global.config.is_some() || path.exists() => loaded.file(&path)?,
        _ => {}
    }
    loaded.environment(|name| std::env::var_os(name))?;
    loaded.flags(&global.set)?;
    Ok(loaded)
}

/// Checks one file and nothing else.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    Loaded::default().file(path)
}

fn refused(error: &SettingError<'_>, source: &Source) -> Failure {
    let code = if matches!(source, Source::File(_)) { Code::Malformed } else { Code::Usage };
    let what = match source {
        Source::File(path) => format!("{} cannot be used", path.display()),
        Source::Environment(name) => format!("the variable {name} cannot be used"),
        Source::Flag | Source::Default => "--set is not understood".to_owned(),
    };
    let help = match error {
        SettingError::Unknown(name) => match nearest(name) {
            Some(near) => format!("did you mean `{near}`? `mpuser config show` lists all"),
            None => "`mpuser config show` lists all".to_owned(),
        },
        _ => "`mpuser config show -v` says what each may be".to_owned(),
    };
    Failure::new(code, what, error, help)
}

/// The name most like this one, if any is like it at all.
fn nearest(name: &str) -> Option<&'static str> {
    let short = name.rsplit('.').next().unwrap_or(name);
    let names = SETTINGS.iter().flat_map(|setting| {
        std::iter::once((setting.short_name(), setting.name))
            .chain(setting.aliases.iter().map(|alias| (*alias, *alias)))
    });
    let like =
        names.map(|(word, full)| (strsim::normalized_damerau_levenshtein(short, word), full));
    let best = like.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.5).map(|(_, full)| full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Loaded, Failure> {
        let mut loaded = Loaded::default();
        loaded.text(text, Path::new("c.toml")).map(|()| loaded)
    }

    #[test]
    fn a_file_says_it_in_tables_or_by_full_names() {
        let all = loaded(
            "mptcp_syn_retries = 3\n\"net.ipv4.tcp_sack\" = false\n[net.mptcp]\nchecksum_enabled = true\n\
             close_timeout = \"30\"\n",
        );
        let all = all.unwrap();
        assert!(all.values.connection.checksum && !all.values.connection.tcp.sack);
        assert_eq!(all.values.connection.syn_retrans_before_tcp_fallback, 3);
        let checksum = settings::find("checksum_enabled").unwrap();
        assert_eq!(all.source(checksum), Source::File("c.toml".into()));
        assert_eq!(all.source(settings::find("enabled").unwrap()), Source::Default);
    }

    #[test]
    fn the_flag_wins_over_the_environment_and_that_over_the_file() {
        let mut all =
            loaded("[net.mptcp]\nclose_timeout = 1\nstale_loss_cnt = 1\nenabled = 0\n").unwrap();
        let environment = |name: &str| match name {
            "MPUSER_CLOSE_TIMEOUT" | "MPUSER_STALE_LOSS_CNT" => Some("2".into()),
            _ => None,
        };
        all.environment(environment).unwrap();
        all.flags(&["stale_loss_cnt=3".to_owned()]).unwrap();
        let got = |name| {
            let setting = settings::find(name).unwrap();
            (setting.get(&all.values), all.source(setting).to_string())
        };
        assert_eq!(got("enabled"), ("0".to_owned(), "c.toml".to_owned()));
        assert_eq!(got("close_timeout"), ("2".to_owned(), "MPUSER_CLOSE_TIMEOUT".to_owned()));
        assert_eq!(got("stale_loss_cnt"), ("3".to_owned(), "--set".to_owned()));
    }

    #[test]
    fn mistakes_name_the_key_and_the_nearest_one() {
        for (text, because, help) in [
            ("[net.mptcp]\nenabld = 1", "\"net.mptcp.enabld\"", "`net.mptcp.enabled`"),
            ("mptcp_shceduler = \"rr\"", "\"mptcp_shceduler\"", "`mptcp_scheduler`"),
            ("zzz = 1", "\"zzz\"", "lists all"),
            ("[net.mptcp]\nenabled = [1]", "net.mptcp.enabled cannot be", "show -v"),
            ("a = = 1", "line 1", "written like"),
        ] {
            let failure = loaded(text).unwrap_err();
            assert_eq!(failure.code, Code::Malformed, "{text}");
            assert!(failure.because.contains(because), "{}", failure.because);
            assert!(failure.help.contains(help), "{}", failure.help);
        }
        let failure = Loaded::default().flags(&["enabled".to_owned()]).unwrap_err();
        assert_eq!(failure.code, Code::Usage);
    }
}
