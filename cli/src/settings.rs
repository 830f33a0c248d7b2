//! Settings from the configuration file, the environment and `--set`, in this order: the later one wins. Flags of
//! their own, like `--checksum`, win over all.

use crate::args::Global;
use crate::error::{Code, Failure};
use mpuser_engine::grammar;
use mpuser_engine::settings::{self, SETTINGS, Setting, SettingError, Settings};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

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

/// A command of `ip mptcp` in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The command: `endpoint add ...` or `limits set ...`.
    pub(crate) line: String,
    place: String,
}

impl Order {
    /// It cannot be carried out.
    pub(crate) fn refused(&self, because: &str) -> Failure {
        Failure::new(
            Code::Malformed,
            format!("{}: `{}` cannot be done", self.place, self.line),
            because,
            "correct it there; `mpuser endpoint --help` and `mpuser limits --help` show the grammar",
        )
    }
}

/// Settings and where each came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) values: Settings,
    /// Limits and endpoints, in this order.
    pub(crate) orders: Vec<Order>,
    sources: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Where a setting's value came from.
    pub(crate) fn source(&self, setting: &Setting) -> Source {
        self.sources.get(setting.name).cloned().unwrap_or_default()
    }

    fn set(&mut self, name: &str, value: &str, source: &Source) -> Result<(), Failure> {
        let what = match source {
            Source::Environment(name) => format!("the variable {name}"),
            source => source.to_string(),
        };
        self.values.set(name, value).map_err(|error| refused(&error, &what, Code::Usage))?;
        self.note(name, source);
        Ok(())
    }

    fn note(&mut self, name: &str, source: &Source) {
        if let Some(setting) = settings::find(name) {
            self.sources.insert(setting.name, source.clone());
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
        self.text(&text, path)
    }

    fn text(&mut self, text: &str, path: &Path) -> Result<(), Failure> {
        let place = |at: usize| {
            let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
            format!("{}, line {line}", path.display())
        };
        let table = DeTable::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            Failure::new(
                Code::Malformed,
                format!("{} is no TOML", place(start)),
                error.message(),
                "it is written like `[net.mptcp]` and below it `checksum_enabled = 1`",
            )
        })?;
        let mut entries = Vec::new();
        flatten("", table.get_ref(), &mut entries);
        let source = Source::File(path.to_owned());
        for Entry { name, value, at } in entries {
            match name.as_str() {
                "endpoints" => self.orders("endpoint add", &value, &place(at))?,
                "limits" => self.orders("limits set", &value, &place(at))?,
                _ => {
                    let [value] = value.as_slice() else {
                        return Err(no_list(&name, &place(at)));
                    };
                    let set = self.values.set(&name, value);
                    set.map_err(|error| refused(&error, &place(at), Code::Malformed))?;
                    self.note(&name, &source);
                }
            }
        }
        // limits first: an endpoint may need more than there were
        self.orders.sort_by_key(|order| !order.line.starts_with("limits"));
        Ok(())
    }

    /// Commands of `ip mptcp`, checked by its grammar.
    fn orders(&mut self, verb: &str, words: &[String], place: &str) -> Result<(), Failure> {
        for words in words {
            let order = Order { line: format!("{verb} {words}"), place: place.to_owned() };
            grammar::parse_line(&order.line).map_err(|error| order.refused(&error.to_string()))?;
            self.orders.push(order);
        }
        Ok(())
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
                let error = SettingError::Form(assignment);
                return Err(refused(&error, &Source::Flag.to_string(), Code::Usage));
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

/// One entry of a file.
struct Entry {
    name: String,
    /// Several for a list.
    value: Vec<String>,
    /// Where it stands, in bytes.
    at: usize,
}

/// `[net.mptcp] enabled = 1` is `net.mptcp.enabled = 1`.
fn flatten(prefix: &str, table: &DeTable<'_>, into: &mut Vec<Entry>) {
    for (key, value) in table {
        let at = key.span().start;
        let key = key.get_ref();
        let name = if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&name, inner, into),
            DeValue::Array(list) => {
                let value = list.iter().map(|value| scalar(value.get_ref())).collect();
                into.push(Entry { name, value, at });
            }
            value => into.push(Entry { name, value: vec![scalar(value)], at }),
        }
    }
}

/// A value as a word; what is none is refused by whoever takes words.
fn scalar(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => "a list in a list".to_owned(),
    }
}

fn no_list(name: &str, place: &str) -> Failure {
    Failure::new(
        Code::Malformed,
        format!("{place}: {name} cannot be used"),
        "it is a list, and a setting has one value",
        "only `endpoints` and `limits` may be lists",
    )
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

fn refused(error: &SettingError<'_>, place: &str, code: Code) -> Failure {
    let what = format!("{place} cannot be used");
    let help = match error {
        SettingError::Unknown(name) => nearest_help(name),
        _ => "`mpuser config show -v` says what each may be".to_owned(),
    };
    Failure::new(code, what, error, help)
}

/// There is no setting of this name.
pub(crate) fn unknown(name: &str) -> Failure {
    let because = SettingError::Unknown(name);
    Failure::usage(format!("{name} is not understood"), because, nearest_help(name))
}

fn nearest_help(name: &str) -> String {
    match nearest(name) {
        Some(near) => format!("did you mean `{near}`? `mpuser config show` lists all"),
        None => "`mpuser config show` lists all".to_owned(),
    }
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
    fn a_file_says_what_ip_mptcp_says() {
        let all = loaded(
            "profile = \"linux\"\nendpoints = [\"10.0.0.1 id 3 signal\", \"10.0.0.2 subflow backup\"]\n\
             limits = \"subflows 2 add_addr_accepted 4\"\n[net.mptcp]\npath_manager = \"fullmesh\"\n",
        );
        let all = all.unwrap();
        let lines: Vec<&str> = all.orders.iter().map(|order| order.line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "limits set subflows 2 add_addr_accepted 4",
                "endpoint add 10.0.0.1 id 3 signal",
                "endpoint add 10.0.0.2 subflow backup",
            ]
        );
        let linux = mpuser_engine::config::Behaviour::linux();
        assert_eq!(all.values.connection.behaviour, linux);
        let failure = all.orders[1].refused("why");
        assert!(failure.what.starts_with("c.toml, line 2: "), "{}", failure.what);
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
            ("[net.mptcp]\nenabled = [1, 2]", "one value", "lists"),
            ("[net.mptcp]\nenabled = 7", "net.mptcp.enabled cannot be", "show -v"),
            ("zzz = = 1", "", "written like"),
            ("endpoints = [\"10.0.0.1 sginal\"]", "sginal", "mpuser endpoint --help"),
            ("limits = \"subflows many\"", "many", "mpuser limits --help"),
        ] {
            let failure = loaded(text).unwrap_err();
            assert_eq!(failure.code, Code::Malformed, "{text}");
            let line = text.matches('\n').count() + 1;
            assert!(failure.what.contains(&format!("c.toml, line {line}")), "{}", failure.what);
            assert!(failure.because.contains(because), "{}", failure.because);
            assert!(failure.help.contains(help), "{}", failure.help);
        }
        let failure = Loaded::default().flags(&["enabled".to_owned()]).unwrap_err();
        assert_eq!(failure.code, Code::Usage);
    }
}
