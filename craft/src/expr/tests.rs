use super::*;
use crate::samples;
use crate::table::{ip, mp_capable, tcp};
use proptest::prelude::*;

#[test]
fn the_example_of_the_manual() {
    let read =
        parse(r#"IP(dst="192.168.56.101")/TCP(dport=7000,flags="S")/MP_CAPABLE(H=1)"#).unwrap();
    let said = Stack::from(Layer::new(Kind::Ip).with("dst", "192.168.56.101"))
        / Layer::new(Kind::Tcp).with("dport", 7000).with("flags", "S")
        / mp_capable().H(1);
    assert_eq!(read, said);
    assert_eq!(
        read.to_string(),
        r#"IP(dst="192.168.56.101")/TCP(dport=7000, flags="S")/MP_CAPABLE(H=1)"#
    );
}

#[test]
fn values_without_names_words_and_repetitions() {
    let read =
        parse("ip('10.0.0.1', '10.0.0.2')/TCP(1, 2)/MSS(1460)/TS(1,ecr=2)/'ab' * 3").unwrap();
    let said = ip("10.0.0.1", "10.0.0.2")
        / tcp(1, 2)
        / crate::table::mss(1460)
        / crate::table::ts(1, 2)
        / "ababab";
    assert_eq!(read, said);
    for (text, printed) in [
        ("TCP(flags=\"as\", chksum=0xdead)", "TCP(flags=\"SA\", chksum=0xdead)"),
        ("MP_JOIN(hmac=\"bad\")", "MP_JOIN(hmac=bad)"),
        ("MP_JOIN(hmac=0xAB01)", "MP_JOIN(hmac=0xab01)"),
        ("Raw(load=\"bad\")", "Raw(load=\"bad\")"),
        ("Raw(load=0x0042)", "Raw(load=0x0042)"),
        ("Raw(load=\"a\\x00\")", "Raw(load=0x6100)"),
        ("REMOVE_ADDR(ids=[1, 0x02,])", "REMOVE_ADDR(ids=[1, 2])"),
        ("REMOVE_ADDR(3)", "REMOVE_ADDR(ids=[3])"),
        ("TCP(seq=$s+1,ack=*,)", "TCP(seq=$s+1, ack=*)"),
        ("MP_CAPABLE(A=true, len=3) # a remark", "MP_CAPABLE(A=1, len=3)"),
        ("TCP /\n MSS", "TCP/MSS"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), printed, "{text}");
    }
}

/// Position, what is wrong, what to do.
#[test]
fn mistakes_are_named_where_they_are() {
    for (text, mark, what, help) in [
        ("", "^", "the text ends where a layer is expected", "like IP"),
        ("IP/TPC", "   ^^^", "there is no layer TPC", "did you mean TCP?"),
        ("MPCAPABLE", "^^^^^^^^^", "there is no layer", "did you mean MP_CAPABLE?"),
        ("zzzzzz", "^^^^^^", "there is no layer zzzzzz", "there are IP, IPv6, TCP"),
        ("TCP(dprot=1)", "    ^^^^^", "TCP has no field dprot", "did you mean dport?"),
        (
            "TCP(dport=70000)",
            "          ^^^^^",
            "TCP.dport cannot be 70000",
            "a number from 0 to 65535",
        ),
        ("TCP(flags=\"SX\")", "          ^^^^", "TCP.flags cannot be \"SX\"", "FSRPAUECN"),
        ("IP(dst=\"::1\")", "       ^^^^^", "IP.dst cannot be \"::1\"", "an IPv4 address"),
        ("IP(dst=10.0.0.1)", "       ^^", "IP.dst cannot be 10", "in quotes"),
        ("TCP(seq=1,seq=2)", "          ^^^", "TCP.seq is said twice", "leave one"),
        ("TCP/IP", "    ^^", "IP cannot stand behind TCP", "put it"),
        ("TCP/TCP", "    ^^^", "TCP cannot follow TCP", "put it"),
        (
            "MP_JOIN(hmac=0xabc)",
            "             ^^^^^",
            "MP_JOIN.hmac cannot be 0xabc",
            "pairs of digits",
        ),
        ("TCP(seq=99999999999999999999)", "        ^^^", "is too large", "64 bits"),
        ("TCP(dport)", "         ^", "= is expected where ) stands", "name=value"),
        ("TCP(1", "     ^", "the text ends where , or ) is expected", "commas"),
        ("TCP(dport=\"x)", "          ^", "the quote is not closed", "close it"),
        ("\"\\q\"", " ^^", "\\q is no escape", "\\n"),
        ("\"x\"*65536", "    ^^^^^", "more than 65535 octets", "no packet"),
        ("TCP;MSS", "   ^", "';' means nothing here", "divided by /"),
        ("TCP MSS", "    ^^^", "/ or the end is expected where MSS stands", "divided by /"),
        ("SACK(edges=[1,x])", "              ^", "a number or ] is expected", "[1, 2]"),
        ("EOL(1)", "    ^", "EOL has no field number 1", "it has none"),
    ] {
        let error = parse(text).unwrap_err();
        let marked = error.caret(text).lines().nth(1).unwrap_or_default().to_owned();
        assert!(marked.starts_with(mark), "{text}\n{marked}\n{error}");
        assert!(error.what.contains(what), "{text}: {error}");
        assert!(error.help.contains(help), "{text}: {error}");
    }
}

