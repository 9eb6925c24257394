//! Law 2 over an engine: nobody refetches without need.

use saacms_realtime_core::Position;

use super::world::{Check, World};
use crate::sut::Sut;

/// A connected reader has at least a minute, however short `max_age` is.
const LAG_MILLIS: u64 = 60_000;

impl<S: Sut> World<S> {
    /// Checks that a resync was needed, as far as that can be told from outside.
    pub(super) fn check_needed(&self, client: usize, reason: &str) -> Check {
        let has_lost = self.engine.losses > 0 || self.counts.sources_lost > 0;
        let it = &self.clients[client];
        if has_lost || self.settings.is_tight || it.is_marker {
            return Ok(());
        }

        let stream = it.stream.as_ref().expect("it has just got something");
        let is_needless = match reason {
            "lagged" => it
                .has
                .next
                .is_some_and(|next| self.is_near(it.record, next)),
            "source-lost" => it
                .has
                .next
                .is_some_and(|next| self.is_kept(it.record, next)),
            _ if stream.has_event || stream.has_resync => true,
            _ => {
                let named = Some(&stream.named).filter(|id| !id.is_empty());
                match named.or(stream.place.as_ref()) {
                    Some(id) => self.is_answerable(it.record, id)?,
                    None => false,
                }
            }
        };
        if is_needless {
            return Err(format!(
                "client {client} must refetch without need, {stream:?}"
            ));
        }
        Ok(())
    }

    /// Whether a client that waits for the event with this index is so near that its hub holds all that
    /// it missed.
    fn is_near(&self, record: usize, next: usize) -> bool {
        let config = &self.settings.config;
        let all = &self.engine.records[record].history.all;
        let age = (config.max_age.as_millis() as u64).max(LAG_MILLIS);
        all.len() - next <= config.max_lag.max(config.max_events).max(1)
            && self.are_fresh(record, next, age)
    }

    /// Whether the engine has the event before the one with this index.
    fn is_kept(&self, record: usize, next: usize) -> bool {
        next > self.engine.records[record].history.kept_indices().start
    }

    /// Whether the events from this index on are at most `age` old.
    fn are_fresh(&self, record: usize, next: usize, age: u64) -> bool {
        let wall = self.at().wall.as_millis();
        let all = &self.engine.records[record].history.all;
        all[next..].iter().all(|stored| {
            let at = self.engine.events[stored.id as usize].at;
            wall - at <= age as i64
        })
    }

    /// Whether a client that names this ID can be told all that it missed.
    fn is_answerable(&self, record: usize, id: &str) -> Result<bool, String> {
        let config = &self.settings.config;
        let history = &self.engine.records[record].history;
        let Some(next) = self.engine.meaning(record, id)?.next else {
            return Ok(false);
        };

        let age = config.max_age.as_millis() as u64;
        let missed = history.all.len() - next;
        let in_window = missed <= config.max_events && self.are_fresh(record, next, age);
        if let Some(place) = Position::parse(id.as_bytes()) {
            // Nothing was dropped after it, or the event before what was missed is there to show so.
            let is_last = missed == 0 && place.sequence >= history.dropped;
            return Ok(in_window && (is_last || self.is_kept(record, next)));
        }

        // Without quiet resume, a hub that named this time in a resync calls the event by its position.
        let names_time = self.engine.events[history.all[next - 1].id as usize]
            .etag
            .is_none();
        if names_time && !config.quiet_resume {
            return Ok(false);
        }
        let is_in_window = missed < config.max_events && self.are_fresh(record, next - 1, age);
        let is_known = config.quiet_resume || is_in_window;
        Ok(in_window && is_known && self.is_kept(record, next))
    }
}
