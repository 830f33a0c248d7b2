//! What came held against what was expected, field by field.

use super::Expect;
use crate::build::{Built, Known};
use crate::layer::{Layer, Stack};
use crate::session::Heard;
use crate::table::{Kind, Place};
use crate::value::{Form, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What a script remembers.
pub(super) type Variables = BTreeMap<String, Value>;

/// One field, or one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `TCP.flags`, or `MP_CAPABLE`.
    pub name: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub came: String,
    /// They go together.
    pub same: bool,
}

/// All fields of an expectation beside those of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// In the order they were said.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// Everything is as expected.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.same)
    }
}

/// A difference as `diff` shows it.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { name, expected, came, same } in &self.rows {
            if *same {
                writeln!(f, "    {name} {came}")?;
            } else {
                writeln!(f, "  - {name} {expected}")?;
                writeln!(f, "  + {name} {came}")?;
            }
        }
        Ok(())
    }
}

/// Holds a packet against an expectation. Variables that have no value yet get one, if all goes together.
pub(super) fn compare(
    expect: &Expect,
    heard: &Heard,
    known: &Known,
    variables: &mut Variables,
) -> Comparison {
    let mut bound = variables.clone();
    let mut comparison = Comparison::default();
    // options of one kind are taken in order
    let mut taken: Vec<usize> = Vec::new();
    for layer in expect.pattern.layers() {
        let name = layer.kind().spec().name;
        let found = heard
            .built
            .layers
            .iter()
            .enumerate()
            .find(|(index, built)| built.kind == layer.kind() && !taken.contains(index));
        let Some((index, _)) = found else {
            let came = "not there".to_owned();
            comparison.rows.push(Row {
                name: name.into(),
                expected: "there".into(),
                came,
                same: false,
            });
            continue;
        };
        taken.push(index);
        if layer.said().next().is_none() && layer.kind().spec().place == Place::Option {
            let there = "there".to_owned();
            comparison.rows.push(Row {
                name: name.into(),
                expected: there.clone(),
                came: there,
                same: true,
            });
        }
        fields(layer, index, heard, known, &mut bound, &mut comparison.rows);
    }
    for kind in &expect.without {
        let there = heard
            .built
            .layers
            .iter()
            .any(|layer| layer.kind == *kind || *kind == Kind::Mptcp && layer.kind.is_mptcp());
        let came = if there { "there" } else { "not there" }.to_owned();
        let (name, expected) = (kind.spec().name.to_owned(), "not there".to_owned());
        comparison.rows.push(Row { name, expected, came, same: !there });
    }
    if comparison.holds() {
        *variables = bound;
    }
    comparison
}

/// The fields of one layer, which is number `index` of the packet.
fn fields(
    layer: &Layer,
    index: usize,
    heard: &Heard,
    known: &Known,
    variables: &mut Variables,
    rows: &mut Vec<Row>,
) {
    for (field, wanted) in layer.said() {
        let found = heard.built.layers.get(index).and_then(|layer| layer.field(field.name));
        let found = found.map(|field| &field.value);
        let right = || right(&heard.stack, index, field.name, known);
        let write = |value: Option<&Value>| match value {
            Some(value) => format!("= {}", crate::value::shorten(&field.form.write(value), 70)),
            None => "not there".to_owned(),
        };
        let came = write(found);
        let (expected, same) = match wanted {
            Value::Any => ("= *".to_owned(), found.is_some()),
            Value::Absent => ("not there".to_owned(), found.is_none()),
            Value::Auto => {
                let right = right();
                let text = right.as_ref().map(|right| format!("{} (auto)", write(Some(right))));
                (
                    text.unwrap_or_else(|| "auto, which cannot be known".into()),
                    right.is_some() && right.as_ref() == found,
                )
            }
            Value::Bad => {
                let right = right();
                ("bad".to_owned(), right.is_some() && found.is_some() && right.as_ref() != found)
            }
            Value::Variable { name, plus } => match variables.get(name) {
                Some(value) => {
                    let value = plus_of(value, *plus, field.form);
                    (write(Some(&value)), found == Some(&value))
                }
                None => {
                    if let Some(value) = found {
                        variables
                            .insert(name.clone(), plus_of(value, plus.wrapping_neg(), field.form));
                    }
                    (write(found), found.is_some())
                }
            },
            value => (write(Some(value)), found == Some(value)),
        };
        rows.push(Row {
            name: format!("{}.{}", layer.kind().spec().name, field.name),
            expected,
            came,
            same,
        });
    }
}

/// What a field of the packet has to be.
fn right(stack: &Stack, index: usize, name: &str, known: &Known) -> Option<Value> {
    let mut layers: Vec<Layer> = stack.layers().to_vec();
    let layer = layers.get_mut(index)?.clone().with(name, Value::Auto);
    *layers.get_mut(index)? = layer;
    let mut stack = Stack::default();
    layers.into_iter().for_each(|layer| stack.push(layer));
    let built: Built = stack.build(known).ok()?;
    Some(built.layers.get(index)?.field(name)?.value.clone())
}

/// A number with something added, in as many bits as the field has.
pub(super) fn plus_of(value: &Value, plus: i64, form: Form) -> Value {
    let Value::Number(number) = value else { return value.clone() };
    let sum = number.wrapping_add_signed(plus);
    Value::Number(match form {
        Form::Dec(bits) | Form::Hex(bits) if bits < 64 => sum & ((1 << bits) - 1),
        _ => sum,
    })
}
