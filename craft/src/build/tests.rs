use super::*;
use crate::samples;
use crate::table::{Kind, ip, mp_capable, tcp};
use crate::{dissect, parse};
use mpuser_engine::wire::{IpHeader, MptcpOption, TcpHeader, TcpOptionIter, tcp::verify_checksum};
use mpuser_inspect::option::hex;
use proptest::prelude::*;

const KEYS: Known = {
    // test vector V1: keys of both ends and their nonces
    let mut known = NOTHING;
    known.key = Some(0x0001_0203_0405_0607);
    known
};

const NOTHING: Known = Known {
    local: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 1),
    remote: std::net::SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)),
        2,
    ),
    seq: 0,
    ack: 0,
    version: 1,
    key: None,
    peer_key: None,
    nonce: 0x1122_3344,
    peer_nonce: None,
    checksum: false,
    data_sent: 0,
    data_received: 0,
    carried: 0,
    address_id: 1,
};

fn built(text: &str) -> Built {
    parse(text).unwrap().build(&KEYS).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The options of the packet a text stands for.
fn options(text: &str) -> String {
    let packet = built(text);
    let words = usize::from(packet.bytes[32] >> 4) * 4;
    hex(packet.bytes.get(40..20 + words).unwrap_or(&packet.bytes[40..]))
}

#[test]
fn every_form_of_every_option() {
    for (text, expected) in [
        ("TCP(flags='S')/MP_CAPABLE", "1e040101"),
        ("TCP(flags='S')/MP_CAPABLE(version=0, A=1)", "1e0c00810001020304050607"),
        ("TCP(flags='SA')/MP_CAPABLE(C=1)", "1e0c01210001020304050607"),
        ("MP_CAPABLE(receiver_key=0xff)", "1e140101000102030405060700000000000000ff"),
        (
            "MP_CAPABLE(receiver_key=0xff)/'hello'",
            "1e160101000102030405060700000000000000ff00050101",
        ),
        ("MP_CAPABLE(receiver_key=none)", "1e0c01010001020304050607"),
        ("MP_CAPABLE(sender_key=none, receiver_key=1)", "1e0c01010000000000000001"),
        ("TCP(flags='S')/MP_CAPABLE(len=3)", "1e030101"),
        ("TCP(flags='S')/MP_CAPABLE(H=0, B=1, subtype=0xe, kind=253)", "fd04e140"),
        ("TCP(flags='S')/MP_JOIN(token=0x01020304, B=1)", "1e0c1101010203041122 3344"),
        ("TCP(flags='S')/MP_JOIN(peer_key=0x0001020304050607)", "1e0c10018a851ff811223344"),
        (
            "TCP(flags='SA')/MP_JOIN(hmac=0x0102030405060708, nonce=9)",
            "1e101000010203040506070800000009",
        ),
        ("TCP(flags='SA')/MP_JOIN(hmac=0x01020304)", "1e0c1000010203041122 3344"),
        (
            "MP_JOIN(hmac=0x0102030405060708090a0b0c0d0e0f1011121314, reserved=0xabc)",
            "1e181abc0102030405060708090a0b0c0d0e0f1011121314",
        ),
        (
            "MP_JOIN(hmac=0x0102030405060708090a0b0c0d0e0f101112131415)",
            "1e1910000102030405060708090a0b0c0d0e0f101112131415010101",
        ),
        ("MP_JOIN(hmac=0x01)", "1e05100001010101"),
        ("DSS(data_ack=0x1, a=0)", "1e08200100000001"),
        ("DSS(data_ack=0x1)", "1e0c20030000000000000001"),
        ("DSS(dsn=0x10, ssn=3, data_len=4)", "1e12200c00000000000000100000000300040101"),
        (
            "DSS(dsn=0x10, m=0, ssn=3, data_len=4, checksum=0xbeef)",
            "1e102004000000100000000300 04beef",
        ),
        ("DSS(F=1, dsn=5, m=0)", "1e0e2014000000050000000000010101"),
        ("DSS(A=0, M=0, a=1, m=1)", "1e04200a"),
        ("DSS(A=0, reserved=0x7f)", "1e042fe0"),
        ("ADD_ADDR('10.0.0.1', id=2, hmac=0x0102030405060708)", "1e1030020a0000010102030405060708"),
        ("ADD_ADDR('10.0.0.1', id=2, port=80, E=1)", "1e0a31020a00000100500101"),
        ("ADD_ADDR('10.0.0.1', id=2, ipver=4)", "1e0834020a000001"),
        (
            "ADD_ADDR('::1', id=2, ipver=6, port=80)",
            "1e1636020000000000000000000000000000000100500101",
        ),
        ("ADD_ADDR('10.0.0.1', id=2, hmac=0xff, reserved=0xe)", "1e093e020a000001ff010101"),
        ("REMOVE_ADDR([1,2])", "1e05400102010101"),
        ("REMOVE_ADDR([])", "1e034001"),
        ("MP_PRIO(B=0)", "1e035001"),
        ("MP_PRIO(B=1, id=7)", "1e045107"),
        ("MP_FAIL(dsn=0x1)", "1e0c60000000000000000001"),
        ("MP_FASTCLOSE(receiver_key=2)", "1e0c70000000000000000002"),
        ("MP_TCPRST(reason=1, T=1, U=1)", "1e048901"),
        ("MP_EXPERIMENTAL(0x0102, low=3)", "1e05f30102010101"),
        ("MPTCP(9, 'ab', len=40)", "1e28906162010101"),
        ("MSS/WS/SACKOK/TS(5,6)/NOP/EOL", "020405b40303070402080a000000050000000601000101 01"),
        ("SACK([1,2,3])", "050e0000000100000002000000030101"),
        ("TFO/TFO(0x0102030405060708)", "2202220a0102030405060708"),
        ("OPT(254, 0x01)/OCTETS(0xff)", "fe0301ff"),
    ] {
        let expected: String = expected.split_whitespace().collect();
        assert_eq!(options(text), expected, "{text}");
    }
}

/// The keys and nonces of both ends are known: everything is computed, and right.
#[test]
fn what_is_computed_is_what_the_engine_computes() {
    let known = Known {
        peer_key: Some(0xff),
        peer_nonce: Some(7),
        checksum: true,
        data_sent: 5,
        carried: 5,
        ..KEYS
    };
    let text = "TCP(flags='SA')/MP_JOIN/ADD_ADDR('10.0.0.9', id=3)";
    let bytes = parse(text).unwrap().build(&known).unwrap().bytes;
    let hmac = known.join_hmac(0x0001_0203_0405_0607, 0xff, 0x1122_3344, 7);
    assert_eq!(bytes[44..52], hmac[..8]);
    let third = parse("MP_JOIN").unwrap().build(&known).unwrap().bytes;
    assert_eq!(third[44..64], hmac);
    let bad = parse("MP_JOIN(hmac=bad)").unwrap().build(&known).unwrap().bytes;
    assert_eq!(bad[44..63], hmac[..19]);
    assert_eq!(bad[63], hmac[19] ^ 1);
    // the checksum over a mapping of octets 5 to 9 is accepted by the engine
    let data = parse("DSS/'hello'").unwrap().build(&known).unwrap();
    let segment = &data.bytes[20..];
    let (_, len) = TcpHeader::parse(segment).unwrap();
    let dss = TcpOptionIter::new(&segment[20..len]).find_map(|option| match option {
        Ok(mpuser_engine::wire::TcpOption::Mptcp(MptcpOption::Dss(dss))) => Some(dss),
        _ => None,
    });
    let mapping = dss.unwrap().mapping.unwrap();
    assert_eq!((mapping.subflow_seq.0, mapping.data_len), (6, 5));
    let mut sum = mpuser_engine::wire::Checksum::new();
    sum.add_bytes(b"hello");
    let dsn = mpuser_engine::seq::DataSeq(known.dsn(0x0001_0203_0405_0607, 5));
    assert!(mpuser_engine::wire::dss_checksum_valid(
        dsn,
        mapping.subflow_seq,
        5,
        sum,
        mapping.checksum.unwrap()
    ));
    // version 0: SHA-1
    let v0 = Known { version: 0, ..known };
    let join = parse("TCP(flags='S')/MP_JOIN").unwrap().build(&v0).unwrap().bytes;
    assert_eq!(join[44..48], mpuser_inspect::v0::key_facts(0xff).0.to_be_bytes());
}

#[test]
fn what_is_forced_is_left_alone() {
    let packet = built(
        "IP(len=60, chksum=0xdead, ttl=1)/TCP(seq=7, dataofs=9, chksum=0xbeef, reserved=7)/'x'",
    )
    .bytes;
    assert_eq!(packet.len(), 41);
    assert_eq!((&packet[2..4], &packet[10..12]), (&[0, 60][..], &[0xde, 0xad][..]));
    assert_eq!(
        (&packet[24..28], packet[32], &packet[36..38]),
        (&[0, 0, 0, 7][..], 0x9e, &[0xbe, 0xef][..])
    );
    let right = built("TCP");
    let bad = built("TCP(chksum=bad)");
    assert_eq!(right.bytes[37] ^ 1, bad.bytes[37]);
    assert_eq!(right.bytes[..37], bad.bytes[..37]);
}

#[test]
fn what_cannot_be_built_is_refused_with_a_remedy() {
    for (text, what, help) in [
        ("MP_CAPABLE", "MP_CAPABLE.receiver_key is not known", "receiver_key=none"),
        ("TCP(flags='S')/MP_JOIN", "MP_JOIN.token is not known", "peer_key=0x"),
        ("TCP(flags='SA')/MP_JOIN", "MP_JOIN.hmac is not known", "peer_nonce"),
        ("MP_JOIN(hmac=bad)", "MP_JOIN.hmac cannot be filled in", "hmac=none"),
        ("ADD_ADDR", "ADD_ADDR.address is not known", "say it"),
        ("ADD_ADDR('10.0.0.1')", "ADD_ADDR.hmac is not known", "peer_key"),
        ("MP_FAIL", "MP_FAIL.dsn is not known", "dsn=0x"),
        ("MP_FASTCLOSE", "MP_FASTCLOSE.receiver_key is not known", "receiver_key="),
        ("DSS(A=1)", "DSS.data_ack is not known", "peer_key"),
        ("TCP(seq=none)", "TCP.seq cannot be left out", "value"),
        ("TCP(seq=*)", "TCP.seq is a pattern", "value"),
        ("TCP(seq=$x)", "TCP.seq is a pattern", "value"),
        ("IPv6/TCP", "IPv6.src is not known", "say it"),
        ("OPT(data='x')", "OPT.kind is not known", "kind="),
        ("MPTCP(data='x')", "MPTCP.subtype is not known", "subtype="),
        ("TS/TS/TS/TS/MSS", "the options take 44 octets", "dataofs=15"),
        ("'x'*65535", "the packet has 65575 octets", "shorten"),
    ] {
        let error = parse(text).unwrap().build(&KEYS).unwrap_err();
        assert!(error.what.contains(what), "{text}: {error}");
        assert!(error.help.contains(help), "{text}: {error}");
    }
    let fault = (tcp(70_000, 1) / mp_capable()).build(&KEYS).unwrap_err();
    assert!(fault.what.contains("TCP.sport: a number from 0 to 65535"), "{fault}");
    let order = (mp_capable() / ip("10.0.0.1", "10.0.0.2")).build(&KEYS).unwrap_err();
    assert!(order.what.contains("IP cannot stand behind MP_CAPABLE"), "{order}");
}

#[test]
fn shown_layer_by_layer() {
    let packet = built(r#"IP(dst="192.0.2.9")/TCP(dport=7000,flags="S")/MP_CAPABLE(H=1)"#);
    let shown = packet.show(true);
    for line in [
        "###[ IP ]###",
        "  dst          = \"192.0.2.9\"",
        "  len          = 44                   auto",
        "  flags        = \"S\"",
        "###[ MP_CAPABLE ]###",
        "  H            = 1",
        "  len          = 4                    auto",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line}\n{shown}");
    }
    assert_eq!(packet.object()["layers"][1]["fields"]["flags"], "S");
    assert!(packet.hexdump().starts_with("0000  45 00 00 2c"));
}

/// What `text` says, once more out of its octets.
fn again(text: &str) -> String {
    dissect(&built(text).bytes).unwrap().to_string()
}

#[test]
fn dissected_packets_say_what_matters() {
    let head =
        "IP(src=\"10.0.0.1\", dst=\"10.0.0.2\", ttl=64)/TCP(sport=1, dport=2, seq=0, ack=0, ";
    for (text, rest) in [
        ("TCP(flags='S')/MP_CAPABLE", "flags=\"S\", window=65535)/MP_CAPABLE(H=1)"),
        ("TCP(chksum=1)", "flags=\"A\", window=65535, chksum=0x0001)"),
        ("MP_PRIO(B=1)", "flags=\"A\", window=65535)/MP_PRIO"),
        (
            "DSS(dsn=1, data_ack=2, checksum=3)/'hi'",
            "flags=\"PA\", window=65535)/DSS(data_ack=0x0000000000000002, dsn=0x0000000000000001, checksum=0x0003)/Raw(load=\"hi\")",
        ),
    ] {
        assert_eq!(again(text), format!("{head}{rest}"), "{text}");
    }
}

/// A packet whose IP and TCP lengths are true.
fn readable(packet: &[u8]) -> bool {
    IpHeader::parse(packet).is_ok_and(|ip| {
        let whole = ip.total_len == packet.len() && TcpHeader::parse(ip.payload(packet)).is_ok();
        whole && ip.protocol == 6 && packet[0] & 0x0f != 6
    })
}

proptest! {
    /// Random fields, right and wrong: a packet or a refusal. Of a packet that can be read, the octets say the same
    /// when they are put together again.
    #[test]
    fn octets_to_layers_and_back(stack in samples::stack(false)) {
        if let Ok(built) = stack.build(&KEYS) && readable(&built.bytes) {
            let read = dissect(&built.bytes).unwrap();
            let again = read.build(&NOTHING).map_err(|error| TestCaseError::fail(format!("{read}: {error}")))?;
            prop_assert_eq!(hex(&again.bytes), hex(&built.bytes), "{}\n{}", stack, read);
        }
    }

    /// Options of any octets whatever.
    #[test]
    fn any_options_survive(octets in prop::collection::vec(any::<u8>(), 0..=40), syn in any::<bool>()) {
        let text = format!("TCP(flags='{}')", if syn { "S" } else { "A" });
        let mut stack = parse(&text).unwrap();
        stack.push(crate::Layer::new(Kind::Octet).with("data", octets.as_slice()));
        let packet = stack.build(&KEYS).unwrap().bytes;
        let read = dissect(&packet).unwrap();
        prop_assert_eq!(read.build(&NOTHING).unwrap().bytes, packet);
        // and the text of it is read again
        prop_assert_eq!(parse(&read.to_string()).unwrap(), read);
    }

    /// MPTCP options of any body: every subtype, every length.
    #[test]
    fn any_signal_survives(body in prop::collection::vec(any::<u8>(), 1..=38), subtype in 0_u8..16) {
        let mut option = vec![30, body.len() as u8 + 2];
        option.extend_from_slice(&body);
        option[2] = option[2] & 0x0f | subtype << 4;
        let stack = tcp(1, 2) / crate::table::octets(option.clone());
        let packet = stack.build(&KEYS).unwrap().bytes;
        let read = dissect(&packet).unwrap();
        prop_assert!(read.find(Kind::Octet).is_none(), "{read}");
        prop_assert_eq!(read.build(&NOTHING).unwrap().bytes, packet);
    }

    /// Nothing but valid options: the engine's checksum is right, and inspect finds nothing wrong with them.
    #[test]
    fn unforced_packets_are_right(stack in samples::stack(false), load in "[a-z]{0,20}") {
        let mut plain = crate::Stack::default();
        for layer in stack.layers() {
            let mut layer = layer.clone();
            for name in ["len", "kind", "subtype", "reserved", "chksum", "ihl", "version", "plen", "nh", "proto",
                "dataofs", "frag", "flags", "load"] {
                layer.forget(name);
            }
            // forms are told apart by their length: an HMAC of another one makes another form
            if let Some(crate::Value::Octets(hmac)) = layer.get("hmac").cloned() {
                let short = layer.kind() == Kind::AddAddr || layer.get("address_id").is_some();
                let mut hmac = hmac;
                hmac.resize(if short { 8 } else { 20 }, 7);
                layer = layer.with("hmac", hmac);
            }
            if !matches!(layer.kind(), Kind::Octet | Kind::Opt | Kind::Eol | Kind::Raw) {
                plain.push(layer);
            }
        }
        let plain = plain / load.as_str();
        if let Ok(built) = plain.build(&KEYS) {
            let ip = IpHeader::parse(&built.bytes).unwrap();
            let segment = ip.payload(&built.bytes);
            prop_assert!(verify_checksum(&ip, segment));
            let (_, len) = TcpHeader::parse(segment).unwrap();
            for option in mpuser_inspect::option::options(&segment[20..len], len - 20) {
                prop_assert!(option.fault.is_none(), "{}", plain);
            }
            // what the engine's codec reads in each field is what was said, or filled in
            let read = dissect(&built.bytes).unwrap().build(&NOTHING).unwrap();
            for (one, other) in built.layers.iter().zip(&read.layers).filter(|(one, other)| one.kind == other.kind) {
                for field in &one.fields {
                    let found = other.field(field.spec.name).map(|found| &found.value);
                    prop_assert!(found.is_none_or(|found| *found == field.value), "{}.{}: {:?}", plain, field.spec.name, found);
                }
            }
        }
    }

    #[test]
    fn any_octets_are_dissected_or_refused(octets in prop::collection::vec(any::<u8>(), 0..120), first in any::<bool>()) {
        let mut octets = octets;
        if let Some(head) = octets.first_mut().filter(|_| first) {
            *head = 0x45;
        }
        if let Ok(stack) = dissect(&octets) {
            let _ = stack.build(&NOTHING);
            prop_assert_eq!(parse(&stack.to_string()).unwrap(), stack);
        }
    }
}

#[test]
fn every_option_has_a_sample() {
    let all: Vec<Kind> = samples::option_kinds().collect();
    assert!(all.len() > 20 && all.contains(&Kind::MpExperimental));
}
