//! Checks each frame that a client receives against the history of its record.

use saacms_realtime_core::{Epoch, EventIds, Position, RESYNC, Timestamp};

use super::engine::Meaning;
use super::publishes::number_of;
use super::world::{Check, World, say};
use crate::sut::Sut;

/// A stream that waits for the engine is greeted after this time; in a lane a little later, as streams
/// share deadlines.
const PATIENCE: u64 = 5_000;
const SHARED_DEADLINES: u64 = 30_000 / 128 + 1;

impl<S: Sut> World<S> {
    /// Whole frames arrive at a client.
    pub(super) fn frames(&mut self, client: usize, text: &str) -> Check {
        say!(self, "client {client} gets {text:?}");
        for block in text.split("\n\n").filter(|block| !block.is_empty()) {
            if block.starts_with(':') {
                self.greeted_alone(client, text);
                continue;
            }
            if block.starts_with("retry: ") {
                continue;
            }
            if let Some(id) = block.strip_prefix("id: ") {
                self.greeting(client, id)?;
                continue;
            }
            let (kind, id, data) = fields(block).ok_or_else(|| format!("a frame: {block:?}"))?;
            if kind == RESYNC {
                self.resync(client, id, data)?;
            } else {
                self.event(client, id, data)?;
            }
        }
        Ok(())
    }

    /// Counts a stream that is greeted although the engine has not answered.
    fn greeted_alone(&mut self, client: usize, text: &str) {
        let stream = self.clients[client].stream.as_ref();
        if let Some(stream) = stream.filter(|it| !it.has_output) {
            let has_waited = stream.opened_at < self.now;
            let is_alone = text == ":keepalive\n\n" && stream.opened_at + PATIENCE <= self.now;
            self.counts.waited += u64::from(has_waited);
            self.counts.impatient += u64::from(is_alone);
        }
    }

    /// A new client is told its place.
    fn greeting(&mut self, client: usize, id: &str) -> Check {
        let it = &mut self.clients[client];
        let meaning = self.engine.meaning(it.record, id)?;
        let stream = it.stream.as_mut().expect("it has just got something");
        stream.has_begun = true;
        self.counts.greetings += 1;

        if !stream.named.is_empty() || stream.has_event || stream.has_resync {
            return Err(format!(
                "client {client} has a place, and is greeted with {id}"
            ));
        }
        it.is_ambiguous |= meaning.is_ambiguous;
        if meaning.next.is_some_and(|next| next > it.known) && !it.is_ambiguous {
            let known = it.known;
            return Err(format!(
                "client {client} knows {known} events, and is told {id}"
            ));
        }
        it.name(id, meaning);
        Ok(())
    }

    fn resync(&mut self, client: usize, id: &str, data: &str) -> Check {
        let reason = data
            .trim_start_matches("{\"reason\":\"")
            .trim_end_matches("\"}");
        match reason {
            "buffer-miss" => self.counts.buffer_miss += 1,
            "lagged" => self.counts.lagged += 1,
            "restarted" => self.counts.restarted += 1,
            "source-lost" => self.counts.source_lost += 1,
            _ => return Err(format!("a resync because of {reason:?}")),
        }
        self.check_needed(client, reason)?;

        self.refetch(client, id)?;
        let config = &self.settings.config;
        // Without quiet resume it may be the current time, which may be that of an event, too.
        let is_time = config.event_ids == EventIds::Etag
            && !config.quiet_resume
            && id == self.at().wall.to_string();
        let it = &mut self.clients[client];
        if is_time {
            it.name(id, Meaning::default());
        }
        if it.has.is_lost && it.has.life == Some(self.engine.life.number) {
            // The hub has not heard of the loss; it will say so before the next event.
            it.known = it
                .known
                .min(self.engine.records[it.record].history.all.len());
        }
        let stream = it.stream.as_mut().expect("it has just got something");
        let life = self.hosts[stream.hub].life;
        (stream.has_begun, stream.has_resync) = (true, true);
        if it.is_marker {
            it.has.life = life;
        }
        Ok(())
    }

