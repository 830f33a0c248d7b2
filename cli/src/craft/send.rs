//! `mpuser craft --send`: packets to a real host, and what it says to them.

use super::args::Craft;
use super::live::{Live, on_wire};
use super::trace::{Tracer, layers, object};
use super::{put, read, unbuilt};
use crate::error::{Code, Failure};
use crate::output::Printer;
use mpuser_craft::{Dialogue, Exchange, Kind, Stack, Value};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// Most answers taken to one packet.
const ANSWERS_MAX: usize = 100;
/// How long to wait for what follows an answer.
const AFTER: Duration = Duration::from_millis(100);

/// Runs the command.
pub(super) fn run(args: &Craft, printer: Printer) -> Result<ExitCode, Failure> {
    let stacks: Vec<Stack> =
        args.expressions.iter().map(|text| read(text, printer)).collect::<Result<_, _>>()?;
    let remote = stacks.iter().find_map(destination).ok_or_else(|| {
        Failure::usage(
            "nobody is to get the packets",
            "no expression says IP(dst=...)",
            "say it in the first one, like IP(dst=\"192.168.56.101\")/TCP(dport=7000)",
        )
    })?;
    let answers = on_wire(&[remote], &args.path, args.pcap.as_deref(), printer, |live, remote| {
        exchange(args, &stacks, live, remote, printer)
    })?;
    if answers > 0 { Ok(ExitCode::SUCCESS) } else { Err(silence(remote)) }
}

/// Where a packet says it goes.
fn destination(stack: &Stack) -> Option<SocketAddr> {
    let ip = stack.find(Kind::Ip).or_else(|| stack.find(Kind::Ipv6))?;
    let Some(Value::Address(address)) = ip.get("dst") else { return None };
    let port = stack.find(Kind::Tcp).and_then(|tcp| tcp.number("dport")).unwrap_or(80);
    Some(SocketAddr::new(*address, port as u16))
}

fn silence(remote: SocketAddr) -> Failure {
    Failure::new(
        Code::Timeout,
        format!("{} did not answer", remote.ip()),
        "no packet came within --timeout",
        "check address and port, or give more time; --pcap FILE shows what was sent",
    )
}

/// Sends all, prints what goes both ways; how many answers there were.
fn exchange(
    args: &Craft,
    stacks: &[Stack],
    live: &mut Live,
    remote: SocketAddr,
    printer: Printer,
) -> Result<usize, Failure> {
    let local = own_address(stacks, live)?;
    let seed = mpuser_tun::system_seed().map_err(|e| Failure::io("no randomness", &e))?;
    let mut talk = Dialogue::new(live, seed);
    talk.session.data.checksum = args.checksum;
    let said = stacks.iter().find_map(|stack| stack.find(Kind::Tcp)?.number("sport"));
    let port = said.map_or_else(|| talk.session.port(), |port| port as u16);
    let flow = talk.session.open(SocketAddr::new(local, port), remote);
    let mut tracer = Tracer::new();
    let mut answers = 0;
    for stack in stacks {
        talk.send(flow, stack).map_err(|error| unbuilt(&error))?;
        let mut limit = args.timeout;
        for _ in 0..ANSWERS_MAX {
            show(&mut talk.log, &mut tracer, printer)?;
            if talk.receive(limit).is_none() {
                break;
            }
            answers += 1;
            limit = limit.min(AFTER);
        }
        show(&mut talk.log, &mut tracer, printer)?;
    }
    Ok(answers)
}

/// The address the packets come from: one that is said, or that of the first path.
fn own_address(stacks: &[Stack], live: &Live) -> Result<IpAddr, Failure> {
    let said = stacks.iter().find_map(|stack| {
        let ip = stack.find(Kind::Ip).or_else(|| stack.find(Kind::Ipv6))?;
        match ip.get("src") {
            Some(Value::Address(address)) => Some(*address),
            _ => None,
        }
    });
    let first = live.addresses().first().copied();
    said.or(first).ok_or_else(|| Failure::internal("there is no path", "none was set up"))
}

/// Prints what went both ways since the last time; answers with their layers.
fn show(log: &mut Vec<Exchange>, tracer: &mut Tracer, printer: Printer) -> Result<(), Failure> {
    let mut text = String::new();
    for exchange in log.drain(..) {
        if printer.json {
            text.push_str(&format!("{}\n", object(&exchange)));
            continue;
        }
        text.push_str(&format!("{}\n", tracer.line(&exchange)));
        if !exchange.sent {
            text.push_str(&layers(&exchange.packet).unwrap_or_default());
        }
    }
    put(&text).map(drop)
}
