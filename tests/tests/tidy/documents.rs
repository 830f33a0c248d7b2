//! Rules about documents and about text in general.

use crate::repository::{Source, report, root, rust_files, test_only, text_files};
use std::collections::BTreeSet;

/// Places of one machine, and notes to oneself, put together here so that this file is free of them.
const BANNED: [&str; 9] = [
    concat!("/t", "mp/"),
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("<<<<", "<<<"),
];

const DOCUMENTS: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

fn document(name: &str) -> Source {
    let text = std::fs::read_to_string(root().join(name)).expect("the document");
    Source { path: name.to_owned(), text }
}

#[test]
fn no_machine_paths_and_no_notes_to_oneself() {
    let mut complaints = Vec::new();
    for file in text_files() {
        for (number, line) in file.text.lines().enumerate() {
            for banned in BANNED.iter().filter(|banned| line.contains(**banned)) {
                complaints.push(format!("{}:{}: {banned}", file.path, number + 1));
            }
        }
    }
    report(&complaints);
}

#[test]
fn architecture_names_every_directory() {
    let files = rust_files();
    let tests = test_only(&files);
    let code = files.iter().filter(|file| !tests.contains(&file.path));
    let directories: BTreeSet<&str> = code
        .filter_map(|file| file.path.rsplit_once('/'))
        .map(|(directory, _)| directory)
        .collect();
    let text = document("ARCHITECTURE.md").text;
    let missing = directories.iter().filter(|d| !text.contains(&format!("`{d}/`")));
    report(&missing.map(|d| format!("ARCHITECTURE.md says nothing of `{d}/`")).collect::<Vec<_>>());
}

/// Files that documents name in backticks exist, by their whole path or its end.
#[test]
fn documents_name_files_that_exist() {
    let files: Vec<String> = text_files().into_iter().map(|file| file.path).collect();
    let mut complaints = Vec::new();
    for document in DOCUMENTS.map(document) {
        for name in document.text.split('`').skip(1).step_by(2) {
            let known = |path: &String| path == name || path.ends_with(&format!("/{name}"));
            if name.ends_with(".rs") && !name.contains('*') && !files.iter().any(known) {
                complaints.push(format!("{}: there is no {name}", document.path));
            }
        }
        for link in document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let outside = target.is_empty() || target.contains("://");
            if !outside && !root().join(target).exists() {
                complaints.push(format!("{}: the link to {target} is broken", document.path));
            }
        }
    }
    report(&complaints);
}

#[test]
fn the_changelog_has_an_unreleased_section() {
    let text = document("CHANGELOG.md").text;
    assert!(text.lines().any(|line| line == "## [Unreleased]"));
}
