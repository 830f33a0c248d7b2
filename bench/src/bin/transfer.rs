//! Moves data between two endpoints in memory, for who counts instructions: `transfer mptcp|shared|tcp|two MIB`.
#![expect(clippy::print_stdout, reason = "a program that reports")]

use mpuser_bench::memory::Flow as _;
use mpuser_bench::memory::mpuser::{Options, Pair};
use mpuser_bench::passing::Passing;

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [kind, mib] = &words[..] else {
        return Err("transfer mptcp|shared|tcp|two MIB".to_owned());
    };
    let one = Options::default();
    let options = match kind.as_str() {
        "mptcp" => one,
        "shared" => Options { passing: Passing::Shared, ..one },
        "tcp" => Options { mptcp: false, ..one },
        "two" => Options { subflows: 2, ..one },
        other => return Err(format!("{other} is not mptcp, shared, tcp or two")),
    };
    let mib: u64 = mib.parse().map_err(|error| format!("{mib}: {error}"))?;
    let octets = Pair::open(&options)?.transfer(mib << 20)?;
    println!("{octets} octets");
    Ok(())
}
