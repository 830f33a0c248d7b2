//! Every choice of `config::Behaviour` is one: what it does in the profiles `rfc` and `linux`, and where the difference
//! shows when nothing else is changed. The table is printed with `--nocapture`.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::addr::{SocketAddr, SubflowId};
use mpuser_engine::config::{Behaviour, ConnectionConfig, FastOpen};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{FastOpenCookie, MpCapable, MptcpOption};
use mpuser_sim::conform::{EngineTarget, Observation, all};
use mpuser_tests::interop::Table;
use mpuser_tests::repository::root;
use mpuser_tests::scripted::{Flow, PLAIN_FLAGS, PORT, Script, engine_address, peer_address, seg};
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};
use std::cell::RefCell;
use std::rc::Rc;

/// Everything both ends sent, in order.
type Transcript = Vec<(Side, usize, Vec<u8>)>;

/// Where the difference shows.
enum Shown {
    /// In a case of the catalogue.
    Case(&'static str),
    /// In what is sent in a world of two ends.
    World(fn(Behaviour) -> Transcript),
    /// In a test that sets it by hand.
    Test(&'static str),
}

use Shown::{Case, Test, World as In};

/// A choice as in the RFC's profile or as in Linux'.
type Choose = fn(&mut Behaviour, &Behaviour);

/// A choice, what the two profiles make of it, and where that shows.
type Row = (&'static str, Choose, &'static str, &'static str, Shown);

macro_rules! choices {
    ($($field:ident: $rfc:literal, $linux:literal, $shown:expr;)+) => {
        const CHOICES: &[Row] =
            &[$((stringify!($field), |to, from| to.$field = from.$field, $rfc, $linux, $shown)),+];

        /// Does not compile when a choice is added and has no line here.
        const fn complete(behaviour: &Behaviour) {
            let Behaviour { $($field: _),+ } = behaviour;
        }
    };
}

choices! {
    checksum_disagreement: "reset", "plain TCP", Case("C04");
    mapping_conflict: "reset", "plain TCP", Case("D10");
    options_vanish: "reset", "plain TCP, or on", Case("X13");
    repeat_on_only_subflow: "a keepalive asks", "data again", Case("D06");
    unmapped_data: "held", "plain TCP", Case("C11");
    failed_data: "withheld", "delivered", Case("C02");
    repeat_fail: "four times, then a reset", "once", Case("C02");
    fail_first_mapping: "MP_FAIL", "plain TCP in silence", Test("mp_fail.rs");
    announce_fallback: "infinite mapping", "in silence", Case("C13");
    fast_close: "on an ACK", "on RSTs", Case("X20");
    refuse_denied_joins: "refused", "taken", Test("deny_join.rs");
    early_suspicion: "after a round trip or two", "after retransmission timeouts", Case("X27");
    reset_stale_after: "never", "never", Test("mp_tcprst.rs");
    long_data_ack: "64 bits", "as the last mapping", In(lossy);
    sack_first: "behind MPTCP", "before MPTCP", In(lossy);
    answer_third_packet: "a DSS at once", "nothing", Case("J01");
    keys_before_data_fin: "keys, then DATA_FIN", "DATA_FIN instead", In(unanswered);
    one_mapping_first: "one segment", "a window", In(lossy);
    data_fin_by_rto: "RTO, doubled", "200 ms twice, doubled", In(unanswered);
    ack_before_fin: "ACK, then FIN", "FIN, then ACK", In(lossy);
    wait_for_addresses: "a moment", "none", In(lossy);
    small_syn_data: "536 octets", "own MSS", In(data_without_cookie);
    cookie_beside_data: "given", "not given", In(cookie_and_data);
    options_in_time_wait: "as before", "none", Case("X11");
    probe_before_remove: "probed", "closed at once", Case("A17");
    repeat_signals: "three times", "once", In(spared);
    unique_join_ids: "refused", "taken", Case("J17");
    join_any_port: "taken", "refused", Test("join_policy.rs");
    join_half_closed: "taken", "refused", Case("J19");
    other_algorithms: "MPTCP", "plain TCP", Case("H10");
    settle_joins: "20 ms", "at once", Test("mp_join.rs");
    leave_silent_paths: "REMOVE_ADDR", "waits", Test("silent_paths.rs");
}

fn with(behaviour: Behaviour) -> ConnectionConfig {
    ConnectionConfig { behaviour, ..ConnectionConfig::default() }
}

/// Two ends with these settings on so many paths; what they send is kept, and the server's is dropped from `deaf` on.
fn world(paths: Vec<Path>, deaf: Option<usize>) -> (World, Rc<RefCell<Transcript>>) {
    let mut world = World::new(7, paths);
    let transcript = Rc::new(RefCell::new(Transcript::new()));
    let (kept, mut sent) = (Rc::clone(&transcript), 0);
    world.tamper = Box::new(move |side, path, packet| {
        kept.borrow_mut().push((side, path, packet.clone()));
        sent += usize::from(side == Side::Server);
        let passes = side == Side::Client || deaf.is_none_or(|deaf| sent <= deaf);
        if passes { vec![packet] } else { Vec::new() }
    });
    (world, transcript)
}

/// Data both ways over two paths that lose some.
fn lossy(behaviour: Behaviour) -> Transcript {
    let (mut world, transcript) = world(vec![Path { loss: 20, ..Path::default() }; 2], None);
    let listener = world.listen(with(behaviour));
    let id = world.connect(with(behaviour));
    let mut client = Transfer::new(Side::Client, id, pattern(1, 200_000));
    let mut server = None;
    world.run_until(Duration::from_secs(30), |world| {
        let accepted = world.server.accept(listener);
        server = server
            .take()
            .or_else(|| accepted.map(|id| Transfer::new(Side::Server, id, pattern(2, 200_000))));
        let served = server.as_mut().is_some_and(|server| server.pump(world));
        client.pump(world) && served
    });
    world.run_for(Duration::from_secs(2));
    transcript.take()
}

/// A client that ends at once, and hears nothing after the SYN/ACK.
fn unanswered(behaviour: Behaviour) -> Transcript {
    let (mut world, transcript) = world(vec![Path::default()], Some(1));
    world.listen(with(behaviour));
    let id = world.connect(with(behaviour));
    world.client.shutdown(world.now, id);
    world.run_for(Duration::from_secs(10));
    transcript.take()
}

/// A subflow becomes a backup; nothing else happens.
fn spared(behaviour: Behaviour) -> Transcript {
    let (mut world, transcript) = world(vec![Path::default()], None);
    world.listen(with(behaviour));
    let id = world.connect(with(behaviour));
    world.run_for(Duration::from_secs(1));
    world.client.set_backup(world.now, id, SubflowId(0), true).expect("a subflow");
    world.run_for(Duration::from_secs(10));
    transcript.take()
}

/// Data on the first SYN ever, to a server that may be known to take it.
fn data_without_cookie(behaviour: Behaviour) -> Transcript {
    let (mut world, transcript) = world(vec![Path::default()], None);
    let config = ConnectionConfig { fast_open: FastOpen::WithoutCookie, ..with(behaviour) };
    world.listen(config.clone());
    let server = SocketAddr::new(mpuser_tests::world::server_address(0), 80);
    let data = pattern(1, 1_400);
    let opened = world.client.connect_with_data(world.now, config, None, server, &data);
    opened.expect("an address");
    world.run_for(Duration::from_secs(1));
    transcript.take()
}

/// A SYN that asks for a cookie and has data, which is taken.
fn cookie_and_data(behaviour: Behaviour) -> Transcript {
    let config = ConnectionConfig { fast_open: FastOpen::WithoutCookie, ..with(behaviour) };
    let mut script = Script::server(config);
    let remote = SocketAddr::new(peer_address(0), 40_000);
    let mut flow = Flow::new(SocketAddr::new(engine_address(0), PORT), remote);
    let capable = MptcpOption::Capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS });
    let syn = seg().syn().no_ack().option(capable).fast_open(FastOpenCookie::REQUEST);
    script.send(&mut flow, syn.data(b"request"));
    let answer = script.next(&mut flow);
    vec![(Side::Server, 0, answer.option_bytes)]
}

/// Whether this choice alone makes a difference there.
fn shows(field: &str, behaviour: Behaviour, shown: &Shown) -> bool {
    match shown {
        Case(id) => {
            let cases = all();
            let case = cases.iter().find(|case| case.id == *id).expect("a case of the catalogue");
            let observe = |behaviour| {
                let mut target = EngineTarget::with_config(&case.setup, with(behaviour));
                let text = case.observe(&mut target).unwrap_or_default();
                Observation::new(text, &target)
            };
            observe(Behaviour::rfc()) != observe(behaviour)
        }
        In(scenario) => {
            let usual = scenario(Behaviour::rfc());
            assert_eq!(usual, scenario(Behaviour::rfc()), "{field}: a scenario repeats itself");
            usual != scenario(behaviour)
        }
        Test(file) => {
            let path = root().join("tests/tests").join(file);
            let text = std::fs::read_to_string(path).expect("a test");
            text.contains(&format!("Behaviour {{ {field}: "))
                || text.contains(&format!("{field}: false"))
        }
    }
}

#[test]
fn every_choice_shows() {
    complete(&Behaviour::rfc());
    let mut table = Table::new("The choices of a profile", &["choice", "rfc", "linux", "shown by"]);
    let mut silent = Vec::new();
    for (field, choose, rfc, linux, shown) in CHOICES {
        let mut behaviour = Behaviour::rfc();
        choose(&mut behaviour, &Behaviour::linux());
        assert_eq!(
            behaviour == Behaviour::rfc(),
            rfc == linux,
            "{field}: the words and the values"
        );
        if !shows(field, behaviour, shown) {
            silent.push(*field);
        }
        let place = match shown {
            Case(id) => format!("conform {id}"),
            In(_) => "profiles.rs".to_owned(),
            Test(file) => (*file).to_owned(),
        };
        table.row(&[field, rfc, linux, &place]);
    }
    println!("{table}");
    assert!(silent.is_empty(), "no difference seen: {silent:?}");
}
