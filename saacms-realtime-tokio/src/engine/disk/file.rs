use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use saacms_realtime_core::Timestamp;
use saacms_realtime_core::engine::Life;

use super::erase::Pages;
use super::folder::open_private;
use super::meta::Meta;
use super::witness::{Seen, Witness};
use super::{Folder, Keep, OpenError, StoreError};

/// The version of the tables, and the program that they belong to.
pub(super) const VERSION: i64 = 1;
const APPLICATION_ID: i32 = 0x5341_4152;

/// Bytes of a page: few more than an event, as each commit writes whole pages.
pub(super) const PAGE_BYTES: u64 = 2_048;

/// How the file is opened. The order counts: a page size holds only before the first page is
/// written, and an exclusive file needs no index of its log on the disk if it is so from the start.
const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA page_size = 2048;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 16000;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA secure_delete = ON;
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -4096;";

/// An event is one row in a slot of its record, so that a commit writes one page for each event, and one
/// for many records. Nothing has to be deleted.
const TABLES: &str = "
    CREATE TABLE record (number INTEGER PRIMARY KEY, slug TEXT NOT NULL, id TEXT NOT NULL,
        since INTEGER NOT NULL, newest INTEGER NOT NULL, next INTEGER NOT NULL,
        oldest INTEGER NOT NULL, latest_time INTEGER NOT NULL, slots INTEGER NOT NULL, sum INTEGER NOT NULL,
        UNIQUE (slug, id));
    CREATE TABLE event (place INTEGER PRIMARY KEY, n INTEGER NOT NULL, sequence INTEGER NOT NULL,
        before INTEGER NOT NULL, packed BLOB NOT NULL, sum INTEGER NOT NULL);
    CREATE TABLE meta (life INTEGER NOT NULL, lost INTEGER NOT NULL, sequence INTEGER NOT NULL,
        floor INTEGER NOT NULL, floor_time INTEGER NOT NULL, latest_time INTEGER NOT NULL,
        deleted INTEGER NOT NULL, sum INTEGER NOT NULL)";

const ADD_META: &str = "INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const READ_META: &str = "SELECT * FROM meta";

/// The file of a history, open.
#[derive(Debug)]
pub struct File {
    pub(super) connection: Connection,
    pub(super) meta: Meta,
    pub(super) witness: Witness,
    pub(super) keep: Keep,
    /// Closed after the connection: closing it gives up SQLite's locks on the file.
    pub(super) pages: Pages,
    damage: Option<Damage>,
}

/// A file was damaged, and a new life has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// What was found.
    pub why: Box<str>,
    /// Where the file was moved to; `None` if there was none.
    pub moved_to: Option<PathBuf>,
}

impl File {
    /// Opens the history of a folder, or begins one. It is checked only as far as it is read: the rest
    /// is when it is read.
    ///
    /// A file that is damaged is moved aside, and a new life begins: [`damage`](Self::damage) says why.
    ///
    /// # Errors
    ///
    /// Any [`OpenError`] but [`OpenError::InUse`].
    pub fn open(folder: &Folder, keep: Keep, now: Timestamp) -> Result<Self, OpenError> {
        match Self::open_whole(folder, keep) {
            Err(OpenError::Store(StoreError::Damaged(why))) => {
                Self::recover(folder, keep, now, &why)
            }
            opened => opened,
        }
    }

    /// Moves the damaged file of a folder aside and begins another life. The file must be closed.
    ///
    /// The new life gives no time as an ID that the old one may have given.
    ///
    /// # Errors
    ///
    /// Any [`OpenError`] but [`OpenError::InUse`].
    pub fn recover(
        folder: &Folder,
        keep: Keep,
        now: Timestamp,
        why: &str,
    ) -> Result<Self, OpenError> {
        let latest = latest_time(&folder.history()).max(Some(now));
        let moved_to = folder.move_aside(now)?;
        let why = why.into();
        let damage = Damage { why, moved_to };
        // On a full disk this is tried again and again. What is left of each try must not be moved
        // aside, in place of the histories that are there.
        Self::begin(folder, keep, latest, damage).inspect_err(|_| folder.delete_unused())
    }

