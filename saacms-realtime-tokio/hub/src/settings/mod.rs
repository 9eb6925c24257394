//! The settings of `serve`: one table, and four layers that give them values.
//!
//! A flag wins over an environment variable, which wins over the file, which wins over the default.
//! Every layer is text until [`table`] reads it, so a value means the same wherever it is written,
//! and an error quotes it as it was written.

mod args;
mod engine;
mod layers;
mod network;
mod slot;
mod start_error;
mod table;
mod token;

use core::fmt::Write as _;
use core::time::Duration;
use std::ffi::OsString;
use std::path::PathBuf;

use saacms_realtime_core::route::Api;
use saacms_realtime_core::route::limits::{
    DEFAULT_DRAIN_TIMEOUT, DEFAULT_IDLE_TIMEOUT, DEFAULT_MAX_CONNECTIONS, DEFAULT_SOCKET_BUFFER,
};
use saacms_realtime_core::settings::text::{show_size, show_time};
use saacms_realtime_core::{ConfigError, HubConfig};

pub(crate) use self::args::ServeArgs;
pub(crate) use self::engine::EngineSettings;
#[cfg(not(feature = "disk"))]
pub(crate) use self::engine::{HOW_TO_GET_IT, NO_DISK_ENGINE};
pub(crate) use self::network::Listen;
pub(crate) use self::start_error::StartError;

use self::layers::{CONFIG, Layer, PUBLISH_TOKEN, RawSetting};
use self::start_error::{HOW_TO_MAKE_A_TOKEN, LIST_ALL};
use self::table::{SETTINGS, Setting};
use crate::logging::LogFormat;

/// The settings that `serve` runs with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Addresses to listen on.
    pub(crate) listen: Listen,
    /// Base path, origins, publish token and the largest body.
    pub(crate) api: Api,
    /// Retention, heartbeat and limits.
    pub(crate) hub: HubConfig,
    /// What keeps the history.
    pub(crate) engine: EngineSettings,
    /// The most TCP connections open at once.
    pub(crate) max_connections: usize,
    /// Bytes of answers that the kernel buffers for a connection.
    pub(crate) socket_buffer: usize,
    /// How long a connection may stay open without a request in progress.
    pub(crate) idle_timeout: Duration,
    /// How long streams may take to end when the server is told to stop.
    pub(crate) drain_timeout: Duration,
    /// The format of the log.
    pub(crate) log_format: LogFormat,
    /// The filter of the log, in the syntax of `tracing_subscriber::EnvFilter`.
    pub(crate) log_level: String,
    /// Warnings about settings that are allowed but unwise; logged once the log has started.
    pub(crate) warnings: Vec<String>,
    /// The file from which [`check`](UncheckedSettings::check) reads the publish token of `api`.
    publish_token_file: Option<PathBuf>,
    /// Whether the origins of `api` may send credentials; applied by
    /// [`check`](UncheckedSettings::check), which knows all of them.
    cors_credentials: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            api: Api::default(),
            hub: HubConfig::default(),
            engine: EngineSettings::default(),
            max_connections: DEFAULT_MAX_CONNECTIONS,
            socket_buffer: DEFAULT_SOCKET_BUFFER,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            log_format: LogFormat::Human,
            log_level: "info".to_owned(),
            warnings: Vec::new(),
            publish_token_file: None,
            cors_credentials: false,
        }
    }
}

impl Settings {
    /// Reads the publish token from its variable or its file.
    ///
    /// No earlier than the check, because `--print-config` prints even without the file.
    fn read_token(&mut self, raw: &Layer) -> Result<(), StartError> {
        let invalid = |setting: &str, reason| StartError {
            message: format!("{setting}: {reason}"),
            hint: HOW_TO_MAKE_A_TOKEN.to_owned(),
        };
        let file = raw.written("publish-token-file");

        let token = match (raw.get(PUBLISH_TOKEN), &self.publish_token_file) {
            (Some(variable), Some(_)) => {
                return Err(StartError {
                    message: format!("{} and {file}: both have a publish token", variable.written),
                    hint: "name it once: unset the variable, or leave the file out".to_owned(),
                });
            }
            (Some(variable), None) => token::parse(&variable.texts.concat())
                .map_err(|reason| invalid(&variable.written, reason))?,
            (None, Some(path)) => {
                let (token, warning) =
                    token::read(path).map_err(|reason| invalid(&file, reason))?;
                self.warnings.extend(warning);
                token
            }
            (None, None) => return Ok(()),
        };
        self.api = self.api.clone().with_publish_token(token);
        Ok(())
    }

