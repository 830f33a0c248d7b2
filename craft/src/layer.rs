//! Layers and what is said of them; put together with `/`.

use crate::table::{Kind, Place, Tcp};
use crate::value::{Literal, Value};
use std::collections::BTreeMap;
use std::ops::Div;

/// One layer, with what was said of its fields. What was not said is filled in when the packet is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    kind: Kind,
    /// By their place in the table.
    fields: BTreeMap<usize, Value>,
    /// What was said and cannot be; the packet is not built.
    faults: Vec<String>,
}

impl Layer {
    /// A layer of which nothing is said.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { kind, fields: BTreeMap::new(), faults: Vec::new() }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// With this field. A value the field cannot have is reported when the packet is built.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Literal>) -> Self {
        if let Err(fault) = self.set(name, &value.into()) {
            self.faults.push(fault);
        }
        self
    }

    /// Says what a field is.
    ///
    /// # Errors
    /// There is no such field, or it cannot have this value.
    pub fn set(&mut self, name: &str, value: &Literal) -> Result<(), String> {
        let spec = self.kind.spec();
        let unknown = || format!("{} has no field {name}", spec.name);
        let index = spec.field(name).ok_or_else(unknown)?;
        let form = spec.fields.get(index).ok_or_else(unknown)?.form;
        let value = form.read(value).map_err(|why| format!("{}.{name}: {why}", spec.name))?;
        self.fields.insert(index, value);
        Ok(())
    }

    /// Takes back what was said of a field.
    pub fn forget(&mut self, name: &str) {
        if let Some(index) = self.kind.spec().field(name) {
            self.fields.remove(&index);
        }
    }

    /// What was said of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(&self.kind.spec().field(name)?)
    }

    /// What was said of a field, if it is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// All that was said, in the order of the table.
    pub fn said(&self) -> impl Iterator<Item = (&'static crate::table::FieldSpec, &Value)> {
        let fields = self.kind.spec().fields;
        self.fields.iter().filter_map(|(index, value)| Some((fields.get(*index)?, value)))
    }

    /// Every value changed by `change`.
    pub(crate) fn try_map<E>(
        &self,
        mut change: impl FnMut(&Value) -> Result<Value, E>,
    ) -> Result<Self, E> {
        let mut layer = self.clone();
        for value in layer.fields.values_mut() {
            *value = change(value)?;
        }
        Ok(layer)
    }

    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }
}

/// Layers of one packet, from IP to payload; any of them may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    layers: Vec<Layer>,
}

impl Stack {
    /// The layers in order.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Puts a layer behind the others.
    pub fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
    }

    /// The first layer of this kind.
    #[must_use]
    pub fn find(&self, kind: Kind) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.kind == kind)
    }

    /// The first layer of this kind, to be changed.
    pub fn find_mut(&mut self, kind: Kind) -> Option<&mut Layer> {
        self.layers.iter_mut().find(|layer| layer.kind == kind)
    }

    /// Layers that stand in one place.
    pub fn at(&self, place: Place) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(move |layer| layer.kind.spec().place == place)
    }

    /// Without what was said of one field.
    pub(crate) fn without(&self, index: usize, name: &str) -> Self {
        let mut stack = self.clone();
        if let Some(layer) = stack.layers.get_mut(index) {
            layer.forget(name);
        }
        stack
    }

    /// Without the last option, if that is a NOP.
    pub(crate) fn without_last_nop(&self) -> Option<Self> {
        let is_option = |layer: &Layer| layer.kind.spec().place == Place::Option;
        let last = self.layers.iter().rposition(is_option)?;
        let nop = self.layers.get(last).is_some_and(|layer| layer.kind == Kind::Nop);
        let mut stack = self.clone();
        stack.layers.remove(last);
        nop.then_some(stack)
    }

    /// The layers put in order, the TCP header added where there is none.
    pub(crate) fn with_tcp(mut self) -> Self {
        if self.find(Kind::Tcp).is_none() {
            let place = |layer: &Layer| layer.kind.spec().place > Place::Transport;
            let at = self.layers.iter().position(place).unwrap_or(self.layers.len());
            self.layers.insert(at, Layer::new(Kind::Tcp));
        }
        self
    }

    /// Every value changed by `change`.
    pub(crate) fn try_map<E>(
        &self,
        mut change: impl FnMut(&Value) -> Result<Value, E>,
    ) -> Result<Self, E> {
        let layers = self.layers.iter().map(|layer| layer.try_map(&mut change));
        Ok(Self { layers: layers.collect::<Result<_, _>>()? })
    }
}

/// Why a layer cannot stand behind another one; `None` if it can.
#[must_use]
pub fn misplaced(before: Option<Kind>, next: Kind) -> Option<String> {
    let before = before?;
    let (first, second) = (before.spec(), next.spec());
    let order = "the order is IP or IPv6, TCP, its options, Raw";
    if first.place == second.place && first.place != Place::Option {
        return Some(format!("{} cannot follow {}: {order}, one of each", second.name, first.name));
    }
    (second.place < first.place)
        .then(|| format!("{} cannot stand behind {}: {order}", second.name, first.name))
}

impl From<Layer> for Stack {
    fn from(layer: Layer) -> Self {
        Self { layers: vec![layer] }
    }
}

/// Text is payload.
impl From<&str> for Stack {
    fn from(text: &str) -> Self {
        crate::table::raw(text).into()
    }
}

/// Octets are payload.
impl From<&[u8]> for Stack {
    fn from(octets: &[u8]) -> Self {
        crate::table::raw(octets).into()
    }
}

impl<T: Into<Self>> Div<T> for Stack {
    type Output = Self;

    fn div(mut self, next: T) -> Self {
        self.layers.extend(next.into().layers);
        self
    }
}

impl<T: Into<Stack>> Div<T> for Layer {
    type Output = Stack;

    fn div(self, next: T) -> Stack {
        Stack::from(self) / next
    }
}

impl Tcp {
    fn bit(self, bit: u64) -> Self {
        let bits = self.0.number("flags").unwrap_or_default();
        self.flags(bits | bit)
    }

    /// With FIN.
    pub fn fin(self) -> Self {
        self.bit(0x01)
    }

    /// With SYN.
    pub fn syn(self) -> Self {
        self.bit(0x02)
    }

    /// With RST.
    pub fn rst(self) -> Self {
        self.bit(0x04)
    }

    /// With PSH.
    pub fn psh(self) -> Self {
        self.bit(0x08)
    }

    /// With the ACK bit, and this number.
    pub fn acking(self, number: u32) -> Self {
        self.bit(0x10).ack(number)
    }
}
