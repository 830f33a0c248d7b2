//! What the demo says at the end: one JSON object, or five lines.

use super::transfer::Measured;
use crate::output::{end_state, seconds};
use crate::units;
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use mpuser_tun::lab::peer::Transfer;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The result of a demo, `mpuser.demo/1`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DemoReport {
    schema: &'static str,
    peer: &'static str,
    bytes_sent: u64,
    bytes_received: u64,
    sha256_ok: bool,
    subflows: Vec<DemoSubflow>,
    cut: Option<DemoCut>,
    fallback: Option<&'static str>,
    bytes_reinjected: u64,
    stall_ms: u64,
    seconds: f64,
    kernel_counters: BTreeMap<String, u64>,
    capture: Option<String>,
    kernel_client: Option<KernelClient>,
}

#[derive(Clone, Debug, Serialize)]
struct DemoSubflow {
    id: u32,
    local: String,
    remote: String,
    bytes_sent: u64,
    bytes_received: u64,
    share_before_cut: f64,
    srtt_us: u64,
    state: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct DemoCut {
    path: String,
    subflow: Option<u32>,
    seconds: f64,
    bytes_received: u64,
}

/// The kernel's own client through the same lab and cut.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct KernelClient {
    stall_ms: u64,
    seconds: f64,
    subflows: u32,
}

impl KernelClient {
    /// What was measured of it.
    pub(crate) fn new(transfer: &Transfer) -> Self {
        Self {
            stall_ms: millis(transfer.longest_stall),
            seconds: seconds(transfer.elapsed),
            subflows: transfer.subflows,
        }
    }
}

/// What a report is made from, beside the measurement.
#[derive(Debug)]
pub(crate) struct Around {
    /// `kernel` or `engine`.
    pub(crate) peer: &'static str,
    /// The peer's counters that are not zero.
    pub(crate) kernel_counters: BTreeMap<String, u64>,
    /// The capture file.
    pub(crate) capture: Option<String>,
    /// The kernel's client, if it ran.
    pub(crate) kernel_client: Option<KernelClient>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn carried(subflow: &SubflowInfo) -> u64 {
    subflow.bytes_sent.saturating_add(subflow.bytes_received)
}

/// Share of each subflow before the cut, by identifier; at the end if there was none.
fn shares_before(measured: &Measured) -> BTreeMap<u32, f64> {
    let before = measured.cut.as_ref().and_then(|cut| cut.before.as_ref());
    let subflows = before.or(measured.info.as_ref()).map_or(&[][..], |info| &info.subflows);
    let total = subflows.iter().map(carried).sum();
    let share = |subflow: &SubflowInfo| units::rounded(units::share(carried(subflow), total));
    subflows.iter().map(|subflow| (subflow.id.0, share(subflow))).collect()
}

/// The subflow that was on the path when it was cut: the one that carried most.
fn victim(before: Option<&ConnectionInfo>) -> Option<u32> {
    super::transfer::busiest(before?).map(|subflow| subflow.id.0)
}

impl DemoReport {
    /// The report of one run.
    pub(crate) fn new(measured: &Measured, around: Around) -> Self {
        let info = measured.info.as_ref();
        let shares = shares_before(measured);
        let subflow = |subflow: &SubflowInfo| DemoSubflow {
            id: subflow.id.0,
            local: subflow.tuple.local.to_string(),
            remote: subflow.tuple.remote.to_string(),
            bytes_sent: subflow.bytes_sent,
            bytes_received: subflow.bytes_received,
            share_before_cut: shares.get(&subflow.id.0).copied().unwrap_or(0.0),
            srtt_us: u64::try_from(subflow.srtt.as_micros()).unwrap_or(u64::MAX),
            state: end_state(subflow),
        };
        // a path that was left is tried again: an attempt is no subflow yet
        let joined = |s: &&SubflowInfo| shares.contains_key(&s.id.0) || carried(s) > 0;
        let subflows = info.iter().flat_map(|info| &info.subflows).filter(joined);
        Self {
            schema: "mpuser.demo/1",
            peer: around.peer,
            bytes_sent: measured.sent,
            bytes_received: measured.received,
            sha256_ok: measured.sha256_ok,
            subflows: subflows.map(subflow).collect(),
            cut: measured.cut.as_ref().map(|cut| DemoCut {
                path: cut.path.clone(),
                subflow: victim(cut.before.as_ref()),
                seconds: seconds(cut.at),
                bytes_received: cut.received,
            }),
            fallback: info.and_then(|info| info.fallback).map(|reason| reason.as_str()),
            bytes_reinjected: info.map_or(0, |info| info.bytes_retrans),
            stall_ms: millis(measured.stall),
            seconds: seconds(measured.time),
            kernel_counters: around.kernel_counters,
            capture: around.capture,
            kernel_client: around.kernel_client,
        }
    }

    /// What came back is what was sent.
    pub(crate) const fn intact(&self) -> bool {
        self.sha256_ok
    }

