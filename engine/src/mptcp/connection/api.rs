//! The application's side.

use super::{Connection, Mode};
use crate::addr::AddressId;
use crate::endpoint::{ConnectionInfo, ReceiveStats};
use crate::error::{ConnectionError, ReadError, WriteError};
use crate::mptcp::send_queue::SendQueue;
use crate::mptcp::subflow::Subflow;
use crate::scheduling::SchedulerEvent;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use bytes::Bytes;

impl Connection {
    /// Reads in-order data; `Ok(0)` is the end.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        self.readable()?;
        Ok(self.recv.read(buf))
    }

    /// Reads in-order data as one piece; empty is the end.
    pub(crate) fn read_chunk(&mut self, max: usize) -> Result<Bytes, ReadError> {
        self.readable()?;
        Ok(self.recv.read_chunk(max))
    }

    fn readable(&self) -> Result<(), ReadError> {
        if self.recv.is_readable() || self.recv.is_at_end() {
            return Ok(());
        }
        match self.error {
            Some(error) => Err(ReadError::Closed(error)),
            None if self.finished => Ok(()),
            None => Err(ReadError::WouldBlock),
        }
    }

    /// Queues data; returns how much was taken.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        self.write_with(data.len(), |queue| queue.write(data))
    }

    /// [`Self::write`] without copying.
    pub(crate) fn write_bytes(&mut self, data: Bytes) -> Result<usize, WriteError> {
        self.write_with(data.len(), |queue| queue.write_bytes(data))
    }

    fn write_with(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut SendQueue) -> usize,
    ) -> Result<usize, WriteError> {
        if let Some(error) = self.error {
            return Err(WriteError::Closed(error));
        }
        if self.close.is_requested() {
            return Err(WriteError::Shutdown);
        }
        if self.finished {
            return Err(WriteError::Closed(ConnectionError::Reset));
        }
        if len == 0 {
            return Ok(0);
        }
        self.tune_send();
        let taken = write(&mut self.send);
        self.cut_short = taken < len;
        match taken {
            0 => {
                self.write_blocked = true;
                Err(WriteError::WouldBlock)
            }
            taken => {
                self.scheduling.note(SchedulerEvent::Written(taken as u64));
                self.offer_syn_data();
                Ok(taken)
            }
        }
    }

    /// Ends the sending direction after everything written (DATA_FIN, or FIN in plain TCP).
    pub(crate) fn shutdown(&mut self) {
        self.close.request();
    }

    /// The application lets go: both directions are closed, for as long as `close_timeout` allows.
    pub(crate) fn release(&mut self, now: Instant) {
        self.released = true;
        if self.finished {
            return;
        }
        if !self.is_open() || self.recv.is_readable() {
            // Nobody will read what is there, or there is no connection yet.
            return self.abort(now);
        }
        self.close.request();
        self.timers.give_up = Some(now + self.config.close_timeout);
    }

    /// Addresses of this end, beside the first, that live subflows of its own opening use.
    fn local_addresses_used(&self) -> usize {
        let ours = |s: &&Subflow| s.join.is_some() && s.tcp.is_active_open() && s.is_alive();
        let mut ids: Vec<AddressId> =
            self.subflows.iter().filter(ours).map(|s| s.local_id).collect();
        ids.retain(|id| *id != AddressId(0));
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }

    /// Octets [`Self::write`] would take.
    pub(crate) fn send_room(&self) -> usize {
        if self.close.is_requested() { 0 } else { self.send.room() }
    }

    pub(crate) const fn receive_stats(&self) -> ReceiveStats {
        self.recv.arrivals.stats()
    }

    pub(crate) fn keep_waits(&mut self) {
        self.recv.arrivals.keep_times();
    }

    pub(crate) fn take_waits(&mut self, out: &mut Vec<(Duration, u64)>) {
        self.recv.arrivals.take_waits(out);
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        let fallback = match self.mode {
            Mode::Tcp(reason) => Some(reason),
            Mode::Offered | Mode::Mptcp => None,
        };
        let mut subflows = self.ended.clone();
        subflows.extend(self.subflows.iter().map(Subflow::info));
        subflows.sort_by_key(|s| s.id);
        let (add_addr_signal, add_addr_accepted) = self.paths.announced();
        ConnectionInfo {
            mptcp: self.is_mptcp(),
            fallback,
            error: self.error,
            client: self.client,
            token: (self.own.token.0, self.peer.map_or(0, |p| p.facts.token.0)),
            csum_enabled: self.is_mptcp() && self.checksum,
            add_addr_signal,
            add_addr_accepted,
            state: if self.finished { "CLOSED" } else { self.close.state().as_str() },
            write_seq: (self.send_base() + self.send.end()).0,
            snd_una: (self.send_base() + self.send.una()).0,
            rcv_nxt: (self.recv_base() + self.recv.ack_offset()).0,
            bytes_sent: self.bytes_sent,
            bytes_received: self.recv.received() + self.fast_open.received,
            bytes_acked: self.send.una() + self.fast_open.sent,
            bytes_retrans: self.bytes_retrans,
            recv_queue: self.recv.readable_bytes(),
            receive_buffer: self.tuning.capacity() as u64,
            send_buffer: self.send.capacity(),
            subflows_max: self.config.max_extra_subflows.min(self.limits.subflows),
            // Only the endpoint knows those.
            add_addr_signal_max: 0,
            local_addr_max: 0,
            add_addr_accepted_max: self.limits.add_addr_accepted,
            local_addr_used: self.local_addresses_used(),
            retransmits: self.timers.retransmit_backoff,
            last_data_sent: self.last.data_sent,
            last_data_recv: self.last.data_recv,
            last_ack_recv: self.last.ack_recv,
            fast_open: self.fast_open.outcome(),
            scheduler: self.scheduling.info(),
            subflows,
        }
    }
}
