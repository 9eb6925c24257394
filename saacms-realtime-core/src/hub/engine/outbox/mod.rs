mod state;

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use core::task::Context;
use core::time::Duration;

use super::EngineStats;
use super::asks::Due;
use super::publishes::{Ended, Outcome};
use crate::engine::{EngineSpec, Life, NotStored, Number, Packed, Request, Ticket};
use crate::follow::Ask;
use crate::hub::sync::{Arc, AtomicBool, Mutex, MutexGuard, lock};
use crate::name::ResourceKey;
use crate::position::Position;
use crate::refusal::Refusal;
use crate::time::Instant;

pub(super) use state::NewLife;
use state::{Loss, Standing, State};

/// An engine that leaves a publish unanswered for longer counts as away.
const MAX_SILENCE: Duration = Duration::from_secs(5);

/// What a hub has for its engine, and knows of it.
///
/// Its lock is the last one: it may be taken while a topic is locked, and no other lock is taken while
/// it is held.
pub(in crate::hub) struct Outbox {
    pub(super) spec: EngineSpec,
    state: Mutex<State>,
    /// Something was added since the port was woken last.
    has_news: AtomicBool,
    /// An event could not be read, which the log does not say yet.
    has_unreadable: AtomicBool,
}

impl Outbox {
    pub(in crate::hub) fn new(spec: EngineSpec) -> Self {
        Self {
            spec,
            state: Mutex::new(State::new()),
            has_news: AtomicBool::new(false),
            has_unreadable: AtomicBool::new(false),
        }
    }

    /// Most events of a record that the engine keeps.
    pub(in crate::hub) fn keep(&self) -> usize {
        self.spec.keep
    }

