//! Links as text: `rate=20mbit delay=10ms loss=1% fwd.mtu=1400 box=strip-mptcp:syn`, and back.

use super::config::{LaneConfig, LinkConfig};
use super::delay::{Jitter, Shape};
use super::icmp::TooBig;
use super::loss::Loss;
use super::outage::Outages;
use super::queue::{Aqm, QueueLimit};
use super::rate::Trace;
use super::red::RedConfig;
use super::schedule::RateSchedule;
use crate::direction::Direction;
use crate::text;
use mpuser_engine::time::Duration;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Gives the contents of a file that a value names.
pub type ReadFile<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

/// What a lane understands, for messages.
pub(crate) const KEYS: &str = "rate, rates, trace, delay, jitter, loss, reorder, duplicate, corrupt, queue, aqm, mtu, state, down, box";

impl LinkConfig {
    /// Changes what `text` names and leaves the rest: words `key=value`, both directions alike unless the key begins
    /// with `fwd.` or `back.`. The first `box=` replaces all boxes, further ones follow it; `box=none` takes them
    /// away. `trace=FILE` and `loss=trace:FILE` name files, which `read` reads.
    ///
    /// # Errors
    /// Says which word cannot be understood and what could stand there; nothing has changed then.
    pub fn apply(&mut self, text: &str, read: ReadFile<'_>) -> Result<(), String> {
        let mut words = Vec::new();
        for word in text.split_whitespace() {
            let pair = word.split_once('=');
            words.push(
                pair.ok_or_else(|| format!("{word:?} is no key=value; the keys are {KEYS}"))?,
            );
        }
        self.apply_pairs(&words, read).map_err(|(at, error)| match words.get(at) {
            Some((key, _)) => format!("{key}: {error}"),
            None => error,
        })
    }

    /// The same for words that are taken apart already; of a mistake it says which word's it is.
    pub(crate) fn apply_pairs(
        &mut self,
        words: &[(&str, &str)],
        read: ReadFile<'_>,
    ) -> Result<(), (usize, String)> {
        let mut next = self.clone();
        let mut fresh = true;
        // a queue may be a share of what the other words make of the link
        let (later, first): (Vec<usize>, Vec<usize>) = (0..words.len())
            .partition(|at| words.get(*at).is_some_and(|(key, _)| key.ends_with("queue")));
        for at in first.into_iter().chain(later) {
            let Some((key, value)) = words.get(at) else { continue };
            next.apply_pair(key, value, &mut fresh, read).map_err(|error| (at, error))?;
        }
        *self = next;
        Ok(())
    }

    fn apply_pair(
        &mut self,
        key: &str,
        value: &str,
        fresh: &mut bool,
        read: ReadFile<'_>,
    ) -> Result<(), String> {
        if key == "box" {
            if std::mem::take(fresh) {
                self.boxes.clear();
            }
            if value != "none" {
                crate::middlebox::build(value, 0)?;
                self.boxes.push(value.to_owned());
            }
            return Ok(());
        }
        let (directions, key) = match (key.strip_prefix("fwd."), key.strip_prefix("back.")) {
            (Some(key), _) => (&[Direction::Forward][..], key),
            (_, Some(key)) => (&[Direction::Backward][..], key),
            _ => (&Direction::BOTH[..], key),
        };
        for direction in directions {
            let round_trip = self.forward.delay + self.backward.delay;
            let lane = match direction {
                Direction::Forward => &mut self.forward,
                Direction::Backward => &mut self.backward,
            };
            match value.split_once("bdp") {
                Some((share, over)) if key == "queue" => {
                    lane.queue = QueueLimit::Bytes(bdp(lane, share, over, round_trip)?);
                }
                _ => apply(lane, key, value, read)?,
            }
        }
        Ok(())
    }
}

/// `0.5bdp`: a share of what fills the link for one round trip of its own, or, as `0.5bdp:100ms`, for that long. At
/// least one packet.
fn bdp(lane: &LaneConfig, share: &str, over: &str, own: Duration) -> Result<u64, String> {
    let wrong = || {
        format!("{share}bdp{over} is no length of a queue: write for example 0.5bdp or 1bdp:100ms")
    };
    let share: f64 = share.parse().map_err(|_| wrong())?;
    let time = match over.strip_prefix(':') {
        Some(time) => text::duration(time)?,
        None if over.is_empty() => own,
        None => return Err(wrong()),
    };
    let rate = lane.trace.as_ref().map(|trace| trace.mean_rate()).or(lane.rate);
    let rate = rate.ok_or(
        "without a rate there is no bandwidth-delay product: write rate, or the queue as 100p",
    )?;
    if time.is_zero() {
        return Err(
            "without a delay there is no bandwidth-delay product: write for example 0.5bdp:100ms"
                .into(),
        );
    }
    let bytes = rate as f64 / 8.0 * time.as_secs_f64() * share;
    if !(0.0..1e12).contains(&bytes) {
        return Err(wrong());
    }
    Ok((bytes.round() as u64).max(1500))
}

