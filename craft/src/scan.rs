//! Is there an MPTCP stack at the other end, or something that only looks like one?
//!
//! Boxes and hosts have been seen that send back whatever option a SYN had. So an answer with MP_CAPABLE proves
//! nothing: what does is knowing the key that was sent, by the HMAC of a join or by a Data ACK, which both are
//! SHA-256 of it.

use crate::build::BuildError;
use crate::dialogue::{Dialogue, Refusal, Wire};
use crate::layer::{Layer, Stack};
use crate::session::{Heard, Session};
use crate::table::{Kind, dss, mp_capable, mptcp, mss};
use serde_json::{Value as Json, json};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a port turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An MPTCP stack: it has proved that it knows keys.
    Mptcp,
    /// It answers with a key of its own, and proves nothing.
    Claimed,
    /// Options come back that no stack sends: mirrored.
    Mirror,
    /// TCP without MPTCP, or the option was taken away on the path.
    PlainTcp,
    /// TCP answers, but not to a SYN with MP_CAPABLE: a box on the path, or the host, refuses the option.
    OptionRefused,
    /// A RST.
    Closed,
    /// Nobody answers.
    Filtered,
}

impl Verdict {
    /// One word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mptcp => "mptcp",
            Self::Claimed => "unproved",
            Self::Mirror => "mirror",
            Self::PlainTcp => "tcp",
            Self::OptionRefused => "option-refused",
            Self::Closed => "closed",
            Self::Filtered => "filtered",
        }
    }

    /// One sentence, without full stop.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Mptcp => "an MPTCP stack: it has proved that it knows the keys",
            Self::Claimed => "MP_CAPABLE with a key, but no proof that anybody knows it",
            Self::Mirror => "something that sends options back, and no MPTCP stack",
            Self::PlainTcp => "plain TCP, or the option does not get through",
            Self::OptionRefused => "TCP answers, but not to a SYN with MP_CAPABLE",
            Self::Closed => "the SYN was answered with a RST",
            Self::Filtered => "nobody answers",
        }
    }
}

/// What became of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Answered with the right HMAC.
    Proved,
    /// Answered with a wrong one.
    BadHmac,
    /// Answered without MP_JOIN.
    Plain,
    /// A RST, with the reason of an MP_TCPRST.
    Reset(Option<u8>),
    /// Not answered.
    Silence,
}

/// What was found out about a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// In one word.
    pub verdict: Verdict,
    /// The version an offer of version 1 was answered with.
    pub version1: Option<u8>,
    /// The version an offer of version 0 was answered with.
    pub version0: Option<u8>,
    /// A: it wants checksums of data.
    pub checksum: bool,
    /// C: no joins to this address and port.
    pub deny_join: bool,
    /// The key it sent.
    pub key: Option<u64>,
    /// What became of a join.
    pub join: Option<Join>,
    /// A DATA_FIN was acknowledged with the number that our key makes.
    pub data_ack: Option<bool>,
    /// An option of an unassigned subtype came back.
    pub mirrors: bool,
}

impl Findings {
    /// An object.
    #[must_use]
    pub fn object(&self) -> Json {
        let join = self.join.map(|join| match join {
            Join::Proved => json!("proved"),
            Join::BadHmac => json!("bad-hmac"),
            Join::Plain => json!("no-mp-join"),
            Join::Silence => json!("silence"),
            Join::Reset(reason) => json!({ "reset": reason }),
        });
        json!({
            "verdict": self.verdict.word(),
            "meaning": self.verdict.meaning(),
            "version_1_answered": self.version1,
            "version_0_answered": self.version0,
            "checksum_required": self.checksum,
            "deny_join_initial": self.deny_join,
            "key": self.key.map(|key| format!("{key:#018x}")),
            "join": join,
            "data_ack_proved": self.data_ack,
            "mirrors_options": self.mirrors,
        })
    }

