use core::fmt;

use super::id_clock::IdClock;
use crate::time::Timestamp;

/// Time IDs of resyncs that cannot have the ID of an event: names of one place in the sequence.
///
/// One place is enough: after another event, a resync gets a newer ID.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Markers {
    /// Number of the event that comes next at this place.
    place: u64,
    /// The newest names. The name with index `n` is at `n % MAX`.
    times: [Timestamp; Self::MAX],
    /// Names that the place was given so far.
    len: usize,
}

impl Markers {
    /// Most names that are remembered.
    pub(super) const MAX: usize = 8;

    /// A name for `place`: the current time if that is free and names are left, otherwise the last
    /// name of this place, which means the same.
    pub(super) fn name(&mut self, place: u64, wall: Timestamp, clock: &mut IdClock) -> Timestamp {
        self.move_to(place);
        let is_new = clock.is_free(wall) && self.len < Self::MAX;
        if !is_new && self.len > 0 {
            return self.times[(self.len - 1) % Self::MAX];
        }
        self.add(clock.tick(wall))
    }

    /// The current time, even if it names something already: the JavaScript plugin does the same.
    ///
    /// A time in use keeps its first meaning, so too much is replayed but never too little.
    pub(super) fn name_exactly(
        &mut self,
        place: u64,
        wall: Timestamp,
        clock: &mut IdClock,
    ) -> Timestamp {
        if !clock.is_free(wall) {
            return wall;
        }
        self.move_to(place);
        self.add(clock.tick(wall))
    }

    /// The place that `id` names.
    pub(super) fn find(&self, id: &[u8]) -> Option<u64> {
        let times = &self.times[..self.len.min(Self::MAX)];
        times
            .iter()
            .any(|time| is_text_of(id, time))
            .then_some(self.place)
    }

    /// Whether no place has a name.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the names of any other place.
    fn move_to(&mut self, place: u64) {
        if self.place != place {
            *self = Self {
                place,
                ..Self::default()
            };
        }
    }

    fn add(&mut self, time: Timestamp) -> Timestamp {
        self.times[self.len % Self::MAX] = time;
        self.len += 1;
        time
    }
}

/// Whether `value` is displayed as `text`. Compares piece by piece, so nothing is allocated.
fn is_text_of(text: &[u8], value: &impl fmt::Display) -> bool {
    struct Expect<'a>(&'a [u8]);
    impl fmt::Write for Expect<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part.as_bytes()).ok_or(fmt::Error)?;
            Ok(())
        }
    }

    let mut expect = Expect(text);
    fmt::write(&mut expect, format_args!("{value}")).is_ok() && expect.0.is_empty()
}
