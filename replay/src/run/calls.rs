//! The application's and the administrator's calls, made as soon as they are possible.

use super::Run;
use crate::acts::Act;
use mpuser_engine::PmEndpoint;
use mpuser_engine::addr::{AddressId, ConnectionId, SubflowId};
use mpuser_engine::config::EndpointFlags;
use mpuser_engine::error::{SubflowError, WriteError};
use std::net::{IpAddr, SocketAddr};

impl Run<'_> {
    /// Makes the calls that are possible now; true if one was.
    pub(super) fn calls(&mut self) -> bool {
        let mut made = false;
        for _ in 0..self.pending.len() {
            let Some(act) = self.pending.pop_front() else { break };
            if self.call(&act) {
                made = true;
            } else {
                self.pending.push_back(act);
            }
        }
        made
    }

    /// True once it is done, or can never be.
    fn call(&mut self, act: &Act) -> bool {
        let first = self.lanes.first().map(|lane| (lane.engine.ip(), lane.peer));
        if let Act::Connect(early) = act {
            return self.connect(first, *early);
        }
        let Some(id) = self.connection else { return false };
        match act {
            Act::Connect(_) => {}
            Act::Join(stream, backup) => return self.join(id, *stream, *backup),
            Act::Announce { id, address, port } => self.announce(*id, *address, *port),
            Act::Withdraw(ids) => {
                for gone in ids {
                    match (gone.0, first) {
                        (0, Some((address, _))) => {
                            self.endpoint.delete_initial_address(self.now, address);
                        }
                        _ => {
                            let _ = self.endpoint.delete_endpoint(self.now, *gone);
                        }
                    }
                }
            }
            Act::Backup(stream, backup) => {
                let Some(subflow) = self.subflow(*stream) else { return false };
                let _ = self.endpoint.set_backup(self.now, id, subflow, *backup);
            }
            Act::Write(upto) => return self.write(id, *upto),
            Act::Shutdown => {
                if self.pending.iter().any(|act| matches!(act, Act::Write(_))) {
                    return false;
                }
                self.endpoint.shutdown(self.now, id);
            }
            Act::Abort => self.endpoint.abort(self.now, id),
            Act::CloseSubflow(stream) => {
                let Some(subflow) = self.subflow(*stream) else { return false };
                let _ = self.endpoint.close_subflow(self.now, id, subflow);
            }
        }
        true
    }

    fn connect(&mut self, first: Option<(IpAddr, SocketAddr)>, early: usize) -> bool {
        let Some((local, remote)) = first else { return true };
        let config = self.setup.connection.clone();
        let written = &self.applications.written[self.side].bytes;
        let data = written.get(..early).unwrap_or_default();
        match self.endpoint.connect_with_data(self.now, config, Some(local), remote, data) {
            Ok((id, taken)) => {
                self.connection = Some(id);
                self.written = taken;
            }
            Err(error) => {
                self.undone.insert(format!("connect to {remote}: {error:?}"));
            }
        }
        true
    }

    fn join(&mut self, id: ConnectionId, stream: usize, backup: bool) -> bool {
        let lane = self.lanes.iter().find(|lane| lane.stream == Some(stream));
        let Some((local, remote)) = lane.map(|lane| (lane.engine.ip(), lane.peer)) else {
            return true;
        };
        let known = self.endpoint.endpoints().into_iter().find(|e| e.address == local);
        if let Some((known, named)) = known.and_then(|known| Some((known, known.id?)))
            && known.flags.backup != backup
        {
            let flags = EndpointFlags { backup, ..known.flags };
            let _ = self.endpoint.change_endpoint(self.now, named, flags);
        }
        match self.endpoint.open_subflow(self.now, id, local, remote) {
            Ok(_) => true,
            // as long as the connection is not confirmed
            Err(SubflowError::NotJoinable) => false,
            Err(error) => {
                self.undone.insert(format!("subflow {local} > {remote}: {error:?}"));
                true
            }
        }
    }

    fn announce(&mut self, id: AddressId, address: IpAddr, port: Option<u16>) {
        let known = self.endpoint.endpoints().into_iter().find(|e| e.id == Some(id));
        let flags = EndpointFlags {
            signal: true,
            backup: self.setup.backups.contains(&id.0),
            ..EndpointFlags::default()
        };
        let outcome = match known {
            Some(known) if known.address == address && known.port == port => {
                self.endpoint.change_endpoint(self.now, id, flags)
            }
            _ => {
                let wanted = PmEndpoint { address, id: Some(id), port, flags };
                self.endpoint.add_endpoint(self.now, wanted).map(drop)
            }
        };
        if let Err(error) = outcome {
            self.undone.insert(format!("announce {address} as {}: {error:?}", id.0));
        }
    }

    fn write(&mut self, id: ConnectionId, upto: usize) -> bool {
        let all = &self.applications.written[self.side].bytes;
        let Some(left) = all.get(self.written..upto).filter(|left| !left.is_empty()) else {
            return true;
        };
        match self.endpoint.write(self.now, id, left) {
            Ok(taken) => self.written += taken,
            Err(WriteError::WouldBlock) => {}
            Err(_) => return true,
        }
        self.written >= upto
    }

    fn subflow(&self, stream: usize) -> Option<SubflowId> {
        self.lanes.iter().find(|lane| lane.stream == Some(stream))?.subflow
    }
}
