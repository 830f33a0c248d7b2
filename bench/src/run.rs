//! Contenders take turns.

use crate::case::{Ask, Case, Contender, Settings, Watch};
use crate::quiet::{self, Watcher};
use mpuser_sim::stats;

/// Times a disturbed round is done again.
const REPEATS: usize = 3;

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub case: Case,
    /// Its values, or why there are none.
    pub values: Result<Values, String>,
}

/// Values of all rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Name and values of each contender, a value for each round.
    pub contenders: Vec<(String, Vec<f64>)>,
    /// Rounds beside which others used the machine.
    pub disturbed: usize,
}

impl Values {
    /// First over second, round by round; a round in which both are nothing has no ratio.
    #[must_use]
    pub fn ratios(&self) -> Vec<f64> {
        let [(_, first), (_, second), ..] = &self.contenders[..] else { return Vec::new() };
        let ratios = first.iter().zip(second).map(|(first, second)| first / second);
        ratios.filter(|ratio| !ratio.is_nan()).collect()
    }
}

/// The middle one, or the mean of the two in the middle; 0 of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    stats::median(values).unwrap_or_default()
}

impl Outcome {
    /// What the ask is about: a ratio or a value.
    #[must_use]
    pub fn result(&self) -> Option<f64> {
        let values = self.values.as_ref().ok()?;
        if self.case.ask.is_ratio() {
            let ratios = values.ratios();
            return (!ratios.is_empty()).then(|| median(&ratios));
        }
        let (_, first) = values.contenders.first()?;
        match self.case.ask {
            Ask::NeverOver(_) => first.iter().copied().reduce(f64::max),
            _ => Some(median(first)),
        }
    }

    /// What was asked for was shown; `None` if nothing was measured.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.result().map(|value| self.case.ask.is_met(value))
    }
}

/// Runs one case.
#[must_use]
pub fn run(case: &Case, settings: &Settings) -> Outcome {
    let values =
        (case.prepare)(settings).and_then(|mut contenders| rounds(case, settings, &mut contenders));
    Outcome { case: *case, values }
}

fn rounds(
    case: &Case,
    settings: &Settings,
    contenders: &mut [Contender],
) -> Result<Values, String> {
    let names = contenders.iter().map(|contender| (contender.name.clone(), Vec::new()));
    let mut values = Values { contenders: names.collect(), disturbed: 0 };
    if !settings.quick {
        // Caches, the processor's clock and the allocator settle down; the first one measured would pay for all.
        one(settings, contenders, false)?;
    }
    for round in 0..settings.rounds {
        let mut repeats = if settings.quick { 0 } else { REPEATS };
        let (measured, disturbed) = loop {
            let quiet = quiet::wait(settings.quick);
            let watcher = Watcher::start();
            let measured = one(settings, contenders, round % 2 == 1)?;
            let during = case.watch == Watch::Throughout && watcher.disturbed();
            let disturbed = !quiet || during;
            if !disturbed || repeats == 0 {
                break (measured, disturbed);
            }
            repeats -= 1;
        };
        values.disturbed += usize::from(disturbed);
        for ((_, values), value) in values.contenders.iter_mut().zip(measured) {
            values.push(value);
        }
    }
    Ok(values)
}

/// A value of each; from the last to the first if `backwards`, so that nobody always comes after the same one.
fn one(
    settings: &Settings,
    contenders: &mut [Contender],
    backwards: bool,
) -> Result<Vec<f64>, String> {
    let mut measured = vec![0.0; contenders.len()];
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    if backwards {
        order.reverse();
    }
    for index in order {
        if let (Some(contender), Some(slot)) = (contenders.get_mut(index), measured.get_mut(index))
        {
            *slot = (contender.measure)(settings)
                .map_err(|error| format!("{}: {error}", contender.name))?;
        }
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    fn contenders(_: &Settings) -> Result<Vec<Contender>, String> {
        let log = Rc::new(RefCell::new(Vec::new()));
        let one = |name: &'static str, value: f64| {
            let log = Rc::clone(&log);
            Contender::new(name, move |_| {
                log.borrow_mut().push(name);
                Ok(value * log.borrow().len() as f64)
            })
        };
        Ok(vec![one("a", 1.0), one("b", 2.0)])
    }

    fn case(prepare: crate::case::Prepare) -> Case {
        let (id, what, unit) = ("P0", "nothing", "s");
        Case { id, what, unit, ask: Ask::RatioAtMost(0.5), watch: Watch::Before, prepare }
    }

    #[test]
    fn contenders_take_turns_in_alternating_order() {
        let outcome = run(&case(contenders), &Settings { rounds: 3, quick: true });
        let values = outcome.values.clone().unwrap();
        // a b | b a | a b
        assert_eq!(values.contenders[0].1, [1.0, 4.0, 5.0]);
        assert_eq!(values.contenders[1].1, [4.0, 6.0, 12.0]);
        assert_eq!(values.ratios(), [0.25, 4.0 / 6.0, 5.0 / 12.0]);
        assert_eq!((outcome.result(), outcome.is_met()), (Some(5.0 / 12.0), Some(true)));
    }

    #[test]
    fn the_worst_round_is_judged_where_none_may_be_over() {
        let values = Values {
            contenders: vec![
                ("a".to_owned(), vec![10.0, 0.0, 90.0]),
                ("b".to_owned(), vec![20.0, 0.0, 0.0]),
            ],
            disturbed: 0,
        };
        let ratios = [0.5, f64::INFINITY];
        assert_eq!(values.ratios(), ratios, "nothing over nothing is no ratio");
        let outcome =
            |ask| Outcome { case: Case { ask, ..case(contenders) }, values: Ok(values.clone()) };
        let never = outcome(Ask::NeverOver(80.0));
        assert_eq!((never.result(), never.is_met()), (Some(90.0), Some(false)));
        let median = outcome(Ask::AtMost(80.0));
        assert_eq!((median.result(), median.is_met()), (Some(10.0), Some(true)));
    }

    #[test]
    fn what_cannot_run_says_why() {
        let outcome = run(&case(|_| Err("no device".to_owned())), &Settings::new(true));
        assert_eq!(outcome.values.clone().unwrap_err(), "no device");
        assert_eq!((outcome.result(), outcome.is_met()), (None, None));
        let fails = |_: &Settings| Ok(vec![Contender::new("x", |_| Err("broken".to_owned()))]);
        let outcome = run(&case(fails), &Settings::new(true));
        assert_eq!(outcome.values.unwrap_err(), "x: broken");
    }
}
