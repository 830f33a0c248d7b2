//! One endpoint in the hands of an input: packets of a peer that knows all keys, tokens and numbers and disturbs what it
//! pleases, time, and the calls of an application and an administrator.
//!
//! Whatever happens: no panic, no invariant broken, no endless loop, bounded memory; what goes out is well formed and
//! carries the application's octets; what is delivered is what a peer that told no lie has sent; and in the end every
//! connection is forgotten and no timer left.

mod application;
mod peer;
mod segments;
mod setup;

use crate::draw::Draw;
use crate::shown::note;
use application::Application;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use mpuser_engine::Endpoint;
use mpuser_engine::addr::{ConnectionId, InterfaceId, ListenerId};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::pretty;
use peer::Peer;
use setup::Setup;

/// Steps of one input: short scripts, many of them.
const STEPS: usize = 32;
/// Packets that may follow from one step.
const BURST: usize = 2_000;
/// Timers that may fire before everything is forgotten.
const TIMERS: usize = 20_000;
/// Steps that may follow from each other without time passing.
const STANDSTILL: u32 = 100;

/// Draws a script from `data` and runs it to its end.
pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    // too few octets are no finding
    let Ok(setup) = Setup::draw(&mut u) else { return };
    note(|| format!("{setup:?}"));
    let mut session = Session::open(setup);
    for _ in 0..STEPS {
        if u.is_empty() || session.step(&mut u).is_err() {
            break;
        }
        session.check();
    }
    session.wind_up();
}

struct Session {
    now: Instant,
    setup: Setup,
    endpoint: Endpoint,
    listener: Option<ListenerId>,
    id: Option<ConnectionId>,
    peer: Peer,
    application: Application,
    headers: Vec<u8>,
}

impl Session {
    /// The handshake is over, if both want that.
    fn open(setup: Setup) -> Self {
        let now = Instant::from_millis(1_000);
        let mut endpoint = setup.endpoint(now);
        let (mut listener, mut id) = (None, None);
        if setup.client {
            let remote = peer::remote(&setup, 0);
            id = endpoint.connect(now, setup.connection(), None, remote).ok();
            assert!(id.is_some(), "there is an address");
        } else {
            listener = endpoint.listen(setup.connection(), setup.listen_on(), 4).ok();
            assert!(listener.is_some(), "nobody else listens");
        }
        let mut session = Self {
            now,
            endpoint,
            listener,
            id,
            peer: Peer::new(&setup),
            application: Application::default(),
            headers: Vec::new(),
            setup,
        };
        if !session.setup.client {
            let packets = session.peer.open();
            packets.into_iter().for_each(|packet| session.deliver(packet));
            session.pump();
            let packets = session.peer.third();
            packets.into_iter().for_each(|packet| session.deliver(packet));
        }
        session.pump();
        session
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.below(16)? {
            0..8 => {
                let packets = self.peer.draw(u)?;
                packets.into_iter().for_each(|packet| self.deliver(packet));
            }
            8..10 => self.pass(u)?,
            10 => {
                let packet = u.octets(255)?.to_vec();
                self.peer.lied = true;
                self.deliver(packet);
            }
            11..15 => self.application.act(u, &mut self.endpoint, self.now, self.id)?,
            _ => self.administer(u)?,
        }
        self.pump();
        Ok(())
    }

    /// Time passes: to the next timer, or for some milliseconds with all timers on the way.
    fn pass(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let end = match u.below(4)? {
            0 => self.endpoint.poll_timeout().unwrap_or(self.now),
            _ => self.now + Duration::from_millis(u64::from(u.length()? % 200_000)),
        };
        for _ in 0..50 {
            let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.pump();
        }
        self.now = self.now.max(end);
        self.endpoint.handle_timeout(self.now);
        Ok(())
    }

