//! An endpoint whose calls are written down.

use crate::entry::{Connection, Entry, Octets};
use crate::recorder::Recorder;
use bytes::Bytes;
use mpuser_engine::addr::{AddressId, ConnectionId, FourTuple, InterfaceId, ListenerId, SubflowId};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, EndpointFlags, Limits, Via};
use mpuser_engine::error::{
    ConnectError, ListenError, PmError, ReadError, SubflowError, WriteError,
};
use mpuser_engine::settings::{Setting, SettingError};
use mpuser_engine::time::Instant;
use mpuser_engine::wire::FastOpenCookie;
use mpuser_engine::{Endpoint, Event, LocalAddress, PmEndpoint, Request, Transmit};
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

/// An [`Endpoint`], and a log of what is done to it if one is wanted. What only looks is the endpoint's; what changes
/// something has its name and meaning, so that nothing goes past the log.
#[derive(Debug)]
pub struct Recorded {
    endpoint: Endpoint,
    recorder: Option<Recorder>,
    /// Events fetched since the last line about them.
    events: u64,
}

impl Deref for Recorded {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Recorded {
    /// As [`Endpoint::new`].
    #[must_use]
    pub fn new(config: EndpointConfig, seed: [u8; 32], mut recorder: Option<Recorder>) -> Self {
        if let Some(recorder) = &mut recorder {
            recorder.header(&config, seed);
        }
        Self { endpoint: Endpoint::new(config, seed), recorder, events: 0 }
    }

    /// The log.
    #[must_use]
    pub const fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Ends the log.
    pub fn finish_recording(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.finish();
        }
    }