    /// Applies what depends on several settings: who may publish, hosts, credentials.
    fn guard(&mut self, raw: &Layer) -> Result<(), StartError> {
        let mut api = self.api.clone();
        if self.cors_credentials {
            let cors = api.cors().clone().with_credentials();
            api = api.with_cors(cors.map_err(|error| StartError {
                message: format!("{}: {error}", raw.written("cors-credentials")),
                hint: "list each origin with --cors-origin".to_owned(),
            })?);
        }

        if !api.has_publish_token() {
            api = api.with_local_publish();
            // Meant for this machine, where any web page could read it by DNS rebinding.
            if api.allowed_hosts().is_none() {
                api = api
                    .with_allowed_hosts([])
                    .expect("there is no name to be invalid");
            }
            if api.cors().origins().any(|origin| origin == "*") {
                self.warnings.push(
                    "every web page that a user of this machine opens can publish: there is no \
                     publish token, and --cors-origin * allows all pages"
                        .to_owned(),
                );
            }
        }
        self.api = api;
        Ok(())
    }
}

/// Settings that are read, but not yet checked as a whole.
#[derive(Debug)]
pub(crate) struct UncheckedSettings {
    settings: Settings,
    /// The text that wins, of each setting that is in a layer.
    raw: Layer,
}

impl UncheckedSettings {
    /// Reads all layers.
    ///
    /// # Errors
    ///
    /// The first unknown name or invalid value, or a file that cannot be read.
    pub(crate) fn read(
        args: ServeArgs,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, StartError> {
        // The file is read last, because a flag or a variable names it.
        let mut flags = args.flags;
        let mut environment = Layer::from_environment(variables)?;
        let file = match flags.remove(CONFIG).or_else(|| environment.remove(CONFIG)) {
            Some(config) => Layer::from_file(&config)?,
            None => Layer::default(),
        };
        let raw = flags.or(environment).or(file);

        let mut settings = Settings::default();
        for setting in SETTINGS {
            if let Some(RawSetting { texts, written, .. }) = raw.get(setting.key) {
                setting
                    .read(texts, &mut settings)
                    .map_err(|reason| StartError {
                        message: format!("{written}: {reason}"),
                        hint: setting.hint(),
                    })?;
            }
        }
        Ok(Self { settings, raw })
    }

    /// The settings as a TOML file for `--config`. Each line names the origin of its value.
    pub(crate) fn to_toml(&self) -> String {
        let line = |setting: &Setting| {
            let value = setting.show(&self.settings);
            let origin = self
                .raw
                .get(setting.key)
                .map_or("default", |raw| raw.origin.as_str());
            // Wide enough for most settings, so that the origins line up.
            format!("{:<42} # {origin}\n", format!("{} = {value}", setting.key))
        };
        let mut toml: String = SETTINGS.iter().map(line).collect();
        if let Some(RawSetting { origin, .. }) = self.raw.get(PUBLISH_TOKEN) {
            // A comment: the file must not have the secret.
            let _ = writeln!(toml, "# the publish token # {origin}");
        }
        toml
    }

    /// Checks what reading a single value does not: the hub's ranges, the token file, the addresses.
    ///
    /// # Errors
    ///
    /// The first setting that is wrong, as the user wrote it.
    pub(crate) fn check(self) -> Result<Settings, StartError> {
        self.settings
            .hub
            .check()
            .map_err(|error| self.out_of_range(&error))?;
        let Self { mut settings, raw } = self;
        settings.check_engine(&raw)?;
        settings.read_token(&raw)?;
        settings.guard(&raw)?;

        // Checked after the token is read, because with a token every address is allowed.
        if !settings.listen.may_serve(&settings.api) {
            return Err(StartError {
                message: format!(
                    "{}: other machines can reach this address, and without a publish token all \
                     of them could publish",
                    raw.written("listen")
                ),
                hint: HOW_TO_MAKE_A_TOKEN.to_owned(),
            });
        }
        Ok(settings)
    }

    /// The hub's error, with the setting as the user wrote it and the range in readable units.
    fn out_of_range(&self, error: &ConfigError) -> StartError {
        let key = error.setting.replace('_', "-");
        let text = error.to_string();
        // The text begins with core's name for the setting, which the user did not write.
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
        StartError {
            message: format!("{}: out of range; it {reason}", self.raw.written(&key)),
            hint,
        }
    }
}
