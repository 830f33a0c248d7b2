//! The middlebox cases M01 to M32: 1 MiB each way between two of our ends through boxes that do to TCP what networks
//! do. Every byte arrives or both ends say that they failed; both are in one mode; nobody waits for ever.

use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::time::Duration;
use mpuser_engine::{Event, SubflowEnd};
use mpuser_tests::interop::{Table, full};
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};
use std::collections::BTreeSet;

const SIZE: usize = 1 << 20;

/// Longest time a case may take in virtual time.
const LIMIT: Duration = Duration::from_secs(1_200);

/// How both ends must be in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Tcp,
    Mptcp,
    /// One or the other, but both the same.
    Either,
}

/// What may become of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// It arrives.
    Intact,
    /// It arrives, or both ends see an error.
    IntactOrError,
    /// Or exactly as the box changed it, as plain TCP would bring it: what MP_FAIL and an infinite mapping are for
    /// [FB-12] (K39).
    OrAsChanged,
    /// What comes behind the change may arrive in any form: without checksums nothing of RFC 8684 can see it (3.7).
    Anything,
}

/// A case of the catalogue, or a variant of one.
struct Case {
    id: &'static str,
    paths: usize,
    /// By path.
    boxes: &'static [(usize, &'static str)],
    checksum: bool,
    /// Loss in 1/1000 on all paths.
    loss: u32,
    /// Addresses of the server; it announces the further ones.
    addresses: usize,
    mode: Mode,
    data: Data,
    /// Longest time the whole may take.
    within: Duration,
    /// The box has nothing to do if we do everything right.
    idle: bool,
}

