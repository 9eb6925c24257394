use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use std::collections::HashMap;

use crate::engine::{Number, Request};
use crate::follow::Ask;
use crate::name::ResourceKey;
use crate::time::Instant;

/// Most records in one request for newest events.
const BATCH: usize = 1_000;
/// Most requests for newest events that are out at once: while they are, later asks gather in the
/// next one.
const BATCHES: usize = 2;
/// Most requests for runs that are out at once.
const RUNS: usize = 32;
/// The pause after an ask that failed: the first one, and the longest.
const RETRY_MILLIS: u64 = 250;
const MAX_RETRY_MILLIS: u64 = 5_000;

/// Where an ask waits to be sent: due at this moment, as the ask with this number.
pub(super) type Due = (Instant, Number);

/// What is to be asked, and what was asked and is not answered.
#[derive(Default)]
pub(super) struct Asks {
    next: u64,
    /// Asks for the newest event of a record: those that need not be sure, and those that must.
    newest: [BTreeMap<Due, ResourceKey>; 2],
    runs: BTreeMap<Due, Run>,
    /// The asks that are out.
    out: HashMap<Number, Sent>,
    /// How many asks of each request for newest events are out.
    batches: [usize; BATCHES],
    runs_out: usize,
    /// Nothing is asked before this moment, because an ask failed.
    paused_until: Instant,
    /// The next pause; 0 until an ask fails.
    pause_millis: u64,
}

struct Run {
    key: ResourceKey,
    from: u64,
    sure: bool,
}

enum Sent {
    InBatch(usize),
    Run,
}

impl Asks {
    /// Queues an ask about a record.
    pub(super) fn push(&mut self, key: ResourceKey, ask: Ask, at: Instant) -> Due {
        let due = (at, Number(self.next));
        self.next += 1;
        match ask {
            Ask::Newest { sure } => {
                self.newest[usize::from(sure)].insert(due, key);
            }
            Ask::Run { from, sure } => {
                self.runs.insert(due, Run { key, from, sure });
            }
        }
        due
    }

    /// Drops an ask that was not sent, because nobody needs it any more.
    pub(super) fn forget(&mut self, due: Due) {
        self.newest.iter_mut().for_each(|newest| {
            newest.remove(&due);
        });
        self.runs.remove(&due);
    }

    /// Drops all asks: the engine has forgotten those that were sent.
    pub(super) fn forget_all(&mut self) {
        *self = Self {
            next: self.next,
            ..Self::default()
        };
    }

    /// Appends the requests that are due. Returns when the next one is.
    pub(super) fn take(&mut self, now: Instant, requests: &mut Vec<Request>) -> Option<Instant> {
        if now < self.paused_until {
            return self.next_due().map(|due| due.max(self.paused_until));
        }

        for batch in 0..BATCHES {
            if self.batches[batch] == 0 {
                requests.extend(self.take_batch(batch, now));
            }
        }
        while self.runs_out < RUNS
            && let Some(entry) = self.runs.first_entry()
            && entry.key().0 <= now
        {
            let ((_, number), Run { key, from, sure }) = entry.remove_entry();
            self.out.insert(number, Sent::Run);
            self.runs_out += 1;
            requests.push(Request::Run {
                key,
                number,
                from,
                sure,
            });
        }

        // What is due and has no room is taken after an answer, which wakes.
        self.next_due().filter(|due| *due > now)
    }

    /// Counts an answer. False if the ask is not out, so that its answer is to be ignored.
    pub(super) fn answered(&mut self, number: Number) -> bool {
        match self.out.remove(&number) {
            Some(Sent::InBatch(batch)) => self.batches[batch] -= 1,
            Some(Sent::Run) => self.runs_out -= 1,
            None => return false,
        }
        true
    }

    /// An ask failed: all wait for a moment, which doubles from one time to the next.
    pub(super) fn failed(&mut self, now: Instant, jitter: u64) {
        if now < self.paused_until {
            // Asks of one request fail together, and count once.
            return;
        }
        self.pause_millis = (2 * self.pause_millis).clamp(RETRY_MILLIS, MAX_RETRY_MILLIS);
        let millis = self.pause_millis / 2 + jitter % (self.pause_millis / 2 + 1);
        self.paused_until = now.saturating_add(Duration::from_millis(millis));
    }

    /// An ask was answered with what it asked for.
    pub(super) fn succeeded(&mut self, now: Instant) {
        if now >= self.paused_until {
            self.pause_millis = 0;
        }
    }

    /// Whether an ask waits to be sent.
    pub(super) fn is_any_waiting(&self) -> bool {
        self.next_due().is_some()
    }

