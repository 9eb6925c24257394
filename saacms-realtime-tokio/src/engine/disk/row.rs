use bytes::Bytes;
use rusqlite::Row as SqlRow;
use saacms_realtime_core::engine::Packed;
use saacms_realtime_core::{Link as ToldLink, Mark, Told};

use super::StoreError;

/// Bits of a row's place that are its slot.
const SLOT_BITS: u32 = 20;
pub(super) const MAX_SLOTS: u64 = 1 << SLOT_BITS;

/// An event as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Counts the events of its record, to choose a slot.
    pub(super) n: u64,
    /// Its number among the events of all records.
    pub(super) sequence: u64,
    /// The sequence of the event before it in its record; 0 = it was the first.
    pub(super) before: u64,
    pub(super) packed: Packed,
}

/// The numbers of a [`Row`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) n: u64,
    pub(super) sequence: u64,
    pub(super) before: u64,
}

/// Where a row of a record is: the number of the record above, the slot below.
pub(super) fn place(record: i64, slot: u64) -> i64 {
    (record << SLOT_BITS) + slot.cast_signed()
}

/// The first and the last place of a record.
pub(super) fn places(record: i64) -> (i64, i64) {
    (place(record, 0), place(record, MAX_SLOTS - 1))
}

impl Row {
    /// Reads the columns `place, n, sequence, before, packed, sum`.
    pub(super) fn read(row: &SqlRow<'_>) -> Result<Self, StoreError> {
        let Link {
            n,
            sequence,
            before,
        } = Self::read_link(row)?;
        let packed = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
        Ok(Self {
            n,
            sequence,
            before,
            packed: Packed::from_bytes(Bytes::copy_from_slice(packed)),
        })
    }

    /// [`read`](Self::read) without a copy of the event, which is checked, too.
    pub(super) fn read_link(row: &SqlRow<'_>) -> Result<Link, StoreError> {
        let number = |column| row.get(column).map(i64::cast_unsigned);
        let link = Link {
            n: number(1)?,
            sequence: number(2)?,
            before: number(3)?,
        };
        let packed = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;

        // SQLite does not notice a flipped bit in a value.
        if link.sum(row.get(0)?, packed) != row.get::<_, i64>(5)? {
            return Err(StoreError::damaged("an event has another checksum"));
        }
        Ok(link)
    }

    pub(super) fn link(&self) -> Link {
        Link {
            n: self.n,
            sequence: self.sequence,
            before: self.before,
        }
    }

    /// The checksum of the row at a place.
    pub(super) fn sum(&self, place: i64) -> i64 {
        self.link().sum(place, self.packed.as_bytes())
    }

    /// The event as it is reported for the readers of its record.
    pub(super) fn told(&self, life: u64) -> Told<Packed> {
        Told {
            mark: Mark {
                sequence: self.sequence,
                print: life,
            },
            link: match self.before {
                0 => ToldLink::First,
                sequence => ToldLink::After {
                    sequence,
                    print: Some(life),
                },
            },
            event: self.packed.clone(),
        }
    }
}

impl Link {
    fn sum(self, place: i64, packed: &[u8]) -> i64 {
        Sum::new()
            .add(place.cast_unsigned())
            .add(self.n)
            .add(self.sequence)
            .add(self.before)
            .add_bytes(packed)
            .get()
            .cast_signed()
    }
}

/// A checksum against damage, not against people: any change within eight bytes changes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum(u64);

impl Sum {
    pub(super) fn new() -> Self {
        // Not 0, or a sum of zeros would be 0: files are damaged by zeros most often. Ends with the
        // version of the tables, so that those of another version have other sums.
        Self(0x5341_4143_4d53_0001)
    }

    // Each step can be undone, so that two states which differ stay different.
    #[must_use]
    pub(super) fn add(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(mixed ^ (mixed >> 32))
    }

    #[must_use]
    pub(super) fn add_bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let sum = words
            .iter()
            .fold(self, |sum, word| sum.add(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        sum.add(u64::from_le_bytes(last)).add(bytes.len() as u64)
    }

    pub(super) fn get(self) -> u64 {
        self.0
    }
}
