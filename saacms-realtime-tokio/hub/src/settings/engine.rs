//! What keeps the history, and how long.

use core::time::Duration;
use std::path::PathBuf;

use saacms_realtime_core::settings::text::show_time;

use super::Settings;
use super::layers::Layer;
use super::start_error::StartError;

/// Why a build without the feature `disk` refuses.
pub(crate) const NO_DISK_ENGINE: &str = "this build has no disk engine";
/// The hint for it.
pub(crate) const HOW_TO_GET_IT: &str = "cargo install saacms-realtime --features disk";

/// The engine that keeps the history over restarts, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct EngineSettings {
    /// The folder of the disk engine; `None` = history is in memory.
    pub(crate) data_dir: Option<PathBuf>,
    /// How the user wrote that folder, for messages. Set once checked.
    pub(crate) written_dir: String,
    /// How long a record is kept after its newest event. Once checked, at least `max_age`.
    pub(crate) remember: Duration,
    /// The longest that the file may become, in bytes.
    pub(crate) max_bytes: usize,
    /// How long a publish may wait for the engine.
    pub(crate) timeout: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            data_dir: None,
            written_dir: String::new(),
            remember: Duration::from_secs(24 * 3_600),
            max_bytes: 1 << 30,
            timeout: Duration::from_secs(15),
        }
    }
}

impl EngineSettings {
    /// The error if the folder cannot be created, read or written.
    #[cfg(feature = "disk")]
    pub(crate) fn unusable_dir(&self, error: &dyn core::error::Error) -> StartError {
        StartError {
            message: format!("{}: {error}", self.written_dir),
            hint: "the user that runs the hub must be able to create the folder, or to write in it"
                .to_owned(),
        }
    }
}

impl Settings {
    /// Applies what the engine's settings mean beside those of the hub.
    pub(super) fn check_engine(&mut self, raw: &Layer) -> Result<(), StartError> {
        if self.engine.data_dir.is_none() {
            return Ok(());
        }
        if !cfg!(feature = "disk") {
            return Err(StartError {
                message: format!("{}: {NO_DISK_ENGINE}", raw.written("data-dir")),
                hint: HOW_TO_GET_IT.to_owned(),
            });
        }

        self.engine.written_dir = raw.written("data-dir");

        // Not refused, because a printed file names each setting, those that nobody chose, too.
        let (remember, max_age) = (self.engine.remember, self.hub.max_age);
        if !remember.is_zero() && remember < max_age && raw.get("engine-remember").is_some() {
            self.warnings.push(format!(
                "{}: events are kept for max-age, {}, because they are replayed for as long",
                raw.written("engine-remember"),
                show_time(max_age)
            ));
        }
        self.engine.remember = remember.max(max_age);
        Ok(())
    }
}