    fn take_batch(&mut self, batch: usize, now: Instant) -> Option<Request> {
        // Those that must be sure first: a reader waits for the answer.
        for sure in [true, false] {
            let waiting = &mut self.newest[usize::from(sure)];
            let mut of = Vec::new();
            while of.len() < BATCH
                && let Some(entry) = waiting.first_entry()
                && entry.key().0 <= now
            {
                let ((_, number), key) = entry.remove_entry();
                self.out.insert(number, Sent::InBatch(batch));
                of.push((key, number));
            }
            if !of.is_empty() {
                self.batches[batch] = of.len();
                return Some(Request::Newest { of, sure });
            }
        }
        None
    }

    fn next_due(&self) -> Option<Instant> {
        let newest = self.newest.iter().filter_map(|it| it.first_key_value());
        let newest = newest.map(|((due, _), _)| *due);
        let run = self.runs.first_key_value().map(|((due, _), _)| *due);
        newest.chain(run).min()
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    const NEWEST: Ask = Ask::Newest { sure: false };
    const RUN: Ask = Ask::Run {
        from: 0,
        sure: true,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn asks(count: usize, ask: Ask) -> (Asks, Vec<Due>) {
        let mut asks = Asks::default();
        let key = |id| ResourceKey::new("posts", &format!("{id}")).expect("valid");
        let dues = (0..count).map(|id| asks.push(key(id), ask, at(5)));
        let dues = dues.collect();
        (asks, dues)
    }

    fn take(asks: &mut Asks, now: u64) -> (Vec<usize>, Option<Instant>) {
        let mut requests = Vec::new();
        let next = asks.take(at(now), &mut requests);
        let len = |request| {
            if let Request::Newest { of, .. } = request {
                of.len()
            } else {
                1
            }
        };
        (requests.into_iter().map(len).collect(), next)
    }

    #[test]
    fn asks_leave_together_and_two_requests_are_out_at_most() {
        let (mut asks, dues) = asks(2_500, NEWEST);
        assert_eq!(take(&mut asks, 4), (Vec::new(), Some(at(5))));
        assert_eq!(take(&mut asks, 5), (std::vec![1_000, 1_000], None));
        assert!(asks.answered(dues[0].1));
        assert_eq!(take(&mut asks, 6), (Vec::new(), None));
        for (_, number) in &dues[1..1_000] {
            assert!(asks.answered(*number));
        }
        assert_eq!(take(&mut asks, 6), (std::vec![500], None));
        assert!(!asks.answered(dues[0].1), "it was answered");
    }

    #[test]
    fn thirty_two_runs_are_out_at_most() {
        let (mut asks, dues) = asks(40, RUN);
        assert_eq!(take(&mut asks, 5).0.len(), 32);
        assert!(asks.answered(dues[7].1));
        assert_eq!(take(&mut asks, 5).0.len(), 1);
    }

    #[test]
    fn after_a_failure_all_asks_wait_longer_each_time() {
        let (mut asks, dues) = asks(1, NEWEST);
        let key = ResourceKey::new("posts", "1").expect("valid");
        let (mut now, mut number) = (5, dues[0].1);
        for pause in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000] {
            assert_eq!(take(&mut asks, now).0, [1]);
            assert!(asks.answered(number));
            asks.failed(at(now), u64::MAX / 2 * 2 + 1);
            asks.failed(at(now), 0);
            (_, number) = asks.push(key.clone(), NEWEST, at(now));
            let (none, next) = take(&mut asks, now);
            let next = next.expect("it waits").as_millis();
            assert!(none.is_empty());
            assert!((now + pause / 2..=now + pause).contains(&next), "{next}");
            now = next;
        }

        assert_eq!(take(&mut asks, now).0, [1]);
        asks.succeeded(at(now));
        asks.failed(at(now), 0);
        asks.push(key, NEWEST, at(now));
        assert_eq!(take(&mut asks, now).1, Some(at(now + 125)));
    }

    #[test]
    fn an_ask_that_is_forgotten_is_not_sent_and_its_answer_not_taken() {
        let (mut asks, dues) = asks(3, NEWEST);
        asks.forget(dues[1]);
        assert_eq!(take(&mut asks, 5).0, [2]);
        asks.forget_all();
        assert!(!asks.answered(dues[0].1) && !asks.is_any_waiting());
        let key = ResourceKey::new("posts", "1").expect("valid");
        assert_ne!(asks.push(key, NEWEST, at(5)).1, dues[0].1);
    }
}
