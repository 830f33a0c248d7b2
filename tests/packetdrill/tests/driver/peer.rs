//! The peer: builds segments value by value and takes apart what comes.

use super::{Driver, LOCAL, PORT, REMOTE};
use bytes::Bytes;
use mpuser_engine::addr::{AddressId, FourTuple, SocketAddr};
use mpuser_engine::crypto::{Key, KeyFacts, Nonce, join_hmac};
use mpuser_engine::seq::{DataSeq, SeqNum, SubflowSeq};
use mpuser_engine::tcp::Flags;
use mpuser_engine::wire::tcp::{ChecksumMode, HEADER_LEN, emit, verify_checksum};
use mpuser_engine::wire::{
    CapableFlags, Dss, DssMapping, IpHeader, MpCapable, MpJoin, MptcpOption, OptionBuffer,
    TcpHeader, TcpOptions, WireDataSeq,
};

/// The peer's key.
pub(crate) const KEY: Key = Key(2);
const FLAGS: CapableFlags = CapableFlags::new(false, false);

/// A packet of the machine.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) payload: Vec<u8>,
    /// Microseconds since the epoch.
    pub(crate) at: i64,
}

impl Packet {
    pub(crate) fn signals(&self) -> Vec<MptcpOption> {
        self.options.signals.iter().collect()
    }

    pub(crate) fn dss(&self) -> Dss {
        self.options.dss.expect("a DSS")
    }
}

/// One end of a connection without any TCP of its own.
pub(crate) struct Peer<'a> {
    pub(crate) driver: &'a Driver,
    tuple: FourTuple,
    /// The machine's initial sequence number.
    irs: u32,
    /// The machine's key.
    key: Key,
}

impl<'a> Peer<'a> {
    /// A client or a server; the port of the other side becomes known later.
    fn new(driver: &'a Driver, client: bool) -> Self {
        let (own, other) = if client { (40_000, PORT) } else { (PORT, 0) };
        let local = SocketAddr::from((REMOTE, own));
        let tuple = FourTuple { local, remote: SocketAddr::from((LOCAL, other)) };
        Self { driver, tuple, irs: 0, key: Key(0) }
    }

    /// A client that has done its handshake with a listener.
    pub(crate) fn client(driver: &'a Driver) -> Self {
        let mut peer = Self::new(driver, true);
        peer.send(
            None,
            0,
            true,
            &[MptcpOption::Capable(MpCapable::Syn { version: 1, flags: FLAGS })],
            None,
            b"",
        );
        let answer = peer.next();
        assert!(answer.header.flags.syn && answer.header.ack == Some(SeqNum(1)));
        peer.irs = answer.header.seq.0;
        peer.take_key(&answer);
        peer.send(Some(0), 1, false, &[peer.keys()], None, b"");
        peer
    }

    /// A server that has got the SYN of a `connect`.
    pub(crate) fn server(driver: &'a Driver) -> Self {
        let mut peer = Self::new(driver, false);
        let (bytes, _) = driver.sniff().expect("a SYN");
        let syn = TcpHeader::parse(&bytes[20..]).expect("a header").0;
        assert!(syn.flags.syn && syn.ack.is_none());
        peer.tuple.remote.set_port(syn.src_port);
        peer.irs = syn.seq.0;
        peer
    }

    /// The server's SYN/ACK.
    pub(crate) fn answer(&mut self) {
        let option = MpCapable::SynAck { version: 1, flags: FLAGS, sender_key: KEY };
        self.send(Some(0), 0, true, &[MptcpOption::Capable(option)], None, b"");
        let third = self.next();
        let [MptcpOption::Capable(MpCapable::Ack { sender_key, receiver_key, .. })] =
            third.signals()[..]
        else {
            panic!("no keys in {third:?}")
        };
        assert_eq!(receiver_key, KEY);
        self.key = sender_key;
    }

    fn take_key(&mut self, answer: &Packet) {
        let [MptcpOption::Capable(MpCapable::SynAck { sender_key, .. })] = answer.signals()[..]
        else {
            panic!("no key in {answer:?}")
        };
        self.key = sender_key;
    }

    fn keys(&self) -> MptcpOption {
        let (sender_key, receiver_key) = (KEY, self.key);
        MptcpOption::Capable(MpCapable::Ack { version: 1, flags: FLAGS, sender_key, receiver_key })
    }

    /// Data sequence number of the machine's octet number `offset`.
    pub(crate) fn theirs(&self, offset: u64) -> DataSeq {
        let KeyFacts { idsn, .. } = self.key.facts();
        idsn + 1 + offset
    }

