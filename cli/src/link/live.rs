//! A link at work: packets from one TUN device through the model to the other.

use super::capture::Capture;
use super::control::{Answer, Order, Ordered};
use super::spec::{Spec, read_file};
use crate::error::Failure;
use bytes::BytesMut;
use mpuser_sim::{Direction, Link};
use mpuser_tun::clock;
use mpuser_tun::device::{Device, PlainTun, register};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// A device that was deleted reports an error and nothing else.
const READABLE: Interest = Interest::READABLE.add(Interest::ERROR);

/// Packets read from one device before the other things are looked at.
const BATCH: usize = 64;

/// One end: the device, and its registration with the runtime (a duplicate of its descriptor).
struct End {
    device: PlainTun,
    ready: AsyncFd<OwnedFd>,
    /// Packets the kernel did not take.
    refused: u64,
}

impl End {
    fn new(device: PlainTun) -> std::io::Result<Self> {
        let ready = register(device.fd())?;
        Ok(Self { device, ready, refused: 0 })
    }
}

/// A link with its devices.
pub(crate) struct Live {
    spec: Spec,
    link: Link,
    from: End,
    to: End,
    arena: BytesMut,
    capture: Option<Capture>,
}

/// Reads what has arrived at one end; an error means that the device is gone.
fn read(
    end: &End,
    link: &mut Link,
    direction: Direction,
    arena: &mut BytesMut,
) -> std::io::Result<bool> {
    for _ in 0..BATCH {
        let now = clock::now();
        match end.device.recv(now, arena) {
            Ok(received) => link.push(now, direction, received.packet),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

impl Live {
    /// Makes the devices and the link. Call it inside the runtime.
    pub(super) fn new(spec: Spec, capture: Option<Capture>) -> Result<Self, Failure> {
        let (from, to) = (spec.from.open(spec.mtu)?, spec.to.open(spec.mtu)?);
        let end = |device| {
            End::new(device).map_err(|error| Failure::io("cannot wait for a device", &error))
        };
        let link = Link::new(spec.config.clone(), spec.seed, clock::now());
        // the words were checked when they were read
        let mut link = link.map_err(|error| Failure::internal("a link cannot be made", error))?;
        if capture.is_some() {
            link.keep_dropped();
        }
        let (from, to, arena) = (end(from)?, end(to)?, BytesMut::new());
        Ok(Self { link, from, to, spec, arena, capture })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// Moves packets until it is told to end; its last state. Fails when a device goes away.
    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Ordered>,
    ) -> Result<Value, Failure> {
        let gone = |error: std::io::Error| Failure::io("a device of the link failed", &error);
        loop {
            let deadline = self.link.next().and_then(clock::to_tokio);
            tokio::select! {
                ready = self.from.ready.ready(READABLE) => {
                    let mut guard = ready.map_err(gone)?;
                    if !read(&self.from, &mut self.link, Direction::Forward, &mut self.arena).map_err(gone)? {
                        guard.clear_ready();
                    }
                }
                ready = self.to.ready.ready(READABLE) => {
                    let mut guard = ready.map_err(gone)?;
                    if !read(&self.to, &mut self.link, Direction::Backward, &mut self.arena).map_err(gone)? {
                        guard.clear_ready();
                    }
                }
                () = sleep(deadline) => {}
                order = orders.recv() => {
                    let Some((order, answer)) = order else { return Ok(self.state()) };
                    let (reply, end) = self.obey(order);
                    // a client that is gone needs no answer
                    let _ = answer.send(reply);
                    if end {
                        return Ok(self.state());
                    }
                }
            }
            self.deliver();
        }
    }

    /// Hands over what has come through.
    fn deliver(&mut self) {
        let now = clock::now();
        while let Some((direction, packet)) = self.link.poll(now) {
            let end = match direction {
                Direction::Forward => &mut self.to,
                Direction::Backward => &mut self.from,
            };
            // a refusal (the device is down, its queue full) is a loss like any other
            let refused = end.device.send(now, &packet, &[], None).is_err();
            end.refused += u64::from(refused);
            match &self.capture {
                Some(capture) if refused => {
                    capture.dropped(now, direction, &packet, "the device did not take it");
                }
                Some(capture) => capture.delivered(now, direction, &packet),
                None => {}
            }
        }
        if let Some(capture) = &self.capture {
            while let Some((direction, packet)) = self.link.take_dropped() {
                capture.dropped(now, direction, &packet, "dropped by the link");
            }
        }
    }

    fn obey(&mut self, order: Order) -> (Answer, bool) {
        match order {
            Order::Show => (Answer::Link(self.state()), false),
            Order::Down => (Answer::Link(self.state()), true),
            Order::Set { words } => {
                let mut config = self.link.config();
                let changed = config.apply(&words, &mut |name| read_file(name));
                match changed.and_then(|()| self.link.set(config)) {
                    Ok(()) => (Answer::Link(self.state()), false),
                    Err(because) => (Answer::Refused(because), false),
                }
            }
        }
    }

    /// What it is like and what it has done.
    pub(crate) fn state(&self) -> Value {
        let lane = |direction: Direction, refused: u64| {
            let counters = self.link.counters(direction).entries();
            let mut object: serde_json::Map<String, Value> =
                counters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            let (packets, bytes) = self.link.backlog(direction);
            object.insert("backlog_packets".to_owned(), json!(packets));
            object.insert("backlog_bytes".to_owned(), json!(bytes));
            object.insert("refused_by_device".to_owned(), json!(refused));
            Value::Object(object)
        };
        let boxes = self.link.boxes().acted();
        let boxes: Vec<Value> =
            boxes.map(|(text, acted)| json!({ "box": text, "acted": acted })).collect();
        json!({
            "schema": "mpuser.link/1",
            "name": self.spec.name,
            "pid": std::process::id(),
            "from": self.spec.from.to_string(),
            "to": self.spec.to.to_string(),
            "config": self.link.config().to_string(),
            "boxes": boxes,
            "forward": lane(Direction::Forward, self.to.refused),
            "backward": lane(Direction::Backward, self.from.refused),
        })
    }
}

async fn sleep(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
