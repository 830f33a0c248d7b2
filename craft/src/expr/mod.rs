//! Packets as text: `IP(dst="192.0.2.1")/TCP(dport=7000,flags="S")/MP_CAPABLE(H=1)`.

mod error;
mod lexer;
mod print;

pub use error::ParseError;
pub(crate) use error::nearest;
pub use lexer::{Cursor, SOURCE_MAX, Token};

use crate::layer::{Layer, Stack, misplaced};
use crate::table::{FieldSpec, Kind, SPECS};
use crate::value::{LIST_MAX, Literal, OCTETS_MAX, Value, unquote};

/// More layers than a packet can have.
const LAYERS_MAX: usize = 128;

/// Reads an expression. Everything in it is checked but what needs the other layers.
///
/// # Errors
/// What is wrong, where, and what to do about it.
pub fn parse(text: &str) -> Result<Stack, ParseError> {
    let mut cursor = Cursor::new(text)?;
    cursor.skip_lines();
    let stack = stack(&mut cursor)?;
    cursor.skip_lines();
    match cursor.peek() {
        None => Ok(stack),
        Some(_) => Err(cursor.unexpected("/ or the end", "layers are divided by /")),
    }
}

/// Layers divided by `/`.
pub(crate) fn stack(cursor: &mut Cursor<'_>) -> Result<Stack, ParseError> {
    let mut stack = Stack::default();
    let mut before = None;
    loop {
        let span = cursor.span();
        let layer = layer(cursor)?;
        if let Some(why) = misplaced(before, layer.kind()) {
            return Err(ParseError::new(span, why, "put it where it belongs"));
        }
        before = Some(layer.kind());
        stack.push(layer);
        if stack.layers().len() > LAYERS_MAX {
            let help = "a TCP header has room for 40 octets of options";
            return Err(ParseError::new(span, format!("more than {LAYERS_MAX} layers"), help));
        }
        if !cursor.skip(Token::Slash) {
            return Ok(stack);
        }
        cursor.skip_lines();
    }
}

fn layer(cursor: &mut Cursor<'_>) -> Result<Layer, ParseError> {
    let span = cursor.span();
    let name = match cursor.peek() {
        Some(Token::Name(name)) => name,
        Some(Token::Text(_)) => {
            let mut raw = Layer::new(Kind::Raw);
            let load = value(cursor)?;
            let set = raw.set("load", &load);
            return set.map(|()| raw).map_err(|why| ParseError::new(span, why, "shorten it"));
        }
        _ => return Err(cursor.unexpected("a layer", "like IP, TCP, MP_CAPABLE or \"payload\"")),
    };
    let Some(kind) = Kind::from_name(name) else { return Err(unknown_layer(name, span)) };
    cursor.take();
    let mut layer = Layer::new(kind);
    if !cursor.skip(Token::Open) {
        return Ok(layer);
    }
    let mut position = 0;
    loop {
        cursor.skip_lines();
        if cursor.skip(Token::Close) {
            return Ok(layer);
        }
        field(cursor, &mut layer, position)?;
        position += 1;
        cursor.skip_lines();
        if cursor.skip(Token::Close) {
            return Ok(layer);
        }
        if !cursor.skip(Token::Comma) {
            return Err(cursor.unexpected(", or )", "fields are divided by commas"));
        }
    }
}

fn unknown_layer(name: &str, span: std::ops::Range<usize>) -> ParseError {
    let what = format!("there is no layer {}", crate::value::shorten(name, 40));
    let names = || SPECS.iter().map(|spec| spec.name);
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    ParseError::new(span, what, help)
}

/// `name=value`, or a value alone for the field at `position`.
fn field(cursor: &mut Cursor<'_>, layer: &mut Layer, position: usize) -> Result<(), ParseError> {
    let spec = layer.kind().spec();
    let span = cursor.span();
    let named = cursor.peek_second() == Some(Token::Equals);
    let name = match (cursor.peek(), named) {
        (Some(Token::Name(name)), true) => {
            let Some(index) = spec.field(name) else {
                return Err(unknown_field(layer.kind(), name, span));
            };
            cursor.take();
            cursor.take();
            cursor.skip_lines();
            spec.fields.get(index)
        }
        (Some(Token::Name(name)), false) if spec.field(name).is_some() => {
            cursor.take();
            return Err(cursor.unexpected("=", "fields are said as name=value"));
        }
        _ => spec.fields.get(position),
    };
    let Some(FieldSpec { name, .. }) = name else {
        let what = format!("{} has no field number {}", spec.name, position + 1);
        return Err(ParseError::new(span, what, fields_of(layer.kind())));
    };
    if layer.get(name).is_some() {
        let what = format!("{}.{name} is said twice", spec.name);
        return Err(ParseError::new(span, what, "leave one of them out"));
    }
    let start = cursor.span().start;
    let value = value(cursor)?;
    let end = cursor.previous_end();
    layer.set(name, &value).map_err(|why| {
        let shown = crate::value::shorten(&value.to_string(), 40);
        let why = why.split_once(": ").map_or(why.as_str(), |(_, why)| why);
        let what = format!("{}.{name} cannot be {shown}", spec.name);
        ParseError::new(start..end, what, why)
    })
}

