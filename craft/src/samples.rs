//! Random layers, drawn from the table: for the tests of this crate.

use crate::layer::{Layer, Stack, misplaced};
use crate::table::{Kind, LayerSpec, Place, SPECS};
use crate::value::{Form, Value};
use proptest::prelude::*;
use std::net::IpAddr;

fn bits(bits: u32) -> BoxedStrategy<u64> {
    let most = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
    prop_oneof![3 => 0..=most, 1 => Just(0), 1 => Just(most)].boxed()
}

/// Values of a form.
pub(crate) fn value(form: Form) -> BoxedStrategy<Value> {
    let v4 = any::<[u8; 4]>().prop_map(|octets| Value::Address(IpAddr::from(octets)));
    let v6 = any::<[u8; 16]>().prop_map(|octets| Value::Address(IpAddr::from(octets)));
    let octets = prop::collection::vec(any::<u8>(), 0..24);
    match form {
        Form::Dec(n) | Form::Hex(n) => bits(n).prop_map(Value::Number).boxed(),
        Form::Flags => bits(9).prop_map(Value::Number).boxed(),
        Form::V4 => v4.boxed(),
        Form::V6 => v6.boxed(),
        Form::Address => prop_oneof![v4, v6].boxed(),
        Form::Octets => octets.prop_map(Value::Octets).boxed(),
        Form::Text => {
            let text = "[ -~\n\t]{0,20}".prop_map(String::into_bytes);
            prop_oneof![octets, text].prop_map(Value::Octets).boxed()
        }
        Form::List(n) => prop::collection::vec(bits(n), 0..9).prop_map(Value::List).boxed(),
    }
}

/// A value, or one of the words.
fn said(form: Form, words: bool) -> BoxedStrategy<Value> {
    if !words {
        return value(form);
    }
    let variable =
        ("[a-z][a-z0-9_]{0,5}", -9_i64..9).prop_map(|(name, plus)| Value::Variable { name, plus });
    let words = prop_oneof![
        Just(Value::Auto),
        Just(Value::Bad),
        Just(Value::Absent),
        Just(Value::Any),
        variable
    ];
    prop_oneof![4 => value(form), 1 => words].boxed()
}

/// A layer with some of its fields said.
pub(crate) fn layer(spec: &'static LayerSpec, words: bool) -> BoxedStrategy<Layer> {
    let fields =
        spec.fields.iter().map(|field| prop::option::weighted(0.4, said(field.form, words)));
    fields
        .collect::<Vec<_>>()
        .prop_map(move |values| {
            let said = spec.fields.iter().zip(values);
            said.fold(Layer::new(spec.kind), |layer, (field, value)| match value {
                Some(value) => layer.with(field.name, value),
                None => layer,
            })
        })
        .boxed()
}

/// Layers in an order they may have; with words, or with plain values only.
pub(crate) fn stack(words: bool) -> BoxedStrategy<Stack> {
    let any = prop::sample::select(SPECS)
        .prop_flat_map(move |spec| layer(&SPECS[spec.kind as usize], words));
    prop::collection::vec(any, 1..6)
        .prop_map(|mut layers| {
            layers.sort_by_key(|layer| layer.kind().spec().place);
            let mut stack = Stack::default();
            let mut before = None;
            for layer in layers {
                if misplaced(before, layer.kind()).is_none() {
                    before = Some(layer.kind());
                    stack.push(layer);
                }
            }
            stack
        })
        .boxed()
}

/// The options of a stack.
pub(crate) fn option_kinds() -> impl Iterator<Item = Kind> {
    SPECS.iter().filter(|spec| spec.place == Place::Option).map(|spec| spec.kind)
}
