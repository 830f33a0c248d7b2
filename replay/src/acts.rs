//! What the application and the administrator of the engine's side did, read off what its kernel sent.

use crate::application::{Applications, pieces};
use crate::choices::is_nobody;
use crate::recording::{Case, Recording, Segment};
use mpuser_engine::addr::AddressId;
use mpuser_engine::wire::MptcpOption;
use mpuser_inspect::packet::{FIN, RST};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Open the connection, with so many octets on the SYN.
    Connect(usize),
    /// Open this stream of the capture, as a backup or not.
    Join(usize, bool),
    /// Announce an address.
    Announce { id: AddressId, address: IpAddr, port: Option<u16> },
    /// Withdraw addresses.
    Withdraw(Vec<AddressId>),
    /// Make a stream a backup, or a regular one.
    Backup(usize, bool),
    /// Write what there is up to this octet.
    Write(usize),
    /// No more will be written.
    Shutdown,
    /// End the connection at once.
    Abort,
    /// Close one stream of several.
    CloseSubflow(usize),
}

/// Reads calls off segments, in their order.
pub(crate) struct Reading<'a> {
    recording: &'a Recording,
    first: usize,
    ahead: u64,
    plain: bool,
    /// Octets the side wrote in all.
    total: usize,
    connected: bool,
    joined: BTreeSet<usize>,
    announced: BTreeSet<(u8, IpAddr, Option<u16>)>,
    withdrawn: BTreeSet<u8>,
    backup: BTreeMap<usize, bool>,
    written: u64,
    shut: bool,
    aborted: bool,
    closed: BTreeSet<usize>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(
        recording: &'a Recording,
        case: &Case,
        applications: &Applications,
        side: usize,
    ) -> Self {
        Self {
            recording,
            first: case.streams.first().copied().unwrap_or_default(),
            ahead: if side == 0 { applications.syn_data } else { 0 },
            plain: case.streams.len() == 1,
            total: applications.written.get(side).map_or(0, |written| written.bytes.len()),
            connected: false,
            joined: BTreeSet::new(),
            announced: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            backup: BTreeMap::new(),
            written: 0,
            shut: false,
            aborted: false,
            closed: BTreeSet::new(),
        }
    }

    /// What led to this segment of the engine's side.
    pub(crate) fn segment(&mut self, segment: &Segment) -> Vec<Act> {
        let mut acts = Vec::new();
        let stream = segment.placed.stream;
        if segment.packet().is_syn() {
            if stream == self.first && !self.connected {
                self.connected = true;
                acts.push(Act::Connect(self.ahead as usize));
                self.written = self.ahead;
            } else if stream != self.first && self.joined.insert(stream) {
                let own = self.recording.report.streams.get(stream);
                let backup = own.and_then(|own| own.backup.get(segment.placed.from)).copied();
                acts.push(Act::Join(stream, backup.unwrap_or_default()));
            }
            return acts;
        }
        self.data(segment, &mut acts);
        for signal in segment.signals() {
            self.signal(segment, &signal, &mut acts);
        }
        self.end(segment, &mut acts);
        acts
    }

    fn data(&mut self, segment: &Segment, acts: &mut Vec<Act>) {
        let all = pieces(segment, self.first, self.ahead);
        let end = all.iter().map(|piece| piece.position + piece.len as u64).max();
        if let Some(end) = end.filter(|end| *end > self.written) {
            self.written = end;
            acts.push(Act::Write(end as usize));
        }
    }

    fn signal(&mut self, segment: &Segment, signal: &MptcpOption, acts: &mut Vec<Act>) {
        let stream = segment.placed.stream;
        match signal {
            // the engine announces neither
            MptcpOption::AddAddr(add) if add.id.0 == 0 || is_nobody(add.address) => {}
            MptcpOption::AddAddr(add) if !add.echo => {
                let (id, address, port) = (add.id, add.address, add.port);
                self.withdrawn.remove(&id.0);
                if self.announced.insert((id.0, address, port)) {
                    acts.push(Act::Announce { id, address, port });
                }
            }
            MptcpOption::RemoveAddr(remove) => {
                let gone = remove.ids().iter().filter(|id| self.withdrawn.insert(id.0));
                let gone: Vec<AddressId> = gone.copied().collect();
                self.announced.retain(|(id, ..)| !gone.contains(&AddressId(*id)));
                if !gone.is_empty() {
                    acts.push(Act::Withdraw(gone));
                }
            }
            MptcpOption::Prio(prio) => {
                let own = self.recording.report.streams.get(stream);
                let asked = own.and_then(|s| s.backup.get(segment.placed.from)).copied();
                let before = self.backup.insert(stream, prio.backup).or(asked);
                if before != Some(prio.backup) {
                    acts.push(Act::Backup(stream, prio.backup));
                }
            }
            MptcpOption::Dss(dss) if dss.data_fin && !self.shut => {
                self.shut = true;
                // it may have overtaken data on another subflow, or data that was lost
                acts.extend([Act::Write(self.total), Act::Shutdown]);
            }
            MptcpOption::FastClose(_) if !self.aborted => {
                self.aborted = true;
                acts.push(Act::Abort);
            }
            _ => {}
        }
    }

    fn end(&mut self, segment: &Segment, acts: &mut Vec<Act>) {
        let stream = segment.placed.stream;
        if self.shut || self.aborted || segment.has(RST) || !segment.has(FIN) {
            return;
        }
        if self.plain {
            self.shut = true;
            acts.extend([Act::Write(self.total), Act::Shutdown]);
        } else if self.withdrawn.is_empty() && self.closed.insert(stream) {
            acts.push(Act::CloseSubflow(stream));
        }
    }
}
