//! Traceability: which requirement of RFC 8684 is cited beside which code and by which test, and what is excepted.
//!
//! The requirements are `tests/data/requirements.txt`, what is missing on purpose is `tests/data/exceptions.txt`.

use crate::interop::Table;
use crate::repository::{Source, root, rust_files, split, test_only, without_tests};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One line of the list of requirements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// `JOIN-8`, or `K12` for a fact about Linux.
    pub id: String,
    /// The section of RFC 8684; `-` for Linux.
    pub section: String,
    /// The RFC's keyword, `rule` for a binding sentence without one, `Linux` for a fact.
    pub level: String,
    /// What it says in short.
    pub text: String,
}

impl Requirement {
    /// Whether it has to be cited in code and in a test, or be excepted.
    #[must_use]
    pub fn binds(&self) -> bool {
        matches!(self.level.as_str(), "MUST" | "MUST NOT" | "SHOULD" | "SHOULD NOT" | "REC")
    }

    /// Whether nothing but "not applicable" excepts from it.
    #[must_use]
    pub fn is_must(&self) -> bool {
        self.level.starts_with("MUST")
    }
}

/// The list, in its order.
///
/// # Panics
/// When it cannot be read, or a line has not its four fields, or an ID stands there twice.
#[must_use]
pub fn requirements() -> Vec<Requirement> {
    let mut seen = BTreeSet::new();
    let line = |line: &str| {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let Ok([id, section, level, text]) = <[String; 4]>::try_from(fields) else {
            panic!("not four fields: {line}")
        };
        assert!(![&id, &section, &level, &text].iter().any(|f| f.is_empty()), "{line}");
        assert!(seen.insert(id.clone()), "{id} stands there twice");
        Requirement { id, section, level, text }
    };
    lines_of("tests/data/requirements.txt").iter().map(String::as_str).map(line).collect()
}

fn lines_of(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(path)).expect("a list of the repository");
    let line = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(line).map(str::to_owned).collect()
}

/// What looks like the ID of a requirement in a comment: `[JOIN-8]`, `[DSS-5, DSS-6]`, `K12`.
#[must_use]
pub fn citations(comments: &str) -> Vec<String> {
    let mut found = Vec::new();
    for group in comments.split('[').skip(1) {
        let Some((inside, _)) = group.split_once(']') else { continue };
        let ids: Vec<&str> = inside.split([',', ' ']).filter(|id| !id.is_empty()).collect();
        if !ids.is_empty() && ids.iter().all(|id| is_id(id)) {
            found.extend(ids.iter().map(|id| (*id).to_owned()));
        }
    }
    let words = comments.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
    let kernel = |word: &&str| word.strip_prefix('K').is_some_and(is_number);
    found.extend(words.filter(kernel).map(str::to_owned));
    found
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(letters, number)| {
        is_number(number) && !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_uppercase())
    })
}

/// The half of the evidence a citation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// What does it.
    Code,
    /// What shows it.
    Test,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::Code { "code" } else { "test" })
    }
}

/// Sources of the program; what else is in these directories are tests.
const CODE: [&str; 4] = ["engine/src/", "tun/src/", "cli/src/", "sim/src/"];
/// Cases that a program of ours plays: tests, although users can run them.
const CASES: &str = "sim/src/conform/";

/// Where each ID is cited: `path:line`, for each half.
type Places = BTreeMap<(String, Half), Vec<String>>;

fn places(files: &[Source]) -> Places {
    let tests = test_only(files);
    let mut places = Places::new();
    for file in files {
        let path = file.path.as_str();
        let code = CODE.iter().any(|dir| path.starts_with(dir)) && !path.starts_with(CASES);
        // Helpers and oracles decide nothing by themselves.
        let test = path.contains("/tests/") || path.starts_with(CASES);
        if !code && !test {
            continue;
        }
        let code_end = match code && !tests.contains(path) {
            true => without_tests(&file.text).lines().count(),
            false => 0,
        };
        for (number, line) in split(&file.text).1.lines().enumerate() {
            let half = if number < code_end { Half::Code } else { Half::Test };
            for id in citations(line) {
                places.entry((id, half)).or_default().push(format!("{path}:{}", number + 1));
            }
        }
    }
    places
}

