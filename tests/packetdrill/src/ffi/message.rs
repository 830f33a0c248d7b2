//! `struct iovec` and `struct msghdr`.

use super::{give, octets};
use crate::errno::{Answer, Errno};
use libc::iovec;
use std::ffi::c_int;

/// Most pieces of one call (`UIO_MAXIOV`).
const MOST: usize = 1024;

/// The pieces of a call.
///
/// # Safety
///
/// `vectors` is null or points to `count` valid `iovec`s.
unsafe fn pieces<'a>(vectors: *const iovec, count: usize) -> Answer<&'a [iovec]> {
    match count {
        0 => Ok(&[]),
        _ if count > MOST => Err(Errno(libc::EMSGSIZE)),
        _ if vectors.is_null() => Err(Errno(libc::EFAULT)),
        // SAFETY: not null, and by contract `count` of them.
        _ => Ok(unsafe { std::slice::from_raw_parts(vectors, count) }),
    }
}

/// A count of pieces as `readv` takes it.
pub(super) fn count(given: c_int) -> Answer<usize> {
    usize::try_from(given).map_err(|_| Errno(libc::EINVAL))
}

/// Everything the pieces hold.
///
/// # Safety
///
/// `vectors` is null or points to `count` `iovec`s, each null or readable over its length.
pub(super) unsafe fn gather(vectors: *const iovec, count: usize) -> Answer<Vec<u8>> {
    let mut data = Vec::new();
    // SAFETY: the same contract.
    for piece in unsafe { pieces(vectors, count) }? {
        // SAFETY: the same contract.
        data.extend(unsafe { octets(piece.iov_base, piece.iov_len) }?);
    }
    Ok(data)
}

/// Room in all pieces together; a null piece with a length is an error.
///
/// # Safety
///
/// `vectors` is null or points to `count` `iovec`s.
pub(super) unsafe fn room(vectors: *const iovec, count: usize) -> Answer<usize> {
    // SAFETY: the same contract.
    let pieces = unsafe { pieces(vectors, count) }?;
    if pieces.iter().any(|piece| piece.iov_base.is_null() && piece.iov_len > 0) {
        return Err(Errno(libc::EFAULT));
    }
    Ok(pieces.iter().map(|piece| piece.iov_len).sum())
}

/// Fills the pieces one after the other.
///
/// # Safety
///
/// `vectors` is null or points to `count` `iovec`s, each null or writable over its length.
pub(super) unsafe fn scatter(vectors: *const iovec, count: usize, data: &[u8]) -> Answer<()> {
    let mut rest = data;
    // SAFETY: the same contract.
    for piece in unsafe { pieces(vectors, count) }? {
        let (now, later) = rest.split_at(rest.len().min(piece.iov_len));
        // SAFETY: `now` is no longer than the piece.
        unsafe { give(piece.iov_base, now) }?;
        rest = later;
    }
    Ok(())
}
