//! Scripts as text: a step on a line.

use super::{Action, App, Expect, Script, Step};
use crate::expr::{Cursor, ParseError, Token, nearest, stack, value};
use crate::table::Kind;
use crate::value::{Form, Literal, Value};
use mpuser_sim::conform::Setup;
use mpuser_sim::conform::target::{CLIENT, SERVER};
use std::ops::Range;
use std::time::Duration;

/// More steps than anybody writes.
const STEPS_MAX: usize = 10_000;
/// Most packets of one step.
const TIMES_MAX: u64 = 10_000;
/// The longest time, seconds: a day.
const TIME_MAX: f64 = 86_400.0;
/// How long an answer may take unless something else is said.
const WITHIN: Duration = Duration::from_secs(1);

const STEPS: [&str; 10] =
    ["target", "flow", "send", "expect", "await", "silence", "wait", "let", "check", "link"];
const APP: [&str; 9] =
    ["connect", "accept", "write", "read", "eof", "error", "shutdown", "close", "abort"];

/// Reads a script.
///
/// # Errors
/// What is wrong, where, and what to do about it.
pub fn parse(text: &str) -> Result<Script, ParseError> {
    let mut cursor = Cursor::new(text)?;
    let mut script = Script { setup: SERVER, steps: Vec::new() };
    loop {
        cursor.skip_lines();
        let Some(first) = cursor.peek() else { return Ok(script) };
        let span = cursor.span();
        let Token::Name(word) = first else {
            return Err(
                cursor.unexpected("a step", &format!("steps are {}, app", STEPS.join(", ")))
            );
        };
        cursor.take();
        if word == "target" {
            if !script.steps.is_empty() {
                let help = "put it on the first line";
                return Err(ParseError::new(span, "target stands behind other steps", help));
            }
            script.setup = target(&mut cursor)?;
        } else {
            let action = action(word, &mut cursor, span.clone())?;
            let end = cursor.previous_end();
            let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
            let text = text.get(span.start..end).unwrap_or_default();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            script.steps.push(Step { line, text, action });
        }
        if script.steps.len() > STEPS_MAX {
            return Err(ParseError::new(
                span,
                format!("more than {STEPS_MAX} steps"),
                "shorten it",
            ));
        }
        if !matches!(cursor.peek(), None | Some(Token::Newline)) {
            return Err(cursor.unexpected("the end of the line", "a line holds one step"));
        }
    }
}

fn action(word: &str, cursor: &mut Cursor<'_>, span: Range<usize>) -> Result<Action, ParseError> {
    Ok(match word {
        "flow" => flow(cursor)?,
        "send" => send(cursor)?,
        "expect" => Action::Expect(expect(cursor, false)?),
        "await" => Action::Expect(expect(cursor, true)?),
        "silence" => Action::Silence(time(cursor)?),
        "wait" => Action::Wait(time(cursor)?),
        "let" => {
            let Some(Token::Variable(name)) = cursor.peek() else {
                return Err(cursor.unexpected("a variable", "write let $name = value"));
            };
            cursor.take();
            equals(cursor)?;
            Action::Let { name: name.to_owned(), value: any_value(cursor)? }
        }
        "check" => {
            let left = any_value(cursor)?;
            equals(cursor)?;
            Action::Check(left, any_value(cursor)?)
        }
        "link" => {
            let (words, span) = cursor.rest_of_line();
            let mut config = mpuser_sim::LinkConfig::default();
            let mut none = |_: &str| Err("a script reads no other files".to_owned());
            config
                .apply(words, &mut none)
                .and_then(|()| mpuser_sim::Link::new(config, 1, mpuser_engine::time::Instant::ZERO))
                .map_err(|why| {
                    let help = "write what `mpuser link set` takes, like delay=20ms loss=1%";
                    ParseError::new(span, why, help)
                })?;
            Action::Link(words.to_owned())
        }
        "app" => Action::App(app(cursor)?),
        _ => {
            let what = format!("there is no step {}", crate::value::shorten(word, 40));
            let help = match nearest(word, STEPS.into_iter().chain(["app"])) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("steps are {}, app", STEPS.join(", ")),
            };
            return Err(ParseError::new(span, what, help));
        }
    })
}

fn equals(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    if cursor.skip(Token::Equals) {
        Ok(())
    } else {
        Err(cursor.unexpected("=", "write name = value"))
    }
}

