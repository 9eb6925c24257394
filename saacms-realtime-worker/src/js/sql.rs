//! The ring in the object's SQLite storage: one row per event, and one slot per replayed event.
//!
//! A row without a frame is the place of an event: it says what number and ID the event had.

use std::cell::Cell;

use bytes::Bytes;
use js_sys::{Array, Uint8Array};
use saacms_realtime_core::feed::{Row, Store, StoredEvent, StoredPlace, StoredRing};
use saacms_realtime_core::sse::Frame;
use saacms_realtime_core::{Epoch, EventId, Instant, ResourceKey, Timestamp};
use wasm_bindgen::prelude::*;

use super::platform::{Sql, Storage, member};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS saacms_realtime (
    slot INTEGER PRIMARY KEY, number INTEGER NOT NULL, pushed_at INTEGER NOT NULL,
    latest_time INTEGER, epoch TEXT NOT NULL, slug TEXT NOT NULL, record TEXT NOT NULL,
    id TEXT NOT NULL, frame BLOB NOT NULL)";

const HAS_TABLE: &str = "SELECT 1 AS one FROM sqlite_master WHERE name = 'saacms_realtime'";

/// Whether a subclass of the host, or the platform for it, keeps anything else here.
const HAS_OTHERS: &str = "SELECT 1 AS one FROM sqlite_master
    WHERE name NOT IN ('saacms_realtime', '_cf_METADATA') LIMIT 1";

/// In any order: sorting would read each row twice. Frames that are too old are not read.
const LOAD: &str = "SELECT slot, number, pushed_at, latest_time, epoch, slug, record, id,
    CASE WHEN pushed_at >= ? THEN frame END AS frame, length(frame) AS length
    FROM saacms_realtime";

/// Writes a single row. The slot is the row's address, so there is no index to keep and no row to
/// delete.
const SAVE: &str = "INSERT OR REPLACE INTO saacms_realtime VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

const STRIP: &str = "UPDATE saacms_realtime SET frame = x'' WHERE slot = ? AND number = ?";

const DELETE: &str = "DELETE FROM saacms_realtime";

/// What a [`SqlStore::load`] reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The number of slots, which may have been another one before.
    pub(crate) slots: u64,
    /// Events from before this are too old.
    pub(crate) since: Instant,
    /// The bytes of history that an object keeps.
    pub(crate) max_bytes: usize,
}

/// The SQLite storage of an object.
#[derive(Debug)]
pub(crate) struct SqlStore {
    sql: Sql,
    storage: Storage,
    has_table: Cell<bool>,
    /// Whether there is a row with a frame.
    has_frames: Cell<bool>,
}

impl SqlStore {
    /// The storage of the object whose state is `ctx`; `None` if its class has no SQLite.
    pub(crate) fn of(ctx: &JsValue) -> Option<Self> {
        let storage = member(ctx, "storage");
        let sql = member(&storage, "sql");
        // A class without SQLite has this object too, but every use of it throws.
        let has_sql = sql.is_object() && member(&sql, "databaseSize").as_f64().is_some();
        has_sql.then(|| Self {
            sql: sql.unchecked_into(),
            storage: storage.unchecked_into(),
            has_table: Cell::new(false),
            has_frames: Cell::new(false),
        })
    }

    /// The storage around the tables, which has the object's alarm.
    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Whether there is an event to forget: [`load`](Self::load) has found one, or one was saved.
    pub(crate) fn has_frames(&self) -> bool {
        self.has_frames.get()
    }

    /// Reads the ring back, if one was stored, and moves its events if there were more or fewer slots
    /// before.
    pub(crate) fn load(&self, wanted: Wanted) -> Result<Option<StoredRing>, JsValue> {
        // The first publish creates the table, so an object without events has written nothing.
        if !self.find(HAS_TABLE)? {
            return Ok(None);
        }
        self.has_table.set(true);

        let mut ring: Option<(StoredRing, Instant)> = None;
        let mut misplaced = false;
        let since = [JsValue::from(wanted.since.as_millis() as f64)];
        let cursor = self.exec(LOAD, &since.iter().collect())?;
        // Row by row, as all frames together may be large.
        for row in rows(&cursor)? {
            let Some(row) = ReadRow::of(&row?) else {
                continue;
            };

            misplaced |= row.slot != row.place.slot(wanted.slots);
            if row.has_frame {
                self.has_frames.set(true);
            }
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
            match row.frame {
                Some(frame) => ring.insert(StoredEvent {
                    number: row.place.number,
                    pushed_at: row.pushed_at,
                    latest_time: row.place.latest_time,
                    id: row.place.id,
                    frame,
                }),
                None => ring.insert_place(row.place),
            }
        }

        let mut ring = ring.map(|(ring, _)| ring);
        // The number of slots has changed. Where the rows are, the next events would not replace the
        // oldest ones.
        if let Some(ring) = ring.as_mut().filter(|_| misplaced) {
            self.move_to(ring, wanted.slots)?;
        }
        Ok(ring)
    }

