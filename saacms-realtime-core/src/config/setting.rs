use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::ops::RangeInclusive;
use core::time::Duration;

use super::text::{self, InvalidText};
use super::{ConfigError, EventIds, HubConfig};
use crate::time::whole_millis;

/// The prefix of every environment variable.
pub const VARIABLE_PREFIX: &str = "SAACMS_REALTIME_";

/// The environment variable of a setting: `SAACMS_REALTIME_MAX_EVENTS` for `max_events` or
/// `max-events`.
pub fn variable(setting: &str) -> String {
    let name = setting.replace('-', "_").to_ascii_uppercase();
    format!("{VARIABLE_PREFIX}{name}")
}

/// A field of [`HubConfig`] as a setting: its name, how its text is read, and its allowed range.
#[derive(Debug)]
pub struct HubSetting {
    name: &'static str,
    field: fn(&mut HubConfig) -> Field<'_>,
    /// Range and unit of a number; `None` for a word, as every known word is allowed.
    allowed: Option<(RangeInclusive<u64>, &'static str)>,
}

/// The value of a [`HubSetting`], by kind.
#[derive(Debug)]
pub enum Field<'a> {
    /// A number.
    Count(&'a mut usize),
    /// A number of bytes.
    Size(&'a mut usize),
    /// A time.
    Time(&'a mut Duration),
    /// Yes or no.
    Switch(&'a mut bool),
    /// A kind of event ID.
    EventIds(&'a mut EventIds),
}

const DAY: u64 = 86_400_000;

const EVENT_IDS: [(&str, EventIds); 2] =
    [("etag", EventIds::Etag), ("position", EventIds::Position)];

/// Every field of [`HubConfig`].
#[rustfmt::skip] // one row, one shape
pub const HUB_SETTINGS: &[HubSetting] = &[
    HubSetting { name: "max_events", field: |hub| Field::Count(&mut hub.max_events),
        allowed: Some((0..=1_000_000, "events")) },
    HubSetting { name: "max_age", field: |hub| Field::Time(&mut hub.max_age),
        allowed: Some((0..=365 * DAY, "ms")) },
    HubSetting { name: "max_lag", field: |hub| Field::Count(&mut hub.max_lag),
        allowed: Some((1..=1_000_000, "events")) },
    HubSetting { name: "max_lag_bytes", field: |hub| Field::Size(&mut hub.max_lag_bytes),
        allowed: Some((1 << 10..=1 << 40, "bytes")) },
    HubSetting { name: "max_topics", field: |hub| Field::Count(&mut hub.max_topics),
        allowed: Some((1..=100_000_000, "topics")) },
    HubSetting { name: "max_subscribers", field: |hub| Field::Count(&mut hub.max_subscribers),
        allowed: Some((1..=100_000_000, "subscribers")) },
    HubSetting { name: "max_subscribers_per_topic", field: |hub| Field::Count(&mut hub.max_subscribers_per_topic),
        allowed: Some((1..=100_000_000, "subscribers")) },
    HubSetting { name: "max_streams_per_address", field: |hub| Field::Count(&mut hub.max_streams_per_address),
        allowed: Some((0..=100_000_000, "streams")) },
    HubSetting { name: "max_history_bytes", field: |hub| Field::Size(&mut hub.max_history_bytes),
        allowed: Some((1 << 16..=1 << 44, "bytes")) },
    HubSetting { name: "max_unread_bytes", field: |hub| Field::Size(&mut hub.max_unread_bytes),
        allowed: Some((1 << 20..=1 << 44, "bytes")) },
    HubSetting { name: STALL_TIMEOUT, field: |hub| Field::Time(&mut hub.stall_timeout),
        allowed: Some((100..=24 * DAY, "ms")) },
    HubSetting { name: HEARTBEAT, field: |hub| Field::Time(&mut hub.heartbeat),
        allowed: Some((10..=24 * DAY, "ms")) },
    HubSetting { name: "drain_retry", field: |hub| Field::Time(&mut hub.drain_retry),
        allowed: Some((1..=3_600_000, "ms")) },
    HubSetting { name: "event_ids", field: |hub| Field::EventIds(&mut hub.event_ids),
        allowed: None },
    HubSetting { name: "quiet_resume", field: |hub| Field::Switch(&mut hub.quiet_resume),
        allowed: None },
    HubSetting { name: "greeting", field: |hub| Field::Switch(&mut hub.greeting),
        allowed: None },
];

const HEARTBEAT: &str = "heartbeat";
const STALL_TIMEOUT: &str = "stall_timeout";

/// Settings that may be 0 although their ranges are higher: it turns them off.
pub(super) const OFF_AT_0: [&str; 2] = [HEARTBEAT, STALL_TIMEOUT];

impl HubSetting {
    /// Finds a setting by the name of its field, which may have `-` for each `_`.
    pub fn find(name: &str) -> Option<&'static Self> {
        let name = name.replace('-', "_");
        HUB_SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The name of the field.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value in `config`.
    pub fn field<'a>(&self, config: &'a mut HubConfig) -> Field<'a> {
        (self.field)(config)
    }

    /// Reads `text` into `config`. The range is left to [`HubConfig::check`].
    ///
    /// # Errors
    ///
    /// The text is not a value of this kind.
    pub fn read(&self, text: &str, config: &mut HubConfig) -> Result<(), InvalidText> {
        match self.field(config) {
            Field::Count(value) => *value = text::count(text)?,
            Field::Size(value) => *value = text::size(text)?,
            Field::Time(value) => *value = text::time(text)?,
            Field::Switch(value) => *value = text::switch(text)?,
            Field::EventIds(value) => *value = text::word(text, &EVENT_IDS)?,
        }
        Ok(())
    }

    /// Writes the value in `config` as [`read`](Self::read) reads it.
    pub fn show(&self, config: &HubConfig) -> String {
        // A copy, because `field` gives access to change the value.
        match self.field(&mut config.clone()) {
            Field::Count(value) => value.to_string(),
            Field::Size(value) => text::show_size(*value as u64),
            Field::Time(value) => text::show_time(*value),
            Field::Switch(value) => value.to_string(),
            Field::EventIds(value) => {
                let word = EVENT_IDS.iter().find(|(_, meaning)| meaning == value);
                word.map_or("", |(word, _)| word).to_owned()
            }
        }
    }

    /// Refuses a value that is out of range.
    pub(super) fn check(&self, config: &HubConfig) -> Result<(), ConfigError> {
        let Some((allowed, unit)) = &self.allowed else {
            return Ok(());
        };

        let value = match self.field(&mut config.clone()) {
            Field::Count(value) | Field::Size(value) => *value as u64,
            Field::Time(value) => whole_millis(*value),
            // Cannot happen: in the table, words have no range.
            Field::Switch(_) | Field::EventIds(_) => return Ok(()),
        };

        let is_off = OFF_AT_0.contains(&self.name) && value == 0;
        if is_off || allowed.contains(&value) {
            return Ok(());
        }

        Err(ConfigError {
            setting: self.name,
            value,
            allowed: allowed.clone(),
            unit,
        })
    }
}

#[cfg(test)]
#[path = "../../tests/support/setting_texts.rs"]
mod setting_texts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_means_what_the_table_says() {
        for (name, text, expected) in setting_texts::CASES {
            let setting = HubSetting::find(name).expect(name);
            let mut config = HubConfig::default();
            let read = setting.read(text, &mut config).map_err(String::from);
            let checked = read.and_then(|()| config.check().map_err(|error| error.to_string()));
            match (checked, expected) {
                (Ok(()), Ok(shown)) => assert_eq!(setting.show(&config), *shown, "{text:?}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text:?}: {error}"),
                (checked, _) => panic!("{name}, {text:?}: {checked:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_displayed_value_is_read_back_as_the_same() {
        let config = HubConfig::default();
        for setting in HUB_SETTINGS {
            let mut read = config;
            let text = setting.show(&config);
            assert_eq!(setting.read(&text, &mut read), Ok(()), "{}", setting.name);
            assert_eq!(read, config, "{}", setting.name);
        }
    }

    #[test]
    fn a_setting_has_one_name_in_three_spellings() {
        let setting = HubSetting::find("max-age").expect("a setting");
        assert_eq!(setting.name(), "max_age");
        assert_eq!(variable("max-age"), "SAACMS_REALTIME_MAX_AGE");
        assert_eq!(variable(setting.name()), variable("max-age"));
        assert!(HubSetting::find("max-ages").is_none());
    }
}
