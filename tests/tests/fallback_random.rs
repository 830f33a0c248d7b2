//! Fallback under random faults: options vanish, payload is damaged, packets are lost, a subflow is reset, at the very
//! moment (give or take two packets) at which a join, an announcement or the end of the data is under way.
//!
//! Whatever happens, each end reads a prefix of what the other wrote, its end at most once and only after all of it;
//! when all went well both ends are in the same mode; a plain end sends no option any more.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::Event;
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::config::{Behaviour, ConnectionConfig};
use mpuser_engine::error::{FallbackReason, ReadError};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::{IpHeader, TcpHeader, TcpOptions};
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the network does to some packets of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Takes the MPTCP options out.
    Strip,
    /// Changes one octet of payload; the TCP checksum is right again.
    Damage,
    /// Loses them.
    Drop,
    /// Lets a RST follow.
    Reset,
}

/// What an end does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Nothing,
    /// The client has a second path: a join is under way.
    Join,
    /// The server announces an address.
    Announce,
    /// Little data, so that the DATA_FIN comes soon.
    End,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    side: Side,
    fault: Fault,
    /// The first packet of the side that is concerned, and how many are.
    from: u64,
    count: u64,
    op: Op,
    /// The other thing happens so many packets later (2 is the same moment).
    shift: u64,
    checksum: bool,
    linux: bool,
    sizes: (usize, usize),
}

fn cases() -> impl Strategy<Value = Case> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
    let fault = prop_oneof![
        4 => Just(Fault::Strip),
        4 => Just(Fault::Damage),
        1 => Just(Fault::Drop),
        1 => Just(Fault::Reset),
    ];
    let op = prop_oneof![Just(Op::Nothing), Just(Op::Join), Just(Op::Announce), Just(Op::End)];
    let count = prop_oneof![1..4u64, Just(1_000_000)];
    let numbers = (any::<u32>(), 0..40u64, count, 0..5u64);
    let data = (any::<bool>(), any::<bool>(), (0..40_000usize, 0..40_000usize));
    (side, fault, op, numbers, data).prop_map(|(side, fault, op, numbers, data)| {
        let (seed, from, count, shift) = numbers;
        let (checksum, linux, sizes) = data;
        let sizes = if op == Op::End { (sizes.0 % 3_000, sizes.1 % 3_000) } else { sizes };
        let seed = u64::from(seed);
        Case { seed, side, fault, from, count, op, shift, checksum, linux, sizes }
    })
}

