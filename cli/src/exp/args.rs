//! Arguments of `mpuser exp`.

use crate::simulate::args::Wishes;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Exp {
    /// Run a plan, a scenario or a preset
    #[command(after_help = "\
Examples:
  mpuser exp run plan.toml                              all of it; a table of means
  mpuser exp run plan.toml --out results                rows.csv and a manifest; again: what is missing
  mpuser exp run scenario-c --set n=2,c=1 --set cc=lia --json
  mpuser exp run plan.toml --out results --shard 0/4    the first of four machines
  mpuser exp run plan.toml --out results --shard auto   a task of an array (mpuser exp slurm)")]
    Run(Run),
    /// Published results: list them, or run them and see whether they come out
    #[command(after_help = "\
Examples:
  mpuser exp presets                            what there is: source, parameters, what is asked
  mpuser exp presets scenario-c torus           run with 10 seeds; ours, reference, band, verdict
  mpuser exp presets scenario-c --set n=3,c=1.5 --set cc=lia --json
  mpuser exp presets --all --md > RESULTS.md

Exit code 7: something is outside of its band.")]
    Presets(Presets),
    /// Tables with confidence intervals and plots of kept rows, as one page of HTML
    #[command(after_help = "\
Examples:
  mpuser exp run scenario-c --out results && mpuser exp report results
  mpuser exp report results --scenario two-path.toml    where its file is now

Writes report.html and the plots as SVG into the directory. Plots over time are of runs done once
more, the first of each point; a run that does not come out as the rows say is not shown.")]
    Report(Report),
    /// Put the parts of shards together, if they are complete
    #[command(after_help = "\
Examples:
  mpuser exp merge results

Exit code 7: rows are missing, or two parts differ in one.")]
    Merge(Merge),
    /// Print a job array for Slurm
    #[command(after_help = "\
Examples:
  mpuser exp slurm plan.toml -n 100 --out results > job.sh && sbatch job.sh
  sbatch --array=3,17 job.sh     two of its tasks again")]
    Slurm(Slurm),
    /// Print an Indexed Job for Kubernetes
    #[command(after_help = "\
Examples:
  mpuser exp k8s plan.toml -n 100 --image registry.example/mpuser --claim results | kubectl apply -f -")]
    K8s(K8s),
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// A plan's or a scenario's file, or the name of a preset
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    #[command(flatten)]
    pub(crate) wishes: Wishes,
    /// Keep the rows here; what is there already is not run again
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Run part I of N only, I from 0; auto: what the batch system's variables say
    #[arg(long, value_name = "I/N|auto", requires = "out")]
    pub(crate) shard: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Presets {
    /// Names; without any the list
    #[arg(value_name = "NAME", conflicts_with = "all")]
    pub(crate) names: Vec<String>,
    /// Run all there are
    #[arg(long)]
    pub(crate) all: bool,
    /// Seeds 1 to N for each variant
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) seeds: u32,
    /// Give parameters other values; variants that differ in nothing else run once (repeatable)
    #[arg(long, value_name = "NAME=VALUE,...")]
    pub(crate) set: Vec<String>,
    /// Runs at the same time; without it one per core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) md: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Report {
    /// Where the rows are
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The scenario, plan or preset the rows are of, if it is not where it was
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Merge {
    /// Where the parts are
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// What is run where.
#[derive(Args, Debug)]
pub(crate) struct Job {
    /// A plan's or a scenario's file, or the name of a preset
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// How many tasks
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) tasks: u32,
    /// Parameters with other values (repeatable)
    #[arg(long, value_name = "NAME=VALUE,...")]
    pub(crate) set: Vec<String>,
    /// Cores of a task
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) cores: u16,
}

#[derive(Args, Debug)]
pub(crate) struct Slurm {
    #[command(flatten)]
    pub(crate) job: Job,
    /// Where the rows go; a directory all nodes see
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(crate) out: PathBuf,
    /// Longest time of a task, as Slurm writes it
    #[arg(long, value_name = "TIME", default_value = "04:00:00")]
    pub(crate) time: String,
}

#[derive(Args, Debug)]
pub(crate) struct K8s {
    #[command(flatten)]
    pub(crate) job: Job,
    /// The container image that has mpuser
    #[arg(long, value_name = "IMAGE", default_value = "mpuser:latest")]
    pub(crate) image: String,
    /// The PersistentVolumeClaim the rows go to
    #[arg(long, value_name = "NAME", default_value = "mpuser-results")]
    pub(crate) claim: String,
    /// Pods at the same time
    #[arg(long, value_name = "N")]
    pub(crate) parallelism: Option<u32>,
}
