//! The rim: packetdrill's table of functions, C in and C out. Everything with a pointer is here, nothing else is.

mod address;
mod calls;
mod message;
mod table;

pub use table::{Interface, packetdrill_interface_init};

use crate::errno::{Answer, Errno};
use crate::machine::Options;
use crate::serve::{CONTROL, Control};
use crate::shared::Shared;
use std::ffi::{c_int, c_void};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What `userdata` points to.
#[derive(Debug)]
pub struct Door {
    shared: Arc<Shared>,
    /// Ends with the door.
    _control: Option<Control>,
}

impl Door {
    /// A machine with these options, and its control socket if [`CONTROL`] names one.
    #[must_use]
    pub fn open(options: &Options) -> Self {
        let shared = Arc::new(Shared::new(options));
        let path = std::env::var_os(CONTROL).filter(|path| !path.is_empty());
        let control = path.and_then(|path| {
            let listening = Control::listen(Path::new(&path), &shared);
            let complain = |why: &io::Error| {
                eprintln!("mpuser-packetdrill: no control socket at {path:?}: {why}");
            };
            listening.inspect_err(complain).ok()
        });
        Self { shared, _control: control }
    }
}

/// The machine behind the `userdata` pointer.
///
/// # Safety
///
/// `userdata` is the pointer that [`packetdrill_interface_init`] put into the table, and `free` was not called yet.
unsafe fn shared<'a>(userdata: *mut c_void) -> &'a Shared {
    // SAFETY: by contract the pointer came from `Box::into_raw` of a `Door`, which lives until `free`.
    &unsafe { &*userdata.cast::<Door>() }.shared
}

fn set_errno(error: Errno) {
    // SAFETY: the location is the calling thread's own, valid as long as the thread is.
    unsafe { *libc::__errno_location() = error.0 };
}

/// A C result: the number, or -1 and `errno`.
fn number<T: TryInto<c_int>>(answer: Answer<T>) -> c_int {
    match answer {
        Ok(value) => value.try_into().unwrap_or(c_int::MAX),
        Err(error) => {
            set_errno(error);
            -1
        }
    }
}

fn size(answer: Answer<usize>) -> isize {
    match answer {
        Ok(value) => isize::try_from(value).unwrap_or(isize::MAX),
        Err(error) => {
            set_errno(error);
            -1
        }
    }
}

fn nothing(answer: Answer<()>) -> c_int {
    number(answer.map(|()| 0))
}

/// Copies octets in.
///
/// # Safety
///
/// `from` is null or points to `len` readable octets.
unsafe fn octets(from: *const c_void, len: usize) -> Answer<Vec<u8>> {
    if len == 0 {
        return Ok(Vec::new());
    }
    if from.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null, and by contract `len` octets may be read.
    Ok(unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) }.to_vec())
}

/// Copies octets out.
///
/// # Safety
///
/// `to` is null or points to `data.len()` writable octets.
unsafe fn give(to: *mut c_void, data: &[u8]) -> Answer<()> {
    if data.is_empty() {
        return Ok(());
    }
    if to.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null, by contract as long as `data`, and our own copy does not overlap the caller's memory.
    unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to.cast::<u8>(), data.len()) };
    Ok(())
}
