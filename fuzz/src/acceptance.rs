//! Which segments TCP accepts, and what it makes of them: a socket beside the table of RFC 9293 3.10.7.4 and one slot for
//! each octet of the peer's stream.

use crate::draw::Draw;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use mpuser_engine::config::TcpConfig;
use mpuser_engine::seq::SeqNum;
use mpuser_engine::tcp::{Disposition, OpenParams, Segment, SendLimits, Socket};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::window::WindowScale;

/// Steps of one input.
const STEPS: usize = 64;
/// Largest window offered, and the peer's.
const WINDOW: u32 = 8_192;

/// Octet number `at` of the peer's stream.
const fn octet(at: i64) -> u8 {
    (at ^ at >> 8) as u8
}

/// What the peer of RFC 9293 knows about the socket. All numbers are offsets after the SYN.
struct Model {
    nxt: i64,
    edge: i64,
    /// Largest window there was.
    widest: i64,
    /// Octets that came, from offset 0 on.
    came: Vec<bool>,
    fin: Option<i64>,
    una: i64,
    sent: i64,
    read: i64,
}

impl Model {
    /// RFC 9293 3.10.7.4 first check, RFC 5961 4 and 5. Old empty segments count, too, a window back: one that shrank is
    /// known late.
    fn accepts(&self, start: i64, len: i64, ack: Option<i64>, syn: bool) -> bool {
        let in_window = if len == 0 {
            (self.nxt - self.widest..=self.edge).contains(&start)
        } else {
            start + len > self.nxt && (start < self.edge || start == self.nxt)
        };
        let known = |ack| (self.una - i64::from(WINDOW)..=self.sent).contains(&ack);
        in_window && !syn && ack.is_some_and(known)
    }

    fn take(&mut self, start: i64, len: i64, fin: bool) {
        let over = |model: &Self| model.fin.is_some_and(|fin| model.nxt > fin);
        if over(self) {
            return;
        }
        let end = start + len;
        let last = self.came.iter().rposition(|came| *came).map_or(0, |at| at as i64 + 1);
        if fin && self.fin.is_none() && end >= self.nxt.max(last) && end <= self.edge {
            self.fin = Some(end);
        }
        let edge = self.fin.unwrap_or(i64::MAX).min(self.edge);
        for at in start.max(self.nxt)..end.min(edge) {
            let at = at as usize;
            self.came.resize(self.came.len().max(at + 1), false);
            self.came[at] = true;
        }
        while self.came.get(self.nxt as usize).is_some_and(|came| *came) {
            self.nxt += 1;
        }
        if self.fin == Some(self.nxt) {
            self.nxt += 1;
        }
    }
}

struct Run {
    socket: Socket,
    now: Instant,
    model: Model,
    iss: SeqNum,
    irs: SeqNum,
}

/// Draws a connection's segments from `data`.
pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    // too few octets are no finding
    let Ok(mut run) = Run::open(&mut u) else { return };
    for _ in 0..STEPS {
        if u.is_empty() || run.socket.is_closed() || run.step(&mut u).is_err() {
            break;
        }
        assert_eq!(run.socket.check_invariants(), Ok(()));
    }
}

