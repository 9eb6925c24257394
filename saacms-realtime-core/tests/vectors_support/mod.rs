//! Shared by the tests of golden vectors: the files, and the tally of cases.

pub(crate) mod compare;
pub(crate) mod contract;
pub(crate) mod frames;
pub(crate) mod json;
pub(crate) mod quirks;
pub(crate) mod reference;
pub(crate) mod registry;
pub(crate) mod replay;
pub(crate) mod stage;
pub(crate) mod step;

use core::fmt::Debug;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The result of a case: a value, or what was wrong.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// Counts of notable things, besides the number of cases.
pub(crate) type Notes = BTreeMap<&'static str, usize>;

/// One file of vectors.
pub(crate) struct File {
    name: &'static str,
    value: Value,
}

impl File {
    pub(crate) fn open(name: &'static str, format: &str) -> Self {
        let path = directory().join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let value: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(value["format"], *format, "{}", path.display());
        Self { name, value }
    }

    fn list(&self, list: &str) -> &[Value] {
        match self.value[list].as_array() {
            Some(cases) if !cases.is_empty() => cases,
            _ => panic!("{} has no {list}", self.name),
        }
    }
}

/// The directory of the vectors. Tests run in the directory of their package, but a relative
/// `SAACMS_VECTORS` is written from where cargo was called, usually the workspace.
fn directory() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::var_os("SAACMS_VECTORS") {
        None => package.join("tests/vectors"),
        Some(given) => {
            let from_workspace = package.join("..").join(&given);
            if from_workspace.is_dir() {
                from_workspace
            } else {
                PathBuf::from(given)
            }
        }
    }
}

/// Counts the cases of a file by class, and collects the failures.
pub(crate) struct Tally<'a> {
    file: &'a File,
    counts: BTreeMap<String, usize>,
    notes: Notes,
    failures: Vec<String>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(file: &'a File) -> Self {
        let (counts, notes, failures) = (BTreeMap::new(), Notes::new(), Vec::new());
        Self {
            file,
            counts,
            notes,
            failures,
        }
    }

    /// Runs `check` on every case of a list, even after a failure.
    pub(crate) fn run_all(&mut self, list: &str, check: fn(&Value, &mut Notes) -> Checked) {
        for case in self.file.list(list) {
            let class = case["class"].as_str().unwrap_or(list);
            *self.counts.entry(class.to_owned()).or_default() += 1;
            let notes = &mut self.notes;
            // Panics are caught only to name the case.
            let checked = catch_unwind(AssertUnwindSafe(|| check(case, notes)));
            let wrong = match checked {
                Ok(Ok(())) => continue,
                Ok(Err(wrong)) => wrong,
                Err(_) => "panicked, see above".to_owned(),
            };
            self.failures
                .push(format!("{} {}: {wrong}", case["id"], case["name"]));
        }
    }

    /// Prints how many cases ran, and fails if any failed.
    pub(crate) fn finish(self) {
        let mut report = String::from("\n");
        let counts = self
            .counts
            .iter()
            .map(|(class, count)| (class.as_str(), count));
        let notes = self.notes.iter().map(|(note, count)| (*note, count));
        for (what, count) in counts.chain(notes) {
            report += &format!("vectors: {} {what}: {count}\n", self.file.name);
        }

        // Not `eprint!`, which the test harness captures.
        std::io::stderr()
            .write_all(report.as_bytes())
            .expect("standard error is open");

        let failed = self.failures.len();
        let first = self
            .failures
            .iter()
            .take(10)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n\n");

        assert!(
            failed == 0,
            "{}: {failed} cases failed, the first:\n{first}",
            self.file.name
        );
    }
}

/// Counts one more occurrence.
pub(crate) fn note(notes: &mut Notes, what: &'static str) {
    *notes.entry(what).or_default() += 1;
}

pub(crate) fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(wrong()) }
}

pub(crate) fn same<T: PartialEq + Debug>(what: &str, actual: T, expected: T) -> Checked {
    ensure(actual == expected, || {
        format!("{what}\n     actual: {actual:?}\n   expected: {expected:?}")
    })
}

/// The member `name`, a text that every case of this kind has.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("`{name}` is no string in {value}"))
}

/// The member `name`, an integer that every case of this kind has.
pub(crate) fn number(value: &Value, name: &str) -> i64 {
    value[name]
        .as_i64()
        .unwrap_or_else(|| panic!("`{name}` is no whole number in {value}"))
}

/// The member `name`, an integer that is never negative.
pub(crate) fn count(value: &Value, name: &str) -> usize {
    usize::try_from(number(value, name)).unwrap_or_else(|_| panic!("`{name}` in {value}"))
}

/// The quirks that a case shows.
pub(crate) fn quirks_of(case: &Value) -> impl Iterator<Item = &str> {
    case["quirks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}
