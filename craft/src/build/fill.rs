//! Fields one by one: what was said of them, or what they have to be.

use super::BuildError;
use crate::layer::Layer;
use crate::table::{FieldSpec, Kind};
use crate::value::Value;
use std::net::IpAddr;

/// A field as it is in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its row in the table.
    pub spec: &'static FieldSpec,
    /// Its value.
    pub value: Value,
    /// It was filled in.
    pub auto: bool,
}

/// Fills in the fields of one layer and remembers what they became.
#[derive(Debug)]
pub(super) struct Fill<'l> {
    layer: &'l Layer,
    fields: Vec<(usize, Field)>,
}

impl<'l> Fill<'l> {
    pub(super) const fn new(layer: &'l Layer) -> Self {
        Self { layer, fields: Vec::new() }
    }

    /// The fields in the order of the table.
    pub(super) fn finish(mut self) -> Vec<Field> {
        self.fields.sort_by_key(|(index, _)| *index);
        self.fields.into_iter().map(|(_, field)| field).collect()
    }

    pub(super) const fn kind(&self) -> Kind {
        self.layer.kind()
    }

    /// What is said of a field.
    pub(super) fn said(&self, name: &str) -> Option<&Value> {
        self.layer.get(name)
    }

    /// Something is said of this field, even if only that it is to be filled in.
    pub(super) fn is_said(&self, name: &str) -> bool {
        self.layer.get(name).is_some()
    }

    /// A number that is said, not shown: other fields are computed from it.
    pub(super) fn input(&self, name: &str) -> Option<u64> {
        self.layer.number(name)
    }

    fn note(&mut self, name: &str, value: Value, auto: bool) {
        let spec = self.layer.kind().spec();
        let Some(index) = spec.field(name) else { return };
        if let Some(spec) = spec.fields.get(index) {
            self.fields.push((index, Field { spec, value, auto }));
        }
    }

    /// Of a number only the low 32 bits go out.
    pub(super) fn narrow(&mut self, name: &str) {
        for (_, field) in self.fields.iter_mut().filter(|(_, field)| field.spec.name == name) {
            if let Value::Number(number) = &mut field.value {
                *number &= u64::from(u32::MAX);
            }
        }
    }

    pub(super) fn error(&self, name: &'static str, what: &str, help: &str) -> BuildError {
        BuildError::new(format!("{}.{name} {what}", self.layer.kind().spec().name), help)
    }

    /// The value of a field that may be left out, and is without `auto`.
    fn value(
        &mut self,
        name: &'static str,
        auto: Option<Value>,
    ) -> Result<Option<Value>, BuildError> {
        let (value, filled) = match self.layer.get(name) {
            None => (auto, true),
            Some(Value::Absent) => (None, false),
            Some(word @ (Value::Auto | Value::Bad)) => {
                let unknown = || {
                    let help = format!("say {name}=..., or leave it out with {name}=none");
                    self.error(name, "cannot be filled in here: what it needs is not known", &help)
                };
                let value = auto.ok_or_else(unknown)?;
                (Some(if *word == Value::Bad { spoil(value) } else { value }), *word == Value::Auto)
            }
            Some(Value::Any | Value::Variable { .. }) => {
                return Err(self.error(
                    name,
                    "is a pattern",
                    "a packet to be sent needs its value",
                ));
            }
            Some(value) => (Some(value.clone()), false),
        };
        if let Some(value) = &value {
            self.note(name, value.clone(), filled);
        }
        Ok(value)
    }

    /// A number that may be left out.
    pub(super) fn optional(
        &mut self,
        name: &'static str,
        auto: Option<u64>,
    ) -> Result<Option<u64>, BuildError> {
        match self.value(name, auto.map(Value::Number))? {
            Some(Value::Number(number)) => Ok(Some(number)),
            _ => Ok(None),
        }
    }

    /// A number that is always there.
    pub(super) fn number(&mut self, name: &'static str, auto: u64) -> Result<u64, BuildError> {
        self.required(name, Some(auto), "")
    }

    /// A number that is always there, and may not be known.
    pub(super) fn required(
        &mut self,
        name: &'static str,
        auto: Option<u64>,
        help: &str,
    ) -> Result<u64, BuildError> {
        if self.layer.get(name) == Some(&Value::Absent) {
            return Err(self.error(name, "cannot be left out", "give it a value"));
        }
        let found = self.optional(name, auto)?;
        found.ok_or_else(|| self.error(name, "is not known", help))
    }

    /// Octets that may be left out.
    pub(super) fn octets(
        &mut self,
        name: &'static str,
        auto: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, BuildError> {
        match self.value(name, auto.map(Value::Octets))? {
            Some(Value::Octets(octets)) => Ok(Some(octets)),
            _ => Ok(None),
        }
    }

    /// Numbers.
    pub(super) fn list(
        &mut self,
        name: &'static str,
        auto: Vec<u64>,
    ) -> Result<Vec<u64>, BuildError> {
        match self.value(name, Some(Value::List(auto)))? {
            Some(Value::List(numbers)) => Ok(numbers),
            _ => Ok(Vec::new()),
        }
    }

    /// An address that is always there.
    pub(super) fn address(
        &mut self,
        name: &'static str,
        auto: Option<IpAddr>,
    ) -> Result<IpAddr, BuildError> {
        match self.value(name, auto.map(Value::Address))? {
            Some(Value::Address(address)) => Ok(address),
            _ => Err(self.error(name, "is not known", "say it, in quotes")),
        }
    }
}

/// The value with its lowest bit turned.
fn spoil(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(number ^ 1),
        Value::Octets(mut octets) => {
            if let Some(last) = octets.last_mut() {
                *last ^= 1;
            }
            Value::Octets(octets)
        }
        Value::Address(IpAddr::V4(address)) => {
            Value::Address(IpAddr::V4((address.to_bits() ^ 1).into()))
        }
        Value::Address(IpAddr::V6(address)) => {
            Value::Address(IpAddr::V6((address.to_bits() ^ 1).into()))
        }
        Value::List(mut numbers) => {
            if let Some(last) = numbers.last_mut() {
                *last ^= 1;
            }
            Value::List(numbers)
        }
        other => other,
    }
}
