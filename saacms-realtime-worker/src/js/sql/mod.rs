//! The ring in the object's SQLite storage: one row per event, and one slot per replayed event.
//!
//! A row without a frame is the place of an event: it says what number and ID the event had. The row
//! in slot -1 is no event: it has the options of a host.

mod read;

use std::cell::{Cell, RefCell};

use js_sys::{Array, Uint8Array};
use saacms_realtime_core::feed::{Row, Store, StoredPlace};
use saacms_realtime_core::{Epoch, Instant, ResourceKey, Timestamp};
use wasm_bindgen::prelude::*;

pub(crate) use self::read::Wanted;
use super::platform::{Sql, Storage, member};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS saacms_realtime (
    slot INTEGER PRIMARY KEY, number INTEGER NOT NULL, pushed_at INTEGER NOT NULL,
    latest_time INTEGER, epoch TEXT NOT NULL, slug TEXT NOT NULL, record TEXT NOT NULL,
    id TEXT NOT NULL, frame BLOB NOT NULL)";

const HAS_TABLE: &str = "SELECT 1 AS one FROM sqlite_master WHERE name = 'saacms_realtime'";

/// Whether a subclass of the host, or the platform for it, keeps anything else here.
const HAS_OTHERS: &str = "SELECT 1 AS one FROM sqlite_master
    WHERE name NOT IN ('saacms_realtime', '_cf_METADATA') LIMIT 1";

/// Writes a single row. The slot is the row's address, so there is no index to keep and no row to
/// delete.
const SAVE: &str = "INSERT OR REPLACE INTO saacms_realtime VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

const STRIP: &str = "UPDATE saacms_realtime SET frame = x'' WHERE slot = ? AND number = ?";

const DELETE: &str = "DELETE FROM saacms_realtime WHERE slot >= 0";

const OPTIONS: &str = "SELECT id AS options FROM saacms_realtime WHERE slot = -1";

/// A release that does not know this row passes over it, as its epoch is none.
const KEEP_OPTIONS: &str =
    "INSERT OR REPLACE INTO saacms_realtime VALUES (-1, 0, 0, NULL, '', '', '', ?, x'')";

const DROP_OPTIONS: &str = "DELETE FROM saacms_realtime WHERE slot = -1";

/// The SQLite storage of an object.
#[derive(Debug)]
pub(crate) struct SqlStore {
    sql: Sql,
    storage: Storage,
    has_table: Cell<bool>,
    /// Whether there is a row with a frame.
    has_frames: Cell<bool>,
    /// The options of a host that are to be stored; empty if there are none.
    options: RefCell<String>,
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
            options: RefCell::default(),
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

    /// The options that an earlier life of the object was told to keep; empty if there are none.
    pub(crate) fn options(&self) -> Result<String, JsValue> {
        if !self.find_table()? {
            return Ok(String::new());
        }
        let cursor = self.exec(OPTIONS, &Array::new())?;
        let row = rows(&cursor)?.next().transpose()?;
        let options = row.and_then(|row| member(&row, "options").as_string());
        let options = options.unwrap_or_default();
        self.options.replace(options.clone());
        Ok(options)
    }

    /// Keeps the options for the object's next life, in place of those kept so far. They are stored
    /// with the first event, so a record without events stores nothing.
    pub(crate) fn keep_options(&self, options: &str) -> Result<(), JsValue> {
        if *self.options.borrow() == options {
            return Ok(());
        }
        options.clone_into(&mut self.options.borrow_mut());
        if self.has_table.get() {
            self.save_options()?;
        }
        Ok(())
    }

    fn save_options(&self) -> Result<(), JsValue> {
        let options = self.options.borrow();
        let (query, values) = if options.is_empty() {
            (DROP_OPTIONS, Array::new())
        } else {
            (KEEP_OPTIONS, Array::of1(&options.as_str().into()))
        };
        self.exec(query, &values).map(drop)
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
        if self.find_table()? {
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
            if !self.options.borrow().is_empty() {
                self.save_options()?;
            }
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

    /// Whether the table is there: the first publish creates it, so an object without events has
    /// written nothing.
    fn find_table(&self) -> Result<bool, JsValue> {
        if !self.has_table.get() {
            self.has_table.set(self.find(HAS_TABLE)?);
        }
        Ok(self.has_table.get())
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
