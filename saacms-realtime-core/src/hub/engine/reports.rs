use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;

use super::followed::Answer;
use super::outbox::{NewLife, Outbox};
use super::publishes::Ended;
use crate::engine::{Failed, Life, Number, Packed, Report};
use crate::follow::Told;
use crate::hub::Hub;
use crate::hub::registry::TopicGuard;
use crate::hub::sync::Arc;
use crate::name::ResourceKey;
use crate::notice::Notice;
use crate::time::{Instant, Now};

/// After an engine was away, the records that were live are asked about within this time.
const SPREAD_MILLIS: u64 = 2_000;

/// Takes the reports of an engine. Every clone reports to the same hub.
///
/// Reports may come from any thread, in the order that [`engine`](crate::engine) asks for.
#[derive(Clone)]
pub struct Reporter {
    hub: Hub,
    outbox: Arc<Outbox>,
}

impl Reporter {
    pub(super) fn new(hub: Hub, outbox: Arc<Outbox>) -> Self {
        Self { hub, outbox }
    }

    /// Reports something. Readers and publishers that wait for it are woken before this returns.
    pub fn report(&self, report: Report, now: Now) {
        let (hub, outbox) = (&self.hub, &*self.outbox);
        hub.shared.observe_time(now);
        match report {
            Report::Up { life, last } => self.up(life, last, now.instant),
            Report::Down => outbox.down(now.instant),
            Report::Lost(life) => {
                if outbox.lost(life) != NewLife::Same {
                    self.each(|topic| topic.engine_lost(outbox, life, now.instant));
                }
            }
            Report::Doubt(None) => self.each(|topic| topic.doubt(outbox, now.instant)),
            Report::Doubt(Some(keys)) => {
                for key in keys {
                    hub.with_topic(&key, |topic| topic.doubt(outbox, now.instant));
                }
            }
            Report::Live(key, told) => self.live(&key, told, now),
            Report::Newest(key, number, result) => {
                let answer = result.map(|(newest, span)| {
                    let upto = newest
                        .as_ref()
                        .map_or(0, |it| it.mark.sequence)
                        .max(span.upto);
                    (Answer::Newest(newest, span), upto)
                });
                self.answered(&key, number, answer, now);
            }
            Report::Run(key, number, result) => {
                let answer = result.map(|(run, span)| {
                    let newest = run.last().map_or(0, |it| it.mark.sequence);
                    (Answer::Run(run, span), newest.max(span.upto))
                });
                self.answered(&key, number, answer, now);
            }
            Report::Stored(ticket, result) => {
                if result.is_ok() {
                    hub.count_published();
                }
                hub.end_publishes(outbox.stored(ticket, result));
            }
        }
        outbox.wake();
    }

    fn up(&self, life: Life, last: u64, now: Instant) {
        let outbox = &*self.outbox;
        outbox.up(life, last);
        self.each(|topic| {
            let millis = self.hub.jitter() % SPREAD_MILLIS;
            let later = now.saturating_add(Duration::from_millis(millis));
            topic.engine_is_up(outbox, life, now, later);
        });
    }

    fn live(&self, key: &ResourceKey, told: Told<Packed>, now: Now) {
        let outbox = &*self.outbox;
        outbox.heard_of(told.mark.sequence);
        let wakers = self.hub.with_topic(key, |topic| {
            topic.told(told, outbox, now);
            topic.take_wakers()
        });
        self.publish(wakers, now.instant);
    }

    fn answered(
        &self,
        key: &ResourceKey,
        number: Number,
        answer: Result<(Answer, u64), Failed>,
        now: Now,
    ) {
        let outbox = &*self.outbox;
        let (answer, upto) = match answer {
            Ok((answer, upto)) => (answer, Some(upto)),
            Err(Failed) => (Answer::Failed, None),
        };
        if !outbox.answered(number, upto, now.instant, self.hub.jitter()) {
            return;
        }

        let wakers = self.hub.with_topic(key, |topic| {
            let may_go_on = topic.answered(number, answer, outbox, now);
            if may_go_on {
                topic.take_wakers()
            } else {
                Vec::new()
            }
        });
        self.publish(wakers, now.instant);
    }

    /// Wakes the readers of a record that has changed. No lock may be held.
    fn publish(&self, wakers: Option<Vec<Waker>>, now: Instant) {
        let shared = &self.hub.shared;
        wakers.into_iter().flatten().for_each(Waker::wake);
        if self.outbox.take_unreadable() {
            self.hub.notice(Notice::EngineUnreadable);
        }
        shared.registry.reclaim_bytes(now);
        shared.stalls.check_limit();
    }

    fn each(&self, mut change: impl FnMut(&mut TopicGuard<'_>)) {
        let registry = &self.hub.shared.registry;
        for cell in registry.cells() {
            if let Some(mut topic) = registry.lock_topic(&cell) {
                change(&mut topic);
            }
        }
    }
}

impl Hub {
    /// Changes the topic of `key`, if there is one.
    pub(in crate::hub) fn with_topic<T>(
        &self,
        key: &ResourceKey,
        change: impl FnOnce(&mut TopicGuard<'_>) -> T,
    ) -> Option<T> {
        let registry = &self.shared.registry;
        let cell = registry.find(key)?;
        // A topic that was removed meanwhile has no reader. The next one asks anew.
        let mut topic = registry.lock_topic(&cell)?;
        Some(change(&mut topic))
    }

    /// [`source_lost`](Self::source_lost) of a record that an engine keeps.
    pub(in crate::hub) fn source_lost_at(&self, outbox: &Outbox, key: &ResourceKey) {
        let now = self.shared.latest().instant;
        self.with_topic(key, |topic| topic.source_lost(outbox, now));
        outbox.wake();
    }

    /// Makes the checks of records that are due.
    pub(super) fn check_records(&self, outbox: &Outbox, now: Now) {
        for (due, key) in outbox.take_checks(now.instant) {
            let next = outbox.spec.audit_every.map(|every| {
                // Spread, so that records which were joined together are not audited together.
                let jitter = self.jitter() % 512;
                now.instant
                    .saturating_add(every.mul_f64(0.75 + jitter as f64 / 1_024.0))
            });
            self.with_topic(&key, |topic| topic.check(outbox, due, next, now.instant));
        }
    }

    /// Refuses the publishes that have waited too long for the engine. Returns when there is more. No
    /// lock may be held.
    pub(in crate::hub) fn end_overdue_publishes(&self, now: Instant) -> Option<Instant> {
        let engine = self.shared.registry.engine.as_ref()?;
        let mut ended = Vec::new();
        let expires = engine.expire(now, &mut ended);
        self.end_publishes(ended);
        expires
    }

    /// Tells publishers what became of their events. No lock may be held.
    pub(super) fn end_publishes(&self, ended: impl IntoIterator<Item = Ended>) {
        for ended in ended {
            if let Some(refusal) = ended.refusal() {
                self.count_refused_publish(refusal);
            }
            ended.resolve();
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("engine", &self.hub.stats().engine)
            .finish_non_exhaustive()
    }
}
