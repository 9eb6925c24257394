use std::collections::HashMap;

use rusqlite::Connection;
use saacms_realtime_core::engine::{Life, Packed};
use saacms_realtime_core::{ResourceKey, Timestamp};

use super::erase::{Erasing, Pages};
use super::file::{File, PAGE_BYTES};
use super::forget::Sweep;
use super::meta::Meta;
use super::record::RecordCache;
use super::statements::Statements;
use super::witness::Witness;
use super::{Keep, StoreError};

/// Events that are stored in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) events: Vec<(ResourceKey, Packed)>,
    bytes: usize,
}

impl Batch {
    /// The most events of a batch.
    pub const MAX_EVENTS: usize = 1_024;
    /// The most bytes of a batch, unless it has a single event.
    pub const MAX_BYTES: usize = 4 << 20;

    /// Adds an event, unless the batch is full.
    ///
    /// # Errors
    ///
    /// The event, if there is no room for it.
    pub fn push(&mut self, key: ResourceKey, packed: Packed) -> Result<(), (ResourceKey, Packed)> {
        let bytes = self.bytes + packed.as_bytes().len();
        let is_full = self.events.len() == Self::MAX_EVENTS || bytes > Self::MAX_BYTES;
        if is_full && !self.events.is_empty() {
            return Err((key, packed));
        }

        self.bytes = bytes;
        self.events.push((key, packed));
        Ok(())
    }

