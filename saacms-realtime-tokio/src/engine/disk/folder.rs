use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use saacms_realtime_core::Timestamp;

use super::OpenError;

pub(super) const HISTORY: &str = "history";
pub(super) const LOG: &str = "history-wal";
pub(super) const WITNESS: &str = "history.witness";
pub(super) const LOCK: &str = "lock";

/// What the name of a file that was moved aside begins with.
const DAMAGED: &str = "history.damaged-";

/// Files that were moved aside and are kept. An older one is deleted, so that a disk that fails again
/// and again does not fill up.
const MAX_DAMAGED: usize = 3;

/// How often a folder that is locked is tried, and the pause in between.
const MAX_TRIES: usize = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// The folder of a history, locked for this process.
///
/// The lock ends when the value is dropped, and when the process ends, however it does.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: fs::File,
}

impl Folder {
    /// Locks a folder. One that does not exist is created, for this user alone.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`], or [`OpenError::Folder`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        create(path)?;
        let mut lock = open_private(&path.join(LOCK))?;
        let mut tries = 1;
        while let Err(error) = lock.try_lock() {
            match error {
                // Whoever only asks whether somebody has the lock has it for a moment.
                TryLockError::WouldBlock if tries < MAX_TRIES => thread::sleep(BETWEEN_TRIES),
                TryLockError::WouldBlock => return Err(OpenError::InUse { pid: pid(lock) }),
                TryLockError::Error(error) => return Err(error.into()),
            }
            tries += 1;
        }

        // For the message of another process that finds the folder locked; nothing else reads it. On a
        // full disk it is missing, which must not keep the hub from starting.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()));

        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are free on its disk, where that is known.
    pub(super) fn bytes_free(&self) -> Option<u64> {
        #[cfg(target_os = "linux")]
        return rustix::fs::statvfs(&self.path)
            .ok()
            .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        #[cfg(not(target_os = "linux"))]
        None
    }

    pub(super) fn history(&self) -> PathBuf {
        self.path.join(HISTORY)
    }

    pub(super) fn witness(&self) -> PathBuf {
        self.path.join(WITNESS)
    }

    /// Moves the file and its log aside, and returns where to; `None` if there is no file.
    pub(super) fn move_aside(&self, now: Timestamp) -> io::Result<Option<PathBuf>> {
        // Colons are not allowed in names everywhere.
        let time = now.to_string().replace([':', '-'], "");
        let to = self.path.join(format!("{DAMAGED}{time}"));
        // The log first: if the process ends in between, the next one finds the file damaged again.
        // A file without its log could look whole.
        rename(&self.path.join(LOG), &log_of(&to))?;
        let is_moved = rename(&self.history(), &to)?;
        self.delete_oldest()?;
        Ok(is_moved.then_some(to))
    }

    /// Deletes a file in which no history has begun.
    pub(super) fn delete_unused(&self) {
        // What cannot be deleted is moved aside the next time.
        let _ = delete(&self.path.join(LOG)).and_then(|_| delete(&self.history()));
    }

    fn delete_oldest(&self) -> io::Result<()> {
        let mut damaged = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str()
                && name.starts_with(DAMAGED)
                && !name.ends_with("-wal")
            {
                damaged.push(self.path.join(name));
            }
        }

        // Their names are in the order of their times.
        damaged.sort();
        let surplus = damaged.len().saturating_sub(MAX_DAMAGED);
        for file in &damaged[..surplus] {
            delete(&log_of(file))?;
            delete(file)?;
        }
        Ok(())
    }
}

fn log_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Creates a folder, and those that it is in.
fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;

    // SQLite syncs the entries in the folder. Without its own entry, a power cut would lose the folder
    // with all that is stored in it. A parent that cannot be opened was there before.
    #[cfg(unix)]
    for parent in std::path::absolute(path)?.ancestors().skip(1) {
        if let Ok(parent) = fs::File::open(parent) {
            parent.sync_all()?;
        }
    }
    Ok(())
}

/// Opens a file to read and write it. One that does not exist is created, for this user alone: others
/// may be allowed to enter a folder that was there before.
pub(super) fn open_private(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    unless_absent(fs::rename(from, to))
}

fn delete(path: &Path) -> io::Result<bool> {
    unless_absent(fs::remove_file(path))
}

/// Whether there was something.
fn unless_absent(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The number of the process that wrote a lock file.
pub(super) fn pid(lock: fs::File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.parse().ok()
}