const fn case(id: &'static str, boxes: &'static [(usize, &'static str)], mode: Mode) -> Case {
    let (data, within) = (Data::Intact, Duration::from_secs(10));
    Case {
        id,
        paths: 1,
        boxes,
        checksum: false,
        loss: 0,
        addresses: 1,
        mode,
        data,
        within,
        idle: false,
    }
}

impl Case {
    const fn paths(mut self, paths: usize) -> Self {
        self.paths = paths;
        self
    }
    const fn checksum(mut self) -> Self {
        self.checksum = true;
        self
    }
    const fn loss(mut self, loss: u32) -> Self {
        self.loss = loss;
        self
    }
    const fn addresses(mut self, addresses: usize) -> Self {
        self.addresses = addresses;
        self
    }
    const fn data(mut self, data: Data) -> Self {
        self.data = data;
        self
    }
    const fn within(mut self, seconds: u64) -> Self {
        self.within = Duration::from_secs(seconds);
        self
    }
    const fn idle(mut self) -> Self {
        self.idle = true;
        self
    }
}

use Data::{Anything, IntactOrError, OrAsChanged};
use Mode::{Either, Mptcp, Tcp};

/// The catalogue's section M; a letter behind the number is a variant.
const CASES: &[Case] = &[
    case("M01", &[(0, "strip-mptcp:syn")], Tcp),
    case("M02", &[(0, "strip-mptcp:synack")], Tcp),
    case("M03", &[(0, "strip-mptcp:third")], Either),
    case("M04", &[(0, "strip-mptcp:nonsyn")], Tcp),
    case("M05", &[(0, "strip-mptcp:data,dss")], Either).data(IntactOrError),
    case("M05b", &[(1, "strip-mptcp:data,dss")], Mptcp).paths(2),
    // its bare ACKs after others with Data ACKs could be those of a peer that fell back and lost data [FB-7]
    case("M06", &[(0, "strip-mptcp:ack,dss")], Either).data(IntactOrError).within(70),
    case("M06b", &[(1, "strip-mptcp:ack,dss")], Mptcp).paths(2),
    case("M07", &[(1, "strip-mptcp:syn,join")], Mptcp).paths(2),
    case("M07b", &[(1, "strip-mptcp:synack,join")], Mptcp).paths(2),
    case("M07c", &[(1, "strip-mptcp:third,join")], Mptcp).paths(2),
    case("M08", &[(0, "strip-mptcp:add-addr")], Mptcp).addresses(2),
    // three SYNs a second apart, and one without the option
    case("M09", &[(0, "drop-mptcp:syn")], Tcp).within(4),
    case("M09b", &[(0, "drop-mptcp:synack")], Tcp).within(4),
    // The handshake went through, so this is a path that went dead: TCP's own patience, R2 of RFC 9293 3.8.3, which says
    // at least 100 s; 15 retransmissions as in Linux (tcp_retries2, 924 s). Then a clean error.
    case("M10", &[(0, "drop-mptcp:nonsyn")], Tcp).data(IntactOrError).within(940),
    case("M11", &[(0, "rst-mptcp:syn")], Tcp).data(IntactOrError),
    case("M11b", &[(0, "rst-mptcp:nonsyn")], Tcp).data(IntactOrError),
    case("M12", &[(0, "mirror-mptcp")], Tcp),
    case("M13", &[(0, "isn")], Mptcp).loss(10),
    case("M14", &[(0, "isn:keep-sack")], Mptcp).loss(10),
    case("M15", &[(0, "nat:rebind-after=256k,addr=10.1.0.200")], Mptcp).within(60),
    case("M15b", &[(1, "nat:rebind-after=64k,addr=10.1.1.200")], Mptcp).paths(2).within(60),
    case("M16", &[(0, "split:all")], Mptcp),
    case("M17", &[(0, "split:first")], Mptcp),
    case("M17b", &[(0, "split:last")], Mptcp),
    case("M18", &[(0, "coalesce:first")], Mptcp),
    case("M18b", &[(1, "coalesce:first")], Mptcp).paths(2),
    case("M19", &[(0, "coalesce:last")], Mptcp),
    case("M19b", &[(1, "coalesce:last")], Mptcp).paths(2),
    // its ACKs have no DSS: on the only subflow that means plain TCP [FB-6]
    case("M20", &[(0, "ack-ahead")], Either).loss(5).within(120),
    case("M20b", &[(1, "ack-ahead")], Mptcp).paths(2).loss(5).within(120),
    case("M21", &[(1, "ack-ahead:restart=64k")], Mptcp).paths(2).within(60),
    case("M22", &[(0, "alg:longer=12,at=100k")], Either).checksum().data(OrAsChanged),
    case("M22b", &[(1, "alg:longer=12,at=20k")], Mptcp).paths(2).checksum(),
    case("M23", &[(0, "alg:longer=12,at=100k")], Either).data(Anything),
    case("M24", &[(0, "alg:shorter=3,at=100k")], Either).checksum().data(OrAsChanged),
    // the last octets have no mapping any more, and on the only subflow they are not sent again
    case("M24b", &[(0, "alg:shorter=3,at=100k")], Either).data(Anything).within(30),
    case("M24c", &[(1, "alg:shorter=3,at=20k")], Mptcp).paths(2).checksum(),
    case("M25", &[(0, "hold")], Mptcp).loss(10),
    case("M25b", &[(0, "hold:drop")], Mptcp).loss(5).within(30),
    case("M26", &[(0, "ack-unseen:drop")], Mptcp).loss(5).within(30),
    case("M26b", &[(0, "ack-unseen:rewrite")], Mptcp).loss(5).within(30),
    case("M27", &[(0, "normalise")], Mptcp).loss(20).idle(),
    case("M27b", &[(0, "normalise"), (1, "normalise")], Mptcp).paths(2).loss(20).checksum().idle(),
    case("M28", &[(0, "duplicate")], Mptcp),
    case("M28b", &[(0, "duplicate:late=5s")], Mptcp),
    case("M29", &[(0, "reorder:by=64")], Mptcp),
    case("M30", &[(0, "scrub")], Either),
    // no further subflow comes through, and so both ends wait for one in vain [FIN-9]
    case("M31", &[(0, "strip-mptcp:fwd,from=256k")], Either).data(IntactOrError).within(65),
    case("M31b", &[(0, "strip-mptcp:back,from=256k")], Either).data(IntactOrError),
    case("M31c", &[(1, "strip-mptcp:fwd,from=64k")], Mptcp).paths(2),
    case("M32", &[(1, "splitter:mss=500,window=16k")], Mptcp).paths(2),
    case("M32b", &[(0, "splitter:mss=500,window=16k")], Tcp),
];

/// What one run of a case showed.
struct Outcome {
    /// Both directions arrived as they were sent.
    intact: bool,
    /// The client's data arrived exactly as an `alg` box at 100 KiB changes it, the other direction as it was sent.
    as_changed: bool,
    /// Errors at the client and the server.
    errors: Vec<String>,
    /// Both ends came to an end.
    ended: bool,
    modes: [Option<bool>; 2],
    seconds: f64,
    reset_subflows: usize,
    acted: u64,
}

/// The mode of an end's first connection. (A splitter makes the server accept others.)
fn mode(world: &World, side: Side) -> Option<bool> {
    let mut mptcp = None;
    let mut ours = None;
    for (_, _, id, event) in world.events.iter().filter(|event| event.1 == side) {
        if *ours.get_or_insert(*id) != *id {
            continue;
        }
        match event {
            Event::Established { mptcp: agreed, .. } => mptcp = Some(*agreed),
            Event::Fallback(_) => mptcp = mptcp.map(|_| false),
            _ => {}
        }
    }
    mptcp
}

fn run(case: &Case, seed: u64) -> Outcome {
    let path = Path { loss: case.loss, ..Path::default() };
    let mut world = World::new(seed, vec![path; case.paths]);
    for path in 0..case.paths {
        let boxes: Vec<&str> =
            case.boxes.iter().filter(|(at, _)| *at == path).map(|(_, text)| *text).collect();
        world.set_boxes(path, &boxes);
    }
    for index in 1..case.addresses {
        world.add_server_address(index);
    }
    let config = ConnectionConfig { checksum: case.checksum, ..ConnectionConfig::default() };
    let listener = world.listen(config.clone());
    let id = world.connect(config);
    let data = [pattern(seed, SIZE), pattern(seed + 1_000, SIZE)];
    let mut client = Transfer::new(Side::Client, id, data[0].clone());
    let mut server: Option<Transfer> = None;
    let mut ended = world.run_until(LIMIT, |world| {
        if server.is_none() {
            let accepted = world.server.accept(listener);
            server = accepted.map(|id| Transfer::new(Side::Server, id, data[1].clone()));
        }
        let client_done = client.pump(world);
        match &mut server {
            Some(server) => server.pump(world) && client_done,
            None => client.error.is_some(),
        }
    });
    let over = |transfer: &Transfer| transfer.ended || transfer.error.is_some();
    ended &= over(&client) && server.as_ref().is_none_or(over);
    let received = server.as_ref().map(|server| server.incoming.as_slice()).unwrap_or_default();
    let errors = [Some(&client), server.as_ref()].into_iter().flatten();
    let resets = world.events_of(Side::Client).filter(|event| {
        matches!(event, Event::SubflowClosed { cause, .. } if *cause != SubflowEnd::Finished)
    });
    let (before, after) = data[0].split_at(100 << 10);
    let longer = [before, b"++++++++++++", after].concat();
    let shorter = [before, &after[3..]].concat();
    Outcome {
        as_changed: client.incoming == data[1] && (received == longer || received == shorter),
        intact: client.incoming == data[1] && received == data[0],
        errors: errors.filter_map(|t| t.error.as_ref()).map(|e| format!("{e:?}")).collect(),
        ended,
        modes: [mode(&world, Side::Client), mode(&world, Side::Server)],
        seconds: world.now.as_nanos() as f64 / 1e9,
        reset_subflows: resets.count(),
        acted: (0..case.paths).flat_map(|path| world.acted(path)).sum(),
    }
}

/// What is wrong with an outcome.
fn faults(case: &Case, got: &Outcome) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |good: bool, what: String| {
        if !good {
            faults.push(what);
        }
    };
    check(got.ended, "an end waits for ever".to_owned());
    let failed = !got.errors.is_empty() && got.ended;
    let arrived = match case.data {
        Data::Intact => got.intact,
        IntactOrError => got.intact || failed,
        OrAsChanged => got.intact || failed || got.as_changed,
        Anything => true,
    };
    check(arrived, format!("not intact, errors {:?}", got.errors));
    let [client, server] = got.modes;
    if got.errors.is_empty() {
        check(client == server, format!("two modes: client {client:?}, server {server:?}"));
        let wanted = match case.mode {
            Tcp => Some(false),
            Mptcp => Some(true),
            Either => client,
        };
        check(client == wanted, format!("mode {client:?} instead of {wanted:?}"));
    }
    check(got.seconds <= case.within.as_secs_f64(), format!("took {:.1} s", got.seconds));
    let worked = if case.idle { got.acted == 0 } else { got.acted > 0 };
    check(worked, format!("the box acted {} times", got.acted));
    faults
}

#[test]
fn every_box_leaves_one_mode_and_all_bytes_or_a_clean_error() {
    let only = std::env::var("MPUSER_CASE").ok();
    let title = "1 MiB each way through middleboxes, two of our ends";
    let columns =
        ["case", "boxes", "paths", "mode", "data", "s", "subflows lost", "acted", "verdict"];
    let (mut table, mut complaints) = (Table::new(title, &columns), Vec::new());
    let seeds = if full() { 50 } else { 4 };
    for case in CASES.iter().filter(|case| only.as_deref().is_none_or(|id| id == case.id)) {
        let (mut modes, mut ends) = (BTreeSet::new(), BTreeSet::new());
        let (mut seconds, mut lost, mut acted, mut bad) = (0f64, 0, 0, 0);
        for seed in 1..=seeds {
            let got = run(case, seed);
            modes.insert(match got.modes {
                [Some(true), Some(true)] => "MPTCP",
                [Some(false), Some(false)] => "TCP",
                [None, _] | [_, None] => "none",
                _ => "MIXED",
            });
            ends.insert(match (&got.errors[..], got.intact) {
                (_, true) => "intact".to_owned(),
                ([], false) if got.as_changed => "as the box changed it".to_owned(),
                ([], false) => "changed".to_owned(),
                (errors, false) => errors.join("/"),
            });
            seconds = seconds.max(got.seconds);
            lost = lost.max(got.reset_subflows);
            acted = acted.max(got.acted);
            for fault in faults(case, &got) {
                complaints.push(format!("{} seed {seed}: {fault}", case.id));
                bad += 1;
            }
        }
        let boxes: Vec<String> =
            case.boxes.iter().map(|(path, text)| format!("{path}:{text}")).collect();
        let join = |set: BTreeSet<_>| set.into_iter().collect::<Vec<_>>().join(", ");
        let ends = ends.into_iter().collect::<Vec<_>>().join(", ");
        let verdict = if bad == 0 { "pass" } else { "FAIL" };
        let seconds = format!("{seconds:.2}");
        table.row(&[
            &case.id,
            &boxes.join(" "),
            &case.paths,
            &join(modes),
            &ends,
            &seconds,
            &lost,
            &acted,
            &verdict,
        ]);
    }
    println!("{table}");
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
