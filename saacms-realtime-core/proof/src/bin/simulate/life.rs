//! The full history of one record, from one start of its topic to its end.
//!
//! Nothing is ever removed. What a hub may still hold is computed from all of it by the rules of the
//! contract.

use saacms_realtime_core::{EventIds, HubConfig, ResyncReason, Timestamp};

/// The place of a reader in the history, as far as it can be known from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The event with this number comes next.
    At(u64),
    /// A resync is next.
    Lost(ResyncReason),
}

#[derive(Clone, Debug)]
pub(crate) struct PastEvent {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) data: String,
    at: u64,
    size: usize,
}

/// One life of a record. Events are numbered from 1; a lost source leaves a gap.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) epoch: u64,
    events: Vec<Option<PastEvent>>,
    /// The sequence of each of them, and of each gap.
    sequences: Vec<u64>,
    /// Every sequence below it is taken, as this topic knows.
    head: u64,
    /// An earlier life may have had events up to this sequence, and certainly had none later.
    earlier: u64,
    /// An earlier life of a record in the same shard may have had events up to this sequence. Which
    /// records share a shard is not known from outside.
    earlier_in_shard: u64,
    /// Everything before this number is gone.
    floor: u64,
    /// Events before this number may have been freed for lack of memory.
    unsure_below: u64,
    /// Readers before this number lost their source.
    lost_before: u64,
    /// The latest time of all operations.
    latest: u64,
    /// The latest time that was given as an ID, in milliseconds.
    pub(crate) latest_time: i64,
    pub(crate) readers: usize,
    pub(crate) idle_since: u64,
}

/// A connected reader has at least a minute, however short `max_age` is.
const LAG_MILLIS: u64 = 60_000;

