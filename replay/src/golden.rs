//! A replay as text that is the same every time, and what is different from one written before.

/// The first line that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldenDifference {
    /// Its number, from 1.
    pub line: usize,
    /// What was expected; none if there should be no more lines.
    pub expected: Option<String>,
    /// What came; none if a line is missing.
    pub found: Option<String>,
}

/// Compares line by line; blank space at the ends of lines does not count.
#[must_use]
pub fn compare_golden(expected: &str, found: &str) -> Option<GoldenDifference> {
    let (mut was, mut is) = (expected.lines(), found.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (was.next(), is.next()) {
            (None, None) => return None,
            (a, b) if a.map(str::trim_end) == b.map(str::trim_end) => {}
            (expected, found) => {
                let owned = |text: Option<&str>| text.map(str::to_owned);
                return Some(GoldenDifference {
                    line,
                    expected: owned(expected),
                    found: owned(found),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(compare_golden("a\nb \n", "a\nb\n"), None);
        let found = compare_golden("a\nb\n", "a\nc\n").expect("different");
        assert_eq!((found.line, found.expected.as_deref()), (2, Some("b")));
        let found = compare_golden("a\n", "a\nb\n").expect("longer");
        assert_eq!((found.line, found.expected, found.found.as_deref()), (2, None, Some("b")));
        assert_eq!(compare_golden("a\nb\n", "a\n").map(|d| d.found), Some(None));
    }
}
