//! The shared object, driven through the interface packetdrill uses.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may panic, too"
)]

mod driver;

use driver::peer::Peer;
use driver::{Driver, is_sleeping, thread_id};
use mpuser_engine::seq::DataSeq;
use mpuser_engine::wire::WireDataSeq;
use std::sync::mpsc;
use std::thread;

const SECOND: i64 = 1_000_000;

fn short(seq: DataSeq) -> WireDataSeq {
    WireDataSeq::Short(seq.low32())
}

#[test]
fn a_server_from_the_handshake_to_the_end() {
    let driver = Driver::load("");
    let listener = driver.listener();
    driver.nonblocking(listener);
    assert_eq!(driver.accept(listener), Err(libc::EAGAIN));
    let peer = Peer::client(&driver);
    assert_eq!(driver.poll(listener, libc::POLLIN, 0), Ok(libc::POLLIN));
    let fd = driver.accept(listener).unwrap();
    assert_eq!(driver.option(fd, libc::SOL_TCP, mpuser_packetdrill::TCP_IS_MPTCP), Ok(1));

    // Linux: Data ACKs are short until the peer has sent a long DSN.
    assert_eq!(driver.write(fd, b"hello"), Ok(5));
    let data = peer.next();
    assert_eq!(data.payload, b"hello");
    assert_eq!(data.dss().data_ack, Some(short(Peer::ours(0))));
    assert_eq!(data.dss().mapping.unwrap().data_seq, WireDataSeq::Long(peer.theirs(0).0));
    peer.send(Some(5), 1, false, &[], Some(peer.mapped(5, 0, 4, false)), b"ping");
    assert_eq!(peer.next().dss().data_ack, Some(WireDataSeq::Long(Peer::ours(4).0)));
    assert_eq!(driver.unread(fd), 4);
    assert_eq!(driver.read(fd, 100).as_deref(), Ok(&b"ping"[..]));

    assert_eq!(driver.close(fd), Ok(0));
    assert!(peer.next().dss().data_fin);
    peer.send(Some(5), 5, false, &[], Some(peer.mapped(6, 4, 1, true)), b"");
    let fin = peer.next();
    assert!(fin.header.flags.fin, "the FIN goes before the ACK: {fin:?}");
    assert_eq!(driver.close(listener), Ok(0));
}

#[test]
fn a_client_that_does_not_wait() {
    let driver = Driver::load("");
    let fd = driver.socket(libc::IPPROTO_MPTCP);
    assert_eq!(driver.read(fd, 1), Err(libc::ENOTCONN));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EPIPE));
    driver.nonblocking(fd);
    assert_eq!(driver.connect(fd), Err(libc::EINPROGRESS));
    assert_eq!(driver.connect(fd), Err(libc::EALREADY));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EAGAIN));
    assert_eq!(driver.poll(fd, libc::POLLOUT, 0), Ok(0));
    let mut peer = Peer::server(&driver);
    peer.answer();
    assert_eq!(driver.poll(fd, libc::POLLIN | libc::POLLOUT, 0), Ok(libc::POLLOUT));
    assert_eq!(driver.option(fd, libc::SOL_SOCKET, libc::SO_ERROR), Ok(0));
    assert_eq!(driver.connect(fd), Ok(0));
    assert_eq!(driver.connect(fd), Err(libc::EISCONN));
    assert_eq!(driver.write(fd, b"x"), Ok(1));
    assert_eq!(peer.next().payload, b"x");
    assert_eq!(driver.read(fd, 1), Err(libc::EAGAIN));
    assert_eq!(driver.shutdown(fd), Ok(0));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EPIPE));
}

#[test]
fn a_refusal_is_told_once() {
    let driver = Driver::load("");
    let fd = driver.socket(libc::IPPROTO_MPTCP);
    driver.nonblocking(fd);
    assert_eq!(driver.connect(fd), Err(libc::EINPROGRESS));
    Peer::server(&driver).reset(Some(0), 0);
    let told = libc::POLLOUT | libc::POLLERR | libc::POLLHUP;
    assert_eq!(driver.poll(fd, libc::POLLOUT, 1000), Ok(told));
    assert_eq!(driver.option(fd, libc::SOL_SOCKET, libc::SO_ERROR), Ok(libc::ECONNREFUSED));
    assert_eq!(driver.option(fd, libc::SOL_SOCKET, libc::SO_ERROR), Ok(0));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EPIPE));
}

/// The clock may have moved on before the waiting thread runs; it must not see that.
#[test]
fn a_call_that_waits_comes_back_at_the_moment_of_its_answer() {
    let driver = Driver::load("");
    let fd = driver.socket(libc::IPPROTO_MPTCP);
    driver.nonblocking(fd);
    let _ = driver.connect(fd);
    let mut peer = Peer::server(&driver);
    peer.answer();
    let calls = thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let driver = &driver;
        let reader = scope.spawn(move || {
            tell.send(thread_id()).unwrap();
            (driver.read_blocking(fd, 10), driver.time())
        });
        // packetdrill, too, looks whether the thread sleeps: virtual time cannot say that.
        let reader_id = told.recv().unwrap();
        while !is_sleeping(reader_id) {
            thread::yield_now();
        }
        driver.sleep(500_000);
        let arrival = driver.time();
        peer.send(Some(0), 1, false, &[], Some(peer.mapped(0, 0, 2, false)), b"hi");
        driver.sleep(2_000_000);
        let (data, returned) = reader.join().unwrap();
        (data, returned - arrival)
    });
    assert_eq!(calls.0.as_deref(), Ok(&b"hi"[..]));
    assert!((0..10).contains(&calls.1), "{} microseconds late", calls.1);
}

