//! The layers and their fields: one table for the parser, the printer, the builders and the help.

use crate::layer::{Layer, Stack};
use crate::value::{Form, Literal};
use Form::{Address, Dec, Flags, Hex, List, Octets, Text, V4, V6};
use std::ops::Div;

/// Where a layer stands in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The IP header: first, once.
    Network,
    /// The TCP header: once.
    Transport,
    /// An option of TCP.
    Option,
    /// What the packet carries: last, once.
    Payload,
}

/// A field of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name, as RFC and scapy have it.
    pub name: &'static str,
    /// What it holds.
    pub form: Form,
    /// Not on the wire: something other fields are computed from.
    pub input: bool,
    about: &'static str,
}

impl FieldSpec {
    /// What it is, on one line.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }
}

/// A kind of layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerSpec {
    /// Which.
    pub kind: Kind,
    /// As it is written.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// Its fields. A value without a name is the first one's, the next one's, ...
    pub fields: &'static [FieldSpec],
    about: &'static str,
}

impl LayerSpec {
    /// What it is, on one line.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }

    /// The place of a field in the table.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

macro_rules! is_input {
    () => {
        false
    };
    (input) => {
        true
    };
}

macro_rules! layers {
    ($(
        #[doc = $about:literal]
        $kind:ident $name:literal $place:ident $maker:ident($($argument:ident),*) {
            $(#[doc = $field_about:literal] $field:ident: $form:expr $(, $input:ident)?;)*
        }
    )*) => {
        /// The layers there are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = $about] $kind,)*
        }

        /// All layers, in the order of [`Kind`].
        pub const SPECS: &[LayerSpec] = &[$(LayerSpec {
            kind: Kind::$kind,
            name: $name,
            place: Place::$place,
            fields: &[$(FieldSpec {
                name: stringify!($field),
                form: $form,
                input: is_input!($($input)?),
                about: $field_about,
            },)*],
            about: $about,
        },)*];

        $(
            #[doc = $about]
            #[derive(Clone, Debug, PartialEq, Eq)]
            #[must_use]
            pub struct $kind(pub(crate) Layer);

            #[doc = $about]
            pub fn $maker($($argument: impl Into<Literal>),*) -> $kind {
                $kind(Layer::new(Kind::$kind)$(.with(stringify!($argument), $argument))*)
            }

            #[allow(non_snake_case, reason = "the letters of RFC 8684 are both A and a")]
            #[allow(clippy::allow_attributes, reason = "not every layer has such letters")]
            impl $kind {
                $(
                    #[doc = $field_about]
                    pub fn $field(self, value: impl Into<Literal>) -> Self {
                        Self(self.0.with(stringify!($field), value))
                    }
                )*
            }

            impl From<$kind> for Layer {
                fn from(layer: $kind) -> Self {
                    layer.0
                }
            }

            impl From<$kind> for Stack {
                fn from(layer: $kind) -> Self {
                    layer.0.into()
                }
            }

            impl<T: Into<Stack>> Div<T> for $kind {
                type Output = Stack;

                fn div(self, next: T) -> Stack {
                    Stack::from(self.0) / next
                }
            }
        )*
    };
}

impl Kind {
    /// Its row in the table.
    #[must_use]
    pub const fn spec(self) -> &'static LayerSpec {
        &SPECS[self as usize]
    }

    /// By the name it is written with; capitals do not matter.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        SPECS.iter().find(|spec| spec.name.eq_ignore_ascii_case(name)).map(|spec| spec.kind)
    }

    /// An MPTCP option.
    #[must_use]
    pub fn is_mptcp(self) -> bool {
        self.spec().field("subtype").is_some()
    }
}