    /// Whether the engine stamps events itself.
    pub(in crate::hub) fn stamps(&self) -> bool {
        self.spec.stamps
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Wakes the port if something was added. No lock may be held.
    pub(in crate::hub) fn wake(&self) {
        if !self.has_news.load(Relaxed) || !self.has_news.swap(false, Relaxed) {
            return;
        }
        let waker = self.state().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn has_news(&self) {
        self.has_news.store(true, Relaxed);
    }

    /// The place after every event of any record that the engine has reported; `None` until it was up.
    pub(in crate::hub) fn position(&self) -> Option<Position> {
        let state = self.state();
        state.life.map(|life| Position {
            epoch: life.epoch(),
            sequence: state.told,
        })
    }

    pub(super) fn life(&self) -> Option<Life> {
        self.state().life
    }

    /// The engine reported an event with this sequence.
    pub(super) fn heard_of(&self, sequence: u64) {
        let mut state = self.state();
        state.told = state.told.max(sequence);
    }

    /// The watch of a record begins. Returns the number of the connection that it is for.
    pub(super) fn watch(&self, key: &ResourceKey) -> u64 {
        let mut state = self.state();
        // An end that was not sent yet is taken back.
        if state.watches.remove(key) != Some(false) {
            state.watches.insert(key.clone(), true);
        }
        self.has_news();
        state.connection
    }

    /// The watch of a record ends, which began with this connection.
    pub(super) fn unwatch(&self, key: &ResourceKey, connection: u64) {
        let mut state = self.state();
        // An engine that came back meanwhile does not watch it.
        if connection != state.connection {
            return;
        }
        // A beginning that was not sent yet is taken back.
        if state.watches.remove(key) != Some(true) {
            state.watches.insert(key.clone(), false);
        }
        self.has_news();
    }

    /// A record is asked about.
    pub(super) fn ask(&self, key: &ResourceKey, ask: Ask, at: Instant) -> Due {
        let due = self.state().asks.push(key.clone(), ask, at);
        self.has_news();
        due
    }

    /// Nobody waits for the answer to an ask any more.
    pub(super) fn forget(&self, due: Due) {
        self.state().asks.forget(due);
    }

    /// Counts an answer. False if it is to be ignored: the ask was forgotten.
    pub(super) fn answered(
        &self,
        number: Number,
        upto: Option<u64>,
        now: Instant,
        jitter: u64,
    ) -> bool {
        let mut state = self.state();
        if !state.asks.answered(number) {
            return false;
        }

        match upto {
            Some(upto) => {
                state.told = state.told.max(upto);
                state.asks.succeeded(now);
            }
            None => state.asks.failed(now, jitter),
        }
        if state.asks.is_any_waiting() {
            self.has_news();
        }
        true
    }

    /// Sets when a record is checked, instead of `before`.
    pub(super) fn check_at(&self, key: &ResourceKey, before: Option<Instant>, at: Option<Instant>) {
        let mut state = self.state();
        if let Some(before) = before {
            state.checks.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            state.checks.insert((at, key.clone()));
            self.has_news();
        }
    }

    /// The records whose check is due.
    pub(super) fn take_checks(&self, now: Instant) -> Vec<(Instant, ResourceKey)> {
        let mut state = self.state();
        let mut due = Vec::new();
        while state.standing == Standing::Up
            && state.checks.first().is_some_and(|(at, _)| *at <= now)
        {
            due.extend(state.checks.pop_first());
        }
        due
    }

    /// The engine lost data and has not said so.
    pub(super) fn found_loss(&self) {
        let mut state = self.state();
        if state.loss == Loss::None {
            state.loss = Loss::Found;
            self.has_news();
        }
    }

    /// An event of the engine could not be read.
    pub(super) fn found_unreadable(&self) {
        self.has_unreadable.store(true, Relaxed);
    }

    /// Whether an event could not be read since the last call.
    pub(super) fn take_unreadable(&self) -> bool {
        self.has_unreadable.load(Relaxed) && self.has_unreadable.swap(false, Relaxed)
    }

    pub(super) fn count_repaired(&self) {
        self.state().counts.repaired += 1;
    }

    pub(super) fn count_refetched(&self) {
        self.state().counts.refetched += 1;
    }

    /// The engine can be reached.
    pub(super) fn up(&self, life: Life, last: u64) -> NewLife {
        let mut state = self.state();
        let new_life = state.enter(life, last);
        if state.standing != Standing::Gone {
            state.standing = Standing::Up;
        }
        if new_life == NewLife::Same && state.loss == Loss::Declared {
            // It may have gone away before it heard of the loss.
            state.loss = Loss::Found;
        }
        // It has forgotten all of that, and hears it again.
        state.connection += 1;
        state.publishes.forget_overdue();
        state.watches.clear();
        state.asks.forget_all();
        state.checks.clear();
        self.has_news();
        new_life
    }

    /// The engine cannot be reached.
    pub(super) fn down(&self, now: Instant) {
        let mut state = self.state();
        if state.standing == Standing::Up {
            state.standing = Standing::Away { since: Some(now) };
        }
        // A publish may wait for the end of its time only from here on.
        self.has_news();
    }

    /// The engine has lost data.
    pub(super) fn lost(&self, life: Life) -> NewLife {
        let mut state = self.state();
        let new_life = state.enter(life, life.lost);
        if new_life != NewLife::Same {
            state.asks.forget_all();
            self.has_news();
        }
        new_life
    }

    /// Queues a publish. Returns whether [`expire`](Self::expire) must be called anew, which learns
    /// when.
    pub(in crate::hub) fn publish(
        &self,
        key: ResourceKey,
        packed: Packed,
        now: Instant,
    ) -> Result<(Arc<Outcome>, bool), Refusal> {
        let limit = self.spec.max_event_bytes;
        if packed.as_bytes().len() > limit {
            return Err(Refusal::EventTooLarge { limit });
        }

        let mut state = self.state();
        match state.away_since(now) {
            _ if state.standing == Standing::Gone => return Err(Refusal::EngineAway),
            Some(since) if since.saturating_add(self.spec.publish_timeout) <= now => {
                return Err(Refusal::EngineAway);
            }
            Some(_) | None => {}
        }
        let outcome = state.publishes.push(key, packed, now)?;
        self.has_news();
        let is_first = !core::mem::replace(&mut state.is_timed, true);
        Ok((outcome, is_first))
    }

    /// Appends what has waited too long. Returns when there is more.
    ///
    /// The port does the same when it is polled. But the thread of an engine can hang in a call of
    /// the system, and then nobody polls it.
    pub(super) fn expire(&self, now: Instant, ended: &mut Vec<Ended>) -> Option<Instant> {
        let mut state = self.state();
        let expires = state.expire(self.spec.publish_timeout, now, ended);
        state.is_timed = expires.is_some();
        expires
    }

    /// What the engine says of a publish.
    pub(super) fn stored(&self, ticket: Ticket, result: Result<u64, NotStored>) -> Option<Ended> {
        let mut state = self.state();
        if let Ok(sequence) = result {
            state.told = state.told.max(sequence);
        }
        state.publishes.stored(ticket, result)
    }

    /// Appends what is to be sent, and what has waited too long. Returns when there is more, unless
    /// the waker of `cx` is called earlier.
    pub(super) fn poll(
        &self,
        cx: &Context<'_>,
        now: Instant,
        requests: &mut Vec<Request>,
        ended: &mut Vec<Ended>,
    ) -> Option<Instant> {
        let mut state = self.state();
        let state = &mut *state;
        // Stored before the rest is read: what is added later finds it.
        state.waker = Some(cx.waker().clone());

        let expires = state.expire(self.spec.publish_timeout, now, ended);
        if state.standing != Standing::Up {
            return expires;
        }

        // A watch precedes what is asked about its record.
        let watches = core::mem::take(&mut state.watches);
        requests.extend(watches.into_iter().map(|(key, is_watched)| {
            if is_watched {
                Request::Watch(key)
            } else {
                Request::Unwatch(key)
            }
        }));
        if state.loss == Loss::Found {
            state.loss = Loss::Declared;
            requests.push(Request::DeclareLost);
        }
        state.publishes.take(requests);
        let asks = state.asks.take(now, requests);
        let check = state.checks.first().map(|(at, _)| *at);
        [expires, asks, check].into_iter().flatten().min()
    }

    /// There is no engine any more. Returns the publishes that end with it.
    pub(super) fn close(&self) -> Vec<Ended> {
        let mut state = self.state();
        state.standing = Standing::Gone;
        state.waker = None;
        state.publishes.end_all()
    }

    pub(in crate::hub) fn stats(&self, now: Instant) -> EngineStats {
        let state = self.state();
        let oldest = state.publishes.oldest();
        let is_silent = oldest.is_some_and(|since| since.saturating_add(MAX_SILENCE) < now);
        EngineStats {
            is_up: state.standing == Standing::Up && !is_silent,
            away_since: match state.standing {
                Standing::Away { since } => since,
                Standing::Up | Standing::Gone => None,
            },
            life: state.life.map(Life::epoch),
            in_flight: state.publishes.len(),
            repaired: state.counts.repaired,
            refetched: state.counts.refetched,
            lost: state.counts.lost,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::task::Waker;

    use super::*;

    #[test]
    fn a_record_whose_last_watch_was_of_an_earlier_connection_is_watched() {
        let life = Life { number: 1, lost: 0 };
        let outbox = Outbox::new(EngineSpec {
            keep: 101,
            stamps: true,
            audit_every: None,
            max_event_bytes: 100,
            publish_timeout: Duration::from_secs(15),
        });
        let key = ResourceKey::new("posts", "1").expect("valid");
        outbox.up(life, 0);
        let connection = outbox.watch(&key);

        // The engine is back. Before the hub has got to this record, its topic is removed, and another
        // reader comes.
        outbox.up(life, 0);
        outbox.unwatch(&key, connection);
        outbox.watch(&key);
        let mut requests = Vec::new();
        let cx = Context::from_waker(Waker::noop());
        outbox.poll(&cx, Instant::ZERO, &mut requests, &mut Vec::new());
        assert!(
            matches!(&requests[..], [Request::Watch(watched)] if *watched == key),
            "{requests:?}"
        );
    }
}
