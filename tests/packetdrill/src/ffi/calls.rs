//! The functions behind the table: each turns its pointers into values, asks the machine, and turns the answer back.

use super::{Door, address, give, message, nothing, number, octets, set_errno, shared, size};
use crate::epoll::Ready;
use crate::errno::{Answer, Errno};
use crate::poll::PollFd;
use crate::shared::Shared;
use crate::wait::{Call, Reply};
use libc::{
    c_int, c_long, c_longlong, c_uint, c_ulong, c_void, epoll_event, iovec, loff_t, msghdr, nfds_t,
    pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval, useconds_t,
};
use mpuser_engine::addr::SocketAddr;
use mpuser_engine::time::{Duration, Instant};

type User = *mut c_void;

/// Seconds between the epoch and the machine's time zero: no driver likes a day in 1970.
const EPOCH: i64 = 1_000_000_000;

/// # Safety
///
/// As [`shared`]; nothing may use the pointer afterwards.
pub(super) unsafe extern "C" fn free(user: User) {
    if !user.is_null() {
        // SAFETY: made by `Box::into_raw`, and freed once by contract.
        drop(unsafe { Box::from_raw(user.cast::<Door>()) });
    }
}

/// # Safety
///
/// As [`shared`].
pub(super) unsafe extern "C" fn socket(
    user: User,
    domain: c_int,
    kind: c_int,
    protocol: c_int,
) -> c_int {
    // SAFETY: the same contract.
    number(unsafe { shared(user) }.with(|machine| machine.open(domain, kind, protocol)))
}

/// # Safety
///
/// As [`shared`] and [`address::read`].
pub(super) unsafe extern "C" fn bind(
    user: User,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: the same contracts.
    let (shared, address) = unsafe { (shared(user), address::read(addr, len)) };
    let address = address.and_then(|given| given.ok_or(Errno(libc::EAFNOSUPPORT)));
    nothing(address.and_then(|address| shared.with(|machine| machine.bind(fd, address))))
}

/// # Safety
///
/// As [`shared`].
pub(super) unsafe extern "C" fn listen(user: User, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: the same contract.
    nothing(unsafe { shared(user) }.with(|machine| machine.listen(fd, backlog)))
}

/// # Safety
///
/// As [`shared`] and [`address::write`].
pub(super) unsafe extern "C" fn accept(
    user: User,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the same contract.
    let shared = unsafe { shared(user) };
    number(shared.call(Call::Accept { fd, nonblocking: false }).map(|reply| match reply {
        Reply::Accepted { fd, peer } => {
            // SAFETY: the same contract.
            unsafe { address::write(addr, len, peer) };
            fd
        }
        _ => -1,
    }))
}

/// # Safety
///
/// As [`shared`] and [`address::read`].
pub(super) unsafe extern "C" fn connect(
    user: User,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: the same contracts.
    let (shared, remote) = unsafe { (shared(user), address::read(addr, len)) };
    nothing(remote.and_then(|remote| shared.call(Call::Connect { fd, remote })).map(|_| ()))
}

fn read_call(shared: &Shared, fd: c_int, len: usize, flags: c_int) -> Answer<Vec<u8>> {
    match shared.call(Call::Read { fd, len, flags, got: Vec::new() })? {
        Reply::Data(data) => Ok(data),
        _ => Err(Errno(libc::EIO)),
    }
}

/// # Safety
///
/// As [`shared`]; `buf` is null or writable over `len`.
pub(super) unsafe extern "C" fn read(
    user: User,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { recv(user, fd, buf, len, 0) }
}

/// # Safety
///
/// As [`read`].
pub(super) unsafe extern "C" fn recv(
    user: User,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    if buf.is_null() && len > 0 {
        set_errno(Errno(libc::EFAULT));
        return -1;
    }
    // SAFETY: the same contract.
    let answer = read_call(unsafe { shared(user) }, fd, len, flags);
    // SAFETY: no more than `len` octets are read.
    size(answer.and_then(|data| unsafe { give(buf, &data) }.map(|()| data.len())))
}

/// # Safety
///
/// As [`read`]; `from_len` is null or valid. A stream names no sender.
pub(super) unsafe extern "C" fn recvfrom(
    user: User,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    _from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: the same contract.
    let received = unsafe { recv(user, fd, buf, len, flags) };
    if received >= 0 && !from_len.is_null() {
        // SAFETY: not null, valid by contract.
        unsafe { *from_len = 0 };
    }
    received
}

