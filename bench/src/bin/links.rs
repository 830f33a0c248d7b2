//! Uploads over three emulated links, one by one: what comes through. For who wants to know why P16 shows what it shows.
#![expect(clippy::print_stdout, reason = "a program that reports")]

use clap::Parser;
use mpuser_bench::wire::paths::{self, Options};
use mpuser_bench::wire::shaped::Shaped;
use mpuser_engine::config::CongestionAlgorithm;
use std::io;
use std::path::PathBuf;

/// Uploads of 80 MiB to a kernel over three links as `mpuser link` writes them.
#[derive(Debug, Parser)]
struct Arguments {
    /// As rate=100mbit,delay=5ms,queue=50ms
    #[arg(num_args = 3, required = true)]
    links: Vec<String>,
    /// How many
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// The kernel sends
    #[arg(long)]
    kernel: bool,
    /// mpuser's congestion control: cubic, bbr, ...
    #[arg(long, value_parser = paths::algorithm, default_value = "cubic")]
    congestion: CongestionAlgorithm,
    /// mpuser's packets go to DIR/0.pcapng and on, what happens to subflows to stderr
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let Arguments { links, count, kernel, congestion, capture } = Arguments::parse();
    let words: Vec<String> = links.iter().map(|link| link.replace(',', " ")).collect();
    let [one, two, three] = words.as_slice() else {
        return Err(io::Error::other("three links"));
    };
    let shaped = Shaped::up("links", [one, two, three])?;
    for number in 0..count {
        let file = capture.as_ref().map(|dir| dir.join(format!("{number}.pcapng")));
        let options = Options { congestion, capture: file.as_deref() };
        let mbps = if kernel { shaped.kernel()? } else { shaped.ours(options)? };
        println!("{number}: {mbps:.0} Mbit/s");
    }
    Ok(())
}
