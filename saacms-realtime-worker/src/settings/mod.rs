//! The settings of a Worker: variables of its environment, as in wrangler's `[vars]`.
//!
//! Core reads their text, so a variable means the same here and to the server.

mod object;
mod router;

use core::fmt;

use saacms_realtime_core::ConfigError;
use saacms_realtime_core::settings::{excerpt, text, variable};

pub use self::object::Settings;
pub use self::router::RouterSettings;
pub(crate) use self::router::cors;

/// The variables of a Worker, by name; `None` if the variable is not set.
#[derive(Clone, Copy)]
pub(crate) struct Environment<'a>(pub(crate) &'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// The text of a setting; `None` if its variable is not set, or empty.
    fn text(self, setting: &str) -> Option<String> {
        (self.0)(&variable(setting)).and_then(text::non_empty)
    }

    /// Reads a setting into `value`, which stays unchanged if the variable is not set.
    fn read<T, E: Into<String>>(
        self,
        setting: &str,
        value: &mut T,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<(), InvalidSetting> {
        if let Some(text) = self.text(setting) {
            *value = parse(&text).map_err(|reason| InvalidSetting::new(setting, &text, reason))?;
        }
        Ok(())
    }
}

/// A variable has an invalid value, or a required one is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    message: String,
}

impl InvalidSetting {
    /// An error that quotes the variable's text.
    fn new(setting: &str, text: &str, reason: impl Into<String>) -> Self {
        let (variable, reason) = (variable(setting), reason.into());
        Self {
            message: format!("{variable} = {:?}: {reason}", excerpt(text)),
        }
    }

    /// An error that does not quote the variable's text, because it is missing or a secret.
    fn without_text(setting: &str, reason: impl fmt::Display) -> Self {
        let variable = variable(setting);
        Self {
            message: format!("{variable}: {reason}"),
        }
    }
}

impl From<ConfigError> for InvalidSetting {
    fn from(error: ConfigError) -> Self {
        Self::without_text(error.setting, &error)
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for InvalidSetting {}

/// An environment of these settings, by the names of their variables without the prefix.
#[cfg(test)]
fn environment(settings: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let found = settings
            .iter()
            .find(|(setting, _)| name == variable(setting));
        found.map(|(_, text)| (*text).to_owned())
    }
}
