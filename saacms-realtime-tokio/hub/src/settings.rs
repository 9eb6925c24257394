//! Settings of `serve`: one table of settings, four layers that give them values.
//!
//! A flag wins over an environment variable, that over the file, that over the default. Every
//! layer is text until [`table`] reads it, so a value means the same wherever it was written, and
//! a refusal quotes it as it was written.

mod args;
mod layers;
mod nearest;
mod network;
mod table;
mod token;
mod values;

use core::fmt;
use core::time::Duration;
use std::ffi::OsString;
use std::path::PathBuf;

use saacms_realtime_core::config::{ConfigError, HubConfig};
use saacms_realtime_core::route::limits::{DEFAULT_DRAIN_TIMEOUT, DEFAULT_MAX_CONNECTIONS};
use saacms_realtime_core::route::{DEFAULT_BASE_PATH, DEFAULT_MAX_BODY_BYTES};

pub(crate) use self::args::ServeArgs;
pub(crate) use self::network::Listen;
pub(crate) use self::token::Token;

use self::layers::{CONFIG, Given, Layer};
use self::table::{SETTINGS, Setting};
use self::values::{show_size, show_time};
use crate::logging::LogFormat;

/// What `serve` runs with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Addresses to listen on.
    pub(crate) listen: Listen,
    /// What every path of the API begins with: empty, or `/` and no `/` at the end.
    pub(crate) base_path: String,
    /// Retention, heartbeat and limits; checked.
    pub(crate) hub: HubConfig,
    /// What publishers have to show, where they have to.
    pub(crate) publish_token: Option<Token>,
    /// Origins whose pages may use the API, as browsers write them, or `*`.
    pub(crate) cors_origins: Vec<String>,
    /// Longest body of a publish.
    pub(crate) max_body_bytes: usize,
    /// TCP connections at one time.
    pub(crate) max_connections: usize,
    /// How long streams may take to end when the server is told to stop.
    pub(crate) drain_timeout: Duration,
    /// The look of the log.
    pub(crate) log_format: LogFormat,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub(crate) log_level: String,
    /// What is allowed but should be told: to be logged once there is a log.
    pub(crate) warnings: Vec<String>,
    publish_token_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            base_path: DEFAULT_BASE_PATH.to_owned(),
            hub: HubConfig::default(),
            publish_token: None,
            cors_origins: Vec::new(),
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            log_format: LogFormat::Human,
            log_level: "info".to_owned(),
            warnings: Vec::new(),
            publish_token_file: None,
        }
    }
}

/// Settings that were read but not yet checked against each other and the world.
#[derive(Debug)]
pub(crate) struct Loaded {
    settings: Settings,
    /// The winning value of each setting that some layer names.
    given: Layer,
}

impl Loaded {
    /// Reads all layers.
    ///
    /// # Errors
    ///
    /// The first name that is unknown, value that cannot be read, or the file that cannot be read.
    pub(crate) fn read(
        args: ServeArgs,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Refusal> {
        let mut flags = args.flags;
        let mut environment = Layer::from_environment(variables)?;
        let file = match flags.take(CONFIG).or_else(|| environment.take(CONFIG)) {
            Some(config) => Layer::from_file(&config)?,
            None => Layer::default(),
        };
        let given = flags.or(environment).or(file);

        let mut settings = Settings::default();
        for setting in SETTINGS {
            if let Some(Given { texts, written, .. }) = given.find(setting.key) {
                (setting.slot)(&mut settings)
                    .read(texts)
                    .map_err(|wrong| Refusal {
                        message: format!("{written}: {wrong}"),
                        hint: setting.hint(),
                    })?;
            }
        }
        Ok(Self { settings, given })
    }

    /// The settings as a TOML file that `--config` can read, each line saying where it comes from.
    pub(crate) fn to_toml(&self) -> String {
        let line = |setting: &Setting| {
            let value = setting.show(&self.settings);
            let origin = self
                .given
                .find(setting.key)
                .map_or("default", |given| given.origin.as_str());
            format!("{:<42} # {origin}\n", format!("{} = {value}", setting.key))
        };
        SETTINGS.iter().map(line).collect()
    }

    /// Checks what no single value can tell: the hub's ranges, the token, who can reach us.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the words that the user wrote it in.
    pub(crate) fn check(self) -> Result<Settings, Refusal> {
        self.settings
            .hub
            .check()
            .map_err(|error| self.out_of_range(&error))?;
        let Self {
            mut settings,
            given,
        } = self;
        if let Some(path) = &settings.publish_token_file {
            let (token, warning) = Token::read(path).map_err(|wrong| Refusal {
                message: format!("{}: {wrong}", given.written("publish-token-file")),
                hint: HOW_TO_MAKE_A_TOKEN.to_owned(),
            })?;
            settings.publish_token = Some(token);
            settings.warnings.extend(warning);
        }
        if settings.publish_token.is_none() && !settings.listen.is_loopback() {
            return Err(Refusal {
                message: format!(
                    "{}: other machines can reach this address, and without a publish token all \
                     of them could publish",
                    given.written("listen")
                ),
                hint: HOW_TO_MAKE_A_TOKEN.to_owned(),
            });
        }
        Ok(settings)
    }

    /// The hub's refusal, with the setting named as the user named it.
    fn out_of_range(&self, error: &ConfigError) -> Refusal {
        let key = error.setting.replace('_', "-");
        let text = error.to_string();
        let reason = text
            .strip_prefix(error.setting)
            .unwrap_or(&text)
            .trim_start();
        let (low, high) = (*error.allowed.start(), *error.allowed.end());
        let hint = match error.unit {
            "bytes" => format!("that is {} to {}", show_size(low), show_size(high)),
            "ms" => {
                let [low, high] = [low, high].map(|ms| show_time(Duration::from_millis(ms)));
                format!("that is {low} to {high}")
            }
            _ => Setting::find(&key).map_or_else(|| LIST_ALL.to_owned(), Setting::hint),
        };
        Refusal {
            message: format!("{}: out of range; it {reason}", self.given.written(&key)),
            hint,
        }
    }
}

const HOW_TO_MAKE_A_TOKEN: &str = "make one with (umask 077; head -c 32 /dev/urandom | base64 > \
                                   publish-token), then start with --publish-token-file \
                                   publish-token";

const LIST_ALL: &str = "`saacms-realtime --print-config` lists all settings with their values";

/// Why the server does not start, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    message: String,
    hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.message, self.hint)
    }
}

impl core::error::Error for Refusal {}