/// A line of the exceptions: one half is missing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// Of which requirement.
    pub id: String,
    /// Which half is missing.
    pub half: Half,
    /// `not applicable: ...`, `choice: ...`, or `open: ...`.
    pub reason: String,
}

impl Exception {
    /// It is to be done yet, rather than left out for a reason.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.reason.starts_with("open")
    }
}

/// The exceptions, in their order.
///
/// # Panics
/// When they cannot be read or a line has not its three fields.
#[must_use]
pub fn exceptions() -> Vec<Exception> {
    let mut list = Vec::new();
    for line in lines_of("tests/data/exceptions.txt") {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, halves, reason] = fields[..] else { panic!("not three fields: {line}") };
        let halves = match halves {
            "code" => vec![Half::Code],
            "test" => vec![Half::Test],
            "both" => vec![Half::Code, Half::Test],
            _ => panic!("neither code, test nor both: {line}"),
        };
        let one = |half| Exception { id: id.to_owned(), half, reason: reason.to_owned() };
        list.extend(halves.into_iter().map(one));
    }
    list
}

/// A requirement and its evidence.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The requirement.
    #[serde(flatten)]
    pub requirement: Requirement,
    /// Where the code cites it, `path:line`.
    pub code: Vec<String>,
    /// Where tests cite it.
    pub tests: Vec<String>,
    /// What is excepted.
    pub exceptions: Vec<Exception>,
}

impl Row {
    /// Where one half cites it.
    #[must_use]
    pub fn cited(&self, half: Half) -> &[String] {
        if half == Half::Code { &self.code } else { &self.tests }
    }

    /// The halves that are neither cited nor excepted.
    #[must_use]
    pub fn missing(&self) -> Vec<Half> {
        let excepted = |half| self.exceptions.iter().any(|e| e.half == half);
        let mut halves = vec![Half::Code, Half::Test];
        halves.retain(|half| self.cited(*half).is_empty() && !excepted(*half));
        halves
    }
}

/// All requirements with their evidence, and what is wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One row per requirement of the RFC, in the order of the list; facts about Linux are left out.
    pub rows: Vec<Row>,
    /// Binding requirements without evidence, and exceptions that should not be there.
    pub complaints: Vec<String>,
}

impl Report {
    /// The repository as it is.
    #[must_use]
    pub fn of_the_repository() -> Self {
        Self::new(requirements(), &places(&rust_files()), &exceptions())
    }

    fn new(requirements: Vec<Requirement>, places: &Places, exceptions: &[Exception]) -> Self {
        let evidence = |id: &str, half| places.get(&(id.to_owned(), half)).cloned();
        let row = |requirement: Requirement| {
            let id = requirement.id.as_str();
            let (code, tests) = (evidence(id, Half::Code), evidence(id, Half::Test));
            let exceptions = exceptions.iter().filter(|e| e.id == id).cloned().collect();
            let (code, tests) = (code.unwrap_or_default(), tests.unwrap_or_default());
            Row { code, tests, exceptions, requirement }
        };
        let rows: Vec<Row> =
            requirements.into_iter().filter(|r| r.level != "Linux").map(row).collect();
        let mut complaints = Vec::new();
        for row in rows.iter().filter(|row| row.requirement.binds()) {
            let Requirement { id, level, text, .. } = &row.requirement;
            for half in row.missing() {
                complaints.push(format!("{id} ({level}) is not cited in {half}: {text}"));
            }
        }
        for exception in exceptions {
            let row = rows.iter().find(|row| row.requirement.id == exception.id);
            if let Some(why) = objection(exception, row) {
                complaints.push(format!("exception {} {}: {why}", exception.id, exception.half));
            }
        }
        Self { rows, complaints }
    }

