//! The one table of settings. A row is a flag, an environment variable, a key of the file, a line
//! of the help and a line of `--print-config`; its default is the field's in `Settings::default`.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::path::PathBuf;

use saacms_realtime_core::config::EventIds;
use toml::Value;

use super::network::{self, Listen};
use super::{Settings, values};
use crate::logging::{self, LogFormat};

/// A row of the table.
#[derive(Debug)]
pub(super) struct Setting {
    /// The flag without its dashes, and the key in the file.
    pub(super) key: &'static str,
    /// What stands for the value in the help.
    pub(super) value_name: &'static str,
    /// The group in the help.
    pub(super) heading: &'static str,
    pub(super) help: &'static str,
    /// Where the value lives, and of which kind it is.
    pub(super) slot: fn(&mut Settings) -> Slot<'_>,
}

const NETWORK: &str = "Network";
const RETENTION: &str = "Retention";
const LIMITS: &str = "Limits";
const ACCESS: &str = "Access";
const LOGGING: &str = "Logging";

/// Ranges of the hub's settings are the hub's: `HubConfig::check`.
const BY_HUB: RangeInclusive<usize> = 0..=usize::MAX;
const TIME_BY_HUB: RangeInclusive<Duration> = Duration::ZERO..=Duration::MAX;

/// Every setting, in the order of the help.
#[rustfmt::skip] // one row, one shape
pub(super) const SETTINGS: &[Setting] = &[
    Setting { key: "listen", value_name: "HOST:PORT", heading: NETWORK,
        help: "Address to listen on, such as 0.0.0.0:8787, [::1]:8787 or localhost:8787; port 0 takes a free one. An address that other machines can reach needs --publish-token-file",
        slot: |s| Slot::Listen(&mut s.listen) },
    Setting { key: "base-path", value_name: "PATH", heading: NETWORK,
        help: "What every path of the API begins with; / for nothing",
        slot: |s| Slot::BasePath(&mut s.base_path) },
    Setting { key: "heartbeat", value_name: "TIME", heading: NETWORK,
        help: "Silence after which a stream gets a comment, so that proxies keep it open; 0 = off",
        slot: |s| Slot::Time(&mut s.hub.heartbeat, TIME_BY_HUB) },
    Setting { key: "drain-timeout", value_name: "TIME", heading: NETWORK,
        help: "How long streams may take to end when the server is told to stop",
        slot: |s| Slot::Time(&mut s.drain_timeout, Duration::ZERO..=Duration::from_secs(3_600)) },

    Setting { key: "max-events", value_name: "COUNT", heading: RETENTION,
        help: "Events per record that a reconnect can be answered from; 0 = live only",
        slot: |s| Slot::Count(&mut s.hub.max_events, BY_HUB) },
    Setting { key: "max-age", value_name: "TIME", heading: RETENTION,
        help: "Age after which an event is no longer replayed",
        slot: |s| Slot::Time(&mut s.hub.max_age, TIME_BY_HUB) },
    Setting { key: "max-history-bytes", value_name: "SIZE", heading: RETENTION,
        help: "History of all records together; that of idle records goes first",
        slot: |s| Slot::Size(&mut s.hub.max_history_bytes, BY_HUB) },
    Setting { key: "event-ids", value_name: "etag|position", heading: RETENTION,
        help: "What events are called on the wire: by the record's ETag, or by their position, which makes resuming exact",
        slot: |s| Slot::EventIds(&mut s.hub.event_ids) },
    Setting { key: "quiet-resume", value_name: "true|false", heading: RETENTION,
        help: "A client that has seen everything is not told to refetch because its last event has expired",
        slot: |s| Slot::Switch(&mut s.hub.quiet_resume) },

    Setting { key: "max-lag", value_name: "COUNT", heading: LIMITS,
        help: "Events that a connected reader may fall behind before it is told to refetch",
        slot: |s| Slot::Count(&mut s.hub.max_lag, BY_HUB) },
    Setting { key: "max-lag-bytes", value_name: "SIZE", heading: LIMITS,
        help: "Bytes that a connected reader may fall behind",
        slot: |s| Slot::Size(&mut s.hub.max_lag_bytes, BY_HUB) },
    Setting { key: "max-topics", value_name: "COUNT", heading: LIMITS,
        help: "Records with history or subscribers at one time",
        slot: |s| Slot::Count(&mut s.hub.max_topics, BY_HUB) },
    Setting { key: "max-subscribers", value_name: "COUNT", heading: LIMITS,
        help: "Subscribers of all records together",
        slot: |s| Slot::Count(&mut s.hub.max_subscribers, BY_HUB) },
    Setting { key: "max-subscribers-per-topic", value_name: "COUNT", heading: LIMITS,
        help: "Subscribers of one record",
        slot: |s| Slot::Count(&mut s.hub.max_subscribers_per_topic, BY_HUB) },
    Setting { key: "max-connections", value_name: "COUNT", heading: LIMITS,
        help: "TCP connections at one time",
        slot: |s| Slot::Count(&mut s.max_connections, 1..=10_000_000) },
    Setting { key: "max-body-bytes", value_name: "SIZE", heading: LIMITS,
        help: "Longest body of a publish, 1KiB to 64MiB",
        slot: |s| Slot::Size(&mut s.max_body_bytes, 1 << 10..=64 << 20) },

    Setting { key: "publish-token-file", value_name: "FILE", heading: ACCESS,
        help: "File with the token that publishers have to show (Authorization: Bearer): 16 to 512 visible ASCII characters on one line",
        slot: |s| Slot::File(&mut s.publish_token_file) },
    Setting { key: "cors-origin", value_name: "ORIGIN", heading: ACCESS,
        help: "Origin whose pages may use the API, such as https://www.example.org, or * for all; repeat it, or separate with commas",
        slot: |s| Slot::Origins(&mut s.cors_origins) },

    Setting { key: "log-format", value_name: "human|json", heading: LOGGING,
        help: "Lines for people, coloured on a terminal unless NO_COLOR is set, or a JSON object a line; always to standard error",
        slot: |s| Slot::LogFormat(&mut s.log_format) },
    Setting { key: "log-level", value_name: "FILTER", heading: LOGGING,
        help: "error, warn, info, debug, trace or off; by module: info,hyper=warn",
        slot: |s| Slot::LogFilter(&mut s.log_level) },
];

