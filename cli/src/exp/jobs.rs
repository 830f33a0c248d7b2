//! Jobs for batch systems: printed, never handed in.

use super::args::{Job, K8s, Slurm};
use super::library;
use crate::error::Failure;
use crate::output::{self, Printer};
use mpuser_sim::experiment::{Overrides, Plan};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// `mpuser exp slurm`.
pub(crate) fn slurm(args: &Slurm, printer: Printer) -> Result<ExitCode, Failure> {
    let (plan, _) = checked(&args.job)?;
    print("slurm", &slurm_text(args, &plan), printer);
    Ok(ExitCode::SUCCESS)
}

/// `mpuser exp k8s`.
pub(crate) fn k8s(args: &K8s, printer: Printer) -> Result<ExitCode, Failure> {
    let (plan, files) = checked(&args.job)?;
    print("k8s", &k8s_text(args, &plan, &files), printer);
    Ok(ExitCode::SUCCESS)
}

/// A job whose plan cannot be run is found out here, not a thousand times in a queue.
fn checked(job: &Job) -> Result<(Plan, Vec<PathBuf>), Failure> {
    let mut opened = library::open(&job.file)?;
    let plan = opened.plan(&Overrides { set: job.set.clone(), ..Overrides::default() })?;
    if u64::from(job.tasks) > plan.total() {
        return Err(Failure::usage(
            format!("{} tasks are too many", job.tasks),
            format!("the plan has {} runs", plan.total()),
            "give each task several minutes of work: a few hundred tasks at most",
        ));
    }
    Ok((plan, opened.files.used))
}

fn print(kind: &str, text: &str, printer: Printer) {
    if printer.json {
        output::stdout(&format!(
            "{}\n",
            json!({ "schema": "mpuser.exp.job/1", "kind": kind, "text": text })
        ));
    } else {
        output::stdout(text);
    }
}

/// A word as the shell takes it whole.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn set_words(job: &Job) -> String {
    job.set.iter().map(|words| format!(" --set {}", quote(words))).collect()
}

/// A name as Slurm and Kubernetes allow it.
fn job_name(plan: &Plan) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = plan.name.chars().map(letter).take(40).collect();
    format!("mpuser-{}", name.trim_matches('-'))
}

fn slurm_text(args: &Slurm, plan: &Plan) -> String {
    let (job, last) = (&args.job, args.job.tasks - 1);
    let out = args.out.display().to_string();
    let out = quote(&out);
    format!(
        "#!/bin/bash\n\
         # {runs} runs in {tasks} tasks; when they are done: mpuser exp merge {out}\n\
         # Tasks again: sbatch --array=3,17 this-file. Runs that are there are not run again.\n\
         #SBATCH --job-name={name}\n\
         #SBATCH --array=0-{last}\n\
         #SBATCH --cpus-per-task={cores}\n\
         #SBATCH --time={time}\n\
         #SBATCH --output={name}-%A_%a.log\n\
         set -euo pipefail\n\
         export MPUSER_SHARDS={tasks}\n\
         exec mpuser exp run {file}{set} --out {out} --shard auto --threads {cores}\n",
        runs = plan.total(),
        tasks = job.tasks,
        name = job_name(plan),
        cores = job.cores,
        time = args.time,
        file = quote(&job.file),
        set = set_words(job),
    )
}

fn k8s_text(args: &K8s, plan: &Plan, files: &[PathBuf]) -> String {
    let (job, name) = (&args.job, job_name(plan));
    let parallelism = args.parallelism.unwrap_or(job.tasks).clamp(1, job.tasks);
    // files travel in a ConfigMap, which knows no directories
    let words: Vec<String> = files
        .iter()
        .map(|file| format!("--from-file={}", quote(&file.display().to_string())))
        .collect();
    let file = match PathBuf::from(&job.file).file_name() {
        Some(base) if !files.is_empty() => format!("/plan/{}", base.to_string_lossy()),
        _ => job.file.clone(),
    };
    let (before, mount, volume) = if files.is_empty() {
        (String::new(), "", String::new())
    } else {
        (
            format!("# before: kubectl create configmap {name} {}\n", words.join(" ")),
            "            - { name: plan, mountPath: /plan }\n",
            format!("        - {{ name: plan, configMap: {{ name: {name} }} }}\n"),
        )
    };
    let sets: String = job.set.iter().map(|words| format!(", --set, {}", yaml(words))).collect();
    format!(
        "# {runs} runs in {tasks} tasks; when they are done: mpuser exp merge DIR, where DIR is the claim's\n\
         {before}\
         apiVersion: batch/v1\n\
         kind: Job\n\
         metadata:\n  name: {name}\n\
         spec:\n  completionMode: Indexed\n  completions: {tasks}\n  parallelism: {parallelism}\n  backoffLimitPerIndex: 3\n\
         \x20 template:\n    spec:\n      restartPolicy: Never\n      containers:\n\
         \x20       - name: mpuser\n          image: {image}\n\
         \x20         args: [exp, run, {file}{sets}, --out, /results, --shard, auto, --threads, \"{cores}\"]\n\
         \x20         command: [mpuser]\n\
         \x20         env:\n            - {{ name: MPUSER_SHARDS, value: \"{tasks}\" }}\n\
         \x20         resources: {{ requests: {{ cpu: \"{cores}\" }} }}\n\
         \x20         volumeMounts:\n            - {{ name: results, mountPath: /results }}\n{mount}\
         \x20     volumes:\n        - {{ name: results, persistentVolumeClaim: {{ claimName: {claim} }} }}\n{volume}",
        runs = plan.total(),
        tasks = job.tasks,
        image = yaml(&args.image),
        file = yaml(&file),
        cores = job.cores,
        claim = yaml(&args.claim),
    )
}

/// A word as YAML takes it for nothing but text.
fn yaml(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}
