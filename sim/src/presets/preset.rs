//! What a preset is.

use super::check::{Check, Parameters, Results};
use crate::document::Mistake;
use crate::metrics::Outcome;
use crate::scenario::{Assignments, Scenario, Wishes};

/// One combination of parameters to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// Parameters that differ from the scenario's own values.
    pub set: Vec<(String, String)>,
}

impl Variant {
    /// `name=value` with spaces between.
    pub fn label(&self) -> String {
        let words: Vec<String> = self.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
        words.join(" ")
    }
}

/// Every combination of the values of these parameters; the last one changes fastest.
pub fn grid(axes: &[(&str, &[&str])]) -> Vec<Variant> {
    let mut all = vec![Variant::default()];
    for (name, values) in axes {
        let longer = all.iter().flat_map(|variant| {
            values.iter().map(|value| {
                let mut set = variant.set.clone();
                set.push(((*name).to_owned(), (*value).to_owned()));
                Variant { set }
            })
        });
        all = longer.collect();
    }
    all
}

/// A published result: what is run, what is measured, and what it has to be.
pub struct Preset {
    /// Its name, as in `mpuser exp presets NAME`.
    pub name: &'static str,
    /// What it shows, in a line.
    pub title: &'static str,
    /// Where it was published.
    pub published: &'static str,
    /// What is asked of it, in a line.
    pub asked: &'static str,
    /// What was assumed where the source is silent, and why ours differs where it does.
    pub notes: &'static str,
    /// The scenario's file.
    pub file: &'static str,
    /// The scenario.
    pub toml: &'static str,
    /// What is run.
    pub variants: fn() -> Vec<Variant>,
    /// Quantities of one run.
    pub measure: fn(&Parameters, &Outcome) -> Vec<(&'static str, f64)>,
    /// The table.
    pub judge: fn(&Results) -> Vec<Check>,
}

impl Preset {
    /// What is run when the user has set parameters: theirs win, and variants that have become equal run once.
    pub fn variants_with(&self, set: &[(String, String)]) -> Vec<Variant> {
        let mut variants: Vec<Variant> = Vec::new();
        for mut variant in (self.variants)() {
            variant.set.retain(|(name, _)| set.iter().all(|(other, _)| other != name));
            variant.set.extend_from_slice(set);
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        }
        variants
    }

    /// The scenario of a variant, and all its parameters.
    ///
    /// # Errors
    /// A parameter has another name or cannot have this value.
    pub fn scenario(&self, variant: &Variant) -> Result<(Scenario, Parameters), Mistake> {
        let wishes = Wishes { set: Assignments(variant.set.clone()), ..Wishes::default() };
        let values = Scenario::values(self.toml, &wishes)?;
        let parameters = values.iter().map(|(name, value)| (name.to_owned(), value.to_string()));
        let mut no_files = |name: &str| Err(format!("a preset reads no file, not even {name}"));
        let scenario = Scenario::parse(self.toml, &wishes, &mut no_files)?;
        Ok((scenario, parameters.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a preset names is there, and its file is its own.
    #[test]
    fn every_variant_of_every_preset_is_a_scenario() {
        for preset in crate::presets::ALL {
            for variant in (preset.variants)() {
                let made = preset.scenario(&variant);
                if made.as_ref().is_err_and(|e| e.message.contains("there is no scheduler")) {
                    continue;
                }
                let (scenario, parameters) = made
                    .unwrap_or_else(|error| panic!("{} {}: {error}", preset.name, variant.label()));
                assert!(preset.file.starts_with(&scenario.name), "{}", preset.name);
                for (name, value) in &variant.set {
                    assert_eq!(&parameters[name], value, "{}", preset.name);
                }
            }
        }
    }

    #[test]
    fn a_grid_has_every_combination_and_what_is_set_wins() {
        let variants = || grid(&[("n", &["1", "2"]), ("cc", &["lia", "olia"])]);
        let labels: Vec<String> = variants().iter().map(Variant::label).collect();
        assert_eq!(labels, ["n=1 cc=lia", "n=1 cc=olia", "n=2 cc=lia", "n=2 cc=olia"]);
        let preset = Preset {
            name: "",
            title: "",
            published: "",
            asked: "",
            notes: "",
            file: "",
            toml: "",
            variants: || grid(&[("n", &["1", "2"]), ("cc", &["lia", "olia"])]),
            measure: |_, _| Vec::new(),
            judge: |_| Vec::new(),
        };
        let set = [("n".to_owned(), "3".to_owned())];
        let labels: Vec<String> = preset.variants_with(&set).iter().map(Variant::label).collect();
        assert_eq!(labels, ["cc=lia n=3", "cc=olia n=3"]);
    }
}
