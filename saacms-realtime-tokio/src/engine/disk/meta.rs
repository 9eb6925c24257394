use rusqlite::Row as SqlRow;
use saacms_realtime_core::Timestamp;
use saacms_realtime_core::engine::Life;

use super::StoreError;
use super::row::Sum;

/// What the file says about itself: one row, written by each commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// Names this life of the history.
    pub(super) life: u64,
    /// Events up to here are of a life that was declared lost.
    pub(super) lost: u64,
    /// The sequence of the newest event of any record.
    pub(super) sequence: u64,
    /// The greatest sequence of all records that were forgotten.
    pub(super) floor: u64,
    /// The latest time that one of those records has given as an ID.
    pub(super) floor_time: i64,
    /// The latest time that any record has given as an ID.
    pub(super) latest_time: i64,
    /// The last event that deleted those before it, while they are still to be erased; 0 = none.
    pub(super) deleted: u64,
}

impl Meta {
    /// A new life, which gives no time up to `latest_time` as an ID.
    pub(super) fn new(life: u64, latest_time: Timestamp) -> Self {
        Self {
            life,
            lost: 0,
            sequence: 0,
            floor: 0,
            floor_time: latest_time.as_millis(),
            latest_time: latest_time.as_millis(),
            deleted: 0,
        }
    }

    /// The life of the history.
    pub(super) fn life(&self) -> Life {
        Life {
            number: self.life,
            lost: self.lost,
        }
    }

    /// Reads the columns of `meta`.
    pub(super) fn read(row: &SqlRow<'_>) -> Result<Self, StoreError> {
        let number = |column| row.get(column).map(i64::cast_unsigned);
        let meta = Self {
            life: number(0)?,
            lost: number(1)?,
            sequence: number(2)?,
            floor: number(3)?,
            floor_time: row.get(4)?,
            latest_time: row.get(5)?,
            deleted: number(6)?,
        };

        if meta.sum() != row.get::<_, i64>(7)? {
            return Err(StoreError::damaged("the life has another checksum"));
        }
        Ok(meta)
    }

    /// The columns of `meta`.
    pub(super) fn columns(&self) -> [i64; 8] {
        [
            self.life.cast_signed(),
            self.lost.cast_signed(),
            self.sequence.cast_signed(),
            self.floor.cast_signed(),
            self.floor_time,
            self.latest_time,
            self.deleted.cast_signed(),
            self.sum(),
        ]
    }

    fn sum(&self) -> i64 {
        Sum::new()
            .add(self.life)
            .add(self.lost)
            .add(self.sequence)
            .add(self.floor)
            .add(self.floor_time.cast_unsigned())
            .add(self.latest_time.cast_unsigned())
            .add(self.deleted)
            .get()
            .cast_signed()
    }
}