/// # Safety
///
/// As [`shared`] and [`message::scatter`].
unsafe fn read_pieces(
    user: User,
    fd: c_int,
    vectors: *const iovec,
    count: Answer<usize>,
    flags: c_int,
) -> ssize_t {
    let answer = count.and_then(|count| {
        // SAFETY: the same contracts.
        let room = unsafe { message::room(vectors, count) }?;
        // SAFETY: the same contracts.
        let data = read_call(unsafe { shared(user) }, fd, room, flags)?;
        // SAFETY: the same contracts.
        unsafe { message::scatter(vectors, count, &data) }.map(|()| data.len())
    });
    size(answer)
}

/// # Safety
///
/// As [`shared`] and [`message::scatter`].
pub(super) unsafe extern "C" fn readv(
    user: User,
    fd: c_int,
    vectors: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { read_pieces(user, fd, vectors, message::count(count), 0) }
}

/// # Safety
///
/// As [`shared`]; `msg` is null or a valid message header.
pub(super) unsafe extern "C" fn recvmsg(
    user: User,
    fd: c_int,
    msg: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: valid by contract.
    let Some(msg) = (unsafe { msg.as_mut() }) else {
        set_errno(Errno(libc::EFAULT));
        return -1;
    };
    // SAFETY: the same contract.
    let received = unsafe { read_pieces(user, fd, msg.msg_iov, Ok(msg.msg_iovlen), flags) };
    if received >= 0 {
        // A stream names no sender, and there is nothing else to tell.
        (msg.msg_namelen, msg.msg_controllen, msg.msg_flags) = (0, 0, 0);
    }
    received
}

fn write_call(
    shared: &Shared,
    fd: c_int,
    data: Vec<u8>,
    flags: c_int,
    remote: Option<SocketAddr>,
) -> Answer<usize> {
    match shared.call(Call::Write { fd, data, flags, remote, taken: 0 })? {
        Reply::Done(taken) => Ok(taken),
        _ => Err(Errno(libc::EIO)),
    }
}

/// # Safety
///
/// As [`shared`]; `buf` is null or readable over `len`.
pub(super) unsafe extern "C" fn write(
    user: User,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { send(user, fd, buf, len, 0) }
}

/// # Safety
///
/// As [`write`].
pub(super) unsafe extern "C" fn send(
    user: User,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the same contracts.
    let (shared, data) = unsafe { (shared(user), octets(buf, len)) };
    size(data.and_then(|data| write_call(shared, fd, data, flags, None)))
}

/// # Safety
///
/// As [`write`] and [`address::read`].
pub(super) unsafe extern "C" fn sendto(
    user: User,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    let remote = if to.is_null() {
        Ok(None)
    } else {
        // SAFETY: the same contract.
        unsafe { address::read(to, to_len) }
    };
    // SAFETY: the same contracts.
    let (shared, data) = unsafe { (shared(user), octets(buf, len)) };
    size(remote.and_then(|remote| write_call(shared, fd, data?, flags, remote)))
}

/// # Safety
///
/// As [`shared`] and [`message::gather`].
pub(super) unsafe extern "C" fn writev(
    user: User,
    fd: c_int,
    vectors: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: the same contracts.
    let data = message::count(count).and_then(|count| unsafe { message::gather(vectors, count) });
    // SAFETY: the same contract.
    let shared = unsafe { shared(user) };
    size(data.and_then(|data| write_call(shared, fd, data, 0, None)))
}

/// # Safety
///
/// As [`shared`]; `msg` is null or a valid message header.
pub(super) unsafe extern "C" fn sendmsg(
    user: User,
    fd: c_int,
    msg: *const msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: valid by contract.
    let Some(msg) = (unsafe { msg.as_ref() }) else {
        set_errno(Errno(libc::EFAULT));
        return -1;
    };
    let remote = if msg.msg_name.is_null() || msg.msg_namelen == 0 {
        Ok(None)
    } else {
        // SAFETY: the name is as long as the header says.
        unsafe { address::read(msg.msg_name.cast_const().cast(), msg.msg_namelen) }
    };
    // SAFETY: the same contracts.
    let (shared, data) = unsafe { (shared(user), message::gather(msg.msg_iov, msg.msg_iovlen)) };
    size(remote.and_then(|remote| write_call(shared, fd, data?, flags, remote)))
}

