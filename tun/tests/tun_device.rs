//! A real TUN device, in a network namespace of its own. Skipped where that is not allowed.

#[path = "common/skip.rs"]
mod skip;

use bytes::BytesMut;
use mpuser_engine::time::Instant;
use mpuser_tun::device::{Device, OffloadTun, PlainTun, Received};
use mpuser_tun::{PathConfig, Stack};
use skip::skipped;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One test at a time: a child that one test starts holds every descriptor of the process until it has become its
/// program, and a device is busy for as long.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves this thread into a new network namespace; false if that is not allowed.
fn new_namespace() -> bool {
    // SAFETY: no pointers; only this thread is concerned.
    unsafe { libc::unshare(libc::CLONE_NEWNET) == 0 }
}

/// A device in a new network namespace; `None`, and said so, where that is not allowed.
fn in_new_namespace<D>(open: impl FnOnce(&str) -> std::io::Result<D>) -> Option<D> {
    if !new_namespace() {
        skipped("no permission to make a network namespace");
        return None;
    }
    open("mptest%d").map_err(|error| skipped(&error.to_string())).ok()
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).status().is_ok_and(|status| status.success())
}

/// The next packet that is IPv4 and UDP: the kernel sends others by itself.
fn next_udp(device: &impl Device) -> Option<Received> {
    let mut arena = BytesMut::new();
    for _ in 0..1000 {
        match device.recv(Instant::ZERO, &mut arena) {
            Ok(received) if received.packet[0] == 0x45 && received.packet[9] == 17 => {
                return Some(received);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_readable(device),
            Err(error) => {
                eprintln!("{error}");
                return None;
            }
        }
    }
    None
}

fn wait_readable(device: &impl Device) {
    let mut poll = libc::pollfd { fd: device.fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which outlives the call.
    unsafe { libc::poll(&raw mut poll, 1, 10) };
}

#[test]
fn packets_go_to_the_kernel_and_back() {
    let _alone = alone();
    let Some(device) = in_new_namespace(PlainTun::open) else { return };
    assert_eq!((device.name(), device.offload()), ("mptest0", false));
    assert_eq!(PlainTun::open("mptest0").unwrap_err().kind(), ErrorKind::ResourceBusy);
    if !ip("addr add 10.9.0.1/24 dev mptest0") || !ip("link set mptest0 mtu 1400 up") {
        skipped("no `ip` command");
        return;
    }
    assert_eq!(device.mtu(), 1400);
    let socket = UdpSocket::bind("10.9.0.1:5000").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for size in [1, 400, 1372] {
        let message = vec![size as u8; size];
        socket.send_to(&message, "10.9.0.2:6000").unwrap();
        let packet = next_udp(&device).expect("the kernel's packet").packet;
        assert_eq!(&packet[28..], message);

        // Back with addresses and ports swapped, which leaves both checksums right; header and payload apart.
        let mut back = packet[..28].to_vec();
        back[12..16].copy_from_slice(&packet[16..20]);
        back[16..20].copy_from_slice(&packet[12..16]);
        back[20..22].copy_from_slice(&packet[22..24]);
        back[22..24].copy_from_slice(&packet[20..22]);
        device.send(Instant::ZERO, &back, &packet[28..], None).unwrap();
        let mut received = [0; 2000];
        let (length, from) = socket.recv_from(&mut received).unwrap();
        assert_eq!(
            (&received[..length], from.to_string().as_str()),
            (&message[..], "10.9.0.2:6000")
        );
    }
}

/// Has the kernel cut what is sent on this socket into datagrams of `size` octets, as late as it can.
fn cut_into(socket: &UdpSocket, size: libc::c_int) {
    let (value, length) = ((&raw const size).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the option is an int, which outlives the call.
    let outcome = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, value, length)
    };
    assert_eq!(outcome, 0, "UDP_SEGMENT: {}", std::io::Error::last_os_error());
}

/// (major, minor) of the kernel.
fn kernel() -> Option<(u32, u32)> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// Ten datagrams sent at once are one read, and what a stack does with it is nothing: it drops them and lives on.
#[test]
fn datagrams_come_merged_with_offload() {
    let _alone = alone();
    if kernel().unwrap() < (6, 2) {
        skipped("the kernel merges no UDP for a TUN device before 6.2");
        return;
    }
    let Some(device) = in_new_namespace(OffloadTun::open) else { return };
    if !ip("addr add 10.9.0.1/24 dev mptest0") || !ip("link set mptest0 up") {
        skipped("no `ip` command");
        return;
    }
    let socket = UdpSocket::bind("10.9.0.1:5000").unwrap();
    cut_into(&socket, 1000);
    let message: Vec<u8> = (0..9500u16).map(|n| (n / 7) as u8).collect();
    socket.send_to(&message, "10.9.0.2:6000").unwrap();
    let received = next_udp(&device).expect("the kernel's packet");
    assert_eq!((&received.packet[28..], received.segment_size), (&message[..], Some(1000)));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let path = PathConfig::new(device, "10.9.0.2".parse().unwrap());
        let stack = Stack::builder().path(path).build().unwrap();
        socket.send_to(&message, "10.9.0.2:6000").unwrap();
        let arrived = async {
            while stack.path_stats()[0].bytes_received < 9528 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), arrived).await.expect("datagrams read");
        // Nothing but the driver's own end could take the path away.
        assert_eq!((stack.addresses().len(), stack.path_stats()[0].receive_errors), (1, 0));
    });
}

#[test]
fn a_persistent_device_can_be_attached_to() {
    let _alone = alone();
    if !new_namespace() || !ip("tuntap add mptest1 mode tun") {
        skipped("no permission, or no `ip` command");
        return;
    }
    for _ in 0..2 {
        let device = PlainTun::attach("mptest1").unwrap();
        assert_eq!((device.name(), device.mtu()), ("mptest1", 1500));
    }
    assert_eq!(
        PlainTun::attach("mptest2").unwrap_err().kind(),
        std::io::Error::from_raw_os_error(libc::ENODEV).kind()
    );
}

#[test]
fn a_device_deleted_under_the_stack_takes_its_address_along() {
    let _alone = alone();
    if !new_namespace() || !ip("tuntap add mptest3 mode tun") {
        skipped("no permission, or no `ip` command");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let device = PlainTun::attach("mptest3").unwrap();
        let path = PathConfig::new(device, "10.9.0.2".parse().unwrap());
        let stack = Stack::builder().path(path).build().unwrap();
        assert_eq!(stack.addresses().len(), 1);
        assert!(ip("link del mptest3"));
        let gone = async {
            while !stack.addresses().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.expect("address withdrawn");
    });
}
