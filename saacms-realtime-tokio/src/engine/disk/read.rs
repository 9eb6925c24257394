use rusqlite::{OptionalExtension as _, params};
use saacms_realtime_core::engine::Packed;
use saacms_realtime_core::{ResourceKey, Span, Told};

use super::row::{Row, places};
use super::{Store, StoreError};

/// A record as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) number: i64,
    /// Of its events after this sequence, only the oldest were dropped.
    pub(super) since: u64,
    /// A sequence that its newest event has at least.
    pub(super) newest: u64,
    /// The number of slots that its events are in.
    pub(super) slots: u64,
}

impl Store<'_> {
    /// The newest event of a record, and the span of this answer.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn newest(
        &mut self,
        key: &ResourceKey,
    ) -> Result<(Option<Told<Packed>>, Span), StoreError> {
        let Some(record) = self.find(key)? else {
            return Ok((None, self.span_without(key)));
        };
        let newest = self.newest_row(&record)?;
        Ok((Some(newest.told(self.meta.life)), self.span_of(&record)))
    }

    /// The events of a record from a sequence on, oldest first, and the span of this answer. From 0:
    /// all that are kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn run(
        &mut self,
        key: &ResourceKey,
        from: u64,
    ) -> Result<(Vec<Told<Packed>>, Span), StoreError> {
        let Some(record) = self.find(key)? else {
            return Ok((Vec::new(), self.span_without(key)));
        };

        let rows = self.rows(record.number, from)?;
        let newest = rows.last().map_or(0, |row| row.sequence);
        if newest < record.newest && from <= record.newest {
            return Err(StoreError::damaged("the newest event of a record is gone"));
        }

        // A record with more slots before has more events than are kept.
        let surplus = rows.len().saturating_sub(self.keep.slots() as usize);
        let told = rows[surplus..].iter().map(|row| row.told(self.meta.life));
        Ok((told.collect(), self.span_of(&record)))
    }

    fn span_of(&self, record: &Record) -> Span {
        Span {
            since: record.since,
            upto: self.meta.sequence,
        }
    }

    /// The span of an answer about a record that has no events.
    fn span_without(&self, key: &ResourceKey) -> Span {
        Span {
            since: *self.watched.get(key).unwrap_or(&self.meta.floor),
            upto: self.meta.sequence,
        }
    }

    pub(super) fn find(&mut self, key: &ResourceKey) -> Result<Option<Record>, StoreError> {
        let found = self
            .statements
            .find_record
            .query_row([key.slug(), key.id()], |row| {
                Ok(Record {
                    number: row.get(0)?,
                    since: row.get::<_, i64>(1)?.cast_unsigned(),
                    newest: row.get::<_, i64>(2)?.cast_unsigned(),
                    slots: row.get::<_, i64>(3)?.cast_unsigned(),
                })
            })
            .optional()?;
        // Its numbers have no checksum, but none can be later than the last event.
        match found {
            Some(record) if record.since.max(record.newest) > self.meta.sequence + 1 => {
                Err(StoreError::damaged("a record is later than the last event"))
            }
            found => Ok(found),
        }
    }

    /// The numbers of all records.
    pub(super) fn record_numbers(&self) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.connection.prepare("SELECT number FROM record")?;
        let numbers = statement.query_map([], |row| row.get(0))?;
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    /// The newest event of a record, which has one.
    pub(super) fn newest_row(&mut self, record: &Record) -> Result<Row, StoreError> {
        let (first, last) = places(record.number);
        let place: Option<i64> = self
            .statements
            .newest_place
            .query_row([first, last], |row| row.get(0))?;

        let mut rows = self.statements.event_at.query(params![place])?;
        let row = match rows.next()? {
            Some(row) => Row::read(row)?,
            None => return Err(StoreError::damaged("a record has no event")),
        };
        if row.sequence < record.newest || row.sequence > self.meta.sequence {
            return Err(StoreError::damaged("the newest event of a record is gone"));
        }
        Ok(row)
    }

    /// The events of a record from a sequence on, oldest first, without a gap.
    pub(super) fn rows(&mut self, record: i64, from: u64) -> Result<Vec<Row>, StoreError> {
        let (first, last) = places(record);
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let mut found = self
            .statements
            .events_from
            .query(params![first, last, from])?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            rows.push(Row::read(row)?);
        }

        rows.sort_unstable_by_key(|row| row.sequence);
        let is_gap =
            |pair: &[Row]| pair[1].before != pair[0].sequence || pair[1].n != pair[0].n + 1;
        match rows.windows(2).any(is_gap) {
            true => Err(StoreError::damaged(
                "an event is missing between two others",
            )),
            false => Ok(rows),
        }
    }
}
