use super::*;
use mpuser_engine::addr::SubflowId;
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::scheduling::{Action, SchedulerView, SubflowSet, SubflowSnapshot};
use mpuser_engine::time::{Duration, Instant};

const EXAMPLES: [(&str, &str); 3] = [
    ("minrtt.rhai", include_str!("../../data/schedulers/minrtt.rhai")),
    ("rr.rhai", include_str!("../../data/schedulers/rr.rhai")),
    ("weighted-by-cost.rhai", include_str!("../../data/schedulers/weighted-by-cost.rhai")),
];

fn subflow(id: u32, srtt: u64, available: u64) -> SubflowSnapshot {
    SubflowSnapshot {
        id: SubflowId(id),
        set: SubflowSet::of(SubflowId(id)),
        srtt: Some(Duration::from_millis(srtt)),
        cwnd: 14_000,
        in_flight: 1_400,
        available,
        mss: 1_400,
        delivery_rate: 1_000_000,
        ..SubflowSnapshot::default()
    }
}

fn view(subflows: &[SubflowSnapshot], unsent: u64) -> SchedulerView<'_> {
    SchedulerView {
        now: Instant::from_millis(5),
        subflows,
        unsent,
        window: 1 << 20,
        una: 0,
        nxt: 0,
        window_end: 1 << 20,
        send_buffer: 4 << 20,
        queues: &(),
    }
}

fn scheduler(file: &str, text: &str) -> Box<dyn Scheduler> {
    let spec = compile(file, text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(spec.name(), file);
    spec.factory().expect("a script").build()
}

fn example(name: &str) -> Box<dyn Scheduler> {
    let (file, text) = EXAMPLES.iter().find(|(file, _)| *file == name).expect(name);
    assert!(text.lines().count() <= 30, "{file} is too long for an example");
    scheduler(file, text)
}

fn send(id: u32, len: u64) -> Action {
    Action::Send { subflow: SubflowId(id), len }
}

#[test]
fn the_minrtt_script_is_minrtt() {
    let mut script = example("minrtt.rhai");
    let all = [subflow(0, 30, 2_800), subflow(1, 10, 4_200), subflow(2, 5, 0)];
    assert_eq!(script.schedule(&view(&all, 9_000)), send(1, 4_200));
    assert_eq!(script.schedule(&view(&all[2..], 9_000)), Action::Wait);
    assert_eq!(script.take_fault(), None);
}

#[test]
fn the_rr_script_remembers_who_was_last() {
    let mut script = example("rr.rhai");
    let all = [subflow(0, 30, 2_800), subflow(1, 10, 2_800), subflow(2, 5, 0)];
    let found: Vec<Action> = (0..4).map(|_| script.schedule(&view(&all, 9_000))).collect();
    assert_eq!(found, [send(0, 1_400), send(1, 1_400), send(0, 1_400), send(1, 1_400)]);
}

#[test]
fn the_weighted_script_spares_the_dear_subflow() {
    let mut script = example("weighted-by-cost.rhai");
    let all = [subflow(0, 30, 0), subflow(1, 10, 2_800)];
    assert_eq!(script.schedule(&view(&all, 1_000_000)), Action::Wait);
    assert_eq!(script.schedule(&view(&all, 3_000_000)), send(1, 2_800));
}

/// The line, what is wrong, and what would be right, before anything runs.
#[test]
fn mistakes_are_found_at_load() {
    for (text, error) in [
        ("fn schedule(view) {\n  send(\n}", "bad.rhai:3: "),
        ("fn other() { 1 }", "bad.rhai: there is no function `schedule(view)`"),
        (
            "fn schedule(view) {\n  sent(view.subflows[0], 1)\n}",
            "bad.rhai:2: Function not found: sent",
        ),
        ("fn schedule(view) {\n  view.subflow\n}", "bad.rhai:2: Unknown property 'subflow'"),
        ("fn schedule(view) {\n  loop { }\n}", "bad.rhai:2: stopped after 50000 operations"),
        ("fn schedule(view) { 42 }", "bad.rhai: schedule() returned i64"),
        (
            "fn schedule(view) { send(7, 100) }",
            "bad.rhai: schedule() answered with subflow 7, which is not there (there are 0, 1)",
        ),
        (
            "fn init() { undefined }\nfn schedule(view) { wait() }",
            "bad.rhai:1: Variable not found: undefined",
        ),
        ("fn schedule(view) { eval(\"wait()\") }", "bad.rhai:1: "),
        ("import \"x\" as x; fn schedule(view) { wait() }\nfn f() { 1", "bad.rhai:2: "),
    ] {
        let found = compile("bad.rhai", text).expect_err(text).to_string();
        assert!(found.starts_with(error), "{found}\n  for {text}");
    }
}

/// What shows only later: said once, by the fault, and no panic.
#[test]
fn mistakes_that_show_later_are_faults() {
    for (text, fault) in [
        (
            "fn schedule(view) { if view.unsent < 50 { loop {} } wait() }",
            "late.rhai:1: stopped after",
        ),
        (
            "fn schedule(view) { if view.unsent < 50 { send(9, 1) } else { wait() } }",
            "late.rhai: schedule() answered",
        ),
        (
            "fn schedule(view) { if view.unsent < 50 { throw \"no\" } wait() }",
            "late.rhai:1: Runtime error: no",
        ),
        (
            "fn schedule(view) { if view.unsent < 50 { let a = [1]; loop { a.push(a); } } wait() }",
            "late.rhai: Size of array/BLOB too large: a script keeps",
        ),
    ] {
        let mut script = scheduler("late.rhai", text);
        assert_eq!(script.schedule(&view(&[subflow(0, 10, 2_800)], 20)), Action::Wait);
        let found = script.take_fault().expect(text);
        assert!(found.starts_with(fault), "{found}");
        assert_eq!(script.take_fault(), None);
    }
}

/// A script may say everything that a scheduler in Rust may.
#[test]
fn every_answer_can_be_said() {
    let all = [subflow(0, 30, 2_800), subflow(1, 10, 2_800)];
    let id = SubflowId(1);
    for (answer, action) in [
        ("send(s, 100)", send(1, 100)),
        ("duplicate(1, 5, 9)", Action::Duplicate { subflow: id, range: 5..9 }),
        ("reinject(1, 5, 9)", Action::Reinject { subflow: id, range: 5..9 }),
        ("penalise(s, 0.5)", Action::Penalise { subflow: id, factor: 0.5 }),
        ("set_aside(700)", Action::SetAside { len: 700 }),
        ("set_timer(10)", Action::SetTimer(Instant::from_millis(15))),
        ("wait_for(2.5)", Action::WaitUntil(Instant::from_micros(7_500))),
        ("wait()", Action::Wait),
    ] {
        let text = format!("fn schedule(view) {{ let s = view.subflows[1]; {answer} }}");
        assert_eq!(scheduler("all.rhai", &text).schedule(&view(&all, 9_000)), action, "{answer}");
    }
    let config = ConnectionConfig {
        scheduler: compile("a.rhai", EXAMPLES[0].1).expect("good"),
        ..ConnectionConfig::default()
    };
    assert_eq!(config.scheduler.to_string(), "a.rhai");
}
