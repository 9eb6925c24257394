use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Entry, Ring};
use crate::time::Instant;

/// An item that was pushed somewhere else, before those that a ring holds.
pub(crate) struct Older<T> {
    pub(crate) item: T,
    pub(crate) size: usize,
    pub(crate) pushed_at: Instant,
}

/// For rings whose older items can be read from an engine.
impl<T> Ring<T, VecDeque<Entry<T>>> {
    /// Adds items before the oldest one, oldest first. They get the numbers before it, so that many
    /// must be free. Items that the ring has no room for are left out, oldest first.
    pub(crate) fn prepend(&mut self, mut older: Vec<Older<T>>, mut left_out: impl FnMut(T)) {
        debug_assert!(self.first() > older.len() as u64, "there are free numbers");
        let room = self.max_len().saturating_sub(self.storage.len());
        let kept = older.split_off(older.len().saturating_sub(room));
        older.into_iter().for_each(|it| left_out(it.item));

        // Times must rise in a ring, and those of another clock may not.
        let oldest = self.storage.front();
        let mut latest = oldest.map_or(self.latest, |oldest| oldest.pushed_at);
        for Older {
            item,
            size,
            pushed_at,
        } in kept.into_iter().rev()
        {
            latest = latest.min(pushed_at);
            self.bytes += size;
            self.storage.push_front(Entry {
                pushed_at: latest,
                size,
                item,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec;

    use super::*;
    use crate::ring::{At, Retention};

    fn ring(letters: &str) -> Ring<char, VecDeque<Entry<char>>> {
        let retention = Retention {
            max_events: 2,
            max_lag: 4,
            ..Retention::default()
        };
        let mut ring = Ring::new(VecDeque::new(), retention);
        ring.begin_at(100);
        for letter in letters.chars() {
            ring.push(letter, 1, Instant::from_millis(70_000), drop);
        }
        ring
    }

    fn older(item: char, pushed_at: u64) -> Older<char> {
        let pushed_at = Instant::from_millis(pushed_at);
        Older {
            item,
            size: 10,
            pushed_at,
        }
    }

    fn held(ring: &Ring<char, VecDeque<Entry<char>>>) -> String {
        let letter = |number| match ring.at(number) {
            At::Item(letter) => Some(*letter),
            At::Next | At::Gone => None,
        };
        (ring.first()..ring.next()).filter_map(letter).collect()
    }

    #[test]
    fn older_items_get_the_numbers_before_those_that_are_held() {
        let mut ring = ring("de");
        ring.prepend(vec![older('b', 1), older('c', 2)], |_| panic!("room"));
        assert_eq!((held(&ring).as_str(), ring.bytes()), ("bcde", 22));
        assert_eq!((ring.first(), ring.next()), (98, 102));
        assert_eq!(ring.at(99), At::Item(&'c'));
    }

    #[test]
    fn items_without_room_are_left_out_oldest_first() {
        let (mut ring, mut left_out) = (ring("de"), String::new());
        let items = vec![older('a', 1), older('b', 2), older('c', 3), older('-', 4)];
        ring.prepend(items, |item| left_out.push(item));
        assert_eq!((held(&ring).as_str(), left_out.as_str()), ("c-de", "ab"));
    }

    #[test]
    fn no_item_is_younger_than_the_one_after_it() {
        let mut ring = ring("d");
        // The clock of the engine was ahead, and went back.
        ring.prepend(vec![older('b', 90_000), older('c', 9_000)], |_| {});
        let mut evicted = String::new();
        let an_hour_later = Instant::from_millis(9_001 + 3_600_000);
        ring.evict(an_hour_later, |item| evicted.push(item));
        assert_eq!((held(&ring).as_str(), evicted.as_str()), ("d", "bc"));
    }
}