    /// Begins another life where there is no file.
    fn begin(
        folder: &Folder,
        keep: Keep,
        latest: Option<Timestamp>,
        damage: Damage,
    ) -> Result<Self, OpenError> {
        let (witness, seen) = Witness::open(&folder.witness())?;
        let latest = latest.max(seen.map(Seen::time));
        let connection = connect(&folder.history(), keep)?;
        let meta = create(&connection, latest)?;
        Ok(Self {
            connection,
            meta,
            witness,
            keep,
            pages: Pages::open(&folder.history())?,
            damage: Some(damage),
        })
    }

    /// Opens the history of a folder if it is whole, or begins one.
    pub(super) fn open_whole(folder: &Folder, keep: Keep) -> Result<Self, OpenError> {
        let (witness, seen) = Witness::open(&folder.witness())?;
        let connection = connect(&folder.history(), keep)?;
        let is_new = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
            row.get::<_, bool>(0)
        })?;
        let (meta, damage) = if is_new {
            let gone = seen.map(|_| Damage {
                why: "the file is gone, or is empty".into(),
                moved_to: None,
            });
            (create(&connection, seen.map(Seen::time))?, gone)
        } else {
            (load(&connection, seen)?, None)
        };

        Ok(Self {
            connection,
            meta,
            witness,
            keep,
            pages: Pages::open(&folder.history())?,
            damage,
        })
    }

    /// Does not wait for the disk any more, so that a power cut loses what was stored. For the test
    /// that shows that the test of power cuts can fail.
    #[doc(hidden)]
    pub fn never_sync(&self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("PRAGMA synchronous = OFF")?)
    }

    /// The life of the history.
    pub fn life(&self) -> Life {
        self.meta.life()
    }

    /// The sequence of the newest event of any record.
    pub fn last(&self) -> u64 {
        self.meta.sequence
    }

    /// Why this life has begun, if that was because the file of an earlier one was damaged.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }
}

fn connect(path: &Path, keep: Keep) -> Result<Connection, OpenError> {
    // SQLite gives its log the rights of the file.
    drop(open_private(path)?);
    // Not as a URI, in which `?` and `%` mean something, and without a mutex: it has one user.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(SETTINGS)?;

    let pages = keep.max_bytes.clamp(Keep::MIN_BYTES, Keep::MAX_BYTES) / PAGE_BYTES;
    connection.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
    Ok(connection)
}

/// Writes the tables of a new life. If the process ends meanwhile, the file is as good as new.
fn create(connection: &Connection, latest: Option<Timestamp>) -> Result<Meta, OpenError> {
    let life = connection.query_row("SELECT random()", [], |row| row.get::<_, i64>(0))?;
    let meta = Meta::new(life.cast_unsigned(), latest.unwrap_or(Timestamp::MIN));

    let transaction = connection.unchecked_transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(ADD_META, meta.columns())?;
    transaction.commit()?;
    Ok(meta)
}

/// Reads the life of a file, if it is whole.
fn load(connection: &Connection, seen: Option<Seen>) -> Result<Meta, OpenError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = pragma("user_version")?;
    let meta = read_meta(connection);
    // A flipped bit in the version would otherwise keep the program from starting.
    if version > VERSION && meta.is_err() {
        return Err(OpenError::Newer { version });
    }
    if version != VERSION || pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(StoreError::damaged("its head is of another program").into());
    }

    let meta = meta?;
    match seen {
        Some(seen) if seen.life == meta.life && seen.sequence > meta.sequence => {
            Err(StoreError::damaged("the newest events are gone").into())
        }
        _ => Ok(meta),
    }
}

fn read_meta(connection: &Connection) -> Result<Meta, StoreError> {
    let mut statement = connection.prepare(READ_META)?;
    let mut rows = statement.query([])?;
    match rows.next()? {
        Some(row) => Meta::read(row),
        None => Err(StoreError::damaged("its life is missing")),
    }
}

/// The latest time that a damaged file has given as an ID, if that can be read.
fn latest_time(path: &Path) -> Option<Timestamp> {
    // For writing, too: a log is read only by those who may write.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).ok()?;
    // The log stays as it is, for whoever looks into what happened.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .ok()?;
    connection
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE")
        .ok()?;
    let meta = read_meta(&connection).ok()?;
    Some(Timestamp::from_millis(meta.latest_time))
}
