//! What one side meant, step by step, whatever packets it took.

use crate::recording::Segment;
use mpuser_engine::wire::{MpCapable, MpJoin, MptcpOption};
use mpuser_inspect::packet::{ACK, FIN, RST, SYN};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// What is said. Streams are counted within their connection: 0 opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Syn(usize),
    SynAck(usize),
    Third(usize),
    AddAddr(u8, IpAddr),
    Echo(u8, IpAddr),
    RemoveAddr(u8),
    Prio(usize),
    Infinite,
    Fail,
    DataFin,
    FastClose,
    Fin(usize),
    Rst(usize),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syn(0) => f.write_str("SYN"),
            Self::Syn(n) => write!(f, "SYN of subflow {n}"),
            Self::SynAck(0) => f.write_str("SYN/ACK"),
            Self::SynAck(n) => write!(f, "SYN/ACK of subflow {n}"),
            Self::Third(0) => f.write_str("third packet"),
            Self::Third(n) => write!(f, "third packet of subflow {n}"),
            Self::AddAddr(id, address) => write!(f, "ADD_ADDR {id} {address}"),
            Self::Echo(id, address) => write!(f, "echo of ADD_ADDR {id} {address}"),
            Self::RemoveAddr(id) => write!(f, "REMOVE_ADDR {id}"),
            Self::Prio(n) => write!(f, "MP_PRIO on subflow {n}"),
            Self::Infinite => f.write_str("infinite mapping"),
            Self::Fail => f.write_str("MP_FAIL"),
            Self::DataFin => f.write_str("DATA_FIN"),
            Self::FastClose => f.write_str("MP_FASTCLOSE"),
            Self::Fin(n) => write!(f, "FIN on subflow {n}"),
            Self::Rst(n) => write!(f, "RST on subflow {n}"),
        }
    }
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The first packet that says it.
    pub(crate) packet: u64,
    /// How often it was said.
    pub(crate) times: u64,
    /// What there is to compare.
    pub(crate) fields: Vec<(&'static str, String)>,
}

/// The steps of one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(pub(crate) BTreeMap<What, Step>);

impl Steps {
    /// Takes in a segment of stream `stream`; `data_seq` makes a data sequence number relative.
    pub(crate) fn add(
        &mut self,
        segment: &Segment,
        stream: usize,
        data_seq: impl Fn(u64) -> Option<i64>,
    ) {
        if segment.has(SYN) {
            let what = if segment.has(ACK) { What::SynAck(stream) } else { What::Syn(stream) };
            self.put(what, segment.number, handshake(segment));
            return;
        }
        if segment.placed.from == 0
            && !segment.has(RST)
            && !self.0.contains_key(&What::Third(stream))
        {
            self.put(What::Third(stream), segment.number, vec![("MPTCP", third(segment))]);
        }
        for signal in segment.signals() {
            self.signal(segment, stream, &signal, &data_seq);
        }
        if segment.has(RST) {
            let said = segment.signals().find_map(|signal| match signal {
                MptcpOption::TcpRst(reset) => Some(reset),
                _ => None,
            });
            let reason =
                said.map_or_else(|| "not said".to_owned(), |r| r.reason.code().to_string());
            self.put(What::Rst(stream), segment.number, vec![("reason", reason)]);
        } else if segment.has(FIN) {
            self.put(What::Fin(stream), segment.number, Vec::new());
        }
    }

    fn signal(
        &mut self,
        segment: &Segment,
        stream: usize,
        signal: &MptcpOption,
        data_seq: &impl Fn(u64) -> Option<i64>,
    ) {
        let number = segment.number;
        match signal {
            MptcpOption::AddAddr(add) => {
                let port = add.port.map_or_else(|| "none".to_owned(), |port| port.to_string());
                let make = if add.echo { What::Echo } else { What::AddAddr };
                self.put(make(add.id.0, add.address), number, vec![("port", port)]);
            }
            MptcpOption::RemoveAddr(remove) => {
                for id in remove.ids() {
                    self.put(What::RemoveAddr(id.0), number, Vec::new());
                }
            }
            MptcpOption::Prio(prio) => {
                let b = u8::from(prio.backup).to_string();
                match self.0.get_mut(&What::Prio(stream)) {
                    // the last word counts
                    Some(step) => step.fields = vec![("B", b)],
                    None => self.put(What::Prio(stream), number, vec![("B", b)]),
                }
            }
            MptcpOption::Fail(fail) => {
                let at = data_seq(fail.data_seq.0).map_or_else(String::new, |at| at.to_string());
                self.put(What::Fail, number, vec![("dsn", at)]);
            }
            MptcpOption::FastClose(_) => {
                let on = if segment.has(RST) { "RST" } else { "ACK" };
                self.put(What::FastClose, number, vec![("on", on.to_owned())]);
            }
            MptcpOption::Dss(dss) => {
                if dss.mapping.is_some_and(|mapping| mapping.is_infinite()) {
                    self.put(What::Infinite, number, Vec::new());
                }
                if dss.data_fin {
                    self.put(What::DataFin, number, Vec::new());
                }
            }
            MptcpOption::Capable(_)
            | MptcpOption::Join(_)
            | MptcpOption::TcpRst(_)
            | MptcpOption::Unknown(_) => {}
        }
    }

    fn put(&mut self, what: What, packet: u64, fields: Vec<(&'static str, String)>) {
        let step = self.0.entry(what).or_insert(Step { packet, times: 0, fields });
        step.times += 1;
    }
}

/// What SYN and SYN/ACK say.
fn handshake(segment: &Segment) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let said = segment.signals().find_map(|signal| match signal {
        MptcpOption::Capable(capable) => Some(capable_fields(&capable)),
        MptcpOption::Join(MpJoin::Syn { backup, address_id, .. }) => {
            Some(join_fields(backup, address_id.0))
        }
        MptcpOption::Join(MpJoin::SynAck { backup, address_id, .. }) => {
            Some(join_fields(backup, address_id.0))
        }
        _ => None,
    });
    fields.extend(said.unwrap_or_else(|| vec![("MPTCP", "none".to_owned())]));
    let yes_no = |there: bool| if there { "yes" } else { "no" }.to_owned();
    fields.push(("SACK permitted", yes_no(segment.option(4).is_some())));
    fields.push(("timestamps", yes_no(segment.option(8).is_some())));
    fields.push(("MSS", shown(segment.option(2))));
    fields.push(("window scale", shown(segment.option(3))));
    fields.push(("Fast Open", yes_no(segment.option(34).is_some())));
    fields.push(("data", segment.payload_len.to_string()));
    fields
}

/// The value of an option that is a number.
fn shown(option: Option<&[u8]>) -> String {
    let Some(value) = option.and_then(|option| option.get(2..)) else { return "none".to_owned() };
    value.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)).to_string()
}

fn capable_fields(capable: &MpCapable) -> Vec<(&'static str, String)> {
    vec![
        ("MPTCP", format!("MP_CAPABLE v{}", capable.version())),
        ("flags", format!("{:#04x}", capable.flags().0)),
    ]
}

fn join_fields(backup: bool, id: u8) -> Vec<(&'static str, String)> {
    vec![
        ("MPTCP", "MP_JOIN".to_owned()),
        ("B", u8::from(backup).to_string()),
        ("address ID", id.to_string()),
    ]
}

fn third(segment: &Segment) -> String {
    let said = segment.signals().find_map(|signal| match signal {
        MptcpOption::Capable(_) => Some("MP_CAPABLE"),
        MptcpOption::Join(_) => Some("MP_JOIN"),
        _ => None,
    });
    said.unwrap_or("none").to_owned()
}
