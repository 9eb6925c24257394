//! The ring in the object's SQLite storage: one row per event, and one slot per replayed event.

use std::cell::Cell;

use bytes::Bytes;
use js_sys::{Array, Uint8Array};
use saacms_realtime_core::feed::{Row, Store, StoredEvent, StoredRing};
use saacms_realtime_core::sse::Frame;
use saacms_realtime_core::{Epoch, EventId, Instant, ResourceKey, Timestamp};
use wasm_bindgen::prelude::*;

use super::platform::{Sql, member};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS saacms_realtime (
    slot INTEGER PRIMARY KEY, number INTEGER NOT NULL, pushed_at INTEGER NOT NULL,
    latest_time INTEGER, epoch TEXT NOT NULL, slug TEXT NOT NULL, record TEXT NOT NULL,
    id TEXT NOT NULL, frame BLOB NOT NULL)";

const HAS_TABLE: &str = "SELECT 1 AS one FROM sqlite_master WHERE name = 'saacms_realtime'";

const LOAD: &str = "SELECT * FROM saacms_realtime ORDER BY number";

/// Writes a single row. The slot is the row's address, so there is no index to keep and no row to
/// delete.
const SAVE: &str = "INSERT OR REPLACE INTO saacms_realtime VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// The SQLite storage of an object.
#[derive(Debug)]
pub(crate) struct SqlStore {
    sql: Sql,
    has_table: Cell<bool>,
}

impl SqlStore {
    /// The storage of the object whose state is `ctx`; `None` if its class has no SQLite.
    pub(crate) fn of(ctx: &JsValue) -> Option<Self> {
        let sql = member(&member(ctx, "storage"), "sql");
        // A class without SQLite has this object too, but every use of it throws.
        let has_sql = sql.is_object() && member(&sql, "databaseSize").as_f64().is_some();
        has_sql.then(|| Self {
            sql: sql.unchecked_into(),
            has_table: Cell::new(false),
        })
    }

    /// Reads the ring back, if one was stored, and moves its events if there were more or fewer
    /// `slots` before.
    pub(crate) fn load(&self, slots: u64) -> Result<Option<StoredRing>, JsValue> {
        // The first publish creates the table, so an object without events has written nothing.
        if rows(&self.exec(HAS_TABLE, &Array::new())?)?.is_empty() {
            return Ok(None);
        }
        self.has_table.set(true);

        let mut ring: Option<StoredRing> = None;
        let mut misplaced = false;
        for row in rows(&self.exec(LOAD, &Array::new())?)? {
            let Some((slot, key, epoch, event)) = read(&row) else {
                continue;
            };

            misplaced |= slot != event.slot(slots);
            match &mut ring {
                Some(ring) if ring.epoch == epoch && ring.key == key => ring.events.push(event),
                _ => {
                    ring = Some(StoredRing {
                        key,
                        epoch,
                        events: vec![event],
                    })
                }
            }
        }

        // The number of slots has changed. Where the rows are, the next events would not replace the
        // oldest ones.
        if let Some(ring) = ring.as_mut().filter(|_| misplaced) {
            ring.truncate(slots);
            self.exec("DELETE FROM saacms_realtime", &Array::new())?;
            for row in ring.rows(slots) {
                self.save_row(row)?;
            }
        }
        Ok(ring)
    }

    /// Drops the ring that was stored, if any: the next events are not stored, and a ring that
    /// continued without them would hide a gap.
    pub(crate) fn clear(&self) -> Result<(), JsValue> {
        if rows(&self.exec(HAS_TABLE, &Array::new())?)?.is_empty() {
            return Ok(());
        }
        self.exec("DROP TABLE saacms_realtime", &Array::new())
            .map(drop)
    }

    fn save_row(&self, row: Row<'_>) -> Result<(), JsValue> {
        if !self.has_table.get() {
            self.exec(TABLE, &Array::new())?;
            self.has_table.set(true);
        }

        let Row {
            slot,
            key,
            epoch,
            event,
            ..
        } = row;

        // Numbers are exact in JavaScript up to 2^53. An epoch uses all 64 bits, so it is text.
        let latest_time = event
            .latest_time
            .map_or(JsValue::NULL, |time| (time.as_millis() as f64).into());
        let values: [JsValue; 9] = [
            (slot as f64).into(),
            (event.number as f64).into(),
            (event.pushed_at.as_millis() as f64).into(),
            latest_time,
            format!("{:x}", epoch.as_number()).into(),
            key.slug().into(),
            key.id().into(),
            event.id.as_str().into(),
            Uint8Array::from(&event.frame.as_bytes()[..]).into(),
        ];

        self.exec(SAVE, &values.iter().collect()).map(drop)
    }

    fn exec(&self, query: &str, values: &Array) -> Result<JsValue, JsValue> {
        self.sql.exec(query, values)
    }
}

impl Store for SqlStore {
    type Error = String;

    fn save(&self, row: Row<'_>) -> Result<(), String> {
        self.save_row(row).map_err(|error| {
            web_sys::console::error_2(&"saacms-realtime: an event was not stored:".into(), &error);
            format!("{error:?}")
        })
    }
}

/// The rows of a cursor.
fn rows(cursor: &JsValue) -> Result<Vec<JsValue>, JsValue> {
    let rows = js_sys::try_iter(cursor)?.ok_or("the storage answered no rows")?;
    rows.collect()
}

/// Reads a row; `None` for one that this version would not have written.
fn read(row: &JsValue) -> Option<(u64, ResourceKey, Epoch, StoredEvent)> {
    let number = |name| member(row, name).as_f64();
    let text = |name| member(row, name).as_string();
    let frame = Uint8Array::new(&member(row, "frame")).to_vec();
    let event = StoredEvent {
        number: number("number")? as u64,
        pushed_at: Instant::from_millis(number("pushed_at")? as u64),
        latest_time: number("latest_time").map(|time| Timestamp::from_millis(time as i64)),
        id: EventId::new(text("id")?).ok()?.into_boxed(),
        frame: Frame::parse(Bytes::from(frame))?,
    };

    let key = ResourceKey::new(&text("slug")?, &text("record")?).ok()?;
    let epoch = u64::from_str_radix(&text("epoch")?, 16).ok()?;
    Some((
        number("slot")? as u64,
        key,
        Epoch::from_number(epoch),
        event,
    ))
}