    /// Writes all rows of a ring again, each into its slot.
    fn move_to(&self, ring: &mut StoredRing, slots: u64) -> Result<(), JsValue> {
        ring.truncate(slots);
        self.exec(DELETE, &Array::new())?;
        if let Some(place) = ring.place() {
            self.save_place(ring.key(), ring.epoch(), place, slots)?;
        }
        for row in ring.rows(slots) {
            self.save_row(row)?;
        }
        Ok(())
    }

    /// Forgets all events but the place of the newest, which stays: its clients have missed nothing.
    pub(crate) fn forget(
        &self,
        key: &ResourceKey,
        epoch: Epoch,
        newest: &StoredPlace,
        slots: u64,
    ) -> Result<(), JsValue> {
        self.erase()?;
        self.save_place(key, epoch, newest, slots)
    }

    /// Drops the ring that was stored, if any: the next events are not stored, and a ring that
    /// continued without them would hide a gap.
    pub(crate) fn clear(&self) -> Result<(), JsValue> {
        if self.find(HAS_TABLE)? {
            self.erase()?;
        }
        Ok(())
    }

    /// Deletes all rows, and the bytes that they had in the database's file.
    fn erase(&self) -> Result<(), JsValue> {
        self.has_frames.set(false);
        self.has_table.set(false);
        // SQLite leaves what it deletes in the file until its place is used again. A new file does not
        // have it, but would not have what a subclass keeps either.
        if !self.find(HAS_OTHERS)? && self.storage.delete_all().is_ok() {
            return Ok(());
        }
        self.exec("DROP TABLE saacms_realtime", &Array::new())
            .map(drop)
    }

    fn save_row(&self, row: Row<'_>) -> Result<(), JsValue> {
        let Row {
            slot,
            key,
            epoch,
            event,
            ..
        } = row;
        self.write(
            key,
            epoch,
            &Values {
                slot,
                number: event.number,
                pushed_at: event.pushed_at,
                latest_time: event.latest_time,
                id: event.id.as_str(),
                frame: event.frame.as_bytes(),
            },
        )?;
        self.has_frames.set(true);
        Ok(())
    }

    fn save_place(
        &self,
        key: &ResourceKey,
        epoch: Epoch,
        place: &StoredPlace,
        slots: u64,
    ) -> Result<(), JsValue> {
        self.write(
            key,
            epoch,
            &Values {
                slot: place.slot(slots),
                number: place.number,
                pushed_at: Instant::ZERO,
                latest_time: place.latest_time,
                id: place.id.as_str(),
                frame: &[],
            },
        )
    }

    fn write(&self, key: &ResourceKey, epoch: Epoch, values: &Values<'_>) -> Result<(), JsValue> {
        if !self.has_table.get() {
            self.exec(TABLE, &Array::new())?;
            self.has_table.set(true);
        }

        // Numbers are exact in JavaScript up to 2^53. An epoch uses all 64 bits, so it is text.
        let latest_time = values
            .latest_time
            .map_or(JsValue::NULL, |time| (time.as_millis() as f64).into());
        let values: [JsValue; 9] = [
            (values.slot as f64).into(),
            (values.number as f64).into(),
            (values.pushed_at.as_millis() as f64).into(),
            latest_time,
            format!("{:x}", epoch.as_number()).into(),
            key.slug().into(),
            key.id().into(),
            values.id.into(),
            Uint8Array::from(values.frame).into(),
        ];

        self.exec(SAVE, &values.iter().collect()).map(drop)
    }

    /// Whether a query finds a row.
    fn find(&self, query: &str) -> Result<bool, JsValue> {
        let cursor = self.exec(query, &Array::new())?;
        Ok(rows(&cursor)?.next().is_some())
    }

    fn exec(&self, query: &str, values: &Array) -> Result<JsValue, JsValue> {
        self.sql.exec(query, values)
    }
}

/// The cells of a row besides its record and its epoch.
struct Values<'a> {
    slot: u64,
    number: u64,
    pushed_at: Instant,
    latest_time: Option<Timestamp>,
    id: &'a str,
    frame: &'a [u8],
}

impl Store for SqlStore {
    type Error = String;

    fn save(&self, row: Row<'_>) -> Result<(), String> {
        self.save_row(row).map_err(|error| {
            web_sys::console::error_2(&"saacms-realtime: an event was not stored:".into(), &error);
            format!("{error:?}")
        })
    }

    fn strip(&self, slot: u64, number: u64) {
        let values = [JsValue::from(slot as f64), (number as f64).into()];
        // A frame that stays is dropped when the ring is read back.
        if let Err(error) = self.exec(STRIP, &values.iter().collect()) {
            let text = "saacms-realtime: an event stays stored that is no longer replayed:";
            web_sys::console::warn_2(&text.into(), &error);
        }
    }
}

/// The rows of a cursor, as they are read.
fn rows(cursor: &JsValue) -> Result<js_sys::IntoIter, JsValue> {
    Ok(js_sys::try_iter(cursor)?.ok_or("the storage answered no rows")?)
}

/// A row as it was read.
struct ReadRow {
    slot: u64,
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
            slot: number("slot")? as u64,
            key: ResourceKey::new(&text("slug")?, &text("record")?).ok()?,
            epoch: Epoch::from_number(epoch),
            pushed_at: Instant::from_millis(number("pushed_at")? as u64),
            place,
            has_frame: number("length")? > 0.0,
            frame,
        })
    }
}
