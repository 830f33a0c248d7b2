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
