//! What an operator sees of a stack and may change about its interfaces.

use super::{Inner, Stack};
use crate::control::{EventReport, Refusal, Reply, SubflowOrder};
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, SocketAddr, SubflowId};
use mpuser_engine::config::Via;
use mpuser_engine::error::SubflowError;
use mpuser_engine::settings::{Setting, SettingError, Settings};
use mpuser_engine::tcp::FastOpenCookie;
use mpuser_engine::time::Instant;
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use tokio::sync::broadcast;

/// Whether connections may use an interface: `ip link set dev DEV multipath ...` of the v0.9x kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Multipath {
    /// Subflows may use it.
    On,
    /// No subflow uses it: those there are end, and peers are told (REMOVE_ADDR).
    Off,
    /// Its subflows are backups.
    Backup,
}

impl Multipath {
    /// The word a person writes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Backup => "backup",
        }
    }
}

impl std::str::FromStr for Multipath {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let all = [Self::On, Self::Off, Self::Backup];
        let found = all.into_iter().find(|one| one.as_str() == word);
        found.ok_or_else(|| "it must be one of on, off, backup".to_owned())
    }
}

/// A stack that may be gone: what the control socket holds, so that it keeps nothing alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakStack(Weak<super::Handle>);

impl WeakStack {
    pub(crate) fn upgrade(&self) -> Option<Stack> {
        self.0.upgrade().map(|handle| Stack { handle })
    }
}

impl Stack {
    pub(crate) fn downgrade(&self) -> WeakStack {
        WeakStack(Arc::downgrade(&self.handle))
    }

    /// Every connection, the oldest first, those that are closing included.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionId> {
        self.handle.with(|inner, _| inner.endpoint.connections().collect())
    }

    /// A connection's state; `None` once it is closed and forgotten.
    #[must_use]
    pub fn connection_info(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        self.handle.with(|inner, _| inner.endpoint.info(id))
    }

    /// Every address and port listened on, with the connections that wait for `accept` and the most that may.
    #[must_use]
    pub fn listeners(&self) -> Vec<(SocketAddr, usize, usize)> {
        self.handle.with(|inner, _| inner.endpoint.listeners().collect())
    }

    /// The path an address is behind: its name, and the interface of the machine it leaves by.
    #[must_use]
    pub fn path_of(&self, address: IpAddr) -> Option<(String, String)> {
        self.handle.with(|inner, _| {
            let mut owners = inner.paths.iter();
            let owner =
                owners.find(|path| path.addresses.iter().any(|(own, _)| *own == address))?;
            Some((owner.name.clone(), owner.outlet.clone()))
        })
    }

    /// Does what was ordered with a subflow of the connection this end calls by `token`; `None` if there is none.
    pub(crate) fn order_subflow(
        &self,
        token: u32,
        order: SubflowOrder,
    ) -> Option<Result<Option<SubflowId>, SubflowError>> {
        self.handle.with(|inner, now| {
            let id = inner.endpoint.connection_by_token(token)?;
            Some(match order {
                SubflowOrder::Open { local, remote } => {
                    inner.endpoint.open_subflow(now, id, local, remote).map(Some)
                }
                SubflowOrder::Close(subflow) => {
                    inner.endpoint.close_subflow(now, id, SubflowId(subflow)).map(|()| None)
                }
                SubflowOrder::AddVia { remote, local } => {
                    inner.endpoint.add_via(now, id, Via { remote, local }).map(|()| None)
                }
                // made into the one above by who asked
                SubflowOrder::AddStream { .. } => Err(SubflowError::NotFound),
                SubflowOrder::RemoveVia(remote) => {
                    inner.endpoint.remove_via(now, id, remote).map(|()| None)
                }
                SubflowOrder::Backup(subflow, backup) => {
                    let subflow = SubflowId(subflow);
                    inner.endpoint.set_backup(now, id, subflow, backup).map(|()| None)
                }
            })
        })
    }

    /// The settings connections start with now; what was given to `connect` itself is not among them.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let endpoint = self.handle.with(|inner, _| inner.endpoint.config().clone());
        Settings { endpoint, connection: self.handle.connection().clone(), ..Settings::default() }
    }

    /// Changes a setting; [`Setting::reach`] says for whom.
    ///
    /// # Errors
    /// What the value cannot be, or that this setting cannot be changed.
    pub fn change_setting<'a>(
        &self,
        setting: &'static Setting,
        value: &'a str,
    ) -> Result<(), SettingError<'a>> {
        self.handle.with(|inner, _| inner.endpoint.change_setting(setting, value))?;
        let mut connection = self.handle.connection();
        let mut settings = Settings { connection: connection.clone(), ..Settings::default() };
        setting.set(&mut settings, value)?;
        *connection = settings.connection;
        Ok(())
    }

    /// The Fast Open cookie a server gave, and its MSS.
    #[must_use]
    pub fn fast_open_cookie(&self, server: IpAddr) -> Option<(FastOpenCookie, u16)> {
        self.handle.with(|inner, _| inner.endpoint.fast_open_cookie(server))
    }

    /// Takes over a cookie that another stack was given.
    pub fn set_fast_open_cookie(&self, server: IpAddr, cookie: (FastOpenCookie, u16)) {
        self.handle.with(|inner, now| inner.endpoint.set_fast_open_cookie(now, server, cookie));
    }

    /// Does what a line of `ip mptcp` says: `endpoint ...` or `limits ...`, without the first two words.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn ip_mptcp(&self, line: &str) -> Result<Vec<Reply>, Refusal> {
        crate::control::ip_mptcp(self, line)
    }

    /// What happens to any connection from now on, in the words of `ip mptcp monitor`.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<EventReport> {
        self.handle.with(|inner, _| inner.feed.subscribe())
    }

    /// Lets connections use the paths that leave by `interface`, keeps them from it, or makes it a backup; also those
    /// that are added later. Returns how many paths that are now.
    pub fn set_multipath(&self, interface: &str, state: Multipath) -> usize {
        self.handle.with(|inner, now| {
            inner.multipath.insert(interface.to_owned(), state);
            let numbers: Vec<InterfaceId> = inner.paths_by(interface);
            numbers.iter().for_each(|number| inner.settle_path(now, *number));
            numbers.len()
        })
    }

    /// The interface a path leaves by went away, or came back: its subflows end, or are opened anew.
    pub fn set_present(&self, path: InterfaceId, present: bool) {
        self.handle.with(|inner, now| {
            if let Some(path) = inner.paths.get(usize::from(path.0)) {
                path.present.store(present, Ordering::Relaxed);
            }
            inner.settle_path(now, path);
        });
    }
}

