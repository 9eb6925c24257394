use alloc::vec::Vec;
use core::time::Duration;

use super::asks::Due;
use super::outbox::Outbox;
use crate::engine::{Life, Packed};
use crate::feed::{EngineEvent, Feed};
use crate::follow::{Ask, Effect, Follower, Mark, Span, Told};
use crate::name::ResourceKey;
use crate::time::{Instant, Now};

/// After a join the record is checked once more: an engine may begin to report live events a little
/// later than it answers.
pub(super) const CHECK_AFTER_JOIN: Duration = Duration::from_secs(1);

/// Most bytes of the live events of a record that wait for what comes before them.
const MAX_EARLY_BYTES: usize = 1 << 20;

/// A record that a hub follows at its engine: what its topic has besides its feed.
pub(in crate::hub) struct Followed {
    pub(super) key: ResourceKey,
    pub(super) follower: Follower<Packed>,
    /// The connection to the engine with which its watch began.
    pub(super) connection: u64,
    /// The life of the engine in which it is followed. The events of the feed, its places and the ask
    /// that is out are of this one.
    pub(super) life: Option<Life>,
    /// The IDs of events up to this sequence do not count: the engine lost some of those events, or may
    /// have others there.
    pub(super) cut: u64,
    /// The newest event of the feed, even if it was not kept.
    pub(super) tail: Option<Mark>,
    /// Readers may begin: where the record stands is known, and no loss is about to be reported.
    pub(super) is_open: bool,
    /// The feed has all events that the engine keeps: an ID that is not found there is not known.
    pub(in crate::hub) is_complete: bool,
    /// How many times the engine was asked.
    pub(super) asks: u64,
    pub(super) asked: Option<Asked>,
    /// The newest ask whose answer was sure and left nothing open. Asks are counted by `asks`.
    pub(super) sure_ask: Option<u64>,
    /// The newest ask that read all history.
    pub(super) history_ask: Option<u64>,
    /// The source lost data, so that the IDs of events up to the next join do not count.
    pub(super) is_source_lost: bool,
    /// Readers that wait for an answer before they begin.
    pub(in crate::hub) waiting: usize,
    pub(super) check_at: Option<Instant>,
    /// The check after the join was made: the next ones are audits.
    pub(super) is_checked: bool,
    /// The ask that is out is an audit: nothing suggests that an event was missed.
    pub(super) is_audit: bool,
}

/// The ask that is out.
pub(super) struct Asked {
    pub(super) due: Due,
    /// Which of `asks` it is.
    pub(super) ask: u64,
    pub(super) sure: bool,
}

/// An answer of the engine, for the follower.
pub(super) enum Answer {
    Newest(Option<Told<Packed>>, Span),
    Run(Vec<Told<Packed>>, Span),
    Failed,
}

impl Followed {
    pub(in crate::hub) fn new(key: ResourceKey, keep: usize) -> Self {
        Self {
            key,
            follower: Follower::new(keep),
            connection: 0,
            life: None,
            cut: 0,
            tail: None,
            is_open: false,
            is_complete: false,
            asks: 0,
            asked: None,
            sure_ask: None,
            history_ask: None,
            is_source_lost: false,
            waiting: 0,
            check_at: None,
            is_checked: false,
            is_audit: false,
        }
    }

    pub(super) fn set_life(&mut self, life: Option<Life>) {
        if let Some(life) = life {
            self.cut = match self.life {
                Some(before) if before.number == life.number => self.cut.max(life.lost),
                Some(_) | None => life.lost,
            };
            self.life = Some(life);
        }
    }

    /// Asks what is open. To be called after every change of the follower.
    pub(super) fn ask(&mut self, outbox: &Outbox, at: Instant) {
        let Some(ask) = self.follower.ask() else {
            return;
        };
        let sure = match ask {
            Ask::Newest { sure } | Ask::Run { sure, .. } => sure,
        };
        self.asked = Some(Asked {
            due: outbox.ask(&self.key, ask, at),
            ask: self.asks,
            sure,
        });
        self.asks += 1;
    }

    /// Forgets the ask that is out: the engine does not answer it any more.
    pub(super) fn forget_ask(&mut self, outbox: &Outbox) {
        if let Some(asked) = self.asked.take() {
            outbox.forget(asked.due);
            self.follower.failed();
        }
    }

    /// Whether a live event may be given to the follower, which may have to keep it for a while.
    pub(super) fn has_room_for(&self, told: &Told<Packed>) -> bool {
        let len = |told: &Told<Packed>| told.event.as_bytes().len();
        let early = || self.follower.early().map(len).sum::<usize>();
        self.follower.is_live() || early() + len(told) <= MAX_EARLY_BYTES
    }

    pub(super) fn check_at(&mut self, outbox: &Outbox, at: Option<Instant>) {
        outbox.check_at(&self.key, self.check_at, at);
        self.check_at = at;
    }