    /// What was seen, in five lines; a sixth with `--compare`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let peer = match self.peer {
            "kernel" => "a Linux kernel's MPTCP",
            _ => "a second engine (in memory, no kernel involved)",
        };
        let each = |f: &dyn Fn(&DemoSubflow) -> String| {
            self.subflows.iter().map(f).collect::<Vec<_>>().join(", ")
        };
        let host = |address: &str| address.rsplit_once(':').map(|(host, _)| host.to_owned());
        let first = self.subflows.first().map(|subflow| host(&subflow.local));
        // behind proxies all come from one address
        let by_remote = self.subflows.iter().all(|s| Some(host(&s.local)) == first);
        let mut lines = vec![
            format!(
                "{} subflows joined one connection to {peer}: {}",
                self.subflows.len(),
                each(&|s| if by_remote { format!("via {}", s.remote) } else { s.local.clone() }),
            ),
            format!(
                "before the cut they carried {} of the bytes",
                each(&|subflow| units::percent(subflow.share_before_cut)),
            ),
            self.cut_line(),
            self.reinjection_line(),
            self.end_line(),
        ];
        if let Some(kernel) = &self.kernel_client {
            lines.push(format!(
                "the kernel's client, same lab, same cut: stalled {} ms, took {:.2} s (here {} ms and {:.2} s)",
                kernel.stall_ms, kernel.seconds, self.stall_ms, self.seconds,
            ));
        }
        lines
    }

    fn cut_line(&self) -> String {
        match &self.cut {
            Some(cut) => format!(
                "at {:.2} s the busiest path, {}, was cut; the application waited {} ms at most, then data went on",
                cut.seconds, cut.path, self.stall_ms,
            ),
            None => "it was over before a path could be cut; a larger --size shows more".to_owned(),
        }
    }

    fn reinjection_line(&self) -> String {
        if self.bytes_reinjected == 0 {
            return "this end had nothing to send again; what was lost was the peer's to send"
                .to_owned();
        }
        let bytes = units::size(self.bytes_reinjected);
        format!(
            "{bytes} had been on a slow or dead path and went out again on another (reinjection)"
        )
    }

    fn end_line(&self) -> String {
        let verdict = if self.sha256_ok { "SHA-256 equal" } else { "SHA-256 DIFFERS" };
        let rate = units::rate(self.bytes_received, Duration::from_secs_f64(self.seconds.max(0.0)));
        let capture = match &self.capture {
            Some(file) => format!("; every packet is in {file}: wireshark {file}"),
            None => String::new(),
        };
        format!(
            "{} went out and {} came back in {:.2} s ({rate}), {verdict}{capture}",
            units::size(self.bytes_sent),
            units::size(self.bytes_received),
            self.seconds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::transfer::CutRecord;
    use crate::output::tests::info;

    fn measured() -> Measured {
        Measured {
            sent: 64 << 20,
            received: 64 << 20,
            sha256_ok: true,
            time: Duration::from_millis(3_200),
            stall: Duration::from_millis(212),
            cut: Some(CutRecord {
                path: "eth1".into(),
                at: Duration::from_millis(1_500),
                received: 32 << 20,
                before: Some(info()),
            }),
            info: Some(info()),
        }
    }

    fn around() -> Around {
        Around {
            peer: "kernel",
            kernel_counters: BTreeMap::from([("MPTcpExtMPJoinAckRx".to_owned(), 2)]),
            capture: Some("demo.pcapng".to_owned()),
            kernel_client: None,
        }
    }

    #[test]
    fn the_object_has_every_promised_field() {
        let value = serde_json::to_value(DemoReport::new(&measured(), around())).unwrap();
        assert_eq!(value["schema"], "mpuser.demo/1");
        for field in [
            "peer",
            "bytes_sent",
            "bytes_received",
            "sha256_ok",
            "subflows",
            "fallback",
            "stall_ms",
            "kernel_counters",
            "capture",
            "seconds",
            "kernel_client",
        ] {
            assert!(value.get(field).is_some(), "{field}");
        }
        assert_eq!(value["stall_ms"], 212);
        assert_eq!(value["kernel_client"], serde_json::Value::Null);
        assert_eq!(value["kernel_counters"]["MPTcpExtMPJoinAckRx"], 2);
        assert_eq!(value["subflows"][0]["share_before_cut"], 0.8);
        assert_eq!(value["cut"]["subflow"], 0);
    }

    #[test]
    fn five_lines_and_a_sixth_with_a_comparison() {
        let lines = DemoReport::new(&measured(), around()).lines();
        assert_eq!(lines.len(), 5);
        assert!(lines[2].contains("212 ms"), "{}", lines[2]);
        assert!(lines[4].contains("SHA-256 equal"), "{}", lines[4]);
        let kernel = Transfer {
            bytes: 64 << 20,
            elapsed: Duration::from_millis(3_300),
            longest_stall: Duration::from_millis(400),
            stalled: Duration::from_millis(400),
            subflows: 3,
        };
        let compared = Around { kernel_client: Some(KernelClient::new(&kernel)), ..around() };
        assert_eq!(DemoReport::new(&measured(), compared).lines().len(), 6);
    }
}