#[test]
fn positions_are_counted_in_lines_and_characters() {
    let text = "TCP/\n  'ä'/x";
    let error = parse(text).unwrap_err();
    assert_eq!(error.place(text), (2, 7));
    assert_eq!(error.caret(text), "  'ä'/x\n      ^");
}

/// Nothing is nested, so nothing can be nested too deeply; and what is too long is refused before it is looked at.
#[test]
fn oversized_texts_are_refused() {
    for text in
        ["[".repeat(100_000), "TCP(".repeat(50_000), "/".repeat(200_000), "(".repeat(200_000)]
    {
        assert!(parse(&text).is_err());
    }
    let layers = ["NOP"; 200].join("/");
    assert!(parse(&layers).unwrap_err().what.contains("more than 128 layers"));
    let long = format!("\"{}\"", "x".repeat(SOURCE_MAX));
    assert!(parse(&long).unwrap_err().what.contains("octets"));
    let list = format!("SACK([{}])", ["1"; 65].join(","));
    assert!(parse(&list).unwrap_err().what.contains("too much"));
}

fn in_bounds(text: &str) {
    if let Err(error) = parse(text) {
        assert!(error.at.start <= error.at.end && error.at.start <= text.len().max(SOURCE_MAX));
        assert!(!error.what.is_empty() && !error.help.is_empty());
        assert!(error.caret(text).lines().count() == 2);
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(stack in samples::stack(true)) {
        let text = stack.to_string();
        prop_assert_eq!(parse(&text).map_err(|e| TestCaseError::fail(format!("{text}\n{e}")))?, stack);
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_place(text in "\\PC{0,80}") {
        in_bounds(&text);
    }

    #[test]
    fn so_is_text_made_of_our_tokens(
        parts in prop::collection::vec(prop::sample::select(vec![
            "IP", "TCP", "DSS", "MP_JOIN", "Raw", "(", ")", "/", ",", "=", "[", "]", "*", "$x", "+", "-", "1", "0x1",
            "0xabcd", "\"a\"", "'\\x4'", "dport", "hmac", "edges", "ids", "bad", "auto", "none", "\n", "ä", "\"", "#",
        ]), 0..24),
    ) {
        in_bounds(&parts.concat());
    }

    #[test]
    fn a_damaged_expression_is_no_catastrophe(
        stack in samples::stack(true),
        cut in any::<prop::sample::Index>(),
        put in "\\PC{0,3}",
    ) {
        let text = stack.to_string();
        let at = text.floor_char_boundary(cut.index(text.len() + 1));
        in_bounds(&format!("{}{put}{}", &text[..at], &text[(at + 1).min(text.len())..]));
        in_bounds(&text[..at]);
    }
}