/// # Safety
///
/// As [`shared`].
pub(super) unsafe extern "C" fn fcntl(
    user: User,
    fd: c_int,
    command: c_int,
    argument: c_long,
) -> c_int {
    // SAFETY: the same contract.
    number(unsafe { shared(user) }.with(|machine| machine.fcntl(fd, command, argument)))
}

/// # Safety
///
/// As [`shared`]; `value` is null or writable.
pub(super) unsafe extern "C" fn ioctl(
    user: User,
    fd: c_int,
    request: c_ulong,
    value: *mut c_int,
) -> c_int {
    // The request came through an `int` on the way: its low 32 bits are what counts.
    // SAFETY: the same contract.
    let answer = unsafe { shared(user) }.with(|machine| machine.ioctl(fd, request & 0xffff_ffff));
    // SAFETY: valid by contract.
    nothing(answer.and_then(|found| unsafe { give(value.cast(), &found.to_ne_bytes()) }))
}

/// # Safety
///
/// As [`shared`].
pub(super) unsafe extern "C" fn close(user: User, fd: c_int) -> c_int {
    // SAFETY: the same contract.
    nothing(unsafe { shared(user) }.with(|machine| machine.close(fd)))
}

/// # Safety
///
/// As [`shared`].
pub(super) unsafe extern "C" fn shutdown(user: User, fd: c_int, how: c_int) -> c_int {
    // SAFETY: the same contract.
    nothing(unsafe { shared(user) }.with(|machine| machine.shutdown(fd, how)))
}

/// # Safety
///
/// As [`shared`]; `len` is valid, and `value` is null or writable over `*len`.
pub(super) unsafe extern "C" fn getsockopt(
    user: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: valid by contract.
    let Some(len) = (unsafe { len.as_mut() }) else {
        set_errno(Errno(libc::EFAULT));
        return -1;
    };
    // SAFETY: the same contract.
    let shared = unsafe { shared(user) };
    let answer = shared.with(|machine| machine.option(fd, level, name, *len as usize));
    nothing(answer.and_then(|found| {
        *len = socklen_t::try_from(found.len()).unwrap_or(0);
        // SAFETY: cut to the room there is.
        unsafe { give(value, &found) }
    }))
}

/// # Safety
///
/// As [`shared`]; `value` is null or readable over `len`.
pub(super) unsafe extern "C" fn setsockopt(
    user: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: the same contracts.
    let (shared, value) = unsafe { (shared(user), octets(value, len as usize)) };
    nothing(value.and_then(|value| shared.with(|m| m.set_option(fd, level, name, &value))))
}

/// The moment `timeout` milliseconds from now; a negative one never comes.
fn deadline(shared: &Shared, timeout: c_int) -> Option<Instant> {
    let time = Duration::from_millis(u64::try_from(timeout).ok()?);
    Some(shared.with(|machine| machine.now()) + time)
}

/// # Safety
///
/// As [`shared`]; `fds` is null or points to `count` entries.
pub(super) unsafe extern "C" fn poll(
    user: User,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
) -> c_int {
    if fds.is_null() && count > 0 {
        set_errno(Errno(libc::EFAULT));
        return -1;
    }
    let entries: &mut [pollfd] = if fds.is_null() {
        &mut []
    } else {
        // SAFETY: not null, `count` entries by contract.
        unsafe { std::slice::from_raw_parts_mut(fds, usize::try_from(count).unwrap_or(0)) }
    };
    // SAFETY: the same contract.
    let shared = unsafe { shared(user) };
    let ask = |entry: &pollfd| PollFd { fd: entry.fd, events: entry.events, revents: 0 };
    let asked = entries.iter().map(ask).collect();
    let call = Call::Poll { fds: asked, deadline: deadline(shared, timeout) };
    number(shared.call(call).map(|reply| {
        let Reply::Polled(told) = reply else { return 0 };
        for (entry, told) in entries.iter_mut().zip(&told) {
            entry.revents = told.revents;
        }
        told.iter().filter(|entry| entry.revents != 0).count()
    }))
}

/// # Safety
///
/// As [`shared`]; `buf` is readable over `len`.
pub(super) unsafe extern "C" fn netdev_send(user: User, buf: *const c_void, len: size_t) -> c_int {
    // SAFETY: the same contracts.
    let (shared, packet) = unsafe { (shared(user), octets(buf, len)) };
    nothing(packet.map(|packet| shared.with(|machine| machine.receive(&packet))))
}