    /// What there is to say, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let version = |found: Option<u8>, offered: u8| match found {
            Some(version) => format!("version {offered}: answered with version {version}"),
            None => format!("version {offered}: not answered with MP_CAPABLE"),
        };
        if matches!(self.verdict, Verdict::Closed | Verdict::Filtered) {
            return lines;
        }
        lines.push(version(self.version1, 1));
        lines.push(version(self.version0, 0));
        if self.key.is_some() {
            let flag = |on: bool| if on { "yes" } else { "no" };
            lines.push(format!("checksums required (A): {}", flag(self.checksum)));
            lines.push(format!("no joins to this address (C): {}", flag(self.deny_join)));
        }
        let join = self.join.map(|join| match join {
            Join::Proved => "answered with the right HMAC".to_owned(),
            Join::BadHmac => "answered with a wrong HMAC".to_owned(),
            Join::Plain => "answered without MP_JOIN".to_owned(),
            Join::Silence => "not answered".to_owned(),
            Join::Reset(None) => "refused with a RST".to_owned(),
            Join::Reset(Some(reason)) => format!("refused with a RST, MP_TCPRST reason {reason}"),
        });
        lines.extend(join.map(|join| format!("join: {join}")));
        let proof = self.data_ack.map(|right| if right { "right" } else { "missing or wrong" });
        lines.extend(proof.map(|proof| format!("Data ACK of a DATA_FIN: {proof}")));
        if self.mirrors {
            lines.push("an option of an unassigned subtype came back on the SYN/ACK".to_owned());
        }
        lines
    }
}

/// How long to wait for a Data ACK.
const DATA_ACK: Duration = Duration::from_millis(500);
/// The subtype of the option that nobody knows.
const UNASSIGNED: u8 = 0xe;

/// Looks at one port, from one address of ours. A few connections are opened and ended with RST; no data is sent.
///
/// # Errors
/// A packet could not be built: the addresses are of two families.
pub fn scan(
    wire: &mut dyn Wire,
    local: IpAddr,
    remote: SocketAddr,
    patience: Duration,
    seed: [u8; 32],
) -> Result<Findings, BuildError> {
    let mut scan = Scan { local, remote, patience, seed, wire };
    let mut found = Findings {
        verdict: Verdict::Filtered,
        version1: None,
        version0: None,
        checksum: false,
        deny_join: false,
        key: None,
        join: None,
        data_ack: None,
        mirrors: false,
    };
    found.verdict = scan.version_1(&mut found)?;
    if matches!(found.verdict, Verdict::Closed | Verdict::Filtered) {
        found.verdict = scan.without_option(found.verdict)?;
        return Ok(found);
    }
    found.version0 = scan.version_0()?;
    found.mirrors = scan.mirrors()?;
    if found.mirrors && found.verdict != Verdict::Mptcp {
        found.verdict = Verdict::Mirror;
    }
    Ok(found)
}

/// One port under examination.
struct Scan<'w> {
    local: IpAddr,
    remote: SocketAddr,
    patience: Duration,
    seed: [u8; 32],
    wire: &'w mut dyn Wire,
}