/// A value that is for no field: numbers, octets, addresses, variables.
fn any_value(cursor: &mut Cursor<'_>) -> Result<Value, ParseError> {
    let span = cursor.span();
    let literal = value(cursor)?;
    let read = match &literal {
        Literal::Number(_) | Literal::Value(Value::Variable { .. }) => Form::Hex(64).read(&literal),
        Literal::Hex(digits) if digits.len() <= 16 => Form::Hex(64).read(&literal),
        Literal::Value(list @ Value::List(_)) => Ok(list.clone()),
        Literal::Text(text) => {
            let address = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            address.map_or_else(|| Form::Text.read(&literal), |address| Ok(Value::Address(address)))
        }
        _ => Form::Octets.read(&literal),
    };
    match read {
        Ok(Value::Auto | Value::Bad | Value::Absent | Value::Any) | Err(_) => {
            let help = "a number, octets, text or an address in quotes, or another variable";
            Err(ParseError::new(span, "a variable cannot be that", help))
        }
        Ok(value) => Ok(value),
    }
}

/// A number that fits.
fn number(cursor: &mut Cursor<'_>, most: u64, wanted: &str) -> Result<u64, ParseError> {
    let help = format!("a number from 0 to {most}");
    let Some(Token::Number(digits)) = cursor.peek() else {
        return Err(cursor.unexpected(wanted, &help));
    };
    let Some(number) = digits.parse().ok().filter(|number| *number <= most) else {
        return Err(ParseError::new(cursor.span(), format!("{wanted} is too large"), help));
    };
    cursor.take();
    Ok(number)
}

