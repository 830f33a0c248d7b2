//! What a field may be said to be, and how it is written.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number of so many bits, written in decimal.
    Dec(u32),
    /// A number of so many bits, written in hex.
    Hex(u32),
    /// TCP's control bits, written in letters: `"SA"`.
    Flags,
    /// An address of IPv4.
    V4,
    /// An address of IPv6.
    V6,
    /// An address of either family.
    Address,
    /// Octets, written in hex.
    Octets,
    /// Octets, written as text where they are text.
    Text,
    /// Numbers of so many bits.
    List(u32),
}

/// What is said of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// Octets.
    Octets(Vec<u8>),
    /// An address.
    Address(IpAddr),
    /// Numbers.
    List(Vec<u64>),
    /// `auto`: what it has to be.
    Auto,
    /// `bad`: what it has to be, with its lowest bit turned.
    Bad,
    /// `none`: the field is left out.
    Absent,
    /// `*`: anything, in a pattern.
    Any,
    /// `$name`, `$name+1`: what a script has in this variable.
    Variable {
        /// Its name, without the dollar.
        name: String,
        /// What is added to it.
        plus: i64,
    },
}

/// Control bits of TCP in the order of their letters, the lowest first: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE.
pub const FLAG_LETTERS: &str = "FSRPAUECN";

/// The longest payload and so the longest text that makes sense.
pub(crate) const OCTETS_MAX: usize = 65_535;

/// What was written, before it is known for which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A number.
    Number(u64),
    /// Hexadecimal digits, which may be a number or octets.
    Hex(String),
    /// Text in quotes.
    Text(Vec<u8>),
    /// Octets.
    Octets(Vec<u8>),
    /// A word without quotes.
    Word(String),
    /// A value as it is.
    Value(Value),
}

macro_rules! literal_from {
    ($($type:ty => $literal:expr),* $(,)?) => {
        $(impl From<$type> for Literal {
            fn from(value: $type) -> Self {
                $literal(value.into())
            }
        })*
    };
}

literal_from! {
    u8 => Self::Number, u16 => Self::Number, u32 => Self::Number, u64 => Self::Number, bool => Self::Number,
    Vec<u8> => Self::Octets, &[u8] => Self::Octets, Value => Self::Value,
}

/// Small numbers are written without a type. A negative one is no field's.
impl From<i32> for Literal {
    fn from(number: i32) -> Self {
        u64::try_from(number).map_or_else(|_| Self::Word(number.to_string()), Self::Number)
    }
}

impl From<&str> for Literal {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

impl From<IpAddr> for Literal {
    fn from(address: IpAddr) -> Self {
        Self::Value(Value::Address(address))
    }
}

impl From<&[u64]> for Literal {
    fn from(numbers: &[u64]) -> Self {
        Self::Value(Value::List(numbers.to_vec()))
    }
}

const WORDS: &str = "auto, bad, none";

/// The words that may stand in the place of every value.
fn word(word: &str) -> Option<Value> {
    Some(match word {
        "auto" => Value::Auto,
        "bad" => Value::Bad,
        "none" | "None" => Value::Absent,
        "true" | "True" => Value::Number(1),
        "false" | "False" => Value::Number(0),
        _ => return None,
    })
}

impl Form {
    /// What is expected, in words.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::Dec(1) | Self::Hex(1) => "0 or 1".to_owned(),
            Self::Dec(bits) => format!("a number from 0 to {}", most(bits)),
            Self::Hex(bits) => format!("a number from 0 to {:#x}", most(bits)),
            Self::Flags => format!("control bits by their letters ({FLAG_LETTERS}), like \"SA\""),
            Self::V4 => "an IPv4 address in quotes, like \"192.0.2.1\"".to_owned(),
            Self::V6 => "an IPv6 address in quotes, like \"2001:db8::1\"".to_owned(),
            Self::Address => "an IP address in quotes".to_owned(),
            Self::Octets => "octets: 0x and pairs of digits, or text in quotes".to_owned(),
            Self::Text => "text in quotes, or 0x and pairs of digits".to_owned(),
            Self::List(bits) => format!("numbers from 0 to {} in brackets", most(bits)),
        }
    }

    /// What is written as a value of this form.
    ///
    /// # Errors
    /// What is expected instead, in words.
    pub fn read(self, literal: &Literal) -> Result<Value, String> {
        if let Literal::Value(value) = literal {
            return self.check(value);
        }
        let special = match literal {
            Literal::Word(text) => word(text),
            // in quotes a word is text where text is wanted
            Literal::Text(text) if self != Self::Text => {
                std::str::from_utf8(text).ok().and_then(word)
            }
            _ => None,
        };
        if let Some(value) = special {
            return if matches!(value, Value::Number(_)) { self.check(&value) } else { Ok(value) };
        }
        let value = match (self, literal) {
            (_, Literal::Number(number)) => Some(Value::Number(*number)),
            (Self::Octets | Self::Text, Literal::Hex(digits)) => unhex(digits).map(Value::Octets),
            (Self::Octets | Self::Text, Literal::Text(octets) | Literal::Octets(octets)) => {
                Some(Value::Octets(octets.clone()))
            }
            (_, Literal::Hex(digits)) => u64::from_str_radix(digits, 16).ok().map(Value::Number),
            (Self::Flags, Literal::Text(letters)) => flag_bits(letters).map(Value::Number),
            (Self::V4 | Self::V6 | Self::Address, Literal::Text(text)) => {
                std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).map(Value::Address)
            }
            _ => None,
        };
        value.map_or_else(|| Err(self.refusal()), |value| self.check(&value))
    }

    fn refusal(self) -> String {
        format!("{} is expected here, or one of {WORDS}", self.expected())
    }

    /// Whether a value is one of this form.
    fn check(self, value: &Value) -> Result<Value, String> {
        let fits = |number: u64, bits: u32| number <= most(bits);
        let right = match (self, value) {
            (_, Value::Auto | Value::Bad | Value::Absent | Value::Any | Value::Variable { .. }) => {
                true
            }
            (Self::Dec(bits) | Self::Hex(bits), Value::Number(number)) => fits(*number, bits),
            (Self::Flags, Value::Number(number)) => fits(*number, 9),
            (Self::V4, Value::Address(address)) => address.is_ipv4(),
            (Self::V6, Value::Address(address)) => address.is_ipv6(),
            (Self::Address, Value::Address(_)) => true,
            (Self::Octets | Self::Text, Value::Octets(octets)) => octets.len() <= OCTETS_MAX,
            (Self::List(bits), Value::List(numbers)) => {
                numbers.len() <= LIST_MAX && numbers.iter().all(|number| fits(*number, bits))
            }
            (Self::List(bits), Value::Number(number)) if fits(*number, bits) => {
                return Ok(Value::List(vec![*number]));
            }
            _ => false,
        };
        if right { Ok(value.clone()) } else { Err(self.refusal()) }
    }

    /// Writes a value so that it is read as the same one.
    #[must_use]
    pub fn write(self, value: &Value) -> String {
        match value {
            Value::Number(number) => match self {
                Self::Hex(bits) => {
                    format!("{number:#0width$x}", width = bits.div_ceil(4) as usize + 2)
                }
                Self::Flags => format!("\"{}\"", flag_letters(*number)),
                _ => number.to_string(),
            },
            Value::Octets(octets) if octets.is_empty() => "\"\"".to_owned(),
            Value::Octets(octets) => match (self, quoted(octets)) {
                (Self::Text, Some(text)) => text,
                _ => format!("0x{}", mpuser_inspect::option::hex(octets)),
            },
            Value::Address(address) => format!("\"{address}\""),
            Value::List(numbers) => {
                let all: Vec<String> = numbers.iter().map(u64::to_string).collect();
                format!("[{}]", all.join(", "))
            }
            Value::Auto => "auto".to_owned(),
            Value::Bad => "bad".to_owned(),
            Value::Absent => "none".to_owned(),
            Value::Any => "*".to_owned(),
            Value::Variable { name, plus: 0 } => format!("${name}"),
            Value::Variable { name, plus } => format!("${name}{plus:+}"),
        }
    }
}

