//! ADD_ADDR (RFC 8684 3.4.1): an address to which the peer may open a subflow.

use super::{emit_option, first_byte, subtype};
use crate::addr::{AddressId, IpAddr};
use crate::wire::bytes::Reader;
use core::fmt;

/// An advertised address, or the echo of one.
///
/// An echo has no HMAC and an advertisement has one [ADDR-9] [ADDR-11]; other combinations are written as given
/// but not read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddAddr {
    /// E: confirms that the address was received.
    pub echo: bool,
    /// The address's ID.
    pub id: AddressId,
    /// The address.
    pub address: IpAddr,
    /// A port other than the one in use.
    pub port: Option<u16>,
    /// Rightmost 64 bits of the HMAC.
    pub hmac: Option<[u8; 8]>,
}

impl AddAddr {
    /// Reads the option; `None` when the length does not go with E (so the forms of version 0, without HMAC, are
    /// not read).
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        // The three bits beside E are not assigned and ignored [OPT-13].
        let echo = reader.u8()? & 1 != 0;
        let id = AddressId(reader.u8()?);
        let body_of_echo = if echo { body.len() } else { body.len().checked_sub(8)? };
        let (v6, has_port) = match body_of_echo {
            6 => (false, false),
            8 => (false, true),
            18 => (true, false),
            20 => (true, true),
            _ => return None,
        };
        let address =
            if v6 { IpAddr::from(reader.take::<16>()?) } else { IpAddr::from(reader.take::<4>()?) };
        let port = if has_port { Some(reader.u16()?) } else { None };
        let hmac = if echo { None } else { Some(reader.take()?) };
        Some(Self { echo, id, address, port, hmac })
    }

    /// The confirmation of this advertisement [ADDR-11].
    #[must_use]
    pub const fn echo(&self) -> Self {
        Self { echo: true, hmac: None, ..*self }
    }

    /// Octets on the wire: 8 to 30.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        let address = if self.address.is_ipv4() { 4 } else { 16 };
        let port = if self.port.is_some() { 2 } else { 0 };
        let hmac = if self.hmac.is_some() { 8 } else { 0 };
        4 + address + port + hmac
    }

    /// Writes the option; `None` when it does not fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        emit_option(out, self.wire_len(), |writer| {
            // The bits beside E are sent as zero [OPT-12].
            writer.put([first_byte(subtype::ADD_ADDR, self.echo.into()), self.id.0]);
            match self.address {
                IpAddr::V4(address) => writer.put(address.octets()),
                IpAddr::V6(address) => writer.put(address.octets()),
            }
            if let Some(port) = self.port {
                writer.put(port.to_be_bytes());
            }
            if let Some(hmac) = self.hmac {
                writer.put(hmac);
            }
        })
    }
}

impl fmt::Display for AddAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let echo = if self.echo { " echo" } else { "" };
        write!(f, "add-addr{echo} id {} {}", self.id.0, self.address)?;
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        if let Some(hmac) = self.hmac {
            write!(f, " hmac {:#018x}", u64::from_be_bytes(hmac))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MptcpOption;
    use crate::wire::samples::check_option;

    const V4: &str = "10.8.0.1";
    const V6: &str = "2001:db8::33";

    fn advertise(id: u8, address: &str, port: Option<u16>, hmac: u64) -> MptcpOption {
        let (id, address) = (AddressId(id), address.parse().unwrap());
        MptcpOption::AddAddr(AddAddr {
            echo: false,
            id,
            address,
            port,
            hmac: Some(hmac.to_be_bytes()),
        })
    }

    #[test]
    fn live_kernel() {
        check_option(
            advertise(1, V4, None, 0x63fd455f80912140),
            "1e103001 0a080001 63fd455f80912140",
            "add-addr id 1 10.8.0.1 hmac 0x63fd455f80912140",
        );
        check_option(
            advertise(2, V4, Some(8443), 0xe243ebc1e295ab6d),
            "1e123002 0a080001 20fb e243ebc1e295ab6d",
            "add-addr id 2 10.8.0.1 port 8443 hmac 0xe243ebc1e295ab6d",
        );
        check_option(
            advertise(3, V6, None, 0x79bfff424f30a8d8),
            "1e1c3003 20010db8000000000000000000000033 79bfff424f30a8d8",
            "add-addr id 3 2001:db8::33 hmac 0x79bfff424f30a8d8",
        );
        check_option(
            advertise(4, V6, Some(443), 0xbfd8967772be3e49),
            "1e1e3004 20010db8000000000000000000000033 01bb bfd8967772be3e49",
            "add-addr id 4 2001:db8::33 port 443 hmac 0xbfd8967772be3e49",
        );
    }

    /// RFC 8684 3.4.1 [ADDR-11]
    #[test]
    fn echoes_have_no_hmac() {
        for (option, bytes, text) in [
            (advertise(1, V4, None, 1), "1e083101 0a080001", "add-addr echo id 1 10.8.0.1"),
            (
                advertise(4, V6, Some(443), 1),
                "1e163104 20010db8000000000000000000000033 01bb",
                "add-addr echo id 4 2001:db8::33 port 443",
            ),
        ] {
            let MptcpOption::AddAddr(option) = option else { panic!("not an ADD_ADDR") };
            check_option(MptcpOption::AddAddr(option.echo()), bytes, text);
        }
    }

    #[test]
    fn version_0_forms_and_mixed_ones_are_not_read() {
        for len in 0..=38 {
            let body = |low: u8| [&[0x30 | low, 1][..], &std::vec![0; len]].concat();
            assert_eq!(
                AddAddr::parse(&body(0)).is_some(),
                matches!(len, 12 | 14 | 24 | 26),
                "{len}"
            );
            assert_eq!(AddAddr::parse(&body(1)).is_some(), matches!(len, 4 | 6 | 16 | 18), "{len}");
            // [OPT-13]
            assert_eq!(AddAddr::parse(&body(0xe)), AddAddr::parse(&body(0)));
            assert_eq!(AddAddr::parse(&body(0xf)), AddAddr::parse(&body(1)));
        }
    }
}
