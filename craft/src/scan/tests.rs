//! The engine behind boxes that do what boxes do, in virtual time.

use super::*;
use bytes::Bytes;
use mpuser_engine::time::Instant;
use mpuser_sim::conform::EngineTarget;
use mpuser_sim::conform::target::{PORT, SERVER, Setup, probe_address, stack_address};
use mpuser_sim::{Direction, Link, LinkConfig};
use std::collections::VecDeque;

/// The engine behind a link with boxes, which take no time.
struct Behind {
    target: EngineTarget,
    link: Link,
    ready: VecDeque<Vec<u8>>,
}

impl Behind {
    fn new(setup: &Setup, boxes: &[&str]) -> Self {
        let boxes = boxes.iter().map(|text| (*text).to_owned()).collect();
        let config = LinkConfig { boxes, ..LinkConfig::default() };
        let link = Link::new(config, 1, Instant::ZERO).unwrap();
        Self { target: EngineTarget::new(setup), link, ready: VecDeque::new() }
    }

    fn clock(&self) -> Instant {
        Instant::ZERO + self.target.now()
    }

    fn flush(&mut self) {
        while let Some((direction, packet)) = self.link.poll(self.clock()) {
            match direction {
                Direction::Forward => self.target.send(&packet),
                Direction::Backward => self.ready.push_back(packet.to_vec()),
            }
        }
    }
}

impl Wire for Behind {
    fn now(&self) -> Duration {
        self.target.now()
    }

    fn send(&mut self, packet: &[u8]) {
        self.link.push(self.clock(), Direction::Forward, Bytes::copy_from_slice(packet));
        self.flush();
    }

    fn receive(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let end = self.target.now() + limit;
        loop {
            self.flush();
            if let Some(packet) = self.ready.pop_front() {
                return Some(packet);
            }
            let left = end.checked_sub(self.target.now())?;
            let packet = self.target.receive(left)?;
            self.link.push(self.clock(), Direction::Backward, packet.into());
        }
    }
}

fn look(setup: &Setup, boxes: &[&str], port: u16) -> Findings {
    let mut wire = Behind::new(setup, boxes);
    let remote = SocketAddr::new(stack_address(0, setup.ipv6), port);
    let local = probe_address(0, setup.ipv6);
    scan(&mut wire, local, remote, Duration::from_secs(1), [3; 32]).unwrap()
}

#[test]
fn a_stack_proves_itself_twice() {
    for (checksum, ipv6) in [(false, false), (true, false), (false, true)] {
        let found = look(&Setup { checksum, ipv6, ..SERVER }, &[], PORT);
        assert_eq!(found.verdict, Verdict::Mptcp, "{found:?}");
        assert_eq!((found.join, found.data_ack), (Some(Join::Proved), Some(true)));
        assert_eq!((found.version1, found.version0), (Some(1), None), "{found:?}");
        assert_eq!((found.checksum, found.deny_join, found.mirrors), (checksum, false, false));
    }
}

/// C: joins are refused, and the Data ACK proves it all the same.
#[test]
fn a_stack_that_takes_no_joins_is_one() {
    let found = look(&Setup { deny_join_initial: true, ..SERVER }, &[], PORT);
    assert_eq!((found.verdict, found.deny_join), (Verdict::Mptcp, true), "{found:?}");
    assert_eq!(found.data_ack, Some(true));
}

#[test]
fn what_is_no_stack_is_told_apart() {
    for (boxes, port, verdict) in [
        (&["mirror-mptcp"][..], PORT, Verdict::Mirror),
        (&["strip-mptcp:syn"], PORT, Verdict::PlainTcp),
        (&["strip-mptcp:synack"], PORT, Verdict::PlainTcp),
        (&["drop-mptcp:syn"], PORT, Verdict::OptionRefused),
        (&["rst-mptcp:syn"], PORT, Verdict::OptionRefused),
        (&[], PORT + 1, Verdict::Closed),
        (&["isn"], PORT, Verdict::Mptcp),
    ] {
        let found = look(&SERVER, boxes, port);
        assert_eq!(found.verdict, verdict, "{boxes:?} {found:?}");
        assert_eq!(found.object()["verdict"], verdict.word());
    }
}

#[test]
fn a_box_that_lets_only_the_handshake_through_leaves_it_unproved() {
    let found =
        look(&SERVER, &["strip-mptcp:third", "strip-mptcp:nonsyn", "strip-mptcp:syn,join"], PORT);
    assert_eq!(found.verdict, Verdict::Claimed, "{found:?}");
}

#[test]
fn nobody_is_nobody() {
    let mut wire = Behind::new(&SERVER, &[]);
    let remote = SocketAddr::new(stack_address(99, false), PORT);
    let found = scan(&mut wire, probe_address(0, false), remote, Duration::from_secs(1), [3; 32]);
    assert_eq!(found.unwrap().verdict, Verdict::Filtered);
}
