//! TCP's own options.

use super::BuildError;
use super::fill::Fill;
use crate::table::Kind;
use mpuser_engine::seq::SeqNum;
use mpuser_engine::tcp::Timestamps;
use mpuser_engine::wire::TcpOption;
use mpuser_engine::wire::tcp_option::kind;

/// What options are filled up with.
pub(super) const NOP: u8 = kind::NO_OPERATION;

/// The octets of one option.
pub(super) fn option(fill: &mut Fill<'_>) -> Result<Vec<u8>, BuildError> {
    match fill.kind() {
        Kind::Eol => return emit(fill, &TcpOption::EndOfList),
        Kind::Nop => return emit(fill, &TcpOption::NoOperation),
        Kind::Octet => return Ok(fill.octets("data", Some(Vec::new()))?.unwrap_or_default()),
        _ => {}
    }
    let mut bytes = match fill.kind() {
        Kind::Mss => {
            let mss = fill.number("mss", 1_460)? as u16;
            emit(fill, &TcpOption::MaximumSegmentSize(mss))?
        }
        Kind::WindowScale => {
            let shift = fill.number("shift", 7)? as u8;
            emit(fill, &TcpOption::WindowScale(shift))?
        }
        Kind::SackPermitted => emit(fill, &TcpOption::SackPermitted)?,
        Kind::Sack => sack(fill)?,
        Kind::Timestamps => {
            let (value, echo) = (fill.number("val", 1)? as u32, fill.number("ecr", 0)? as u32);
            emit(fill, &TcpOption::Timestamps(Timestamps { value, echo }))?
        }
        Kind::FastOpen => {
            let cookie = fill.octets("cookie", Some(Vec::new()))?.unwrap_or_default();
            emit(fill, &TcpOption::FastOpen(&cookie))?
        }
        _ => {
            let kind = fill.required("kind", None, "say kind=")? as u8;
            let data = fill.octets("data", Some(Vec::new()))?.unwrap_or_default();
            let mut bytes = vec![kind, 0];
            bytes.extend_from_slice(&data);
            bytes
        }
    };
    let len = fill.number("len", bytes.len().min(255) as u64)?;
    if let Some(field) = bytes.get_mut(1) {
        *field = len as u8;
    }
    Ok(bytes)
}

/// The engine writes what is valid.
fn emit(fill: &Fill<'_>, option: &TcpOption<'_>) -> Result<Vec<u8>, BuildError> {
    let mut out = [0; 255];
    let written = option.emit(&mut out).and_then(|len| out.get(..len));
    let too_long =
        || BuildError::new(format!("{} is too long", fill.kind().spec().name), "shorten it");
    written.map(<[u8]>::to_vec).ok_or_else(too_long)
}

/// Any number of edges, an odd one too.
fn sack(fill: &mut Fill<'_>) -> Result<Vec<u8>, BuildError> {
    let edges = fill.list("edges", Vec::new())?;
    let mut bytes = vec![kind::SACK, 0];
    bytes.extend(edges.iter().flat_map(|edge| SeqNum(*edge as u32).0.to_be_bytes()));
    Ok(bytes)
}