impl Life {
    pub(crate) fn new(
        epoch: u64,
        [earlier, earlier_in_shard]: [u64; 2],
        latest_time: i64,
        now: u64,
    ) -> Self {
        Self {
            epoch,
            events: Vec::new(),
            sequences: Vec::new(),
            head: 1,
            earlier,
            earlier_in_shard,
            floor: 1,
            unsure_below: 0,
            lost_before: 0,
            latest: 0,
            latest_time,
            readers: 0,
            idle_since: now,
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.events.len() as u64 + 1
    }

    pub(crate) fn event(&self, number: u64) -> Option<&PastEvent> {
        self.events.get(number.checked_sub(1)? as usize)?.as_ref()
    }

    /// Every sequence below `head` is taken, by whichever record.
    pub(crate) fn raise_head(&mut self, head: u64) {
        self.head = self.head.max(head);
    }

    /// The sequence of the newest event of this life or of an earlier one.
    pub(crate) fn newest_sequence(&self) -> u64 {
        self.sequences.last().copied().unwrap_or(self.earlier)
    }

    pub(crate) fn push(
        &mut self,
        config: &HubConfig,
        kind: &'static str,
        id: String,
        data: String,
        overhead: usize,
        now: u64,
    ) {
        self.latest = self.latest.max(now);

        let id_len = id.len();
        let frame_len = "event: \nid: \ndata: \n\n".len() + kind.len() + id_len + data.len();
        // The hub keeps the ID twice: in the frame, and to compare it.
        let size = frame_len + id_len + overhead;
        self.sequences.push(self.head);
        self.head += 1;
        self.events.push(Some(PastEvent {
            kind,
            id,
            data,
            at: self.latest,
            size,
        }));
        self.evict(config, now);
        self.idle_since = self.idle_since.max(now);
    }

    /// Moves the floor up.
    ///
    /// The ring holds the newest `max_lag` events (at least `max_events`), at most `max_lag_bytes`
    /// beyond the newest `max_events`, none older than `max_age` or a minute, whichever is longer.
    pub(crate) fn evict(&mut self, config: &HubConfig, now: u64) {
        self.latest = self.latest.max(now);
        let most = config.max_events.max(config.max_lag).max(1) as u64;
        let certain = config.max_events.max(1) as u64;
        let max_age = (config.max_age.as_millis() as u64).max(LAG_MILLIS);

        // From the newest event back to the first that retention does not keep: all before it went, too.
        let (mut held, mut bytes) = (self.next(), 0);
        while held > self.floor
            && let Some(event) = self.event(held - 1)
        {
            bytes += event.size;
            let count = self.next() - (held - 1);
            let is_too_much = count > certain && bytes > config.max_lag_bytes;
            if count > most || is_too_much || self.latest - event.at > max_age {
                break;
            }
            held -= 1;
        }

        self.floor = held;
    }

    /// The time of a publish as its ID, if that millisecond and all later ones were never given.
    pub(crate) fn tick(&mut self, wall: i64) -> Option<String> {
        if wall <= self.latest_time {
            return None;
        }
        self.latest_time = wall;
        Some(Timestamp::from_millis(wall).to_string())
    }

    /// The source lost data: every client must refetch.
    pub(crate) fn interrupt(&mut self, sequence: u64) {
        self.events.push(None);
        self.sequences.push(sequence);
        self.raise_head(sequence + 1);
        self.floor = self.next();
        self.lost_before = self.next();
    }

    /// Any event so far may have been freed.
    pub(crate) fn may_be_freed(&mut self) {
        self.unsure_below = self.next();
    }

    /// Whether retention has certainly evicted the event.
    pub(crate) fn is_gone(&self, number: u64) -> bool {
        number < self.floor
    }

    /// Whether retention alone leaves no event.
    pub(crate) fn is_empty(&self) -> bool {
        self.floor == self.next()
    }

    /// Whether the event may have been freed for lack of memory.
    pub(crate) fn is_unsure(&self, number: u64) -> bool {
        number < self.unsure_below
    }

    /// Why a reader at this number, which is gone, must refetch.
    pub(crate) fn reason_for_resync(&self, number: u64) -> ResyncReason {
        if number < self.lost_before {
            ResyncReason::SourceLost
        } else {
            ResyncReason::Lagged
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.next() == 1
    }

    pub(crate) fn position(&self, sequence: u64) -> String {
        format!("{:016x}.{sequence}", self.epoch)
    }

    /// The place after all that this topic knows of.
    pub(crate) fn place(&self) -> String {
        self.position(self.head - 1)
    }

    /// Where a client that names this ID may begin: one place, or several if memory was freed.
    pub(crate) fn resume(
        &mut self,
        config: &HubConfig,
        last_event_id: Option<&str>,
        now: u64,
    ) -> Vec<Place> {
        self.evict(config, now);
        let Some(named) = last_event_id else {
            return vec![Place::At(self.next())];
        };

        let named = named.trim_matches([' ', '\t']);
        let mut places = Vec::new();

        // The oldest event that the hub still holds is not known if memory was freed: try each.
        for first in self.floor..=self.unsure_below.max(self.floor) {
            for earlier in [self.earlier, self.earlier_in_shard] {
                let place = self.resume_where_held_from(first, earlier, config, named, now);
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }

        places
    }

    /// Where the client begins if `first` is the oldest event that the hub holds.
    ///
    /// Law 2: a client gets a resync exactly if the event after the one it names is not in the replay
    /// window, the newest `max_events` of at most `max_age`. If it missed nothing, its ID counts as
    /// known (`quiet_resume`).
    fn resume_where_held_from(
        &self,
        first: u64,
        earlier: u64,
        config: &HubConfig,
        named: &str,
        now: u64,
    ) -> Place {
        let window = self.window_where_held_from(first, config, now);
        if config.event_ids == EventIds::Etag
            && let Some(from) = self.known_by_text(window, config, named)
        {
            return Place::At(from);
        }
        let Some((epoch, sequence)) = parse_position(named) else {
            return Place::Lost(ResyncReason::BufferMiss);
        };
        if epoch != self.epoch {
            return Place::Lost(ResyncReason::Restarted);
        }
        // Law 8: what an earlier life had is gone, as what this one has no longer.
        let newest_gone = match window {
            1 => earlier,
            _ => self.sequences[window as usize - 2],
        };
        if sequence >= self.head || newest_gone > sequence {
            return Place::Lost(ResyncReason::BufferMiss);
        }
        let is_later = |number: &u64| self.sequences[*number as usize - 1] > sequence;
        let first_later = (window..self.next()).find(is_later);
        Place::At(first_later.unwrap_or(self.next()))
    }

    /// Number of the event after the one that has this ID.
    fn known_by_text(&self, window: u64, config: &HubConfig, named: &str) -> Option<u64> {
        let has_id = |number: &u64| self.event(*number).is_some_and(|event| event.id == named);
        if let Some(oldest_copy) = (window..self.next()).find(has_id) {
            return Some(oldest_copy + 1);
        }
        (config.quiet_resume && has_id(&(window - 1))).then_some(window)
    }

    /// The first number of the replay window if `first` is the oldest event that the hub holds.
    fn window_where_held_from(&self, first: u64, config: &HubConfig, now: u64) -> u64 {
        let now = self.latest.max(now);

        let oldest = self
            .next()
            .saturating_sub(config.max_events as u64)
            .max(first);
        let is_fresh = |number: &u64| {
            self.event(*number)
                .is_some_and(|event| now - event.at <= config.max_age.as_millis() as u64)
        };
        (oldest..self.next()).find(is_fresh).unwrap_or(self.next())
    }

    /// The ID that a resync must have: that of the newest event, a position, or the current time.
    pub(crate) fn resync_id(&self, config: &HubConfig, now: u64) -> ResyncId {
        let newest = self.next() - 1;
        let as_the_plugin = config.event_ids == EventIds::Etag && !config.quiet_resume;
        if !as_the_plugin {
            // Evicted or not, the newest ID is remembered. There is none before the first event, and
            // if the newest number is the gap of a lost source.
            let id = self.event(newest).map(|event| event.id.clone());
            return ResyncId {
                id: Some(id.unwrap_or_else(|| self.place())),
                is_time: false,
            };
        }

        // Without quiet resume only an event that can be replayed has an ID to resume from.
        let is_replayed = self.window_where_held_from(self.floor, config, now) < self.next();
        let newest_id = self.event(newest).map(|event| event.id.clone());
        ResyncId {
            id: newest_id.filter(|_| is_replayed),
            is_time: !is_replayed || self.is_unsure(newest),
        }
    }

    /// The number of events that have certainly been evicted.
    pub(crate) fn evicted(&self) -> u64 {
        (1..self.floor)
            .filter(|number| self.event(*number).is_some())
            .count() as u64
    }

    /// Bytes that are certainly held.
    pub(crate) fn held_bytes(&self) -> usize {
        let first = self.floor.max(self.unsure_below);
        (first..self.next())
            .filter_map(|number| self.event(number))
            .map(|event| event.size)
            .sum()
    }
}

/// The ID that a resync must have, see [`Life::resync_id`].
#[derive(Clone, Debug)]
pub(crate) struct ResyncId {
    pub(crate) id: Option<String>,
    pub(crate) is_time: bool,
}

fn parse_position(text: &str) -> Option<(u64, u64)> {
    let (epoch, sequence) = text.split_once('.')?;
    let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    if epoch.len() != 16 || !epoch.chars().all(is_hex) || !sequence.chars().all(is_hex) {
        return None;
    }
    Some((u64::from_str_radix(epoch, 16).ok()?, sequence.parse().ok()?))
}