/// Without files.
impl FromStr for LinkConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        config.apply(text, &mut |name| Err(format!("no file can be read here: {name}")))?;
        Ok(config)
    }
}

fn apply(lane: &mut LaneConfig, key: &str, value: &str, read: ReadFile<'_>) -> Result<(), String> {
    match key {
        "rate" => {
            lane.rate = if value == "none" { None } else { Some(text::rate(value)?) };
            (lane.trace, lane.rates) = (None, None);
        }
        "rates" => {
            lane.rates = match value {
                "none" => None,
                _ => Some(Arc::new(RateSchedule::parse_csv(&read(value)?)?)),
            }
        }
        "trace" => {
            lane.trace = match value {
                "none" => None,
                _ => {
                    let trace = Trace::parse(&read(value)?);
                    Some(Arc::new(trace.map_err(|error| format!("{value}, {error}"))?))
                }
            }
        }
        "delay" => lane.delay = text::duration(value)?,
        "jitter" => lane.jitter = jitter(value)?,
        "loss" => lane.loss = loss(value, read)?,
        "reorder" => {
            let (p, distance) = value.split_once(':').unwrap_or((value, "4"));
            lane.reorder = text::probability(p)?;
            lane.reorder_distance = text::whole(distance, 1..=1000)?;
        }
        "duplicate" => lane.duplicate = text::probability(value)?,
        "corrupt" => lane.corrupt = text::probability(value)?,
        "queue" => lane.queue = queue(value)?,
        "aqm" => lane.aqm = aqm(value)?,
        "mtu" => {
            let (mtu, action) = value.split_once(':').unwrap_or((value, "icmp"));
            lane.mtu = text::whole(mtu, 68..=65_535)? as u16;
            lane.too_big = match action {
                "icmp" => TooBig::FragmentationNeeded,
                "drop" => TooBig::Drop,
                _ => return Err(format!("{action:?} is neither icmp nor drop")),
            };
        }
        "state" => {
            lane.up = match value {
                "up" => true,
                "down" => false,
                _ => return Err(format!("{value:?} is neither up nor down")),
            }
        }
        "down" => lane.outages = outages(value)?,
        _ => {
            let known = KEYS.split(", ");
            return Err(format!("there is no such key: {}", crate::suggest(key, known)));
        }
    }
    Ok(())
}

fn jitter(value: &str) -> Result<Jitter, String> {
    let (value, reorders) = match value.strip_suffix(":reorder") {
        Some(value) => (value, true),
        None => (value, false),
    };
    let (amount, shape) = value.split_once(':').unwrap_or((value, "uniform"));
    let shape = Shape::NAMES.iter().find(|(name, _)| *name == shape);
    let (_, shape) = shape.ok_or("the distributions are uniform, normal and pareto")?;
    Ok(Jitter { amount: text::duration(amount)?, shape: *shape, reorders })
}

fn loss(value: &str, read: ReadFile<'_>) -> Result<Loss, String> {
    if let Some(file) = value.strip_prefix("trace:") {
        return loss_trace(&read(file)?).map_err(|error| format!("{file}: {error}"));
    }
    let Some(states) = value.strip_prefix("ge:") else {
        return Ok(match text::probability(value)? {
            0.0 => Loss::None,
            p => Loss::Bernoulli(p),
        });
    };
    let numbers: Result<Vec<f64>, String> = states.split(',').map(text::probability).collect();
    match *numbers?.as_slice() {
        [to_bad, to_good] => Ok(Loss::GilbertElliott { to_bad, to_good, bad: 1.0, good: 0.0 }),
        [to_bad, to_good, bad] => Ok(Loss::GilbertElliott { to_bad, to_good, bad, good: 0.0 }),
        [to_bad, to_good, bad, good] => Ok(Loss::GilbertElliott { to_bad, to_good, bad, good }),
        _ => Err("write ge:TO_BAD,TO_GOOD[,LOSS_IN_BAD[,LOSS_IN_GOOD]]".to_owned()),
    }
}

