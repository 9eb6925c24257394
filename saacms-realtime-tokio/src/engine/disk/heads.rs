use std::collections::HashMap;
use std::mem;

use saacms_realtime_core::ResourceKey;

/// Records in one generation of [`Heads`].
const MAX_GENERATION: usize = 8_192;

/// Where a record stands: what its next event needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The number of the record in the file.
    pub(super) record: i64,
    /// `n` of the next event.
    pub(super) next: u64,
    /// The sequence of the newest event; 0 = there is none.
    pub(super) sequence: u64,
    /// The latest time that the record has given as an ID.
    pub(super) latest_time: i64,
}

/// The heads of the records that were written last, so that a hot record is not read before each write.
///
/// Two generations instead of a list in order: a head that is used moves to the new one, and when that
/// is full, the old one is dropped. So it has at most 16,384 heads, about 4 MiB.
#[derive(Debug, Default)]
pub(super) struct Heads {
    new: HashMap<ResourceKey, Head>,
    old: HashMap<ResourceKey, Head>,
}

impl Heads {
    pub(super) fn get(&mut self, key: &ResourceKey) -> Option<Head> {
        if let Some(head) = self.new.get(key) {
            return Some(*head);
        }
        let (key, head) = self.old.remove_entry(key)?;
        self.put(key, head);
        Some(head)
    }

    pub(super) fn set(&mut self, key: &ResourceKey, head: Head) {
        match self.new.get_mut(key) {
            Some(known) => *known = head,
            None => self.put(key.clone(), head),
        }
    }

    fn put(&mut self, key: ResourceKey, head: Head) {
        if self.new.len() == MAX_GENERATION {
            self.old = mem::take(&mut self.new);
        }
        self.new.insert(key, head);
    }

    pub(super) fn remove(&mut self, key: &ResourceKey) {
        self.new.remove(key);
        self.old.remove(key);
    }

    /// Forgets all: what they say was rolled back.
    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.old.clear();
    }
}
