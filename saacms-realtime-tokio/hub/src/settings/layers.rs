//! What the flags, the environment and the file say, as text.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::table::{SETTINGS, Setting};
use super::values::quoted;
use super::{LIST_ALL, Refusal};

/// The setting that names the file: a flag and a variable, but no key of the file.
pub(super) const CONFIG: &str = "config";

/// Variables of the other commands and of the tests, which `serve` passes over.
const VARIABLES_OF_OTHERS: [&str; 3] = ["URL", "PUBLISH_TOKEN", "BIN"];

/// A value as some layer gives it.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// One text; any number of them for a list.
    pub(super) texts: Vec<String>,
    /// The name and the value as the user wrote them, and where that helps to find them.
    pub(super) written: String,
    /// The layer, for `--print-config`.
    pub(super) origin: String,
}

/// Values by the key of their setting.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(BTreeMap<&'static str, Given>);

impl Layer {
    /// The variables that begin with [`Setting::PREFIX`].
    pub(super) fn from_environment(
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Refusal> {
        let mut layer = Self::default();
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(rest) = name.strip_prefix(Setting::PREFIX) else {
                continue;
            };
            let text = value.to_string_lossy();
            if VARIABLES_OF_OTHERS.contains(&rest) || is_service_link(rest, &text) {
                continue;
            }
            let known = keys()
                .chain([CONFIG])
                .find(|key| Setting::variable(key) == name);
            let Some(key) = known else {
                let meant = nearest(
                    &rest.to_ascii_lowercase().replace('_', "-"),
                    keys().chain([CONFIG]),
                );
                return Err(Refusal {
                    message: format!("{}: there is no such variable", quoted(&name)),
                    hint: format!("the nearest is {}; {LIST_ALL}", Setting::variable(meant)),
                });
            };
            let written = format!("{name}={}", quoted(&text));
            if value.to_str().is_none() {
                return Err(Refusal {
                    message: format!("{written}: is not UTF-8"),
                    hint: LIST_ALL.to_owned(),
                });
            }
            let origin = format!("environment {name}");
            layer.insert(
                key,
                Given {
                    texts: vec![text.into_owned()],
                    written,
                    origin,
                },
            );
        }
        Ok(layer)
    }

    /// The keys of the TOML file that `config` names; nothing where it names none.
    pub(super) fn from_file(config: &Given) -> Result<Self, Refusal> {
        let path = config.texts.concat();
        if path.is_empty() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).map_err(|error| Refusal {
            message: format!("{}: cannot read the file: {error}", config.written),
            hint: "`saacms-realtime --print-config` writes a complete one".to_owned(),
        })?;
        Self::from_toml(&quoted(&path), &text)
    }

    fn from_toml(path: &str, text: &str) -> Result<Self, Refusal> {
        let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Refusal {
                message: format!("{path}, line {}: {}", line(at), error.message().trim_end()),
                hint: "lines are as in max-events = 100 or max-age = \"1h\"".to_owned(),
            }
        })?;
        let mut entries: Vec<_> = document.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);

        let mut layer = Self::default();
        for (name, value) in entries {
            let place = format!("{path}, line {}", line(name.span().start));
            let Some(setting) = Setting::find(name.get_ref()) else {
                return Err(Refusal {
                    message: format!("{place}: there is no setting {}", quoted(name.get_ref())),
                    hint: format!(
                        "the nearest is {}; {LIST_ALL}",
                        nearest(name.get_ref(), keys())
                    ),
                });
            };
            let source = text.get(value.span()).unwrap_or_default();
            let source = match source.split_once(['\r', '\n']) {
                Some((first_line, _)) => format!("{first_line} ..."),
                None => source.to_owned(),
            };
            let written = format!("{place}: {} = {source}", setting.key);
            let texts = texts_of(value.get_ref()).ok_or_else(|| Refusal {
                message: format!("{written}: must be a text, a number or true or false"),
                hint: setting.hint(),
            })?;
            layer.insert(
                setting.key,
                Given {
                    texts,
                    written,
                    origin: format!("file {path}"),
                },
            );
        }
        Ok(layer)
    }

    pub(super) fn insert(&mut self, key: &'static str, given: Given) {
        self.0.insert(key, given);
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Given> {
        self.0.remove(key)
    }

    /// This layer over that of `other`.
    pub(super) fn or(mut self, other: Self) -> Self {
        for (key, given) in other.0 {
            self.0.entry(key).or_insert(given);
        }
        self
    }

    pub(super) fn find(&self, key: &str) -> Option<&Given> {
        self.0.get(key)
    }

    /// How the user wrote the setting `key`; its name where the user did not.
    pub(super) fn written(&self, key: &str) -> String {
        self.find(key)
            .map_or_else(|| key.to_owned(), |given| given.written.clone())
    }
}

