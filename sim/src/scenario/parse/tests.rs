//! Scenarios that can be read, and what is said of those that cannot.

use super::*;
use crate::direction::Direction;
use crate::link::{QueueLimit, Trace};
use crate::scenario::{Spread, Stack, Traffic};
use mpuser_engine::time::Duration;

fn files(name: &str) -> Result<String, String> {
    match name {
        "lte.trace" => Ok("5\n10\n".to_owned()),
        "broken.trace" => Ok("5\nx\n".to_owned()),
        "walk.csv" => Ok("at:s,rate:mbit,loss\n1,5,\n2.5,,1%\n".to_owned()),
        "late.csv" => Ok("at:s,rate:mbit\n2,5\n1,4\n".to_owned()),
        _ => Err(format!("cannot read {name}: no such file")),
    }
}

fn parse(text: &str) -> Result<Scenario, Mistake> {
    Scenario::parse(text, &Wishes::default(), &mut files)
}

fn with(text: &str, set: &str) -> Result<Scenario, Mistake> {
    let mut wishes = Wishes::default();
    wishes.set.add(set, &Scenario::params(text)?)?;
    Scenario::parse(text, &wishes, &mut files)
}

const FULL: &str = r#"
name = "everything"
description = "one of each"
seed = 7
duration = "60s"
warm_up = "5s"
sample = "20ms"

[params]
n = { default = 1, about = "users", min = 1, max = 10 }
c = 1.0
rate = "${20 * c}mbit"
cc = "cubic"
late = false

[links.wifi]
rate = "${rate}"
delay = "${5 * n}ms"
queue = "0.5bdp"
loss = "ge:1%,20%"
fwd.jitter = "2ms"
back = { rate = "1mbit", queue = "20p" }
box = "strip-mptcp:syn"
changes = [ { at = "10s", rate = "5mbit" }, { at = "20s", state = "down" } ]

[links]
lte = "trace=lte.trace delay=30ms"
walk = { rate = "10mbit", schedule = "walk.csv" }

[[flows]]
name = "mp"
count = "${10 * n}"
cc = "${cc}"
scheduler = "rr"
start_jitter = "100ms"
direction = "down"
paths = [ "wifi", ["lte", "wifi"], { links = "walk", backup = true, start = "1s", stop = "9s", subflows = 2 } ]
traffic = { kind = "chunks", rates = ["500kbit", "1mbit"], length = "2s" }
send_buffer = "1M"
receive_buffer = 200000
checksum = "${late}"

[[flows]]
stack = "tcp"
paths = ["wifi"]
traffic = { kind = "on-off", on = "exp:2s", off = "pareto:1s,1.5" }

[[background]]
link = "wifi"
rate = "1mbit"
on = "2s"
off = "exp:1s"
"#;

#[test]
fn everything_is_read() {
    let scenario = parse(FULL).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.seed), ("everything", 7));
    assert_eq!(scenario.warm_up, Duration::from_secs(5));
    let wifi = &scenario.links["wifi"];
    assert_eq!(wifi.config.forward.rate, Some(20_000_000));
    assert_eq!(wifi.config.backward.rate, Some(1_000_000));
    // half of 20 Mbit/s for 10 ms, wherever in the table the queue is named
    assert_eq!(wifi.config.forward.queue, QueueLimit::Bytes(12_500));
    assert_eq!(wifi.config.backward.queue, QueueLimit::Packets(20));
    assert!(wifi.config.backward.jitter.amount.is_zero());
    assert_eq!(wifi.config.boxes, ["strip-mptcp:syn"]);
    assert_eq!(wifi.changes.len(), 2);
    // a change keeps what went before
    assert_eq!(wifi.changes[1].config.forward.rate, Some(5_000_000));
    assert!(!wifi.changes[1].config.forward.up);
    let trace = scenario.links["lte"].config.forward.trace.as_ref();
    assert_eq!(trace.map(|t| t.mean_rate()), Trace::parse("5\n10\n").ok().map(|t| t.mean_rate()));
    let walk = &scenario.links["walk"].changes;
    assert_eq!((walk[0].at, walk[1].at), (Duration::from_secs(1), Duration::from_millis(2500)));
    assert_eq!(walk[1].config.forward.rate, Some(5_000_000));

    let [mp, tcp] = scenario.flows.as_slice() else { panic!("two groups") };
    assert_eq!((mp.count, mp.direction, mp.checksum), (10, Direction::Backward, false));
    assert_eq!((mp.scheduler.name(), mp.cc.name()), ("rr", "cubic"));
    assert_eq!(mp.paths[1].links, ["lte", "wifi"]);
    assert_eq!((mp.paths[2].backup, mp.paths[2].subflows), (true, 2));
    assert_eq!((mp.send_buffer, mp.receive_buffer), (1 << 20, 200_000));
    assert_eq!((mp.tuned_buffers, tcp.tuned_buffers), (false, true));
    assert!(matches!(&mp.traffic, Traffic::Chunks(chunks) if chunks.rates == [500_000, 1_000_000]));
    assert_eq!((tcp.name.as_str(), tcp.stack), ("flow1", Stack::Tcp));
    let off = Spread::Pareto { mean: Duration::from_secs(1), index: 1.5 };
    assert!(matches!(tcp.traffic, Traffic::OnOff { off: found, .. } if found == off));
    assert_eq!(scenario.background[0].packet, 1500);
}

