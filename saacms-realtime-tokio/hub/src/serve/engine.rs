//! Where the history of the hub is: in memory, or on the disk.

use std::error::Error;

use saacms_realtime_tokio::Realtime;
#[cfg(feature = "disk")]
use saacms_realtime_tokio::engine::disk::{DiskConfig, OpenError, StartError as DiskError};

use crate::ServeError;
use crate::settings::Settings;

/// Creates the hub, and opens its history if that is on the disk.
///
/// # Errors
///
/// The folder of the history cannot be used, which is a wrong setting; or another process has it, or
/// a newer version wrote it.
pub(crate) fn open(settings: &Settings) -> Result<Realtime, ServeError> {
    #[cfg(feature = "disk")]
    if let Some(dir) = &settings.engine.data_dir {
        return on_disk(settings, dir);
    }

    let realtime = Realtime::new(settings.hub, settings.api.clone());
    Ok(realtime.map_err(Box::<dyn Error>::from)?)
}

#[cfg(feature = "disk")]
fn on_disk(settings: &Settings, dir: &std::path::Path) -> Result<Realtime, ServeError> {
    let engine = &settings.engine;
    let config = DiskConfig {
        remember: engine.remember,
        max_bytes: engine.max_bytes as u64,
        publish_timeout: engine.timeout,
        ..DiskConfig::new(dir)
    };

    let realtime = match Realtime::with_disk(settings.hub, settings.api.clone(), config) {
        Ok(realtime) => realtime,
        Err(DiskError::Open(error @ OpenError::Folder(_))) => {
            return Err(engine.unusable_dir(&error).into());
        }
        Err(error) => {
            let message = format!("{}: {error}", engine.written_dir);
            return Err(Box::<dyn Error>::from(message).into());
        }
    };
    tracing::info!(dir = %dir.display(), "the history is on the disk");
    Ok(realtime)
}

/// Whether events are refused because the disk has no room for them.
pub(super) fn is_full(realtime: &Realtime) -> bool {
    #[cfg(feature = "disk")]
    return realtime.is_disk_full();
    #[cfg(not(feature = "disk"))]
    {
        let _ = realtime;
        false
    }
}

/// Lets the history go, after everything that was published is stored.
pub(super) fn close(realtime: &Realtime) {
    #[cfg(feature = "disk")]
    realtime.close_history();
    #[cfg(not(feature = "disk"))]
    let _ = realtime;
}
