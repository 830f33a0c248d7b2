//! The files of the repository, and Rust sources taken apart into code and comments.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A text file.
#[derive(Clone, Debug)]
pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file, in order of its path; build output and what is hidden apart.
///
/// # Panics
/// When the repository cannot be read.
#[must_use]
pub fn text_files() -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root(), "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 50, "the repository was not found");
    files
}

fn collect(directory: &Path, prefix: &str, into: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let entry = entry.expect("a readable entry");
        let name = entry.file_name().into_string().expect("a UTF-8 name");
        let path = format!("{prefix}{name}");
        if name.starts_with('.') && name != ".ci" {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            if name != "target" && path != "tests/out" {
                collect(&entry.path(), &format!("{path}/"), into);
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            into.push(Source { path, text });
        }
    }
}

/// Every Rust file.
#[must_use]
pub fn rust_files() -> Vec<Source> {
    let mut files = text_files();
    files.retain(|file| file.path.ends_with(".rs"));
    files
}

/// Files that exist under `cfg(test)` only, found by how they are declared.
#[must_use]
pub fn test_only(files: &[Source]) -> BTreeSet<String> {
    let mut roots = Vec::new();
    for file in files {
        let directory = match file.path.rsplit_once('/') {
            Some((directory, "mod.rs" | "lib.rs" | "main.rs")) => directory.to_owned(),
            _ => file.path.trim_end_matches(".rs").to_owned(),
        };
        let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
        for at in (0..lines.len()).filter(|at| lines[*at] == "#[cfg(test)]") {
            let after = &lines[at + 1..];
            let Some(item) = after.iter().find(|line| !line.starts_with("#[")) else { continue };
            let Some((_, name)) = item.split_once("mod ") else { continue };
            let Some(name) = name.strip_suffix(';') else { continue };
            let given =
                after[0].strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]"));
            roots.push(match (given, file.path.rsplit_once('/')) {
                (Some(given), Some((beside, _))) => format!("{beside}/{given}"),
                _ => format!("{directory}/{name}.rs"),
            });
        }
    }
    let inside = |path: &str| {
        roots.iter().any(|root| {
            let stem = root.trim_end_matches(".rs");
            path == root || path.strip_prefix(stem).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    files.iter().map(|file| file.path.clone()).filter(|path| inside(path)).collect()
}

/// A Rust source without the test module at its end.
#[must_use]
pub fn without_tests(text: &str) -> &str {
    let cut = text.find("#[cfg(test)]\nmod tests {");
    cut.map_or(text, |at| &text[..at])
}

/// The code of a Rust file, comments and the insides of literals blanked; and its comments, all else blanked.
#[must_use]
pub fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let (len, comment) = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => (until(&chars, at, "\n"), true),
            ('/', Some('*')) => (until(&chars, at, "*/") + 2, true),
            ('"', _) => (string(&chars, at), false),
            ('r', Some('"' | '#')) if !is_word(&chars, at) => (raw_string(&chars, at), false),
            ('\'', Some(_)) => (character(&chars, at), false),
            (one, _) => {
                code.push(one);
                comments.push(if one == '\n' { '\n' } else { ' ' });
                at += 1;
                continue;
            }
        };
        for &one in chars.iter().skip(at).take(len) {
            let blank = if one == '\n' { '\n' } else { ' ' };
            code.push(blank);
            comments.push(if comment { one } else { blank });
        }
        at += len;
    }
    (code, comments)
}

/// The character before `at` belongs to a word.
fn is_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

/// Characters from `at` to the next `end`.
fn until(chars: &[char], at: usize, end: &str) -> usize {
    let end: Vec<char> = end.chars().collect();
    chars[at..].windows(end.len()).position(|window| window == end).unwrap_or(chars.len() - at)
}

fn string(chars: &[char], at: usize) -> usize {
    let mut len = 1;
    while let Some(one) = chars.get(at + len) {
        match one {
            '\\' => len += 2,
            '"' => return len + 1,
            _ => len += 1,
        }
    }
    len
}

fn raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|one| **one == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return 1; // r#identifier
    }
    let end = format!("\"{}", "#".repeat(hashes));
    2 + hashes + until(chars, at + 2 + hashes, &end) + end.len()
}

/// A character literal, or the quote of a lifetime.
fn character(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => 3 + until(chars, at + 3, "'"),
        (_, Some('\'')) => 3,
        _ => 1,
    }
}

/// The word occurs in `code`, whole.
#[must_use]
pub fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// Fails with all complaints at once.
///
/// # Panics
/// When there are any.
pub fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n  {}", complaints.join("\n  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_taken_apart() {
        let text = "let a = \"// no\"; // yes \"x\"\nlet b = '\"'; /* it's */ fn f<'a>() {} r#\"un\"safe\"# '\\'' z";
        let (code, comments) = split(text);
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>().join(" "),
            "let a = ; let b = ; fn f< a>() {} z"
        );
        assert_eq!(
            comments.split_whitespace().collect::<Vec<_>>().join(" "),
            "// yes \"x\" /* it's */"
        );
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n}"), "a\n");
        assert!(has_word("unsafe { }", "unsafe") && !has_word("forbid(unsafe_code)", "unsafe"));
    }
}
