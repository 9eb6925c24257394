use rusqlite::params;
use saacms_realtime_core::engine::{Packed, Stamp};
use saacms_realtime_core::{EventType, ResourceKey, Timestamp, Told};

use super::record::Record;
use super::row::{Row, place, places};
use super::{Batch, Store, StoreError};

impl Store<'_> {
    /// Stores a batch in one transaction, and returns its events as they are reported for readers, in the
    /// same order. When this returns `Ok`, they are on the disk.
    ///
    /// Each event is [stamped](Packed::stamp) with `now`. Its time may be its ID if it has no ETag,
    /// and its record never gave that time or a later one.
    ///
    /// At the limit of the file, records that are not watched and have been idle longest are forgotten
    /// first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: of the batch nothing is stored, except perhaps after [`StoreError::Unknown`].
    pub fn publish(
        &mut self,
        batch: &mut Batch,
        now: Timestamp,
    ) -> Result<Vec<Told<Packed>>, StoreError> {
        loop {
            let stored = self.transact(|store| {
                let events = batch.events.iter_mut();
                events
                    .map(|(key, packed)| store.add(key, packed, now))
                    .collect()
            });
            match stored {
                Err(StoreError::Full) if self.make_room(batch.pages())? => {}
                stored => return stored,
            }
        }
    }

    /// Adds an event, within a transaction.
    fn add(
        &mut self,
        key: &ResourceKey,
        packed: &mut Packed,
        now: Timestamp,
    ) -> Result<Told<Packed>, StoreError> {
        let found = self.find(key)?;
        let is_new = found.is_none();
        let mut record = match found {
            Some(record) => self.with_slots(record)?,
            None => self.new_record(key)?,
        };

        let parsed = packed.parse().ok();
        let has_etag = parsed.is_some_and(|parsed| parsed.etag.is_some());
        let is_deletion = parsed.is_some_and(|parsed| parsed.event_type == EventType::Deleted);
        // A time is an ID only once, and never one that a clock has given before it was set back.
        let is_id = !has_etag && record.latest_time < now.as_millis();
        packed.stamp(Stamp { at: now, is_id });
        if is_id {
            record.latest_time = now.as_millis();
            self.meta.latest_time = self.meta.latest_time.max(now.as_millis());
        }

        self.meta.sequence += 1;
        let row = Row {
            n: record.next,
            sequence: self.meta.sequence,
            before: record.newest,
            packed: packed.clone(),
        };
        record.next += 1;
        record.newest = row.sequence;
        if is_deletion {
            record.oldest = row.n;
        }
        self.save_row(&record, &row)?;
        self.save_record(key, &record, is_new)?;
        if is_deletion {
            self.delete_events_before(record.number, row.sequence)?;
        }
        Ok(row.told(self.meta.life))
    }

    fn save_row(&mut self, record: &Record, row: &Row) -> Result<(), StoreError> {
        let place = place(record.number, row.n % record.slots);
        self.statements.save_event.execute(params![
            place,
            row.n.cast_signed(),
            row.sequence.cast_signed(),
            row.before.cast_signed(),
            &row.packed.as_bytes()[..],
            row.sum(place),
        ])?;
        Ok(())
    }

    fn save_record(
        &mut self,
        key: &ResourceKey,
        record: &Record,
        is_new: bool,
    ) -> Result<(), StoreError> {
        let (newest, next) = (record.newest.cast_signed(), record.next.cast_signed());
        let (oldest, slots) = (record.oldest.cast_signed(), record.slots.cast_signed());
        let (latest_time, sum) = (record.latest_time, record.sum(key));
        if is_new {
            self.statements.add_record.execute(params![
                record.number,
                key.slug(),
                key.id(),
                record.since.cast_signed(),
                newest,
                next,
                oldest,
                latest_time,
                slots,
                sum,
            ])?;
        } else {
            let number = record.number;
            let values = params![newest, next, oldest, latest_time, slots, sum, number];
            self.statements.save_record.execute(values)?;
        }
        self.records.set(key, *record);
        Ok(())
    }

    /// Deletes the events of a record before a sequence. They are still in the file, for up to a minute.
    fn delete_events_before(&mut self, record: i64, sequence: u64) -> Result<(), StoreError> {
        let (first, last) = places(record);
        let values = params![first, last, sequence.cast_signed()];
        self.statements.delete_events.execute(values)?;
        self.meta.deleted = sequence;
        self.erasing.begin();
        Ok(())
    }

    /// A record that is not in the file.
    fn new_record(&mut self, key: &ResourceKey) -> Result<Record, StoreError> {
        let last = match self.last_record {
            Some(last) => last,
            None => self.read_last_record()?,
        };
        self.last_record = Some(last + 1);
        Ok(Record {
            number: last + 1,
            // Followers that watched it before its first event were given this floor.
            since: *self.watched.get(key).unwrap_or(&self.meta.floor),
            newest: 0,
            next: 0,
            oldest: 0,
            latest_time: self.meta.floor_time,
            slots: self.keep.slots(),
        })
    }

    /// The greatest number of a record in the file; 0 if there is none.
    pub(super) fn read_last_record(&mut self) -> Result<i64, StoreError> {
        let last: Option<i64> = self
            .statements
            .last_record
            .query_row([], |row| row.get(0))?;
        Ok(last.unwrap_or(0))
    }

    /// Moves the events of a record to the slots where they belong, if it had more or fewer slots
    /// before. Otherwise the next ones would not replace the oldest.
    fn with_slots(&mut self, record: Record) -> Result<Record, StoreError> {
        let slots = self.keep.slots();
        if record.slots == slots {
            return Ok(record);
        }

        let rows = self.rows(&record, 0)?;
        let (first, last) = places(record.number);
        let all = params![first, last, i64::MAX];
        self.statements.delete_events.execute(all)?;

        let surplus = rows.len().saturating_sub(slots as usize);
        let record = Record {
            oldest: rows[surplus].n,
            slots,
            ..record
        };
        for row in &rows[surplus..] {
            self.save_row(&record, row)?;
        }
        Ok(record)
    }
}
