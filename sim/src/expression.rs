//! Parameters, and expressions over them: `${10 * n}mbit`. The language is that of Rhai, without statements and
//! with a limit of operations; every number is a float, so that `1 / 2` is a half.

use rhai::packages::{BasicMathPackage, CorePackage, LogicPackage, Package};
use rhai::{Dynamic, Engine, Scope};
use std::fmt;

/// A parameter's value, or an expression's.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any number; finite.
    Number(f64),
    /// Text.
    Text(String),
    /// True or false.
    Truth(bool),
}

impl Value {
    /// It as a number, if it is or reads as one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Truth(_) => None,
        };
        number.filter(|number: &f64| number.is_finite())
    }

    /// A value of this one's kind from text.
    ///
    /// # Errors
    /// Says what kind it has to be.
    pub fn like(&self, text: &str) -> Result<Self, String> {
        match self {
            Self::Text(_) => Ok(Self::Text(text.to_owned())),
            Self::Number(_) => {
                let number = Self::Text(text.to_owned()).number();
                number.map(Self::Number).ok_or_else(|| format!("{text:?} is no number"))
            }
            Self::Truth(_) => match text {
                "true" | "on" | "1" => Ok(Self::Truth(true)),
                "false" | "off" | "0" => Ok(Self::Truth(false)),
                _ => Err(format!("{text:?} is neither true nor false")),
            },
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Truth(truth) => write!(f, "{truth}"),
        }
    }
}

/// Parameters by name, in the order they were said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(Vec<(String, Value)>);

impl Params {
    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Sets one, known or new.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }
}

/// A text with its `${expressions}` worked out. A text that is nothing but one expression is that expression's value.
///
/// # Errors
/// Says which expression failed, and why.
pub fn expand(text: &str, params: &Params) -> Result<Value, String> {
    let Some(first) = text.find("${") else { return Ok(Value::Text(text.to_owned())) };
    let (mut whole, mut rest) = (String::new(), text);
    let mut next = Some(first);
    while let Some(start) = next {
        let (before, after) = rest.split_at(start);
        let after = after.get(2..).unwrap_or_default();
        let end = closing(after).ok_or_else(|| format!("`{text}` lacks a closing brace"))?;
        let (code, behind) = after.split_at(end);
        let value = evaluate(code, params)?;
        rest = behind.get(1..).unwrap_or_default();
        if whole.is_empty() && before.is_empty() && rest.is_empty() {
            return Ok(value);
        }
        whole.push_str(before);
        whole.push_str(&value.to_string());
        next = rest.find("${");
    }
    whole.push_str(rest);
    Ok(Value::Text(whole))
}

/// Where the brace is that closes the one before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn evaluate(code: &str, params: &Params) -> Result<Value, String> {
    let failed = |why: String| format!("`${{{code}}}` cannot be worked out: {why}");
    let mut scope = Scope::new();
    for (name, value) in params.iter() {
        let value = match value {
            Value::Number(number) => Dynamic::from_float(*number),
            Value::Text(text) => Dynamic::from(text.clone()),
            Value::Truth(truth) => Dynamic::from_bool(*truth),
        };
        scope.push_constant_dynamic(name, value);
    }
    let result = engine().eval_expression_with_scope::<Dynamic>(&mut scope, code);
    let value = result.map_err(|error| failed(explain(&error.to_string(), params)))?;
    convert(&value).ok_or_else(|| failed(format!("it gives {value}, a {}", value.type_name())))
}

/// Rhai's message without its positions, which count from the expression's start.
fn explain(message: &str, params: &Params) -> String {
    let message = message.split(" (line ").next().unwrap_or(message);
    match message.strip_prefix("Variable not found: ") {
        Some(name) => {
            let known = crate::document::suggest(name, params.names());
            format!("there is no parameter `{name}`; {known}")
        }
        None => message.to_owned(),
    }
}

fn convert(value: &Dynamic) -> Option<Value> {
    if let Ok(number) = value.as_float() {
        return number.is_finite().then_some(Value::Number(number));
    }
    if let Ok(number) = value.as_int() {
        return Some(Value::Number(number as f64));
    }
    if let Ok(truth) = value.as_bool() {
        return Some(Value::Truth(truth));
    }
    value.clone().into_string().ok().map(Value::Text)
}

fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    CorePackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    // 1 / 2 is a half, whoever writes it
    engine.set_fast_operators(false);
    engine.register_fn("/", |a: i64, b: i64| a as f64 / b as f64);
    engine.set_max_operations(10_000);
    engine.set_max_expr_depths(64, 0);
    engine.set_max_string_size(1_000);
    engine
}

/// Whether a parameter can be called so.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && engine().compile_expression(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        let mut params = Params::default();
        params.set("n", Value::Number(2.0));
        params.set("c", Value::Number(0.5));
        params.set("cc", Value::Text("lia".into()));
        params.set("late", Value::Truth(false));
        params
    }

    #[test]
    fn expressions_are_worked_out() {
        for (text, value) in [
            ("plain", Value::Text("plain".into())),
            ("${n}", Value::Number(2.0)),
            ("${10 * n}", Value::Number(20.0)),
            ("${10 * n}mbit", Value::Text("20mbit".into())),
            ("${1 / 4}", Value::Number(0.25)),
            ("${n / 4}", Value::Number(0.5)),
            ("${7 / n}", Value::Number(3.5)),
            ("${cc}", Value::Text("lia".into())),
            ("a${n}b${c}c", Value::Text("a2b0.5c".into())),
            ("${if n > 1 { 5 } else { 6 }}", Value::Number(5.0)),
            ("${if late { \"1s\" } else { \"0\" }}", Value::Text("0".into())),
            ("${max(n, 3.0) + sqrt(4.0)}", Value::Number(5.0)),
            ("${round(10.0 * 0.15)}p", Value::Text("2p".into())),
            ("${n == 2}", Value::Truth(true)),
            ("${n ** 3}", Value::Number(8.0)),
        ] {
            assert_eq!(expand(text, &params()), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_worked_out_is_named() {
        for (text, part) in [
            ("${m}", "there is no parameter `m`; known: n, c, cc, late"),
            ("${latt}", "did you mean `late`"),
            ("${n", "lacks a closing brace"),
            ("${}", "cannot be worked out"),
            ("${n +}", "cannot be worked out"),
            ("${1 / 0}", "cannot be worked out: it gives inf"),
            ("${let x = 1; x}", "cannot be worked out"),
            ("${while true {}}", "cannot be worked out"),
            ("${[1]}", "cannot be worked out"),
            ("${nosuch(1)}", "Function not found"),
        ] {
            let error = expand(text, &params()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_words() {
        for name in ["n", "rate2", "a_b"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2n", "a-b", "if", "let", "a b", "_x"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
