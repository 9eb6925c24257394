//! What an object is told by its environment: variables as wrangler's `[vars]` has them.

use core::fmt;
use core::time::Duration;

use saacms_realtime_core::config::{ConfigError, EventIds, HubConfig};
use saacms_realtime_core::route::{Api, Cors, Token};

/// What every variable begins with.
pub(crate) const PREFIX: &str = "SAACMS_REALTIME_";

/// Reads a variable of the environment; `None` where it is not set.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The settings of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Retention, heartbeat, kinds of IDs and the limit of subscribers; nothing else of it counts.
    pub hub: HubConfig,
    /// Whether the ring is kept in the object's SQLite storage. Default true.
    pub storage: bool,
    /// Bytes that a stream may hold before its reader's cursor waits. Default 64 KiB.
    pub max_backlog_bytes: usize,
    /// Time after which a stream that takes nothing is cut; zero = never. Default 2 minutes.
    pub stall_timeout: Duration,
    /// Time without an event after which a stream is ended in good order; zero = never, the default.
    pub idle_timeout: Duration,
    /// After what time a client is to come back whose stream was ended so. Default 3 s.
    pub retry: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let hub = HubConfig {
            max_subscribers_per_topic: 10_000,
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
    /// Reads the variables of an object.
    ///
    /// # Errors
    ///
    /// The first one that makes no sense, with what is allowed.
    pub(crate) fn read(env: Read<'_>) -> Result<Self, InvalidSetting> {
        let mut settings = Self::default();
        let hub = &mut settings.hub;
        set(env, "MAX_EVENTS", &mut hub.max_events, count)?;
        set(env, "MAX_AGE", &mut hub.max_age, time)?;
        set(env, "MAX_LAG", &mut hub.max_lag, count)?;
        set(env, "MAX_LAG_BYTES", &mut hub.max_lag_bytes, size)?;
        set(
            env,
            "MAX_SUBSCRIBERS_PER_TOPIC",
            &mut hub.max_subscribers_per_topic,
            count,
        )?;
        set(env, "HEARTBEAT", &mut hub.heartbeat, time)?;
        set(env, "EVENT_IDS", &mut hub.event_ids, |text| {
            word(
                text,
                &[("etag", EventIds::Etag), ("position", EventIds::Position)],
            )
        })?;
        set(env, "QUIET_RESUME", &mut hub.quiet_resume, switch)?;
        set(env, "STORAGE", &mut settings.storage, |text| {
            word(text, &[("sqlite", true), ("off", false)])
        })?;
        set(
            env,
            "MAX_BACKLOG_BYTES",
            &mut settings.max_backlog_bytes,
            |text| size(text).and_then(|bytes| within(bytes, 1 << 10, 16 << 20, "bytes")),
        )?;
        set(env, "STALL_TIMEOUT", &mut settings.stall_timeout, timer)?;
        set(env, "IDLE_TIMEOUT", &mut settings.idle_timeout, timer)?;
        set(env, "RETRY", &mut settings.retry, timer)?;
        settings.hub.check()?;
        Ok(settings)
    }
}

/// The settings of the router of a whole Worker.
#[derive(Clone, Debug)]
pub struct RouterSettings {
    /// The HTTP API.
    pub api: Api,
    /// Name of the binding to the objects. Default `SAACMS_REALTIME`.
    pub binding: String,
}

impl RouterSettings {
    /// Reads the variables of a router.
    ///
    /// # Errors
    ///
    /// The first one that makes no sense, with what is allowed.
    pub(crate) fn read(env: Read<'_>) -> Result<Self, InvalidSetting> {
        let (mut api, mut binding) = (Api::default(), "SAACMS_REALTIME".to_owned());
        set(env, "BINDING", &mut binding, |text| Ok(text.to_owned()))?;
        let parse =
            |name, parse: &dyn Fn(Api, &str) -> Result<Api, String>, api: Api| match variable(
                env, name,
            ) {
                Some(text) => parse(api, &text).map_err(|reason| invalid(name, &text, reason)),
                None => Ok(api),
            };
        api = parse(
            "BASE_PATH",
            &|api, text| api.at(text).map_err(|error| error.to_string()),
            api,
        )?;
        api = parse(
            "CORS_ORIGIN",
            &|api, text| {
                let origins = text
                    .split(',')
                    .map(str::trim)
                    .filter(|origin| !origin.is_empty());
                Ok(api.with_cors(Cors::new(origins).map_err(|error| error.to_string())?))
            },
            api,
        )?;
        api = parse(
            "MAX_BODY_BYTES",
            &|api, text| {
                let bytes = size(text).and_then(|bytes| within(bytes, 1, 1 << 20, "bytes"))?;
                Ok(api.with_max_body_bytes(bytes))
            },
            api,
        )?;
        let mut open = false;
        set(env, "OPEN_PUBLISH", &mut open, switch)?;
        match variable(env, "PUBLISH_TOKEN") {
            Some(text) => {
                // The secret is not repeated in an error.
                let token = Token::new(&text)
                    .map_err(|error| invalid("PUBLISH_TOKEN", "", error.to_string()))?;
                api = api.with_publish_token(token);
            }
            None if open => {}
            None => {
                let reason = "is missing: a Worker is on the public network, and publishing needs \
                              a secret; OPEN_PUBLISH=true does without";
                return Err(invalid("PUBLISH_TOKEN", "", reason.to_owned()));
            }
        }
        Ok(Self { api, binding })
    }
}

fn variable(env: Read<'_>, name: &str) -> Option<String> {
    env(&format!("{PREFIX}{name}")).filter(|text| !text.is_empty())
}

