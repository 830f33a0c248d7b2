use super::*;
use mpuser_sim::conform::EngineTarget;
use proptest::prelude::*;

fn play(text: &str) -> Outcome {
    let script = parse(text).unwrap_or_else(|error| panic!("{error}\n{}", error.caret(text)));
    let mut target = EngineTarget::new(&script.setup);
    let mut stage = Stage::new(&mut target).unwrap();
    run(&script, &mut stage, &Places::of(&script.setup), [9; 32])
}

fn passes(text: &str) -> Outcome {
    let outcome = play(text);
    if let Some(problem) = &outcome.problem {
        let difference = problem.difference.as_ref().map(ToString::to_string).unwrap_or_default();
        panic!(
            "line {}: {}\n{}\n{:?}\n{difference}",
            problem.line, problem.step, problem.what, problem.came
        );
    }
    outcome
}

const OPEN: &str = "
send TCP(flags='S')/MSS(1460)/MP_CAPABLE
expect TCP(flags='SA', ack=auto)/MP_CAPABLE(version=1, sender_key=$key, H=1, receiver_key=none)
send MP_CAPABLE
app accept
expect TCP(flags='A')/DSS(data_ack=auto, M=0) without Raw
";

#[test]
fn a_server_takes_a_connection_and_a_join() {
    let outcome = passes(&format!(
        "target server checksum=1
        {OPEN}
        send DSS/'hello'
        app read 'hello'
        await DSS(data_ack=auto)
        flow b from 1
        send b: TCP(flags='S')/MSS/MP_JOIN(address_id=7)
        expect TCP(flags='SA')/MP_JOIN(hmac=auto, nonce=$nonce, address_id=*)
        send MP_JOIN
        expect TCP(flags='A')
        app write 'answer'
        await a: DSS(data_len=6, checksum=auto, dsn=auto)/Raw(load='answer') within 2s
        send a: DSS
        wait 1s
        send a: TCP(flags='R')"
    ));
    assert!(outcome.variables.contains_key("key") && outcome.variables.contains_key("nonce"));
    assert!(outcome.log.len() > 8);
}

#[test]
fn a_client_connects_to_us() {
    passes(
        "target client
        app connect
        expect TCP(flags='S', seq=$isn)/MP_CAPABLE(version=1, H=1) without Raw
        send TCP(flags='SA')/MSS/MP_CAPABLE
        expect TCP(flags='A', seq=$isn+1)/MP_CAPABLE(sender_key=$k, receiver_key=auto)
        send DSS
        app write 'x'
        expect DSS(dsn=auto, ssn=1)/'x'
        let $n = 7
        check $n+1 = 8
        app close
        await DSS(F=1) within 3s",
    );
}

#[test]
fn a_wrong_hmac_is_refused_and_a_lost_link_is_silent() {
    passes(&format!(
        "{OPEN}
        send DSS/'x'
        await DSS(data_ack=auto)
        flow b from 1
        send b: TCP(flags='S')/MP_JOIN
        expect TCP(flags='SA')/MP_JOIN(hmac=auto)
        send MP_JOIN(hmac=bad)
        expect TCP(flags=*)/MP_TCPRST(reason=*) without DSS
        link loss=100%
        app write 'lost'
        silence 5s
        link loss=0%
        await a: DSS/'lost' within 1min"
    ));
}

/// What the manual shows is true.
#[test]
fn the_manuals_examples_pass() {
    let manual = include_str!("../../../docs/script.md");
    let examples: Vec<&str> =
        manual.split("```mps\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        passes(example);
    }
    let steps = [
        "target", "flow", "send", "expect", "await", "silence", "wait", "let", "check", "link",
        "app",
    ];
    assert!(steps.iter().all(|step| manual.contains(&format!("`{step} "))));
}

