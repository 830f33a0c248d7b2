//! Files and presets by the names users give, and mistakes in them as failures.

use crate::error::{Code, Failure, plain_words};
use mpuser_sim::Mistake;
use mpuser_sim::experiment::{Library, Overrides, Plan, Point, Seeds};
use mpuser_sim::presets::{self, Preset};
use mpuser_sim::scenario::Scenario;
use std::path::{Path, PathBuf};

/// What a name has led to.
pub(crate) struct Opened {
    /// Its name for people.
    pub(crate) shown: String,
    /// Its text.
    pub(crate) text: String,
    /// It is a preset's.
    pub(crate) preset: Option<&'static Preset>,
    /// Where relative names count from.
    pub(crate) files: Files,
}

/// Reads files; relative names count from the file that names them.
#[derive(Debug, Default)]
pub(crate) struct Files {
    base: PathBuf,
    /// Every file that was read, as it was named.
    pub(crate) used: Vec<PathBuf>,
}

impl Files {
    fn open(&mut self, path: &Path) -> Result<String, String> {
        let path = self.base.join(path);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {}", path.display(), plain_words(&error)))?;
        self.used.push(path);
        Ok(text)
    }
}

impl Library for Files {
    fn scenario(&mut self, name: &str) -> Result<String, String> {
        if let Some(preset) = preset(name) {
            return Ok(preset.toml.to_owned());
        }
        let text = self.open(Path::new(name))?;
        let path = self.base.join(name);
        self.base = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(text)
    }

    fn file(&mut self, name: &str) -> Result<String, String> {
        self.open(Path::new(name))
    }
}

/// A preset, unless there is a file of its name.
fn preset(name: &str) -> Option<&'static Preset> {
    presets::find(name).filter(|_| !Path::new(name).exists())
}

/// Opens what the command line names.
pub(crate) fn open(name: &str) -> Result<Opened, Failure> {
    if let Some(preset) = preset(name) {
        let (shown, text) = (preset.name.to_owned(), preset.toml.to_owned());
        return Ok(Opened { shown, text, preset: Some(preset), files: Files::default() });
    }
    let path = Path::new(name);
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("cannot read {name}");
        let words = plain_words(&error);
        if error.kind() != std::io::ErrorKind::NotFound || path.extension().is_some() {
            return Failure::new(
                Code::Malformed,
                what,
                words,
                "name a scenario, a plan or a preset",
            );
        }
        let known = presets::ALL.iter().map(|preset| preset.name);
        let help = mpuser_sim::suggest(name, known);
        Failure::usage(what, "there is neither a file nor a preset of this name", help)
    })?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let files = Files { base, used: vec![path.to_owned()] };
    Ok(Opened { shown: name.to_owned(), text, preset: None, files })
}

impl Opened {
    /// The scenario at one point: what `mpuser sim` runs.
    pub(crate) fn single(
        &mut self,
        overrides: &Overrides,
        seeds: Option<Seeds>,
    ) -> Result<Plan, Failure> {
        let plan = single(&self.shown, &self.text, &mut self.files, overrides, seeds);
        plan.map_err(|mistake| self.failure(&mistake, overrides))
    }

    /// The plan a file or a preset is: what `mpuser exp run` runs.
    pub(crate) fn plan(&mut self, overrides: &Overrides) -> Result<Plan, Failure> {
        let plan = match self.preset {
            Some(preset) => of_preset(preset, overrides, &mut self.files),
            None => mpuser_sim::experiment::read(&self.text, overrides, &mut self.files),
        };
        plan.map_err(|mistake| self.failure(&mistake, overrides))
    }

    /// A mistake as a failure: with a place it is the file's, without one the command line's if that said anything.
    fn failure(&self, mistake: &Mistake, overrides: &Overrides) -> Failure {
        let said = !overrides.set.is_empty()
            || overrides.scheduler.is_some()
            || overrides.cc.is_some()
            || overrides.seeds.is_some();
        if mistake.at.is_none() && said {
            let what = format!("{} cannot be run like this", self.shown);
            return Failure::usage(what, &mistake.message, &mistake.help);
        }
        let file = mistake.file.as_deref().unwrap_or(&self.shown);
        Failure::new(Code::Malformed, format!("{file} cannot be run"), mistake, &mistake.help)
    }
}

fn single(
    name: &str,
    text: &str,
    files: &mut Files,
    overrides: &Overrides,
    seeds: Option<Seeds>,
) -> Result<Plan, Mistake> {
    let point = overrides.point(&Scenario::params(text)?)?;
    let mut plan =
        |seeds| Plan::new(name, text, vec![point.clone()], seeds, &mut |name| files.file(name));
    match seeds {
        Some(seeds) => plan(seeds),
        // what the scenario says of its seed is known when it has been read
        None => {
            let own = plan(Seeds::Derived(1))?.scenario(0)?.seed;
            plan(Seeds::Given(vec![own]))
        }
    }
}

/// The seeds of a preset: the same at every point, so that points are compared seed by seed.
const PRESET_SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

fn of_preset(
    preset: &'static Preset,
    overrides: &Overrides,
    files: &mut Files,
) -> Result<Plan, Mistake> {
    let known = Scenario::params(preset.toml)?;
    let set = overrides.point(&known)?;
    let points = preset.variants_with(&set.set).into_iter().map(|variant| Point::from(variant.set));
    let seeds = overrides.seeds.clone().unwrap_or_else(|| Seeds::Given(PRESET_SEEDS.collect()));
    let plan =
        Plan::new(preset.name, preset.toml, points.collect(), seeds, &mut |name| files.file(name))?;
    Ok(plan.measured(preset.measure))
}