    /// Data sequence number of the peer's octet number `offset`.
    pub(crate) fn ours(offset: u64) -> DataSeq {
        KEY.facts().idsn + 1 + offset
    }

    /// A further subflow, as its client: SYN, SYN/ACK and third ACK of a join. The answer to the third ACK is left.
    pub(crate) fn join(&self) -> Self {
        let mut tuple = self.tuple;
        tuple.local.set_port(40_001);
        let mut joined = Peer { driver: self.driver, tuple, irs: 0, key: self.key };
        let (nonce, id) = (Nonce(7), AddressId(1));
        let token = self.key.facts().token;
        let syn = MpJoin::Syn { backup: false, address_id: id, token, nonce };
        joined.send(None, 0, true, &[MptcpOption::Join(syn)], None, b"");
        let answer = joined.next();
        joined.irs = answer.header.seq.0;
        let [MptcpOption::Join(MpJoin::SynAck { hmac, nonce: theirs, .. })] = answer.signals()[..]
        else {
            panic!("no MP_JOIN in {answer:?}")
        };
        assert_eq!(hmac, join_hmac(self.key, KEY, theirs, nonce).leftmost64());
        let proof = join_hmac(KEY, self.key, nonce, theirs).leftmost160();
        joined.send(
            Some(0),
            1,
            false,
            &[MptcpOption::Join(MpJoin::Ack { hmac: proof })],
            None,
            b"",
        );
        joined
    }

    /// A Data ACK for `ack` octets.
    pub(crate) fn dack(&self, ack: u64) -> Dss {
        let data_ack = Some(WireDataSeq::Long(self.theirs(ack).0));
        Dss { data_ack, mapping: None, data_fin: false }
    }

    /// A Data ACK with a mapping of the peer's octets from `offset` on, or a DATA_FIN.
    pub(crate) fn mapped(&self, ack: u64, offset: u64, len: u16, data_fin: bool) -> Dss {
        let subflow_seq = if data_fin { 0 } else { u32::try_from(offset).unwrap() + 1 };
        let mapping = DssMapping {
            data_seq: WireDataSeq::Long(Self::ours(offset).0),
            subflow_seq: SubflowSeq(subflow_seq),
            data_len: len,
            checksum: None,
        };
        Dss { mapping: Some(mapping), data_fin, ..self.dack(ack) }
    }

    /// Sends a segment: `ack` counts the machine's octets after its SYN, `seq` the peer's with its SYN.
    pub(crate) fn send(
        &self,
        ack: Option<u32>,
        seq: u32,
        syn: bool,
        signals: &[MptcpOption],
        dss: Option<Dss>,
        payload: &[u8],
    ) {
        let mut options = OptionBuffer::new();
        if syn {
            options.push_mss(1460);
        }
        signals.iter().for_each(|option| assert!(options.push_mptcp(option)));
        dss.iter().for_each(|dss| assert!(options.push_dss(dss)));
        self.emit(Flags { syn, ..Flags::default() }, ack, seq, &options, payload);
    }

    /// Sends a RST.
    pub(crate) fn reset(&self, ack: Option<u32>, seq: u32) {
        self.emit(Flags { rst: true, ..Flags::default() }, ack, seq, &OptionBuffer::new(), b"");
    }

    fn emit(&self, flags: Flags, ack: Option<u32>, seq: u32, options: &OptionBuffer, data: &[u8]) {
        let header = TcpHeader {
            src_port: self.tuple.local.port(),
            dst_port: self.tuple.remote.port(),
            seq: SeqNum(seq),
            ack: ack.map(|ack| SeqNum(self.irs.wrapping_add(1).wrapping_add(ack))),
            flags,
            window: 60_000,
            urgent: 0,
        };
        let (mut packet, payload) = (Vec::new(), Bytes::copy_from_slice(data));
        emit(&mut packet, &self.tuple, &header, options, &payload, ChecksumMode::Full);
        packet.extend_from_slice(data);
        self.driver.inject(&packet);
    }

    /// The machine's next packet.
    pub(crate) fn next(&self) -> Packet {
        self.try_next().expect("nothing will ever leave")
    }

    /// The machine's next packet, if there will be one.
    pub(crate) fn try_next(&self) -> Option<Packet> {
        let (bytes, at) = self.driver.sniff()?;
        let ip = IpHeader::parse(&bytes).expect("an IP header");
        let segment = ip.payload(&bytes);
        assert!(verify_checksum(&ip, segment));
        let (header, len) = TcpHeader::parse(segment).expect("a TCP header");
        let options = TcpOptions::parse(&segment[HEADER_LEN..len]);
        assert!(!options.malformed);
        Some(Packet { header, options, payload: segment[len..].to_vec(), at })
    }
}
