//! Compiles many faults at once: a function with faults gets a body for each, chosen at run time.
//!
//! Each fault in a build of its own would take as long as all tests together.

use core::fmt::Write as _;
use core::ops::Range;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::list::Mutant;
use crate::source::{Function, functions, places};

/// The variable that chooses a fault by its number in the list.
pub(crate) const VARIABLE: &str = "SAACMS_FAULT";

/// Code that is added to the crate: the number of this process's fault, read once.
const CHOICE: &str = r#"
#[allow(warnings)]
mod fault {
    extern crate std;

    pub(crate) fn chosen() -> usize {
        static CHOSEN: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let chosen = std::env::var("SAACMS_FAULT").ok();
            chosen.and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
        })
    }
}
"#;

/// Where a fault is, in the unchanged file.
pub(crate) struct Place {
    pub(crate) range: Range<usize>,
    /// The function that gets a body with the fault; `None` if the fault needs a build of its own.
    function: Option<Function>,
}

/// Finds the place of a fault. An error unless there is exactly one.
pub(crate) fn place(source: &str, mutant: &Mutant) -> Result<Place> {
    let found = places(source, &mutant.old);
    let [range] = &found[..] else {
        let (found, file) = (found.len(), mutant.file.display());
        return Err(format!("its place is in {file} {found} times").into());
    };

    // Inside the braces: a fault in a signature cannot be chosen at run time.
    let around =
        |function: &Function| function.body.start < range.start && range.end < function.body.end;
    let function = functions(source).into_iter().find(around);
    Ok(Place {
        range: range.clone(),
        function: function.filter(|function| can_choose(&source[function.signature.clone()])),
    })
}

/// Whether a function can choose its body at run time.
///
/// A constant function cannot read the environment, and each body with a hidden type has another one.
fn can_choose(signature: &str) -> bool {
    !signature.contains("const fn") && !signature.contains("-> impl")
}

/// Writes all faults that can be chosen at run time into the sources at `root`; returns the numbers of
/// the others.
pub(crate) fn write_choices(root: &Path, mutants: &[Mutant]) -> Result<Vec<usize>> {
    let mut alone = Vec::new();
    let mut files: Vec<&Path> = mutants.iter().map(|mutant| &*mutant.file).collect();
    // All faults of a file at once: places are those of the unchanged file.
    files.sort_unstable();
    files.dedup();

    for file in files {
        let path = root.join(file);
        let source = fs::read_to_string(&path)?;
        let mut switches: Vec<(Function, String)> = Vec::new();
        for (number, mutant) in mutants.iter().enumerate() {
            if mutant.file != file {
                continue;
            }
            let place = place(&source, mutant)?;
            let Some(function) = place.function else {
                alone.push(number);
                continue;
            };

            // Several faults of one function are arms of one choice.
            let body = faulty_body(&source, &function, &place.range, &mutant.new);
            match switches.iter_mut().find(|(known, _)| *known == function) {
                Some((_, arms)) => write!(arms, "{number} => {body}")?,
                None => switches.push((function, format!("{number} => {body}"))),
            }
        }
        fs::write(path, switched(&source, switches))?;
    }

    // Last: the places in lib.rs, too, are those of the unchanged file.
    let library = root.join("lib.rs");
    fs::write(&library, fs::read_to_string(&library)? + CHOICE)?;
    alone.sort_unstable();
    Ok(alone)
}

/// The source with one fault and nothing to choose.
pub(crate) fn faulty(source: &str, mutant: &Mutant) -> Result<String> {
    let mut faulty = source.to_owned();
    faulty.replace_range(place(source, mutant)?.range, &mutant.new);
    Ok(faulty)
}

/// The body of a function with one fault, as an arm of a choice.
fn faulty_body(source: &str, function: &Function, place: &Range<usize>, new: &str) -> String {
    let (body, place) = (&function.body, place.clone());
    [
        &source[body.start..place.start],
        new,
        &source[place.end..body.end],
        "\n",
    ]
    .concat()
}

/// The source with a choice of bodies in each of these functions.
fn switched(source: &str, mut switches: Vec<(Function, String)>) -> String {
    let mut switched = source.to_owned();
    // From the end: a longer body moves everything after it.
    switches.sort_unstable_by_key(|(function, _)| core::cmp::Reverse(function.body.start));
    for (Function { body, .. }, arms) in switches {
        let sound = &source[body.clone()];
        let choice = format!("{{ match crate::fault::chosen() {{ {arms} _ => {sound} }} }}");
        switched.replace_range(body, &choice);
    }
    switched
}

#[cfg(test)]
mod tests {
    use super::{faulty_body, place, switched};
    use crate::list::Mutant;

    fn mutant(old: &str, new: &str) -> Mutant {
        let [name, old, new] = ["", old, new].map(str::to_owned);
        Mutant {
            name,
            law: 1,
            file: "a.rs".into(),
            old,
            new,
        }
    }

    #[test]
    fn a_body_is_chosen_by_number() {
        let source = "fn a() -> u8 { 1 }\nfn b() {}";
        let place = place(source, &mutant("1", "2")).expect("the place is there once");
        let function = place.function.expect("the body can be chosen");
        let body = faulty_body(source, &function, &place.range, "2");
        assert_eq!(
            switched(source, vec![(function, format!("7 => {body}"))]),
            "fn a() -> u8 { match crate::fault::chosen() { 7 => { 2 }\n _ => { 1 } } }\nfn b() {}"
        );
    }

    #[test]
    fn a_fault_that_cannot_be_chosen_has_no_function() {
        for source in [
            "const fn a() { x }",
            "fn a() -> impl Fn() { x }",
            "const A: u8 = x;",
        ] {
            let place = place(source, &mutant("x", "y")).expect("the place is there once");
            assert!(place.function.is_none(), "{source}");
        }
    }

    #[test]
    fn a_place_must_be_there_exactly_once() {
        for source in ["fn a() {}", "fn a() { x; x }"] {
            assert!(place(source, &mutant("x", "y")).is_err(), "{source}");
        }
    }
}
