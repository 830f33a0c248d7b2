//! The table packetdrill reads its calls from. Names and order of the fields are packetdrill's.

use super::{Door, calls};
use crate::machine::Options;
use libc::{
    c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void, epoll_event, iovec, loff_t, msghdr,
    nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval, useconds_t,
};
use std::ffi::CStr;

type User = *mut c_void;

/// `struct packetdrill_interface`.
///
/// `fcntl` and `ioctl` are variadic in C. They are declared here with the one further argument they take: on the Linux
/// ABIs a variadic integer argument travels where a named one would, and what was not passed is not used.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "fields are named after the system calls they stand for")]
pub struct Interface {
    pub userdata: User,
    pub free: Option<unsafe extern "C" fn(User)>,
    pub socket: Option<unsafe extern "C" fn(User, c_int, c_int, c_int) -> c_int>,
    pub bind: Option<unsafe extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int>,
    pub listen: Option<unsafe extern "C" fn(User, c_int, c_int) -> c_int>,
    pub accept: Option<unsafe extern "C" fn(User, c_int, *mut sockaddr, *mut socklen_t) -> c_int>,
    pub connect: Option<unsafe extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int>,
    pub read: Option<unsafe extern "C" fn(User, c_int, *mut c_void, size_t) -> ssize_t>,
    pub readv: Option<unsafe extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t>,
    pub recv: Option<unsafe extern "C" fn(User, c_int, *mut c_void, size_t, c_int) -> ssize_t>,
    pub recvfrom: Option<
        unsafe extern "C" fn(
            User,
            c_int,
            *mut c_void,
            size_t,
            c_int,
            *mut sockaddr,
            *mut socklen_t,
        ) -> ssize_t,
    >,
    pub recvmsg: Option<unsafe extern "C" fn(User, c_int, *mut msghdr, c_int) -> ssize_t>,
    pub write: Option<unsafe extern "C" fn(User, c_int, *const c_void, size_t) -> ssize_t>,
    pub writev: Option<unsafe extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t>,
    pub send: Option<unsafe extern "C" fn(User, c_int, *const c_void, size_t, c_int) -> ssize_t>,
    pub sendto: Option<
        unsafe extern "C" fn(
            User,
            c_int,
            *const c_void,
            size_t,
            c_int,
            *const sockaddr,
            socklen_t,
        ) -> ssize_t,
    >,
    pub sendmsg: Option<unsafe extern "C" fn(User, c_int, *const msghdr, c_int) -> ssize_t>,
    pub fcntl: Option<unsafe extern "C" fn(User, c_int, c_int, c_long) -> c_int>,
    pub ioctl: Option<unsafe extern "C" fn(User, c_int, c_ulong, *mut c_int) -> c_int>,
    pub close: Option<unsafe extern "C" fn(User, c_int) -> c_int>,
    pub shutdown: Option<unsafe extern "C" fn(User, c_int, c_int) -> c_int>,
    pub getsockopt: Option<
        unsafe extern "C" fn(User, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    >,
    pub setsockopt:
        Option<unsafe extern "C" fn(User, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int>,
    pub poll: Option<unsafe extern "C" fn(User, *mut pollfd, nfds_t, c_int) -> c_int>,
    pub netdev_send: Option<unsafe extern "C" fn(User, *const c_void, size_t) -> c_int>,
    pub netdev_receive:
        Option<unsafe extern "C" fn(User, *mut c_void, *mut size_t, *mut c_longlong) -> c_int>,
    pub usleep: Option<unsafe extern "C" fn(User, useconds_t) -> c_int>,
    pub gettimeofday: Option<unsafe extern "C" fn(User, *mut timeval, *mut c_void) -> c_int>,
    pub epoll_create: Option<unsafe extern "C" fn(User, c_int) -> c_int>,
    pub epoll_ctl:
        Option<unsafe extern "C" fn(User, c_int, c_int, c_int, *mut epoll_event) -> c_int>,
    pub epoll_wait:
        Option<unsafe extern "C" fn(User, c_int, *mut epoll_event, c_int, c_int) -> c_int>,
    pub pipe: Option<unsafe extern "C" fn(User, *mut c_int) -> c_int>,
    pub splice: Option<
        unsafe extern "C" fn(
            User,
            c_int,
            *mut loff_t,
            c_int,
            *mut loff_t,
            size_t,
            c_uint,
        ) -> ssize_t,
    >,
}

impl Interface {
    /// A table over this machine; `free` gives it up.
    #[must_use]
    pub fn new(door: Door) -> Self {
        Self {
            userdata: Box::into_raw(Box::new(door)).cast(),
            free: Some(calls::free),
            socket: Some(calls::socket),
            bind: Some(calls::bind),
            listen: Some(calls::listen),
            accept: Some(calls::accept),
            connect: Some(calls::connect),
            read: Some(calls::read),
            readv: Some(calls::readv),
            recv: Some(calls::recv),
            recvfrom: Some(calls::recvfrom),
            recvmsg: Some(calls::recvmsg),
            write: Some(calls::write),
            writev: Some(calls::writev),
            send: Some(calls::send),
            sendto: Some(calls::sendto),
            sendmsg: Some(calls::sendmsg),
            fcntl: Some(calls::fcntl),
            ioctl: Some(calls::ioctl),
            close: Some(calls::close),
            shutdown: Some(calls::shutdown),
            getsockopt: Some(calls::getsockopt),
            setsockopt: Some(calls::setsockopt),
            poll: Some(calls::poll),
            netdev_send: Some(calls::netdev_send),
            netdev_receive: Some(calls::netdev_receive),
            usleep: Some(calls::usleep),
            gettimeofday: Some(calls::gettimeofday),
            epoll_create: Some(calls::epoll_create),
            epoll_ctl: Some(calls::epoll_ctl),
            epoll_wait: Some(calls::epoll_wait),
            pipe: Some(calls::pipe),
            splice: Some(calls::splice),
        }
    }
}

/// What packetdrill calls first: fills the table. `flags` is what `--so_flags` gave, see [`Options::with_flags`].
///
/// # Safety
///
/// `flags` is null or a C string; `interface` points to a writable table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(
    flags: *const c_char,
    interface: *mut Interface,
) {
    let flags = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: not null, a C string by contract.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let options = Options::from_environment(&flags);
    let table = Interface::new(Door::open(&options));
    if !interface.is_null() {
        // SAFETY: not null, writable by contract.
        unsafe { interface.write(table) };
    }
}
