//! One transfer over one hop, for who looks with perf or strace at what it costs: `hop ours|shared|smoltcp|bare offload|plain up|down MIB
//! [LINKS]`.
#![expect(clippy::print_stdout, reason = "a program that reports")]

use mpuser_bench::wire::kernel::Way;
use mpuser_bench::wire::place::{Kind, on_hop};
use mpuser_bench::wire::{bare, ours, smol};
use std::io;

const USAGE: &str = "hop ours|shared|smoltcp|bare offload|plain up|down MIB [LINKS]";

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (who, kind, way, mib, links) = match words[..] {
        [who, kind, way, mib] => (who, kind, way, mib, "1"),
        [who, kind, way, mib, links] => (who, kind, way, mib, links),
        _ => return Err(USAGE.to_owned()),
    };
    let run = match who {
        "ours" => ours::transfer,
        "shared" => ours::transfer_shared,
        "smoltcp" => smol::transfer,
        "bare" => bare::transfer,
        _ => return Err(USAGE.to_owned()),
    };
    let kind = match kind {
        "offload" => Kind::Offload,
        "plain" => Kind::Plain,
        _ => return Err(USAGE.to_owned()),
    };
    let way = match way {
        "up" => Way::Up,
        "down" => Way::Down,
        _ => return Err(USAGE.to_owned()),
    };
    let bytes = mib.parse::<u64>().map_err(|error| format!("{mib}: {error}"))? << 20;
    let links = links.parse().map_err(|error| format!("{links}: {error}"))?;
    let transfer = on_hop(kind, links, |hop| run(hop, way, bytes));
    let transfer = transfer.map_err(|error: io::Error| error.to_string())?;
    let per_octet = |time: std::time::Duration| time.as_secs_f64() * 1e9 / transfer.bytes as f64;
    println!(
        "{:.1} Gbit/s; ns per octet: user {:.3}, system {:.3}; longest silence {:.1} ms",
        transfer.gbps(),
        per_octet(transfer.cpu.user),
        per_octet(transfer.cpu.system),
        transfer.gaps.longest.as_secs_f64() * 1e3,
    );
    Ok(())
}