layers! {
    /// The IPv4 header (RFC 791)
    Ip "IP" Network ip(src, dst) {
        /// Where it comes from
        src: V4;
        /// Where it goes
        dst: V4;
        /// 4
        version: Dec(4);
        /// Length of the header in words of 32 bits
        ihl: Dec(4);
        /// Type of service
        tos: Hex(8);
        /// Length of the packet, octets
        len: Dec(16);
        /// Identification
        id: Dec(16);
        /// Flags: 2 is "do not fragment"
        flags: Dec(3);
        /// Place of the fragment, in eight octets
        frag: Dec(13);
        /// Time to live
        ttl: Dec(8);
        /// What follows: 6 is TCP
        proto: Dec(8);
        /// Checksum of the header
        chksum: Hex(16);
    }
    /// The IPv6 header (RFC 8200)
    Ipv6 "IPv6" Network ipv6(src, dst) {
        /// Where it comes from
        src: V6;
        /// Where it goes
        dst: V6;
        /// 6
        version: Dec(4);
        /// Traffic class
        tc: Hex(8);
        /// Flow label
        fl: Hex(20);
        /// Length of what follows, octets
        plen: Dec(16);
        /// What follows: 6 is TCP
        nh: Dec(8);
        /// Hop limit
        hlim: Dec(8);
    }
    /// The TCP header (RFC 9293 3.1)
    Tcp "TCP" Transport tcp(sport, dport) {
        /// Source port
        sport: Dec(16);
        /// Destination port
        dport: Dec(16);
        /// Sequence number
        seq: Dec(32);
        /// Acknowledgement number
        ack: Dec(32);
        /// Length of the header in words of 32 bits
        dataofs: Dec(4);
        /// The three bits between data offset and control bits
        reserved: Dec(3);
        /// Control bits
        flags: Flags;
        /// Window, not scaled
        window: Dec(16);
        /// Checksum
        chksum: Hex(16);
        /// Urgent pointer
        urgptr: Dec(16);
    }
    /// End of option list
    Eol "EOL" Option eol() {
    }
    /// No operation
    Nop "NOP" Option nop() {
    }
    /// Maximum segment size (RFC 9293 3.7.1)
    Mss "MSS" Option mss(mss) {
        /// Octets of data in a segment
        mss: Dec(16);
        /// Length of the option
        len: Dec(8);
    }
    /// Window scale (RFC 7323 2)
    WindowScale "WS" Option ws(shift) {
        /// By how many bits
        shift: Dec(8);
        /// Length of the option
        len: Dec(8);
    }
    /// SACK permitted (RFC 2018 2)
    SackPermitted "SACKOK" Option sackok() {
        /// Length of the option
        len: Dec(8);
    }
    /// SACK (RFC 2018 3)
    Sack "SACK" Option sack(edges) {
        /// Left and right edges by turns
        edges: List(32);
        /// Length of the option
        len: Dec(8);
    }
    /// Timestamps (RFC 7323 3)
    Timestamps "TS" Option ts(val, ecr) {
        /// TSval
        val: Dec(32);
        /// TSecr
        ecr: Dec(32);
        /// Length of the option
        len: Dec(8);
    }
    /// A Fast Open cookie, or with none the request for one (RFC 7413)
    FastOpen "TFO" Option tfo(cookie) {
        /// The cookie
        cookie: Octets;
        /// Length of the option
        len: Dec(8);
    }
    /// Any TCP option by its kind
    Opt "OPT" Option opt(kind, data) {
        /// Kind
        kind: Dec(8);
        /// What follows kind and length
        data: Octets;
        /// Length of the option
        len: Dec(8);
    }
    /// Octets among the options, without kind and length
    Octet "OCTETS" Option octets(data) {
        /// The octets
        data: Octets;
    }
    /// MP_CAPABLE (RFC 8684 3.1); its form goes by the segment, the version and the keys that are said
    MpCapable "MP_CAPABLE" Option mp_capable() {
        /// Version: 1 is RFC 8684, 0 is RFC 6824
        version: Dec(4);
        /// Checksums required
        A: Dec(1);
        /// An extension that has to be understood
        B: Dec(1);
        /// No joins to this address and port
        C: Dec(1);
        /// Not assigned
        D: Dec(1);
        /// Not assigned
        E: Dec(1);
        /// Not assigned
        F: Dec(1);
        /// Not assigned
        G: Dec(1);
        /// HMAC-SHA256; in version 0 HMAC-SHA1
        H: Dec(1);
        /// The key of who sends this
        sender_key: Hex(64);
        /// The key of who receives this
        receiver_key: Hex(64);
        /// Data-level length of the data with it
        data_len: Dec(16);
        /// DSS checksum of that data
        checksum: Hex(16);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
    }
    /// MP_JOIN (RFC 8684 3.2); its form goes by the segment, or by what is said of it
    MpJoin "MP_JOIN" Option mp_join() {
        /// Backup: use it only when nothing else works
        B: Dec(1);
        /// Identifier of the sender's address
        address_id: Dec(8);
        /// The receiver's token, on a SYN
        token: Hex(32);
        /// The HMAC of who sends this: 8 octets on a SYN/ACK, 20 on the third packet
        hmac: Octets;
        /// The nonce of who sends this
        nonce: Hex(32);
        /// Bits that have to be 0, with the place they have in the option
        reserved: Hex(12);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
        /// The key of who sends this, for token and HMAC
        key: Hex(64), input;
        /// The key of who receives this, for token and HMAC
        peer_key: Hex(64), input;
        /// The nonce of who receives this, for the HMAC
        peer_nonce: Hex(32), input;
    }
    /// DSS (RFC 8684 3.3): mapping, Data ACK, DATA_FIN
    Dss "DSS" Option dss() {
        /// DATA_FIN
        F: Dec(1);
        /// The mapping's number has eight octets
        m: Dec(1);
        /// There is a mapping
        M: Dec(1);
        /// The Data ACK has eight octets
        a: Dec(1);
        /// There is a Data ACK
        A: Dec(1);
        /// The Data ACK
        data_ack: Hex(64);
        /// Data sequence number of the first octet
        dsn: Hex(64);
        /// Subflow sequence number of the first octet
        ssn: Dec(32);
        /// Octets mapped, a DATA_FIN counted
        data_len: Dec(16);
        /// DSS checksum
        checksum: Hex(16);
        /// Bits that have to be 0, with the place they have in the option
        reserved: Hex(12);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
        /// The key of who sends this: its data begins behind the IDSN
        key: Hex(64), input;
        /// The key of who receives this, for the Data ACK
        peer_key: Hex(64), input;
    }
    /// ADD_ADDR (RFC 8684 3.4.1), and with `ipver` that of version 0
    AddAddr "ADD_ADDR" Option add_addr(address) {
        /// The address
        address: Address;
        /// Its identifier
        id: Dec(8);
        /// A port other than the one in use
        port: Dec(16);
        /// Echo: the address was received
        E: Dec(1);
        /// The HMAC's last 8 octets
        hmac: Octets;
        /// 4 or 6: the form of version 0
        ipver: Dec(4);
        /// Bits that have to be 0, with the place they have in the option
        reserved: Hex(12);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
        /// The key of who sends this, for the HMAC
        key: Hex(64), input;
        /// The key of who receives this, for the HMAC
        peer_key: Hex(64), input;
    }
    /// REMOVE_ADDR (RFC 8684 3.4.2)
    RemoveAddr "REMOVE_ADDR" Option remove_addr(ids) {
        /// Identifiers
        ids: List(8);
        /// Bits that have to be 0
        reserved: Hex(12);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
    }
    /// MP_PRIO (RFC 8684 3.3.8), and with `id` that of version 0
    MpPrio "MP_PRIO" Option mp_prio() {
        /// Backup
        B: Dec(1);
        /// The address that is meant, in version 0
        id: Dec(8);
        /// Bits that have to be 0, with the place they have in the option
        reserved: Hex(12);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
    }
    /// MP_FAIL (RFC 8684 3.7)
    MpFail "MP_FAIL" Option mp_fail() {
        /// Data sequence number of what failed
        dsn: Hex(64);
        /// Bits that have to be 0
        reserved: Hex(12);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
        /// The key of who receives this: its data begins behind the IDSN
        peer_key: Hex(64), input;
    }
    /// MP_FASTCLOSE (RFC 8684 3.5)
    MpFastclose "MP_FASTCLOSE" Option mp_fastclose() {
        /// The key of who receives this
        receiver_key: Hex(64);
        /// Bits that have to be 0
        reserved: Hex(12);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
    }
    /// MP_TCPRST (RFC 8684 3.6)
    MpTcprst "MP_TCPRST" Option mp_tcprst(reason) {
        /// Why, by number
        reason: Dec(8);
        /// Not assigned
        U: Dec(1);
        /// Not assigned
        V: Dec(1);
        /// Not assigned
        W: Dec(1);
        /// The reason may pass
        T: Dec(1);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
    }
    /// MP_EXPERIMENTAL: subtype 15, for private use (RFC 8684 8.2)
    MpExperimental "MP_EXPERIMENTAL" Option mp_experimental(data) {
        /// What follows the first octet
        data: Octets;
        /// The four bits beside the subtype
        low: Hex(4);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
        /// Subtype
        subtype: Hex(4);
    }
    /// Any MPTCP option by its subtype
    Mptcp "MPTCP" Option mptcp(subtype, data) {
        /// Subtype
        subtype: Hex(4);
        /// What follows the octet with the subtype
        data: Octets;
        /// The four bits beside the subtype
        low: Hex(4);
        /// Kind of the option
        kind: Dec(8);
        /// Length of the option
        len: Dec(8);
    }
    /// What the segment carries
    Raw "Raw" Payload raw(load) {
        /// The octets
        load: Text;
    }
}