    /// Counts per section and level, and a total for each level.
    #[must_use]
    pub fn table(&self) -> Table {
        let columns =
            ["section", "level", "total", "cited in code", "cited in tests", "excepted", "open"];
        let mut table = Table::new("Requirements of RFC 8684", &columns);
        let mut groups: BTreeMap<(SectionKey, usize), Count> = BTreeMap::new();
        let mut totals: BTreeMap<usize, Count> = BTreeMap::new();
        for row in &self.rows {
            let level = LEVELS.iter().position(|l| *l == row.requirement.level);
            let level = level.expect("a level of the list");
            groups.entry((section_key(&row.requirement.section), level)).or_default().add(row);
            totals.entry(level).or_default().add(row);
        }
        for (((_, section), level), count) in &groups {
            count.row(&mut table, section, LEVELS[*level]);
        }
        for (level, count) in &totals {
            count.row(&mut table, "all", LEVELS[*level]);
        }
        table
    }

    /// One row per requirement: where it is cited.
    #[must_use]
    pub fn details(&self) -> Table {
        let columns = ["ID", "section", "level", "requirement", "code", "test", "exception"];
        let mut table = Table::new("Evidence", &columns);
        for row in &self.rows {
            let Requirement { id, section, level, text } = &row.requirement;
            let first = |places: &[String]| places.first().cloned().unwrap_or_default();
            let reasons: BTreeSet<&str> =
                row.exceptions.iter().map(|e| e.reason.as_str()).collect();
            let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
            let text = text.replace('|', "\\|");
            table.row(&[
                id,
                section,
                level,
                &text,
                &first(&row.code),
                &first(&row.tests),
                &reasons,
            ]);
        }
        table
    }
}

/// Why an exception should not be there.
fn objection(exception: &Exception, row: Option<&Row>) -> Option<String> {
    let Some(row) = row else { return Some("there is no such requirement".to_owned()) };
    let (level, reason) = (&row.requirement.level, &exception.reason);
    if !row.requirement.binds() {
        return Some(format!("{level} needs none"));
    }
    if let Some(place) = row.cited(exception.half).first() {
        // What is open shrinks while others work; the rest is a statement that has become false.
        return (!exception.is_open()).then(|| format!("it is cited in {place}"));
    }
    let Some((kind, why)) = reason.split_once(": ") else {
        return Some("the reason does not begin with its kind and a colon".to_owned());
    };
    match kind {
        _ if why.len() < 20 => Some("that is no reason".to_owned()),
        "not applicable" => None,
        "choice" | "open" if !row.requirement.is_must() => None,
        _ => Some(format!("{kind:?} is no reason to leave out a {level}")),
    }
}

/// In the order of the table.
const LEVELS: [&str; 7] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "REC", "MAY", "rule"];

/// Numbers compare as numbers, appendices come last.
type SectionKey = (Vec<(u8, u32, String)>, String);

fn section_key(section: &str) -> SectionKey {
    let part = |part: &str| match part.parse() {
        Ok(number) => (0, number, String::new()),
        Err(_) => (1, 0, part.to_owned()),
    };
    (section.split('.').map(part).collect(), section.to_owned())
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    total: usize,
    code: usize,
    tests: usize,
    excepted: usize,
    open: usize,
}

impl Count {
    fn add(&mut self, row: &Row) {
        let open = |e: &Exception| e.is_open() && row.cited(e.half).is_empty();
        self.total += 1;
        self.code += usize::from(!row.code.is_empty());
        self.tests += usize::from(!row.tests.is_empty());
        self.excepted += usize::from(row.exceptions.iter().any(|e| !e.is_open()));
        self.open += usize::from(row.exceptions.iter().any(open));
    }

