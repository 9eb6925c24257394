use rusqlite::params;
use saacms_realtime_core::engine::Packed;
use saacms_realtime_core::{ResourceKey, Span, Told};

use super::record::Record;
use super::row::{Link, Row, places};
use super::{Store, StoreError};

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

        let rows = self.rows(&record, from)?;
        // A record that had more slots before has more events than are kept.
        let surplus = rows.len().saturating_sub(self.keep.slots() as usize);
        let told = rows[surplus..].iter().map(|row| row.told(self.meta.life));
        Ok((told.collect(), self.span_of(&record)))
    }

    /// Whether a record has events.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn has(&mut self, key: &ResourceKey) -> Result<bool, StoreError> {
        Ok(self.find(key)?.is_some())
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

    /// The record with this key, if it has events.
    pub(super) fn find(&mut self, key: &ResourceKey) -> Result<Option<Record>, StoreError> {
        if let Some(record) = self.records.get(key) {
            return Ok(Some(record));
        }
        let found = self.find_stored(key)?;
        if let Some(record) = found {
            self.records.set(key, record);
        }
        Ok(found)
    }

    /// [`find`](Self::find) in the file.
    pub(super) fn find_stored(&mut self, key: &ResourceKey) -> Result<Option<Record>, StoreError> {
        let mut rows = self.statements.find_record.query([key.slug(), key.id()])?;
        match rows.next()? {
            Some(row) => Record::read(row, key).map(Some),
            None => Ok(None),
        }
    }

    /// The newest event of a record.
    pub(super) fn newest_row(&mut self, record: &Record) -> Result<Row, StoreError> {
        let place = record.newest_place();
        let mut rows = self.statements.event_at.query([place])?;
        let newest = match rows.next()? {
            Some(row) => Row::read(row)?,
            None => return Err(StoreError::damaged("the newest event of a record is gone")),
        };
        match newest.sequence == record.newest {
            true => Ok(newest),
            false => Err(StoreError::damaged(
                "the newest event of a record is another one",
            )),
        }
    }

    /// The events of a record from a sequence on, oldest first, without a gap.
    pub(super) fn rows(&mut self, record: &Record, from: u64) -> Result<Vec<Row>, StoreError> {
        let (first, last) = places(record.number);
        let from_signed = i64::try_from(from).unwrap_or(i64::MAX);
        let values = params![first, last, from_signed];
        let mut found = self.statements.events_from.query(values)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            rows.push(Row::read(row)?);
        }

        rows.sort_unstable_by_key(|row| row.sequence);
        let links: Vec<Link> = rows.iter().map(Row::link).collect();
        check_links(record, &links, from)?;
        Ok(rows)
    }

    /// Reads all events of a record, and keeps none.
    pub(super) fn check_rows(&mut self, record: &Record) -> Result<(), StoreError> {
        let (first, last) = places(record.number);
        let mut found = self.statements.events_from.query(params![first, last, 0])?;
        let mut links = Vec::new();
        while let Some(row) = found.next()? {
            links.push(Row::read_link(row)?);
        }

        links.sort_unstable_by_key(|link| link.sequence);
        check_links(record, &links, 0)
    }
}

/// Checks that nothing is missing among the events of a record from a sequence on.
fn check_links(record: &Record, links: &[Link], from: u64) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (links.first(), links.last()) else {
        return match from > record.newest {
            true => Ok(()),
            false => Err(StoreError::damaged("the events of a record are gone")),
        };
    };

    let begins = first.n == record.oldest_kept() || from > 0 && first.before < from;
    let follows = |pair: &[Link]| pair[1].before == pair[0].sequence && pair[1].n == pair[0].n + 1;
    let ends = last.sequence == record.newest && last.n + 1 == record.next;
    match begins && ends && links.windows(2).all(follows) {
        true => Ok(()),
        false => Err(StoreError::damaged("an event of a record is gone")),
    }
}
