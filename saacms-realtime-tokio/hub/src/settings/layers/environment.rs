use std::ffi::OsString;

use saacms_realtime_core::settings::{VARIABLE_PREFIX, variable};

use super::{CONFIG, Layer, PUBLISH_TOKEN, RawSetting, keys, nearest};
use crate::settings::start_error::{LIST_ALL, StartError};
use crate::terminal::quoted;

/// Variables of the other commands and of the tests, which `serve` ignores.
const VARIABLES_OF_OTHERS: [&str; 2] = ["URL", "BIN"];

impl Layer {
    /// Reads the variables that begin with [`VARIABLE_PREFIX`]. An empty one counts as not set.
    ///
    /// # Errors
    ///
    /// The first unknown name, or the first value that is not UTF-8.
    pub(in crate::settings) fn from_environment(
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, StartError> {
        let mut layer = Self::default();

        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            // Lossy so that an error can quote it; a value that is not UTF-8 is refused below.
            let text = value.to_string_lossy();
            if text.is_empty()
                || VARIABLES_OF_OTHERS.contains(&rest)
                || is_service_link(rest, &text)
            {
                continue;
            }

            let origin = format!("environment {name}");
            if variable(PUBLISH_TOKEN) == name {
                // No error may quote the secret, so it is checked as a token only.
                layer.insert(
                    PUBLISH_TOKEN,
                    RawSetting {
                        texts: vec![text.into_owned()],
                        written: name.into_owned(),
                        origin,
                    },
                );
                continue;
            }

            // Before the value is checked: a misspelt name is the first thing to tell.
            let key = key_of(&name, rest)?;
            let written = format!("{name}={}", quoted(&text));
            if value.to_str().is_none() {
                return Err(StartError {
                    message: format!("{written}: is not UTF-8"),
                    hint: LIST_ALL.to_owned(),
                });
            }

            layer.insert(
                key,
                RawSetting {
                    texts: vec![text.into_owned()],
                    written,
                    origin,
                },
            );
        }
        Ok(layer)
    }
}

/// The key of the variable `name`, which is [`VARIABLE_PREFIX`] followed by `rest`.
fn key_of(name: &str, rest: &str) -> Result<&'static str, StartError> {
    let known = || keys().chain([CONFIG]);
    if let Some(key) = known().find(|key| variable(key) == name) {
        return Ok(key);
    }
    let nearest = nearest(&rest.to_ascii_lowercase().replace('_', "-"), known());
    Err(StartError {
        message: format!("{}: there is no such variable", quoted(name)),
        hint: format!("the nearest is {}; {LIST_ALL}", variable(nearest)),
    })
}

/// Whether Kubernetes has set the variable.
///
/// It sets variables in every pod for every service of the namespace: `<SERVICE>_SERVICE_HOST`,
/// `<SERVICE>_PORT_8787_TCP_ADDR` and so on. A service that is called saacms-realtime must not keep
/// its own server from starting.
fn is_service_link(rest: &str, value: &str) -> bool {
    let rest = format!("_{rest}");
    let port = rest
        .split_once("_PORT_")
        .is_some_and(|(_, number)| number.starts_with(|first: char| first.is_ascii_digit()));
    port || rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || (rest.ends_with("_PORT") && value.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_other_programs_and_of_kubernetes_are_ignored() {
        let layer = environment(&[
            ("PATH", "/bin"),
            ("SAACMS_REALTIME_URL", "x"),
            ("SAACMS_REALTIME_BIN", "x"),
            ("SAACMS_REALTIME_SERVICE_HOST", "192.0.2.1"),
            ("SAACMS_REALTIME_SERVICE_PORT_HTTP", "8787"),
            ("SAACMS_REALTIME_PORT", "tcp://192.0.2.1:8787"),
            ("SAACMS_REALTIME_PORT_8787_TCP_ADDR", "192.0.2.1"),
            (
                "SAACMS_REALTIME_CANARY_PORT_8787_TCP",
                "tcp://192.0.2.1:8787",
            ),
            ("SAACMS_REALTIME_MAX_AGE", "1h"),
        ]);
        let layer = layer.expect("all are fine");
        assert_eq!(layer.0.keys().copied().collect::<Vec<_>>(), ["max-age"]);
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest_one() {
        for (name, nearest) in [
            ("SAACMS_REALTIME_MAX_EVENT", "SAACMS_REALTIME_MAX_EVENTS;"),
            ("SAACMS_REALTIME_PORT", "SAACMS_REALTIME_"),
            ("SAACMS_REALTIME_CONFG", "SAACMS_REALTIME_CONFIG;"),
            ("SAACMS_REALTIME_max_events", "SAACMS_REALTIME_MAX_EVENTS;"),
            ("SAACMS_REALTIME_", "SAACMS_REALTIME_"),
        ] {
            let error = environment(&[(name, "8787")]).expect_err(name).to_string();
            assert!(
                error.starts_with(&format!("{name}: there is no such")),
                "{error}"
            );
            assert!(error.contains(&format!("nearest is {nearest}")), "{error}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let layer = environment(&[("SAACMS_REALTIME_MAX_AGE", ""), ("SAACMS_REALTIME_X", "")]);
        assert!(layer.expect("nothing is set").0.is_empty());
    }

    fn environment(variables: &[(&str, &str)]) -> Result<Layer, StartError> {
        Layer::from_environment(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }
}
