//! What the endpoint emitted, taken apart.

use bytes::Bytes;
use mpuser_engine::addr::{FourTuple, SocketAddr};
use mpuser_engine::seq::DataSeq;
use mpuser_engine::time::Instant;
use mpuser_engine::wire::tcp::{HEADER_LEN, verify_checksum};
use mpuser_engine::wire::{DssMapping, IpHeader, MptcpOption, TcpHeader, TcpOptions};

/// A packet the endpoint emitted.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The endpoint's and the peer's address, as the endpoint sees them.
    pub tuple: FourTuple,
    /// When it left.
    pub at: Instant,
    /// The TCP header.
    pub header: TcpHeader,
    /// Its options.
    pub options: TcpOptions,
    /// Its payload.
    pub payload: Bytes,
}

impl Packet {
    /// The MPTCP options other than DSS.
    #[must_use]
    pub fn signals(&self) -> Vec<MptcpOption> {
        self.options.signals.iter().collect()
    }

    /// No MPTCP option at all.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.options.dss.is_none() && self.options.signals.is_empty()
    }

    /// The full Data ACK.
    #[must_use]
    pub fn data_ack(&self) -> Option<DataSeq> {
        self.options.dss?.data_ack.map(|ack| ack.expand(DataSeq(0)))
    }

    /// The mapping.
    #[must_use]
    pub fn mapping(&self) -> Option<DssMapping> {
        self.options.dss?.mapping
    }

    /// An empty segment with a DATA_FIN.
    #[must_use]
    pub fn is_data_fin(&self) -> bool {
        self.payload.is_empty() && self.options.dss.is_some_and(|dss| dss.data_fin)
    }
}

/// Takes a packet apart; its checksums have to be right.
pub(super) fn parse(at: Instant, packet: &Bytes) -> Packet {
    let ip = IpHeader::parse(packet).expect("a valid IP header");
    let segment = ip.payload(packet);
    assert!(verify_checksum(&ip, segment), "TCP checksum");
    let (header, len) = TcpHeader::parse(segment).expect("a valid TCP header");
    let options = TcpOptions::parse(&segment[HEADER_LEN..len]);
    assert!(!options.malformed, "malformed options");
    let tuple = FourTuple {
        local: SocketAddr::new(ip.src, header.src_port),
        remote: SocketAddr::new(ip.dst, header.dst_port),
    };
    let payload = Bytes::copy_from_slice(&segment[len..]);
    Packet { tuple, at, header, options, payload }
}
