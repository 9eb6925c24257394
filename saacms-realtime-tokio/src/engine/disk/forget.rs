use std::collections::BinaryHeap;

use rusqlite::{Row as SqlRow, params};
use saacms_realtime_core::{ResourceKey, Timestamp};

use super::row::{Row, places};
use super::{Store, StoreError};

/// Sweeps until every record was looked at once: an hour of them, one a second.
const SWEEPS_PER_ROUND: i64 = 3_600;

/// Records that are forgotten at once to make room.
const MAX_FORGOTTEN: usize = 1_000;

/// How far the search for old records has come.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The number of the last record that was looked at.
    after: i64,
}

/// A record that may be forgotten.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// A sequence that its newest event has at least: the last one that was noted.
    newest: u64,
    number: i64,
    key: ResourceKey,
}

impl Store<'_> {
    /// Forgets old records, and erases what was deleted. To be called once a second: each call looks at
    /// a 3,600th of the records, and what was deleted is in no file a minute later.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the rest is done by a later call.
    pub fn tend(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.erase()?;

        let last: Option<i64> = self
            .statements
            .last_record
            .query_row([], |row| row.get(0))?;
        let last = last.unwrap_or(0);
        let from = self.sweep.after;
        let to = from + last.div_euclid(SWEEPS_PER_ROUND) + 1;
        let found = self.records_between(from, to)?;
        self.review(&found, |store, candidate, newest| {
            let is_old = store.is_old(newest, now);
            is_old && !store.is_watched(&candidate.key)
        })?;
        self.sweep.after = if to >= last { 0 } else { to };
        Ok(())
    }

    /// Forgets the records that have been idle longest and are not watched, if the file is at its
    /// limit. Returns whether there was one.
    pub(super) fn make_room(&mut self) -> Result<bool, StoreError> {
        let number = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        };
        // On a full disk nothing is gained: deleting needs room in the log.
        if number("page_count")? < number("max_page_count")? {
            return Ok(false);
        }

        // What was noted of a record may be from an hour ago. Then the note is renewed, and those that
        // are idle longest are searched for again.
        loop {
            let found = self.idlest_records()?;
            if found.is_empty() {
                return Ok(false);
            }
            let forgotten = self.review(&found, |_, _, _| true)?;
            if forgotten > 0 {
                return Ok(true);
            }
        }
    }

    /// Compares records with what was noted of them, forgets those that `is_forgettable` names by the
    /// time of their newest event, and renews the notes of the others. A record that had an event
    /// since the note is not forgotten. Returns how many were.
    fn review(
        &mut self,
        candidates: &[Candidate],
        is_forgettable: impl Fn(&Self, &Candidate, Timestamp) -> bool,
    ) -> Result<usize, StoreError> {
        let (mut old, mut outdated) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let record = self.find(&candidate.key)?;
            let Some(record) = record.filter(|record| record.number == candidate.number) else {
                return Err(StoreError::damaged("a record is not where its key is"));
            };
            let newest = self.newest_row(&record)?;
            if newest.sequence != candidate.newest {
                outdated.push((candidate, newest.sequence));
            } else if is_forgettable(self, candidate, time_of(&newest)) {
                old.push((candidate, newest.latest_time));
            }
        }
        if old.is_empty() && outdated.is_empty() {
            return Ok(0);
        }

        self.transact(|store| {
            // What is forgotten first leaves room for the notes.
            for (candidate, latest_time) in &old {
                store.forget(candidate, *latest_time)?;
            }
            for (candidate, newest) in &outdated {
                let values = params![newest.cast_signed(), candidate.number];
                store.statements.note_newest.execute(values)?;
            }
            Ok(())
        })?;
        Ok(old.len())
    }

    /// Forgets a record, within a transaction.
    fn forget(&mut self, candidate: &Candidate, latest_time: i64) -> Result<(), StoreError> {
        let (first, last) = places(candidate.number);
        self.statements
            .delete_events
            .execute(params![first, last, i64::MAX])?;
        self.statements.delete_record.execute([candidate.number])?;
        self.heads.remove(&candidate.key);

        // A record with this key that begins anew has events and times after these.
        self.meta.floor = self.meta.floor.max(candidate.newest);
        self.meta.floor_time = self.meta.floor_time.max(latest_time);
        Ok(())
    }

    fn records_between(&mut self, from: i64, to: i64) -> Result<Vec<Candidate>, StoreError> {
        let mut rows = self.statements.records_between.query([from, to])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Candidate::read(row)?);
        }
        Ok(found)
    }

    /// The records that have been idle longest and are not watched, at most 1,000.
    fn idlest_records(&mut self) -> Result<Vec<Candidate>, StoreError> {
        // The one of these that was idle for the shortest time is on top.
        let mut idlest = BinaryHeap::new();
        let mut rows = self.statements.records_between.query([0, i64::MAX])?;
        while let Some(row) = rows.next()? {
            let newest = row.get::<_, i64>(3)?.cast_unsigned();
            let is_idler = |top: &Candidate| newest < top.newest;
            if idlest.len() == MAX_FORGOTTEN && !idlest.peek().is_some_and(is_idler) {
                continue;
            }

            let candidate = Candidate::read(row)?;
            if self.watched.contains_key(&candidate.key) {
                continue;
            }
            if idlest.len() == MAX_FORGOTTEN {
                idlest.pop();
            }
            idlest.push(candidate);
        }
        Ok(idlest.into_vec())
    }
}

impl Candidate {
    /// Reads the columns `number, slug, id, newest`.
    fn read(row: &SqlRow<'_>) -> Result<Self, StoreError> {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let key = ResourceKey::new(text(1)?, text(2)?);
        Ok(Self {
            newest: row.get::<_, i64>(3)?.cast_unsigned(),
            number: row.get(0)?,
            key: key.map_err(|_| StoreError::damaged("a record has no valid key"))?,
        })
    }
}

/// When an event was stored. One that this version cannot read is as old as can be.
fn time_of(row: &Row) -> Timestamp {
    let stamp = row.packed.parse().ok().and_then(|parsed| parsed.stamp);
    stamp.map_or(Timestamp::MIN, |stamp| stamp.at)
}
