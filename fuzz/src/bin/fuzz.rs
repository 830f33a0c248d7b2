//! Runs fuzz targets without libFuzzer, and replays single inputs. `tests/fuzz` is the way to call it.
#![expect(clippy::print_stdout, reason = "a program that reports")]

use mpuser_fuzz::{TARGETS, Target, corpus, mutate::Mutator};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "fuzz list                                 every target
fuzz run TARGET [--executions N] [--seed S] [--findings DIR] [FOLDER..]
                                          random mutations of the corpus and of the inputs in these folders
fuzz replay TARGET FILE..                 these inputs again, with what happens, as far as the target says so
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{:<12} {}", target.name, target.about));
            Ok(true)
        }
        ["replay", name, ref files @ ..] if !files.is_empty() => replay(name, files),
        ["run", name, ref rest @ ..] => run(name, rest),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn find(name: &str) -> Result<&'static Target, String> {
    mpuser_fuzz::find(name).ok_or_else(|| format!("no target {name:?}; fuzz list names them"))
}

fn replay(name: &str, files: &[&str]) -> Result<bool, String> {
    let target = find(name)?;
    mpuser_fuzz::show();
    for file in files {
        let input = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        println!("{file}: {} octets", input.len());
        (target.run)(&input);
    }
    println!("{} inputs, no finding", files.len());
    Ok(true)
}

fn run(name: &str, words: &[&str]) -> Result<bool, String> {
    let target = find(name)?;
    let (mut executions, mut seed) = (100_000_u64, 1_u64);
    let mut findings = PathBuf::from("fuzz/findings");
    let mut folders = vec![corpus::root().join(name)];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
        match *word {
            "--executions" => executions = number(value()?)?,
            "--seed" => seed = number(value()?)?,
            "--findings" => findings = PathBuf::from(value()?),
            folder => folders.push(PathBuf::from(folder)),
        }
    }
    let mut inputs = Vec::new();
    for folder in folders {
        let files = corpus::read(&folder).map_err(|error| error.to_string())?;
        inputs.extend(files.into_iter().map(|(_, bytes)| bytes));
    }
    let mut mutator = Mutator::new(seed, inputs, target.most);
    for done in 0..executions {
        let input = mutator.next_input();
        if catch_unwind(|| (target.run)(&input)).is_err() {
            let file = keep(&findings, name, &input).map_err(|error| error.to_string())?;
            println!("FINDING after {done} executions of seed {seed}; again with");
            println!("  cargo run -p mpuser-fuzz --bin fuzz -- replay {name} {}", file.display());
            return Ok(false);
        }
    }
    println!("{name}: {executions} executions of seed {seed}, no finding");
    Ok(true)
}

fn keep(folder: &Path, name: &str, input: &[u8]) -> std::io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    fs::create_dir_all(folder)?;
    let file = folder.join(format!("{name}-{:016x}", hasher.finish()));
    fs::write(&file, input)?;
    Ok(file)
}
