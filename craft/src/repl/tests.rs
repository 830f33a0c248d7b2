use super::*;
use mpuser_sim::conform::EngineTarget;
use mpuser_sim::conform::target::{PORT, SERVER, probe_address, stack_address};
use proptest::prelude::*;

/// An engine that listens.
fn engine(_: &str) -> Result<Peer, String> {
    Ok(Peer {
        wire: Box::new(EngineTarget::new(&SERVER)),
        ours: vec![probe_address(0, false), probe_address(1, false)],
        remote: SocketAddr::new(stack_address(0, false), PORT),
        seed: [5; 32],
    })
}

fn say(repl: &mut Repl, text: &str) -> Result<Reply, String> {
    let line = parse(text).map_err(|error| error.to_string())?;
    repl.run(&line, &mut engine)
}

fn text(repl: &mut Repl, line: &str) -> String {
    say(repl, line).unwrap_or_else(|error| panic!("{line}: {error}")).text
}

#[test]
fn a_session_by_hand() {
    let mut repl = Repl::default();
    let all = &mut repl;
    assert!(text(all, "s = session(\"10.0.0.1:80\")").starts_with("session with 10.0.0.1:80"));
    assert_eq!(text(all, "s.handshake()"), "subflow 0 is open\n");
    let reply = say(all, "s.dss(\"hello\")").unwrap();
    assert!(reply.log.len() >= 2 && reply.log[0].sent);
    assert!(text(all, "s.join()").starts_with("subflow 1 is open, from 192.0.2.2"));
    text(all, "s.dss('world', 1)");
    text(all, "p = DSS(data_ack=auto)/'!'");
    assert!(text(all, "s.sr1(p)").contains("###[ DSS ]###"));
    assert!(text(all, "s.send(TCP(flags='A'), 1)").is_empty());
    let info = text(all, "s");
    assert!(
        info.contains("data       11 sent, 0 received") && info.contains("subflow 1  192.0.2.2"),
        "{info}"
    );
    assert_eq!(text(all, "s.abort()"), "aborted\n");
    assert!(text(all, "s.info()").contains("reset"));
    assert!(say(all, "quit").unwrap().quit);
}

#[test]
fn packets_have_names() {
    let mut repl = Repl::default();
    let all = &mut repl;
    assert_eq!(text(all, "p = TCP(flags='S')/MP_CAPABLE"), "TCP(flags=\"S\")/MP_CAPABLE\n");
    assert_eq!(text(all, "p"), "TCP(flags=\"S\")/MP_CAPABLE\n");
    assert!(text(all, "p.show()").contains("###[ MP_CAPABLE ]###"));
    assert!(text(all, "p.hex()").starts_with("0000  45"));
    assert!(text(all, "TCP/MSS(9)").contains("mss          = 9\n"));
    assert!(
        text(all, "help").contains("s.handshake()") && text(all, "layers").contains("MP_JOIN(B, ")
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let mut repl = Repl::default();
    let all = &mut repl;
    text(all, "s = session('x:1')");
    text(all, "p = TCP");
    for (line, why) in [
        ("q", "q is no packet and no session (p, s)"),
        ("p.handshake()", "a packet has no handshake"),
        ("s.wave()", "a session has no wave"),
        ("s.dss()", "dss takes other arguments"),
        ("s.dss('x')", "there is no subflow 0"),
        ("s.send(q)", "q is no packet"),
        ("s.join('nowhere')", "an address in quotes"),
        ("s.close()", "there is no such subflow"),
        ("s.ack", "( is expected"),
        ("IP = TCP", "IP is a layer"),
        ("s = session()", "one address is expected"),
        ("s.ack() s", "the end of the line is expected"),
        ("MP_CAPABLE", "MP_CAPABLE.receiver_key is not known"),
    ] {
        let error = say(all, line).unwrap_err();
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn words_are_completed() {
    let names = || ["s", "syn"];
    for (line, start, expected) in [
        ("MP_C", 0, vec!["MP_CAPABLE"]),
        ("IP/tc", 3, vec!["TCP"]),
        ("sy", 0, vec!["syn"]),
        ("TCP(dp", 4, vec!["dport="]),
        ("TCP(dport=1, fl", 13, vec!["flags="]),
        ("s.han", 2, vec!["handshake("]),
        ("x = se", 4, vec!["session("]),
        ("s.sr1(sy", 6, vec!["syn"]),
        ("zzz", 0, vec![]),
    ] {
        assert_eq!(
            complete(line, names()),
            (start, expected.iter().map(|&word| word.to_owned()).collect()),
            "{line}"
        );
    }
    assert!(complete("", names()).1.len() > 25);
}

proptest! {
    #[test]
    fn any_line_is_read_completed_or_refused(line in "\\PC{0,60}") {
        let _ = parse(&line);
        let (start, _) = complete(&line, ["s"]);
        prop_assert!(line.is_char_boundary(start));
    }
}
