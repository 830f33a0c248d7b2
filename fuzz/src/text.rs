//! What people write: scenarios, experiments, settings, links. An error says where and what; what is understood can be
//! said again.

use mpuser_engine::config::{CongestionAlgorithm, PathManagerKind, Profile, SchedulerSpec};
use mpuser_engine::{grammar, settings::Settings};
use mpuser_sim::experiment::{Library, Overrides, Shard, read, read_seeds};
use mpuser_sim::link::{RateSchedule, Trace};
use mpuser_sim::scenario::{Scenario, Wishes};
use mpuser_sim::{LinkConfig, Mistake, expression, middlebox};

/// Files named in a text: always the same one, which is a trace and a table of rates.
fn file(name: &str) -> Result<String, String> {
    match name {
        "trace" => Ok("1\n5\n9\n".to_owned()),
        other => Err(format!("{other}: no such file")),
    }
}

/// The text, if it is one.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// A mistake is one line, and its place is in the text.
fn check(text: &str, mistake: &Mistake) {
    assert!(!mistake.message.is_empty() && !mistake.to_string().contains('\n'), "{mistake}");
    if let (Some((line, column)), None) = (mistake.at, &mistake.file) {
        let lines = text.split('\n').count();
        assert!((1..=lines).contains(&line), "{mistake}");
        let width = text.split('\n').nth(line - 1).map_or(0, |line| line.chars().count());
        assert!((1..=width + 2).contains(&column), "{mistake}");
    }
}

/// A scenario in TOML.
pub(crate) fn scenario(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Err(mistake) = Scenario::parse(text, &Wishes::default(), &mut file) {
        check(text, &mistake);
    }
}

struct Shelf;

impl Library for Shelf {
    fn scenario(&mut self, name: &str) -> Result<String, String> {
        match name {
            "small" => Ok("name = \"small\"\n[params]\nn = 1\n".to_owned()),
            other => Err(format!("{other}: no such scenario")),
        }
    }

    fn file(&mut self, name: &str) -> Result<String, String> {
        file(name)
    }
}

/// An experiment in TOML.
pub(crate) fn experiment(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match read(text, &Overrides::default(), &mut Shelf) {
        Err(mistake) => check(text, &mistake),
        Ok(plan) => {
            let total = plan.total();
            assert_eq!(plan.run(total).map(|run| run.seed), None, "beyond the last run");
            let _ = (plan.run(0), plan.run(total.saturating_sub(1)));
        }
    }
}

/// Single lines: settings, names with parameters, commands, links, boxes, traces. The first octet says which.
pub(crate) fn line(data: &[u8]) {
    let Some((kind, Some(text))) = data.split_first().map(|(kind, rest)| (kind, text(rest))) else {
        return;
    };
    match kind % 12 {
        0 => {
            let _ = Settings::default().assign(text).map_err(|error| error.to_string());
        }
        1 => {
            if let Ok(spec) = SchedulerSpec::parse(text) {
                let said = spec.to_string();
                assert_eq!(SchedulerSpec::parse(&said).as_ref(), Ok(&spec), "{said}");
            }
        }
        2 => {
            let _ = grammar::parse_line(text).map_err(|error| error.to_string());
        }
        3 => {
            let mut config = LinkConfig::default();
            if config.apply(text, &mut file).is_ok() {
                let said = config.to_string();
                let mut again = LinkConfig::default();
                assert_eq!(again.apply(&said, &mut file), Ok(()), "{said}");
                assert_eq!(again.to_string(), said);
            }
        }
        4 => {
            let _ = middlebox::build(text, 1);
        }
        5 => {
            let _ = Trace::parse(text).map(|trace| trace.mean_rate());
        }
        6 => {
            let _ = RateSchedule::parse_csv(text);
        }
        7 => {
            let _ = expression::expand(text, &expression::Params::default());
        }
        8 => {
            let _ = Shard::parse(text).map(|shard| shard.runs(10).count());
        }
        9 => {
            let _ = read_seeds(text);
        }
        10 => {
            let _ = (PathManagerKind::from_name(text), Profile::from_name(text));
        }
        _ => {
            let _ = CongestionAlgorithm::from_name(text);
        }
    }
}