fn set<T>(
    env: Read<'_>,
    name: &'static str,
    place: &mut T,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<(), InvalidSetting> {
    if let Some(text) = variable(env, name) {
        *place = parse(&text).map_err(|reason| invalid(name, &text, reason))?;
    }
    Ok(())
}

fn invalid(name: &str, found: &str, reason: String) -> InvalidSetting {
    let found = if found.is_empty() {
        String::new()
    } else {
        format!(" = {found:?}")
    };
    InvalidSetting {
        message: format!("{PREFIX}{name}{found}: {reason}"),
    }
}

/// A whole number.
fn count(text: &str) -> Result<usize, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("must be a whole number, such as 100".to_owned());
    }
    text.parse().map_err(|_| "is too large".to_owned())
}

/// A size in bytes: `65536`, `64KiB`, `4MiB`.
fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let unit = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err("must be a size, such as 65536, 64KiB or 4MiB".to_owned()),
    };
    count(digits)?
        .checked_mul(unit)
        .ok_or_else(|| "is too large".to_owned())
}

/// A time with a unit: `90s`, `1h30m`; or `0`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "must be 0 or a time, such as 500ms, 90s, 5m or 1h30m".to_owned();
    let (mut total, mut rest) = (Some(0_u64), text);
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let (unit, behind) =
            behind.split_at(behind.bytes().take_while(u8::is_ascii_alphabetic).count());
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let number = digits.parse::<u64>().map_err(|_| wrong())?;
        total = number
            .checked_mul(millis)
            .and_then(|more| total?.checked_add(more));
        rest = behind;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    total
        .map(Duration::from_millis)
        .ok_or_else(|| "is too long".to_owned())
}

/// A time that a timer can wait for.
fn timer(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    within(time.as_millis(), 0, 86_400_000, "ms").map(|_| time)
}

fn switch(text: &str) -> Result<bool, String> {
    word(text, &[("true", true), ("false", false)])
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("must be {}", words.join(" or "))
        })
}

fn within<T: PartialOrd + fmt::Display>(
    value: T,
    low: T,
    high: T,
    unit: &str,
) -> Result<T, String> {
    if low <= value && value <= high {
        Ok(value)
    } else {
        Err(format!("allowed is {low} to {high} {unit}"))
    }
}

/// A variable makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    message: String,
}

impl From<ConfigError> for InvalidSetting {
    fn from(error: ConfigError) -> Self {
        let name = error.setting.to_ascii_uppercase();
        invalid(&name, "", error.to_string()).clone()
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for InvalidSetting {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let env = env(variables);
        Settings::read(&env).map_err(|error| error.to_string())
    }

    fn env(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let found = variables
                .iter()
                .find(|(key, _)| name == format!("{PREFIX}{key}"));
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(read(&[]), Ok(Settings::default()));
        assert_eq!(read(&[("MAX_EVENTS", "")]), Ok(Settings::default()));
    }

    #[test]
    fn every_setting_of_an_object_is_read() {
        let settings = read(&[
            ("MAX_EVENTS", "7"),
            ("MAX_AGE", "1h30m"),
            ("MAX_LAG", "9"),
            ("MAX_LAG_BYTES", "8KiB"),
            ("MAX_SUBSCRIBERS_PER_TOPIC", "3"),
            ("HEARTBEAT", "0"),
            ("EVENT_IDS", "position"),
            ("QUIET_RESUME", "false"),
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
            max_lag: 9,
            max_lag_bytes: 8 << 10,
            max_subscribers_per_topic: 3,
            heartbeat: Duration::ZERO,
            event_ids: EventIds::Position,
            quiet_resume: false,
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
    fn nonsense_is_refused_with_what_is_allowed() {
        for (name, value, said) in [
            ("MAX_EVENTS", "-1", "must be a whole number"),
            ("MAX_EVENTS", "9999999", "allowed is 0 to 1000000 events"),
            ("MAX_AGE", "60", "must be 0 or a time"),
            ("MAX_AGE", "1x", "must be 0 or a time"),
            (
                "HEARTBEAT",
                "1ms",
                "allowed is 10 to 2073600000 ms, or 0 for off",
            ),
            ("STORAGE", "on", "must be sqlite or off"),
            (
                "MAX_BACKLOG_BYTES",
                "1",
                "allowed is 1024 to 16777216 bytes",
            ),
            ("STALL_TIMEOUT", "25h", "allowed is 0 to 86400000 ms"),
        ] {
            let error = read(&[(name, value)]).expect_err(value);
            assert!(error.starts_with(&format!("{PREFIX}{name}")), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_router_wants_a_token_or_to_be_told_that_it_needs_none() {
        let router = |variables: &[(&str, &str)]| RouterSettings::read(&env(variables));
        let error = router(&[]).expect_err("no token").to_string();
        assert!(
            error.contains("SAACMS_REALTIME_PUBLISH_TOKEN: is missing"),
            "{error}"
        );
        assert!(router(&[("OPEN_PUBLISH", "true")]).is_ok());
        let error = router(&[("PUBLISH_TOKEN", "secret")])
            .expect_err("too short")
            .to_string();
        assert!(
            error.contains("6 bytes") && !error.contains("secret"),
            "{error}"
        );
        let settings = router(&[
            ("PUBLISH_TOKEN", "0123456789abcdef"),
            ("BASE_PATH", "/live"),
            ("BINDING", "ROOMS"),
            ("CORS_ORIGIN", "https://a.example, https://b.example"),
            ("MAX_BODY_BYTES", "64KiB"),
        ])
        .expect("valid");
        assert_eq!(
            (settings.api.base_path(), &*settings.binding),
            ("/live", "ROOMS")
        );
        assert_eq!(settings.api.max_body_bytes(), 64 << 10);
        assert!(router(&[("OPEN_PUBLISH", "true"), ("CORS_ORIGIN", "nope")]).is_err());
    }
}
