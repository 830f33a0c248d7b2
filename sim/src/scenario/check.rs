//! Whether a scenario makes sense: what would otherwise be found out in the middle of a run.

use super::spec::{FlowGroup, Scenario, Spread, Traffic};
use mpuser_engine::time::Duration;

/// Most flows of all groups together.
const MAX_FLOWS: u64 = 60_000;
/// Most samples of all flows together.
const MAX_SAMPLES: f64 = 1e8;
/// Most paths of a flow.
const MAX_PATHS: usize = 64;
/// Shortest request: it says what is wanted.
const MIN_REQUEST: u64 = 16;

impl Scenario {
    /// Finds what cannot be simulated.
    ///
    /// # Errors
    /// What is wrong where, and what could stand there.
    pub fn check(&self) -> Result<(), String> {
        if self.duration.is_zero() {
            return Err("duration: a run has to last".to_owned());
        }
        if self.warm_up >= self.duration {
            return Err(
                "warm_up: nothing is left to measure, it is not shorter than duration".into()
            );
        }
        if self.flows.is_empty() {
            return Err("flows: there are none".to_owned());
        }
        if self.flows.iter().map(|group| u64::from(group.count)).sum::<u64>() > MAX_FLOWS {
            return Err(format!("flows: more than {MAX_FLOWS} in all"));
        }
        let samples = self.duration.as_secs_f64() / self.sample.as_secs_f64();
        let flows: u32 = self.flows.iter().map(|group| group.count).sum();
        if !self.sample.is_zero() && samples * f64::from(flows) > MAX_SAMPLES {
            return Err(
                "sample: too many for so long a run of so many flows; take a longer time".into()
            );
        }
        for (name, link) in &self.links {
            crate::middlebox::Chain::build(&link.config.boxes, 0)
                .map_err(|error| format!("links.{name}: {error}"))?;
            if link.changes.windows(2).any(|pair| matches!(pair, [a, b] if a.at > b.at)) {
                return Err(format!("links.{name}: its changes are not in the order of time"));
            }
        }
        for group in &self.flows {
            self.check_group(group).map_err(|error| format!("flow {}: {error}", group.name))?;
        }
        for load in &self.background {
            let at = |error: String| format!("background {}: {error}", load.name);
            self.check_link(&load.link).map_err(at)?;
            [load.on, load.off].iter().try_for_each(check_spread).map_err(at)?;
            if load.rate == 0 || load.packet < 28 {
                return Err(at("it needs a rate, and packets of at least 28 bytes".to_owned()));
            }
        }
        Ok(())
    }

    fn check_link(&self, name: &str) -> Result<(), String> {
        if self.links.contains_key(name) {
            return Ok(());
        }
        let known: Vec<&str> = self.links.keys().map(String::as_str).collect();
        Err(format!("there is no link {name:?}; the links are {}", known.join(", ")))
    }

    fn check_group(&self, group: &FlowGroup) -> Result<(), String> {
        if group.paths.is_empty() || group.paths.len() > MAX_PATHS {
            return Err(format!("it needs 1 to {MAX_PATHS} paths"));
        }
        for (number, path) in group.paths.iter().enumerate() {
            path.links.iter().try_for_each(|link| self.check_link(link))?;
            if path.links.is_empty() {
                return Err(format!("path {number}: it needs at least one link"));
            }
            if path.subflows == 0 {
                return Err(format!("path {number}: it needs at least one subflow"));
            }
        }
        if group.mtu < 576 {
            return Err("mtu: at least 576".to_owned());
        }
        check_traffic(&group.traffic)
    }
}

fn check_spread(spread: &Spread) -> Result<(), String> {
    let (mean, index) = match *spread {
        Spread::Constant(mean) | Spread::Exponential(mean) => (mean, 2.0),
        Spread::Pareto { mean, index } => (mean, index),
    };
    if mean > Duration::from_secs(1 << 32) || index.is_nan() || index <= 1.0 {
        return Err(
            "a random time needs a sensible mean, and Pareto's index has to be above 1".into()
        );
    }
    Ok(())
}

fn check_traffic(traffic: &Traffic) -> Result<(), String> {
    let request_fits = |request: u64| {
        let enough = request >= MIN_REQUEST;
        enough.then_some(()).ok_or_else(|| format!("request: at least {MIN_REQUEST} bytes"))
    };
    let positive = |value: u64, what: &str| {
        (value > 0).then_some(()).ok_or_else(|| format!("{what}: it has to be more than 0"))
    };
    match traffic {
        Traffic::Bulk { size } => positive(size.unwrap_or(1), "size"),
        Traffic::RequestResponse { request, response, .. } => {
            request_fits(*request)?;
            positive(*response, "response")
        }
        Traffic::Cbr { rate, message, .. } => {
            positive(*rate, "rate")?;
            positive(*message, "message")
        }
        Traffic::Chunks(chunks) => {
            request_fits(chunks.request)?;
            positive(chunks.rates.first().copied().unwrap_or(0), "rates")?;
            if chunks.rates.windows(2).any(|pair| matches!(pair, [a, b] if a >= b)) {
                return Err("rates: they have to ascend".to_owned());
            }
            if chunks.length.is_zero() || chunks.buffer < chunks.length {
                return Err("a chunk has to last, and the buffer has to hold one".to_owned());
            }
            let sensible = chunks.caution > 0.0 && chunks.caution <= 10.0;
            sensible.then_some(()).ok_or_else(|| "caution: above 0, at most 10".to_owned())
        }
        Traffic::Web { objects, connections, request } => {
            request_fits(*request)?;
            positive(objects.len() as u64, "objects")?;
            positive(objects.iter().copied().min().unwrap_or(0), "objects")?;
            positive(u64::from(*connections), "connections")
        }
        Traffic::OnOff { on, off, rate } => {
            [on, off].into_iter().try_for_each(check_spread)?;
            positive(rate.unwrap_or(1), "rate")
        }
    }
}
