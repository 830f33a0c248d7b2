//! One self-contained page of HTML: headings, tables, plots; nothing is fetched from anywhere.

use std::fmt::Write;

/// A table: a head and rows of as many cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Titles of the columns.
    pub head: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&title| title.to_owned()).collect(), rows: Vec::new() }
    }

    /// As Markdown, columns aligned for those who read it as text.
    #[must_use]
    pub fn markdown(&self) -> String {
        let clean = |cell: &String| cell.replace('|', "\\|");
        let rows: Vec<Vec<String>> = std::iter::once(&self.head)
            .chain(&self.rows)
            .map(|row| row.iter().map(clean).collect())
            .collect();
        let columns = self.head.len();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
            if number == 0 {
                for width in &widths {
                    let _ = write!(text, "|{:-<w$}", "", w = width + 2);
                }
                text.push_str("|\n");
            }
        }
        text
    }

    fn html(&self) -> String {
        let row = |cells: &[String], tag: &str| {
            let cells: String = cells
                .iter()
                .map(|cell| {
                    let class = match cell.as_str() {
                        "PASS" => " class=\"pass\"",
                        "FAIL" => " class=\"fail\"",
                        _ => "",
                    };
                    format!("<{tag}{class}>{}</{tag}>", escape(cell))
                })
                .collect();
            format!("<tr>{cells}</tr>\n")
        };
        let rows: String = self.rows.iter().map(|cells| row(cells, "td")).collect();
        let head = row(&self.head, "th");
        format!(
            "<div class=\"wide\"><table>\n<thead>{head}</thead>\n<tbody>{rows}</tbody></table></div>\n"
        )
    }
}

/// Text that stands in HTML for itself.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "\
:root{color-scheme:light}body{font:16px/1.5 system-ui,sans-serif;color:#222831;background:#fff;max-width:960px;\
margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.2rem;border-bottom:1px solid #e4e7eb}\
h3{font-size:1.05rem}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .7rem;border-bottom:1px solid #e4e7eb;text-align:left;white-space:nowrap}th{background:#f6f7f9}\
.pass{color:#006b4f;font-weight:600}.fail{color:#b3261e;font-weight:600}figure{margin:1.2rem 0}figure svg{max-width:100%;height:auto}\
figcaption{color:#555;font-size:.86rem}";

/// A page that grows from the top.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page with nothing but its title.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), body: String::new() }
    }

    /// A heading; level 1 is the largest below the title.
    pub fn heading(&mut self, level: u8, text: &str) {
        let level = level.clamp(1, 4) + 1;
        let _ = writeln!(self.body, "<h{level}>{}</h{level}>", escape(text));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", escape(text));
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        self.body.push_str(&table.html());
    }

    /// A plot with what is to be said of it.
    pub fn figure(&mut self, svg: &str, caption: &str) {
        let caption = escape(caption);
        let _ = writeln!(self.body, "<figure>\n{svg}\n<figcaption>{caption}</figcaption></figure>");
    }

    /// The whole of it.
    #[must_use]
    pub fn html(&self) -> String {
        let (title, body) = (escape(&self.title), &self.body);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style></head>\n\
             <body>\n<h1>{title}</h1>\n{body}</body></html>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["quantity", "ours"]);
        table.rows.push(vec!["a<b".to_owned(), "PASS".to_owned()]);
        table
    }

    #[test]
    fn markdown_lines_up() {
        let expected = "| quantity | ours |\n|----------|------|\n| a<b      | PASS |\n";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn a_page_needs_nothing_else() {
        let mut page = Page::new("A & B");
        page.heading(1, "<script>");
        page.table(&table());
        page.figure("<svg></svg>", "what");
        let html = page.html();
        for part in ["<title>A &amp; B</title>", "&lt;script&gt;", "a&lt;b", "class=\"pass\""] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("http"), "something is fetched");
    }
}