    /// The events, in the order in which they were added.
    pub fn into_events(self) -> Vec<(ResourceKey, Packed)> {
        self.events
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The pages that it takes in a file, at most.
    pub(super) fn pages(&self) -> u64 {
        pages(self.events.len(), self.bytes)
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// The pages that events of so many bytes take in a file, at most: for their bytes, and where they are
/// added to the tables.
pub(super) fn pages(events: usize, bytes: usize) -> u64 {
    // A page of bytes that continue has a head of 4.
    bytes as u64 / (PAGE_BYTES - 4) + 4 * events as u64 + 16
}

/// The events of all records, in a [`File`].
///
/// - *Getters*: [`life`](Self::life), [`last`](Self::last).
/// - *Inputs*: [`watch`](Self::watch), [`unwatch`](Self::unwatch), [`publish`](Self::publish),
///   [`declare_lost`](Self::declare_lost), [`tend`](Self::tend) once a second.
/// - *Reads*: [`newest`](Self::newest), [`run`](Self::run).
///
/// A driver calls `watch` before it reads a record for a follower: a record that is not watched may be
/// forgotten between two reads, which its follower would take for a loss.
///
/// # The span of an answer
///
/// All records share one sequence, so a [`Span`](saacms_realtime_core::Span) of the whole file would
/// rise with every event of every record, and the followers of quiet records would refetch whenever
/// others are forgotten. It is a record's own instead:
///
/// - `upto` is the sequence of the last commit. A read happens between two commits, so the answer has all
///   events of the record up to there.
/// - `since` is the file's floor, the greatest sequence of all records that were forgotten, as it was
///   when this record was added, or when it began to be watched before that. A record is only ever
///   forgotten as a whole, which raises the floor to its newest event or beyond, and only while nobody
///   watches it. So whatever came after `since` is still there, but for the oldest events of a full
///   record, and those before a `deleted`.
/// - `since` does not change while the record is watched, and `since <= upto` at its first answer. So
///   `since` is never after the place that its follower has confirmed, and the rules that begin with "what
///   came since is kept" hold for every later answer.
/// - Each row has the sequence of the event before it, so that a run shows by itself whether it
///   continues what its follower has.
#[derive(Debug)]
pub struct Store<'f> {
    pub(super) connection: &'f Connection,
    pub(super) statements: Statements<'f>,
    pub(super) meta: &'f mut Meta,
    pub(super) witness: &'f mut Witness,
    pub(super) pages: &'f mut Pages,
    pub(super) keep: Keep,
    pub(super) records: RecordCache,
    /// The greatest number of a record; `None` if that is to be read.
    pub(super) last_record: Option<i64>,
    /// The records that are watched, each with the floor when it began to be.
    pub(super) watched: HashMap<ResourceKey, u64>,
    pub(super) sweep: Sweep,
    pub(super) erasing: Erasing,
}

impl<'f> Store<'f> {
    /// The store of a file.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the tables of the file are not those of this program.
    pub fn new(file: &'f mut File) -> Result<Self, StoreError> {
        let File {
            connection,
            meta,
            witness,
            pages,
            keep,
            ..
        } = file;
        let connection = &*connection;
        let mut erasing = Erasing::default();
        // The last process has ended before it was done.
        if meta.deleted > 0 {
            erasing.begin();
        }

        Ok(Self {
            connection,
            statements: Statements::prepare(connection)?,
            meta,
            witness,
            pages,
            keep: *keep,
            records: RecordCache::default(),
            last_record: None,
            watched: HashMap::new(),
            sweep: Sweep::default(),
            erasing,
        })
    }

    /// The life of the history.
    pub fn life(&self) -> Life {
        self.meta.life()
    }

    /// The sequence of the newest event of any record.
    pub fn last(&self) -> u64 {
        self.meta.sequence
    }

    /// Keeps a record for as long as it is watched.
    pub fn watch(&mut self, key: &ResourceKey) {
        let floor = self.meta.floor;
        self.watched.entry(key.clone()).or_insert(floor);
    }

    /// Lets a record be forgotten once it is old.
    pub fn unwatch(&mut self, key: &ResourceKey) {
        self.watched.remove(key);
    }

    /// Whether a record is watched.
    pub fn is_watched(&self, key: &ResourceKey) -> bool {
        self.watched.contains_key(key)
    }

    /// Whether something that was deleted is still in the file. [`tend`](Self::tend) erases it.
    pub fn is_erasing(&self) -> bool {
        !matches!(self.erasing, Erasing::Idle)
    }

    /// Begins another life, because the events of this one may be others than those that readers got:
    /// a backup was restored, or a hub has proof of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the life goes on.
    pub fn declare_lost(&mut self) -> Result<Life, StoreError> {
        let life = self
            .connection
            .query_row("SELECT random()", [], |row| row.get::<_, i64>(0))?;
        self.transact(|store| {
            store.meta.life = life.cast_unsigned();
            store.meta.lost = store.meta.sequence;
            Ok(())
        })?;
        Ok(self.life())
    }

    /// Runs `work` in a transaction, with the file's state, and waits until it is on the disk.
    ///
    /// If it fails, everything is as before.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let before = *self.meta;
        let done = self.try_transact(work);
        if done.is_err() {
            *self.meta = before;
            self.records.clear();
            self.last_record = None;
            self.roll_back()?;
        }
        done
    }

    /// Ends a transaction that has failed, unless that has ended it.
    pub(super) fn roll_back(&mut self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.statements.rollback.execute([])?;
        }
        Ok(())
    }

    fn try_transact<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // The last one, if it could not even be rolled back.
        self.roll_back()?;
        if !self.pages.is_in_place() {
            let why = "its file was deleted, moved or replaced; restart this program";
            return Err(StoreError::Failed(why.into()));
        }
        self.statements.begin.execute([])?;
        let value = work(self)?;
        self.statements.save_meta.execute(self.meta.columns())?;
        self.statements
            .commit
            .execute([])
            .map_err(|error| StoreError::from(error).at_commit())?;
        self.witness.note(self.meta);
        Ok(value)
    }

    /// Whether a time is so long ago that a record without newer events is forgotten.
    pub(super) fn is_old(&self, at: Timestamp, now: Timestamp) -> bool {
        let age = i128::from(now.as_millis()) - i128::from(at.as_millis());
        age > i128::try_from(self.keep.remember.as_millis()).unwrap_or(i128::MAX)
    }
}