/// `1` is a lost packet, `0` one that passes; white space is ignored.
fn loss_trace(text: &str) -> Result<Loss, String> {
    let packets: Result<Vec<bool>, String> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| match c {
            '0' => Ok(false),
            '1' => Ok(true),
            _ => Err(format!("a loss trace consists of 0 and 1, not of {c:?}")),
        })
        .collect();
    let packets = packets?;
    if packets.is_empty() {
        return Err("a loss trace needs at least one packet".to_owned());
    }
    Ok(Loss::Trace(packets.into()))
}

fn queue(value: &str) -> Result<QueueLimit, String> {
    if let Some(packets) = value.strip_suffix('p') {
        return Ok(QueueLimit::Packets(text::whole(packets, 1..=1_000_000)?));
    }
    if value.ends_with('s') {
        return Ok(QueueLimit::Time(text::duration(value)?));
    }
    let bytes = text::size(value);
    bytes.map(QueueLimit::Bytes).map_err(|_| {
        format!("{value:?} is no length of a queue: write for example 100p, 64k, 50ms or 0.5bdp")
    })
}

fn aqm(value: &str) -> Result<Aqm, String> {
    match value.split_once(':') {
        None if value == "droptail" => Ok(Aqm::DropTail),
        None if value == "codel" => Ok(Aqm::CODEL),
        Some(("codel", times)) => {
            let (target, interval) = times
                .split_once(',')
                .ok_or("write codel:TARGET,INTERVAL, for example 5ms,100ms")?;
            let (target, interval) = (text::duration(target)?, text::duration(interval)?);
            if interval.is_zero() {
                return Err("CoDel's interval cannot be 0".to_owned());
            }
            Ok(Aqm::CoDel { target, interval })
        }
        None if value == "near-full" => Ok(Aqm::NEAR_FULL),
        Some(("near-full", values)) => {
            let (places, p) = values
                .split_once(',')
                .ok_or("write near-full:PLACES,P, for example near-full:3,10%")?;
            let places = places.strip_suffix('p').unwrap_or(places);
            let places = text::whole(places, 1..=1_000_000)?;
            Ok(Aqm::NearFull { places, p: text::probability(p)? })
        }
        Some(("red", values)) => red(values),
        _ => Err(format!("{value:?} is none of droptail, codel, red:MIN,MAX,P and near-full")),
    }
}

/// `5,15,10%`, with the weight behind it or not.
fn red(values: &str) -> Result<Aqm, String> {
    let wrong = "write red:MIN,MAX,P or red:MIN,MAX,P,WEIGHT, for example red:5,15,10%";
    let values: Vec<&str> = values.split(',').collect();
    let packets = |text: &str| {
        let packets = text.strip_suffix('p').unwrap_or(text).parse::<f64>().ok();
        packets.filter(|packets| (0.0..1e9).contains(packets)).ok_or(wrong)
    };
    let (min, max, p, weight) = match *values.as_slice() {
        [min, max, p] => (min, max, p, "0.002"),
        [min, max, p, weight] => (min, max, p, weight),
        _ => return Err(wrong.to_owned()),
    };
    let (p, weight) = (text::probability(p)?, text::probability(weight)?);
    let config = RedConfig { min: packets(min)?, max: packets(max)?, p, weight };
    if config.min >= config.max || config.weight == 0.0 {
        return Err("RED's first length has to be below its second, and its weight above 0".into());
    }
    Ok(Aqm::Red(config))
}

/// `2s-4s,10s-11s`, with `@20s` behind it to begin anew; `none`.
fn outages(value: &str) -> Result<Outages, String> {
    if value == "none" {
        return Ok(Outages::default());
    }
    let (spans, every) = match value.split_once('@') {
        Some((spans, every)) => (spans, Some(text::duration(every)?)),
        None => (value, None),
    };
    let mut list = Vec::new();
    for span in spans.split(',') {
        let (from, to) = span.split_once('-').ok_or("write FROM-TO, for example 2s-4s")?;
        let (from, to) = (text::duration(from)?, text::duration(to)?);
        if from >= to || every.is_some_and(|every| to > every) {
            return Err(format!("{span:?} ends before it begins, or after the list begins anew"));
        }
        list.push((from, to));
    }
    Ok(Outages { spans: list, every })
}