    fn administer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (now, setup) = (self.now, &self.setup);
        let (index, choice) = (u.below(4)? as u8, u.below(8)?);
        note(|| format!("{:>8} ms  administrator: {choice} about {index}", now.as_millis()));
        match choice {
            0 => self.endpoint.remove_address(now, setup.own(index)),
            1 => {
                self.endpoint.add_address(now, setup.local(index));
            }
            2 => {
                // the same address twice is an error of its own
                let _ = self.endpoint.add_endpoint(now, setup.pm_endpoint(index, u)?);
            }
            3 => self.endpoint.flush_endpoints(now),
            4 => {
                let limits = setup::limits(u)?;
                self.endpoint.set_limits(now, limits);
            }
            5 => {
                if let Some(id) = self.id {
                    let remote = peer::remote(setup, u.below(3)? as u8);
                    let _ = self.endpoint.open_subflow(now, id, setup.own(index), remote);
                }
            }
            _ => {
                let subflows =
                    self.id.and_then(|id| self.endpoint.info(id)).map(|info| info.subflows);
                let subflow = subflows.unwrap_or_default().get(usize::from(index)).map(|s| s.id);
                if let (Some(id), Some(subflow)) = (self.id, subflow) {
                    if choice == 6 {
                        let _ = self.endpoint.close_subflow(now, id, subflow);
                    } else {
                        let _ = self.endpoint.set_backup(now, id, subflow, u.flag()?);
                    }
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, packet: Vec<u8>) {
        note(|| format!("{:>8} ms  in   {}", self.now.as_millis(), pretty(&packet)));
        self.endpoint.handle_packet(self.now, InterfaceId(0), Bytes::from(packet));
    }

    /// Takes what goes out; the peer looks at it, and answers what has to be answered at once.
    fn pump(&mut self) {
        let mut count = 0;
        loop {
            let mut headers = std::mem::take(&mut self.headers);
            while let Some(transmit) = self.endpoint.poll_transmit(self.now, &mut headers) {
                count += 1;
                assert!(count < BURST, "packets without end");
                let now = self.now.as_millis();
                let whole = || pretty(&[headers.as_slice(), &transmit.payload].concat());
                note(|| format!("{now:>8} ms  out  {}", whole()));
                self.peer.hear(&headers, &transmit, &self.application);
            }
            self.headers = headers;
            let answers = self.peer.answers();
            if answers.is_empty() {
                break;
            }
            answers.into_iter().for_each(|packet| self.deliver(packet));
        }
        let mut events = 0;
        while let Some((_, event)) = self.endpoint.poll_event() {
            note(|| format!("{:>8} ms  {event:?}", self.now.as_millis()));
            events += 1;
            assert!(events < BURST, "events without end");
        }
        if self.id.is_none()
            && let Some(listener) = self.listener
        {
            self.id = self.endpoint.accept(listener);
        }
    }

    fn check(&mut self) {
        assert_eq!(self.endpoint.check_invariants(), Ok(()));
        let Some(info) = self.id.and_then(|id| self.endpoint.info(id)) else { return };
        let counters = self.endpoint.counters();
        // a window may be told in units, and what is under way is taken
        let room = 2 * self.setup.receive_buffer() as u64 + (1 << 14);
        assert!(info.recv_queue <= room, "{} octets wait for the reader", info.recv_queue);
        assert!(info.bytes_received <= self.peer.payload, "more was received than sent");
        assert!(info.bytes_sent <= self.application.written, "more was sent than written");
        assert!(counters.mp_curr_estab <= self.endpoint.connection_count() as u64);
        self.application.judge(&self.peer);
    }

    /// Everybody leaves, nobody answers any more: all is forgotten in the end.
    fn wind_up(mut self) {
        self.peer.silent = true;
        self.pump();
        if let Some(id) = self.id {
            self.application.read_all(&mut self.endpoint, self.now, id);
            self.application.judge(&self.peer);
        }
        if let Some(listener) = self.listener {
            self.endpoint.unlisten(self.now, listener);
        }
        note(|| "everybody leaves".to_owned());
        let all: Vec<ConnectionId> = self.endpoint.connections().collect();
        all.into_iter().for_each(|id| self.endpoint.close(self.now, id));
        self.pump();
        let (mut still, end) = (0, self.now + Duration::from_secs(24 * 3_600));
        for _ in 0..TIMERS {
            let Some(at) = self.endpoint.poll_timeout() else { break };
            still = if at <= self.now { still + 1 } else { 0 };
            assert!(still < STANDSTILL, "time stands still");
            self.now = self.now.max(at);
            assert!(self.now < end, "still here after a day");
            self.endpoint.handle_timeout(self.now);
            self.pump();
        }
        assert_eq!(self.endpoint.poll_timeout(), None, "a timer was left behind");
        let left = self.endpoint.connections().next().and_then(|id| self.endpoint.info(id));
        assert!(left.is_none(), "a connection was left behind: {left:#?}");
        assert_eq!(self.endpoint.counters().mp_curr_estab, 0);
    }
}
