//! Transfers whose busiest link dies, one by one: every silence, and when it began. For who wants to know why P17 shows
//! what it shows.
#![expect(clippy::print_stdout, reason = "a program that reports")]

use clap::{Parser, ValueEnum};
use mpuser_bench::wire::failover::{self, Death, Survived, Who};
use mpuser_bench::wire::kernel::Way;
use mpuser_bench::wire::paths::{self, Options};
use mpuser_engine::config::CongestionAlgorithm;
use mpuser_engine::time::{Duration, Instant};
use mpuser_tun::clock;
use std::io;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Direction {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum How {
    Silent,
    Link,
}

/// Transfers over three links of 100 Mbit/s whose busiest one dies in the middle.
#[derive(Debug, Parser)]
struct Arguments {
    /// The client sends, or receives
    direction: Direction,
    /// What arrives is dropped, or the interface goes down
    how: How,
    /// How many
    #[arg(default_value_t = 1)]
    count: usize,
    /// The client is the kernel
    #[arg(long)]
    kernel: bool,
    /// mpuser's congestion control: cubic, bbr, ...
    #[arg(long, value_parser = paths::algorithm, default_value = "cubic")]
    congestion: CongestionAlgorithm,
    /// Packets go to DIR/0.pcapng and on, what happens to subflows to stderr
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let way = match arguments.direction {
        Direction::Up => Way::Up,
        Direction::Down => Way::Down,
    };
    let death = match arguments.how {
        How::Silent => Death::Silent,
        How::Link => Death::LinkDown,
    };
    let who = if arguments.kernel { Who::Kernel } else { Who::Ours };
    let lab = failover::lab("cuts")?;
    for number in 0..arguments.count {
        let file = arguments.capture.as_ref().map(|dir| dir.join(format!("{number}.pcapng")));
        let options = Options { congestion: arguments.congestion, capture: file.as_deref() };
        println!("{number}: {}", told(&failover::run(&lab, who, way, death, options)?));
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// From the link's death; what began before it is negative.
fn since(dead: Instant, at: Instant) -> f64 {
    ms(at.saturating_since(dead)) - ms(dead.saturating_since(at))
}

fn told(lived: &Survived) -> String {
    let Survived { gaps, link, dead } = lived;
    let each =
        gaps.each.iter().map(|(at, gap)| format!(" {:+.0}:{:.0}", since(*dead, *at), ms(*gap)));
    format!(
        "{link} at {}; longest {:.0} ms, over 50 ms {:.0} ms, each as start:length{}",
        clock::to_wall(*dead).as_micros(),
        ms(gaps.longest),
        ms(gaps.noticed),
        each.collect::<String>()
    )
}
