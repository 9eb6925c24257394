//! The options of a host, such as its retention, that win over the object's variables.
//!
//! A request brings them. An object that is woken by its alarm or by a call without any runs with those
//! of its last life, which its storage keeps.

use saacms_realtime_core::settings::excerpt;
use wasm_bindgen::prelude::*;

use super::sql::SqlStore;
use crate::settings::{Environment, Settings};

/// Options as variables: a line `NAME=value` each. Empty if there are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    text: String,
}

impl Options {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The value of a variable, if it is one of the options.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let mut lines = self.text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = lines.find(|(variable, _)| *variable == name)?;
        Some(value.to_owned())
    }
}

/// The options that an object runs with: those that it is `told`, or those that its store has kept.
pub(super) fn decide(told: Option<String>, store: Option<&SqlStore>) -> Result<Options, JsValue> {
    // Read in any case, as the store compares what it is to keep with it.
    let text = store.map_or(Ok(String::new()), SqlStore::options)?;
    if let Some(text) = told {
        return Ok(Options { text });
    }

    let kept = Options { text };
    if let Err(error) = Settings::read(Environment(&|name| kept.get(name))) {
        // Another release may have allowed them.
        let warning = format!(
            "saacms-realtime: the options {:?} that this object has kept do not count: {error}",
            excerpt(kept.as_str())
        );
        web_sys::console::warn_1(&warning.into());
        return Ok(Options::default());
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_lines_of_variables() {
        let options = Options {
            text: "A=1\nB=\nnothing\nC=x=y".to_owned(),
        };
        let values = ["A", "B", "nothing", "C", "D"].map(|name| options.get(name));
        let value = |text: &str| Some(text.to_owned());
        assert_eq!(values, [value("1"), value(""), None, value("x=y"), None]);
    }
}
