//! What a history holds, for its operator.

use std::fs::{self, TryLockError};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use saacms_realtime_core::Timestamp;
use saacms_realtime_core::engine::Life;

use super::file::File;
use super::folder::{HISTORY, LOCK, LOG, WITNESS, pid};
use super::{Folder, Keep, OpenError, Store, StoreError};

/// What is in the folder of a history.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The process that has the history open; `None` = nobody has.
    pub user: Option<User>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of the log beside it, which is part of the history.
    pub log_bytes: u64,
    /// What is in them, or what is damaged.
    pub contents: Result<Contents, StoreError>,
}

/// A process that has a history open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Its number, if it could be read.
    pub pid: Option<u32>,
}

/// What is in a history that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// The life of the history.
    pub life: Life,
    /// The sequence of the newest event of any record.
    pub last: u64,
    /// Records that have events.
    pub records: u64,
    /// Events of all records.
    pub events: u64,
    /// When the oldest and the newest of them were stored, by the clock of that moment.
    pub stored: Option<(Timestamp, Timestamp)>,
}

/// How often a history that is in use is copied before it counts as too busy.
const MAX_COPIES: usize = 5;
/// Bytes of the log's header, which is another one each time that the log begins anew.
const LOG_HEADER: usize = 32;

/// Looks at the history in a folder, and changes nothing in it. Another process may have it open.
///
/// It is copied to `scratch` first, an empty folder with room for it: SQLite cannot read a log without
/// writing, and a process that has a history open lets no other read it.
///
/// # Errors
///
/// [`OpenError::Folder`] if there is no history, or it cannot be read or copied;
/// [`OpenError::Newer`]; [`OpenError::Store`] if the copy cannot be read. Damage is no error, but in
/// [`contents`](Inspection::contents).
pub fn inspect(folder: &Path, scratch: &Path) -> Result<Inspection, OpenError> {
    let user = user(folder)?;
    let (file_bytes, log_bytes) = copy(folder, scratch)?;
    let contents = match read(scratch) {
        Ok(contents) => Ok(contents),
        Err(OpenError::Store(error @ StoreError::Damaged(_))) => Err(error),
        Err(error) => return Err(error),
    };

    Ok(Inspection {
        user,
        file_bytes,
        log_bytes,
        contents,
    })
}

/// The process that has a folder locked, if there is one.
fn user(folder: &Path) -> io::Result<Option<User>> {
    let lock = match fs::File::open(folder.join(LOCK)) {
        Ok(lock) => lock,
        // A folder that no process has used yet: a backup, perhaps.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Only for this moment: a hub that starts meanwhile tries again.
    match lock.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(User { pid: pid(lock) })),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Copies the files of a history as of one moment. Returns the length of the file and of its log.
fn copy(from: &Path, to: &Path) -> io::Result<(u64, u64)> {
    for _ in 0..MAX_COPIES {
        let before = state(from)?;
        // In this order: the witness may be behind the log, never ahead of it.
        copy_if_there(from, to, WITNESS)?;
        let file_bytes = fs::copy(from.join(HISTORY), to.join(HISTORY))?;
        let log_bytes = copy_if_there(from, to, LOG)?;
        if state(from)? == before {
            return Ok((file_bytes, log_bytes));
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "it changes faster than it can be copied; try again when fewer events are published",
    ))
}

/// What changes whenever the log is written into the file, or begins anew. Events that are added to
/// the log change nothing: a copy has those before it, whole.
fn state(folder: &Path) -> io::Result<(u64, SystemTime, Vec<u8>)> {
    let file = fs::metadata(folder.join(HISTORY))?;
    let mut header = Vec::new();
    match fs::File::open(folder.join(LOG)) {
        Ok(log) => {
            log.take(LOG_HEADER as u64).read_to_end(&mut header)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok((file.len(), file.modified()?, header))
}

fn copy_if_there(from: &Path, to: &Path, name: &str) -> io::Result<u64> {
    match fs::copy(from.join(name), to.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        copied => copied,
    }
}

/// Reads a copy from its beginning to its end.
fn read(copy: &Path) -> Result<Contents, OpenError> {
    let folder = Folder::open(copy)?;
    let mut file = File::open_whole(&folder, Keep::default())?;
    let faults: String = file
        .connection
        .pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    if faults != "ok" {
        return Err(StoreError::Damaged(faults.into()).into());
    }

    let mut store = Store::new(&mut file)?;
    let mut contents = Contents {
        life: store.life(),
        last: store.last(),
        records: 0,
        events: 0,
        stored: None,
    };
    for record in store.all_records()? {
        contents.records += 1;
        for row in store.rows(&record, 0)? {
            contents.events += 1;
            let stamp = row.packed.parse().ok().and_then(|parsed| parsed.stamp);
            if let Some(stamp) = stamp {
                let (oldest, newest) = contents.stored.unwrap_or((stamp.at, stamp.at));
                contents.stored = Some((oldest.min(stamp.at), newest.max(stamp.at)));
            }
        }
    }
    Ok(contents)
}
