use alloc::vec::Vec;

use super::followed::{Answer, CHECK_AFTER_JOIN};
use super::outbox::Outbox;
use crate::engine::{Life, Number, Packed};
use crate::follow::{Effect, Told};
use crate::hub::topic_cell::TopicCell;
use crate::time::{Instant, Now};

/// A topic whose record is followed. Without an engine, none of this does anything.
impl TopicCell {
    /// Begins to watch the record. Called when a reader comes; only the first one counts.
    pub(in crate::hub) fn watch(&mut self, outbox: &Outbox, now: Instant) {
        let Some(followed) = &mut self.followed else {
            return;
        };
        if followed.life.is_none() {
            followed.set_life(outbox.life());
        }
        if followed.asks == 0 {
            followed.connection = outbox.watch(&followed.key);
            followed.ask(outbox, now);
        }
    }

    /// The topic is removed: its record is not watched any more.
    pub(in crate::hub) fn unwatch(&mut self, outbox: &Outbox) {
        if let Some(followed) = &mut self.followed {
            followed.forget_ask(outbox);
            followed.check_at(outbox, None);
            outbox.unwatch(&followed.key, followed.connection);
        }
    }

    /// The engine can be reached (again), in this life. What is open is asked now; what was live is
    /// asked `later`, so that not all hubs of an engine ask for all records at the same moment.
    pub(super) fn engine_is_up(
        &mut self,
        outbox: &Outbox,
        life: Life,
        now: Instant,
        later: Instant,
    ) {
        let Some(followed) = &mut self.followed else {
            return;
        };
        followed.check_at = None;
        followed.forget_ask(outbox);
        let was_open = followed.is_open;
        if followed
            .life
            .is_some_and(|before| before.number != life.number)
        {
            followed.follower.lost();
            followed.is_open = false;
        } else {
            followed.follower.doubt();
        }
        followed.set_life(Some(life));
        followed.connection = outbox.watch(&followed.key);
        if was_open && followed.is_open {
            followed.ask(outbox, later);
            followed.check_after_join(outbox, later);
        } else {
            followed.ask(outbox, now);
        }
    }

    /// The engine lost data, and this life begins.
    pub(super) fn engine_lost(&mut self, outbox: &Outbox, life: Life, now: Instant) {
        let Some(followed) = &mut self.followed else {
            return;
        };
        followed.forget_ask(outbox);
        followed.follower.lost();
        followed.is_open = false;
        followed.set_life(Some(life));
        followed.ask(outbox, now);
    }

    /// The source of this record lost data: the engine's history of it does not count.
    pub(in crate::hub) fn source_lost(&mut self, outbox: &Outbox, now: Instant) {
        let Some(followed) = &mut self.followed else {
            return;
        };
        followed.forget_ask(outbox);
        followed.follower.lost();
        followed.is_open = false;
        followed.is_source_lost = true;
        followed.ask(outbox, now);
    }

    /// An event may have been missed.
    pub(super) fn doubt(&mut self, outbox: &Outbox, now: Instant) {
        if let Some(followed) = &mut self.followed {
            followed.follower.doubt();
            followed.ask(outbox, now);
        }
    }

    /// A check of this record was due at this moment; `next` is when the one after it is.
    pub(super) fn check(
        &mut self,
        outbox: &Outbox,
        due: Instant,
        next: Option<Instant>,
        now: Instant,
    ) {
        let Some(followed) = &mut self.followed else {
            return;
        };
        if followed.check_at != Some(due) {
            return;
        }
        followed.check_at = None;
        if !followed.follower.is_live() {
            // What is open is answered first.
            followed.check_at(outbox, Some(now.saturating_add(CHECK_AFTER_JOIN)));
            return;
        }

        followed.check_at(outbox, next);
        followed.is_audit = followed.is_checked;
        if core::mem::replace(&mut followed.is_checked, true) {
            followed.follower.doubt();
        } else {
            // A replica that was stale at the join may still be.
            followed.follower.make_sure();
        }
        followed.ask(outbox, now);
    }

    /// The engine reported an event.
    pub(super) fn told(&mut self, told: Told<Packed>, outbox: &Outbox, now: Now) {
        let Some(followed) = &mut self.followed else {
            return;
        };
        if followed.has_room_for(&told) {
            let mut effects = Vec::new();
            followed.follower.live(told, &mut effects);
            followed.apply(&mut self.feed, effects, outbox, now);
        } else {
            // It is read once what comes before it is known.
            followed.follower.doubt();
        }
        followed.ask(outbox, now.instant);
    }

    /// The engine answered an ask. Returns whether a reader may have to be polled.
    pub(super) fn answered(
        &mut self,
        number: Number,
        answer: Answer,
        outbox: &Outbox,
        now: Now,
    ) -> bool {
        let Some(followed) = &mut self.followed else {
            return false;
        };
        // An answer to an earlier ask could not be told from the one that is waited for.
        let Some(asked) = followed.asked.take_if(|asked| asked.due.1 == number) else {
            return false;
        };

        if asked.sure && followed.is_open && followed.shows_loss(&answer) {
            outbox.found_loss();
        }
        let mut effects = Vec::new();
        match answer {
            Answer::Newest(newest, span) => followed.follower.newest(newest, span, &mut effects),
            Answer::Run(run, span) => followed.follower.run(run, span, &mut effects),
            Answer::Failed => followed.follower.failed(),
        }

        let is_changed = effects
            .iter()
            .any(|effect| !matches!(effect, Effect::Confirmed { .. }));
        if asked.sure && !effects.is_empty() {
            followed.sure_ask = Some(asked.ask);
        }
        if effects.iter().any(|it| matches!(it, Effect::History(..))) {
            followed.history_ask = Some(asked.ask);
        }
        let is_join = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Begin(..) | Effect::Interrupt(..)));
        followed.apply(&mut self.feed, effects, outbox, now);
        if is_join {
            followed.check_after_join(outbox, now.instant);
        }
        if core::mem::take(&mut followed.is_audit) && !followed.follower.is_live() {
            outbox.count_repaired();
        }
        followed.ask(outbox, now.instant);
        is_changed || followed.waiting > 0
    }
}
