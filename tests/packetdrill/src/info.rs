//! `TCP_INFO` and `MPTCP_INFO`: the kernel's structures, the fields the engine knows filled in.

use crate::errno::{Answer, Errno};
use crate::machine::Machine;
use mpuser_engine::ConnectionInfo;
use mpuser_engine::time::Duration;

/// Octets of `struct tcp_info` given: up to and with `tcpi_total_retrans`.
const TCP_INFO_LEN: usize = 104;
/// Octets of `struct mptcp_info` given.
const MPTCP_INFO_LEN: usize = 48;

/// A C structure under construction.
struct Layout(Vec<u8>);

impl Layout {
    fn new(len: usize) -> Self {
        Self(vec![0; len])
    }

    fn put(&mut self, at: usize, octets: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
    }

    fn put_u32(&mut self, at: usize, value: u64) {
        self.put(at, &u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes());
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The number of a TCP state in the kernel (`enum` in `linux/tcp_states.h`).
fn state_number(name: &str) -> u8 {
    match name {
        "ESTAB" => 1,
        "SYN-SENT" => 2,
        "SYN-RECV" => 3,
        "FIN-WAIT-1" => 4,
        "FIN-WAIT-2" => 5,
        "TIME-WAIT" => 6,
        "CLOSE-WAIT" => 8,
        "LAST-ACK" => 9,
        "LISTEN" => 10,
        "CLOSING" => 11,
        _ => 7,
    }
}

impl Machine {
    pub(crate) fn tcp_info(&self, fd: i32) -> Answer<Vec<u8>> {
        let mut layout = Layout::new(TCP_INFO_LEN);
        let info = self.socket(fd)?.connection().and_then(|id| self.endpoint.info(id));
        let Some(first) = info.and_then(|info| info.subflows.into_iter().next()) else {
            layout.put(0, &[7]);
            return Ok(layout.0);
        };
        let mss = u64::from(first.mss).max(1);
        layout.put(0, &[state_number(first.state)]);
        layout.put_u32(8, micros(first.rto));
        layout.put_u32(16, mss);
        layout.put_u32(24, first.in_flight.div_ceil(mss));
        layout.put_u32(68, micros(first.srtt));
        layout.put_u32(76, first.ssthresh / mss);
        layout.put_u32(80, first.cwnd / mss);
        layout.put_u32(84, mss);
        layout.put_u32(100, first.bytes_retrans.div_ceil(mss));
        Ok(layout.0)
    }

    pub(crate) fn mptcp_info(&self, fd: i32) -> Answer<Vec<u8>> {
        if self.socket(fd)?.kind.protocol != libc::IPPROTO_MPTCP {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let info = self.socket(fd)?.connection().and_then(|id| self.endpoint.info(id));
        let mut layout = Layout::new(MPTCP_INFO_LEN);
        if let Some(info) = info {
            fill_mptcp(&mut layout, &info);
        }
        Ok(layout.0)
    }
}

fn fill_mptcp(layout: &mut Layout, info: &ConnectionInfo) {
    /// `MPTCP_INFO_FLAG_FALLBACK`, `MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED`
    const FLAGS: (u64, u64) = (1, 2);
    let extra = info.subflows.iter().filter(|s| s.join && s.state != "CLOSED").count();
    layout.put(0, &[u8::try_from(extra).unwrap_or(u8::MAX)]);
    let fallback = if info.fallback.is_some() { FLAGS.0 } else { 0 };
    let keys = if info.token.1 != 0 { FLAGS.1 } else { 0 };
    layout.put_u32(8, fallback | keys);
    layout.put_u32(12, u64::from(info.token.0));
    layout.put(16, &info.write_seq.to_ne_bytes());
    layout.put(24, &info.snd_una.to_ne_bytes());
    layout.put(32, &info.rcv_nxt.to_ne_bytes());
    layout.put(42, &[u8::from(info.csum_enabled)]);
}