    /// The record was joined, or its watch began anew.
    pub(super) fn check_after_join(&mut self, outbox: &Outbox, now: Instant) {
        self.is_checked = false;
        self.check_at(outbox, Some(now.saturating_add(CHECK_AFTER_JOIN)));
    }

    /// What follows from an input of the follower, for the feed.
    pub(super) fn apply(
        &mut self,
        feed: &mut Feed,
        effects: Vec<Effect<Packed>>,
        outbox: &Outbox,
        now: Now,
    ) {
        for effect in effects {
            match effect {
                Effect::Begin(newest, span) => self.begin(feed, newest, span),
                Effect::Interrupt(newest, span) => {
                    feed.interrupt();
                    outbox.count_refetched();
                    self.begin(feed, newest, span);
                }
                Effect::Push(told) => self.push(feed, &told, outbox, now),
                Effect::History(history, floor) => self.look_back(feed, &history, floor, now),
                Effect::Confirmed { .. } => {}
            }
        }

        if self.is_open {
            let head = self.follower.place().saturating_add(1);
            feed.topic.raise_head(head);
        }
    }

    /// The feed begins after the newest event.
    fn begin(&mut self, feed: &mut Feed, newest: Option<Told<Packed>>, span: Span) {
        let Some(life) = self.life else {
            // Cannot happen: nothing is asked before the first life.
            return;
        };
        let place = newest
            .as_ref()
            .map_or(0, |it| it.mark.sequence)
            .max(span.upto);
        if core::mem::take(&mut self.is_source_lost) {
            self.cut = place;
        }
        self.cut = self.cut.min(place);

        let floor = newest.as_ref().map_or(span.since, |it| it.mark.sequence);
        let floor = floor.max(self.cut).min(place);
        let last = newest.as_ref().and_then(event_of);
        let last = last.filter(|last| last.sequence > self.cut);
        if newest.is_some() && last.is_none() {
            self.cut = floor;
        }
        // Without an event whose ID counts, there is nothing to look back to.
        self.is_complete = last.is_none();
        // What was read before is gone with the feed that it was read for.
        self.history_ask = None;
        feed.start(life.epoch(), last.as_ref(), floor, place);
        self.tail = newest.as_ref().map(|it| it.mark);
        self.is_open = true;
    }

    fn push(&mut self, feed: &mut Feed, told: &Told<Packed>, outbox: &Outbox, now: Now) {
        self.tail = Some(told.mark);
        if let Some(event) = event_of(told) {
            feed.tell(&event, now.instant);
            return;
        }

        // A later version wrote it. It is not skipped: readers are told that they missed something.
        outbox.found_unreadable();
        outbox.count_refetched();
        feed.interrupt();
        let sequence = told.mark.sequence;
        self.cut = sequence;
        self.is_complete = true;
        if let Some(life) = self.life {
            feed.start(life.epoch(), None, sequence, sequence);
        }
    }

    fn look_back(&mut self, feed: &mut Feed, history: &[Told<Packed>], floor: u64, now: Now) {
        let mut floor = floor.max(self.cut);
        let mut events = Vec::with_capacity(history.len());
        for told in history.iter().filter(|told| told.mark.sequence > self.cut) {
            match event_of(told) {
                Some(event) => events.push(event),
                None => {
                    // What comes before an event that cannot be read does not link to what comes after.
                    floor = told.mark.sequence;
                    events.clear();
                }
            }
        }
        feed.look_back(&events, floor, now);
        self.is_complete = true;
    }

    /// Whether a sure answer shows that the engine lost the tail, which it cannot have dropped.
    pub(super) fn shows_loss(&self, answer: &Answer) -> bool {
        let (Answer::Newest(newest, span), Some(tail)) = (answer, self.tail) else {
            return false;
        };
        match newest {
            Some(Told { mark, .. }) if mark.sequence == tail.sequence => mark.print != tail.print,
            Some(Told { mark, .. }) => mark.sequence < tail.sequence,
            None => span.since < tail.sequence,
        }
    }
}

/// An event as readers get it; `None` if a later version wrote it.
fn event_of(told: &Told<Packed>) -> Option<EngineEvent<'_>> {
    Some(EngineEvent {
        sequence: told.mark.sequence,
        parts: told.event.parse().ok()?,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::follow::Link;

    #[test]
    fn of_the_events_that_wait_for_an_answer_no_more_than_a_mebibyte_is_kept() {
        let key = ResourceKey::new("posts", "1").expect("valid");
        let text = "x".repeat(600_000);
        let event = Event::changed(key.clone(), &text, None).expect("valid");
        let told = |sequence| Told {
            mark: Mark { sequence, print: 0 },
            link: Link::Unknown,
            event: Packed::new(&event),
        };

        let mut followed = Followed::new(key, 101);
        assert!(followed.has_room_for(&told(1)));
        followed.follower.live(told(1), &mut Vec::new());
        assert!(!followed.has_room_for(&told(2)));
        followed.follower.lost();
        assert!(followed.has_room_for(&told(2)));
    }
}
