//! Reading the ring back.
//!
//! The rows of a ring are in order: their numbers rise with the slots, up to the newest event, and
//! continue lower after it. So the newest is found by a binary search, and the others are read from
//! there backwards, as far as they are needed. Reading all rows instead would cost their price at each
//! wake-up.

use bytes::Bytes;
use js_sys::{Array, Uint8Array};
use saacms_realtime_core::feed::{StoredEvent, StoredPlace, StoredRing};
use saacms_realtime_core::sse::Frame;
use saacms_realtime_core::{Epoch, EventId, Instant, ResourceKey, Timestamp};
use wasm_bindgen::prelude::*;

use super::super::platform::member;
use super::{DELETE, SqlStore, rows};

const FIRST: &str =
    "SELECT slot, number, epoch FROM saacms_realtime WHERE slot >= 0 ORDER BY slot LIMIT 1";
const LAST: &str =
    "SELECT slot, number, epoch FROM saacms_realtime WHERE slot >= 0 ORDER BY slot DESC LIMIT 1";
const AT: &str = "SELECT slot, number, epoch FROM saacms_realtime WHERE slot = ?";

/// From one slot down to another. Frames that are too old are not read.
const BACKWARDS: &str = "SELECT slot, number, pushed_at, latest_time, epoch, slug, record, id,
    CASE WHEN pushed_at >= ? THEN frame END AS frame, length(frame) AS length
    FROM saacms_realtime WHERE slot BETWEEN ? AND ? ORDER BY slot DESC";

/// What is read of a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The number of slots, which may have been another one before.
    pub(crate) slots: u64,
    /// Events from before this are too old.
    pub(crate) since: Instant,
    /// The bytes of history that an object keeps.
    pub(crate) max_bytes: usize,
}

/// Where the newest event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    /// There is no event.
    Nowhere,
    /// In this slot.
    At(u64),
    /// The rows are not those of one ring with this number of slots.
    Unknown,
}

/// A row as the search sees it.
struct Mark {
    slot: u64,
    number: u64,
    epoch: String,
}

impl SqlStore {
    /// Reads the ring back, if one was stored: the events that can be replayed, and the place before
    /// them.
    ///
    /// Reads one row more than that, and about as many as the binary logarithm of the slots.
    pub(crate) fn load(&self, wanted: Wanted) -> Result<Option<StoredRing>, JsValue> {
        self.load_back(wanted, u64::MAX)
    }

    /// Reads only the newest event back, if one was stored.
    pub(crate) fn load_newest(&self, wanted: Wanted) -> Result<Option<StoredRing>, JsValue> {
        self.load_back(wanted, 1)
    }

    fn load_back(&self, wanted: Wanted, most: u64) -> Result<Option<StoredRing>, JsValue> {
        if !self.find_table()? {
            return Ok(None);
        }
        match self.newest(wanted.slots)? {
            Newest::Nowhere => Ok(None),
            Newest::At(slot) => match self.load_from(slot, wanted, most)? {
                Some(ring) => Ok(Some(ring)),
                None => self.repair(wanted),
            },
            Newest::Unknown => self.repair(wanted),
        }
    }

    /// Finds the newest event.
    fn newest(&self, slots: u64) -> Result<Newest, JsValue> {
        let none = Array::new();
        let (Some(first), Some(last)) = (self.mark(FIRST, &none)?, self.mark(LAST, &none)?) else {
            return Ok(Newest::Nowhere);
        };
        let is_in_place = |mark: &Mark| mark.slot == mark.number % slots;
        if !is_in_place(&first) || !is_in_place(&last) || first.epoch != last.epoch {
            return Ok(Newest::Unknown);
        }
        if first.number <= last.number {
            return Ok(Newest::At(last.slot));
        }

        // The first rows have replaced older ones: the newest is the last of them.
        let (mut newest, mut end) = (first.slot, last.slot);
        while end - newest > 1 {
            let middle = newest + (end - newest) / 2;
            let mark = self.mark(AT, &Array::of1(&(middle as f64).into()))?;
            let continues = |mark: &Mark| {
                mark.number == first.number + (middle - first.slot) && mark.epoch == first.epoch
            };
            if mark.as_ref().is_some_and(continues) {
                newest = middle;
            } else {
                end = middle;
            }
        }
        Ok(Newest::At(newest))
    }

    /// The row that a query finds.
    fn mark(&self, query: &str, values: &Array) -> Result<Option<Mark>, JsValue> {
        let cursor = self.exec(query, values)?;
        let row = rows(&cursor)?.next().transpose()?;
        Ok(row.map(|row| {
            let number = |name| member(&row, name).as_f64().unwrap_or_default() as u64;
            Mark {
                slot: number("slot"),
                number: number("number"),
                epoch: member(&row, "epoch").as_string().unwrap_or_default(),
            }
        }))
    }

