//! Tables for people: the first column to the left, numbers to the right, no boxes.

use std::fmt::Write as _;

/// A head and rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings and no rows.
    pub(crate) fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The text; columns in which nothing stands are left out.
    pub(crate) fn render(&self) -> String {
        let said = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.into_iter().any(|cell| !cell.is_empty() && cell != "-")
        };
        let columns: Vec<usize> = (0..self.head.len()).filter(|c| *c == 0 || said(*c)).collect();
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut text = String::new();
        for line in lines() {
            let mut out = String::new();
            for column in &columns {
                let cell = line.get(*column).map_or("", String::as_str);
                let width = width(*column);
                // writing to a String cannot fail
                let _ = match column {
                    0 => write!(out, "{cell:width$}"),
                    _ => write!(out, "  {cell:>width$}"),
                };
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_empty_ones_go() {
        let mut table = Table::new(["flow", "goodput", "nothing", "lost"]);
        table.row(["mp", "1.0 Mbit/s", "-", "3"]);
        table.row(["longer", "9.5 kbit/s", "", "12"]);
        let text = "flow       goodput  lost\nmp      1.0 Mbit/s     3\nlonger  9.5 kbit/s    12\n";
        assert_eq!(table.render(), text);
    }
}