#[test]
fn parameters_are_set_from_outside() {
    let scenario = with(FULL, "n=2,c=0.5,late=true").unwrap();
    assert_eq!(scenario.flows[0].count, 20);
    assert!(scenario.flows[0].checksum);
    assert_eq!(scenario.links["wifi"].config.forward.rate, Some(10_000_000));
    // a text may have commas of its own
    let mut set = Assignments::default();
    set.add("rate=1,5mbit,n=3", &Scenario::params(FULL).unwrap()).unwrap();
    assert_eq!(set.0, [("rate".into(), "1,5mbit".into()), ("n".into(), "3".into())]);
    // a wish sets the parameter of that name, and what has none all MPTCP flows
    let mut wishes = Wishes { cc: Some("reno".into()), ..Wishes::default() };
    wishes.scheduler = Some("minrtt".into());
    let scenario = Scenario::parse(FULL, &wishes, &mut files).unwrap();
    assert_eq!(
        (scenario.flows[0].cc.name(), scenario.flows[0].scheduler.name()),
        ("reno", "minrtt")
    );
    assert_eq!(scenario.flows[1].cc.name(), "cubic");
    let names: Vec<_> = Scenario::params(FULL).unwrap().into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["n", "c", "rate", "cc", "late"]);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for (set, message, help) in [
        ("m=2", "there is no parameter `m` to set", "known: n, c"),
        ("lat=1", "no parameter `lat`", "did you mean `late`?"),
        ("n=many", "parameter n: \"many\" is no number", "its default is 1"),
        ("n=11", "parameter n: 11 is out of range, it is at least 1 at most 10", "default is 1"),
        ("late=perhaps", "neither true nor false", "its default is false"),
        ("n", "\"n\" sets nothing", "--set n=2,c=1"),
        ("scheduler=rr", "no parameter `scheduler`", "--sched NAME"),
    ] {
        let mistake = with(FULL, set).unwrap_err();
        assert!(mistake.message.contains(message), "{set}: {mistake:?}");
        assert!(mistake.help.contains(help), "{set}: {mistake:?}");
        assert_eq!(mistake.at, None, "{set}");
    }
    let wishes = Wishes { scheduler: Some("mirtt".into()), ..Wishes::default() };
    let mistake = Scenario::parse(FULL, &wishes, &mut files).unwrap_err();
    assert_eq!(mistake.help, "did you mean `minrtt`?");
}

/// Lines of a scenario that works, of which one is replaced.
const PLAIN: [&str; 10] = [
    "name = \"x\"",
    "duration = \"10s\"",
    "[params]",
    "n = 2",
    "[links.wifi]",
    "rate = \"20mbit\"",
    "[[flows]]",
    "name = \"a\"",
    "paths = [\"wifi\"]",
    "traffic = \"bulk\"",
];

