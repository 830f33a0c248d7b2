//! Built packets as people read them: layer by layer, in hex, as an object.

use crate::build::{Built, Field};
use crate::value::{Form, Value};
use mpuser_inspect::option::hex;
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;

/// Octets on a line of a dump.
const DUMP_WIDTH: usize = 16;
/// Characters of a value that are shown.
const VALUE_MAX: usize = 64;

impl Built {
    /// Layer by layer as scapy's `show()`. With `marks`, what was filled in is marked.
    #[must_use]
    pub fn show(&self, marks: bool) -> String {
        let mut text = String::new();
        for layer in &self.layers {
            let _ = writeln!(text, "###[ {} ]###", layer.kind.spec().name);
            for field in &layer.fields {
                let shown = crate::value::shorten(&field.spec.form.write(&field.value), VALUE_MAX);
                let mark = if marks && field.auto { "auto" } else { "" };
                let line = format!("  {:<12} = {shown:<20} {mark}", field.spec.name);
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// Octets in hex, sixteen on a line, with text beside.
    #[must_use]
    pub fn hexdump(&self) -> String {
        let mut text = String::new();
        for (number, line) in self.bytes.chunks(DUMP_WIDTH).enumerate() {
            let octets: Vec<String> = line.iter().map(|octet| format!("{octet:02x}")).collect();
            let printable = |octet: &u8| {
                if (0x20..0x7f).contains(octet) { char::from(*octet) } else { '.' }
            };
            let ascii: String = line.iter().map(printable).collect();
            let _ =
                writeln!(text, "{:04x}  {:<47}  {ascii}", number * DUMP_WIDTH, octets.join(" "));
        }
        text
    }

    /// One object: the layers with their fields, which of them were filled in, the octets.
    #[must_use]
    pub fn object(&self) -> Json {
        let layers: Vec<Json> = self
            .layers
            .iter()
            .map(|layer| {
                let fields: Map<String, Json> = layer
                    .fields
                    .iter()
                    .map(|field| (field.spec.name.to_owned(), field_object(field)))
                    .collect();
                let auto = layer.fields.iter().filter(|field| field.auto).map(|f| f.spec.name);
                json!({
                    "layer": layer.kind.spec().name,
                    "fields": fields,
                    "auto": auto.collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({ "layers": layers, "hex": hex(&self.bytes) })
    }
}

/// Numbers as numbers, keys and octets in hex, control bits in letters.
fn field_object(field: &Field) -> Json {
    match (&field.value, field.spec.form) {
        // more than a double holds exactly
        (Value::Number(number), Form::Hex(64)) => json!(format!("{number:#018x}")),
        (Value::Number(number), Form::Flags) => json!(crate::value::flag_letters(*number)),
        (Value::Number(number), _) => json!(number),
        (Value::Octets(octets), _) => json!(hex(octets)),
        (Value::Address(address), _) => json!(address.to_string()),
        (Value::List(numbers), _) => json!(numbers),
        (value, form) => json!(form.write(value)),
    }
}
