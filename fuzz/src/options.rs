//! The options of a TCP header, from any octets: what the codec reads beside a walk that knows nothing but lengths.

use mpuser_engine::tcp::Timestamps;
use mpuser_engine::wire::mptcp::{Dss, KIND, subtype};
use mpuser_engine::wire::{MptcpOption, TcpOption, TcpOptionIter, TcpOptions};

/// Kind and body of every option, and whether the rest makes no sense.
fn walk(mut bytes: &[u8]) -> (impl Iterator<Item = (u8, &[u8])> + Clone, bool) {
    let mut found: [(u8, &[u8]); 40] = [(0, &[]); 40];
    let (mut count, mut malformed) = (0, false);
    while let Some((kind, rest)) = bytes.split_first() {
        bytes = match (kind, rest.split_first()) {
            (0, _) => break,
            (1, _) => rest,
            (_, Some((len, body))) if *len >= 2 && usize::from(*len) - 2 <= body.len() => {
                let (body, rest) = body.split_at(usize::from(*len) - 2);
                found[count] = (*kind, body);
                count += 1;
                rest
            }
            _ => {
                malformed = true;
                break;
            }
        };
    }
    (found.into_iter().take(count), malformed)
}

/// Reads `data`, at most the 40 octets a header has.
pub(crate) fn run(data: &[u8]) {
    let bytes = &data[..data.len().min(40)];
    let options = TcpOptions::parse(bytes);
    let (all, malformed) = walk(bytes);
    assert_eq!(options.malformed, malformed);

    // The first of its kind with a length it can have counts.
    let first = |kind: u8, len: usize| all.clone().find(|(k, b)| *k == kind && b.len() == len);
    let number = |body: &[u8]| body.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    assert_eq!(options.mss.map(u64::from), first(2, 2).map(|(_, body)| number(body)));
    assert_eq!(options.window_scale.map(u64::from), first(3, 1).map(|(_, body)| number(body)));
    assert_eq!(options.sack_permitted, first(4, 0).is_some());
    let stamps = |Timestamps { value, echo }| u64::from(value) << 32 | u64::from(echo);
    assert_eq!(options.timestamps.map(stamps), first(8, 8).map(|(_, body)| number(body)));

    // MPTCP: one DSS, everything else in the order of the wire [OPT-17].
    let mut mptcp = all.clone().filter(|(kind, _)| *kind == KIND).map(|(_, body)| body);
    let dss = |body: &[u8]| {
        let named = body.first().is_some_and(|first| first >> 4 == subtype::DSS);
        named.then(|| Dss::parse(body)).flatten()
    };
    assert_eq!(options.dss, mptcp.clone().find_map(dss));
    let mut signals = options.signals.iter();
    for body in mptcp.by_ref().filter(|body| dss(body).is_none()) {
        let signal = signals.next();
        assert_eq!(signal, Some(MptcpOption::parse(body)));
        signal.iter().for_each(check_option);
    }
    assert_eq!(signals.next(), None);
    options.dss.iter().for_each(|dss| check_option(&MptcpOption::Dss(*dss)));

    // The iterator sees the same options, and says where it stopped.
    let mut one_by_one = TcpOptionIter::new(bytes)
        .filter(|item| !matches!(item, Ok(TcpOption::NoOperation | TcpOption::EndOfList)));
    for (kind, body) in all {
        let option = one_by_one.next();
        let Some(Ok(option)) = option else { panic!("kind {kind}: {option:?}") };
        let mut out = [0; 40];
        assert_eq!(option.emit(&mut out), Some(body.len() + 2), "{option:?}");
        assert_eq!(out[..2], [kind, body.len() as u8 + 2]);
    }
    assert_eq!(one_by_one.next().is_some(), malformed);
}

/// What was read can be written, and is read again as it was.
fn check_option(option: &MptcpOption) {
    let mut out = [0; 40];
    let len = option.emit(&mut out);
    assert_eq!(len, Some(option.wire_len()));
    assert_eq!(MptcpOption::parse(&out[2..option.wire_len()]), *option);
}