impl Scan<'_> {
    /// A connection of its own, so that keys and ports are new.
    fn dialogue(&mut self) -> Dialogue<'_> {
        if let Some(first) = self.seed.first_mut() {
            *first = first.wrapping_add(1);
        }
        let mut talk = Dialogue::new(self.wire, self.seed);
        talk.patience = self.patience;
        talk
    }

    fn version_1(&mut self, found: &mut Findings) -> Result<Verdict, BuildError> {
        let (local, remote) = (self.local, self.remote);
        let mut talk = self.dialogue();
        let from = SocketAddr::new(local, talk.session.port());
        let flow = talk.session.open(from, remote);
        let answer = match talk.syn(flow, &Session::capable()) {
            Ok(answer) => answer,
            Err(Refusal::Build(error)) => return Err(error),
            Err(Refusal::Reset(_)) => return Ok(Verdict::Closed),
            Err(_) => return Ok(Verdict::Filtered),
        };
        let Some(capable) = answer.stack.find(Kind::MpCapable) else {
            talk.abort();
            return Ok(Verdict::PlainTcp);
        };
        found.version1 = version(&answer);
        found.checksum = capable.number("A") == Some(1);
        found.deny_join = capable.number("C") == Some(1);
        found.key = capable.number("sender_key");
        // our own option back has no key; a stack that was offered version 1 does not answer with another one
        if found.key.is_none() || found.key == Some(talk.session.data.key) {
            talk.abort();
            return Ok(Verdict::Mirror);
        }
        talk.send(flow, &(Session::plain("A") / mp_capable()))?;
        talk.send(flow, &(Session::plain("A") / dss()))?;
        found.join = Some(match talk.join(local, remote) {
            Ok(_) => Join::Proved,
            Err(Refusal::Build(error)) => return Err(error),
            Err(Refusal::BadHmac) => Join::BadHmac,
            Err(Refusal::Plain) => Join::Plain,
            Err(Refusal::Reset(reason)) => Join::Reset(reason),
            Err(_) => Join::Silence,
        });
        talk.send(flow, &(Session::plain("A") / dss().F(1)))?;
        let right = talk.session.known(flow);
        let right = right.key.map(|key| right.dsn(key, talk.session.data.sent));
        let heard = talk.listen(DATA_ACK);
        let acks = heard.iter().map(|heard| heard.number(Kind::Dss, "data_ack"));
        let low = |number: Option<u64>| number.map(|number| number as u32);
        found.data_ack = Some(acks.into_iter().any(|ack| ack.is_some() && low(ack) == low(right)));
        talk.abort();
        Ok(match (found.join, found.data_ack) {
            (Some(Join::Proved), _) | (_, Some(true)) => Verdict::Mptcp,
            // a key we have never sent, and an HMAC that is ours sent back
            (Some(Join::BadHmac), _) => Verdict::Mirror,
            _ => Verdict::Claimed,
        })
    }

    /// The answer to one SYN, the connection ended at once.
    fn one(&mut self, stack: &Stack, version: u8) -> Result<Result<Heard, Refusal>, BuildError> {
        let (local, remote) = (self.local, self.remote);
        let mut talk = self.dialogue();
        talk.session.data.version = version;
        let from = SocketAddr::new(local, talk.session.port());
        let flow = talk.session.open(from, remote);
        let answer = talk.syn(flow, stack);
        if let Err(Refusal::Build(error)) = answer {
            return Err(error);
        }
        // nothing to end where nothing began
        if answer.is_ok() {
            talk.send(flow, &Session::plain("R"))?;
        }
        Ok(answer)
    }

    fn version_0(&mut self) -> Result<Option<u8>, BuildError> {
        let answer = self.one(&Session::capable(), 0)?;
        Ok(answer.ok().as_ref().and_then(version))
    }

    fn mirrors(&mut self) -> Result<bool, BuildError> {
        let unknown = Layer::from(mptcp(UNASSIGNED, [0x4d_u8, 0x50, 0x55].as_slice()));
        let syn = Session::plain("S") / mss(1_460) / unknown.clone();
        let answer = self.one(&syn, 1)?;
        let same = |answer: &Heard| answer.stack.layers().contains(&unknown);
        Ok(answer.is_ok_and(|answer| same(&answer)))
    }

    /// What a SYN without MPTCP gets, where one with it got `verdict`.
    fn without_option(&mut self, verdict: Verdict) -> Result<Verdict, BuildError> {
        let answer = self.one(&(Session::plain("S") / mss(1_460)), 1)?;
        Ok(match answer {
            Ok(_) => Verdict::OptionRefused,
            Err(Refusal::Reset(_)) => Verdict::Closed,
            Err(_) => verdict,
        })
    }
}

fn version(answer: &Heard) -> Option<u8> {
    answer.number(Kind::MpCapable, "version").map(|version| version as u8)
}

#[cfg(test)]
mod tests;
