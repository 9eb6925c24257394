use core::ops::RangeInclusive;
use core::time::Duration;
use std::path::PathBuf;

use saacms_realtime_core::HubConfig;
use saacms_realtime_core::route::{Api, Cors, TrustedProxies};
use saacms_realtime_core::settings::text::{self, show_size, show_time};
use saacms_realtime_core::settings::{Field, HubSetting};
use toml::Value;

use super::network::Listen;
use crate::logging::{self, LogFormat};

/// A value in [`Settings`](super::Settings), by kind. The kind decides how the value is read, what is
/// allowed, and how it is shown.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    /// The field that has the key of the setting. Core knows its kind and its range.
    Hub(&'a mut HubConfig),
    Count(&'a mut usize, RangeInclusive<usize>),
    Time(&'a mut Duration, RangeInclusive<Duration>),
    Size(&'a mut usize, RangeInclusive<usize>),
    Switch(&'a mut bool),
    Listen(&'a mut Listen),
    BasePath(&'a mut Api),
    Origins(&'a mut Api),
    AllowedHosts(&'a mut Api),
    Networks(&'a mut Api),
    MaxBodyBytes(&'a mut Api),
    File(&'a mut Option<PathBuf>),
    LogFormat(&'a mut LogFormat),
    LogFilter(&'a mut String),
}

const MAX_BODY_BYTES: RangeInclusive<usize> = 1 << 10..=64 << 20;

const LOG_FORMATS: [(&str, LogFormat); 2] =
    [("human", LogFormat::Human), ("json", LogFormat::Json)];

impl Slot<'_> {
    /// Reads the texts of a layer: one, or any number of them if the setting is a list.
    pub(super) fn read(self, key: &str, texts: &[String]) -> Result<(), String> {
        let one = || match texts {
            [text] => Ok(text.as_str()),
            _ => Err("takes one value, not a list".to_owned()),
        };

        match self {
            Slot::Hub(config) => hub_setting(key).read(one()?, config)?,
            Slot::Count(value, allowed) => {
                *value = text::within(text::count(one()?)?, &allowed, usize::to_string)?;
            }
            Slot::Time(value, allowed) => {
                *value = text::within(text::time(one()?)?, &allowed, |time| show_time(*time))?;
            }
            Slot::Size(value, allowed) => *value = sized(one()?, &allowed)?,
            Slot::Switch(value) => *value = text::switch(one()?)?,
            Slot::Listen(listen) => *listen = Listen::parse(one()?)?,
            Slot::BasePath(api) => {
                *api = api.clone().at(one()?).map_err(|error| error.to_string())?;
            }
            Slot::Origins(api) => *api = api.clone().with_cors(origins(texts)?),
            Slot::AllowedHosts(api) => {
                let mut hosts = texts.iter().flat_map(|text| text::list(text)).peekable();
                // An empty list is none, so that a flag can undo what the file sets.
                if hosts.peek().is_some() {
                    let allowed = api.clone().with_allowed_hosts(hosts);
                    *api = allowed.map_err(|error| error.to_string())?;
                }
            }
            Slot::Networks(api) => {
                *api = api.clone().with_trusted_proxies(networks(texts)?);
            }
            Slot::MaxBodyBytes(api) => {
                let bytes = sized(one()?, &MAX_BODY_BYTES)?;
                *api = api.clone().with_max_body_bytes(bytes);
            }
            // An empty path is none, so that a flag can undo what the file sets.
            Slot::File(path) => *path = text::non_empty(one()?).map(PathBuf::from),
            Slot::LogFormat(format) => *format = text::word(one()?, &LOG_FORMATS)?,
            // Kept as text and parsed again when the log starts, so that it is shown as it was written.
            Slot::LogFilter(filter) => {
                let text = one()?;
                logging::check_filter(text)?;
                text.clone_into(filter);
            }
        }
        Ok(())
    }

    /// The value as it is written in a file.
    pub(super) fn show(self, key: &str) -> Value {
        match self {
            Slot::Hub(config) => match hub_setting(key).field(config) {
                Field::Count(count) => integer(*count),
                Field::Size(bytes) => size(*bytes),
                Field::Switch(switch) => Value::Boolean(*switch),
                // TOML has no type for a duration or a kind of ID.
                Field::Time(_) | Field::EventIds(_) => Value::String(hub_setting(key).show(config)),
            },
            Slot::Count(count, _) => integer(*count),
            Slot::Size(bytes, _) => size(*bytes),
            Slot::Time(time, _) => Value::String(show_time(*time)),
            Slot::Switch(switch) => Value::Boolean(*switch),
            Slot::Listen(listen) => Value::String(listen.to_string()),
            Slot::BasePath(api) => Value::String(match api.base_path() {
                "" => "/".to_owned(),
                base_path => base_path.to_owned(),
            }),
            Slot::Origins(api) => Value::Array(
                api.cors()
                    .origins()
                    .map(|origin| Value::String(origin.to_owned()))
                    .collect(),
            ),
            Slot::AllowedHosts(api) => {
                let hosts = api.allowed_hosts().into_iter().flatten();
                Value::Array(hosts.map(|host| Value::String(host.to_owned())).collect())
            }
            Slot::Networks(api) => {
                let networks = api.trusted_proxies().networks();
                Value::Array(networks.map(Value::String).collect())
            }
            Slot::MaxBodyBytes(api) => size(api.max_body_bytes()),
            Slot::File(path) => {
                let path = path.as_deref().unwrap_or("".as_ref());
                Value::String(path.to_string_lossy().into_owned())
            }
            Slot::LogFormat(format) => {
                let word = LOG_FORMATS.iter().find(|(_, meaning)| meaning == format);
                Value::String(word.map_or("", |(word, _)| word).to_owned())
            }
            Slot::LogFilter(filter) => Value::String(filter.clone()),
        }
    }
}

fn hub_setting(key: &str) -> &'static HubSetting {
    HubSetting::find(key).expect("a field of the hub's configuration has this name")
}

/// The origins in `texts`, each of which is a list with commas.
fn origins(texts: &[String]) -> Result<Cors, String> {
    let origins = texts.iter().flat_map(|text| text::list(text));
    Cors::new(origins).map_err(|error| error.to_string())
}

/// The networks in `texts`, each of which is a list with commas.
fn networks(texts: &[String]) -> Result<TrustedProxies, String> {
    let networks = texts.iter().flat_map(|text| text::list(text));
    TrustedProxies::new(networks).map_err(|error| error.to_string())
}

/// The number of bytes in `text`.
fn sized(text: &str, allowed: &RangeInclusive<usize>) -> Result<usize, String> {
    let show = |bytes: &usize| show_size(*bytes as u64);
    Ok(text::within(text::size(text)?, allowed, show)?)
}

/// A number; as text if it is too large for TOML.
fn integer(number: usize) -> Value {
    i64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::Integer)
}

/// A number of bytes; as text with a unit if that is exact.
fn size(bytes: usize) -> Value {
    let text = show_size(bytes as u64);
    if text.parse() == Ok(bytes) {
        integer(bytes)
    } else {
        Value::String(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_has_no_slash_at_the_end() {
        let base_path = |text: &str| {
            let mut api = Api::default();
            Slot::BasePath(&mut api).read("base-path", &[text.to_owned()])?;
            Ok::<_, String>(api.base_path().to_owned())
        };
        for (text, path) in [("", ""), ("/", ""), ("/a/b", "/a/b")] {
            assert_eq!(base_path(text).as_deref(), Ok(path));
        }
        for text in ["api", "//", "/a?b", "/{id}", "/:id", "/*"] {
            assert!(base_path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_listed_with_commas_or_one_by_one() {
        let texts = [
            "https://a, https://b".to_owned(),
            "https://A:443".to_owned(),
            String::new(),
        ];
        let cors = origins(&texts).expect("origins");
        assert!(cors.origins().eq(["https://a", "https://b"]));
    }
}