#[test]
fn mistakes_have_a_place_a_cause_and_a_remedy() {
    assert!(parse(&PLAIN.join("\n")).is_ok());
    for (line, instead, column, message, help) in [
        (1, "nmae = \"x\"", 1, "no key `nmae`", "did you mean `name`?"),
        (1, "name = x", 8, "", "not TOML"),
        (2, "duration = \"10\"", 12, "duration: \"10\" is no time", "write for example 10ms"),
        (2, "duration = \"0\"", 12, "duration: this time cannot be 0", "write for example"),
        (2, "warm_up = \"10s\"", 11, "warm_up: nothing is left to measure", "shorter"),
        (2, "seed = -1", 8, "seed: -1 does not fit", "whole number from 0"),
        (4, "n-m = 2", 7, "params.n-m: \"n-m\" cannot be a parameter's name", "letters"),
        (4, "n = { default = 1, most = 2 }", 20, "no key `most` in params.n", "known: default"),
        (4, "n = [1]", 5, "params.n: here stands an array", "write a text"),
        (6, "rat = \"20mbit\"", 1, "no key `rat` in links.wifi", "did you mean `rate`?"),
        (6, "rate = \"fast\"", 8, "links.wifi.rate: \"fast\" is no rate", "20mbit"),
        (6, "rate = 20", 8, "links.wifi.rate: \"20\" is no rate", "20mbit"),
        (6, "rate = \"${m}mbit\"", 8, "there is no parameter `m`; known: n", "expressions are"),
        (6, "rate = \"${n mbit\"", 8, "lacks a closing brace", "expressions are"),
        (6, "rate = \"${0/0}mbit\"", 8, "it gives", "expressions are"),
        (6, "trace = \"lost.trace\"", 9, "cannot read lost.trace: no such file", "relative name"),
        (6, "trace = \"broken.trace\"", 9, "broken.trace, line 2: \"x\" is no number", "say what"),
        (6, "loss = \"110%\"", 8, "links.wifi.loss: \"110%\" is no probability", "1%"),
        (6, "queue = \"0.5bdp\"", 9, "without a rate", "write rate"),
        (6, "queue = \"long\"", 9, "links.wifi.queue: \"long\" is no length", "100p"),
        (6, "box = \"teapot\"", 7, "teapot", "link boxes"),
        (6, "fwd = { rat = \"1mbit\" }", 9, "no key `rat` in links.wifi.fwd", "`rate`"),
        (6, "changes = [{ rate = \"1mbit\" }]", 12, "lacks `at`", "at = \"10s\""),
        (6, "changes = [{ at = \"1s\", mut = 1 }]", 25, "no key `mut`", "did you mean `mtu`?"),
        (6, "schedule = \"late.csv\"", 12, "late.csv, line 3: it is earlier", "say what"),
        (6, "schedule = \"lte.trace\"", 12, "its first line is no header", "at:s,rate:mbit"),
        (8, "nane = \"a\"", 1, "no key `nane` in flows[0]", "did you mean `name`?"),
        (8, "count = 1.5", 9, "flows[0].count: 1.5 does not fit", "whole number"),
        (8, "stack = \"mptpc\"", 9, "\"mptpc\" is not known", "did you mean `mptcp`?"),
        (8, "scheduler = \"minrrt\"", 13, "there is no scheduler \"minrrt\"", "`minrtt`"),
        (8, "cc = \"rneo\"", 6, "there is no congestion control \"rneo\"", "did you mean `reno`?"),
        (8, "stop = \"0\"", 8, "it stops before it starts", "after `start`"),
        (8, "checksum = \"maybe\"", 12, "neither true nor false", "without quotes"),
        (8, "send_buffer = \"1\"", 15, "this buffer cannot work", "from 2000"),
        (9, "paths = [\"wfi\"]", 10, "there is no link `wfi`", "did you mean `wifi`?"),
        (9, "paths = []", 9, "there is no path", "at least one link"),
        (9, "paths = \"wifi\"", 9, "here stands a string, not an array", "paths = [ ... ]"),
        (9, "paths = [{ backup = true }]", 10, "lacks `links`", "links = [\"wifi\"]"),
        (9, "", 1, "flows[0] lacks `paths`", "paths = ["),
        (10, "traffic = \"bluk\"", 11, "\"bluk\" alone is no traffic", "did you mean `bulk`?"),
        (10, "traffic = \"cbr\"", 11, "\"cbr\" alone", "with rate, message, deadline"),
        (10, "traffic = { kind = \"cbr\" }", 11, "lacks `rate`", "rate = \"2mbit\""),
        (10, "traffic = { kind = \"bulk\", sise = 1 }", 28, "no key `sise`", "`size`"),
        (
            10,
            "traffic = { kind = \"on-off\", on = \"1\", off = \"1s\" }",
            35,
            "\"1\" is no time",
            "exp:2s",
        ),
    ] {
        let mut lines = PLAIN;
        lines[line - 1] = instead;
        let mistake = parse(&lines.join("\n")).unwrap_err();
        // a missing key is a mistake of its table, whose place is where it begins
        let line = if instead.is_empty() { 7 } else { line };
        assert_eq!(mistake.at, Some((line, column)), "{instead}: {mistake:?}");
        assert!(mistake.message.contains(message), "{instead}: {mistake:?}");
        assert!(mistake.help.contains(help), "{instead}: {mistake:?}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (text, message) in [
        ("", "the file lacks `name`"),
        ("name = \"x\"", "the file lacks `links`"),
        ("name = \"x\"\n[links.a]", "the file lacks `flows`"),
        ("name = \"x\"\nflows = []\n[links.a]", "flows: there is no flow"),
    ] {
        let mistake = parse(text).unwrap_err();
        assert_eq!(mistake.message, message, "{mistake:?}");
        assert!(!mistake.help.is_empty());
    }
}