/// The TCP checksum of an IPv4 packet, put right.
fn seal(packet: &mut [u8]) {
    let start = usize::from(packet[0] & 15) * 4;
    packet[start + 16..start + 18].fill(0);
    let len = (packet.len() - start) as u32;
    let pair = |b: &[u8]| u32::from(b[0]) << 8 | b.get(1).map_or(0, |low| u32::from(*low));
    let words = packet[12..20].chunks(2).chain(packet[start..].chunks(2));
    let mut sum = words.map(pair).sum::<u32>() + 6 + len;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[start + 16..start + 18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// Start of the TCP header and of the payload.
fn borders(packet: &[u8]) -> (usize, usize) {
    let start = usize::from(packet[0] & 15) * 4;
    (start, start + usize::from(packet[start + 12] >> 4) * 4)
}

fn strip(packet: &mut [u8]) {
    let (start, payload) = borders(packet);
    let mut at = start + 20;
    while at + 1 < payload && packet[at] != 0 {
        if packet[at] == 1 {
            at += 1;
            continue;
        }
        let len = usize::from(packet[at + 1]).max(2);
        if packet[at] == 30 {
            packet[at..at + len].fill(1);
        }
        at += len;
    }
    seal(packet);
}

fn damage(packet: &mut [u8]) -> bool {
    let (_, payload) = borders(packet);
    let Some(octet) = packet.get_mut(payload) else { return false };
    *octet ^= 0x41;
    seal(packet);
    true
}

fn reset(packet: &[u8]) -> Vec<u8> {
    let (start, payload) = borders(packet);
    let len = (packet.len() - payload) as u32;
    let mut rst = packet[..start + 20].to_vec();
    let total = (rst.len() as u16).to_be_bytes();
    rst[2..4].copy_from_slice(&total);
    let seq = u32::from_be_bytes([rst[start + 4], rst[start + 5], rst[start + 6], rst[start + 7]]);
    rst[start + 4..start + 8].copy_from_slice(&seq.wrapping_add(len).to_be_bytes());
    rst[start + 12] = 5 << 4;
    rst[start + 13] = 0x04;
    rst[10..12].fill(0);
    let pair = |b: &[u8]| u32::from(b[0]) << 8 | u32::from(b[1]);
    let mut sum: u32 = rst[..start].chunks(2).map(pair).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    rst[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    seal(&mut rst);
    rst
}

/// What the network saw.
#[derive(Debug, Default)]
struct Log {
    sent: BTreeMap<Side, u64>,
    damaged: usize,
    /// The step of the run, and in which ones a side sent an option; true if it was an infinite mapping.
    step: u64,
    options: Vec<(Side, u64, bool)>,
}

impl Log {
    fn note(&mut self, side: Side, packet: &[u8]) {
        *self.sent.entry(side).or_default() += 1;
        let ip = IpHeader::parse(packet).expect("IP");
        let tcp = &packet[ip.header_len..];
        let (header, len) = TcpHeader::parse(tcp).expect("TCP");
        let options = TcpOptions::parse(&tcp[20..len]);
        // The RST that refuses a join belongs to no connection.
        if !header.flags.rst && (options.dss.is_some() || !options.signals.is_empty()) {
            let mapping = options.dss.and_then(|dss| dss.mapping);
            let infinite = mapping.is_some_and(|mapping| mapping.is_infinite());
            self.options.push((side, self.step, infinite));
        }
    }
}

fn tamper(case: Case, log: &Rc<RefCell<Log>>) -> mpuser_tests::world::Tamper {
    let log = Rc::clone(log);
    Box::new(move |side, _, mut packet| {
        let mut log = log.borrow_mut();
        log.note(side, &packet);
        let number = log.sent[&side] - 1;
        if side != case.side || !(case.from..case.from + case.count).contains(&number) {
            return vec![packet];
        }
        match case.fault {
            Fault::Strip => strip(&mut packet),
            Fault::Damage => log.damaged += usize::from(damage(&mut packet)),
            Fault::Drop if case.count < 10 => return vec![],
            Fault::Drop => {}
            Fault::Reset if number == case.from => {
                let rst = reset(&packet);
                return vec![packet, rst];
            }
            Fault::Reset => {}
        }
        vec![packet]
    })
}

struct Run {
    world: World,
    log: Rc<RefCell<Log>>,
    client: ConnectionId,
    server: Option<ConnectionId>,
    /// When each side fell back: the step.
    fell: BTreeMap<Side, u64>,
    /// Steps since time last moved.
    still: u32,
}

impl Run {
    fn step(&mut self) -> bool {
        self.log.borrow_mut().step += 1;
        let seen = self.world.events.len();
        let before = self.world.now;
        let more = self.world.step();
        self.still = if self.world.now == before { self.still + 1 } else { 0 };
        assert!(self.still < 1_000, "time stands still");
        let step = self.log.borrow().step;
        for (_, side, _, event) in &self.world.events[seen..] {
            if matches!(event, Event::Fallback(_)) {
                self.fell.entry(*side).or_insert(step);
            }
        }
        more
    }
}

fn run(case: Case) {
    let paths = if case.op == Op::Join { 2 } else { 1 };
    let mut world = World::new(case.seed, vec![Path::default(); paths]);
    let behaviour = if case.linux { Behaviour::linux() } else { Behaviour::rfc() };
    let config = ConnectionConfig { checksum: case.checksum, behaviour, ..Default::default() };
    let listener = world.listen(config.clone());
    let log = Rc::new(RefCell::new(Log::default()));
    world.tamper = tamper(case, &log);
    let client = world.connect(config);
    let mut run = Run { world, log, client, server: None, fell: BTreeMap::new(), still: 0 };
    let (up, down) = (pattern(case.seed, case.sizes.0), pattern(case.seed + 1, case.sizes.1));
    let mut a = Transfer::new(Side::Client, client, up.clone());
    let mut b = None;
    let mut announced = false;
    // A DATA_FIN that never gets through is given up after eight minutes.
    let end = Instant::ZERO + Duration::from_secs(1_500);
    loop {
        if run.server.is_none() {
            run.server = run.world.server.accept(listener);
            b = run.server.map(|id| Transfer::new(Side::Server, id, down.clone()));
        }
        let sent = run.log.borrow().sent.get(&case.side).copied().unwrap_or(0);
        if case.op == Op::Announce && !announced && sent + 2 >= case.from + case.shift {
            run.world.add_server_address(1);
            announced = true;
        }
        let packets: u64 = run.log.borrow().sent.values().sum();
        assert!(packets < 20_000, "a storm of packets at {:?}", run.world.now);
        let done = a.pump(&mut run.world) & b.as_mut().is_some_and(|b| b.pump(&mut run.world));
        if done || run.world.now >= end || !run.step() {
            break;
        }
    }
    run.world.run_for(Duration::from_secs(2));
    let (Some(b), Some(server)) = (b, run.server) else { return };
    check(&case, &run, (&a, &b), server, (&up, &down));
}

fn check(
    case: &Case,
    run: &Run,
    (a, b): (&Transfer, &Transfer),
    server: ConnectionId,
    (up, down): (&[u8], &[u8]),
) {
    let damaged = run.log.borrow().damaged;
    for (transfer, sent) in [(a, down), (b, up)] {
        assert!(transfer.incoming.len() <= sent.len(), "more was read than written");
        let wrong = transfer.incoming.iter().zip(sent).filter(|(x, y)| x != y).count();
        // Plain TCP, and MPTCP without checksums, cannot know.
        assert!(wrong <= damaged, "{wrong} octets are wrong, {damaged} were damaged");
        assert!(!transfer.ended || transfer.incoming.len() == sent.len(), "the end came too early");
        let known = matches!(transfer.error, None | Some(ReadError::Closed(_)));
        assert!(known, "{:?}", transfer.error);
    }
    let infos = (run.world.client.info(run.client), run.world.server.info(server));
    let (Some(c), Some(s)) = infos else { return };
    // An end whose data is acknowledged without options has to fall back [FB-6]. The other is told with the next new
    // data, and there may be none.
    let one_sided = case.fault == Fault::Strip
        && [c.fallback, s.fallback].contains(&Some(FallbackReason::NoDssInAck));
    if a.ended && b.ended {
        assert!(one_sided || c.mptcp == s.mptcp, "{:?} {:?}", c.fallback, s.fallback);
    } else {
        let error = c.error.is_some() || s.error.is_some();
        assert!(error, "stuck: {c:#?} {s:#?}");
    }
    for (side, info) in [(Side::Client, &c), (Side::Server, &s)] {
        let joins = info.subflows.iter().filter(|s| s.join && s.state == "ESTAB").count();
        assert!(info.mptcp || joins == 0, "{side:?} is plain TCP with a second subflow (C17)");
        let fell = run.fell.get(&side).copied().unwrap_or(u64::MAX);
        let log = run.log.borrow();
        let late = log.options.iter().filter(|o| o.0 == side && o.1 > fell);
        let at_handshake = matches!(info.fallback, Some(FallbackReason::SynWithoutCapable));
        assert!(at_handshake || late.clone().all(|o| o.2), "{side:?}: options after fallback");
    }
    // Where nothing but payload was touched, checksums say so, and the one path is enough.
    if case.fault == Fault::Damage && case.checksum && case.op != Op::Join && damaged > 0 {
        assert!(a.ended && b.ended || case.op == Op::Announce, "{:?} {:?}", c.error, s.error);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 100,
        ..ProptestConfig::default()
    })]

    /// (C15) (C16) (C17) (C18) (C19) [FB-20] [FB-21].
    #[test]
    fn whatever_happens_the_bytes_are_right(case in cases()) {
        run(case);
    }
}
