//! What a typed line says.

use crate::expr::{Cursor, ParseError, Token, stack};
use crate::layer::Stack;
use crate::table::Kind;
use crate::value::unquote;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Empty,
    /// `help`
    Help,
    /// `layers`
    Layers,
    /// `quit`
    Quit,
    /// `p = PACKET`, or a packet alone.
    Packet {
        /// What it is to be called.
        name: Option<String>,
        /// The packet.
        stack: Stack,
    },
    /// `s = session("HOST:PORT")`
    Session {
        /// What it is to be called.
        name: String,
        /// With whom.
        target: String,
    },
    /// A name alone.
    Name(String),
    /// `s.method(...)`
    Call {
        /// The packet or session.
        name: String,
        /// What it is to do.
        method: String,
        /// And with what.
        arguments: Vec<Argument>,
    },
}

/// What stands between the brackets of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A number.
    Number(u64),
    /// Text in quotes.
    Text(Vec<u8>),
    /// A packet.
    Packet(Stack),
    /// The name of one.
    Name(String),
}

/// Reads a line.
///
/// # Errors
/// What is wrong, where, and what to do about it.
pub fn parse(text: &str) -> Result<Line, ParseError> {
    let mut cursor = Cursor::new(text)?;
    cursor.skip_lines();
    let line = line(&mut cursor)?;
    cursor.skip_lines();
    match cursor.peek() {
        None => Ok(line),
        Some(_) => Err(cursor.unexpected("the end of the line", "one thing at a time; see help")),
    }
}

fn line(cursor: &mut Cursor<'_>) -> Result<Line, ParseError> {
    let Some(first) = cursor.peek() else { return Ok(Line::Empty) };
    let Token::Name(name) = first else {
        return Ok(Line::Packet { name: None, stack: stack(cursor)? });
    };
    let name = name.to_owned();
    match cursor.peek_second() {
        Some(Token::Equals) => {
            let span = cursor.span();
            if Kind::from_name(&name).is_some() {
                let what = format!("{name} is a layer");
                return Err(ParseError::new(span, what, "give the packet another name"));
            }
            cursor.take();
            cursor.take();
            assignment(cursor, name)
        }
        Some(Token::Dot) => {
            cursor.take();
            cursor.take();
            call(cursor, name)
        }
        None | Some(Token::Newline) if Kind::from_name(&name).is_none() => {
            cursor.take();
            Ok(match name.as_str() {
                "help" => Line::Help,
                "layers" => Line::Layers,
                "quit" | "exit" => Line::Quit,
                _ => Line::Name(name),
            })
        }
        _ => Ok(Line::Packet { name: None, stack: stack(cursor)? }),
    }
}

/// What stands behind `name =`.
fn assignment(cursor: &mut Cursor<'_>, name: String) -> Result<Line, ParseError> {
    if !(cursor.peek() == Some(Token::Name("session")) && cursor.peek_second() == Some(Token::Open))
    {
        return Ok(Line::Packet { name: Some(name), stack: stack(cursor)? });
    }
    cursor.take();
    let arguments = arguments(cursor)?;
    match arguments.as_slice() {
        [Argument::Text(text)] => {
            Ok(Line::Session { name, target: String::from_utf8_lossy(text).into_owned() })
        }
        _ => Err(cursor.unexpected("one address", "write s = session(\"192.168.56.101:7000\")")),
    }
}

/// What stands behind `name.`
fn call(cursor: &mut Cursor<'_>, name: String) -> Result<Line, ParseError> {
    let Some(Token::Name(method)) = cursor.peek() else {
        return Err(cursor.unexpected("what it is to do", "like s.handshake()"));
    };
    cursor.take();
    let arguments = arguments(cursor)?;
    Ok(Line::Call { name, method: method.to_owned(), arguments })
}

fn arguments(cursor: &mut Cursor<'_>) -> Result<Vec<Argument>, ParseError> {
    const MOST: usize = 8;
    if !cursor.skip(Token::Open) {
        return Err(cursor.unexpected("(", "calls have brackets, like s.ack()"));
    }
    let mut all = Vec::new();
    loop {
        if cursor.skip(Token::Close) {
            return Ok(all);
        }
        if all.len() >= MOST {
            return Err(cursor.unexpected(")", "nothing takes so many arguments"));
        }
        all.push(argument(cursor)?);
        if !cursor.skip(Token::Comma) && cursor.peek() != Some(Token::Close) {
            return Err(cursor.unexpected(", or )", "arguments are divided by commas"));
        }
    }
}

fn argument(cursor: &mut Cursor<'_>) -> Result<Argument, ParseError> {
    let alone = matches!(cursor.peek_second(), Some(Token::Comma | Token::Close));
    let span = cursor.span();
    let argument = match cursor.peek() {
        Some(Token::Number(digits)) => digits.parse().ok().map(Argument::Number),
        Some(Token::Text(inner)) if alone => {
            Some(Argument::Text(unquote(inner).map_err(|(_, escape)| {
                ParseError::new(
                    span.clone(),
                    format!("{escape} is no escape"),
                    "write \\\\ for a backslash",
                )
            })?))
        }
        Some(Token::Name(name)) if alone && Kind::from_name(name).is_none() => {
            Some(Argument::Name(name.to_owned()))
        }
        _ => return Ok(Argument::Packet(stack(cursor)?)),
    };
    let too_large = || ParseError::new(span, "the number is too large", "it has 64 bits at most");
    let argument = argument.ok_or_else(too_large)?;
    cursor.take();
    Ok(argument)
}
