//! A TCP client of a few lines, on a TUN device: just enough of RFC 9293 to see whether the
//! kernel forwards, and whether it ever answers in our place with a RST.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;

use tun_tap::Iface;

pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;
pub(crate) const PSH: u8 = 8;

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c.get(1).copied().unwrap_or(0))).sum()
}

fn checksum(mut s: u32) -> [u8; 2] {
    while s > 0xffff {
        s = (s & 0xffff) + (s >> 16);
    }
    (!(s as u16)).to_be_bytes()
}

/// One side's view of a connection.
pub(crate) struct Client<'a> {
    pub(crate) tun: &'a Iface,
    pub(crate) from: (Ipv4Addr, u16),
    pub(crate) to: (Ipv4Addr, u16),
    pub(crate) seq: u32,
    pub(crate) ack: u32,
}

/// A segment that arrived.
pub(crate) struct Segment {
    pub(crate) flags: u8,
    pub(crate) data: Vec<u8>,
}

impl Client<'_> {
    pub(crate) fn send(&mut self, flags: u8, data: &[u8]) {
        let mut tcp = Vec::new();
        tcp.extend(self.from.1.to_be_bytes());
        tcp.extend(self.to.1.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(data);
        let pseudo = sum(&self.from.0.octets()) + sum(&self.to.0.octets()) + 6 + tcp.len() as u32;
        let c = checksum(pseudo + sum(&tcp));
        tcp[16..18].copy_from_slice(&c);
        let mut ip = vec![0x45, 0];
        ip.extend((20 + tcp.len() as u16).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        ip.extend(self.from.0.octets());
        ip.extend(self.to.0.octets());
        let c = checksum(sum(&ip));
        ip[10..12].copy_from_slice(&c);
        ip.extend(tcp);
        self.tun.send(&ip).unwrap();
        self.seq = self.seq.wrapping_add(data.len() as u32 + u32::from(flags & SYN != 0));
    }

    /// The next segment of this connection, or nothing within `ms`.
    pub(crate) fn receive(&mut self, ms: i32) -> Option<Segment> {
        let mut buffer = [0; 2000];
        loop {
            let mut poll =
                libc::pollfd { fd: self.tun.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd that outlives the call.
            if unsafe { libc::poll(&raw mut poll, 1, ms) } <= 0 {
                return None;
            }
            let n = self.tun.recv(&mut buffer).unwrap();
            let packet = &buffer[..n];
            if packet[0] != 0x45 || packet[9] != 6 || packet[16..20] != self.from.0.octets() {
                continue;
            }
            let tcp = &packet[20..];
            let seq = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
            let data = tcp[usize::from(tcp[12] >> 4) * 4..].to_vec();
            let flags = tcp[13];
            if flags & SYN != 0 {
                self.ack = seq.wrapping_add(1);
            } else if seq == self.ack {
                self.ack = self.ack.wrapping_add(data.len() as u32);
            }
            return Some(Segment { flags, data });
        }
    }

    /// Opens, waits long enough for any RST to do its work, and has `data` echoed.
    pub(crate) fn converse(&mut self, data: &[u8]) {
        self.send(SYN, &[]);
        let answer = self.receive(3000).expect("a SYN-ACK");
        assert_eq!(answer.flags & (SYN | ACK | RST), SYN | ACK);
        // The pause in which a kernel that thinks the segment is its own would send a RST.
        assert!(self.receive(300).is_none(), "nothing before our ACK");
        self.send(ACK, &[]);
        self.send(ACK | PSH, data);
        let mut echoed = Vec::new();
        while echoed.len() < data.len() {
            let segment = self.receive(3000).expect("an answer");
            assert_eq!(segment.flags & RST, 0, "a RST");
            echoed.extend(segment.data);
        }
        assert_eq!(echoed, data);
        self.send(ACK, &[]);
    }
}
