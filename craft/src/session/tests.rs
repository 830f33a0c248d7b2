use super::*;
use crate::{dss, parse};

const A: &str = "10.0.0.1:1000";
const B: &str = "10.0.0.2:2000";

/// Two hand-made ends talk to one another.
fn pair() -> (Session, Session) {
    let (mut a, b) = (Session::new([1; 32]), Session::new([2; 32]));
    a.open(A.parse().unwrap(), B.parse().unwrap());
    (a, b)
}

fn pass(from: &mut Session, to: &mut Session, text: &str) -> Heard {
    let built =
        from.craft(0, &parse(text).unwrap()).unwrap_or_else(|error| panic!("{text}: {error}"));
    to.hear(&built.bytes).unwrap()
}

#[test]
fn two_sessions_shake_hands_and_count() {
    let (mut a, mut b) = pair();
    pass(&mut a, &mut b, "TCP(flags='S')/MP_CAPABLE");
    let answer = pass(&mut b, &mut a, "TCP(flags='SA')/MP_CAPABLE(A=1)");
    assert!(answer.is_syn_ack());
    assert_eq!(a.data.peer_key, Some(b.data.key));
    pass(&mut a, &mut b, "TCP(flags='PA')/MP_CAPABLE/'hello'");
    assert_eq!(b.data.peer_key, Some(a.data.key));
    assert_eq!((a.data.sent, b.data.received), (5, 5));
    let data = pass(&mut b, &mut a, "DSS/'abc'");
    // checksums are in use for both once one of them asked
    assert!(a.data.checksum && data.number(Kind::Dss, "checksum").is_some());
    assert_eq!(
        data.number(Kind::Dss, "data_ack"),
        a.known(0).key.map(|key| a.known(0).dsn(key, 5))
    );
    assert_eq!(a.data.received, 3);
    let fin = pass(&mut a, &mut b, "DSS(F=1)");
    assert_eq!(fin.number(Kind::Dss, "ssn"), Some(0));
    assert_eq!((a.data.sent, b.data.received, b.data.ended()), (6, 6, true));
    pass(&mut a, &mut b, "TCP(flags='FA')");
    assert!(b.flow(0).unwrap().ended && !a.flow(0).unwrap().ended);
    assert_eq!(b.flow(0).unwrap().ack, Some(a.flow(0).unwrap().seq));
}

#[test]
fn forced_numbers_move_nothing() {
    let (mut a, mut b) = pair();
    pass(&mut a, &mut b, "TCP(flags='S')/MP_CAPABLE");
    pass(&mut b, &mut a, "TCP(flags='SA')/MP_CAPABLE");
    let (seq, sent) = (a.flow(0).unwrap().seq, a.data.sent);
    pass(&mut a, &mut b, "TCP(seq=1)/DSS(dsn=5)/'xyz'");
    assert_eq!((a.flow(0).unwrap().seq, a.data.sent), (seq, sent));
    assert_eq!(b.data.received, 0);
}

#[test]
fn repetitions_and_early_octets_are_not_counted() {
    let (mut a, mut b) = pair();
    pass(&mut a, &mut b, "TCP(flags='S')/MP_CAPABLE");
    pass(&mut b, &mut a, "TCP(flags='SA')/MP_CAPABLE");
    pass(&mut a, &mut b, "MP_CAPABLE");
    let one = a.craft(0, &(dss() / "one")).unwrap();
    let two = a.craft(0, &(dss() / "two")).unwrap();
    b.hear(&two.bytes).unwrap();
    assert_eq!((b.data.received, b.flow(0).unwrap().heard), (0, 0));
    b.hear(&one.bytes).unwrap();
    b.hear(&one.bytes).unwrap();
    assert_eq!((b.data.received, b.flow(0).unwrap().heard), (3, 3));
    b.hear(&two.bytes).unwrap();
    assert_eq!(b.data.received, 6);
}

#[test]
fn strangers_are_not_heard() {
    let (mut a, _) = pair();
    let stranger =
        parse("IP('10.0.0.9','10.0.0.1')/TCP(1,2)").unwrap().build(&Known::default()).unwrap();
    assert!(matches!(a.hear(&stranger.bytes), Err(Deaf::Stranger)));
    assert!(matches!(a.hear(b"nonsense"), Err(Deaf::NotTcp(_))));
}
