use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::file::PAGE_BYTES;
use super::{Store, StoreError};

/// Calls of [`Store::tend`] between a deletion and the pass that erases what is left of it, so that
/// many deletions share a pass.
const WAIT: u32 = 10;

/// Calls of [`Store::tend`] that a pass through the file takes.
///
/// A deletion just after a pass has begun waits for the next one: 10 + 2 × 20 seconds, within a minute.
const CALLS_PER_PASS: u64 = 20;

/// Pages that are read at once.
const CHUNK: usize = 512;

/// Which part of what was deleted is still to be erased.
#[derive(Debug, Default)]
pub(super) enum Erasing {
    /// Nothing was deleted since the last pass.
    #[default]
    Idle,
    /// The next pass begins after so many calls.
    Waiting(u32),
    /// A pass goes on with this page; `again`: something was deleted since it began.
    Passing { page: u64, again: bool },
}

impl Erasing {
    /// Something was deleted.
    pub(super) fn begin(&mut self) {
        match self {
            Self::Idle => *self = Self::Waiting(WAIT),
            Self::Waiting(_) => {}
            Self::Passing { again, .. } => *again = true,
        }
    }
}

/// The file of a history, beside SQLite: to overwrite what SQLite leaves in pages.
///
/// SQLite overwrites an event that it deletes (`secure_delete`), but not every copy of it: when it
/// arranges the cells of a page anew, earlier copies stay in the part of the page that is not in use.
/// That part lies between the list of cells and the first cell, and has no meaning (SQLite's file format,
/// "B-tree Pages"), so zeros can be written there, whether the process ends meanwhile or not.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    path: PathBuf,
    /// What the path named when the file was opened.
    identity: Option<Identity>,
}

/// Tells a file from another one with the same name.
#[cfg(unix)]
type Identity = (u64, u64);
/// Elsewhere a file that is open cannot be moved or deleted.
#[cfg(not(unix))]
type Identity = ();

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            identity: identity(path),
        })
    }

    /// Whether the next process will find this file. If it was deleted, moved or replaced, what is
    /// written to it is not kept.
    pub(super) fn is_in_place(&self) -> bool {
        let found = identity(&self.path);
        found.is_some() && found == self.identity
    }

    /// Overwrites the unused parts of up to `count` pages from a page on, counted from 0. Returns the
    /// next page; `None` after the last one.
    fn erase(&mut self, from: u64, count: u64) -> io::Result<Option<u64>> {
        let end = from.saturating_add(count);
        let last = self.file.metadata()?.len() / PAGE_BYTES;
        let mut page = from;
        let mut chunk = vec![0; CHUNK * PAGE_BYTES as usize];
        while page < end.min(last) {
            let pages = (end.min(last) - page).min(CHUNK as u64);
            let bytes = &mut chunk[..(pages * PAGE_BYTES) as usize];
            self.file.seek(SeekFrom::Start(page * PAGE_BYTES))?;
            self.file.read_exact(bytes)?;
            for (index, content) in bytes.chunks_exact(PAGE_BYTES as usize).enumerate() {
                self.erase_page(page + index as u64, content)?;
            }
            page += pages;
        }
        Ok((page < last).then_some(page))
    }

    fn erase_page(&mut self, page: u64, content: &[u8]) -> io::Result<()> {
        // The first page has the head of the file before its own, and no event.
        if page == 0 {
            return Ok(());
        }
        let Some((from, to)) = unused(content) else {
            return Ok(());
        };
        let unused = &content[from..to];
        if unused.iter().any(|byte| *byte != 0) {
            self.file
                .seek(SeekFrom::Start(page * PAGE_BYTES + from as u64))?;
            self.file.write_all(&vec![0; unused.len()])?;
        }
        Ok(())
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    #[cfg(unix)]
    return Some((MetadataExt::dev(&found), MetadataExt::ino(&found)));
    #[cfg(not(unix))]
    Some(drop(found))
}

/// The part of a B-tree page that is not in use; `None` for another kind of page, which SQLite overwrites
/// as a whole.
fn unused(page: &[u8]) -> Option<(usize, usize)> {
    let number = |at: usize| usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
    // Any other page begins with the number of a page. Those are below 2^24 in files up to 32 GiB.
    let head = match page[0] {
        2 | 5 => 12,
        10 | 13 => 8,
        _ => return None,
    };
    let from = head + 2 * number(3);
    let to = number(5);
    (from <= to && to <= page.len()).then_some((from, to))
}

impl Store<'_> {
    /// Erases a part of what was deleted, from the file and from the log.
    pub(super) fn erase(&mut self) -> Result<(), StoreError> {
        match self.erasing {
            Erasing::Idle => Ok(()),
            Erasing::Waiting(0) => {
                self.erasing = Erasing::Passing {
                    page: 0,
                    again: false,
                };
                Ok(())
            }
            Erasing::Waiting(calls) => {
                self.erasing = Erasing::Waiting(calls - 1);
                Ok(())
            }
            Erasing::Passing { page, again } => self.erase_from(page, again),
        }
    }

    fn erase_from(&mut self, page: u64, again: bool) -> Result<(), StoreError> {
        // The file has all pages as they are now, and SQLite holds none of them: what is erased in the
        // file cannot come back.
        self.empty_log()?;
        self.connection.release_memory()?;

        let pages = self
            .connection
            .pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))?;
        let count = pages.cast_unsigned() / CALLS_PER_PASS + 1;
        let failed = |error: io::Error| StoreError::Failed(error.to_string().into());
        self.erasing = match self.pages.erase(page, count).map_err(failed)? {
            Some(page) => Erasing::Passing { page, again },
            None if again => Erasing::Waiting(WAIT),
            None => {
                self.transact(|store| {
                    store.meta.deleted = 0;
                    Ok(())
                })?;
                Erasing::Idle
            }
        };
        Ok(())
    }

    /// Writes the log into the file, and cuts it to nothing.
    fn empty_log(&self) -> Result<(), StoreError> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let is_busy: bool = self.connection.query_row(sql, [], |row| row.get(0))?;
        match is_busy {
            true => Err(StoreError::Failed("the log is in use".into())),
            false => Ok(()),
        }
    }
}