/// There is nobody else to move the clock, so the call does.
#[test]
fn who_moves_the_clock_cannot_wait_for_ever() {
    let driver = Driver::load("");
    let listener = driver.listener();
    let before = driver.time();
    assert_eq!(driver.poll(listener, libc::POLLIN, 3000), Ok(0));
    assert!((3 * SECOND..4 * SECOND).contains(&(driver.time() - before)));
    assert_eq!(driver.accept(listener), Err(libc::EDEADLK));
}

#[test]
fn time_runs_until_a_packet_leaves() {
    let driver = Driver::load("");
    assert!(driver.sniff().is_none(), "nothing will ever leave");
    let fd = driver.socket(libc::IPPROTO_MPTCP);
    driver.nonblocking(fd);
    let _ = driver.connect(fd);
    let peer = Peer::server(&driver);
    let start = driver.time();
    // Linux: a second apart, and without MP_CAPABLE from the third retransmission on.
    for second in 1..=4 {
        let again = peer.next();
        assert!(again.header.flags.syn);
        assert_eq!(again.signals().is_empty(), second > 2, "SYN number {second}");
        let after = again.at - start;
        assert!((second * SECOND - 1000..=second * SECOND).contains(&after), "after {after}");
    }
    while peer.try_next().is_some() {}
    assert_eq!(driver.option(fd, libc::SOL_SOCKET, libc::SO_ERROR), Ok(libc::ETIMEDOUT));
}

#[test]
fn descriptors_are_real() {
    let driver = Driver::load("");
    let (kept, closed) = (driver.socket(libc::IPPROTO_TCP), driver.socket(libc::IPPROTO_TCP));
    let open = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok();
    assert!(open(kept) && open(closed));
    assert_eq!(driver.close(closed), Ok(0));
    assert_eq!(driver.close(closed), Err(libc::EBADF));
    drop(driver);
    // As packetdrill does with what is left over.
    // SAFETY: the descriptor is this test's own now.
    assert_eq!(unsafe { libc::close(kept) }, 0);
}

#[test]
fn every_way_to_read() {
    let driver = Driver::load("");
    let listener = driver.listener();
    let peer = Peer::client(&driver);
    let fd = driver.accept(listener).unwrap();
    peer.send(Some(0), 1, false, &[], Some(peer.mapped(0, 0, 9, false)), b"123456789");
    assert_eq!(driver.peek(fd, 4).as_deref(), Ok(&b"1234"[..]));
    assert_eq!(driver.unread(fd), 9);
    assert_eq!(driver.read_scattered(fd, [2, 3]).as_deref(), Ok(&b"12345"[..]));
    assert_eq!(driver.read(fd, 0).as_deref(), Ok(&b""[..]));
    assert_eq!(driver.read(fd, 100).as_deref(), Ok(&b"6789"[..]));
    assert_eq!(driver.write_nothing_of(fd, 5), Err(libc::EFAULT));
}

#[test]
fn epoll_tells_by_level_and_by_edge() {
    let driver = Driver::load("");
    let listener = driver.listener();
    let peer = Peer::client(&driver);
    let fd = driver.accept(listener).unwrap();
    let level = driver.epoll(fd, libc::EPOLLIN);
    let edge = driver.epoll(fd, libc::EPOLLIN | libc::EPOLLET);
    let told = vec![(libc::EPOLLIN as u32, 77)];
    assert_eq!(driver.epoll_wait(level, 0), []);
    assert_eq!(driver.epoll_wait(edge, 0), []);
    peer.send(Some(0), 1, false, &[], Some(peer.mapped(0, 0, 1, false)), b"1");
    assert_eq!(driver.epoll_wait(level, 0), told);
    assert_eq!(driver.epoll_wait(level, 0), told);
    assert_eq!(driver.epoll_wait(edge, 0), told);
    assert_eq!(driver.epoll_wait(edge, 0), []);
    peer.send(Some(0), 2, false, &[], Some(peer.mapped(0, 1, 1, false)), b"2");
    assert_eq!(driver.epoll_wait(edge, 0), told);
}

#[test]
fn a_second_subflow_carries_data() {
    let driver = Driver::load("");
    let listener = driver.listener();
    let peer = Peer::client(&driver);
    let fd = driver.accept(listener).unwrap();
    peer.send(Some(0), 1, false, &[], Some(peer.mapped(0, 0, 3, false)), b"one");
    peer.next();
    let second = peer.join();
    assert_eq!(second.next().dss().data_ack, Some(WireDataSeq::Long(Peer::ours(3).0)));
    let mut dss = second.mapped(0, 3, 3, false);
    dss.mapping.as_mut().unwrap().subflow_seq.0 = 1;
    second.send(Some(0), 1, false, &[], Some(dss), b"two");
    assert_eq!(second.next().dss().data_ack, Some(WireDataSeq::Long(Peer::ours(6).0)));
    assert_eq!(driver.read(fd, 100).as_deref(), Ok(&b"onetwo"[..]));
    assert_eq!(driver.accept(listener), Err(libc::EDEADLK), "a join is no connection");
}

#[test]
fn options_come_back_as_linux_gives_them() {
    let driver = Driver::load("");
    let fd = driver.socket(libc::IPPROTO_TCP);
    driver.set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 10_000);
    assert_eq!(driver.option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF), Ok(20_000));
    driver.set_option(fd, libc::SOL_TCP, libc::TCP_NODELAY, 1);
    assert_eq!(driver.option(fd, libc::SOL_TCP, libc::TCP_NODELAY), Ok(1));
    assert_eq!(driver.option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL), Ok(libc::IPPROTO_TCP));
    assert_eq!(driver.option(fd, 12_345, 1), Err(libc::ENOPROTOOPT));
    assert_eq!(driver.option(999, libc::SOL_SOCKET, libc::SO_ERROR), Err(libc::EBADF));
}
