use core::fmt;

/// Memory for the entries of a ring: a queue, of fixed size or growing.
///
/// Implemented for [`Slots`] (arrays and borrowed slices), `heapless::Deque` (feature `heapless`)
/// and `VecDeque` (feature `alloc`).
pub trait Storage<T> {
    /// Most entries that it can hold.
    fn capacity(&self) -> usize;

    /// Number of entries.
    fn len(&self) -> usize;

    /// Whether there is no entry.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at `index`; the oldest is at 0.
    fn get(&self, index: usize) -> Option<&T>;

    /// Adds an entry, which is the newest.
    ///
    /// # Errors
    ///
    /// The entry comes back if there is no room.
    fn push_back(&mut self, entry: T) -> Result<(), T>;

    /// Removes the oldest entry.
    fn pop_front(&mut self) -> Option<T>;
}

/// A queue in slots that the caller provides: an array, or a borrowed slice.
#[derive(Clone)]
pub struct Slots<B> {
    buffer: B,
    /// Index of the oldest entry; less than the length of `buffer`, or 0.
    front: usize,
    /// At most the length of `buffer`. Entries may wrap around its end.
    len: usize,
}

impl<B> Slots<B> {
    /// An empty queue, which overwrites what is in `buffer`.
    pub const fn new(buffer: B) -> Self {
        Self {
            buffer,
            front: 0,
            len: 0,
        }
    }
}

impl<T, B: AsRef<[Option<T>]> + AsMut<[Option<T>]>> Storage<T> for Slots<B> {
    fn capacity(&self) -> usize {
        self.buffer.as_ref().len()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> Option<&T> {
        let slots = self.buffer.as_ref();
        if index >= self.len {
            return None;
        }
        slots.get(wrap(self.front + index, slots.len()))?.as_ref()
    }

    fn push_back(&mut self, entry: T) -> Result<(), T> {
        let slots = self.buffer.as_mut();
        if self.len >= slots.len() {
            return Err(entry);
        }

        let back = wrap(self.front + self.len, slots.len());
        slots[back] = Some(entry);
        self.len += 1;
        Ok(())
    }

    fn pop_front(&mut self) -> Option<T> {
        let slots = self.buffer.as_mut();
        if self.len == 0 {
            return None;
        }

        let entry = slots.get_mut(self.front).and_then(Option::take);
        self.front = wrap(self.front + 1, slots.len());
        self.len -= 1;
        entry
    }
}

/// `index` wrapped into a buffer of `len` slots; it must be less than twice the length.
///
/// A remainder would be a library call on most targets without an operating system.
const fn wrap(index: usize, len: usize) -> usize {
    if index >= len { index - len } else { index }
}

impl<B> fmt::Debug for Slots<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "heapless")]
impl<T, const N: usize> Storage<T> for heapless::Deque<T, N> {
    fn capacity(&self) -> usize {
        N
    }

    fn len(&self) -> usize {
        self.iter().len()
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.get(index)
    }

    fn push_back(&mut self, entry: T) -> Result<(), T> {
        self.push_back(entry)
    }

    fn pop_front(&mut self) -> Option<T> {
        self.pop_front()
    }
}

#[cfg(feature = "alloc")]
impl<T> Storage<T> for alloc::collections::VecDeque<T> {
    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.get(index)
    }

    fn push_back(&mut self, entry: T) -> Result<(), T> {
        self.push_back(entry);
        Ok(())
    }

    fn pop_front(&mut self) -> Option<T> {
        self.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn fill_and_drain(mut storage: impl Storage<char>, room: usize) {
        let mut expected = String::new();
        assert_eq!((storage.capacity(), storage.is_empty()), (room, true));
        for (index, letter) in ('a'..='z').enumerate() {
            if storage.len() == room {
                assert_eq!(storage.push_back('!'), Err('!'));
                assert_eq!(storage.pop_front(), Some(expected.remove(0)));
            }
            assert_eq!(storage.push_back(letter), Ok(()));
            expected.push(letter);
            if index % 5 == 0 {
                assert_eq!(storage.pop_front(), Some(expected.remove(0)));
            }
            let held: String = (0..).map_while(|index| storage.get(index)).collect();
            assert_eq!((held.as_str(), storage.len()), (&*expected, expected.len()));
            assert_eq!(storage.is_empty(), expected.is_empty());
        }
    }

    #[test]
    fn every_storage_is_the_same_queue() {
        fill_and_drain(Slots::new([None; 3]), 3);
        fill_and_drain(Slots::new(&mut [None; 4][..]), 4);
        #[cfg(feature = "alloc")]
        fill_and_drain(alloc::collections::VecDeque::new(), usize::MAX);
        #[cfg(feature = "heapless")]
        fill_and_drain(heapless::Deque::<char, 3>::new(), 3);
    }
}
