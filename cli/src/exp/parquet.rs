//! The table of rows as Parquet.

use crate::error::Failure;
use mpuser_sim::experiment::Rows;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::path::Path;
use std::sync::Arc;

/// What a column holds: the narrowest type all its cells fit.
enum Column {
    Whole(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Text(Vec<Option<String>>),
}

/// Writes the table. Empty cells are nulls.
pub(super) fn write(path: &Path, names: &[String], rows: &Rows) -> Result<(), Failure> {
    let bytes = encode(names, rows)
        .map_err(|error| Failure::internal("no Parquet can be written", error))?;
    super::store::replace(path, &bytes)
}

fn encode(names: &[String], rows: &Rows) -> Result<Vec<u8>, ParquetError> {
    let columns: Vec<Column> = (0..names.len()).map(|at| column(rows, at)).collect();
    let fields = names.iter().zip(&columns).map(|(name, column)| {
        let kind = match column {
            Column::Whole(_) => "INT64",
            Column::Number(_) => "DOUBLE",
            Column::Text(_) => "BYTE_ARRAY",
        };
        let text = if matches!(column, Column::Text(_)) { " (UTF8)" } else { "" };
        format!("optional {kind} {name}{text};")
    });
    let schema = parse_message_type(&format!("message rows {{ {} }}", fields.collect::<String>()))?;
    let mut writer = SerializedFileWriter::new(
        Vec::new(),
        Arc::new(schema),
        Arc::new(WriterProperties::default()),
    )?;
    let mut group = writer.next_row_group()?;
    for column in &columns {
        fill(&mut group, column)?;
    }
    group.close()?;
    writer.into_inner()
}

fn column(rows: &Rows, at: usize) -> Column {
    let cells: Vec<&str> =
        rows.iter().map(|(_, cells)| cells.get(at).map_or("", String::as_str)).collect();
    fn all<T>(cells: &[&str], read: impl Fn(&str) -> Option<T>) -> Option<Vec<Option<T>>> {
        let cell = |cell: &&str| if cell.is_empty() { Some(None) } else { read(cell).map(Some) };
        cells.iter().map(cell).collect()
    }
    if let Some(values) = all(&cells, |cell| cell.parse().ok()) {
        return Column::Whole(values);
    }
    if let Some(values) = all(&cells, |cell| cell.parse().ok()) {
        return Column::Number(values);
    }
    let text = |cell: &&str| (!cell.is_empty()).then(|| (*cell).to_owned());
    Column::Text(cells.iter().map(text).collect())
}

fn fill(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    column: &Column,
) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else { return Ok(()) };
    fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
        values.iter().map(|value| i16::from(value.is_some())).collect()
    }
    match column {
        Column::Whole(values) => {
            let there: Vec<i64> = values.iter().flatten().copied().collect();
            writer.typed::<Int64Type>().write_batch(&there, Some(&levels(values)), None)?;
        }
        Column::Number(values) => {
            let there: Vec<f64> = values.iter().flatten().copied().collect();
            writer.typed::<DoubleType>().write_batch(&there, Some(&levels(values)), None)?;
        }
        Column::Text(values) => {
            let there: Vec<ByteArray> =
                values.iter().flatten().map(|text| ByteArray::from(text.as_str())).collect();
            writer.typed::<ByteArrayType>().write_batch(&there, Some(&levels(values)), None)?;
        }
    }
    writer.close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    #[test]
    fn a_table_comes_back() {
        let names = ["run", "cc", "mp.goodput_bps"].map(str::to_owned);
        let mut rows = Rows::default();
        rows.add(0, ["0", "lia", "1.5"].map(str::to_owned).to_vec()).unwrap();
        rows.add(1, ["1", "olia", ""].map(str::to_owned).to_vec()).unwrap();
        let bytes = encode(&names, &rows).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows: Vec<String> =
            reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(rows[0], "{run: 0, cc: \"lia\", mp.goodput_bps: 1.5}");
        assert_eq!(rows[1], "{run: 1, cc: \"olia\", mp.goodput_bps: null}");
    }
}
