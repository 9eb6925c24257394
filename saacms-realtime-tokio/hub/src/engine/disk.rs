//! The commands about a history on the disk.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use saacms_realtime_core::engine::Life;
use saacms_realtime_tokio::engine::disk::{
    Contents, File, Folder, Inspection, Keep, OpenError, Store, inspect,
};
use tempfile::TempDir;

use crate::terminal::{print, quoted};

/// Prints what is in a history. Fails if it is damaged.
pub(super) fn check(folder: &Path) -> Result<ExitCode, String> {
    let scratch = TempDir::new()
        .map_err(|error| format!("there is no folder for temporary files (TMPDIR): {error}"))?;
    let inspection = inspect(folder, scratch.path()).map_err(|error| about(folder, &error))?;

    print(&summary(folder, &inspection)).map_err(|error| error.to_string())?;
    match inspection.contents {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(_) => Ok(ExitCode::FAILURE),
    }
}

fn summary(folder: &Path, inspection: &Inspection) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, so each result is dropped.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10} {value}");
    };

    line("folder", &quoted(&folder.to_string_lossy()));
    if let Some(user) = inspection.user {
        line("state", &OpenError::InUse { pid: user.pid }.to_string());
    }
    line("file", &size(inspection.file_bytes));
    line("log", &size(inspection.log_bytes));

    match &inspection.contents {
        Ok(Contents {
            life,
            last,
            records,
            events,
            stored,
            ..
        }) => {
            line("life", &format!("{:016x}", life.number));
            line("sequence", &last.to_string());
            line("records", &records.to_string());
            line("events", &events.to_string());
            if let Some((oldest, newest)) = stored {
                line("oldest", &oldest.to_string());
                line("newest", &newest.to_string());
            }
            line("integrity", "ok");
        }
        Err(error) => line("integrity", &error.to_string()),
    }
    text
}

fn size(bytes: u64) -> String {
    let (bytes, mib) = (bytes as f64, f64::from(1 << 20));
    if bytes < mib {
        format!("{:.1} KiB", bytes / 1_024.0)
    } else {
        format!("{:.1} MiB", bytes / mib)
    }
}

/// Begins another life of a history.
pub(super) fn declare_lost(folder: &Path) -> Result<ExitCode, String> {
    let life = begin_life(folder).map_err(|error| about(folder, &error))?;
    let text = format!(
        "a new life of the history begins, {:016x}: every client refetches once\n",
        life.number
    );
    print(&text).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn begin_life(folder: &Path) -> Result<Life, OpenError> {
    // Otherwise a misspelt name would create a folder.
    if !folder.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotFound).into());
    }

    let folder = Folder::open(folder)?;
    let mut file = File::open(&folder, Keep::default(), SystemTime::now().into())?;
    // A damaged file was moved aside just now, and its life has ended with it.
    if file.damage().is_some() {
        return Ok(file.life());
    }
    Ok(Store::new(&mut file)?.declare_lost()?)
}

fn about(folder: &Path, error: &OpenError) -> String {
    let folder = folder.to_string_lossy();
    let folder = quoted(&folder);
    let OpenError::Folder(cause) = error else {
        return format!("{folder}: {error}");
    };
    if cause.kind() == io::ErrorKind::NotFound {
        format!("{folder}: there is no history; name the --data-dir of a hub")
    } else if cause.kind() == io::ErrorKind::StorageFull {
        format!(
            "{folder}: there is no room for a copy; set TMPDIR to a folder that has as much as the \
             history"
        )
    } else {
        format!("{folder}: {error}")
    }
}