/// # Safety
///
/// As [`shared`]; `len` is valid, `buf` is writable over `*len`, `at` is null or valid.
pub(super) unsafe extern "C" fn netdev_receive(
    user: User,
    buf: *mut c_void,
    len: *mut size_t,
    at: *mut c_longlong,
) -> c_int {
    // SAFETY: valid by contract.
    let Some(len) = (unsafe { len.as_mut() }) else {
        set_errno(Errno(libc::EFAULT));
        return -1;
    };
    // SAFETY: the same contract.
    let shared = unsafe { shared(user) };
    let (bytes, when) = match shared.with(crate::Machine::transmit) {
        Some(packet) => (packet.bytes, packet.at),
        None => (Vec::new(), shared.with(|machine| machine.now())),
    };
    *len = bytes.len().min(*len);
    if !at.is_null() {
        let micros = i64::try_from(when.as_micros()).unwrap_or(i64::MAX);
        // SAFETY: not null, valid by contract.
        unsafe { *at = (EPOCH * 1_000_000).saturating_add(micros) };
    }
    // SAFETY: cut to the room there is.
    nothing(unsafe { give(buf, bytes.get(..*len).unwrap_or_default()) })
}

/// # Safety
///
/// As [`shared`].
pub(super) unsafe extern "C" fn usleep(user: User, micros: useconds_t) -> c_int {
    let time = Duration::from_micros(u64::from(micros));
    // SAFETY: the same contract.
    unsafe { shared(user) }.with(|machine| machine.sleep(time));
    0
}

/// # Safety
///
/// As [`shared`]; `time` is null or valid.
pub(super) unsafe extern "C" fn gettimeofday(
    user: User,
    time: *mut timeval,
    _zone: *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    let micros = i64::try_from(unsafe { shared(user) }.time().as_micros()).unwrap_or(i64::MAX);
    if !time.is_null() {
        let value = timeval { tv_sec: EPOCH + micros / 1_000_000, tv_usec: micros % 1_000_000 };
        // SAFETY: not null, valid by contract.
        unsafe { time.write(value) };
    }
    0
}

/// # Safety
///
/// As [`shared`].
pub(super) unsafe extern "C" fn epoll_create(user: User, size: c_int) -> c_int {
    if size <= 0 {
        set_errno(Errno(libc::EINVAL));
        return -1;
    }
    // SAFETY: the same contract.
    number(unsafe { shared(user) }.with(crate::Machine::epoll_create))
}

/// # Safety
///
/// As [`shared`]; `event` is null or valid.
pub(super) unsafe extern "C" fn epoll_ctl(
    user: User,
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: valid by contract.
    let event = unsafe { event.as_ref() }.copied();
    let event =
        event.map_or(Ready { events: 0, data: 0 }, |e| Ready { events: e.events, data: e.u64 });
    // SAFETY: the same contract.
    nothing(unsafe { shared(user) }.with(|machine| machine.epoll_ctl(epoll, operation, fd, event)))
}

/// # Safety
///
/// As [`shared`]; `events` points to `most` writable entries.
pub(super) unsafe extern "C" fn epoll_wait(
    user: User,
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the same contract.
    let shared = unsafe { shared(user) };
    let max = usize::try_from(most).unwrap_or(0);
    let call = Call::EpollWait { fd: epoll, max, deadline: deadline(shared, timeout) };
    number(shared.call(call).and_then(|reply| {
        let Reply::Events(told) = reply else { return Ok(0) };
        if events.is_null() && !told.is_empty() {
            return Err(Errno(libc::EFAULT));
        }
        for (index, event) in told.iter().enumerate() {
            let event = epoll_event { events: event.events, u64: event.data };
            // SAFETY: not null, and `told` has at most `most` entries.
            unsafe { events.add(index).write_unaligned(event) };
        }
        Ok(told.len())
    }))
}

/// # Safety
///
/// None. There are no pipes here.
pub(super) unsafe extern "C" fn pipe(_user: User, _fds: *mut c_int) -> c_int {
    set_errno(Errno(libc::ENOSYS));
    -1
}

/// # Safety
///
/// None. Nothing can be spliced without pipes.
pub(super) unsafe extern "C" fn splice(
    _user: User,
    _from: c_int,
    _from_at: *mut loff_t,
    _to: c_int,
    _to_at: *mut loff_t,
    _len: size_t,
    _flags: c_uint,
) -> ssize_t {
    set_errno(Errno(libc::ENOSYS));
    -1
}
