//! The lines of a log.

use crate::digest::{hex, unhex};
use crate::settings::{ConnectionDef, EndpointDef};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, EndpointFlags};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::net::{IpAddr, SocketAddr};

/// The version of the format. A log of another version is refused: the engine has changed with it.
pub const FORMAT: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub mpuser_record: u32,
    /// The version of the program that wrote it.
    pub version: String,
    pub(crate) seed: Octets,
    #[serde(with = "EndpointDef")]
    pub(crate) config: EndpointConfig,
}

/// Octets as hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Octets(pub(crate) Vec<u8>);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        unhex(&text).map(Self).ok_or_else(|| de::Error::custom("octets are pairs of hex digits"))
    }
}

/// Settings of a connection.
#[derive(Serialize, Deserialize)]
pub(crate) struct Connection(#[serde(with = "ConnectionDef")] pub(crate) ConnectionConfig);

/// Flags of an endpoint of the path manager.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Flags {
    signal: bool,
    subflow: bool,
    backup: bool,
    fullmesh: bool,
}

impl From<EndpointFlags> for Flags {
    fn from(flags: EndpointFlags) -> Self {
        let EndpointFlags { signal, subflow, backup, fullmesh } = flags;
        Self { signal, subflow, backup, fullmesh }
    }
}

impl From<Flags> for EndpointFlags {
    fn from(flags: Flags) -> Self {
        let Flags { signal, subflow, backup, fullmesh } = flags;
        Self { signal, subflow, backup, fullmesh }
    }
}

/// A line behind the first.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    /// Nanoseconds of the engine's time.
    pub(crate) t: u64,
    #[serde(flatten)]
    pub(crate) entry: Entry,
}

const fn is_false(value: &bool) -> bool {
    !*value
}

/// A call, or what came of one.
#[derive(Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A packet came.
    Packet {
        interface: u16,
        /// The device has found its checksum right.
        #[serde(default, skip_serializing_if = "is_false")]
        verified: bool,
        data: Octets,
    },
    /// Timers were looked at.
    Timeout,
    /// The endpoint was asked for a packet and had this one.
    Sent {
        interface: u16,
        headers: Octets,
        payload: usize,
        sum: u64,
    },
    /// It was asked and had none.
    Idle,
    /// It was asked for events and had so many.
    Events {
        count: u64,
    },
    AddAddress {
        address: IpAddr,
        interface: u16,
        mtu: u16,
        backup: bool,
        checksum_offload: bool,
        /// Older logs know none.
        #[serde(default)]
        max_payload: u32,
    },
    RemoveAddress {
        address: IpAddr,
    },
    SetCarrier {
        interface: u16,
    },
    Grant {
        local: SocketAddr,
        remote: SocketAddr,
        octets: u32,
    },
    CarrierEnded {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Connect {
        config: Box<Connection>,
        local: Option<IpAddr>,
        remote: SocketAddr,
        data: Octets,
    },
    Listen {
        config: Box<Connection>,
        local: SocketAddr,
        backlog: usize,
    },
    Unlisten {
        listener: u32,
    },
    Accept {
        listener: u32,
    },
    Intercept {
        config: Box<Connection>,
        interface: u16,
        limit: usize,
    },
    StopIntercepting {
        interface: u16,
    },
    NextRequest {
        interface: u16,
    },
    LetIn {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Refuse {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Ignore {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Read {
        id: u64,
        octets: usize,
    },
    Write {
        id: u64,
        /// The octets were handed over, not copied.
        #[serde(default, skip_serializing_if = "is_false")]
        shared: bool,
        data: Octets,
    },
    Shutdown {
        id: u64,
    },
    Close {
        id: u64,
    },
    Abort {
        id: u64,
    },
    AddEndpoint {
        address: IpAddr,
        id: Option<u8>,
        port: Option<u16>,
        flags: Flags,
    },
    DeleteEndpoint {
        id: u8,
    },
    DeleteInitialAddress {
        address: IpAddr,
    },
    FlushEndpoints,
    ChangeEndpoint {
        id: u8,
        flags: Flags,
    },
    SetLimits {
        subflows: usize,
        add_addr_accepted: usize,
    },
    OpenSubflow {
        id: u64,
        local: IpAddr,
        remote: SocketAddr,
    },
    CloseSubflow {
        id: u64,
        subflow: u32,
    },
    AddVia {
        id: u64,
        remote: SocketAddr,
        local: Option<IpAddr>,
    },
    RelocateVia {
        id: u64,
        remote: SocketAddr,
        local: IpAddr,
    },
    RemoveVia {
        id: u64,
        remote: SocketAddr,
    },
    SetBackup {
        id: u64,
        subflow: u32,
        backup: bool,
    },
    ChangeSetting {
        name: String,
        value: String,
    },
    FastOpenCookie {
        server: IpAddr,
    },
    SetFastOpenCookie {
        server: IpAddr,
        cookie: Octets,
        mss: u16,
    },
    /// There was no room for more.
    Full,
    /// The end, with a digest of every packet sent.
    End {
        packets: u64,
        digest: String,
    },
}