    /// Reads a ring from its newest event backwards, at most this many events. `None` if that event
    /// cannot be read.
    fn load_from(
        &self,
        newest: u64,
        wanted: Wanted,
        most: u64,
    ) -> Result<Option<StoredRing>, JsValue> {
        let mut ring = None;
        let mut read = 0_u64;
        // The older ones are before it, and then from the last slot down.
        for (from, to) in [(0, newest), (newest + 1, wanted.slots - 1)] {
            let values = [wanted.since.as_millis(), from, to];
            let values = values.into_iter().map(|value| JsValue::from(value as f64));
            let cursor = self.exec(BACKWARDS, &values.collect())?;
            // Row by row, as all frames together may be large.
            for row in rows(&cursor)? {
                let Some(row) = ReadRow::of(&row?) else {
                    return Ok(ring);
                };
                let known = match &mut ring {
                    Some(ring) if row.comes_before(ring, read) => ring,
                    // What is before a gap cannot be replayed.
                    Some(_) => return Ok(ring),
                    None => {
                        self.has_frames.set(row.has_frame);
                        ring.insert(StoredRing::new(
                            row.key.clone(),
                            row.epoch,
                            wanted.max_bytes,
                        ))
                    }
                };

                row.add_to(known);
                read += 1;
                // A place is known: what comes before it is too old, or too much.
                if known.place().is_some() || read == most {
                    return Ok(ring);
                }
            }
        }
        Ok(ring)
    }

    /// Reads all rows, in any order, and writes those of the newest ring again: the number of slots has
    /// changed, or other releases have left rows. Where they are, the next events would not replace the
    /// oldest ones.
    fn repair(&self, wanted: Wanted) -> Result<Option<StoredRing>, JsValue> {
        let mut ring: Option<(StoredRing, Instant)> = None;
        let since = wanted.since.as_millis() as f64;
        let values = [since, 0.0, i64::MAX as f64].map(JsValue::from);
        let cursor = self.exec(BACKWARDS, &values.iter().collect())?;
        for row in rows(&cursor)? {
            let Some(row) = ReadRow::of(&row?) else {
                continue;
            };

            // An older release that did not know this ring has begun another one. Only one counts.
            let is_same = ring
                .as_ref()
                .is_some_and(|(ring, _)| ring.epoch() == row.epoch && *ring.key() == row.key);
            let newest_at = ring.as_ref().map_or(Instant::ZERO, |(_, at)| *at);
            if !is_same {
                if ring.is_some() && row.pushed_at < newest_at {
                    continue;
                }
                let new = StoredRing::new(row.key.clone(), row.epoch, wanted.max_bytes);
                ring = Some((new, row.pushed_at));
            }

            let (ring, at) = ring.as_mut().expect("was just set");
            *at = newest_at.max(row.pushed_at);
            row.add_to(ring);
        }

        let mut ring = ring.map(|(ring, _)| ring);
        self.has_frames.set(false);
        self.exec(DELETE, &Array::new())?;
        if let Some(ring) = &mut ring {
            self.write_again(ring, wanted.slots)?;
        }
        Ok(ring)
    }

    /// Writes all rows of a ring, each into its slot.
    fn write_again(&self, ring: &mut StoredRing, slots: u64) -> Result<(), JsValue> {
        ring.truncate(slots);
        if let Some(place) = ring.place() {
            self.save_place(ring.key(), ring.epoch(), place, slots)?;
        }
        for row in ring.rows(slots) {
            self.save_row(row)?;
        }
        Ok(())
    }
}

/// A row as it was read. Its slot is not part of it, as its number says where it belongs.
struct ReadRow {
    key: ResourceKey,
    epoch: Epoch,
    pushed_at: Instant,
    place: StoredPlace,
    /// Whether a frame is stored.
    has_frame: bool,
    /// The frame; `None` if there is none, or it is too old.
    frame: Option<Frame>,
}

impl ReadRow {
    /// Reads a row; `None` for one that this version would not have written.
    fn of(row: &JsValue) -> Option<Self> {
        let number = |name| member(row, name).as_f64();
        let text = |name| member(row, name).as_string();

        let frame = member(row, "frame");
        let frame = if frame.is_object() {
            Uint8Array::new(&frame).to_vec()
        } else {
            Vec::new()
        };
        let frame = match frame.is_empty() {
            true => None,
            false => Some(Frame::parse(Bytes::from(frame))?),
        };

        let place = StoredPlace {
            number: number("number")? as u64,
            latest_time: number("latest_time").map(|time| Timestamp::from_millis(time as i64)),
            id: EventId::new(text("id")?).ok()?.into_boxed(),
        };
        let epoch = u64::from_str_radix(&text("epoch")?, 16).ok()?;
        Some(Self {
            key: ResourceKey::new(&text("slug")?, &text("record")?).ok()?,
            epoch: Epoch::from_number(epoch),
            pushed_at: Instant::from_millis(number("pushed_at")? as u64),
            place,
            has_frame: number("length")? > 0.0,
            frame,
        })
    }

    /// Whether it is the row before the newest `read` rows of a ring.
    fn comes_before(&self, ring: &StoredRing, read: u64) -> bool {
        self.epoch == ring.epoch()
            && self.key == *ring.key()
            && self.place.number + read == ring.newest()
    }

    fn add_to(self, ring: &mut StoredRing) {
        match self.frame {
            Some(frame) => ring.insert(StoredEvent {
                number: self.place.number,
                pushed_at: self.pushed_at,
                latest_time: self.place.latest_time,
                id: self.place.id,
                frame,
            }),
            None => ring.insert_place(self.place),
        }
    }
}
