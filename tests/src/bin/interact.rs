//! Runs the random interaction suite over many seeds, and replays one.
#![expect(clippy::print_stdout, reason = "a program that reports")]

use mpuser_tests::interact::{Part, Setup, Shown, Violation, draw, run_caught, shrink};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const USAGE: &str = "interact [--seeds FROM..TO] [--threads N]   run many seeds
interact --seed S [--trace] [--shrink] [--only PART,PART..] [--long-way]   run one again
  --long-way  without header prediction, which must not change anything
";

#[derive(Default)]
struct Args {
    seeds: Option<(u64, u64)>,
    seed: Option<u64>,
    threads: Option<usize>,
    only: Option<Vec<String>>,
    trace: bool,
    shrink: bool,
    long_way: bool,
}

fn parse() -> Result<Args, String> {
    let mut args = Args::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: &str| {
            text.parse::<u64>().map_err(|_| format!("{text:?} is no number of a seed"))
        };
        match word.as_str() {
            "--seeds" => {
                let value = value()?;
                let (from, to) = value.split_once("..").unwrap_or(("0", &value));
                args.seeds = Some((number(from)?, number(to)?));
            }
            "--seed" => args.seed = Some(number(&value()?)?),
            "--threads" => args.threads = Some(number(&value()?)? as usize),
            "--only" => args.only = Some(value()?.split(',').map(str::to_owned).collect()),
            "--trace" => args.trace = true,
            "--shrink" => args.shrink = true,
            "--long-way" => args.long_way = true,
            other => return Err(format!("what is {other:?}?\n{USAGE}")),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(args) => args,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(2);
        }
    };
    // what panics is told by the report
    std::panic::set_hook(Box::new(|_| {}));
    match args.seed {
        Some(seed) => one(seed, &args),
        None => many(&args),
    }
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let mut setup = draw(seed);
    if let Some(only) = &args.only {
        let parts: Vec<Part> =
            setup.parts().into_iter().filter(|part| only.contains(&part.to_string())).collect();
        setup = setup.only(&parts);
    }
    setup.predicting = !args.long_way;
    println!("{setup}");
    match run_caught(&setup, args.trace) {
        Ok(mut shown) => {
            for line in shown.trace.drain(..) {
                println!("{line}");
            }
            println!("{shown:?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            for line in &violation.trace {
                println!("{line}");
            }
            tell(&setup, &violation, args.shrink);
            ExitCode::FAILURE
        }
    }
}

fn tell(setup: &Setup, violation: &Violation, smaller: bool) {
    println!("seed {} at {:?}: {}", setup.seed, violation.at, violation.what);
    println!("  again: tests/interact --seed {} --trace", setup.seed);
    if smaller {
        let parts: Vec<String> = shrink(setup, 400).iter().map(Part::to_string).collect();
        println!("  needs: --only {}", parts.join(","));
    }
}

fn many(args: &Args) -> ExitCode {
    let (from, to) = args.seeds.unwrap_or((0, 2_000));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, done) = (AtomicU64::new(from), AtomicU64::new(0));
    let (failures, sum) = (Mutex::new(Vec::new()), Mutex::new(Shown::default()));
    std::thread::scope(|scope| {
        for _ in 0..args.threads.unwrap_or(cores) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let setup = draw(seed);
                    match run_caught(&setup, false) {
                        Ok(shown) => {
                            if let Ok(mut sum) = sum.lock() {
                                sum.packets += shown.packets;
                                sum.events += shown.events;
                                sum.octets += shown.octets;
                                sum.failed += shown.failed;
                                sum.plain += shown.plain;
                                sum.joins += shown.joins;
                            }
                        }
                        Err(violation) => {
                            tell(&setup, &violation, args.shrink);
                            if let Ok(mut failures) = failures.lock() {
                                failures.push(seed);
                            }
                        }
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done % 1_000 == 0 {
                        println!("{done} of {} seeds", to - from);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    let sum = sum.into_inner().unwrap_or_default();
    println!(
        "{} seeds, {} violations {failures:?}; {} packets, {} octets read, {} joins, {} ends plain, {} ends failed",
        to.saturating_sub(from),
        failures.len(),
        sum.packets,
        sum.octets,
        sum.joins,
        sum.plain,
        sum.failed
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
