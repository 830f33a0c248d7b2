//! Arguments of `mpuser sim`, and what it shares with `mpuser exp`.

use clap::Args;
use mpuser_sim::experiment::{Overrides, Seeds, read_seeds};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser sim two-path.toml                     one run: flows, links, digest
  mpuser sim two-path.toml --seeds 1..20       means and 95 % intervals, on all cores
  mpuser sim two-path.toml --set rate=5,delay=80 --sched rr --cc newreno
  mpuser sim two-path.toml --pcap run.pcapng --qlog run.sqlog
  mpuser sim two-path.toml --json | jq '.outcome.flows[].goodput_bps'

SCENARIO is a file, or the name of a preset. Files are described in sim/README.md. The same
scenario, parameters and seed give the same digest on any machine.")]
pub(crate) struct Sim {
    /// A scenario's file, or the name of a preset
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: String,
    /// The seed; without it the scenario's own
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) wishes: Wishes,
    #[command(flatten)]
    pub(crate) traces: Traces,
}

/// What both commands can be asked for.
#[derive(Args, Clone, Debug)]
pub(crate) struct Wishes {
    /// Give parameters of the scenario other values (repeatable)
    #[arg(long, value_name = "NAME=VALUE,...")]
    pub(crate) set: Vec<String>,
    /// Scheduler of every MPTCP flow, or the parameter of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) sched: Option<String>,
    /// Congestion control of every MPTCP flow, or the parameter of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) cc: Option<String>,
    /// These seeds, both ends included
    #[arg(long, value_name = "A..B", value_parser = read_seeds)]
    pub(crate) seeds: Option<Seeds>,
    /// Runs at the same time; without it one per core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

impl Wishes {
    /// As what wins over a plan's file.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            set: self.set.clone(),
            scheduler: self.sched.clone(),
            cc: self.cc.clone(),
            seeds: self.seeds.clone(),
        }
    }
}

/// Traces of one run.
#[derive(Args, Clone, Debug)]
pub(crate) struct Traces {
    /// Write the packets, as the clients see them, into a capture (pcapng)
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    pub(crate) pcap: Option<PathBuf>,
    /// Write packets and what the engine did as JSON, one event per line
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    pub(crate) qlog: Option<PathBuf>,
}
