//! `mpuser exp presets`: published results, listed, or run and judged.

use super::args::Presets;
use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mpuser_sim::experiment::Overrides;
use mpuser_sim::presets::{self, Campaign, Check, Job, Preset};
use mpuser_sim::scenario::Scenario;
use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Lists presets, or runs those that were named. Fails with 7 when a band does not hold.
pub(crate) fn run(args: &Presets, printer: Printer) -> Result<ExitCode, Failure> {
    if args.names.is_empty() && !args.all {
        output::stdout(&if printer.json { list_json() } else { list() });
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(args)?;
    let pool = rayon::ThreadPoolBuilder::new();
    let pool = pool.num_threads(args.threads.map_or(0, usize::from)).build();
    let pool = pool.map_err(|error| Failure::internal("there are no threads to run on", error))?;
    let mut failed = Vec::new();
    for preset in chosen {
        let campaign = prepare(preset, args)?;
        let checks = pool.install(|| all(&campaign, printer))?;
        let failures = checks.iter().filter(|check| check.pass == Some(false)).count();
        output::stdout(&match (printer.json, args.md) {
            (true, _) => to_json(preset, args, &checks),
            (false, true) => markdown(preset, args, &checks),
            (false, false) => table(preset, args, &checks),
        });
        if failures > 0 {
            failed.push(format!("{} ({failures})", preset.name));
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    printer.line(&format!("outside of their bands: {}", failed.join(", ")));
    Ok(ExitCode::from(Code::Check.exit()))
}

fn chosen(args: &Presets) -> Result<Vec<&'static Preset>, Failure> {
    if args.all {
        return Ok(presets::ALL.iter().collect());
    }
    let find = |name: &String| {
        presets::find(name).ok_or_else(|| {
            let help = mpuser_sim::suggest(name, presets::ALL.iter().map(|preset| preset.name));
            Failure::usage(format!("there is no preset {name:?}"), "presets have fixed names", help)
        })
    };
    args.names.iter().map(find).collect()
}

fn prepare(preset: &'static Preset, args: &Presets) -> Result<Campaign, Failure> {
    let seeds: Vec<u64> = (1..=u64::from(args.seeds)).collect();
    let overrides = Overrides { set: args.set.clone(), ..Overrides::default() };
    Scenario::params(preset.toml)
        .and_then(|known| overrides.point(&known))
        .and_then(|point| Campaign::new(preset, &point.set, &seeds))
        .map_err(|mistake| {
            let what = format!("{} cannot be run like this", preset.name);
            Failure::usage(what, &mistake.message, &mistake.help)
        })
}

/// A job and its quantities.
type Done = (Job, BTreeMap<&'static str, f64>);

/// Does all jobs of a campaign, on the threads of the pool this is called in.
fn all(campaign: &Campaign, printer: Printer) -> Result<Vec<Check>, Failure> {
    let jobs = campaign.jobs();
    let bar = bar(campaign.preset().name, jobs.len(), printer);
    let one = |job: &Job| {
        let quantities = campaign.run(*job)?;
        bar.inc(1);
        Ok((*job, quantities))
    };
    let done: Result<Vec<Done>, String> = jobs.par_iter().with_max_len(1).map(one).collect();
    bar.finish_and_clear();
    let done = done.map_err(|because| {
        let what = format!("{} cannot be simulated", campaign.preset().name);
        Failure::new(Code::Malformed, what, because, "change what was set")
    })?;
    Ok(campaign.judge(&done))
}

/// On stderr, if that is a terminal.
fn bar(name: &str, jobs: usize, printer: Printer) -> ProgressBar {
    if printer.is_mute() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr_with_hz(5);
    let bar = ProgressBar::with_draw_target(Some(jobs as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} runs, {eta} to go")
    {
        bar.set_style(style.progress_chars("##."));
    }
    bar.set_message(name.to_owned());
    bar
}

fn list() -> String {
    let mut text = String::new();
    for preset in presets::ALL {
        let params = Scenario::params(preset.toml).unwrap_or_default();
        let params: Vec<String> =
            params.iter().map(|param| format!("{}={}", param.name, param.default)).collect();
        // writing to a String cannot fail
        let _ = writeln!(
            text,
            "{}: {}\n  from:   {}\n  asked:  {}\n  runs:   {} for each seed\n  set:    {}\n",
            preset.name,
            preset.title,
            preset.published,
            preset.asked,
            (preset.variants)().len(),
            params.join(" "),
        );
    }
    text
}

fn list_json() -> String {
    let one = |preset: &Preset| -> Value {
        let params = Scenario::params(preset.toml).unwrap_or_default();
        let params = params.iter().map(|param| {
            json!({ "name": param.name, "default": param.default.to_string(), "about": param.about })
        });
        json!({
            "name": preset.name,
            "title": preset.title,
            "published": preset.published,
            "asked": preset.asked,
            "notes": preset.notes,
            "variants": (preset.variants)().iter().map(presets::Variant::label).collect::<Vec<_>>(),
            "parameters": params.collect::<Vec<_>>(),
        })
    };
    let all: Vec<Value> = presets::ALL.iter().map(one).collect();
    format!("{}\n", json!({ "schema": "mpuser.presets/1", "presets": all }))
}

/// One object per preset and line.
fn to_json(preset: &Preset, args: &Presets, checks: &[Check]) -> String {
    let failed = checks.iter().filter(|check| check.pass == Some(false)).count();
    let object = json!({
        "schema": "mpuser.preset/1",
        "preset": preset.name,
        "set": args.set,
        "seeds": args.seeds,
        "pass": failed == 0,
        "failed": failed,
        "checks": checks,
    });
    format!("{object}\n")
}

/// What was set and how it came out, in words.
fn subtitle(args: &Presets, checks: &[Check]) -> String {
    let judged = checks.iter().filter(|check| check.pass.is_some()).count();
    let passed = checks.iter().filter(|check| check.pass == Some(true)).count();
    let set = args.set.iter().map(|words| format!(", {words}")).collect::<String>();
    format!("seeds 1 to {}{set}: {passed} of {judged} within their bands", args.seeds)
}

fn table(preset: &Preset, args: &Presets, checks: &[Check]) -> String {
    let table = presets::table(checks);
    let head = format!("{}: {}\n{}\n", preset.name, preset.title, subtitle(args, checks));
    format!("{head}\n{}\n", plain(&table.head, &table.rows))
}

/// Columns with two spaces between.
fn plain(head: &[String], rows: &[Vec<String>]) -> String {
    let lines = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let width = |column: usize| {
        let cells = lines().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in lines() {
        let mut out = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(out, "{cell:width$}  ");
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

fn markdown(preset: &Preset, args: &Presets, checks: &[Check]) -> String {
    let head = format!("## {}\n\n{}. From: {}.\n", preset.name, preset.title, preset.published);
    let asked = format!("Asked: {}.\n\n{}.\n\n", preset.asked, subtitle(args, checks));
    let notes =
        if preset.notes.is_empty() { String::new() } else { format!("\n{}\n", preset.notes) };
    format!("{head}{asked}{}{notes}\n", presets::table(checks).markdown())
}
