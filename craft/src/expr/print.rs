//! Layers as the text they are read from.

use crate::layer::{Layer, Stack};
use std::fmt;

/// `NAME(field=value, ...)`, what was said and nothing else.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().spec().name)?;
        let said: Vec<String> = self
            .said()
            .map(|(field, value)| format!("{}={}", field.name, field.form.write(value)))
            .collect();
        if said.is_empty() { Ok(()) } else { write!(f, "({})", said.join(", ")) }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layer) in self.layers().iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            layer.fmt(f)?;
        }
        Ok(())
    }
}
