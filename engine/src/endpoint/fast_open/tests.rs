use super::*;

fn at(hours: u64, minutes: u64) -> Instant {
    Instant::from_millis((hours * 60 + minutes) * 60_000)
}

/// RFC 7413 4.1.2: bound to the address, renewed every hour, good for one to two.
#[test]
fn a_cookie_belongs_to_an_address_and_a_time() {
    let cookies = FastOpenCookies::new(&mut Rng::from_seed([1; 32]));
    let four = IpAddr::from([10, 0, 0, 1]);
    let six: IpAddr = "2001:db8::1".parse().expect("an address");
    for client in [four, six] {
        let cookie = cookies.make(at(5, 10), client);
        assert_eq!(cookie.as_slice().len(), COOKIE_LEN, "[TFO-1]");
        assert_eq!(cookies.check(at(5, 59), client, &cookie), Verdict::Good);
        assert_eq!(cookies.check(at(6, 0), client, &cookie), Verdict::Old);
        assert_eq!(cookies.check(at(6, 59), client, &cookie), Verdict::Old);
        assert_eq!(cookies.check(at(7, 0), client, &cookie), Verdict::Bad);
        assert_eq!(cookies.check(at(5, 10), IpAddr::from([10, 0, 0, 2]), &cookie), Verdict::Bad);
        let request = FastOpenCookie::REQUEST;
        assert_eq!(cookies.check(at(5, 10), client, &request), Verdict::Requested);
    }
    let other = FastOpenCookies::new(&mut Rng::from_seed([2; 32]));
    assert_ne!(other.make(at(0, 0), four), cookies.make(at(0, 0), four));
}

/// A cookie of another length or with one bit changed is no cookie of this end.
#[test]
fn a_cookie_is_not_guessed_piecemeal() {
    let cookies = FastOpenCookies::new(&mut Rng::from_seed([1; 32]));
    let client = IpAddr::from([10, 0, 0, 1]);
    let good = cookies.make(at(0, 0), client);
    for bit in 0..COOKIE_LEN * 8 {
        let mut bytes = good.as_slice().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let cookie = FastOpenCookie::new(&bytes).expect("the same length");
        assert_eq!(cookies.check(at(0, 0), client, &cookie), Verdict::Bad);
    }
    let short = FastOpenCookie::new(&good.as_slice()[..4]).expect("4 octets");
    assert_eq!(cookies.check(at(0, 0), client, &short), Verdict::Bad);
}
