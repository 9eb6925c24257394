use rusqlite::params;
use saacms_realtime_core::engine::{Packed, Stamp};
use saacms_realtime_core::{EventType, ResourceKey, Timestamp, Told};

use super::heads::Head;
use super::row::{Row, place, places};
use super::{Batch, Store, StoreError};

impl Store<'_> {
    /// Stores a batch in one transaction, and returns its events as readers are told of them, in the
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
                Err(StoreError::Full) if self.make_room()? => {}
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
        let mut head = match self.heads.get(key) {
            Some(head) => head,
            None => self.read_head(key)?,
        };

        let parsed = packed.parse().ok();
        let has_etag = parsed.is_some_and(|parsed| parsed.etag.is_some());
        let is_deletion = parsed.is_some_and(|parsed| parsed.event_type == EventType::Deleted);
        // A time is an ID only once, and is never one that a clock before it was set back has given.
        let is_id = !has_etag && head.latest_time < now.as_millis();
        packed.stamp(Stamp { at: now, is_id });
        if is_id {
            head.latest_time = now.as_millis();
            self.meta.latest_time = self.meta.latest_time.max(now.as_millis());
        }

        self.meta.sequence += 1;
        let row = Row {
            n: head.next,
            sequence: self.meta.sequence,
            before: head.sequence,
            latest_time: head.latest_time,
            packed: packed.clone(),
        };
        self.add_row(head.record, &row, self.keep.slots())?;
        if is_deletion {
            self.delete_events_before(head.record, row.sequence)?;
        }

        head.next += 1;
        head.sequence = row.sequence;
        self.heads.set(key, head);
        Ok(row.told(self.meta.life))
    }

    fn add_row(&mut self, record: i64, row: &Row, slots: u64) -> Result<(), StoreError> {
        let place = place(record, row.n % slots);
        self.statements.add_event.execute(params![
            place,
            row.n.cast_signed(),
            row.sequence.cast_signed(),
            row.before.cast_signed(),
            row.latest_time,
            &row.packed.as_bytes()[..],
            row.sum(place),
        ])?;
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

    /// Where a record stands. One that is not in the file is added.
    fn read_head(&mut self, key: &ResourceKey) -> Result<Head, StoreError> {
        let Some(record) = self.find(key)? else {
            return self.add_record(key);
        };

        let newest = self.newest_row(&record)?;
        if record.slots != self.keep.slots() {
            self.move_events(record.number)?;
        }
        Ok(Head {
            record: record.number,
            next: newest.n + 1,
            sequence: newest.sequence,
            latest_time: newest.latest_time,
        })
    }

    fn add_record(&mut self, key: &ResourceKey) -> Result<Head, StoreError> {
        // Followers that have watched it before its first event were told this floor.
        let since = *self.watched.get(key).unwrap_or(&self.meta.floor);
        let record = self.statements.add_record.insert(params![
            key.slug(),
            key.id(),
            since.cast_signed(),
            // The event that follows in this transaction.
            (self.meta.sequence + 1).cast_signed(),
            self.keep.slots().cast_signed(),
        ])?;
        Ok(Head {
            record,
            next: 0,
            sequence: 0,
            latest_time: self.meta.floor_time,
        })
    }

    /// Moves the events of a record to the slots where they belong, because it had more or fewer slots
    /// before. Otherwise the next ones would not replace the oldest.
    fn move_events(&mut self, record: i64) -> Result<(), StoreError> {
        let slots = self.keep.slots();
        let rows = self.rows(record, 0)?;
        let (first, last) = places(record);
        self.statements
            .delete_events
            .execute(params![first, last, i64::MAX])?;

        let surplus = rows.len().saturating_sub(self.keep.slots() as usize);
        for row in &rows[surplus..] {
            self.add_row(record, row, slots)?;
        }
        self.statements
            .note_slots
            .execute(params![slots.cast_signed(), record])?;
        Ok(())
    }
}