/// A value of the file as the texts that a flag would have; `None` for what no flag can say.
fn texts_of(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| text_of(item.get_ref()));
            texts.collect()
        }
        scalar @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_)) => text_of(scalar).map(|text| vec![text]),
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // Written out in full: 0x10 and 1_000 are numbers in TOML and nowhere else.
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Some(number.to_string()),
            Err(_) => Some(number.to_string()),
        },
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Whether Kubernetes has set the variable, which it does in every pod for every service of the
/// namespace: `<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT_8787_TCP_ADDR` and so on. A service called
/// saacms-realtime must not keep its own server from starting.
fn is_service_link(rest: &str, value: &str) -> bool {
    let rest = format!("_{rest}");
    let port = rest
        .split_once("_PORT_")
        .is_some_and(|(_, number)| number.starts_with(|first: char| first.is_ascii_digit()));
    port || rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || (rest.ends_with("_PORT") && value.contains("://"))
}

fn keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_others_and_of_kubernetes_are_passed_over() {
        let layer = environment(&[
            ("PATH", "/bin"),
            ("SAACMS_REALTIME_URL", "x"),
            ("SAACMS_REALTIME_PUBLISH_TOKEN", "x"),
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
    fn a_variable_that_does_not_exist_is_refused_with_the_nearest() {
        for (name, nearest) in [
            ("SAACMS_REALTIME_MAX_EVENT", "SAACMS_REALTIME_MAX_EVENTS;"),
            ("SAACMS_REALTIME_PORT", "SAACMS_REALTIME_"),
            ("SAACMS_REALTIME_CONFG", "SAACMS_REALTIME_CONFIG;"),
            ("SAACMS_REALTIME_max_events", "SAACMS_REALTIME_MAX_EVENTS;"),
            ("SAACMS_REALTIME_", "SAACMS_REALTIME_"),
        ] {
            let refusal = environment(&[(name, "8787")]).expect_err(name).to_string();
            assert!(
                refusal.starts_with(&format!("{name}: there is no such")),
                "{refusal}"
            );
            assert!(
                refusal.contains(&format!("nearest is {nearest}")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn every_value_of_a_file_is_text() {
        let layer = Layer::from_toml(
            "f",
            "max-events = 1_000\nmax-lag = 0x10\nquiet-resume = false\nmax-age = '1h'\n\
             cors-origin = ['https://a', \"https://b\"]\nheartbeat = -5\nmax-topics = 1.5\n\
             max-lag-bytes = 999999999999999999999999",
        );
        let layer = layer.expect("is TOML");
        for (key, texts) in [
            ("max-events", &["1000"] as &[&str]),
            ("max-lag", &["16"]),
            ("quiet-resume", &["false"]),
            ("max-age", &["1h"]),
            ("cors-origin", &["https://a", "https://b"]),
            ("heartbeat", &["-5"]),
            ("max-topics", &["1.5"]),
            ("max-lag-bytes", &["999999999999999999999999"]),
        ] {
            assert_eq!(layer.find(key).expect(key).texts, texts, "{key}");
        }
        assert_eq!(layer.written("max-lag"), "f, line 2: max-lag = 0x10");
    }

    #[test]
    fn a_file_is_refused_where_it_is_wrong() {
        for (text, wrong) in [
            (
                "max-events = 1\n\nmax-evnts = 2",
                "f, line 3: there is no setting max-evnts\n",
            ),
            ("max_events = 1", "the nearest is max-events;"),
            (
                "zzz = 1\nconfig = 'x'",
                "f, line 1: there is no setting zzz",
            ),
            ("config = 'other'", "f, line 1: there is no setting config"),
            (
                "[hub]\nmax-events = 1",
                "f, line 1: there is no setting hub",
            ),
            ("max-events.x = 1", "f, line 1: max-events ="),
            (
                "max-age = 1979-05-27",
                "f, line 1: max-age = 1979-05-27: must be a text",
            ),
            (
                "cors-origin = [[]]",
                "f, line 1: cors-origin = [[]]: must be a text",
            ),
            ("max-age = 1h", "f, line 1: "),
            ("max-lag = 1\nmax-lag = 2", "f, line 2: "),
            ("\"a\\nb\" = 1", "there is no setting \"a\\nb\"\n"),
        ] {
            let refusal = Layer::from_toml("f", text).expect_err(text).to_string();
            assert!(refusal.contains(wrong), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_layer_covers_the_one_below() {
        let layer = |text| Layer::from_toml("f", text).expect("is TOML");
        let both = layer("max-lag = 1").or(layer("max-lag = 2\nmax-topics = 3"));
        assert_eq!(both.written("max-lag"), "f, line 1: max-lag = 1");
        assert_eq!(both.written("max-topics"), "f, line 2: max-topics = 3");
        assert_eq!(both.written("max-age"), "max-age");
    }

    fn environment(variables: &[(&str, &str)]) -> Result<Layer, Refusal> {
        Layer::from_environment(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }
}