/// The step, what happened, and the difference field by field.
#[test]
fn failures_are_shown_as_differences() {
    let problem = |text: &str| play(text).problem.unwrap();
    let failure = problem(
        "send TCP(flags='S')/MP_CAPABLE\nexpect TCP(flags='SA')/MP_CAPABLE(A=1, H=1)/MP_PRIO",
    );
    assert_eq!((failure.line, failure.what.as_str()), (2, "something else came"));
    let difference = failure.difference.unwrap().to_string();
    let expected = "    TCP.flags = \"SA\"\n  - MP_CAPABLE.A = 1\n  + MP_CAPABLE.A = 0\n    MP_CAPABLE.H = 1\n  - MP_PRIO there\n  + MP_PRIO not there\n";
    assert_eq!(difference, expected);
    assert!(failure.came.unwrap().contains("MP_CAPABLE(H=1, sender_key=0x"));
    for (text, what) in [
        ("expect TCP within 10ms", "nothing came within 10ms"),
        (
            "send TCP(flags='S')\nawait TCP(flags='R') within 1s",
            "nothing like it came within 1s; last",
        ),
        ("send TCP(flags='S')\nsilence 1s", "a packet came where there was to be none"),
        ("send TCP(seq=$x)", "$x has no value yet"),
        ("send c: TCP", "there is no flow c"),
        ("send MP_CAPABLE", "MP_CAPABLE.receiver_key is not known"),
        ("check 1 = 2", "0x0000000000000001 is not 0x0000000000000002"),
        ("app accept", "there is no connection to accept"),
        ("app write 'x'", "write: ENOTCONN"),
        ("flow b from 200", "there are 200 addresses"),
        ("target client\nsend TCP", "the stack under test has not connected yet"),
        (&format!("{OPEN}app read 'x'"), "read \"\" and then EAGAIN"),
    ] {
        let failure = problem(text);
        assert!(failure.what.contains(what), "{text}: {failure:?}");
    }
}

#[test]
fn mistakes_in_scripts_have_their_place() {
    for (text, place, what, help) in [
        ("sned TCP", (1, 1), "there is no step sned", "did you mean send?"),
        ("send TCP\nexpect TPC", (2, 8), "there is no layer TPC", "did you mean TCP?"),
        ("wait 5", (1, 7), "the text ends where us, ms, s, min or h is expected", "1.5s"),
        ("wait 100000h", (1, 6), "that is too long", "a day"),
        ("send TCP\ntarget server", (2, 1), "target stands behind other steps", "first line"),
        (
            "target server cheksum=1",
            (1, 15),
            "there is no setting cheksum",
            "did you mean checksum?",
        ),
        ("target server checksum=2", (1, 24), "checksum is too large", "0 to 1"),
        ("app raed 'x'", (1, 5), "no application does raed", "did you mean read?"),
        ("link teapot=1", (1, 6), "teapot", "mpuser link set"),
        ("link box=teapot", (1, 6), "teapot", "mpuser link set"),
        ("let x = 1", (1, 5), "a variable is expected", "$name"),
        ("let $x = auto", (1, 10), "a variable cannot be that", "octets"),
        ("send TCP TCP", (1, 10), "the end of the line is expected", "one step"),
        ("send TCP times 20000", (1, 16), "how many times is too large", "10000"),
        ("expect TCP without x", (1, 20), "a layer is expected", "MPTCP"),
        ("/", (1, 1), "a step is expected", "steps are"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.place(text), place, "{text}: {error}");
        assert!(error.what.contains(what) && error.help.contains(help), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_script_is_read_or_refused(text in "\\PC{0,100}") {
        let _ = parse(&text);
    }

    /// Lines made of our words: what is understood runs to an end, without a panic.
    #[test]
    fn any_script_that_is_understood_ends(
        lines in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![
            "send", "expect", "await", "flow", "b", "b:", "from", "to", "1", "TCP", "(flags='S')", "(flags='A')",
            "/MP_CAPABLE", "/MP_JOIN", "/DSS", "/'x'", "wait", "silence", "10ms", "app", "accept", "close", "write",
            "'x'", "link", "loss=50%", "let", "$k", "=", "check", "without", "MPTCP", "within", "times", "2",
        ]), 1..6), 0..12),
    ) {
        let text: String = lines.iter().map(|line| line.join(" ") + "\n").collect();
        // whole lines are understood more often
        let kept: String = text.lines().filter(|line| parse(line).is_ok()).map(|line| format!("{line}\n")).collect();
        if parse(&kept).is_ok() {
            let outcome = play(&kept);
            prop_assert!(outcome.done.len() <= 12);
        }
    }
}
