use core::time::Duration;

use saacms_realtime_core::HubConfig;
use saacms_realtime_core::settings::HubSetting;
use saacms_realtime_core::settings::text::{self, InvalidText, show_size, show_time};

use super::{Environment, InvalidSetting};

/// The settings of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Retention, heartbeat, event IDs, greeting and the limit of subscribers; other fields are
    /// ignored.
    pub hub: HubConfig,
    /// Whether the ring is kept in the object's SQLite storage. Default true.
    pub storage: bool,
    /// The bytes that a stream may queue before its reader's cursor waits. Default 64 KiB.
    pub max_backlog_bytes: usize,
    /// Time after which a stream whose client reads nothing is cut; zero = never. Default 2 minutes.
    pub stall_timeout: Duration,
    /// Time without an event after which a stream is ended gracefully. Default zero = never.
    pub idle_timeout: Duration,
    /// The reconnection time sent at the end of an idle stream. Default 3 s.
    pub retry: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let hub = HubConfig {
            max_subscribers_per_topic: 10_000,
            // An isolate has 128 MB for all its objects.
            max_history_bytes: 4 << 20,
            ..HubConfig::default()
        };
        Self {
            hub,
            storage: true,
            max_backlog_bytes: 64 << 10,
            stall_timeout: Duration::from_secs(120),
            idle_timeout: Duration::ZERO,
            retry: Duration::from_secs(3),
        }
    }
}

impl Settings {
    /// The fields of [`hub`](Self::hub) that an object uses.
    const OF_HUB: [&'static str; 10] = [
        "max_events",
        "max_age",
        "max_history_bytes",
        "max_lag",
        "max_lag_bytes",
        "max_subscribers_per_topic",
        "heartbeat",
        "event_ids",
        "quiet_resume",
        "greeting",
    ];

    /// Reads the variables of an object.
    ///
    /// # Errors
    ///
    /// The first invalid variable, and what is allowed.
    pub(crate) fn read(env: Environment<'_>) -> Result<Self, InvalidSetting> {
        let mut settings = Self::default();
        for name in Self::OF_HUB {
            let setting = HubSetting::find(name).expect("a field of the hub's configuration");
            if let Some(text) = env.text(name) {
                setting
                    .read(&text, &mut settings.hub)
                    .map_err(|reason| InvalidSetting::new(name, &text, reason))?;
            }
        }
        settings.hub.check()?;

        env.read("storage", &mut settings.storage, |text| {
            text::word(text, &[("sqlite", true), ("off", false)])
        })?;
        env.read(
            "max_backlog_bytes",
            &mut settings.max_backlog_bytes,
            |text| {
                let show = |bytes: &usize| show_size(*bytes as u64);
                text::within(text::size(text)?, &(1 << 10..=16 << 20), show)
            },
        )?;
        env.read("stall_timeout", &mut settings.stall_timeout, timer)?;
        env.read("idle_timeout", &mut settings.idle_timeout, timer)?;
        env.read("retry", &mut settings.retry, timer)?;
        Ok(settings)
    }
}

/// Reads a time of at most a day: a timer of JavaScript can wait for 24 days.
fn timer(text: &str) -> Result<Duration, InvalidText> {
    let allowed = Duration::ZERO..=Duration::from_secs(86_400);
    text::within(text::time(text)?, &allowed, |time| show_time(*time))
}

#[cfg(test)]
#[path = "../../../saacms-realtime-core/tests/support/setting_texts.rs"]
mod setting_texts;

#[cfg(test)]
mod tests {
    use super::super::environment;
    use super::*;
    use saacms_realtime_core::EventIds;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let env = environment(variables);
        Settings::read(Environment(&env)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_that_is_not_set_has_its_default() {
        assert_eq!(read(&[]), Ok(Settings::default()));
        assert_eq!(read(&[("MAX_EVENTS", "")]), Ok(Settings::default()));
    }

    #[test]
    fn every_setting_of_an_object_is_read() {
        let settings = read(&[
            ("MAX_EVENTS", "7"),
            ("MAX_AGE", "1h30m"),
            ("MAX_HISTORY_BYTES", "1MiB"),
            ("MAX_LAG", "9"),
            ("MAX_LAG_BYTES", "8KiB"),
            ("MAX_SUBSCRIBERS_PER_TOPIC", "3"),
            ("HEARTBEAT", "0"),
            ("EVENT_IDS", "position"),
            ("QUIET_RESUME", "false"),
            ("GREETING", "false"),
            ("STORAGE", "off"),
            ("MAX_BACKLOG_BYTES", "1MiB"),
            ("STALL_TIMEOUT", "5s"),
            ("IDLE_TIMEOUT", "25s"),
            ("RETRY", "500ms"),
        ])
        .expect("valid");
        let hub = HubConfig {
            max_events: 7,
            max_age: Duration::from_secs(5_400),
            max_history_bytes: 1 << 20,
            max_lag: 9,
            max_lag_bytes: 8 << 10,
            max_subscribers_per_topic: 3,
            heartbeat: Duration::ZERO,
            event_ids: EventIds::Position,
            quiet_resume: false,
            greeting: false,
            ..HubConfig::default()
        };
        assert_eq!(
            settings,
            Settings {
                hub,
                storage: false,
                max_backlog_bytes: 1 << 20,
                stall_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(25),
                retry: Duration::from_millis(500),
            }
        );
    }

    #[test]
    fn a_variable_means_what_it_means_to_the_server() {
        for (name, text, expected) in setting_texts::CASES {
            let setting = HubSetting::find(name).expect(name);
            match (read(&[(setting.name(), text)]), expected) {
                (Ok(settings), Ok(shown)) => {
                    assert_eq!(setting.show(&settings.hub), *shown, "{text:?}");
                }
                (Err(error), Err(part)) => assert!(error.contains(part), "{text:?}: {error}"),
                (read, _) => panic!("{name}, {text:?}: {read:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn an_invalid_value_is_refused_with_what_is_allowed() {
        for (name, value, said) in [
            ("MAX_EVENTS", "-1", "must be a whole number"),
            ("MAX_EVENTS", "9999999", "must be 0 to 1000000 events"),
            ("MAX_AGE", "60", "needs a unit: 60s, 60m or 60h"),
            ("MAX_AGE", "1x", "must be a time"),
            (
                "HEARTBEAT",
                "1ms",
                "must be 10 to 2073600000 ms, or 0 for off",
            ),
            ("STORAGE", "on", "must be sqlite or off"),
            ("MAX_BACKLOG_BYTES", "1", "must be 1KiB to 16MiB"),
            ("STALL_TIMEOUT", "25h", "must be 0s to 1d"),
        ] {
            let error = read(&[(name, value)]).expect_err(value);
            assert!(
                error.starts_with(&format!("SAACMS_REALTIME_{name}")),
                "{error}"
            );
            assert!(error.contains(said), "{error}");
        }
    }
}