fn unknown_field(kind: Kind, name: &str, span: std::ops::Range<usize>) -> ParseError {
    let spec = kind.spec();
    let what = format!("{} has no field {}", spec.name, crate::value::shorten(name, 40));
    let help = match nearest(name, spec.fields.iter().map(|field| field.name)) {
        Some(near) => format!("did you mean {near}?"),
        None => fields_of(kind),
    };
    ParseError::new(span, what, help)
}

fn fields_of(kind: Kind) -> String {
    let names: Vec<&str> = kind.spec().fields.iter().map(|field| field.name).collect();
    if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) }
}

/// What a field or a variable is said to be.
pub(crate) fn value(cursor: &mut Cursor<'_>) -> Result<Literal, ParseError> {
    let span = cursor.span();
    let wanted = "a value";
    let help =
        "a number, 0x and digits, text in quotes, [numbers], auto, bad, none, * or $variable";
    let Some(token) = cursor.peek() else { return Err(cursor.unexpected(wanted, help)) };
    let literal = match token {
        Token::Number(digits) => match digits.parse() {
            Ok(number) => Literal::Number(number),
            Err(_) => {
                let what = format!("{} is too large", crate::value::shorten(digits, 40));
                return Err(ParseError::new(span, what, "no field has more than 64 bits"));
            }
        },
        Token::Hex(digits) => Literal::Hex(digits.to_owned()),
        Token::Text(_) => return text(cursor),
        Token::Name(word) => Literal::Word(word.to_owned()),
        Token::Star => Literal::Value(Value::Any),
        Token::Variable(_) => return variable(cursor),
        Token::OpenList => return list(cursor),
        _ => return Err(cursor.unexpected(wanted, help)),
    };
    cursor.take();
    Ok(literal)
}

/// `"text"`, or `"text" * 1000`.
fn text(cursor: &mut Cursor<'_>) -> Result<Literal, ParseError> {
    let span = cursor.span();
    let Some(Token::Text(inner)) = cursor.take() else { return Ok(Literal::Text(Vec::new())) };
    let octets = unquote(inner).map_err(|(at, escape)| {
        let start = span.start + 1 + at;
        let what = format!("{escape} is no escape");
        ParseError::new(
            start..start + escape.len(),
            what,
            "there are \\n \\r \\t \\0 \\\\ \\\" \\xNN",
        )
    })?;
    if !(cursor.peek() == Some(Token::Star)
        && matches!(cursor.peek_second(), Some(Token::Number(_))))
    {
        return Ok(Literal::Text(octets));
    }
    cursor.take();
    let times_at = cursor.span();
    let Some(Token::Number(digits)) = cursor.take() else { return Ok(Literal::Text(octets)) };
    let times: usize = digits.parse().unwrap_or(usize::MAX);
    if octets.len().saturating_mul(times) > OCTETS_MAX {
        let what = format!("that is more than {OCTETS_MAX} octets");
        return Err(ParseError::new(times_at, what, "no packet is longer"));
    }
    Ok(Literal::Text(octets.repeat(times)))
}

/// `$name`, `$name+1`, `$name-1`.
fn variable(cursor: &mut Cursor<'_>) -> Result<Literal, ParseError> {
    let Some(Token::Variable(name)) = cursor.take() else {
        return Err(cursor.unexpected("a variable", "write $name"));
    };
    let name = name.to_owned();
    let negative = match cursor.peek() {
        Some(Token::Plus) => false,
        Some(Token::Minus) => true,
        _ => return Ok(Literal::Value(Value::Variable { name, plus: 0 })),
    };
    cursor.take();
    let span = cursor.span();
    let Some(Token::Number(digits)) = cursor.peek() else {
        return Err(cursor.unexpected("a number", "like $name+1"));
    };
    cursor.take();
    match digits.parse::<i64>() {
        Ok(plus) => {
            let plus = if negative { -plus } else { plus };
            Ok(Literal::Value(Value::Variable { name, plus }))
        }
        Err(_) => Err(ParseError::new(span, "the number is too large", "it has 63 bits at most")),
    }
}

fn list(cursor: &mut Cursor<'_>) -> Result<Literal, ParseError> {
    cursor.take();
    let mut numbers = Vec::new();
    loop {
        cursor.skip_lines();
        if cursor.skip(Token::CloseList) {
            return Ok(Literal::Value(Value::List(numbers)));
        }
        let span = cursor.span();
        let number = match cursor.peek() {
            Some(Token::Number(digits)) => digits.parse().ok(),
            Some(Token::Hex(digits)) => u64::from_str_radix(digits, 16).ok(),
            _ => return Err(cursor.unexpected("a number or ]", "a list is like [1, 2]")),
        };
        let Some(number) = number.filter(|_| numbers.len() < LIST_MAX) else {
            let help = format!("numbers have 64 bits at most, lists {LIST_MAX} of them");
            return Err(ParseError::new(span, "that is too much", help));
        };
        cursor.take();
        numbers.push(number);
        cursor.skip_lines();
        if !cursor.skip(Token::Comma) && cursor.peek() != Some(Token::CloseList) {
            return Err(cursor.unexpected(", or ]", "a list is like [1, 2]"));
        }
    }
}

#[cfg(test)]
mod tests;
