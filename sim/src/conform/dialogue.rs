//! Whole exchanges: handshakes, joins, transfers.

use super::data_level::HandMade as _;
use super::packet::Packet;
use super::probe::{ANSWER, Probe, Stop, stop};
use super::segment::{Flow, Seg, seg};
use super::target::{PORT, probe_address};
use mpuser_engine::addr::{AddressId, IpAddr, SocketAddr};
use mpuser_engine::crypto::Nonce;
use mpuser_engine::wire::{CapableFlags, Dss, FastClose, MpCapable, MpJoin, MptcpOption};

impl Probe<'_> {
    /// Sends a SYN with this on a new subflow and takes the answer; learns the stack's key or nonce if it is there.
    pub fn syn(&mut self, flow: &mut Flow, syn: Seg) -> Result<Packet, Stop> {
        self.send(flow, syn.no_ack());
        let answer = self.next(flow, "answer to the SYN")?;
        self.learn(flow, &answer);
        Ok(answer)
    }

    fn learn(&mut self, flow: &mut Flow, packet: &Packet) {
        for option in &packet.mptcp {
            match option {
                MptcpOption::Capable(MpCapable::SynAck { sender_key, .. }) => {
                    self.own_key = *sender_key;
                }
                MptcpOption::Capable(MpCapable::Ack { sender_key, .. }) => {
                    self.own_key = *sender_key;
                }
                MptcpOption::Join(MpJoin::SynAck { nonce, .. }) => flow.nonce = Some(*nonce),
                MptcpOption::Join(MpJoin::Syn { nonce, .. }) => flow.nonce = Some(*nonce),
                _ => {}
            }
        }
    }

    /// MP_CAPABLE of a SYN.
    #[must_use]
    pub const fn capable_syn(&self, flags: CapableFlags) -> MptcpOption {
        MptcpOption::Capable(MpCapable::Syn { version: 1, flags })
    }

    /// The probe as client, up to the SYN/ACK.
    pub fn open(&mut self) -> Result<Flow, Stop> {
        let mut flow = self.flow(0);
        let option = self.capable_syn(self.flags());
        let answer = self.syn(&mut flow, seg().syn().option(option))?;
        if !answer.is_syn_ack() || self.own_key.0 == 0 {
            return Err(stop("the SYN/ACK has no MP_CAPABLE"));
        }
        Ok(flow)
    }

    /// The probe as client, established and accepted. A first ACK of the stack's is taken if one comes at once.
    pub fn serve(&mut self) -> Result<Flow, Stop> {
        let mut flow = self.open()?;
        let option = self.capable_ack(self.flags());
        self.send(&mut flow, seg().option(option));
        self.accepted()?;
        Ok(flow)
    }

    /// The application has the connection.
    pub fn accepted(&mut self) -> Result<(), Stop> {
        if self.target.accept() { Ok(()) } else { Err(stop("nothing to accept")) }
    }

    /// The probe as client of a plain TCP connection.
    pub fn serve_plain(&mut self) -> Result<Flow, Stop> {
        let mut flow = self.flow(0);
        self.syn(&mut flow, seg().syn())?;
        self.send(&mut flow, seg());
        self.accepted()?;
        Ok(flow)
    }

    /// Connected and three bytes delivered, so that everything is confirmed: data offset 3 comes next.
    pub fn confirmed(&mut self) -> Result<Flow, Stop> {
        let mut flow = self.serve()?;
        self.send_data(&mut flow, 0, b"abc");
        let packet = self.wait_for(&mut flow, ANSWER, |p| p.dss().is_some());
        packet.ok_or_else(|| stop("the first data is not acknowledged"))?;
        let heard = self.read_all(3, ANSWER);
        if heard.bytes != b"abc" {
            return Err(stop(format!("first data: {}", heard.words())));
        }
        Ok(flow)
    }

    /// As [`Probe::confirmed`], with a second subflow from the probe's second address.
    pub fn two(&mut self) -> Result<(Flow, Flow), Stop> {
        let first = self.confirmed()?;
        let second = self.joined(1)?;
        Ok((first, second))
    }

    /// The stack connects; its SYN.
    pub fn dialled(&mut self) -> Result<(Flow, Packet), Stop> {
        let remote = SocketAddr::new(probe_address(0, self.setup.ipv6), PORT);
        self.target.connect(remote).map_err(|e| stop(format!("connect: {}", e.word())))?;
        self.next_syn(ANSWER).ok_or_else(|| stop("no SYN"))
    }

    /// MP_CAPABLE of a SYN/ACK.
    #[must_use]
    pub const fn capable_syn_ack(&self, flags: CapableFlags) -> MptcpOption {
        MptcpOption::Capable(MpCapable::SynAck { version: 1, flags, sender_key: self.key })
    }

    /// Answers a SYN of the stack's and takes what comes: the third packet.
    pub fn answer_syn(&mut self, flow: &mut Flow, answer: Seg) -> Result<Packet, Stop> {
        self.send(flow, answer);
        let third = self.next(flow, "third packet")?;
        self.learn(flow, &third);
        Ok(third)
    }

    /// The stack as client, up to its third packet.
    pub fn answered(&mut self) -> Result<Flow, Stop> {
        let (mut flow, _) = self.dialled()?;
        let option = self.capable_syn_ack(self.flags());
        let third = self.answer_syn(&mut flow, seg().syn().option(option))?;
        if self.own_key.0 == 0 {
            return Err(stop(format!("third packet: {}", self.digest(&[third]))));
        }
        Ok(flow)
    }

    /// The stack as client, confirmed by a DSS.
    pub fn connected(&mut self) -> Result<Flow, Stop> {
        let mut flow = self.answered()?;
        let dss = self.ack(0);
        self.send(&mut flow, seg().dss(dss));
        Ok(flow)
    }

    /// MP_JOIN of a SYN with these values.
    #[must_use]
    pub fn join_option(&self, id: u8, backup: bool) -> MptcpOption {
        self.data_level().join_syn(AddressId(id), backup)
    }

    /// A joining SYN from the probe's address number `index`, and the answer.
    pub fn join_syn(&mut self, index: u8, id: u8) -> Result<(Flow, Packet), Stop> {
        let mut flow = self.flow(index);
        let option = self.join_option(id, false);
        let answer = self.syn(&mut flow, seg().syn().option(option))?;
        Ok((flow, answer))
    }

    /// MP_JOIN of the third packet with the right HMAC.
    #[must_use]
    pub fn join_ack(&self, flow: &Flow) -> MptcpOption {
        self.data_level().join_ack(flow.nonce.unwrap_or(Nonce(0)))
    }

    /// A subflow the probe opens from its address number `index`, with the same number as identifier.
    pub fn joined(&mut self, index: u8) -> Result<Flow, Stop> {
        self.joined_with(index, index, false)
    }

    /// The same with an identifier and a priority of its own.
    pub fn joined_with(&mut self, index: u8, id: u8, backup: bool) -> Result<Flow, Stop> {
        let mut flow = self.flow(index);
        let option = self.join_option(id, backup);
        let answer = self.syn(&mut flow, seg().syn().option(option))?;
        if flow.nonce.is_none() {
            return Err(stop(format!("join answered by {}", self.digest(&[answer]))));
        }
        let option = self.join_ack(&flow);
        self.send(&mut flow, seg().option(option));
        let fourth = self.next(&mut flow, "fourth ACK")?;
        if fourth.header.flags.rst {
            return Err(stop(format!("join refused: {}", self.digest(&[fourth]))));
        }
        Ok(flow)
    }

    /// The answer to a joining SYN of the stack's, with the right HMAC.
    pub fn join_answer(&mut self, flow: &mut Flow, syn: &Packet, id: u8) -> Result<Seg, Stop> {
        self.learn(flow, syn);
        let nonce = flow.nonce.ok_or_else(|| stop("the SYN has no MP_JOIN"))?;
        Ok(seg().syn().option(self.data_level().join_syn_ack(nonce, AddressId(id))))
    }

    /// Takes a subflow the stack opens, up to the fourth ACK.
    pub fn take_join(&mut self, id: u8) -> Result<Flow, Stop> {
        let (mut flow, syn) = self.next_syn(ANSWER).ok_or_else(|| stop("no joining SYN"))?;
        let answer = self.join_answer(&mut flow, &syn, id)?;
        let third = self.answer_syn(&mut flow, answer)?;
        if !third.mptcp.iter().any(|o| matches!(o, MptcpOption::Join(MpJoin::Ack { .. }))) {
            return Err(stop(format!("third packet of the join: {}", self.digest(&[third]))));
        }
        let dss = self.ack(0);
        self.send(&mut flow, seg().dss(dss));
        Ok(flow)
    }

    /// ADD_ADDR with the right HMAC.
    #[must_use]
    pub fn add_addr(&self, id: u8, address: IpAddr, port: Option<u16>) -> MptcpOption {
        MptcpOption::AddAddr(self.data_level().add_addr(AddressId(id), address, port))
    }

    /// MP_FASTCLOSE with the stack's key.
    #[must_use]
    pub const fn fastclose(&self) -> MptcpOption {
        MptcpOption::FastClose(FastClose { receiver_key: self.own_key })
    }

    /// An infinite mapping from data offset `at` on.
    #[must_use]
    pub fn infinite(&self, flow: &Flow, at: u64) -> Dss {
        let mut dss = self.map_at(flow.nxt, at, b"", 0, 0);
        if let Some(mapping) = &mut dss.mapping {
            mapping.checksum = self.checksum.then_some(0);
            mapping.data_len = 0;
        }
        dss
    }

    /// Falls back as the RFC has it, with new data from data offset `at` on under an infinite mapping.
    pub fn fall_back(&mut self, flow: &mut Flow, at: u64, data: &'static [u8]) {
        let dss = self.infinite(flow, at);
        self.send(flow, seg().data(data).dss(dss));
    }
}