    fn row(self, table: &mut Table, section: &str, level: &str) {
        let Self { total, code, tests, excepted, open } = self;
        table.row(&[&section, &level, &total, &code, &tests, &excepted, &open]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_are_found() {
        let found =
            citations("// [JOIN-8] [DSS-5, DSS-6] (K12) [`X`] [SHA-256] FIN-WAIT-1 [RFC 8684] K-1");
        assert_eq!(found, ["JOIN-8", "DSS-5", "DSS-6", "K12"]);
    }

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn code_and_tests_are_told_apart() {
        let both = "// [A-1]\nfn f() {}\n#[cfg(test)]\nmod tests {\n    // [A-2]\n}\n";
        let files = [
            file("engine/src/a.rs", both),
            file("engine/src/b.rs", "#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;"),
            file("engine/src/b_tests.rs", "// [A-3]\n"),
            file("tests/tests/x.rs", "// \"[A-4]\"\nlet a = \"[A-5]\";"),
            file("tests/src/x.rs", "// [A-6]"),
        ];
        let found = places(&files);
        let found: Vec<_> =
            found.iter().map(|((id, half), at)| format!("{id} {half} {}", at[0])).collect();
        let expected = [
            "A-1 code engine/src/a.rs:1",
            "A-2 test engine/src/a.rs:5",
            "A-3 test engine/src/b_tests.rs:1",
            "A-4 test tests/tests/x.rs:1",
        ];
        assert_eq!(found, expected);
    }

    fn complaints(level: &str, cited: &[Half], exceptions: &[(Half, &str)]) -> Vec<String> {
        let requirement = Requirement {
            id: "A-1".to_owned(),
            section: "3.1".to_owned(),
            level: level.to_owned(),
            text: "t".to_owned(),
        };
        let place = |half: &Half| (("A-1".to_owned(), *half), vec!["p:1".to_owned()]);
        let exception = |(half, reason): &(Half, &str)| Exception {
            id: "A-1".to_owned(),
            half: *half,
            reason: (*reason).to_owned(),
        };
        let exceptions: Vec<Exception> = exceptions.iter().map(exception).collect();
        let places = cited.iter().map(place).collect();
        Report::new(vec![requirement], &places, &exceptions).complaints
    }

    #[test]
    fn what_is_complained_about() {
        const REASON: &str = "choice: for a good reason, which stands here";
        const NOT_OURS: &str = "not applicable: nothing of the kind is ever done here";
        const OPEN: &str = "open: somebody is at work on it right now";
        use Half::{Code, Test};
        // level, cited, exceptions, number of complaints
        type Case = (&'static str, &'static [Half], &'static [(Half, &'static str)], usize);
        let cases: [Case; 12] = [
            ("MUST", &[Code, Test], &[], 0),
            ("MUST", &[Code], &[], 1),
            ("SHOULD", &[], &[], 2),
            ("MAY", &[], &[], 0),
            ("rule", &[Code], &[], 0),
            ("SHOULD", &[Code], &[(Test, REASON)], 0),
            ("SHOULD", &[Code, Test], &[(Test, REASON)], 1), // stale
            ("SHOULD", &[Code, Test], &[(Test, OPEN)], 0),
            ("MUST", &[Code], &[(Test, REASON)], 1),
            ("MUST", &[], &[(Code, NOT_OURS), (Test, NOT_OURS)], 0),
            ("SHOULD", &[Code], &[(Test, "choice: why not")], 1),
            ("MAY", &[Code], &[(Test, REASON)], 1),
        ];
        for (level, cited, exceptions, expected) in cases {
            let found = complaints(level, cited, exceptions);
            assert_eq!(found.len(), expected, "{level} {cited:?} {exceptions:?}: {found:?}");
        }
    }

    #[test]
    fn sections_sort_by_number() {
        let mut sections = ["App. A", "3.10", "3.2", "3", "B.1", "3.2.1"].map(section_key);
        sections.sort();
        assert_eq!(
            sections.map(|(_, name)| name),
            ["3", "3.2", "3.2.1", "3.10", "App. A", "B.1"].map(str::to_owned)
        );
    }
}