impl Run {
    /// A client whose handshake is over.
    fn open(u: &mut Unstructured<'_>) -> Result<Self> {
        // near the wrap as often as not
        let number = |u: &mut Unstructured<'_>| -> Result<SeqNum> {
            Ok(SeqNum(u32::from(u.arbitrary::<u16>()?).wrapping_sub(0x8000)))
        };
        let (iss, irs) = (number(u)?, number(u)?);
        let config = TcpConfig { timestamps: false, sack: u.flag()?, ..TcpConfig::default() };
        let window_scale = WindowScale::from_wire(u.below(4)? as u8);
        let params = OpenParams {
            iss,
            config,
            mss: 536,
            receive_window: WINDOW,
            window_scale,
            timestamp_offset: 0,
            carried: false,
        };
        let now = Instant::from_millis(1);
        let model = Model {
            nxt: 0,
            edge: 0,
            widest: WINDOW.into(),
            came: Vec::new(),
            fin: None,
            una: 0,
            sent: 0,
            read: 0,
        };
        let mut run = Self { socket: Socket::connect(now, params), now, model, iss, irs };
        run.send(WINDOW);
        let mut syn =
            Segment { seq: irs, ack: Some(iss + 1), window: WINDOW as u16, ..Segment::default() };
        syn.flags.syn = true;
        syn.options.mss = Some(536);
        syn.options.sack_permitted = true;
        syn.options.window_scale = Some(0);
        assert!(run.socket.on_segment(now, &syn).established);
        // the SYN's window is not scaled
        run.model.edge = WINDOW.into();
        run.send(WINDOW);
        Ok(run)
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.below(8)? {
            0 => {
                self.socket.write(Bytes::from(vec![7; 1 + u.below(256)? * 4]));
            }
            1 => {
                self.now += Duration::from_millis(u64::from(u.length()? % 3_000));
                self.socket.on_timeout(self.now);
            }
            2 => self.read(),
            _ => self.segment(u)?,
        }
        let offer = u.length()?.min(WINDOW);
        self.send(offer);
        Ok(())
    }

    /// A segment about anything near the window.
    fn segment(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let near = [self.model.nxt, self.model.nxt, self.model.edge, 0][u.below(4)?];
        let distance = i64::from(u.length()?) - u.below(64)? as i64;
        // beyond half of the numbers, before and behind change places
        let start = near + distance % 0x4000_0000;
        let len = i64::from(u.length()? % 2_000);
        let acked = [self.model.sent, self.model.una, 0][u.below(3)?] + u.below(3)? as i64 - 1;
        let ack = (u.below(16)? != 0).then_some(acked);
        let kind = u.below(32)?;
        let (syn, rst, fin) = (kind == 0, kind == 1, kind == 2);
        let wire = |base: SeqNum, offset: i64| base + (offset as u32).wrapping_add(1);
        let mut segment = Segment {
            seq: wire(self.irs, start),
            ack: ack.map(|ack| wire(self.iss, ack)),
            window: WINDOW as u16,
            payload: (start..start + len).map(octet).collect::<Vec<_>>().into(),
            ..Segment::default()
        };
        (segment.flags.syn, segment.flags.rst, segment.flags.fin) = (syn, rst, fin);
        let disposition = self.socket.on_segment(self.now, &segment);
        if rst {
            // RFC 5961 3.2: only the exact number counts
            assert_eq!(disposition.reset, start == self.model.nxt, "{segment:?}");
            return Ok(());
        }
        self.judge(disposition, (start, len, ack), syn, fin);
        Ok(())
    }

    fn judge(&mut self, got: Disposition, place: (i64, i64, Option<i64>), syn: bool, fin: bool) {
        let (start, len, ack) = place;
        let model = &mut self.model;
        let accepted = model.accepts(start, len + i64::from(fin), ack, syn);
        assert_eq!(got.acceptable, accepted, "{place:?} syn {syn} fin {fin}");
        if !accepted {
            assert!(!got.new_data && !got.peer_fin && got.newly_acked == 0, "{got:?}");
            return;
        }
        let ack = ack.unwrap_or(0);
        let newly = (ack - model.una).max(0);
        assert_eq!(got.newly_acked, newly as u64);
        model.una += newly;
        let (before, ended) = (model.nxt, model.fin);
        model.take(start, len, fin);
        let took_fin =
            model.fin.is_some_and(|fin| model.nxt > fin) && ended.is_none_or(|fin| before <= fin);
        assert_eq!(got.peer_fin, took_fin, "{place:?}");
        assert_eq!(got.new_data, model.nxt - before > i64::from(took_fin), "{place:?}");
    }

    fn read(&mut self) {
        while let Some((at, data)) = self.socket.read() {
            assert_eq!(at as i64, self.model.read);
            assert!(
                (self.model.read..).zip(&data).all(|(at, byte)| octet(at) == *byte),
                "other octets"
            );
            self.model.read += data.len() as i64;
        }
        let fin = i64::from(self.model.fin.is_some_and(|fin| self.model.nxt > fin));
        assert_eq!(self.model.read, self.model.nxt - fin, "everything in order can be read");
    }

    /// Sends what there is, and looks at it as the peer would.
    fn send(&mut self, window: u32) {
        let limits = SendLimits { window, promised: None, reserved_options: 0, max_payload: 0 };
        let mut count = 0;
        while let Some(plan) = self.socket.plan(self.now, &limits) {
            self.socket.commit(self.now, &plan);
            count += 1;
            assert!(count < 200, "plans without end: {plan:?}");
            if plan.flags.rst || plan.flags.syn {
                continue;
            }
            let relative = |seq: SeqNum, base: SeqNum| i64::from(seq.since(base + 1));
            let acked = plan.ack.map_or(0, |ack| relative(ack, self.irs));
            assert_eq!(acked, self.model.nxt, "everything in order is acknowledged");
            let scale = self.socket.window_scales().map_or(0, |(own, _)| own.shift());
            let window = i64::from(plan.window) << scale;
            self.model.edge = self.model.edge.max(acked + window);
            self.model.widest = self.model.widest.max(window);
            let end = relative(plan.seq, self.iss) + plan.payload.len() as i64;
            self.model.sent = self.model.sent.max(end);
            assert!(end <= self.model.una + i64::from(WINDOW), "beyond the peer's window");
        }
    }
}
