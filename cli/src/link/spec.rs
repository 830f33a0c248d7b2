//! Links to be made: from the command line or from a file.

use super::args::LinkUp;
use crate::error::{Code, Failure, plain_words};
use mpuser_sim::LinkConfig;
use mpuser_tun::net::TunEnd;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A link to be made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    /// What it is called.
    pub(crate) name: String,
    /// Where packets go in forwards.
    pub(crate) from: TunEnd,
    /// The other end.
    pub(crate) to: TunEnd,
    /// What it is like.
    pub(crate) config: LinkConfig,
    /// The devices' MTU.
    pub(crate) mtu: Option<u16>,
    /// What chance is drawn from.
    pub(crate) seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    link: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<String>,
    from: String,
    to: String,
    #[serde(default)]
    set: String,
    #[serde(default, rename = "box")]
    boxes: Vec<String>,
    mtu: Option<u16>,
    #[serde(default = "one")]
    seed: u64,
}

const fn one() -> u64 {
    1
}

const WORDS_HELP: &str = "`mpuser link up --help` lists what can be said of a link";

/// The contents of a file that a word names.
pub(crate) fn read_file(name: &str) -> Result<String, String> {
    std::fs::read_to_string(name)
        .map_err(|error| format!("cannot read {name}: {}", plain_words(&error)))
}

/// The links the command line asks for.
pub(crate) fn specs(args: &LinkUp) -> Result<Vec<Spec>, Failure> {
    if let (Some(from), Some(to)) = (&args.from, &args.to) {
        let text = args.words.join(" ");
        let name = args.name.clone().unwrap_or_else(|| from.dev.clone());
        let config =
            config(&text, |because| Failure::usage("this is no link", because, WORDS_HELP))?;
        check_name(&name)
            .map_err(|because| Failure::usage("this is no link", because, WORDS_HELP))?;
        let (from, to) = (from.clone(), to.clone());
        return Ok(vec![Spec { name, from, to, config, mtu: args.mtu, seed: args.seed }]);
    }
    match args.words.as_slice() {
        [file] if !file.contains('=') => from_file(Path::new(file)),
        _ => Err(Failure::usage(
            "there is nothing to make a link of",
            "neither a file was given nor --from and --to",
            "mpuser link up --from wan0@client,10.7.0.1/24 --to wan0@server,10.7.0.2/24 delay=10ms",
        )),
    }
}

fn config(text: &str, fail: impl FnOnce(String) -> Failure) -> Result<LinkConfig, Failure> {
    let mut config = LinkConfig::default();
    config.apply(text, &mut |name| read_file(name)).map_err(fail)?;
    Ok(config)
}

/// A name is also that of a socket.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fine =
        !name.is_empty() && name.len() <= 32 && name.chars().all(good) && !name.starts_with('.');
    if fine {
        Ok(())
    } else {
        Err(format!("{name:?} is no name: letters, digits, - and _, at most 32"))
    }
}

fn from_file(path: &Path) -> Result<Vec<Spec>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::io(format!("cannot read {shown}"), &error))?;
    parse(&text, &shown.to_string())
}

fn parse(text: &str, shown: &str) -> Result<Vec<Spec>, Failure> {
    let malformed = |because: String| {
        Failure::new(Code::Malformed, format!("{shown} describes no links"), because, WORDS_HELP)
    };
    let file: File = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let mut specs: Vec<Spec> = Vec::new();
    for table in file.link {
        let read = |text: &str| text.parse::<TunEnd>().map_err(|e| malformed(e.because));
        let (from, to) = (read(&table.from)?, read(&table.to)?);
        let name = table.name.unwrap_or_else(|| from.dev.clone());
        check_name(&name).map_err(malformed)?;
        if specs.iter().any(|spec| spec.name == name) {
            return Err(malformed(format!("two links are called {name}")));
        }
        let boxes = table.boxes.iter().map(|one| format!(" box={one}"));
        let words = boxes.fold(table.set, |words, one| words + one.as_str());
        let config = config(&words, |because| malformed(format!("link {name}: {because}")))?;
        specs.push(Spec { name, from, to, config, mtu: table.mtu, seed: table.seed });
    }
    if specs.is_empty() {
        return Err(malformed("there is no [[link]] in it".to_owned()));
    }
    Ok(specs)
}

/// Files named by relative paths, as seen from here: the process that reads them may be elsewhere.
pub(crate) fn absolute(word: &str) -> String {
    let there = |path: &str| -> String {
        let whole = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        whole.display().to_string()
    };
    let Some((key, value)) = word.split_once('=') else { return word.to_owned() };
    match value.strip_prefix("trace:") {
        Some(path) if key.ends_with("loss") => format!("{key}=trace:{}", there(path)),
        _ if key.ends_with("trace") && value != "none" => format!("{key}={}", there(value)),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_links() {
        let text = r#"
            [[link]]
            name = "wifi"
            from = "wifi0@client,10.7.0.1/24"
            to = "wifi0@server,10.7.0.2/24"
            set = "rate=20mbit delay=10ms"
            box = ["strip-mptcp:syn"]
            [[link]]
            from = "lte0@client"
            to = "lte0@server"
            seed = 7
        "#;
        let specs = parse(text, "x").unwrap();
        assert_eq!(specs[0].config.to_string(), "rate=20mbit delay=10ms box=strip-mptcp:syn");
        assert_eq!((specs[1].name.as_str(), specs[1].seed), ("lte0", 7));
    }

    #[test]
    fn mistakes_in_a_file_are_named() {
        let link = |rest: &str| format!("[[link]]\nfrom = \"a\"\nto = \"b\"\n{rest}");
        for (text, part) in [
            ("", "link"),
            ("link = []", "no [[link]]"),
            (&link("speed = 1"), "speed"),
            (&link("set = \"rate=fast\""), "no rate"),
            (&link("name = \"a/b\""), "no name"),
            (&link("box = [\"teapot\"]"), "teapot"),
            (&format!("{}\n{}", link(""), link("")), "two links"),
            ("[[link]]\nfrom = \"a@\"\nto = \"b\"", "no name"),
        ] {
            let failure = parse(text, "x").unwrap_err();
            assert!(failure.because.contains(part), "{text}: {failure:?}");
            assert_eq!(failure.code.exit(), 8);
        }
    }

    #[test]
    fn paths_are_made_absolute() {
        assert!(absolute("fwd.trace=x.trace").starts_with("fwd.trace=/"));
        assert!(absolute("loss=trace:x").starts_with("loss=trace:/"));
        for word in ["loss=1%", "trace=none", "box=x", "nonsense"] {
            assert_eq!(absolute(word), word);
        }
    }
}