impl Setting {
    /// What every environment variable of the server begins with.
    pub(super) const PREFIX: &'static str = "SAACMS_REALTIME_";

    /// The row with this key.
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The environment variable of `key`.
    pub(super) fn variable(key: &str) -> String {
        format!(
            "{}{}",
            Self::PREFIX,
            key.replace('-', "_").to_ascii_uppercase()
        )
    }

    /// Whether it takes several values.
    pub(super) fn is_list(&self) -> bool {
        matches!((self.slot)(&mut Settings::default()), Slot::Origins(_))
    }

    /// The value in `settings`, as it is written in a file.
    pub(super) fn show(&self, settings: &Settings) -> Value {
        (self.slot)(&mut settings.clone()).show()
    }

    /// The default, for people.
    pub(super) fn default_text(&self) -> String {
        match self.show(&Settings::default()) {
            Value::String(text) if text.is_empty() => "none".to_owned(),
            Value::Array(items) if items.is_empty() => "none".to_owned(),
            Value::String(text) => text,
            value @ (Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_)) => value.to_string(),
        }
    }

    /// What to tell someone whose value was refused.
    pub(super) fn hint(&self) -> String {
        format!(
            "{}: {} [default: {}]",
            self.key,
            self.help,
            self.default_text()
        )
    }
}