/// `1.5s`, `200ms`.
fn time(cursor: &mut Cursor<'_>) -> Result<Duration, ParseError> {
    let help = "write 200us, 20ms, 1.5s, 2min or 1h";
    let start = cursor.span().start;
    let Some(Token::Number(whole)) = cursor.peek() else {
        return Err(cursor.unexpected("a time", help));
    };
    cursor.take();
    let mut digits = whole.to_owned();
    if cursor.skip(Token::Dot) {
        let Some(Token::Number(part)) = cursor.peek() else {
            return Err(cursor.unexpected("digits", help));
        };
        cursor.take();
        digits = format!("{digits}.{part}");
    }
    let unit = match cursor.peek() {
        Some(Token::Name("us")) => 1e-6,
        Some(Token::Name("ms")) => 1e-3,
        Some(Token::Name("s")) => 1.0,
        Some(Token::Name("min")) => 60.0,
        Some(Token::Name("h")) => 3_600.0,
        _ => return Err(cursor.unexpected("us, ms, s, min or h", help)),
    };
    cursor.take();
    let seconds = digits.parse::<f64>().map_or(f64::INFINITY, |number| number * unit);
    if seconds > TIME_MAX {
        let span = start..cursor.previous_end();
        return Err(ParseError::new(span, "that is too long", "a day is the longest"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// `NAME:` before an expression.
fn flow_name(cursor: &mut Cursor<'_>) -> Option<String> {
    let (Some(Token::Name(name)), Some(Token::Colon)) = (cursor.peek(), cursor.peek_second())
    else {
        return None;
    };
    cursor.take();
    cursor.take();
    Some(name.to_owned())
}

fn flow(cursor: &mut Cursor<'_>) -> Result<Action, ParseError> {
    let Some(Token::Name(name)) = cursor.peek() else {
        return Err(cursor.unexpected("a name", "write flow b from 1 to 0"));
    };
    cursor.take();
    let (mut from, mut to) = (0, 0);
    if cursor.skip_word("from") {
        from = number(cursor, 200, "the number of our address")? as usize;
    }
    if cursor.skip_word("to") {
        to = number(cursor, 200, "the number of their address")? as usize;
    }
    Ok(Action::Flow { name: name.to_owned(), from, to })
}

fn send(cursor: &mut Cursor<'_>) -> Result<Action, ParseError> {
    let flow = flow_name(cursor);
    let stack = stack(cursor)?;
    let times =
        if cursor.skip_word("times") { number(cursor, TIMES_MAX, "how many times")? } else { 1 };
    Ok(Action::Send { flow, stack, times })
}

fn expect(cursor: &mut Cursor<'_>, eventually: bool) -> Result<Expect, ParseError> {
    let flow = flow_name(cursor);
    let pattern = stack(cursor)?;
    let mut without = Vec::new();
    if cursor.skip_word("without") {
        loop {
            let kind = match cursor.peek() {
                Some(Token::Name(name)) => Kind::from_name(name),
                _ => None,
            };
            let Some(kind) = kind else {
                return Err(cursor.unexpected("a layer", "like without MPTCP, Raw"));
            };
            cursor.take();
            without.push(kind);
            if !cursor.skip(Token::Comma) {
                break;
            }
        }
    }
    let within = if cursor.skip_word("within") { time(cursor)? } else { WITHIN };
    Ok(Expect { flow, pattern, without, within, eventually })
}

fn app(cursor: &mut Cursor<'_>) -> Result<App, ParseError> {
    let help = format!("an application does {}", APP.join(", "));
    let span = cursor.span();
    let Some(Token::Name(word)) = cursor.peek() else {
        return Err(cursor.unexpected("what the application does", &help));
    };
    cursor.take();
    let octets = |cursor: &mut Cursor<'_>| {
        let span = cursor.span();
        match Form::Text.read(&value(cursor)?) {
            Ok(Value::Octets(octets)) => Ok(octets),
            _ => Err(ParseError::new(span, "octets are expected", "in quotes, or 0x and digits")),
        }
    };
    Ok(match word {
        "connect" => App::Connect,
        "accept" => App::Accept,
        "write" => App::Write(octets(cursor)?),
        "read" => App::Read(octets(cursor)?),
        "eof" => App::Eof,
        "error" => App::Error,
        "shutdown" => App::Shutdown,
        "close" => App::Close,
        "abort" => App::Abort,
        _ => {
            let what = format!("no application does {}", crate::value::shorten(word, 40));
            let help = nearest(word, APP).map_or(help, |near| format!("did you mean {near}?"));
            return Err(ParseError::new(span, what, help));
        }
    })
}

/// What of a setup can be said, its largest number, and how it is set.
type Setting = (&'static str, u64, fn(&mut Setup, u64));

const SETTINGS: [Setting; 13] = [
    ("checksum", 1, |setup, on| setup.checksum = on != 0),
    ("subflows", 8, |setup, number| setup.subflows = number as u8),
    ("add_addr_accepted", 8, |setup, number| setup.add_addr_accepted = number as u8),
    ("addresses", 8, |setup, number| setup.addresses = (number as u8).max(1)),
    ("signal", 1, |setup, on| setup.signal = on != 0),
    ("signal_port", 65_535, |setup, port| setup.signal_port = Some(port as u16)),
    ("subflow", 1, |setup, on| setup.subflow = on != 0),
    ("ipv6", 1, |setup, on| setup.ipv6 = on != 0),
    ("allow_join_initial_addr_port", 1, |setup, on| setup.deny_join_initial = on == 0),
    ("close_timeout", 3_600, |setup, seconds| setup.close_timeout = seconds as u32),
    ("receive_buffer", 1 << 26, |setup, octets| setup.receive_buffer = octets as u32),
    ("add_addr_timeout", 3_600, |setup, seconds| setup.add_addr_timeout = seconds as u32),
    ("blackhole_timeout", 86_400, |setup, seconds| setup.blackhole_timeout = seconds as u32),
];

/// `target server checksum=1 addresses=2`
fn target(cursor: &mut Cursor<'_>) -> Result<Setup, ParseError> {
    let mut setup = match cursor.peek() {
        Some(Token::Name("server")) => SERVER,
        Some(Token::Name("client")) => CLIENT,
        _ => return Err(cursor.unexpected("server or client", "say which end is under test")),
    };
    cursor.take();
    while let Some(Token::Name(name)) = cursor.peek() {
        let span = cursor.span();
        let Some((_, most, set)) = SETTINGS.iter().find(|(known, ..)| *known == name) else {
            let names = SETTINGS.map(|(name, ..)| name);
            let help = nearest(name, names).map_or_else(
                || format!("there are {}", names.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            let what = format!("there is no setting {}", crate::value::shorten(name, 40));
            return Err(ParseError::new(span, what, help));
        };
        cursor.take();
        equals(cursor)?;
        set(&mut setup, number(cursor, *most, name)?);
    }
    Ok(setup)
}