    fn event(&mut self, client: usize, id: &str, data: &str) -> Check {
        let number = number_of(data).ok_or_else(|| format!("no event of this world: {data}"))?;
        let stored = self.publishes.get(number).and_then(|it| it.stored);
        let Some(stored) = stored else {
            return Err(format!(
                "client {client} hears {number}, which is not in the engine"
            ));
        };
        self.check_id(client, stored, id)?;
        self.counts.delivered += 1;

        let it = &mut self.clients[client];
        let event = &self.engine.events[stored];
        let history = &self.engine.records[it.record].history;
        let stream = it.stream.as_mut().expect("it has just got something");
        self.counts.replays += u64::from(!stream.has_begun && !stream.named.is_empty());
        (stream.has_begun, stream.has_event) = (true, true);

        let index = history.index(stored as u64);
        if !it.is_ambiguous {
            if it.has.life != Some(event.life) && it.has.life < Some(event.life) {
                let life = it.has.life;
                return Err(format!(
                    "client {client} hears {number} across a loss of {life:x?}"
                ));
            }
            if it.has.is_lost && index.is_some() {
                return Err(format!(
                    "client {client} has an event that was lost, and hears {number}"
                ));
            }
            if let (Some(index), Some(next)) = (index, it.has.next)
                && index != next
            {
                return Err(format!("client {client} hears event {index}, not {next}"));
            }
            if let Some(index) = index
                && index > it.known
            {
                let known = it.known;
                return Err(format!(
                    "client {client} knows {known} events, and hears {index}"
                ));
            }
        }

        let meaning = self.engine.meaning(it.record, id)?;
        it.name(
            id,
            Meaning {
                next: index.map(|index| index + 1),
                // A hub that joined after a loss may pass on an event from before it.
                life: it.has.life.max(Some(event.life)),
                is_lost: index.is_none(),
                ..meaning
            },
        );
        if let Some(index) = index {
            it.known = it.known.max(index + 1);
        }
        Ok(())
    }

    /// Every hub calls an event by the same ID.
    fn check_id(&self, client: usize, stored: usize, id: &str) -> Check {
        let event = &self.engine.events[stored];
        let config = &self.settings.config;
        let position = |life| {
            let (epoch, sequence) = (Epoch::from_number(life), event.sequence);
            Position { epoch, sequence }.to_string()
        };
        // What was stored before a loss may be passed on by a hub that joined after it.
        let stream = self.clients[client].stream.as_ref();
        let told = stream.and_then(|it| self.hosts[it.hub].life);
        let is_position = id == position(event.life)
            || told.is_some_and(|life| life > event.life && id == position(life));
        let time = Timestamp::from_millis(event.at).to_string();

        let is_right = match (config.event_ids, &event.etag) {
            (EventIds::Position, _) => is_position,
            (EventIds::Etag, Some(etag)) => id == etag,
            (EventIds::Etag, None) if event.is_id => {
                // A hub may have named that time in a resync.
                id == time || !config.quiet_resume && is_position
            }
            (EventIds::Etag, None) => is_position,
        };
        if self.publishes[event.number].record != self.clients[client].record || !is_right {
            return Err(format!("client {client} hears {event:?} as {id}"));
        }
        Ok(())
    }

    /// A stream that waits for the engine is greeted in time.
    pub(super) fn check_patience(&self, client: usize) -> Check {
        let Some(stream) = &self.clients[client].stream else {
            return Ok(());
        };
        let late = if S::SHARES_TIMERS {
            SHARED_DEADLINES
        } else {
            0
        };
        let until = stream.opened_at + PATIENCE;
        let is_due = stream.wake_at.is_some_and(|due| due <= until + late);
        if !stream.has_output && (self.now >= until + late || !is_due) {
            return Err(format!(
                "client {client} has waited since {}",
                stream.opened_at
            ));
        }
        Ok(())
    }
}

/// The event type, the ID and the data of a frame.
fn fields(block: &str) -> Option<(&str, &str, &str)> {
    let rest = block.strip_prefix("event: ")?;
    let (kind, rest) = rest.split_once("\nid: ")?;
    let (id, data) = rest.split_once("\ndata: ")?;
    Some((kind, id, data))
}