impl Inner {
    fn paths_by(&self, interface: &str) -> Vec<InterfaceId> {
        let all = self.paths.iter().zip(0_u16..);
        all.filter(|(path, _)| path.outlet == interface || path.carriage.name() == interface)
            .map(|(_, number)| InterfaceId(number))
            .collect()
    }

    /// Gives the engine the addresses of a path that may be used, and takes those of one that may not.
    pub(crate) fn settle_path(&mut self, now: Instant, number: InterfaceId) {
        let Some(path) = self.paths.get(usize::from(number.0)).map(Arc::clone) else { return };
        let said =
            self.multipath.get(&path.outlet).or_else(|| self.multipath.get(path.carriage.name()));
        let state = said.copied().unwrap_or(Multipath::On);
        let usable = state != Multipath::Off && path.present.load(Ordering::Relaxed);
        for (address, backup) in path.addresses.iter().copied() {
            let known = self.endpoint.addresses().iter().find(|known| known.address == address);
            let before = known.map(|known| known.backup);
            if !usable {
                if before.is_some() {
                    self.endpoint.remove_address(now, address);
                }
                continue;
            }
            let backup = backup || state == Multipath::Backup;
            let local = path.local(number, address, backup);
            self.endpoint.add_address(now, local);
            if before.is_some_and(|before| before != backup) {
                self.set_backup_from(now, address, backup);
            }
        }
    }

    /// Subflows from an address become backups, or are no longer (MP_PRIO, RFC 8684 3.3.8).
    fn set_backup_from(&mut self, now: Instant, address: IpAddr, backup: bool) {
        let connections: Vec<ConnectionId> = self.endpoint.connections().collect();
        for id in connections {
            let Some(info) = self.endpoint.info(id) else { continue };
            let of_address = |subflow: &&SubflowInfo| {
                subflow.tuple.local.ip() == address && subflow.state != "CLOSED"
            };
            for subflow in info.subflows.iter().filter(of_address) {
                // one that ends meanwhile needs no priority
                let _ = self.endpoint.set_backup(now, id, subflow.id, backup);
            }
        }
    }
}
