//! The engine at the other end, in virtual time.

use super::*;
use mpuser_sim::conform::EngineTarget;
use mpuser_sim::conform::target::{PORT, SERVER, Setup, probe_address, stack_address};

fn remote() -> SocketAddr {
    SocketAddr::new(stack_address(0, false), PORT)
}

fn local(index: u8) -> IpAddr {
    probe_address(index, false)
}

#[test]
fn a_connection_from_hello_to_goodbye() {
    for checksum in [false, true] {
        let mut target = EngineTarget::new(&Setup { checksum, ..SERVER });
        let mut talk = Dialogue::new(&mut target, [7; 32]);
        let first = talk.handshake(local(0), remote()).unwrap();
        talk.data(first, b"hello ").unwrap();
        let second = talk.join(local(1), remote()).unwrap();
        talk.data(second, b"world").unwrap();
        assert_eq!(talk.session.data.sent, 11);
        drop(talk);
        assert!(target.accept());
        let read = [target.read(100).unwrap(), target.read(100).unwrap()].concat();
        assert_eq!(read, b"hello world");
    }
}

#[test]
fn both_ends_close() {
    let mut target = EngineTarget::new(&SERVER);
    let mut talk = Dialogue::new(&mut target, [7; 32]);
    let first = talk.handshake(local(0), remote()).unwrap();
    talk.data(first, b"x").unwrap();
    let (session, log) = (talk.session, talk.log);
    assert!(log.len() >= 4 && log[0].sent && !log[1].sent);
    assert!(target.accept());
    assert_eq!(target.read(10).unwrap(), b"x");
    target.write(b"bye").unwrap();
    target.close();
    let mut talk = Dialogue { session, wire: &mut target, patience: Duration::from_secs(1), log };
    talk.listen(Duration::from_millis(300));
    // three octets and the DATA_FIN
    assert_eq!((talk.session.data.received, talk.session.data.ended()), (4, true));
    talk.close().unwrap();
}

#[test]
fn refusals_are_named() {
    let mut target = EngineTarget::new(&SERVER);
    let mut talk = Dialogue::new(&mut target, [7; 32]);
    let closed = SocketAddr::new(stack_address(0, false), 81);
    assert_eq!(talk.handshake(local(0), closed), Err(Refusal::Reset(None)));
    let nobody = SocketAddr::new(stack_address(200, false), PORT);
    assert_eq!(talk.handshake(local(0), nobody), Err(Refusal::Silence));
    assert!(matches!(talk.join(local(0), remote()), Err(Refusal::Build(_))));
    talk.handshake(local(0), remote()).unwrap();
    // a token nobody has
    talk.session.data.peer_key = Some(1);
    assert!(matches!(talk.join(local(1), remote()), Err(Refusal::Reset(_))));
}

#[test]
fn an_abort_is_taken_as_one() {
    let mut target = EngineTarget::new(&SERVER);
    let mut talk = Dialogue::new(&mut target, [7; 32]);
    talk.handshake(local(0), remote()).unwrap();
    talk.abort();
    let reset = talk.session.flow(0).unwrap().reset;
    drop(talk);
    assert!(reset && target.accept());
    assert!(target.read(10).is_err());
}