    fn note(&mut self, now: Instant, entry: impl FnOnce() -> Entry) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(now, entry());
        }
    }

    fn note_again(&mut self, entry: impl FnOnce() -> Entry) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note_again(entry());
        }
    }

    /// As [`Endpoint::handle_packet`].
    pub fn handle_packet(&mut self, now: Instant, interface: InterfaceId, packet: Bytes) {
        self.handle_received(now, interface, packet, false);
    }

    /// As [`Endpoint::handle_received`].
    pub fn handle_received(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: Bytes,
        verified: bool,
    ) {
        self.note(now, || {
            let data = Octets(packet.to_vec());
            Entry::Packet { interface: interface.0, verified, data }
        });
        self.endpoint.handle_received(now, interface, packet, verified);
    }

    /// As [`Endpoint::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.note(now, || Entry::Timeout);
        self.endpoint.handle_timeout(now);
    }

    /// As [`Endpoint::poll_transmit`].
    pub fn poll_transmit(&mut self, now: Instant, headers: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.endpoint.poll_transmit(now, headers);
        if let Some(recorder) = &mut self.recorder {
            match &transmit {
                Some(sent) => recorder.sent(now, sent.interface.0, headers, &sent.payload),
                None => recorder.note(now, Entry::Idle),
            }
        }
        transmit
    }

    /// As [`Endpoint::poll_event`].
    pub fn poll_event(&mut self) -> Option<(ConnectionId, Event)> {
        let event = self.endpoint.poll_event();
        self.events += u64::from(event.is_some());
        if event.is_none() {
            let count = std::mem::take(&mut self.events);
            self.note_again(|| Entry::Events { count });
        }
        event
    }

    /// As [`Endpoint::connect_with_data`].
    ///
    /// # Errors
    /// As there.
    pub fn connect_with_data(
        &mut self,
        now: Instant,
        config: ConnectionConfig,
        local: Option<IpAddr>,
        remote: SocketAddr,
        data: &[u8],
    ) -> Result<(ConnectionId, usize), ConnectError> {
        self.note(now, || Entry::Connect {
            config: Box::new(Connection(config.clone())),
            local,
            remote,
            data: Octets(data.to_vec()),
        });
        self.endpoint.connect_with_data(now, config, local, remote, data)
    }

    /// As [`Endpoint::listen`].
    ///
    /// # Errors
    /// As there.
    pub fn listen(
        &mut self,
        config: ConnectionConfig,
        local: SocketAddr,
        backlog: usize,
    ) -> Result<ListenerId, ListenError> {
        let recorded = self.recorder.is_some().then(|| Box::new(Connection(config.clone())));
        let outcome = self.endpoint.listen(config, local, backlog);
        if let (Ok(_), Some(config)) = (&outcome, recorded) {
            self.note_again(|| Entry::Listen { config, local, backlog });
        }
        outcome
    }

    /// As [`Endpoint::unlisten`].
    pub fn unlisten(&mut self, now: Instant, listener: ListenerId) {
        self.note(now, || Entry::Unlisten { listener: listener.0 });
        self.endpoint.unlisten(now, listener);
    }

    /// As [`Endpoint::accept`].
    pub fn accept(&mut self, listener: ListenerId) -> Option<ConnectionId> {
        let accepted = self.endpoint.accept(listener);
        if accepted.is_some() {
            self.note_again(|| Entry::Accept { listener: listener.0 });
        }
        accepted
    }

    /// As [`Endpoint::intercept`].
    ///
    /// # Errors
    /// As there.
    pub fn intercept(
        &mut self,
        config: ConnectionConfig,
        interface: InterfaceId,
        limit: usize,
    ) -> Result<(), ListenError> {
        let recorded = self.recorder.is_some().then(|| Box::new(Connection(config.clone())));
        let outcome = self.endpoint.intercept(config, interface, limit);
        if let (Ok(()), Some(config)) = (&outcome, recorded) {
            self.note_again(|| Entry::Intercept { config, interface: interface.0, limit });
        }
        outcome
    }

    /// As [`Endpoint::stop_intercepting`].
    pub fn stop_intercepting(&mut self, interface: InterfaceId) {
        self.note_again(|| Entry::StopIntercepting { interface: interface.0 });
        self.endpoint.stop_intercepting(interface);
    }

    /// As [`Endpoint::next_request`].
    pub fn next_request(&mut self, interface: InterfaceId) -> Option<Request> {
        let request = self.endpoint.next_request(interface);
        if request.is_some() {
            self.note_again(|| Entry::NextRequest { interface: interface.0 });
        }
        request
    }

    /// As [`Endpoint::let_in`].
    pub fn let_in(&mut self, now: Instant, tuple: &FourTuple) -> Option<ConnectionId> {
        let FourTuple { local, remote } = *tuple;
        self.note(now, || Entry::LetIn { local, remote });
        self.endpoint.let_in(now, tuple)
    }

    /// As [`Endpoint::refuse`].
    pub fn refuse(&mut self, now: Instant, tuple: &FourTuple) {
        let FourTuple { local, remote } = *tuple;
        self.note(now, || Entry::Refuse { local, remote });
        self.endpoint.refuse(now, tuple);
    }

    /// As [`Endpoint::ignore`].
    pub fn ignore(&mut self, tuple: &FourTuple) {
        let FourTuple { local, remote } = *tuple;
        self.note_again(|| Entry::Ignore { local, remote });
        self.endpoint.ignore(tuple);
    }

    /// As [`Endpoint::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(
        &mut self,
        now: Instant,
        id: ConnectionId,
        buf: &mut [u8],
    ) -> Result<usize, ReadError> {
        let outcome = self.endpoint.read(now, id, buf);
        if let Ok(octets) = outcome {
            self.note(now, || Entry::Read { id: id.0, octets });
        }
        outcome
    }

    /// As [`Endpoint::read_chunk`].
    ///
    /// # Errors
    /// As there.
    pub fn read_chunk(
        &mut self,
        now: Instant,
        id: ConnectionId,
        max: usize,
    ) -> Result<Bytes, ReadError> {
        let outcome = self.endpoint.read_chunk(now, id, max);
        if let Ok(piece) = &outcome {
            self.note(now, || Entry::Read { id: id.0, octets: piece.len() });
        }
        outcome
    }

    /// As [`Endpoint::write`].
    ///
    /// # Errors
    /// As there.
    pub fn write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: &[u8],
    ) -> Result<usize, WriteError> {
        let outcome = self.endpoint.write(now, id, data);
        self.note_write(now, id, &outcome, (data, false));
        outcome
    }

    /// As [`Endpoint::write_bytes`].
    ///
    /// # Errors
    /// As there.
    pub fn write_bytes(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: &Bytes,
    ) -> Result<usize, WriteError> {
        let outcome = self.endpoint.write_bytes(now, id, data.clone());
        self.note_write(now, id, &outcome, (data, true));
        outcome
    }

    fn note_write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        outcome: &Result<usize, WriteError>,
        (data, shared): (&[u8], bool),
    ) {
        let told = match outcome {
            Ok(_) => data,
            // The connection remembers that somebody waits for room, however much of it was asked for.
            Err(WriteError::WouldBlock) => data.get(..1).unwrap_or_default(),
            Err(_) => return,
        };
        self.note(now, || Entry::Write { id: id.0, shared, data: Octets(told.to_vec()) });
    }

    /// As [`Endpoint::shutdown`].
    pub fn shutdown(&mut self, now: Instant, id: ConnectionId) {
        self.note(now, || Entry::Shutdown { id: id.0 });
        self.endpoint.shutdown(now, id);
    }

    /// As [`Endpoint::close`].
    pub fn close(&mut self, now: Instant, id: ConnectionId) {
        self.note(now, || Entry::Close { id: id.0 });
        self.endpoint.close(now, id);
    }

    /// As [`Endpoint::abort`].
    pub fn abort(&mut self, now: Instant, id: ConnectionId) {
        self.note(now, || Entry::Abort { id: id.0 });
        self.endpoint.abort(now, id);
    }

    /// As [`Endpoint::add_address`].
    pub fn add_address(&mut self, now: Instant, address: LocalAddress) -> AddressId {
        self.note(now, || Entry::AddAddress {
            address: address.address,
            interface: address.interface.0,
            mtu: address.mtu,
            backup: address.backup,
            checksum_offload: address.checksum_offload,
            max_payload: address.max_payload,
        });
        self.endpoint.add_address(now, address)
    }

    /// As [`Endpoint::remove_address`].
    pub fn remove_address(&mut self, now: Instant, address: IpAddr) {
        self.note(now, || Entry::RemoveAddress { address });
        self.endpoint.remove_address(now, address);
    }

    /// As [`Endpoint::set_carrier`].
    pub fn set_carrier(&mut self, interface: InterfaceId) {
        self.note_again(|| Entry::SetCarrier { interface: interface.0 });
        self.endpoint.set_carrier(interface);
    }

    /// As [`Endpoint::grant`].
    pub fn grant(&mut self, now: Instant, tuple: &FourTuple, octets: u32) {
        let FourTuple { local, remote } = *tuple;
        self.note(now, || Entry::Grant { local, remote, octets });
        self.endpoint.grant(now, tuple, octets);
    }

    /// As [`Endpoint::carrier_ended`].
    pub fn carrier_ended(&mut self, now: Instant, tuple: &FourTuple) {
        let FourTuple { local, remote } = *tuple;
        self.note(now, || Entry::CarrierEnded { local, remote });
        self.endpoint.carrier_ended(now, tuple);
    }

    /// As [`Endpoint::add_endpoint`].
    ///
    /// # Errors
    /// As there.
    pub fn add_endpoint(
        &mut self,
        now: Instant,
        endpoint: PmEndpoint,
    ) -> Result<AddressId, PmError> {
        let PmEndpoint { address, id, port, flags } = endpoint;
        let id = id.map(|id| id.0);
        self.note(now, || Entry::AddEndpoint { address, id, port, flags: flags.into() });
        self.endpoint.add_endpoint(now, endpoint)
    }

    /// As [`Endpoint::delete_endpoint`].
    ///
    /// # Errors
    /// As there.
    pub fn delete_endpoint(&mut self, now: Instant, id: AddressId) -> Result<(), PmError> {
        self.note(now, || Entry::DeleteEndpoint { id: id.0 });
        self.endpoint.delete_endpoint(now, id)
    }

    /// As [`Endpoint::delete_initial_address`].
    pub fn delete_initial_address(&mut self, now: Instant, address: IpAddr) {
        self.note(now, || Entry::DeleteInitialAddress { address });
        self.endpoint.delete_initial_address(now, address);
    }

    /// As [`Endpoint::flush_endpoints`].
    pub fn flush_endpoints(&mut self, now: Instant) {
        self.note(now, || Entry::FlushEndpoints);
        self.endpoint.flush_endpoints(now);
    }

    /// As [`Endpoint::change_endpoint`].
    ///
    /// # Errors
    /// As there.
    pub fn change_endpoint(
        &mut self,
        now: Instant,
        id: AddressId,
        flags: EndpointFlags,
    ) -> Result<(), PmError> {
        self.note(now, || Entry::ChangeEndpoint { id: id.0, flags: flags.into() });
        self.endpoint.change_endpoint(now, id, flags)
    }

    /// As [`Endpoint::set_limits`].
    pub fn set_limits(&mut self, now: Instant, limits: Limits) {
        let Limits { subflows, add_addr_accepted } = limits;
        self.note(now, || Entry::SetLimits { subflows, add_addr_accepted });
        self.endpoint.set_limits(now, limits);
    }

    /// As [`Endpoint::open_subflow`].
    ///
    /// # Errors
    /// As there.
    pub fn open_subflow(
        &mut self,
        now: Instant,
        id: ConnectionId,
        local: IpAddr,
        remote: SocketAddr,
    ) -> Result<SubflowId, SubflowError> {
        self.note(now, || Entry::OpenSubflow { id: id.0, local, remote });
        self.endpoint.open_subflow(now, id, local, remote)
    }

    /// As [`Endpoint::close_subflow`].
    ///
    /// # Errors
    /// As there.
    pub fn close_subflow(
        &mut self,
        now: Instant,
        id: ConnectionId,
        subflow: SubflowId,
    ) -> Result<(), SubflowError> {
        self.note(now, || Entry::CloseSubflow { id: id.0, subflow: subflow.0 });
        self.endpoint.close_subflow(now, id, subflow)
    }

    /// As [`Endpoint::add_via`].
    ///
    /// # Errors
    /// As there.
    pub fn add_via(
        &mut self,
        now: Instant,
        id: ConnectionId,
        via: Via,
    ) -> Result<(), SubflowError> {
        let Via { remote, local } = via;
        self.note(now, || Entry::AddVia { id: id.0, remote, local });
        self.endpoint.add_via(now, id, via)
    }

    /// As [`Endpoint::relocate_via`].
    ///
    /// # Errors
    /// As there.
    pub fn relocate_via(
        &mut self,
        now: Instant,
        id: ConnectionId,
        remote: SocketAddr,
        local: IpAddr,
    ) -> Result<(), SubflowError> {
        self.note(now, || Entry::RelocateVia { id: id.0, remote, local });
        self.endpoint.relocate_via(now, id, remote, local)
    }

    /// As [`Endpoint::remove_via`].
    ///
    /// # Errors
    /// As there.
    pub fn remove_via(
        &mut self,
        now: Instant,
        id: ConnectionId,
        remote: SocketAddr,
    ) -> Result<(), SubflowError> {
        self.note(now, || Entry::RemoveVia { id: id.0, remote });
        self.endpoint.remove_via(now, id, remote)
    }

    /// As [`Endpoint::set_backup`].
    ///
    /// # Errors
    /// As there.
    pub fn set_backup(
        &mut self,
        now: Instant,
        id: ConnectionId,
        subflow: SubflowId,
        backup: bool,
    ) -> Result<(), SubflowError> {
        self.note(now, || Entry::SetBackup { id: id.0, subflow: subflow.0, backup });
        self.endpoint.set_backup(now, id, subflow, backup)
    }

    /// As [`Endpoint::change_setting`].
    ///
    /// # Errors
    /// As there.
    pub fn change_setting<'a>(
        &mut self,
        setting: &'static Setting,
        value: &'a str,
    ) -> Result<(), SettingError<'a>> {
        let (name, text) = (setting.name, value);
        self.note_again(|| Entry::ChangeSetting { name: name.to_owned(), value: text.to_owned() });
        self.endpoint.change_setting(setting, value)
    }

    /// As [`Endpoint::fast_open_cookie`].
    pub fn fast_open_cookie(&mut self, server: IpAddr) -> Option<(FastOpenCookie, u16)> {
        // it is used, so it is not the one to be forgotten
        self.note_again(|| Entry::FastOpenCookie { server });
        self.endpoint.fast_open_cookie(server)
    }

    /// As [`Endpoint::set_fast_open_cookie`].
    pub fn set_fast_open_cookie(
        &mut self,
        now: Instant,
        server: IpAddr,
        (cookie, mss): (FastOpenCookie, u16),
    ) {
        let octets = || Octets(cookie.as_slice().to_vec());
        self.note(now, || Entry::SetFastOpenCookie { server, cookie: octets(), mss });
        self.endpoint.set_fast_open_cookie(now, server, (cookie, mss));
    }
}
