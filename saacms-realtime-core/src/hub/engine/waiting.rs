use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::time::Duration;

use super::outbox::Outbox;
use crate::hub::topic_cell::TopicCell;
use crate::name::{EventId, ResyncReason};
use crate::position::Position;
use crate::subscriber::Resume;
use crate::time::{Instant, Now};
use crate::topic::{Opening, without_outer_blanks};

/// A reader that is silent for this long, as the engine does not answer, is greeted all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// A reader that cannot begin before the engine has answered.
pub(in crate::hub) struct Waiting {
    /// The last event ID of its client, or the place at which it came if it named none. Without
    /// either, nobody knows what it has missed by the time it begins.
    known: Option<Box<[u8]>>,
    /// It named no ID: it is greeted with its place.
    is_new: bool,
    /// The asks about the record before it came. The answer to one of them may be too old for it.
    came: u64,
    /// It is greeted then, if it has not begun.
    pub(in crate::hub) greeted_at: Instant,
}

impl Waiting {
    /// A reader that comes now. `place` is that of the engine, read before the topic was locked.
    pub(in crate::hub) fn new(
        last_event_id: Option<&[u8]>,
        place: Option<Position>,
        now: Instant,
    ) -> Self {
        let known = match last_event_id {
            Some(id) => {
                let id = without_outer_blanks(id);
                // Of what is too long for an ID, so much as shows that.
                let len = id.len().min(EventId::<&str>::MAX_LEN + 1);
                Some(id[..len].into())
            }
            None => place.map(|place| place.to_string().into_bytes().into()),
        };
        Self {
            known,
            is_new: last_event_id.is_none(),
            came: 0,
            greeted_at: now.saturating_add(PATIENCE),
        }
    }

    /// The place that it is told as the hub drains, once: its answer may not come before its end. A
    /// client that named an ID comes back with that.
    pub(in crate::hub) fn leave(&mut self) -> Option<Position> {
        // From here on its client knows that place, as one that named it.
        if !core::mem::replace(&mut self.is_new, false) {
            return None;
        }
        Position::parse(self.known.as_deref()?)
    }
}

/// Readers of a record that an engine keeps.
impl TopicCell {
    /// Counts a reader that waits.
    pub(in crate::hub) fn add_waiting(&mut self, waiting: &mut Waiting) {
        if let Some(followed) = &mut self.followed {
            followed.waiting += 1;
            waiting.came = followed.asks;
        }
    }

    /// A reader that waited begins, or leaves.
    pub(in crate::hub) fn remove_waiting(&mut self) {
        if let Some(followed) = &mut self.followed {
            followed.waiting -= 1;
        }
    }

    /// Where a reader begins, if that is known. Otherwise the engine is asked for what is missing, and
    /// the reader is polled again after the answer.
    pub(in crate::hub) fn admit(
        &mut self,
        waiting: &Waiting,
        outbox: &Outbox,
        now: Now,
    ) -> Option<Opening> {
        let followed = self.followed.as_mut().filter(|it| it.is_open)?;
        let Some(known) = &waiting.known else {
            let resume = Resume::Lost(ResyncReason::BufferMiss);
            return Some(Opening {
                resume,
                greeting: None,
            });
        };

        let place = self.feed.position();
        let named = Position::parse(known).filter(|named| named.epoch == place.epoch);
        let is_ahead = named.is_some_and(|named| named.sequence > place.sequence);
        let mut greeting = named.filter(|_| waiting.is_new);
        if is_ahead && waiting.is_new {
            // The place of the engine is later than what is known of this record: everything after
            // the earlier one will be delivered.
            greeting = Some(place);
            let resume = Resume::At(self.feed.topic.ring().next());
            return Some(Opening { resume, greeting });
        }

        let resume = self.feed.locate(known, now.instant);
        if resume != Resume::Lost(ResyncReason::BufferMiss) {
            return Some(Opening { resume, greeting });
        }
        // The engine may have it, here or at the server that decides. History is read once for each
        // reader: if there is no memory for it, it is gone again by now.
        let is_old = |ask: Option<u64>| ask.is_none_or(|ask| ask < waiting.came);
        if !is_ahead && !followed.is_complete && is_old(followed.history_ask) {
            followed.follower.look_back();
        } else if is_old(followed.sure_ask) {
            followed.follower.make_sure();
        } else {
            return Some(Opening { resume, greeting });
        }
        followed.ask(outbox, now.instant);
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn of_a_last_event_id_that_is_too_long_a_reader_that_waits_keeps_its_beginning() {
        for (len, kept) in [(512, 512), (513, 513), (100_000, 513)] {
            let id = std::vec![b'x'; len];
            let waiting = Waiting::new(Some(&id), None, Instant::ZERO);
            assert_eq!(waiting.known.map_or(0, |known| known.len()), kept);
        }
    }
}
