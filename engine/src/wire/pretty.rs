//! One line per packet, in the manner of tcpdump, for traces.

use super::error::Error;
use super::icmp::{IcmpError, IcmpKind};
use super::ip::{IpHeader, protocol};
use super::tcp::TcpHeader;
use super::tcp_option::TcpOptionIter;
use crate::addr::SocketAddr;
use alloc::string::String;
use core::fmt::{self, Write};

/// What an IP packet says, on one line. Broken packets are said to be, as far as they could be read. Checksums of
/// TCP are not looked at, and keys are not shown.
#[must_use]
pub fn pretty(packet: &[u8]) -> String {
    let mut line = String::new();
    // Writing into a `String` does not fail.
    let _infallible = write_packet(&mut line, packet);
    line
}

fn write_packet(f: &mut String, packet: &[u8]) -> fmt::Result {
    // A capture may keep the beginning of packets only.
    let ip = match IpHeader::parse(packet) {
        Err(Error::Truncated) => IpHeader::parse_beginning(packet),
        result => result,
    };
    let ip = match ip {
        Ok(ip) => ip,
        Err(error) => return write!(f, "IP malformed: {error}, length {}", packet.len()),
    };
    write_ip(f, &ip, ip.payload(packet))?;
    if packet.len() < ip.total_len {
        write!(f, " [{} octets missing]", ip.total_len - packet.len())?;
    }
    Ok(())
}

fn write_ip(f: &mut String, ip: &IpHeader, payload: &[u8]) -> fmt::Result {
    // What the header says, of which less may be there.
    let payload_len = ip.total_len.saturating_sub(ip.header_len);
    let name = if ip.src.is_ipv4() { "IP" } else { "IP6" };
    match ip.protocol {
        protocol::TCP => {
            write!(f, "{name} ")?;
            write_segment(f, ip, payload)
        }
        protocol::ICMP | protocol::ICMPV6 => {
            write!(f, "{name} {} > {}: ICMP ", ip.src, ip.dst)?;
            match IcmpError::parse(ip, payload) {
                Ok(error) => write_icmp_error(f, &error),
                Err(error) => write!(f, "({error}), length {payload_len}"),
            }
        }
        other => {
            write!(f, "{name} {} > {}: protocol {other}, length {payload_len}", ip.src, ip.dst)
        }
    }
}

fn write_segment(f: &mut String, ip: &IpHeader, segment: &[u8]) -> fmt::Result {
    let (tcp, header_len) = match TcpHeader::parse(segment) {
        Ok(parsed) => parsed,
        Err(error) => {
            return write!(
                f,
                "{} > {}: TCP malformed: {error}, length {}",
                ip.src,
                ip.dst,
                segment.len()
            );
        }
    };
    let options = segment.get(20..header_len).unwrap_or_default();
    let data_len = ip.total_len.saturating_sub(ip.header_len + header_len);
    let src = SocketAddr::new(ip.src, tcp.src_port);
    let dst = SocketAddr::new(ip.dst, tcp.dst_port);
    write!(f, "{src} > {dst}: Flags [{}], seq {}", Flags(&tcp), tcp.seq.0)?;
    if data_len > 0 {
        write!(f, ":{}", (tcp.seq + data_len as u32).0)?;
    }
    if let Some(ack) = tcp.ack {
        write!(f, ", ack {}", ack.0)?;
    }
    write!(f, ", win {}", tcp.window)?;
    if tcp.flags.urg {
        write!(f, ", urg {}", tcp.urgent)?;
    }
    for (index, option) in TcpOptionIter::new(options).enumerate() {
        f.write_str(if index == 0 { ", options [" } else { "," })?;
        match option {
            Ok(option) => write!(f, "{option}")?,
            Err(error) => write!(f, "malformed: {error}")?,
        }
    }
    if !options.is_empty() {
        f.write_char(']')?;
    }
    write!(f, ", length {data_len}")
}

fn write_icmp_error(f: &mut String, error: &IcmpError) -> fmt::Result {
    match error.kind {
        IcmpKind::FragmentationNeeded { mtu } => write!(f, "too big, mtu {mtu}")?,
        IcmpKind::Unreachable { code } => write!(f, "unreachable, code {code}")?,
    }
    write!(f, ", about {} seq {}", error.tuple, error.seq.0)
}

/// tcpdump's letters.
struct Flags<'a>(&'a TcpHeader);

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = &self.0.flags;
        let letters = [
            (flags.fin, 'F'),
            (flags.syn, 'S'),
            (flags.rst, 'R'),
            (flags.psh, 'P'),
            (flags.urg, 'U'),
            (flags.ece, 'E'),
            (flags.cwr, 'W'),
            (self.0.ack.is_some(), '.'),
        ];
        let mut none = true;
        for (_, letter) in letters.iter().filter(|(set, _)| *set) {
            f.write_char(*letter)?;
            none = false;
        }
        if none { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