/// More numbers than any option holds.
pub(crate) const LIST_MAX: usize = 64;

const fn most(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    let octet = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    if odd.is_empty() { pairs.iter().map(octet).collect() } else { None }
}

fn flag_bits(letters: &[u8]) -> Option<u64> {
    letters.iter().try_fold(0, |bits, letter| {
        let place = FLAG_LETTERS.bytes().position(|known| known == letter.to_ascii_uppercase())?;
        Some(bits | 1 << place)
    })
}

/// The control bits in letters.
#[must_use]
pub fn flag_letters(bits: u64) -> String {
    FLAG_LETTERS.chars().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, c)| c).collect()
}

/// Text in quotes, if it is text.
fn quoted(octets: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(octets.len() + 2);
    text.push('"');
    for octet in octets {
        match octet {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*octet));
            }
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x20..=0x7e => text.push(char::from(*octet)),
            _ => return None,
        }
    }
    text.push('"');
    Some(text)
}

/// What stands between quotes, escapes undone; the place and the escape that is none otherwise.
pub(crate) fn unquote(inner: &str) -> Result<Vec<u8>, (usize, String)> {
    let mut octets = Vec::with_capacity(inner.len());
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '\\' {
            let mut buffer = [0; 4];
            octets.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        match chars.next().map(|(_, escape)| escape) {
            Some('n') => octets.push(b'\n'),
            Some('r') => octets.push(b'\r'),
            Some('t') => octets.push(b'\t'),
            Some('0') => octets.push(0),
            Some(quote @ ('"' | '\'' | '\\')) => octets.push(quote as u8),
            Some('x') => {
                let digits: String = chars.by_ref().take(2).map(|(_, digit)| digit).collect();
                match unhex(&digits).as_deref() {
                    Some([octet]) => octets.push(*octet),
                    _ => return Err((at, format!("\\x{digits}"))),
                }
            }
            escape => return Err((at, format!("\\{}", escape.unwrap_or(' ')))),
        }
    }
    Ok(octets)
}

/// As it stands, for messages.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Hex(digits) => write!(f, "0x{digits}"),
            Self::Text(octets) | Self::Octets(octets) => {
                f.write_str(&Form::Text.write(&Value::Octets(octets.clone())))
            }
            Self::Word(word) => f.write_str(word),
            Self::Value(value) => f.write_str(&Form::Text.write(value)),
        }
    }
}

/// Text cut to what fits on a line.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        let _ = write!(short, "... ({} characters)", text.chars().count());
    }
    short
}
