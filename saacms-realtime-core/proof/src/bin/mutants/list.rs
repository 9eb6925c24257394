//! The list of faults.

use std::path::PathBuf;

use crate::Result;

/// A fault: a replacement in one file of `saacms-realtime-core/src`.
#[derive(Debug)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    /// The law of ARCHITECTURE.md that the fault breaks.
    pub(crate) law: i64,
    pub(crate) file: PathBuf,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// Reads `mutants.toml`.
pub(crate) fn read(list: &str) -> Result<Vec<Mutant>> {
    let list: toml::Table = list.parse()?;
    let entries = list
        .get("mutant")
        .and_then(toml::Value::as_array)
        .ok_or("no mutants")?;

    entries.iter().map(mutant).collect()
}

fn mutant(entry: &toml::Value) -> Result<Mutant> {
    let law = entry.get("law").and_then(toml::Value::as_integer);

    Ok(Mutant {
        name: text(entry, "name")?,
        law: law.ok_or("a mutant without `law`")?,
        file: text(entry, "file")?.into(),
        old: text(entry, "old")?,
        new: text(entry, "new")?,
    })
}

fn text(entry: &toml::Value, member: &str) -> Result<String> {
    let text = entry.get(member).and_then(toml::Value::as_str);
    Ok(text
        .ok_or(format!("a mutant without `{member}`"))?
        .to_owned())
}
