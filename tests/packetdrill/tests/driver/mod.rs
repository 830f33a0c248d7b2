//! A driver: loads the shared object as packetdrill does, and a peer that a test plays by hand.

pub(crate) mod peer;

use mpuser_packetdrill::ffi::Interface;
use std::ffi::{CString, c_int, c_void};
use std::io::Error;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::ffi::OsStrExt;

/// This end, and the port it listens on or the peer does.
pub(crate) const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);
/// The peer.
pub(crate) const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The server's port.
pub(crate) const PORT: u16 = 8080;

type Init = unsafe extern "C" fn(*const std::ffi::c_char, *mut Interface);

/// The table, as packetdrill holds it. Calls may come from any thread.
pub(crate) struct Driver {
    table: Interface,
}

// SAFETY: the object guards its state with a lock; packetdrill calls it from two threads, too.
unsafe impl Sync for Driver {}
// SAFETY: as above.
unsafe impl Send for Driver {}

/// The number the kernel has for this thread.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: no arguments, and it cannot fail.
    unsafe { libc::gettid() }
}

/// The thread waits for something.
pub(crate) fn is_sleeping(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// -1 means `errno`.
fn checked(result: isize) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// `struct sockaddr_in`
fn sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

macro_rules! call {
    ($driver:expr, $name:ident $(, $argument:expr)*) => {{
        let function = $driver.table.$name.expect("every place of the table is filled");
        // SAFETY: the arguments are valid for the call as the interface describes it.
        checked(unsafe { function($driver.table.userdata $(, $argument)*) } as isize)
    }};
}

impl Driver {
    /// Loads the object that was built beside this test.
    pub(crate) fn load(flags: &str) -> Self {
        let object = std::env::current_exe().unwrap().with_file_name("libmpuser_packetdrill.so");
        let path = CString::new(object.as_os_str().as_bytes()).unwrap();
        // SAFETY: a valid C string; the object is never unloaded.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{} cannot be loaded", object.display());
        // SAFETY: a valid handle and a valid name.
        let symbol = unsafe { libc::dlsym(handle, c"packetdrill_interface_init".as_ptr()) };
        assert!(!symbol.is_null(), "the object does not export its init function");
        // SAFETY: the symbol is a function of this type.
        let init = unsafe { std::mem::transmute::<*mut c_void, Init>(symbol) };
        let flags = CString::new(flags).unwrap();
        let mut table = MaybeUninit::<Interface>::uninit();
        // SAFETY: a C string, and room for the table.
        unsafe { init(flags.as_ptr(), table.as_mut_ptr()) };
        // SAFETY: filled by `init`.
        Self { table: unsafe { table.assume_init() } }
    }

    pub(crate) fn socket(&self, protocol: c_int) -> c_int {
        let fd = call!(self, socket, libc::AF_INET, libc::SOCK_STREAM, protocol).unwrap();
        fd as c_int
    }

    /// An MPTCP socket that listens on [`PORT`].
    pub(crate) fn listener(&self) -> c_int {
        let fd = self.socket(libc::IPPROTO_MPTCP);
        let any = sockaddr(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT));
        assert_eq!(call!(self, bind, fd, (&raw const any).cast(), 16), Ok(0));
        assert_eq!(call!(self, listen, fd, 8), Ok(0));
        fd
    }

    pub(crate) fn accept(&self, fd: c_int) -> Result<c_int, i32> {
        let mut peer = sockaddr(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let mut len: libc::socklen_t = 16;
        let new = call!(self, accept, fd, (&raw mut peer).cast(), &raw mut len)?;
        assert_eq!(u32::from_be(peer.sin_addr.s_addr), u32::from(REMOTE));
        Ok(new as c_int)
    }

    pub(crate) fn connect(&self, fd: c_int) -> Result<usize, i32> {
        let server = sockaddr(SocketAddrV4::new(REMOTE, PORT));
        call!(self, connect, fd, (&raw const server).cast(), 16)
    }

    pub(crate) fn read(&self, fd: c_int, len: usize) -> Result<Vec<u8>, i32> {
        let mut buffer = vec![0_u8; len];
        let count = call!(self, read, fd, buffer.as_mut_ptr().cast(), len)?;
        buffer.truncate(count);
        Ok(buffer)
    }

    /// Waits for data, whatever the descriptor's mode is.
    pub(crate) fn read_blocking(&self, fd: c_int, len: usize) -> Result<Vec<u8>, i32> {
        assert_eq!(call!(self, fcntl, fd, libc::F_SETFL, i64::from(libc::O_RDWR)), Ok(0));
        self.read(fd, len)
    }

    pub(crate) fn peek(&self, fd: c_int, len: usize) -> Result<Vec<u8>, i32> {
        let mut buffer = vec![0_u8; len];
        let count = call!(self, recv, fd, buffer.as_mut_ptr().cast(), len, libc::MSG_PEEK)?;
        buffer.truncate(count);
        Ok(buffer)
    }

    /// Reads into two pieces.
    pub(crate) fn read_scattered(&self, fd: c_int, lens: [usize; 2]) -> Result<Vec<u8>, i32> {
        let mut buffers = lens.map(|len| vec![0_u8; len]);
        let vectors = buffers.each_mut().map(|buffer| libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        });
        let count = call!(self, readv, fd, vectors.as_ptr(), 2)?;
        let mut all = buffers.concat();
        all.truncate(count);
        Ok(all)
    }

    pub(crate) fn write(&self, fd: c_int, data: &[u8]) -> Result<usize, i32> {
        call!(self, write, fd, data.as_ptr().cast(), data.len())
    }

    pub(crate) fn write_nothing_of(&self, fd: c_int, len: usize) -> Result<usize, i32> {
        call!(self, write, fd, std::ptr::null(), len)
    }

    pub(crate) fn nonblocking(&self, fd: c_int) {
        let flags = i64::from(libc::O_RDWR | libc::O_NONBLOCK);
        assert_eq!(call!(self, fcntl, fd, libc::F_SETFL, flags), Ok(0));
        assert_eq!(call!(self, fcntl, fd, libc::F_GETFL, 0), Ok(flags as usize));
    }

    pub(crate) fn poll(&self, fd: c_int, events: i16, timeout: c_int) -> Result<i16, i32> {
        let mut entry = libc::pollfd { fd, events, revents: 0 };
        call!(self, poll, &raw mut entry, 1, timeout).map(|_| entry.revents)
    }

    pub(crate) fn option(&self, fd: c_int, level: c_int, name: c_int) -> Result<c_int, i32> {
        let (mut value, mut len): (c_int, libc::socklen_t) = (0, 4);
        call!(self, getsockopt, fd, level, name, (&raw mut value).cast(), &raw mut len)?;
        assert_eq!(len, 4);
        Ok(value)
    }

    pub(crate) fn set_option(&self, fd: c_int, level: c_int, name: c_int, value: c_int) {
        let value = (&raw const value).cast();
        assert_eq!(call!(self, setsockopt, fd, level, name, value, 4), Ok(0));
    }

    pub(crate) fn unread(&self, fd: c_int) -> c_int {
        let mut count: c_int = -1;
        assert_eq!(call!(self, ioctl, fd, libc::FIONREAD, &raw mut count), Ok(0));
        count
    }

    pub(crate) fn shutdown(&self, fd: c_int) -> Result<usize, i32> {
        call!(self, shutdown, fd, libc::SHUT_WR)
    }

    pub(crate) fn close(&self, fd: c_int) -> Result<usize, i32> {
        call!(self, close, fd)
    }

    /// An epoll instance that watches `fd`.
    pub(crate) fn epoll(&self, fd: c_int, events: c_int) -> c_int {
        let epoll = call!(self, epoll_create, 1).unwrap() as c_int;
        let mut event = libc::epoll_event { events: events as u32, u64: 77 };
        let added = call!(self, epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event);
        assert_eq!(added, Ok(0));
        epoll
    }

    pub(crate) fn epoll_wait(&self, epoll: c_int, timeout: c_int) -> Vec<(u32, u64)> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
        let count = call!(self, epoll_wait, epoll, events.as_mut_ptr(), 4, timeout).unwrap();
        events[..count].iter().map(|event| (event.events, event.u64)).collect()
    }

    /// A packet arrives.
    pub(crate) fn inject(&self, packet: &[u8]) {
        assert_eq!(call!(self, netdev_send, packet.as_ptr().cast(), packet.len()), Ok(0));
    }

    /// The next packet that leaves, and when; `None` when none ever will.
    pub(crate) fn sniff(&self) -> Option<(Vec<u8>, i64)> {
        let mut packet = vec![0_u8; 65_536];
        let (mut len, mut at) = (packet.len(), 0_i64);
        let buffer = packet.as_mut_ptr().cast();
        assert_eq!(call!(self, netdev_receive, buffer, &raw mut len, &raw mut at), Ok(0));
        packet.truncate(len);
        (len > 0).then_some((packet, at))
    }

    pub(crate) fn sleep(&self, micros: u32) {
        assert_eq!(call!(self, usleep, micros), Ok(0));
    }

    /// Microseconds since the epoch.
    pub(crate) fn time(&self) -> i64 {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        assert_eq!(call!(self, gettimeofday, &raw mut time, std::ptr::null_mut()), Ok(0));
        time.tv_sec * 1_000_000 + time.tv_usec
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let free = self.table.free.expect("every place of the table is filled");
        // SAFETY: nobody calls any more.
        unsafe { free(self.table.userdata) };
    }
}
