use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::HashMap;

use crate::engine::{NotStored, Packed, Request, Ticket};
use crate::hub::sync::{Arc, Mutex, lock};
use crate::name::ResourceKey;
use crate::refusal::Refusal;
use crate::time::Instant;

/// Most publishes that wait for the engine, and most bytes of them.
const MAX_PUBLISHES: usize = 10_000;
const MAX_PUBLISH_BYTES: usize = 64 << 20;

/// What a publish costs besides its event: the record's name, its entries, and its outcome.
const PUBLISH_BYTES: usize = 512;

/// What becomes of a publish: shared by its future and by the queue.
#[derive(Debug, Default)]
pub(in crate::hub) struct Outcome(Mutex<Slot>);

#[derive(Debug, Default)]
struct Slot {
    result: Option<Result<(), Refusal>>,
    waker: Option<Waker>,
}

impl Outcome {
    /// The result, or the waker is registered for it.
    pub(in crate::hub) fn poll(&self, waker: &Waker) -> Poll<Result<(), Refusal>> {
        let mut slot = lock(&self.0);
        match slot.result {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    fn resolve(&self, result: Result<(), Refusal>) {
        let mut slot = lock(&self.0);
        slot.result = Some(result);
        let waker = slot.waker.take();
        // Unlocked before the waker is called, which may poll at once.
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A publish that has ended. It is resolved when no lock is held.
#[must_use]
pub(super) struct Ended(Arc<Outcome>, Result<(), Refusal>);

impl Ended {
    pub(super) fn resolve(self) {
        self.0.resolve(self.1);
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.1.err()
    }
}

/// Publishes that wait for the engine.
#[derive(Default)]
pub(super) struct Publishes {
    next: u64,
    /// Those that were not sent yet, in the order of the calls.
    queue: VecDeque<(Ticket, ResourceKey, Packed)>,
    /// All that have no outcome, by ticket and so by age.
    waiting: BTreeMap<u64, Waiting>,
    /// The bytes of those that were refused because the engine took too long. It still has them.
    overdue: HashMap<u64, usize>,
    /// Bytes of all that wait or are overdue.
    bytes: usize,
}

struct Waiting {
    since: Instant,
    bytes: usize,
    is_sent: bool,
    outcome: Arc<Outcome>,
}

impl Publishes {
    /// How many have no outcome.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the oldest of those was submitted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, it)| it.since)
    }

    /// Queues a publish.
    pub(super) fn push(
        &mut self,
        key: ResourceKey,
        packed: Packed,
        now: Instant,
    ) -> Result<Arc<Outcome>, Refusal> {
        let bytes = packed.as_bytes().len() + PUBLISH_BYTES;
        let count = self.waiting.len() + self.overdue.len();
        if count >= MAX_PUBLISHES || self.bytes + bytes > MAX_PUBLISH_BYTES {
            return Err(Refusal::EngineBusy);
        }

        let ticket = self.next;
        self.next += 1;
        self.bytes += bytes;
        let outcome = Arc::new(Outcome::default());
        self.queue.push_back((Ticket(ticket), key, packed));
        let waiting = Waiting {
            since: now,
            bytes,
            is_sent: false,
            outcome: Arc::clone(&outcome),
        };
        self.waiting.insert(ticket, waiting);
        Ok(outcome)
    }

    /// Appends all that were not sent. [`expire`](Self::expire) comes first: it drops those that have
    /// ended.
    pub(super) fn take(&mut self, requests: &mut Vec<Request>) {
        for (ticket, key, packed) in core::mem::take(&mut self.queue) {
            if let Some(waiting) = self.waiting.get_mut(&ticket.0) {
                waiting.is_sent = true;
            }
            requests.push(Request::Publish {
                ticket,
                key,
                packed,
            });
        }
    }

    /// What the engine says of a publish; `None` if nobody waits for that.
    pub(super) fn stored(
        &mut self,
        ticket: Ticket,
        result: Result<u64, NotStored>,
    ) -> Option<Ended> {
        let result = match result {
            Ok(_) => Ok(()),
            Err(NotStored::Full) => Err(Refusal::EngineFull),
            Err(NotStored::Away) => Err(Refusal::EngineAway),
            Err(NotStored::Unknown) => Err(Refusal::MaybePublished),
            Err(NotStored::TooLarge { limit }) => Err(Refusal::EventTooLarge { limit }),
        };
        if let Some(bytes) = self.overdue.remove(&ticket.0) {
            self.bytes -= bytes;
        }
        self.end(ticket.0, result)
    }

    /// The engine has begun anew, and may never answer for what it was sent before.
    pub(super) fn forget_overdue(&mut self) {
        self.bytes -= self.overdue.values().sum::<usize>();
        self.overdue = HashMap::new();
    }

    /// Ends those that have waited for `timeout`, or all that were not sent if the engine has been away
    /// for so long. Returns when the next one ends.
    pub(super) fn expire(
        &mut self,
        timeout: Duration,
        away_since: Option<Instant>,
        now: Instant,
        ended: &mut Vec<Ended>,
    ) -> Option<Instant> {
        if away_since.is_some_and(|since| since.saturating_add(timeout) <= now) {
            ended.extend(self.end_unsent());
        }

        while let Some((&ticket, oldest)) = self.waiting.first_key_value()
            && oldest.since.saturating_add(timeout) <= now
        {
            let (refusal, bytes) = (oldest.refusal(), oldest.bytes);
            if oldest.is_sent {
                self.overdue.insert(ticket, bytes);
                self.bytes += bytes;
            }
            ended.extend(self.end(ticket, Err(refusal)));
        }
        // What was refused is not sent any more: an engine that hangs must not keep it in memory.
        while let Some((ticket, ..)) = self.queue.front()
            && !self.waiting.contains_key(&ticket.0)
        {
            self.queue.pop_front();
        }

        let oldest = self.oldest();
        let away_since = away_since.filter(|_| !self.queue.is_empty());
        let since = oldest.into_iter().chain(away_since).min();
        since.map(|since| since.saturating_add(timeout))
    }

    /// Ends all: there is no engine any more.
    pub(super) fn end_all(&mut self) -> Vec<Ended> {
        self.queue.clear();
        self.overdue.clear();
        self.bytes = 0;
        let waiting = core::mem::take(&mut self.waiting).into_values();
        let end = |it: Waiting| Ended(Arc::clone(&it.outcome), Err(it.refusal()));
        waiting.map(end).collect()
    }

    fn end_unsent(&mut self) -> Vec<Ended> {
        let queue = core::mem::take(&mut self.queue).into_iter();
        let end = |(ticket, ..): (Ticket, _, _)| self.end(ticket.0, Err(Refusal::EngineAway));
        queue.filter_map(end).collect()
    }

    fn end(&mut self, ticket: u64, result: Result<(), Refusal>) -> Option<Ended> {
        let waiting = self.waiting.remove(&ticket)?;
        self.bytes -= waiting.bytes;
        Some(Ended(waiting.outcome, result))
    }
}

impl Waiting {
    /// Why it is refused without an answer of the engine.
    fn refusal(&self) -> Refusal {
        if self.is_sent {
            Refusal::MaybePublished
        } else {
            Refusal::EngineAway
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn the_bytes_of_an_event_are_given_back_by_a_late_answer_or_by_a_new_connection() {
        let key = ResourceKey::new("posts", "1").expect("valid");
        let packed = Packed::new(&Event::deleted(key.clone()));
        let (mut publishes, second) = (Publishes::default(), Duration::from_secs(1));
        let mut tickets = Vec::new();
        for _ in 0..2 {
            let outcome = publishes.push(key.clone(), packed.clone(), Instant::ZERO);
            outcome.expect("there is room");
        }
        publishes.take(&mut tickets);
        let bytes = publishes.bytes;
        publishes.expire(second, None, Instant::from_millis(1_000), &mut Vec::new());
        assert_eq!((publishes.len(), publishes.bytes), (0, bytes));

        assert!(publishes.stored(Ticket(0), Ok(1)).is_none());
        assert_eq!(publishes.bytes, bytes / 2);
        publishes.forget_overdue();
        assert_eq!(publishes.bytes, 0);
    }

    #[test]
    fn an_event_that_was_refused_before_it_was_sent_is_not_kept() {
        let key = ResourceKey::new("posts", "1").expect("valid");
        let packed = Packed::new(&Event::deleted(key.clone()));
        let (mut publishes, second) = (Publishes::default(), Duration::from_secs(1));
        for millis in [0, 500, 900] {
            let now = Instant::from_millis(millis);
            let outcome = publishes.push(key.clone(), packed.clone(), now);
            outcome.expect("there is room");
        }

        let mut ended = Vec::new();
        let now = Instant::from_millis(1_500);
        let next = publishes.expire(second, None, now, &mut ended);
        assert_eq!(next, Some(Instant::from_millis(1_900)));
        assert_eq!((ended.len(), publishes.queue.len()), (2, 1));
    }
}
