//! The table of options in the project's README.

use std::fs;

use crate::run::{Answer, server, settings};

#[test]
fn the_readme_has_every_option_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = fs::read_to_string(path).expect("the README");
    let printed = Answer::of(server(&["--print-config"])).stdout;

    let mut expected: Vec<_> = settings(&printed)
        .into_iter()
        .map(|(key, value)| match value.trim_matches('"') {
            "" | "[]" => format!("| `--{key}` | – |"),
            value => format!("| `--{key}` | `{value}` |"),
        })
        .collect();
    expected.push("| `--config` | – |".to_owned());
    expected.push("| `--print-config` | – |".to_owned());

    let rows: Vec<_> = readme
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .collect();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(row.starts_with(expected), "{row}\nis not {expected}");
    }
}