/// The place of a value in [`Settings`], by kind: how it is read, what is allowed, how it is shown.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    Count(&'a mut usize, RangeInclusive<usize>),
    Size(&'a mut usize, RangeInclusive<usize>),
    Time(&'a mut Duration, RangeInclusive<Duration>),
    Switch(&'a mut bool),
    EventIds(&'a mut EventIds),
    Listen(&'a mut Listen),
    BasePath(&'a mut String),
    File(&'a mut Option<PathBuf>),
    Origins(&'a mut Vec<String>),
    LogFormat(&'a mut LogFormat),
    LogFilter(&'a mut String),
}

const EVENT_IDS: [(&str, EventIds); 2] =
    [("etag", EventIds::Etag), ("position", EventIds::Position)];
const SWITCH: [(&str, bool); 2] = [("true", true), ("false", false)];
const LOG_FORMATS: [(&str, LogFormat); 2] =
    [("human", LogFormat::Human), ("json", LogFormat::Json)];

impl Slot<'_> {
    /// Reads what a layer gives: one text, or any number of them where the setting is a list.
    pub(super) fn read(self, texts: &[String]) -> Result<(), String> {
        let one = || match texts {
            [text] => Ok(text.as_str()),
            _ => Err("takes one value, not a list".to_owned()),
        };
        match self {
            Slot::Count(place, allowed) => {
                *place = values::within(values::count(one()?)?, &allowed, usize::to_string)?;
            }
            Slot::Size(place, allowed) => {
                let show = |size: &usize| values::show_size(*size as u64);
                *place = values::within(values::size(one()?)?, &allowed, show)?;
            }
            Slot::Time(place, allowed) => {
                let show = |time: &Duration| values::show_time(*time);
                *place = values::within(values::time(one()?)?, &allowed, show)?;
            }
            Slot::Switch(place) => *place = values::word(one()?, &SWITCH)?,
            Slot::EventIds(place) => *place = values::word(one()?, &EVENT_IDS)?,
            Slot::LogFormat(place) => *place = values::word(one()?, &LOG_FORMATS)?,
            Slot::Listen(place) => *place = Listen::parse(one()?)?,
            Slot::BasePath(place) => *place = network::base_path(one()?)?,
            Slot::File(place) => {
                *place = Some(one()?)
                    .filter(|path| !path.is_empty())
                    .map(PathBuf::from);
            }
            Slot::Origins(place) => *place = network::origins(texts)?,
            Slot::LogFilter(place) => {
                let filter = one()?;
                logging::check_filter(filter)?;
                filter.clone_into(place);
            }
        }
        Ok(())
    }

    /// The value as it is written in a file.
    fn show(self) -> Value {
        match self {
            Slot::Count(place, _) => integer(*place),
            Slot::Size(place, _) => {
                let text = values::show_size(*place as u64);
                if text.parse() == Ok(*place) {
                    integer(*place)
                } else {
                    Value::String(text)
                }
            }
            Slot::Time(place, _) => Value::String(values::show_time(*place)),
            Slot::Switch(place) => Value::Boolean(*place),
            Slot::EventIds(place) => spelled(*place, &EVENT_IDS),
            Slot::LogFormat(place) => spelled(*place, &LOG_FORMATS),
            Slot::Listen(place) => Value::String(place.to_string()),
            Slot::BasePath(place) if place.is_empty() => Value::String("/".to_owned()),
            Slot::BasePath(place) | Slot::LogFilter(place) => Value::String(place.clone()),
            Slot::File(place) => {
                let path = place.as_deref().unwrap_or("".as_ref());
                Value::String(path.to_string_lossy().into_owned())
            }
            Slot::Origins(place) => {
                Value::Array(place.iter().cloned().map(Value::String).collect())
            }
        }
    }
}

/// A number; as text where TOML's numbers end before ours.
fn integer(number: usize) -> Value {
    i64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::Integer)
}

fn spelled<T: PartialEq>(value: T, words: &[(&str, T)]) -> Value {
    let word = words
        .iter()
        .find(|(_, meaning)| *meaning == value)
        .map_or("", |(word, _)| *word);
    Value::String(word.to_owned())
}
