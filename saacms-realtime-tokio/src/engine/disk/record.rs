use std::collections::HashMap;
use std::mem;

use rusqlite::Row as SqlRow;
use saacms_realtime_core::ResourceKey;

use super::StoreError;
use super::row::{Sum, place};

/// Records in one generation of [`RecordCache`].
const MAX_GENERATION: usize = 8_192;

/// A record as it is stored, beside its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The number that its events' places begin with.
    pub(super) number: i64,
    /// Of its events after this sequence, only the oldest were dropped.
    pub(super) since: u64,
    /// The sequence of its newest event.
    pub(super) newest: u64,
    /// How many events it has had: the newest has this `n`, less 1.
    pub(super) next: u64,
    /// `n` of its oldest event, unless that was replaced since.
    pub(super) oldest: u64,
    /// The latest time that it has given as an ID.
    pub(super) latest_time: i64,
    /// The number of slots that its events are in.
    pub(super) slots: u64,
}

impl Record {
    /// Reads the columns `number, since, newest, next, oldest, latest_time, slots, sum` of the record with
    /// this key.
    pub(super) fn read(row: &SqlRow<'_>, key: &ResourceKey) -> Result<Self, StoreError> {
        let number = |column| row.get(column).map(i64::cast_unsigned);
        let record = Self {
            number: row.get(0)?,
            since: number(1)?,
            newest: number(2)?,
            next: number(3)?,
            oldest: number(4)?,
            latest_time: row.get(5)?,
            slots: number(6)?,
        };
        if record.sum(key) != row.get::<_, i64>(7)? {
            return Err(StoreError::damaged("a record has another checksum"));
        }
        Ok(record)
    }

    /// `n` of the oldest event that it must have.
    pub(super) fn oldest_kept(&self) -> u64 {
        self.oldest.max(self.next.saturating_sub(self.slots))
    }

    /// Where its newest event is.
    pub(super) fn newest_place(&self) -> i64 {
        place(self.number, (self.next - 1) % self.slots)
    }

    pub(super) fn sum(&self, key: &ResourceKey) -> i64 {
        Sum::new()
            .add(self.number.cast_unsigned())
            .add(self.since)
            .add(self.newest)
            .add(self.next)
            .add(self.oldest)
            .add(self.latest_time.cast_unsigned())
            .add(self.slots)
            .add_bytes(key.slug().as_bytes())
            .add_bytes(key.id().as_bytes())
            .get()
            .cast_signed()
    }
}

/// The records that were used last, so that a hot one is not read before each write.
///
/// Two generations instead of a list in order: a record that is used moves to the new one, and when that
/// is full, the old one is dropped. So it has at most 16,384 records, about 4 MiB.
#[derive(Debug, Default)]
pub(super) struct RecordCache {
    new: HashMap<ResourceKey, Record>,
    old: HashMap<ResourceKey, Record>,
}

impl RecordCache {
    pub(super) fn get(&mut self, key: &ResourceKey) -> Option<Record> {
        if let Some(record) = self.new.get(key) {
            return Some(*record);
        }
        let (key, record) = self.old.remove_entry(key)?;
        self.add(key, record);
        Some(record)
    }

    pub(super) fn set(&mut self, key: &ResourceKey, record: Record) {
        match self.new.get_mut(key) {
            Some(known) => *known = record,
            None => self.add(key.clone(), record),
        }
    }

    fn add(&mut self, key: ResourceKey, record: Record) {
        if self.new.len() == MAX_GENERATION {
            self.old = mem::take(&mut self.new);
        }
        self.new.insert(key, record);
    }

    pub(super) fn remove(&mut self, key: &ResourceKey) {
        self.new.remove(key);
        self.old.remove(key);
    }

    /// Forgets all: what it has was rolled back.
    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.old.clear();
    }
}