fn show_aqm(aqm: &Aqm) -> String {
    let probability = text::show_probability;
    match *aqm {
        Aqm::DropTail => "aqm=droptail".to_owned(),
        Aqm::CoDel { target, interval } => {
            let [target, interval] = [target, interval].map(text::show_duration);
            format!("aqm=codel:{target},{interval}")
        }
        Aqm::Red(RedConfig { min, max, p, weight }) => {
            format!("aqm=red:{min},{max},{},{}", probability(p), probability(weight))
        }
        Aqm::NearFull { places, p } => format!("aqm=near-full:{places},{}", probability(p)),
    }
}

/// The words that make this lane from the default; traces are shown by their size only.
fn words(lane: &LaneConfig) -> Vec<String> {
    let (plain, mut words) = (LaneConfig::default(), Vec::new());
    let mut say = |differs: bool, word: &dyn Fn() -> String| {
        if differs {
            words.push(word());
        }
    };
    let probability = text::show_probability;
    say(lane.rate != plain.rate, &|| {
        format!("rate={}", lane.rate.map_or_else(|| "none".into(), text::show_rate))
    });
    say(lane.trace.is_some(), &|| {
        let mean = lane.trace.as_ref().map_or(0, |trace| trace.mean_rate());
        format!("trace=(mean:{})", text::show_rate(mean))
    });
    say(lane.rates.is_some(), &|| "rates=(a schedule)".to_owned());
    say(lane.delay != plain.delay, &|| format!("delay={}", text::show_duration(lane.delay)));
    say(lane.jitter != plain.jitter, &|| {
        let shape = Shape::NAMES.iter().find(|(_, shape)| *shape == lane.jitter.shape);
        let shape = shape.map_or("uniform", |(name, _)| name);
        let reorder = if lane.jitter.reorders { ":reorder" } else { "" };
        format!("jitter={}:{shape}{reorder}", text::show_duration(lane.jitter.amount))
    });
    say(lane.loss != plain.loss, &|| match &lane.loss {
        Loss::None => "loss=0%".to_owned(),
        Loss::Bernoulli(p) => format!("loss={}", probability(*p)),
        Loss::GilbertElliott { to_bad, to_good, bad, good } => {
            let all = [to_bad, to_good, bad, good].map(|p| probability(*p));
            format!("loss=ge:{}", all.join(","))
        }
        Loss::Trace(packets) => format!("loss=trace:({}p)", packets.len()),
    });
    say(lane.reorder > 0.0, &|| {
        format!("reorder={}:{}", probability(lane.reorder), lane.reorder_distance)
    });
    say(lane.duplicate > 0.0, &|| format!("duplicate={}", probability(lane.duplicate)));
    say(lane.corrupt > 0.0, &|| format!("corrupt={}", probability(lane.corrupt)));
    say(lane.queue != plain.queue, &|| match lane.queue {
        QueueLimit::Packets(packets) => format!("queue={packets}p"),
        QueueLimit::Bytes(bytes) => format!("queue={bytes}"),
        QueueLimit::Time(time) => format!("queue={}", text::show_duration(time)),
    });
    say(lane.aqm != plain.aqm, &|| show_aqm(&lane.aqm));
    say(lane.mtu != plain.mtu || lane.too_big != plain.too_big, &|| {
        let action = if lane.too_big == TooBig::Drop { "drop" } else { "icmp" };
        format!("mtu={}:{action}", lane.mtu)
    });
    say(!lane.up, &|| "state=down".to_owned());
    say(!lane.outages.spans.is_empty(), &|| {
        let span = |(from, to): &(_, _)| {
            format!("{}-{}", text::show_duration(*from), text::show_duration(*to))
        };
        let spans: Vec<String> = lane.outages.spans.iter().map(span).collect();
        let every = lane.outages.every.map(|every| format!("@{}", text::show_duration(every)));
        format!("down={}{}", spans.join(","), every.unwrap_or_default())
    });
    words
}

/// The text that makes this link, as far as no files are needed; empty for the default.
impl fmt::Display for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (forward, backward) = (words(&self.forward), words(&self.backward));
        let mut all: Vec<String> =
            forward.iter().filter(|word| backward.contains(word)).cloned().collect();
        let only = |one: &[String], other: &[String], prefix: &str| -> Vec<String> {
            one.iter().filter(|w| !other.contains(w)).map(|w| format!("{prefix}{w}")).collect()
        };
        all.extend(only(&forward, &backward, "fwd."));
        all.extend(only(&backward, &forward, "back."));
        all.extend(self.boxes.iter().map(|name| format!("box={name}")));
        f.write_str(&all.join(" "))
    }
}
