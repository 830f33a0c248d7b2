//! Which runs are whose when several machines share them.

use std::fmt;

/// Part `index` of `count`: the runs whose number leaves `index` when divided by `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// At least 1.
    pub count: u64,
}

/// Why there is no shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl ShardError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// All of it.
impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Counts of schedulers that give the index alone.
const COUNT: &str = "MPUSER_SHARDS";

impl Shard {
    /// Reads `I/N`, counted from 0.
    ///
    /// # Errors
    /// It is not of this form, or `I` is not below `N`.
    pub fn parse(text: &str) -> Result<Self, ShardError> {
        let wrong = || {
            let help = "write --shard I/N with I from 0 to N - 1, for example 0/4, or --shard auto";
            ShardError::new(format!("{text:?} is no shard"), help)
        };
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        Self::new(number(index)?, number(count)?).ok_or_else(wrong)
    }

    fn new(index: u64, count: u64) -> Option<Self> {
        (index < count && count <= 1_000_000).then_some(Self { index, count })
    }

    /// The shard this process is, by what the batch system has put into the environment: a Slurm array, a Kubernetes
    /// Indexed Job, a PBS array or an SGE array. The number of shards is that of the array, where the system says it,
    /// and shards count from its first task. `MPUSER_SHARDS` wins, and makes a task's own number the shard's (in SGE,
    /// which counts from 1, one less): so a part of an array can be handed in again.
    ///
    /// # Errors
    /// There is no such variable, or what it says cannot be.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        let number = |name: &str| -> Result<Option<u64>, ShardError> {
            // SGE says "undefined" outside arrays
            let text = get(name).filter(|text| !text.is_empty() && text != "undefined");
            let value = text.map(|text| text.trim().parse().map_err(|_| text)).transpose();
            value.map_err(|text| {
                ShardError::new(
                    format!("{name} is {text:?}, no number"),
                    "write --shard I/N instead",
                )
            })
        };
        let fixed = number(COUNT)?;
        // the first task's number and the step between tasks, unless the tasks' own numbers are to be taken
        let bounds = |first: &str, step: &str, from: u64| -> Result<(u64, u64), ShardError> {
            if fixed.is_some() {
                return Ok((from, 1));
            }
            Ok((number(first)?.unwrap_or(from), number(step)?.unwrap_or(1).max(1)))
        };
        let index = |id: u64, (first, step): (u64, u64)| id.checked_sub(first).map(|x| x / step);
        let (variable, index, count) = if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let bounds = bounds("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP", 0)?;
            ("SLURM_ARRAY_TASK_ID", index(id, bounds), number("SLURM_ARRAY_TASK_COUNT")?)
        } else if let Some(id) = number("JOB_COMPLETION_INDEX")? {
            ("JOB_COMPLETION_INDEX", Some(id), None)
        } else if let Some(id) = number("PBS_ARRAY_INDEX")? {
            ("PBS_ARRAY_INDEX", Some(id), None)
        } else if let Some(id) = number("SGE_TASK_ID")? {
            let bounds = bounds("SGE_TASK_FIRST", "SGE_TASK_STEPSIZE", 1)?;
            let last = number("SGE_TASK_LAST")?.and_then(|last| index(last, bounds));
            ("SGE_TASK_ID", index(id, bounds), last.map(|last| last + 1))
        } else {
            return Err(ShardError::new(
                "this is no task of an array",
                "--shard auto reads SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, PBS_ARRAY_INDEX and SGE_TASK_ID; \
                 elsewhere write --shard I/N",
            ));
        };
        let count = fixed.or(count).ok_or_else(|| {
            let help = format!("set {COUNT} to the number of tasks, or write --shard I/N");
            ShardError::new(format!("{variable} is set, but not how many tasks there are"), help)
        })?;
        index.and_then(|index| Self::new(index, count)).ok_or_else(|| {
            let shown =
                index.map_or_else(|| "before the first".to_owned(), |index| index.to_string());
            ShardError::new(
                format!("by {variable} this is shard {shown} of {count}"),
                format!("shards count from 0; check the array's bounds and {COUNT}"),
            )
        })
    }

    /// Whether a run is this shard's.
    #[must_use]
    pub const fn has(&self, run: u64) -> bool {
        run % self.count == self.index
    }

    /// The runs of this shard among `total`.
    pub fn runs(&self, total: u64) -> impl Iterator<Item = u64> {
        let (index, count) = (self.index, self.count);
        (0..).map_while(move |k: u64| {
            k.checked_mul(count)?.checked_add(index).filter(|run| *run < total)
        })
    }
}
