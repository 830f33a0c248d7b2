//! Packets as text and back: an expression that is understood can be said again, and what is built of it can be taken
//! apart; a mistake has a place in the text.

use mpuser_craft::{Known, ParseError, dissect, parse};
use std::net::{Ipv4Addr, SocketAddr};

/// Longer packets than IP has room for are not built, but wrong ones are: as long as what is said.
const MOST: usize = 1 << 20;

/// An expression.
pub(crate) fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let stack = match parse(text) {
        Ok(stack) => stack,
        Err(error) => {
            place(text, &error);
            return;
        }
    };
    let said = stack.to_string();
    assert_eq!(parse(&said).as_ref(), Ok(&stack), "{said}");
    if let Ok(built) = stack.build(&known()) {
        assert!(built.bytes.len() < MOST, "{} octets", built.bytes.len());
        for layer in &built.layers {
            assert!(
                layer.at.start <= layer.at.end && layer.at.end <= built.bytes.len(),
                "{layer:?}"
            );
        }
        octets(&built.bytes);
    }
}

/// What is wrong stands somewhere in the text, and can be shown on two lines.
fn place(text: &str, error: &ParseError) {
    let (line, column) = error.place(text);
    assert!(line <= text.matches('\n').count() + 1 && column <= text.len() + 1, "{error}");
    assert_eq!(error.caret(text).lines().count(), 2, "{error}");
    assert!(!error.what.is_empty() && !error.what.contains('\n'), "{error:?}");
}

/// Any octets as a packet.
pub(crate) fn octets(data: &[u8]) {
    let Ok(stack) = dissect(data) else { return };
    let said = stack.to_string();
    assert_eq!(parse(&said).as_ref(), Ok(&stack), "{said}");
    let _ = stack.build(&known());
}

/// The middle of a connection.
fn known() -> Known {
    let at = |last, port| SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), port));
    let mut known = Known::default();
    (known.local, known.remote) = (at(1, 40_000), at(2, 80));
    (known.key, known.peer_key, known.peer_nonce) = (Some(1), Some(2), Some(3));
    known
}

/// A scenario script; it is read, not run.
pub(crate) fn script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match mpuser_craft::script::parse(text) {
        Ok(script) => {
            let lines = text.matches('\n').count() + 1;
            assert!(script.steps.iter().all(|step| (1..=lines).contains(&step.line)));
        }
        Err(error) => place(text, &error),
    }
}
