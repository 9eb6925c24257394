use core::time::Duration;
use std::collections::BinaryHeap;
use std::time::Instant;

use rusqlite::{Row as SqlRow, params};
use saacms_realtime_core::{ResourceKey, Timestamp};

use super::record::Record;
use super::row::{Row, places};
use super::{Store, StoreError};

/// Calls of [`Store::tend`] in which each record is looked at once: an hour, at one a second.
const CALLS_PER_ROUND: i64 = 3_600;

/// Calls of the first round. Files are damaged while no process has them more often than at other times.
const CALLS_OF_FIRST_ROUND: i64 = 60;

/// Records that are read at once to be looked at.
const MAX_AT_ONCE: i64 = 64;

/// Records that are forgotten at once to make room.
const MAX_FORGOTTEN: usize = 1_000;

/// How far the look at all records has come.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The number of the last record that was looked at.
    after: i64,
    /// The number of the last record whose turn it is now; `None` if none is left.
    until: Option<i64>,
    calls_per_round: i64,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            after: 0,
            until: None,
            calls_per_round: CALLS_OF_FIRST_ROUND,
        }
    }
}

/// A record that may be forgotten, in the order in which they are.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The sequence of its newest event.
    newest: u64,
    number: i64,
    key: ResourceKey,
}

impl Store<'_> {
    /// Forgets old records, erases what was deleted, and looks for damage. To be called once a second:
    /// all records are looked at within a minute, and then once an hour; what was deleted is in no file
    /// after a minute.
    ///
    /// After about `budget`, what is left of this second's records is left to [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the rest is done by a later call.
    pub fn tend(&mut self, now: Timestamp, budget: Duration) -> Result<(), StoreError> {
        self.erase()?;

        let records = self.read_last_record()? / self.sweep.calls_per_round + 1;
        let until = self.sweep.until.unwrap_or(self.sweep.after);
        self.sweep.until = Some(until + records);
        self.resume(now, budget)
    }

    /// Whether [`tend`](Self::tend) has left something to [`resume`](Self::resume).
    pub fn is_tending(&self) -> bool {
        self.sweep.until.is_some()
    }

    /// Looks at more of the records that the last [`tend`](Self::tend) has left, for about `budget`, but
    /// at one at least.
    ///
    /// # Errors
    ///
    /// As [`tend`](Self::tend).
    pub fn resume(&mut self, now: Timestamp, budget: Duration) -> Result<(), StoreError> {
        let Some(until) = self.sweep.until else {
            return Ok(());
        };

        let began = Instant::now();
        let mut old = Vec::new();
        loop {
            let candidates = self.candidates_between(self.sweep.after, until, MAX_AT_ONCE)?;
            if candidates.is_empty() {
                break;
            }
            for candidate in candidates {
                self.sweep.after = candidate.number;
                let record = self.check(&candidate)?;
                if !self.is_watched(&candidate.key) {
                    let newest = self.newest_row(&record)?;
                    if self.is_old(time_of(&newest), now) {
                        old.push(candidate);
                    }
                }
                if began.elapsed() >= budget {
                    return self.forget_all(&old);
                }
            }
        }
        self.forget_all(&old)?;

        self.sweep.after = until;
        self.sweep.until = None;
        if until >= self.read_last_record()? {
            self.sweep = Sweep {
                after: 0,
                until: None,
                calls_per_round: CALLS_PER_ROUND,
            };
        }
        Ok(())
    }

    /// All records, each of them checked.
    pub(super) fn all_records(&mut self) -> Result<Vec<Record>, StoreError> {
        let candidates = self.candidates_between(0, i64::MAX, i64::MAX)?;
        let records = candidates.iter();
        records.map(|candidate| self.check(candidate)).collect()
    }

    /// Checks that a record is found by its key, and that its events are whole.
    fn check(&mut self, candidate: &Candidate) -> Result<Record, StoreError> {
        let Some(record) = self.find_stored(&candidate.key)? else {
            return Err(StoreError::damaged("a record is not found by its key"));
        };
        if record.number != candidate.number || record.newest != candidate.newest {
            return Err(StoreError::damaged(
                "a record is another one than its key says",
            ));
        }
        self.check_rows(&record)?;
        Ok(record)
    }

    /// Forgets the records that have been idle longest and are not watched, if the file has no room for
    /// this many pages. Returns whether there was one.
    pub(super) fn make_room(&mut self, pages: u64) -> Result<bool, StoreError> {
        let number = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        };
        let most = number("max_page_count")?;
        let room = most - number("page_count")? + number("freelist_count")?;
        let is_at_limit = room.cast_unsigned() < pages;
        // Nothing is gained on a disk that is full, as deleting needs room in the log, nor for events
        // that no file of this length can have.
        if !is_at_limit || pages > most.cast_unsigned() {
            return Ok(false);
        }

        let idlest = self.idlest_records()?;
        self.forget_all(&idlest)?;
        Ok(!idlest.is_empty())
    }

    fn forget_all(&mut self, candidates: &[Candidate]) -> Result<(), StoreError> {
        if candidates.is_empty() {
            return Ok(());
        }
        self.transact(|store| {
            candidates
                .iter()
                .try_for_each(|candidate| store.forget(candidate))
        })
    }

    /// Forgets a record, within a transaction.
    fn forget(&mut self, candidate: &Candidate) -> Result<(), StoreError> {
        let Some(record) = self.find_stored(&candidate.key)? else {
            return Err(StoreError::damaged("a record is not found by its key"));
        };
        let (first, last) = places(record.number);
        let all = params![first, last, i64::MAX];
        self.statements.delete_events.execute(all)?;
        self.statements.delete_record.execute([record.number])?;
        self.records.remove(&candidate.key);

        // If it begins anew, its events and its times come after these.
        self.meta.floor = self.meta.floor.max(record.newest);
        self.meta.floor_time = self.meta.floor_time.max(record.latest_time);
        Ok(())
    }

    /// The first `limit` records whose numbers are after `after`, up to `to`.
    fn candidates_between(
        &mut self,
        after: i64,
        to: i64,
        limit: i64,
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut rows = self.statements.records_between.query([after, to, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Candidate::read(row)?);
        }
        Ok(found)
    }

    /// The records that have been idle longest and are not watched, at most 1,000.
    fn idlest_records(&mut self) -> Result<Vec<Candidate>, StoreError> {
        // Of these, the one that was idle for the shortest time is on top.
        let mut idlest = BinaryHeap::new();
        let mut rows = self
            .statements
            .records_between
            .query([0, i64::MAX, i64::MAX])?;
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
